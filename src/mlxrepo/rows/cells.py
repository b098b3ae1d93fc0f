"""When two cells of a table are the same, though they may be written otherwise."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any

_CODE = re.compile(r"\s*[+-]?0[0-9]")  # 01234 names something, such as a place; 0.5 and 0 do not
_EXACT = 15  # digits that a float holds, whichever they are
_TRUTHS = {"true": True, "false": False}


def number(text: str) -> int | float | Decimal | str:
    """Return what a cell in a column of numbers says, exactly: equal numbers are equal values.

    A number that begins with zeros is a code and stays text.
    """
    if _CODE.match(text):
        return text
    try:
        return int(text)
    except ValueError:
        pass
    try:
        value = float(text)
        plainly = len(text) <= _EXACT and "e" not in text.lower()
        if plainly or Decimal(repr(value)) == Decimal(text):
            return value
        return Decimal(text)
    except (ValueError, InvalidOperation):
        return text


def truth(text: str) -> bool | str:
    """Return what a cell in a column of truths says."""
    return _TRUTHS.get(text.lower(), text)


def same(old: Any, new: Any) -> bool:
    """Say whether two values are the same: lists item by item; NaN and None are both empty."""
    if old is new or is_empty(old) or is_empty(new):
        return old is new or (is_empty(old) and is_empty(new))
    if hasattr(old, "tobytes") and hasattr(new, "tobytes"):  # arrays, most of them equal
        alike = old.dtype == new.dtype != object and old.shape == new.shape
        if alike and old.tobytes() == new.tobytes():
            return True
    old, new = plain(old), plain(new)
    if isinstance(old, dict) and isinstance(new, dict):
        return old.keys() == new.keys() and all(same(old[name], new[name]) for name in old)
    if isinstance(old, list | tuple) and isinstance(new, list | tuple):
        return len(old) == len(new) and all(map(same, old, new))
    return bool(old == new)


def plain(value: Any) -> Any:
    """Return an array, at any depth, as lists, and a number of numpy's as one of Python's."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    return value


def is_empty(value: Any) -> bool:
    """Say whether a cell holds nothing: None, NaN and their kin."""
    if value is None or isinstance(value, float | Decimal):
        return value is None or value != value
    # pandas' NA and NaT; no other value is unlike itself or cannot say so.
    return type(value).__name__ in ("NAType", "NaTType") or (
        type(value).__module__ == "numpy" and getattr(value, "ndim", 1) == 0 and value != value
    )


READ: dict[str, Callable[[str], Any]] = {"number": number, "b": truth}
