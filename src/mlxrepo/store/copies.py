"""All copies of an object: while one of them is good, a damaged one does no harm."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mlxrepo.errors import Damaged
from mlxrepo.hashing import Oid, blob_oid, tree_oid
from mlxrepo.store.packs import Packs


def oid_of(kind: str, data: bytes) -> Oid:
    """Name bytes as an object of `kind` (blob or tree)."""
    return blob_oid(data) if kind == "blob" else tree_oid(data)


def damaged(kind: str, oid: Oid) -> Damaged:
    """Return the error for an object whose bytes have another name."""
    return Damaged(
        f"{kind} {oid[:12]} in the store holds other bytes than its name says",
        hint="mlx fsck --repair",
    )


def read_good(packs: Packs, path: str, kind: str, oid: Oid) -> bytes | None:
    """Return the bytes of an object, from its file at `path` when they are not good in a pack.

    None when it is nowhere.

    Raises:
        Damaged, OSError: when there are copies, and none is good.
    """
    failure: Exception | None = None
    ways: tuple[Callable[[], bytes | None], ...] = (
        lambda: _first_packed(packs, kind, oid),
        lambda: _read_file(path),
    )
    for read in ways:
        try:
            data = read()
        except FileNotFoundError:
            continue  # packed anew since it was listed, or never a file of its own
        except (Damaged, OSError) as error:
            failure = failure or error
            continue
        if data is not None and oid_of(kind, data) == oid:
            return data
        if data is not None:
            failure = failure or damaged(kind, oid)
    if failure is None:
        return None
    data = packed_copy(packs, kind, oid)
    if data is None:
        raise failure
    return data


def _first_packed(packs: Packs, kind: str, oid: Oid) -> bytes | None:
    found = packs.find(kind, oid)
    return packs.read(*found) if found else None


def _read_file(path: str) -> bytes:
    with open(path, "rb") as stream:
        return stream.read()


def packed_copy(packs: Packs, kind: str, oid: Oid) -> bytes | None:
    """Return the bytes of an object from any pack that has them right."""
    return next((data for data in _packed(packs, kind, oid) if oid_of(kind, data) == oid), None)


def _packed(packs: Packs, kind: str, oid: Oid) -> Iterator[bytes]:
    for pack in packs.all().values():
        try:
            slot = pack.find(kind, bytes.fromhex(oid))
            if slot:
                yield packs.read(pack, slot)
        except (Damaged, OSError):
            continue
