"""Durable writes: the only module that creates, renames or removes files mlx depends on.

The order is always the same: a temporary file beside the target, its bytes flushed, a rename, the
folder flushed. A kill at any point leaves the old file or the new one, and at worst a temporary
whose name starts with `TEMP_PREFIX`, which every scan passes over. Its writer holds a kernel lock
on it, so the next writer in that folder can tell what is dead, and removes it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import shutil
import signal
import stat
from collections.abc import Callable, Iterator
from typing import NamedTuple

from mlxrepo.errors import EnvironmentFailed
from mlxrepo.hashing import Oid, blob_hasher, blob_oid
from mlxrepo.paths import TEMP_PREFIX as TEMP_PREFIX
from mlxrepo.paths import display

CHUNK = 8 << 20  # big enough for BLAKE3 to feed two threads and for the kernel to read ahead
SMALL = 1 << 20  # below this a file is read whole and its object goes into a pack

_OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FICLONE = 0x40049409  # linux/fs.h: share the extents of one file with another
_FAILPOINT = os.environ.get("MLXREPO_FAILPOINT", "")


def failpoint(name: str) -> None:
    """Die here when MLXREPO_FAILPOINT names this point: how tests kill at every durable step."""
    if name == _FAILPOINT:
        os.kill(os.getpid(), signal.SIGKILL)


class Stat(NamedTuple):
    """What tells that a file is still the one that was read; times in nanoseconds."""

    size: int
    mtime: int
    ctime: int
    inode: int
    mode: int

    @property
    def executable(self) -> bool:
        """Say whether the owner may execute it."""
        return bool(self.mode & stat.S_IXUSR)


def stat_of(result: os.stat_result) -> Stat:
    """Keep of a stat what mlx compares."""
    return Stat(
        result.st_size, result.st_mtime_ns, result.st_ctime_ns, result.st_ino, result.st_mode
    )


def sync_folder(path: str) -> None:
    """Flush a folder, so that a rename in it survives a power cut."""
    fd = os.open(path, _OPEN_FOLDER)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_folder(path: str) -> None:
    """Create a folder and those above it, so that they survive a power cut."""
    if not path or os.path.isdir(path):
        return
    above = os.path.dirname(path)
    make_folder(above)
    try:
        os.mkdir(path)
    except FileExistsError:
        if not os.path.isdir(path):
            raise
        return
    sync_folder(above or ".")


def write_all(fd: int, data: bytes | bytearray | memoryview) -> None:
    """Write every byte of `data`, whatever the system takes at a time."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def write_atomic(path: str, data: bytes, *, mode: int = 0o644) -> None:
    """Replace the file at `path` by `data`; readers see the old bytes or the new ones.

    An existing file keeps its permission bits; a symlink keeps pointing where it does.
    """
    path = os.path.realpath(path)
    folder = os.path.dirname(path)
    with temp_file(folder, mode) as (fd, temp):
        with contextlib.suppress(FileNotFoundError):
            os.fchmod(fd, stat.S_IMODE(os.stat(path).st_mode))
        write_all(fd, data)
        os.fsync(fd)
        failpoint("write.before-rename")
        os.rename(temp, path)
    sync_folder(folder)
    failpoint("write.after-rename")


def publish(temp: str, final: str) -> None:
    """Give a flushed temporary file its final name, read-only; keep what is already there."""
    failpoint("publish.before-rename")
    os.chmod(temp, 0o444)
    folder = os.path.dirname(final)
    make_folder(folder)
    if os.path.exists(final):
        os.unlink(temp)
        return
    os.rename(temp, final)
    sync_folder(folder)
    failpoint("publish.after-rename")


def open_temp(folder: str, mode: int = 0o644) -> tuple[int, str]:
    """Open a new temporary file in `folder`; it counts as alive until the descriptor is closed."""
    make_folder(folder)
    place = os.open(folder, _OPEN_FOLDER)
    try:
        remove_dead(place)
        fd, name = _create_held(place, lambda name: _create_file(name, mode, place))
        return fd, os.path.join(folder, name)
    finally:
        os.close(place)


@contextlib.contextmanager
def temp_file(folder: str, mode: int = 0o644) -> Iterator[tuple[int, str]]:
    """Open a new temporary file in `folder`; it is removed unless somebody renamed it."""
    fd, path = open_temp(folder, mode)
    try:
        yield fd, path
    finally:
        os.close(fd)
        remove_quietly(path)


@contextlib.contextmanager
def temp_folder(place: int) -> Iterator[int]:
    """Make a new temporary folder in the open folder `place`, removed with what is still in it."""
    remove_dead(place)
    fd, name = _create_held(place, lambda name: _create_folder(name, place))
    try:
        yield fd
    finally:
        shutil.rmtree(name, ignore_errors=True, dir_fd=place)
        os.close(fd)


