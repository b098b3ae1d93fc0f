"""Figures as people read them."""

from __future__ import annotations

_STEPS = ("KiB", "MiB", "GiB", "TiB", "PiB")


def size(bytes_: int) -> str:
    """Return a number of bytes in binary units: `512 B`, `1.5 KiB`, `20.0 GiB`."""
    if abs(bytes_) < 1024:
        return f"{bytes_} B"
    value = bytes_ / 1024
    for unit in _STEPS[:-1]:
        # What would be rounded to 1024.0 belongs to the next unit.
        if abs(value) < 1023.95:
            return f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} {_STEPS[-1]}"


def count(number: int, one: str, many: str | None = None) -> str:
    """Return a number with its noun: `1 file`, `2,000 files`, `2 entries`."""
    noun = one if number == 1 else many or f"{one}s"
    return f"{number:,} {noun}"


def duration(seconds: float) -> str:
    """Return a time span of `seconds`: `0.4 s`, `12 s`, `3 min 05 s`, `1 h 02 min`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02} min"
