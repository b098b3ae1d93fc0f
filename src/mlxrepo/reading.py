"""Reading files that others may be writing: one read that hashes, and copies on the way."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from typing import NamedTuple

from mlxrepo.errors import EnvironmentFailed
from mlxrepo.files import SMALL, Stat, open_regular, stat_of, write_all
from mlxrepo.hashing import Oid, blob_hasher, blob_oid
from mlxrepo.paths import display

CHUNK = 8 << 20  # big enough for BLAKE3 to feed two threads and for the kernel to read ahead

_FICLONE = 0x40049409  # linux/fs.h: share the extents of one file with another


class Content(NamedTuple):
    """What one read of a file saw: its name, its stat, and its bytes when it is small."""

    oid: Oid
    stat: Stat
    data: bytes | None


Tick = Callable[[int], None]


def read_content(path: str, *, sink: int | None = None, tick: Tick | None = None) -> Content:
    """Hash a file in one read; with `sink`, copy it to that descriptor on the way.

    `tick` is told after each piece how many bytes it had.

    A file under `SMALL` bytes comes back as data and is not copied. The file is looked at before
    and after: when it changed meanwhile it is read again, three times at most.

    Raises:
        EnvironmentFailed: when it will not hold still.
    """
    for _ in range(3):
        fd, before = open_regular(path)
        try:
            content = _read_once(fd, stat_of(before), sink, tick)
            if content and stat_of(os.fstat(fd)) == content.stat:
                return content
        finally:
            os.close(fd)
    raise EnvironmentFailed(
        f"{display(path)} changes while it is read",
        hint="wait until its writer is done, then again",
    )


def _read_once(fd: int, found: Stat, sink: int | None, tick: Tick | None) -> Content | None:
    """Read a file of the size that was found; None when it turns out to have another."""
    if found.size < SMALL:
        data = _read_small(fd, found.size)
        return Content(blob_oid(data), found, data) if len(data) == found.size else None
    if sink is None:
        oid, count = _hash_stream(fd, None, found.size, tick)
    else:
        oid, count = _copy_stream(fd, sink, found.size, tick)
    return Content(oid, found, None) if count == found.size else None


def _read_small(fd: int, size: int) -> bytes:
    data = os.read(fd, size + 1)
    while len(data) < size and (more := os.read(fd, size + 1 - len(data))):
        data += more
    return data


def _hash_stream(fd: int, sink: int | None, size: int, tick: Tick | None = None) -> tuple[Oid, int]:
    """Hash what follows in a file, writing it to `sink`; return its name and how much it was."""
    hasher = blob_hasher(size)
    buffer = bytearray(CHUNK)
    view = memoryview(buffer)
    total = 0
    while count := os.readv(fd, [buffer]):
        hasher.update(view[:count])
        total += count
        if sink is not None:
            write_all(sink, view[:count])
        if tick is not None:
            tick(count)
    return Oid(hasher.hexdigest()), total


def _copy_stream(source: int, target: int, size: int, tick: Tick | None = None) -> tuple[Oid, int]:
    """Make `target` a copy, sharing blocks where the disk can; return its name and its size."""
    os.lseek(target, 0, os.SEEK_SET)
    os.ftruncate(target, 0)
    if reflink(source, target):
        # The clone cannot change any more: its bytes are the ones that get the name.
        return _hash_stream(target, None, size, tick)
    return _hash_stream(source, target, size, tick)


def reflink(source: int, target: int) -> bool:
    """Let the file `target` share the blocks of `source`; say whether the disk could."""
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError:
        return False
    return True


def copy_verified(source: int, target: int, oid: Oid) -> bool:
    """Copy an object to `target`, sharing blocks where possible; say whether it was `oid`."""
    return _copy_stream(source, target, os.fstat(source).st_size)[0] == oid


def hash_open(fd: int) -> Oid:
    """Hash an open file from its beginning; the next read starts there again."""
    os.lseek(fd, 0, os.SEEK_SET)
    oid, _ = _hash_stream(fd, None, os.fstat(fd).st_size)
    os.lseek(fd, 0, os.SEEK_SET)
    return oid
