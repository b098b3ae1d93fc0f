"""Marks on a remote: what nothing seemed to need, and since when (docs/formats.md).

    indexes/<digest>.condemned   "MLXCOND1" | length of the header (8) | header, JSON | keys

A mark is named by the digest of its bytes. It ends for an object that a later index names.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from mlxrepo.codec import canonical, parse_json
from mlxrepo.errors import Damaged
from mlxrepo.hashing import ALGORITHM, CONDEMNED_CONTEXT, Oid, is_oid, keyed_oid
from mlxrepo.store.remoteindex import FORMAT, KEY_SIZE, Index, newer_format

MAGIC = b"MLXCOND1"
SUFFIX = ".condemned"
_LENGTH = struct.Struct("<Q")


class Mark(NamedTuple):
    """What was found unneeded at once: `since` is in nanoseconds, since 1970.

    `indexes` are those that were there then; `files` are named by no index.
    """

    since: int
    indexes: frozenset[str]
    files: frozenset[str]
    keys: frozenset[bytes]


def is_mark(name: str) -> bool:
    """Say whether a file beside the indexes is called as a mark is."""
    return name.endswith(SUFFIX) and is_oid(name.removesuffix(SUFFIX))


def encode(mark: Mark) -> tuple[str, bytes]:
    """Return the file name and the bytes of a mark."""
    header = canonical(
        {
            "format": FORMAT,
            "oid": ALGORITHM,
            "since": mark.since,
            "indexes": sorted(mark.indexes),
            "files": sorted(mark.files),
        }
    )
    data = MAGIC + _LENGTH.pack(len(header)) + header + b"".join(sorted(mark.keys))
    return _name(data) + SUFFIX, data


def decode(data: bytes, file: str) -> Mark:
    """Return the mark in a file of that name.

    Raises:
        Damaged: when the bytes are not what the name says.
        InputError: when it is of a newer format.
    """
    if _name(data) + SUFFIX != file or data[:7] != MAGIC[:7]:
        raise Damaged(f"the mark {file[:12]} of the remote holds other bytes than its name says")
    start = len(MAGIC) + _LENGTH.size
    size = _LENGTH.unpack_from(data, len(MAGIC))[0]
    try:
        header = parse_json(data[start : start + size], source=file)
        newer = header["format"] != FORMAT or header["oid"] != ALGORITHM or data[:8] != MAGIC
        if newer:
            raise newer_format(f"the mark {file[:12]} of the remote")
        names = frozenset(map(str, header["indexes"])), frozenset(map(str, header["files"]))
        since = int(header["since"])
    except (KeyError, TypeError, ValueError) as error:
        raise Damaged(f"the mark {file[:12]} of the remote has no header") from error
    rest = data[start + size :]
    cuts = range(0, len(rest), KEY_SIZE)
    return Mark(since, *names, frozenset(rest[at : at + KEY_SIZE] for at in cuts))


def _name(data: bytes) -> Oid:
    return keyed_oid(CONDEMNED_CONTEXT, data)


def ages(marks: Iterable[Mark], indexes: Mapping[str, Index]) -> dict[bytes, int]:
    """Return since when each condemned object is so.

    What an index names that came after a mark is condemned by it no more.
    """
    found: dict[bytes, int] = {}
    for mark in marks:
        keys = set(mark.keys)
        for name in indexes.keys() - mark.indexes:
            keys.difference_update(indexes[name].keys())
        for key in keys:
            found[key] = min(mark.since, found.get(key, mark.since))
    return found
