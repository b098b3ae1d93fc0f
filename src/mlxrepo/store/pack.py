"""Packs: one file with many small objects and its own table (docs/formats.md).

    "MLXPACK1" | object bytes, one after the other | table | footer
    table row  oid (32) kind (1) codec (1) offset (8) length (8) size (8), little endian, by oid
    footer     table offset (8) rows (8) BLAKE3 of the table (32) "MLXPEND1"

The pack is named by its table, so equal packs have equal names; its index is the table itself.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import NamedTuple

from mlxrepo.errors import Damaged
from mlxrepo.files import open_temp, publish, remove_quietly, write_all
from mlxrepo.hashing import PACK_CONTEXT, Oid, keyed_oid

MAGIC = b"MLXPACK1"
END = b"MLXPEND1"
ROW = struct.Struct("<32sBBQQQ")
FOOTER = struct.Struct("<QQ32s8s")
TARGET_SIZE = 32 << 20

KINDS = ("blob", "tree")
CODEC_RAW = 0


class Slot(NamedTuple):
    """Where an object lies in a pack; `length` as stored, `size` as the object is."""

    kind: str
    codec: int
    offset: int
    length: int
    size: int


def seal(rows: list[tuple[bytes, int, int, int, int, int]], offset: int) -> tuple[Oid, bytes]:
    """Return the name of a pack and what ends it, its table (at `offset`) and its footer.

    `rows` are binary oid, kind, codec, offset, stored length and size of each object.
    """
    table = b"".join(ROW.pack(*row) for row in sorted(rows))
    name = keyed_oid(PACK_CONTEXT, table)
    return name, table + FOOTER.pack(offset, len(rows), bytes.fromhex(name), END)


class PackWriter:
    """Writes one pack into a temporary file; `close` flushes and publishes it."""

    def __init__(self, temp_folder: str, pack_folder: str, *, flush: bool = True):
        self._folder = pack_folder
        self._flush = flush
        self._fd, self._temp = open_temp(temp_folder)
        self._rows: list[tuple[bytes, int, int, int]] = []
        self._buffer = bytearray(MAGIC)
        self._start = 0

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self._start + len(self._buffer)

    def add(self, kind: str, oid: Oid, data: bytes) -> None:
        """Append one object."""
        self._rows.append((bytes.fromhex(oid), KINDS.index(kind), self.size, len(data)))
        self._buffer += data
        if len(self._buffer) > 4 << 20:
            self._spill()

    def _spill(self) -> None:
        write_all(self._fd, self._buffer)
        self._start += len(self._buffer)
        self._buffer = bytearray()

    def close(self) -> str:
        """Write the table, flush, give the pack its name and return its path."""
        rows = [(oid, kind, CODEC_RAW, at, size, size) for oid, kind, at, size in self._rows]
        name, end = seal(rows, self.size)
        self._buffer += end
        self._spill()
        path = os.path.join(self._folder, f"{name}.pack")
        publish(self._fd, self._temp, path, flush=self._flush)
        os.close(self._fd)
        return path

    def abort(self) -> None:
        """Drop what was written, if it was not published."""
        os.close(self._fd)
        remove_quietly(self._temp)


class Pack:
    """A published pack: its table is held, the file is opened when something is read.

    So a store of a thousand packs does not need a thousand descriptors.
    """

    def __init__(self, path: str):
        self.path = path
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._table, self.rows, self._end = self._load(fd)
        finally:
            os.close(fd)

    def _load(self, fd: int) -> tuple[bytes, int, int]:
        """Return the table, its rows, and where the objects end."""
        size = os.fstat(fd).st_size
        if size < len(MAGIC) + FOOTER.size:
            raise self._damaged("it is too short")
        magic = os.pread(fd, len(MAGIC), 0)
        if magic != MAGIC:
            raise self._damaged("its beginning was changed, or it is of a newer mlx")
        offset, rows, digest, end = FOOTER.unpack(os.pread(fd, FOOTER.size, size - FOOTER.size))
        if end != END or offset + rows * ROW.size + FOOTER.size != size:
            raise self._damaged("its end does not fit")
        table = os.pread(fd, rows * ROW.size, offset)
        if bytes.fromhex(keyed_oid(PACK_CONTEXT, table)) != digest:
            raise self._damaged("its table was changed")
        return table, rows, offset

    def _damaged(self, why: str) -> Damaged:
        return Damaged(f"pack {os.path.basename(self.path)[:12]} is damaged: {why}")

    def items(self) -> list[tuple[Oid, Slot]]:
        """Return every object of the pack."""
        rows = ROW.iter_unpack(self._table)
        return [(Oid(oid.hex()), self._slot(*place)) for oid, *place in rows]

    def find(self, kind: str, oid: bytes) -> Slot | None:
        """Look one object up by its binary oid."""
        low, high = 0, self.rows
        while low < high:
            middle = (low + high) // 2
            if self._oid_at(middle) < oid:
                low = middle + 1
            else:
                high = middle
        while low < self.rows and self._oid_at(low) == oid:
            slot = self.slot(low)
            if slot.kind == kind:
                return slot
            low += 1
        return None

    def rows_by_key(self) -> Iterator[tuple[int, bytes]]:
        """Yield the number of each row with its kind byte and binary oid in one."""
        for row, (oid, kind, *_) in enumerate(ROW.iter_unpack(self._table)):
            yield row, bytes((kind,)) + oid

    def slot(self, row: int) -> Slot:
        """Return where the object of a row lies."""
        _, *place = ROW.unpack_from(self._table, row * ROW.size)
        return self._slot(*place)

    def _slot(self, kind: int, codec: int, offset: int, length: int, size: int) -> Slot:
        if kind >= len(KINDS) or offset < len(MAGIC) or offset + length > self._end:
            raise self._damaged("its table names what cannot be in it")
        return Slot(KINDS[kind], codec, offset, length, size)

    def _oid_at(self, row: int) -> bytes:
        start = row * ROW.size
        return self._table[start : start + 32]

    def read(self, slot: Slot, fd: int) -> bytes:
        """Return the stored bytes of one object from the open pack, not yet checked.

        Raises:
            Damaged: when the pack ends early or uses a codec this version does not know.
        """
        if slot.codec != CODEC_RAW:
            raise self._damaged(f"codec {slot.codec} is of a newer mlx")
        data = os.pread(fd, slot.length, slot.offset)
        if len(data) != slot.length:
            raise self._damaged("it ends early")
        return data