def _create_held(place: int, create: Callable[[str], int]) -> tuple[int, str]:
    """Create something under a fresh name and lock it, before anybody takes it for dead."""
    while True:
        name = TEMP_PREFIX + secrets.token_hex(8)
        fd = create(name)
        with contextlib.suppress(OSError):  # no locks on this disk: then nothing looks dead either
            fcntl.flock(fd, fcntl.LOCK_EX)
        if os.fstat(fd).st_nlink:
            return fd, name
        os.close(fd)


def _create_file(name: str, mode: int, place: int) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    return os.open(name, flags, mode, dir_fd=place)


def _create_folder(name: str, place: int) -> int:
    os.mkdir(name, 0o777, dir_fd=place)
    return os.open(name, _OPEN_FOLDER | os.O_NOFOLLOW, dir_fd=place)


def remove_dead(place: int) -> None:
    """Remove from an open folder the temporaries whose writer was killed."""
    with os.scandir(place) as items:
        names = [item.name for item in items if item.name.startswith(TEMP_PREFIX)]
    for name in names:
        try:
            fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=place)
        except OSError:
            continue  # gone meanwhile, or not ours to touch
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if stat.S_ISDIR(os.fstat(fd).st_mode):
                shutil.rmtree(name, dir_fd=place)
            else:
                os.unlink(name, dir_fd=place)
        except OSError:
            pass  # its writer lives, or it cannot be removed: then it is in nobody's way
        finally:
            os.close(fd)


def remove_quietly(path: str) -> None:
    """Remove a file if it is there."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def remove_any(path: str) -> None:
    """Remove a file, a link or a whole folder if it is there; links are not followed."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    except (IsADirectoryError, PermissionError):
        if not os.path.isdir(path) or os.path.islink(path):
            raise
        shutil.rmtree(path)


def move(source: str, target: str) -> None:
    """Rename `source` to `target`, or copy and remove it when they are on different disks."""
    make_folder(os.path.dirname(target))
    try:
        os.rename(source, target)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EBUSY):
            raise
        shutil.move(source, target)


def open_regular(path: str, dir_fd: int | None = None) -> tuple[int, os.stat_result]:
    """Open a regular file for reading; never follow a link, never block on a FIFO.

    Raises:
        EnvironmentFailed: when it is something else.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    fd = os.open(path, flags, dir_fd=dir_fd)
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode):
        os.close(fd)
        raise EnvironmentFailed(f"{display(path)} turned into something that is not a file")
    return fd, found


class Content(NamedTuple):
    """What one read of a file saw: its name, its stat, and its bytes when it is small."""

    oid: Oid
    stat: Stat
    data: bytes | None


def read_content(path: str, *, sink: int | None = None) -> Content:
    """Hash a file in one read; with `sink`, copy it to that descriptor on the way.

    A file under `SMALL` bytes comes back as data and is not copied. The file is looked at before
    and after: when it changed meanwhile it is read again, three times at most.

    Raises:
        EnvironmentFailed: when it will not hold still.
    """
    for _ in range(3):
        fd, before = open_regular(path)
        try:
            content = _read_once(fd, stat_of(before), sink)
            if content and stat_of(os.fstat(fd)) == content.stat:
                return content
        finally:
            os.close(fd)
    raise EnvironmentFailed(
        f"{display(path)} changes while it is read",
        hint="wait until its writer is done, then again",
    )


def _read_once(fd: int, found: Stat, sink: int | None) -> Content | None:
    """Read a file of the size that was found; None when it turns out to have another."""
    if found.size < SMALL:
        data = _read_small(fd, found.size)
        return Content(blob_oid(data), found, data) if len(data) == found.size else None
    if sink is None:
        oid, count = _hash_stream(fd, None, found.size)
    else:
        oid, count = _copy_stream(fd, sink, found.size)
    return Content(oid, found, None) if count == found.size else None


def _read_small(fd: int, size: int) -> bytes:
    data = os.read(fd, size + 1)
    while len(data) < size and (more := os.read(fd, size + 1 - len(data))):
        data += more
    return data


def _hash_stream(fd: int, sink: int | None, size: int) -> tuple[Oid, int]:
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
    return Oid(hasher.hexdigest()), total


def _copy_stream(source: int, target: int, size: int) -> tuple[Oid, int]:
    """Make `target` a copy, sharing blocks where the disk can; return its name and its size."""
    os.lseek(target, 0, os.SEEK_SET)
    os.ftruncate(target, 0)
    if reflink(source, target):
        # The clone cannot change any more: its bytes are the ones that get the name.
        return _hash_stream(target, None, size)
    return _hash_stream(source, target, size)


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
