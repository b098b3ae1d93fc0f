""".gitignore lines for what mlx keeps: one sorted file beside each tracked path.

Sorted insertion lets two branches that add different data merge without a conflict.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

from mlxrepo.files import make_folder, remove_quietly, write_atomic
from mlxrepo.paths import RepoPath, name_of, parent

NAME = ".gitignore"
_SPECIAL = frozenset("\\*?[]!# ")


def line_for(path: str) -> str:
    """Return the anchored pattern that matches exactly this path in its folder."""
    return "/" + "".join("\\" + c if c in _SPECIAL else c for c in name_of(path))


def add_lines(root: str, paths: Iterable[RepoPath]) -> list[RepoPath]:
    """Add a line for each path; return the .gitignore files that changed."""
    return _edit(root, paths, _with_line)


def remove_lines(root: str, paths: Iterable[RepoPath]) -> list[RepoPath]:
    """Remove the line of each path; a file that becomes empty goes."""
    return _edit(root, paths, _without_line)


def _edit(
    root: str, paths: Iterable[RepoPath], change: Callable[[bytes, str], bytes]
) -> list[RepoPath]:
    by_folder: dict[str, list[str]] = {}
    for path in paths:
        by_folder.setdefault(parent(path), []).append(line_for(path))
    changed: list[RepoPath] = []
    for folder, wanted in by_folder.items():
        name = RepoPath(f"{folder}/{NAME}" if folder else NAME)
        old = _read(os.path.join(root, name))
        new = old
        for line in wanted:
            new = change(new, line)
        if new == old:
            continue
        if new:
            make_folder(os.path.join(root, folder))
            write_atomic(os.path.join(root, name), new)
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
    if raw in [item.rstrip(b"\r") for item in lines]:
        return text
    if lines[-1] == b"":
        lines.pop()
    # Only the tail of anchored lines is ours to sort; what the user wrote above keeps its order.
    at = len(lines)
    while at and lines[at - 1].startswith(b"/") and lines[at - 1] > raw:
        at -= 1
    lines.insert(at, raw)
    return b"\n".join(lines) + b"\n"


def _without_line(text: bytes, line: str) -> bytes:
    raw = os.fsencode(line)
    return b"".join(item for item in text.splitlines(keepends=True) if item.rstrip(b"\r\n") != raw)
