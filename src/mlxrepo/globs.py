"""Patterns of paths and names: `*`, `?` and `[…]` inside one name, `**` for any folders."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

_SIGNS = frozenset("*?[")


def is_glob(text: str) -> bool:
    """Say whether `text` holds a sign of a pattern."""
    return not _SIGNS.isdisjoint(text) and ("*" in text or "?" in text or "]" in text)


def matches(path: str, pattern: str) -> bool:
    """Say whether a path fits a pattern, as in a shell: a wildcard never begins a hidden name.

    A path that is spelled as the pattern itself fits too, so a file `a[1].csv` can be named.
    """
    if path == pattern:
        return True
    parts = pattern.split("/")
    if parts[-1] == "**":  # what lies below, not the folder itself
        parts.append("*")
    places = _skip({0}, parts)
    for name in path.split("/"):
        places = _skip(_step(name, places, parts), parts)
        if not places:
            return False
    return len(parts) in places


def fixed_folder(pattern: str) -> str:
    """Return the folder below which everything lies that a pattern can match."""
    fixed: list[str] = []
    for part in pattern.split("/")[:-1]:
        if is_glob(part):
            break
        fixed.append(part)
    return "/".join(fixed)


def concerns(path: str, pattern: str) -> bool:
    """Say whether `path`, what it lies in, or what may lie in it can fit a pattern."""
    names, parts = path.split("/"), pattern.split("/")
    if any(matches("/".join(names[: end + 1]), pattern) for end in range(len(names))):
        return True
    if "**" in parts[: len(names)]:
        return matches("/".join(names[: parts.index("**")]), "/".join(parts[: parts.index("**")]))
    return len(names) < len(parts) and matches(path, "/".join(parts[: len(names)]))


def _step(name: str, places: Iterable[int], parts: list[str]) -> set[int]:
    """Return where in the pattern one may stand after `name` was read."""
    reached: set[int] = set()
    hidden = name.startswith(".")
    for place in places:
        if place == len(parts):
            continue
        part = parts[place]
        if part == "**":
            reached |= set() if hidden else {place}
        elif fnmatchcase(name, part) and not (hidden and part[:1] in _SIGNS):
            reached.add(place + 1)
    return reached


def _skip(places: set[int], parts: list[str]) -> set[int]:
    """Add the places behind each `**`, which may stand for no folder at all."""
    for place in sorted(places):
        while place < len(parts) and parts[place] == "**":
            place += 1
            places.add(place)
    return places
