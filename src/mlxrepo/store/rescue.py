"""What files of a remote hold that no index names: packs say it themselves, blobs by their name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mlxrepo.hashing import PACK_CONTEXT, Oid, is_oid, keyed_oid
from mlxrepo.store.pack import END, FOOTER, KINDS, ROW
from mlxrepo.store.remote import OBJECTS, PACKS, Remote
from mlxrepo.store.remoteindex import PACKED, WHOLE, Spot
from mlxrepo.store.survey import BLOB


def rescued(remote: Remote, files: Mapping[str, int]) -> Iterator[Spot]:
    """Yield what lies in files, given with their sizes; a large blob is read and hashed for it.

    A damaged table, and a blob of other bytes than its name says, yield nothing.
    """
    for file, size in sorted(files.items()):
        folder, _, name = file.partition("/")
        if folder == PACKS and is_oid(pack := name.removesuffix(".pack")):
            yield from _packed(remote, file, pack, size)
        elif (
            folder == OBJECTS
            and is_oid(oid := name.replace("/", ""))
            and remote.holds(Oid(oid), size)
        ):
            yield Spot(BLOB + bytes.fromhex(oid), WHOLE, 0, False, "", 0, size, size)


def _packed(remote: Remote, file: str, pack: str, size: int) -> Iterator[Spot]:
    if size < FOOTER.size:
        return
    footer = remote.door.read_range(file, size - FOOTER.size, size)
    if len(footer) != FOOTER.size:
        return
    start, count, digest, end = FOOTER.unpack(footer)
    if end != END or digest.hex() != pack or start + count * ROW.size + FOOTER.size != size:
        return
    table = remote.door.read_range(file, start, size - FOOTER.size)
    if len(table) != count * ROW.size or keyed_oid(PACK_CONTEXT, table) != pack:
        return
    for oid, kind, codec, offset, length, full in ROW.iter_unpack(table):
        if kind < len(KINDS):
            yield Spot(bytes([kind]) + oid, PACKED, codec, False, pack, offset, length, full)
