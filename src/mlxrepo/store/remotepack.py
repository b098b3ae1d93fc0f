"""Packs on their way: made in memory, each object compressed where that helps."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import NamedTuple

from mlxrepo.errors import Damaged, InputError
from mlxrepo.hashing import Oid
from mlxrepo.store.copies import oid_of
from mlxrepo.store.pack import CODEC_RAW, KINDS, MAGIC, seal
from mlxrepo.store.remoteindex import PACKED, Spot

CODEC_ZSTD = 1
LEVEL = 3
WORTH = 0.9  # compressed only when no more than this part is left
PACKED_MAX = 64 << 20  # bytes; nothing in a pack is larger, whatever it says of itself
SMALLEST = 64  # bytes; below this there is nothing to gain


class Made(NamedTuple):
    """A pack in memory: its name, its bytes, and where its objects lie."""

    name: Oid
    data: bytes
    spots: list[Spot]


def make(objects: Sequence[tuple[bytes, bytes]]) -> Made:
    """Make a pack of objects, given as (key, bytes)."""
    import zstandard

    compressor = zstandard.ZstdCompressor(level=LEVEL)
    buffer = bytearray(MAGIC)
    rows, spots = [], []
    for key, data in objects:
        codec, stored = CODEC_RAW, data
        if len(data) >= SMALLEST:
            smaller = compressor.compress(data)
            if len(smaller) <= len(data) * WORTH:
                codec, stored = CODEC_ZSTD, smaller
        rows.append((key[1:], key[0], codec, len(buffer), len(stored), len(data)))
        buffer += stored
    name, end = seal(rows, len(buffer))
    buffer += end
    for (key, _), (_, _, codec, offset, length, size) in zip(objects, rows, strict=True):
        spots.append(Spot(key, PACKED, codec, False, name, offset, length, size))
    return Made(name, bytes(buffer), spots)


def decode(spot: Spot, stored: bytes) -> bytes:
    """Return the bytes of an object as they were packed, checked against its name.

    Raises:
        Damaged: when they are others.
        InputError: for a codec that this mlx does not know.
    """
    kind, oid = KINDS[spot.key[0]], Oid(spot.key[1:].hex())
    data = stored
    if spot.codec == CODEC_ZSTD:
        import zstandard

        data = b""
        with contextlib.suppress(zstandard.ZstdError):
            if zstandard.frame_content_size(stored) == spot.size <= PACKED_MAX:
                data = zstandard.ZstdDecompressor().decompress(stored)
    elif spot.codec != CODEC_RAW:
        raise InputError(
            f"{kind} {oid[:12]} is stored in codec {spot.codec}, which this mlx does not know",
            hint="pip install --upgrade mlxrepo",
        )
    if len(data) != spot.size or oid_of(kind, data) != oid:
        raise Damaged(f"{kind} {oid[:12]} on the remote holds other bytes than its name says")
    return data
