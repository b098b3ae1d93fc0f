"""Reading objects to the end, on a remote or here: for those who want to be sure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress

from mlxrepo import files, reading
from mlxrepo.errors import MlxError
from mlxrepo.progress import SILENT, Progress
from mlxrepo.store.contents import read_back
from mlxrepo.store.copies import packed_copy
from mlxrepo.store.objects import Store
from mlxrepo.store.remote import Remote
from mlxrepo.store.remoteindex import Known
from mlxrepo.store.survey import oid_in


def bad_copies(
    remote: Remote, known: Known, keys: Iterable[bytes], *, jobs: int, progress: Progress = SILENT
) -> list[bytes]:
    """Read objects on a remote and return those that are absent or hold other bytes."""
    spots = [spot for key in keys if (spot := known.find(key))]
    found = read_back(remote, spots, jobs=jobs, progress=progress)
    return [spot.key for spot, is_good, _ in found if not is_good]


def bad_here(store: Store, sizes: Mapping[bytes, int], progress: Progress = SILENT) -> set[bytes]:
    """Read files' objects of the store, given with their sizes; return those with no good copy."""
    progress.start("reading the store", sum(sizes.values()), "bytes")
    bad = set()
    for key, size in sizes.items():
        if not _is_good(store, key, size):
            bad.add(key)
        progress.advance(size)
    progress.done()
    return bad


def _is_good(store: Store, key: bytes, size: int) -> bool:
    oid = oid_in(key)
    with suppress(OSError, MlxError):
        if size < files.SMALL:
            store.read("blob", oid)
            return True
        if reading.read_content(store.path("blob", oid)).oid == oid:
            return True
    return packed_copy(store.packs, "blob", oid) is not None
