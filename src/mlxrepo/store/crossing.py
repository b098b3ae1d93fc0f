"""A push that a gc of the remote crossed: is all of it there still?

Whoever pushes writes an index, and looks then whether a gc was or is at work (remotegc.py).
"""

from __future__ import annotations

from mlxrepo.progress import SILENT, Progress
from mlxrepo.store.intent import wait_for_others
from mlxrepo.store.remote import INDEXES, Remote, file_of
from mlxrepo.store.remoteindex import PACKED, Known, Spot
from mlxrepo.store.remoteplan import rows


def was_undone(remote: Remote, known: Known, published: str, progress: Progress = SILENT) -> bool:
    """Say whether a gc took away from a remote what the index `published` names.

    `known` is what was there before. It waits for a gc that is at it; when something is gone, the
    index goes too, so that the same push again sends it.
    """
    if not wait_for_others(remote, progress) and remote.sweeps() == known.sweeps:
        return False
    path = f"{INDEXES}/{published}"
    index = remote.sent_index(published)
    if index is None:
        return False  # somebody else tidied up here: it was there when it was written
    if remote.door.size(path) is None:  # that gc has taken it into a larger one, or thrown it away
        return not all(map(remote.known().has, index.keys()))
    if _all_there(remote, rows([index])):
        return False
    remote.door.delete(path)
    return True


def _all_there(remote: Remote, spots: list[Spot]) -> bool:
    """Say whether every file that spots lie in is on the remote."""
    needed = {
        file_of(spot): spot.offset + spot.length if spot.form == PACKED else spot.size
        for spot in sorted(spots, key=lambda spot: spot.offset)
    }
    return all((remote.door.size(file) or 0) >= size for file, size in needed.items())
