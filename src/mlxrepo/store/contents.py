"""Reading objects of a remote that lie in packs: a few large reads, each object checked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mlxrepo.errors import Damaged
from mlxrepo.store.fetch import Read, reads
from mlxrepo.store.parallel import parallel
from mlxrepo.store.remote import Remote, file_of
from mlxrepo.store.remoteindex import Spot
from mlxrepo.store.remotepack import decode


def contents(
    remote: Remote, spots: Iterable[Spot], *, jobs: int
) -> Iterator[tuple[Spot, bytes | None]]:
    """Yield objects with their bytes; None for one that is not there, or is another's."""
    for found in parallel(
        lambda read: list(_read(remote, read)), reads(spots), jobs, remote.door.stop
    ):
        yield from found


def _read(remote: Remote, read: Read) -> Iterator[tuple[Spot, bytes | None]]:
    file = file_of(read.spots[0])
    try:
        data = remote.door.read_range(file, read.start, read.end)
    except FileNotFoundError:
        data = b""
    for spot in read.spots:
        at = spot.offset - read.start
        try:
            yield spot, decode(spot, data[at : at + spot.length])
        except Damaged:
            yield spot, None
