""".gitignore lines for what mlx keeps: one sorted file beside each tracked path.

Sorted insertion lets two branches that add different data merge without a conflict.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence

from mlxrepo.files import TEMP_PREFIX, make_folder, remove_quietly, write_atomic
from mlxrepo.paths import RepoPath, join, name_of, parent
from mlxrepo.repo.git import Git
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
    return _edit(root, paths, with_lines)


def remove_lines(root: str, paths: Iterable[RepoPath]) -> list[RepoPath]:
    """Remove the line of each path; a file that becomes empty goes."""
    return _edit(root, paths, _without_lines)


def prepare(git: Git, common_dir: str, paths: Iterable[RepoPath]) -> None:
    """Make ready for `add_lines`: what a sparse checkout left out is put back, not written anew."""
    exclude_temporaries(common_dir)
    names = {join(parent(path), NAME) for path in paths}
    absent = [name for name in names if not os.path.lexists(os.path.join(git.root, name))]
    for name in git.left_out(absent):
        text = git.file_at("", name)  # of the index
        if text is not None:
            write_owned(git.root, name, text)


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
    root: str, paths: Iterable[RepoPath], change: Callable[[bytes, Sequence[bytes]], bytes]
) -> list[RepoPath]:
    by_folder: dict[str, list[str]] = {}
    for path in paths:
        by_folder.setdefault(parent(path), []).append(line_for(path))
    changed: list[RepoPath] = []
    for folder, wanted in by_folder.items():
        name = join(folder, NAME)
        refuse_links(root, name)
        old = _read(os.path.join(root, name))
        new = change(old, [os.fsencode(line) for line in wanted])
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


def with_lines(text: bytes, wanted: Sequence[bytes]) -> bytes:
    """Return the text of a .gitignore with these lines in it, and in force."""
    lines = text.split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    bare = [item.rstrip(b"\r") for item in lines]
    # What stands above a line that takes a path back may not be in force.
    last = max((number for number, item in enumerate(bare) if item.startswith(b"!")), default=-1)
    missing = set(wanted) - set(bare[last + 1 :])
    if not missing:
        return text
    # Only the tail of anchored lines is ours to sort; what the user wrote above keeps its order.
    at = len(lines)
    lowest = min(missing)
    while at and lines[at - 1].startswith(b"/") and lines[at - 1] > lowest:
        at -= 1
    from heapq import merge  # for those who write

    tail = list(merge(lines[at:], sorted(missing)))
    return b"\n".join(lines[:at] + tail) + b"\n"


def _without_lines(text: bytes, unwanted: Sequence[bytes]) -> bytes:
    gone = set(unwanted)
    kept = [i for i in text.splitlines(keepends=True) if i.rstrip(b"\r\n") not in gone]
    return b"".join(kept)
