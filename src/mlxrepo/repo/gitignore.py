""".gitignore lines for what mlx keeps: one sorted file beside each tracked path.

Sorted insertion lets two branches that add different data merge without a conflict.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

from mlxrepo.files import TEMP_PREFIX, make_folder, remove_quietly, write_atomic
from mlxrepo.paths import RepoPath, join, name_of, parent
from mlxrepo.repo.owned import refuse_links, write_owned

NAME = ".gitignore"
_SPECIAL = frozenset("\\*?[]!# ")
_LINE_ENDS = frozenset("\r\n")


def line_for(path: str) -> str:
    """Return the anchored pattern that matches this path in its folder, and no other.

    But for names with a line end, which a pattern cannot hold: there `?` stands for it.
    """
    return "/" + "".join(map(_escaped, name_of(path)))


def _escaped(character: str) -> str:
    if character in _LINE_ENDS:
        return "?"
    return "\\" + character if character in _SPECIAL else character


def add_lines(root: str, paths: Iterable[RepoPath]) -> list[RepoPath]:
    """Add a line for each path; return the .gitignore files that changed."""
    return _edit(root, paths, _with_line)


def remove_lines(root: str, paths: Iterable[RepoPath]) -> list[RepoPath]:
    """Remove the line of each path; a file that becomes empty goes."""
    return _edit(root, paths, _without_line)


def exclude_temporaries(common_dir: str) -> None:
    """Let git ignore, in this clone, what a killed writer leaves: it may be a half-made folder."""
    path = os.path.join(common_dir, "info", "exclude")
    text, line = _read(path), os.fsencode(f"{TEMP_PREFIX}*")
    if line in text.splitlines():
        return
    if text and not text.endswith(b"\n"):
        text += b"\n"
    make_folder(os.path.dirname(path))
    write_atomic(path, text + line + b"\n")


def _edit(
    root: str, paths: Iterable[RepoPath], change: Callable[[bytes, str], bytes]
) -> list[RepoPath]:
    by_folder: dict[str, list[str]] = {}
    for path in paths:
        by_folder.setdefault(parent(path), []).append(line_for(path))
    changed: list[RepoPath] = []
    for folder, wanted in by_folder.items():
        name = join(folder, NAME)
        refuse_links(root, name)
        old = _read(os.path.join(root, name))
        new = old
        for line in wanted:
            new = change(new, line)
        if new == old:
            continue
        if new:
            write_owned(root, name, new)
        else:
            remove_quietly(os.path.join(root, name))
        changed.append(name)
    return changed


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except FileNotFoundError:
        return b""


def _with_line(text: bytes, line: str) -> bytes:
    raw = os.fsencode(line)
    lines = text.split(b"\n")
    if _is_in_force(raw, [item.rstrip(b"\r") for item in lines]):
        return text
    if lines[-1] == b"":
        lines.pop()
    # Only the tail of anchored lines is ours to sort; what the user wrote above keeps its order.
    at = len(lines)
    while at and lines[at - 1].startswith(b"/") and lines[at - 1] > raw:
        at -= 1
    lines.insert(at, raw)
    return b"\n".join(lines) + b"\n"


def _is_in_force(raw: bytes, lines: list[bytes]) -> bool:
    """Say whether a line is there, and nothing below it takes a path back."""
    if raw not in lines:
        return False
    return not any(item.startswith(b"!") for item in lines[lines.index(raw) :])


def _without_line(text: bytes, line: str) -> bytes:
    raw = os.fsencode(line)
    return b"".join(item for item in text.splitlines(keepends=True) if item.rstrip(b"\r\n") != raw)
