"""Reading everything back from a remote: what a user asks for who wants to be sure."""

from __future__ import annotations

from collections.abc import Iterable

from mlxrepo.errors import Damaged
from mlxrepo.progress import SILENT, Progress
from mlxrepo.store.fetch import reads
from mlxrepo.store.parallel import parallel
from mlxrepo.store.remote import Remote, pack_file
from mlxrepo.store.remoteindex import WHOLE, Known, Spot
from mlxrepo.store.remotepack import decode
from mlxrepo.store.survey import oid_in


def bad_copies(
    remote: Remote, known: Known, keys: Iterable[bytes], *, jobs: int, progress: Progress = SILENT
) -> list[bytes]:
    """Read objects on a remote and return those that are absent or hold other bytes."""
    spots = [spot for key in keys if (spot := known.find(key))]
    progress.start(f"reading {remote.name}", sum(spot.size for spot in spots), "bytes")
    bad: list[bytes] = []
    packed = reads([spot for spot in spots if spot.form != WHOLE])
    work = [(read.pack, read.start, read.end, read.spots) for read in packed]
    for wrong, size in parallel(lambda item: _packed(remote, *item), work, jobs, remote.door.stop):
        bad += wrong
        progress.advance(size)
    for spot in spots:
        if spot.form == WHOLE:
            if not remote.holds(oid_in(spot.key), spot.size):
                bad.append(spot.key)
            progress.advance(spot.size)
    progress.done()
    return bad


def _packed(
    remote: Remote, pack: str, start: int, end: int, spots: list[Spot]
) -> tuple[list[bytes], int]:
    size = sum(spot.size for spot in spots)
    try:
        data = remote.door.read_range(pack_file(pack), start, end)
    except FileNotFoundError:
        return [spot.key for spot in spots], size
    bad = []
    for spot in spots:
        at = spot.offset - start
        try:
            decode(spot, data[at : at + spot.length])
        except Damaged:
            bad.append(spot.key)
    return bad, size
