"""Whether a remote in a local folder was used from here: where nothing is now, a disk is away.

A mount point without its disk looks like a folder for a new remote.
"""

from __future__ import annotations

import os
import shlex

from mlxrepo import files
from mlxrepo.errors import EnvironmentFailed
from mlxrepo.paths import display

_SEEN = "seen"  # in the cache of a remote: where it was


def note_seen(place: str, cache: str) -> None:
    """Take note that there is a remote at a place."""
    if os.path.isabs(place) and not _was_seen(place, cache):
        files.make_folder(cache, flush=False)
        files.write_atomic(os.path.join(cache, _SEEN), os.fsencode(place), flush=False)


def check_seen(place: str, cache: str, folder: str) -> None:
    """Check that a place without the mark of a remote has never been one; its `folder` speaks too.

    Raises:
        EnvironmentFailed: when it has, and nothing of it is there.
    """
    below = os.path.join(place, folder)
    if os.path.isabs(place) and _was_seen(place, cache) and not os.path.isdir(below):
        raise EnvironmentFailed(
            f"the remote {display(place)} was there, and is not any more",
            hint=f"is its disk mounted? To begin it anew: mkdir -p {shlex.quote(below)}",
        )


def _was_seen(place: str, cache: str) -> bool:
    try:
        with open(os.path.join(cache, _SEEN), "rb") as stream:
            return stream.read() == os.fsencode(place)
    except FileNotFoundError:
        return False
