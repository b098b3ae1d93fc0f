"""Large objects on their way here: in parts, side by side, each noted when it has arrived.

    incoming/<oid>         the bytes, where they belong
    incoming/<oid>.parts   one byte for each part: 1 when it is there

A download that was cut off goes on where it was. Nothing is believed: the whole is hashed before
it becomes an object.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mlxrepo import files, reading
from mlxrepo.errors import Damaged, EnvironmentFailed
from mlxrepo.failpoints import failpoint
from mlxrepo.hashing import Oid
from mlxrepo.store.objects import Store
from mlxrepo.store.parallel import parallel
from mlxrepo.store.space import free_bytes, no_room

FOLDER = "incoming"
PART = 8 << 20

Read = Callable[[int, int], bytes]


def receive(
    store: Store,
    oid: Oid,
    size: int,
    read: Read,
    jobs: int,
    advance: Callable[[int], None],
    stop: Callable[[], None],
) -> None:
    """Fetch a large blob through `read(start, end)` and publish it in the store.

    Raises:
        Damaged: when what arrived is not what the name says, twice; nothing of it is kept.
        EnvironmentFailed: when there is no room, or another process is fetching it.
    """
    for last in (False, True):
        with _held(store, oid) as (fd, parts, path):
            _check_room(store, fd, size)
            os.ftruncate(fd, size)
            os.ftruncate(parts, -(-size // PART))
            for arrived in parallel(
                lambda at: _part(fd, at, size, read), _lacking(parts), jobs, stop
            ):
                os.pwrite(parts, b"\1", arrived)
                failpoint("fetch.arrived")
                advance(min(size, (arrived + 1) * PART) - arrived * PART)
            if reading.hash_open(fd) == oid:
                files.publish(fd, path, store.path("blob", oid), flush=store.fsync != "off")
                store.note_new("blob", oid)
                files.remove_quietly(f"{path}.parts")
                return
            files.remove_quietly(path)
            files.remove_quietly(f"{path}.parts")
        if last:
            raise Damaged(f"blob {oid[:12]} on the remote holds other bytes than its name says")


@contextmanager
def _held(store: Store, oid: Oid) -> Iterator[tuple[int, int, str]]:
    folder = os.path.join(store.root, FOLDER)
    files.make_folder(folder)
    path = os.path.join(folder, oid)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    parts = os.open(f"{path}.parts", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(parts, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise EnvironmentFailed(
                f"another mlx is fetching {oid[:12]}", hint="wait until it is done, then again"
            ) from None
        yield fd, parts, path
    finally:
        os.close(fd)
        os.close(parts)


def _check_room(store: Store, fd: int, size: int) -> None:
    needed = size - os.fstat(fd).st_blocks * 512
    free = free_bytes(store.root)
    if needed > free:
        raise no_room(needed, free, store.root)


def _lacking(parts: int) -> list[int]:
    there = os.pread(parts, os.fstat(parts).st_size, 0)
    return [number for number, byte in enumerate(there) if byte != 1]


def _part(fd: int, number: int, size: int, read: Read) -> int:
    start, end = number * PART, min(size, (number + 1) * PART)
    data = read(start, end)
    if len(data) != end - start:
        raise Damaged("a part of a large object on the remote is cut off")
    done = 0
    while done < len(data):
        done += os.pwrite(fd, memoryview(data)[done:], start + done)
    return number
