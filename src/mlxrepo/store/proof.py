"""Reading everything back from a remote: what a user asks for who wants to be sure."""

from __future__ import annotations

from collections.abc import Iterable

from mlxrepo.progress import SILENT, Progress
from mlxrepo.store.contents import contents
from mlxrepo.store.remote import Remote
from mlxrepo.store.remoteindex import WHOLE, Known
from mlxrepo.store.survey import oid_in


def bad_copies(
    remote: Remote, known: Known, keys: Iterable[bytes], *, jobs: int, progress: Progress = SILENT
) -> list[bytes]:
    """Read objects on a remote and return those that are absent or hold other bytes."""
    spots = [spot for key in keys if (spot := known.find(key))]
    progress.start(f"reading {remote.name}", sum(spot.size for spot in spots), "bytes")
    bad: list[bytes] = []
    packed = [spot for spot in spots if spot.form != WHOLE]
    for spot, data in contents(remote, packed, jobs=jobs):
        if data is None:
            bad.append(spot.key)
        progress.advance(spot.size)
    for spot in spots:
        if spot.form == WHOLE:
            if not remote.holds(oid_in(spot.key), spot.size):
                bad.append(spot.key)
            progress.advance(spot.size)
    progress.done()
    return bad
