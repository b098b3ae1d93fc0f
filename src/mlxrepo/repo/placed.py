"""Placed: what mlx last put, or recorded, at each tracked path of this worktree.

It tells "gone" from "never here": a recorded file that is missing was deleted when it was
placed, and is absent, by design, when it was not. Unlike the stat cache it is not disposable, but
losing it only turns deletions into absences; it never loses data.
"""

from __future__ import annotations

from mlxrepo.codec import canonical, parse_json
from mlxrepo.errors import InputError
from mlxrepo.files import write_atomic
from mlxrepo.paths import RepoPath
from mlxrepo.store.tree import Entry

FORMAT = 1
Placed = dict[RepoPath, Entry]


def read_placed(path: str) -> Placed:
    """Read the file; none means that nothing was ever here.

    Raises:
        InputError: when it is of a newer format.
    """
    try:
        with open(path, "rb") as stream:
            value = parse_json(stream.read(), source=path)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    if value.get("format") != FORMAT:
        raise InputError(f"{path} has format {value.get('format')}; this mlx reads {FORMAT}")
    return {RepoPath(p): Entry(*fields) for p, fields in value["placed"].items()}


def write_placed(path: str, placed: Placed) -> None:
    """Replace the file."""
    write_atomic(
        path, canonical({"format": FORMAT, "placed": {p: list(e) for p, e in placed.items()}})
    )
