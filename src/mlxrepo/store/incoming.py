"""Large objects on their way here: in parts, side by side, each noted when it has arrived.

    incoming/<oid>         the bytes, where they belong
    incoming/<oid>.parts   one byte for each part: 1 when it is there

A download that was cut off goes on where it was. Nothing is believed: the whole is hashed before
it becomes an object.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from mlxrepo import files, reading
from mlxrepo.errors import Damaged, EnvironmentFailed
from mlxrepo.failpoints import failpoint
from mlxrepo.hashing import Oid
from mlxrepo.store.objects import Store
from mlxrepo.store.parallel import parallel
from mlxrepo.store.space import free_bytes, no_room
from mlxrepo.store.wrong import Wrong

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
    wrong: Wrong,
) -> None:
    """Fetch a large blob through `read(start, end)` and publish it in the store.

    What arrives with other bytes goes to `wrong`, and is asked for once more.

    Raises:
        Damaged: when it is not what the name says, twice.
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
            wrong.take(oid, path, size)
            files.remove_quietly(f"{path}.parts")
        if last:
            raise Damaged(f"blob {oid[:12]} on the remote holds other bytes than its name says")


@contextmanager
def _held(store: Store, oid: Oid) -> Iterator[tuple[int, int, str]]:
    folder = os.path.join(store.root, FOLDER)
    files.make_folder(folder)
    path = os.path.join(folder, oid)
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        parts = os.open(f"{path}.parts", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            if not _lock(parts):
                raise EnvironmentFailed(
                    f"another mlx is fetching {oid[:12]}", hint="wait until it is done, then again"
                )
            # Who held it before may have published or removed what was opened here.
            if _is_at(fd, path) and _is_at(parts, f"{path}.parts"):
                yield fd, parts, path
                return
        finally:
            os.close(fd)
            os.close(parts)


def _lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(fd: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.lstat(path))
    except FileNotFoundError:
        return False


class Abandoned(NamedTuple):
    """A download that was cut off: its file, and the bytes that it takes."""

    path: str
    size: int


def abandoned(root: str, before: int) -> list[Abandoned]:
    """Return downloads that nobody goes on with, untouched since `before` (nanoseconds)."""
    folder = os.path.join(root, FOLDER)
    found = []
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
        path = os.path.join(folder, name)
        with suppress(FileNotFoundError):
            seen = os.lstat(path)
            if seen.st_mtime_ns < before and not _is_held(path.removesuffix(".parts")):
                found.append(Abandoned(path, seen.st_blocks * 512))
    return found


def discard(found: Iterable[Abandoned]) -> None:
    """Remove such downloads, but for those that somebody has taken up meanwhile."""
    for item in found:
        with suppress(FileNotFoundError), _locked(item.path.removesuffix(".parts")) as free:
            if free:
                os.unlink(item.path)


def _is_held(path: str) -> bool:
    with _locked(path) as free:
        return not free


@contextmanager
def _locked(path: str) -> Iterator[bool]:
    """Lock a download for a moment, and say whether that could be done."""
    try:
        fd = os.open(f"{path}.parts", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        yield True
        return
    try:
        yield _lock(fd)
    finally:
        os.close(fd)


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
    for _ in range(2):
        data = read(start, end)
        if len(data) == end - start:
            break
    else:
        raise Damaged("a part of a large object on the remote is cut off")
    done = 0
    while done < len(data):
        done += os.pwrite(fd, memoryview(data)[done:], start + done)
    return number
