"""Indexes of a remote: what one push put there, and where (docs/formats.md).

    "MLXINDX1" | length of the header (8) | header, JSON | rows
    row  kind (1) oid (32) form (1) codec (1) flags (1) pack (4) offset (8) length (8) size (8)

Rows are sorted by kind and oid, `pack` counts in the header's list. An index is named by the
digest of its bytes, written last, and never changed.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

from mlxrepo.codec import canonical, parse_json
from mlxrepo.errors import Damaged, InputError, MlxError
from mlxrepo.hashing import ALGORITHM, INDEX_CONTEXT, Oid, is_oid, keyed_oid

MAGIC = b"MLXINDX1"
FORMAT = 1
LENGTH = struct.Struct("<Q")
ROW = struct.Struct("<33sBBBIQQQ")
KEY_SIZE = 33

WHOLE, PACKED, CHUNKED = range(3)  # forms: a file of its own, in a pack, a list of chunks (later)
CLOSED = 1  # flag: all that a tree reaches is on this remote too
BULK = 2_000  # after so many questions one table costs less than asking each index


class Spot(NamedTuple):
    """Where an object lies on a remote; `pack` is "" for one in a file of its own.

    `length` is what is stored, `size` what the object is, both in bytes.
    """

    key: bytes
    form: int
    codec: int
    closed: bool
    pack: str
    offset: int
    length: int
    size: int


def encode(spots: Iterable[Spot]) -> tuple[Oid, bytes]:
    """Return the name and the bytes of an index."""
    ordered = sorted(spots)
    packs = sorted({spot.pack for spot in ordered if spot.pack})
    numbers = {name: number for number, name in enumerate(packs)}
    header = canonical({"format": FORMAT, "oid": ALGORITHM, "packs": packs})
    rows = b"".join(
        ROW.pack(s.key, s.form, s.codec, CLOSED * s.closed, numbers.get(s.pack, 0), *s[5:])
        for s in ordered
    )
    data = MAGIC + LENGTH.pack(len(header)) + header + rows
    return keyed_oid(INDEX_CONTEXT, data), data


class Index:
    """One index, looked up where it lies in memory."""

    def __init__(self, data: bytes, name: str):
        """Take the bytes of an index that is called `name`.

        Raises:
            Damaged: when they are not what the name says.
            InputError: when it is of a newer format.
        """
        if keyed_oid(INDEX_CONTEXT, data) != name:
            raise damaged_index(name)
        start = len(MAGIC) + LENGTH.size
        if data[:7] != MAGIC[:7] or len(data) < start:
            raise Damaged(f"index {name[:12]} of the remote is none")
        size = LENGTH.unpack_from(data, len(MAGIC))[0]
        try:
            header = parse_json(data[start : start + size], source=name)
            newer = header["format"] != FORMAT or header["oid"] != ALGORITHM
            self._packs = [str(pack) for pack in header["packs"]]
        except (MlxError, KeyError, TypeError):
            raise Damaged(f"index {name[:12]} of the remote has no header") from None
        if newer or data[:8] != MAGIC:
            raise newer_format(f"index {name[:12]} of the remote")
        if not all(map(is_oid, self._packs)) or (len(data) - start - size) % ROW.size:
            raise Damaged(f"index {name[:12]} of the remote is malformed")
        self._rows = memoryview(data)[start + size :]
        self.count = len(self._rows) // ROW.size

    def find(self, key: bytes) -> Spot | None:
        """Return where the object of a key lies."""
        low, high = 0, self.count
        while low < high:
            middle = (low + high) // 2
            if self._key(middle) < key:
                low = middle + 1
            else:
                high = middle
        return self.spot(low) if low < self.count and self._key(low) == key else None

    def keys(self) -> Iterator[bytes]:
        """Yield the keys in order."""
        return (row[0] for row in ROW.iter_unpack(self._rows))

    def spot(self, row: int) -> Spot:
        """Return one row."""
        key, form, codec, flags, pack, *rest = ROW.unpack_from(self._rows, row * ROW.size)
        name = self._packs[pack] if form == PACKED and pack < len(self._packs) else ""
        return Spot(key, form, codec, bool(flags & CLOSED), name, *rest)

    def _key(self, row: int) -> bytes:
        start = row * ROW.size
        return bytes(self._rows[start : start + KEY_SIZE])


class Known:
    """What all indexes of a remote say together, but for the objects that are `hidden`.

    `sweeps` tell one gc of the remote from the next.
    """

    def __init__(
        self,
        indexes: Mapping[str, Index],
        hidden: Collection[bytes] = frozenset(),
        sweeps: frozenset[str] = frozenset(),
    ):
        self.indexes = indexes
        self.sweeps = sweeps
        self._hidden = hidden
        self._asked = 0
        self._table: dict[bytes, Index] | None = None

    def find(self, key: bytes) -> Spot | None:
        """Return where an object lies; a copy that is said to be closed comes first."""
        if key in self._hidden:
            return None
        if self._table is None and self._asked * len(self.indexes) < BULK:
            self._asked += 1
            spots = [spot for index in self.indexes.values() if (spot := index.find(key))]
            return max(spots, key=lambda spot: spot.closed, default=None)
        index = self._all().get(key)
        return index.find(key) if index else None

    def others(self, spot: Spot) -> list[Spot]:
        """Return the other places where the object of a spot lies."""
        found = (index.find(spot.key) for index in self.indexes.values())
        return [other for other in found if other and other[4:6] != spot[4:6]]

    def has(self, key: bytes) -> bool:
        """Say whether an object is there."""
        return self.find(key) is not None

    def _all(self) -> dict[bytes, Index]:
        if self._table is None:
            self._table = {}
            for index in self.indexes.values():
                for row, key in enumerate(index.keys()):
                    if key not in self._table or index.spot(row).closed:
                        self._table[key] = index
        return self._table


def damaged_index(name: str) -> Damaged:
    """Return the error for an index whose bytes have another name."""
    return Damaged(
        f"index {name[:12]} of the remote holds other bytes than its name says",
        hint="push again from a clone that has the data, then delete that file of indexes/",
    )


def newer_format(what: str) -> InputError:
    """Return the error for what a newer mlx wrote."""
    return InputError(
        f"{what} is of a newer format than this mlx reads, which is {FORMAT}",
        hint="pip install --upgrade mlxrepo",
    )
