"""Reading objects of a remote: of packs a few large reads, each object checked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from mlxrepo.errors import Damaged
from mlxrepo.progress import SILENT, Progress
from mlxrepo.store.fetch import Read, reads
from mlxrepo.store.parallel import parallel
from mlxrepo.store.remote import Remote, file_of
from mlxrepo.store.remoteindex import WHOLE, Spot
from mlxrepo.store.remotepack import decode
from mlxrepo.store.survey import oid_in


def contents(
    remote: Remote, spots: Iterable[Spot], *, jobs: int
) -> Iterator[tuple[Spot, bytes | None]]:
    """Yield objects that lie in packs, with their bytes; None: not there, or another's."""
    for found in parallel(
        lambda read: list(_read(remote, read)), reads(spots), jobs, remote.door.stop
    ):
        yield from found


def read_back(
    remote: Remote, spots: Sequence[Spot], *, jobs: int, progress: Progress = SILENT
) -> Iterator[tuple[Spot, bool, bytes]]:
    """Read objects to the end; yield whether each is what its name says, and its bytes.

    Those of large ones are not held: b"".
    """
    progress.start(f"reading {remote.name}", sum(spot.size for spot in spots), "bytes")
    for spot, data in contents(remote, [s for s in spots if s.form != WHOLE], jobs=jobs):
        yield spot, data is not None, data or b""
        progress.advance(spot.size)
    for spot in spots:
        if spot.form == WHOLE:
            yield spot, remote.holds(oid_in(spot.key), spot.size), b""
            progress.advance(spot.size)
    progress.done()


def _read(remote: Remote, read: Read) -> Iterator[tuple[Spot, bytes | None]]:
    try:
        data = remote.door.read_range(file_of(read.spots[0]), read.start, read.end)
    except FileNotFoundError:
        data = b""
    for spot, stored in read.cut(data):
        try:
            yield spot, decode(spot, stored)
        except Damaged:
            yield spot, None
