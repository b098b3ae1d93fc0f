"""Dropped: what was taken out of this worktree and its store because a remote has it.

It only tells `status` why something is absent. An entry that is recorded otherwise by now, or is
here again, means nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

from mlxrepo.codec import canonical, parse_json
from mlxrepo.errors import MlxError
from mlxrepo.files import write_atomic
from mlxrepo.hashing import Oid
from mlxrepo.paths import RepoPath

FORMAT = 1
FILE = "dropped.json"


def read_dropped(path: str) -> dict[RepoPath, Oid]:
    """Read the file; none, or one that says something else, means that nothing was dropped."""
    try:
        with open(path, "rb") as stream:
            value = parse_json(stream.read(), source=path)
        if value["format"] != FORMAT:
            return {}
        return {RepoPath(name): Oid(oid) for name, oid in value["dropped"].items()}
    except (OSError, MlxError, KeyError, TypeError, AttributeError):
        return {}


def note_dropped(path: str, more: Mapping[RepoPath, Oid]) -> None:
    """Add to the file."""
    known = {**read_dropped(path), **more}
    write_atomic(path, canonical({"format": FORMAT, "dropped": known}))
