"""Durable writes: the only module that creates, renames or removes files mlx depends on.

The order is always the same: a temporary file beside the target, its bytes flushed, a rename, the
folder flushed. A kill at any point leaves the old file or the new one, and at worst a temporary
whose name starts with `TEMP_PREFIX`, which every scan passes over and the next writer removes.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import signal
import stat
from collections.abc import Iterator
from typing import NamedTuple

from mlxrepo.errors import EnvironmentFailed
from mlxrepo.hashing import Oid, blob_hasher, blob_oid
from mlxrepo.paths import display

TEMP_PREFIX = ".mlx-tmp-"
CHUNK = 8 << 20  # big enough for BLAKE3 to feed two threads and for the kernel to read ahead
SMALL = 1 << 20  # below this a file is read whole and its object goes into a pack

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


def temp_name() -> str:
    """Return a fresh name for a temporary file or folder."""
    return TEMP_PREFIX + secrets.token_hex(8)


def sync_folder(path: str) -> None:
    """Flush a folder, so that a rename in it survives a power cut."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_folder(path: str) -> None:
    """Create a folder and those above it."""
    os.makedirs(path, exist_ok=True)


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
    with contextlib.suppress(FileNotFoundError):
        mode = stat.S_IMODE(os.stat(path).st_mode)
    folder = os.path.dirname(path)
    temp = os.path.join(folder, temp_name())
    fd = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        try:
            write_all(fd, data)
            os.fsync(fd)
        finally:
            os.close(fd)
        failpoint("write.before-rename")
        os.rename(temp, path)
    except BaseException:
        remove_quietly(temp)
        raise
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


@contextlib.contextmanager
def temp_file(folder: str) -> Iterator[tuple[int, str]]:
    """Open a new temporary file in `folder`; it is removed unless somebody renamed it."""
    make_folder(folder)
    path = os.path.join(folder, temp_name())
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        yield fd, path
    finally:
        os.close(fd)
        remove_quietly(path)


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
            if stat_of(os.fstat(fd)) == content.stat:
                return content
        finally:
            os.close(fd)
    raise EnvironmentFailed(
        f"{display(path)} changes while it is read",
        hint="wait until its writer is done, then again",
    )


def _read_once(fd: int, found: Stat, sink: int | None) -> Content:
    if found.size < SMALL:
        data = _read_small(fd, found.size)
        return Content(blob_oid(data), found, data)
    if sink is None:
        return Content(_hash_stream(fd, None, found.size), found, None)
    os.lseek(sink, 0, os.SEEK_SET)
    os.ftruncate(sink, 0)
    if reflink(fd, sink):
        # The clone cannot change any more: its bytes are the ones that get the name.
        return Content(_hash_stream(sink, None, found.size), found, None)
    return Content(_hash_stream(fd, sink, found.size), found, None)


def _read_small(fd: int, size: int) -> bytes:
    data = os.read(fd, size + 1)
    if len(data) == size:
        return data
    parts = [data]
    while data := os.read(fd, SMALL):
        parts.append(data)
    return b"".join(parts)


def _hash_stream(fd: int, sink: int | None, size: int) -> Oid:
    hasher = blob_hasher(size)
    buffer = bytearray(CHUNK)
    view = memoryview(buffer)
    while count := os.readv(fd, [buffer]):
        hasher.update(view[:count])
        if sink is not None:
            write_all(sink, view[:count])
    return Oid(hasher.hexdigest())


def reflink(source: int, target: int) -> bool:
    """Let the file `target` share the blocks of `source`; say whether the disk could."""
    import fcntl

    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError:
        return False
    return True


def copy_verified(source: int, target: int, oid: Oid, size: int) -> bool:
    """Copy an object to `target`, sharing blocks where possible; say whether it was `oid`."""
    if reflink(source, target):
        return _hash_stream(target, None, size) == oid
    return _hash_stream(source, target, size) == oid
