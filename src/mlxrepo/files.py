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
import shutil
import signal
import stat
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from mlxrepo.errors import EnvironmentFailed
from mlxrepo.paths import TEMP_PREFIX as TEMP_PREFIX
from mlxrepo.paths import display

FLUSH_DISK_FROM = 32  # flushing the whole disk once is cheaper than this many files
SMALL = 1 << 20  # below this a file is read whole and its object goes into a pack

# What says that this disk, or this user, cannot link here; then files are copied.
CANNOT_LINK = frozenset(
    (errno.EXDEV, errno.EPERM, errno.EACCES, errno.EMLINK, errno.ENOTSUP, errno.EOPNOTSUPP)
)

_OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
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
    _let_group_in(path, above or ".")
    sync_folder(above or ".")


def _let_group_in(path: str, above: str) -> None:
    """Give a new folder to the group where the one above is the group's: in a shared store."""
    rights = stat.S_ISGID | stat.S_IRWXG
    if os.stat(above).st_mode & rights == rights:
        os.chmod(path, stat.S_IMODE(os.stat(path).st_mode) | rights)


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


def publish(fd: int, temp: str, final: str, *, flush: bool = True) -> None:
    """Give an open temporary file its final name, read-only; keep what is already there."""
    failpoint("publish.before-flush")
    if flush:
        os.fsync(fd)
    failpoint("publish.before-rename")
    os.chmod(temp, 0o444)
    folder = os.path.dirname(final)
    make_folder(folder)
    if os.path.exists(final):
        os.unlink(temp)
        return
    os.rename(temp, final)
    if flush:
        sync_folder(folder)
    failpoint("publish.after-rename")


def adopt(path: str, found: Stat, final: str, *, flush: bool) -> Stat | None:
    """Publish a workspace file itself, by a hard link; it becomes read-only with it.

    None when the disk or the owner forbids it, or the file is no longer the one that was `found`.
    """
    make_folder(os.path.dirname(final))
    fd, before = open_regular(path)
    try:
        if stat_of(before) != found:
            return None
        os.fchmod(fd, 0o444)
        if flush:
            os.fsync(fd)
        failpoint("adopt.before-link")
        os.link(path, final, follow_symlinks=False)
        return stat_of(os.fstat(fd))
    except OSError as error:
        if error.errno in CANNOT_LINK:
            return None
        raise
    finally:
        os.close(fd)


def publish_all(place: str, items: Sequence[tuple[bytes, str]], fsync: str) -> None:
    """Write many small read-only files: all written, then all flushed, then all renamed.

    `place` is the folder for temporaries, each item the content and the final path; `fsync` is
    always or batch (both flush before the first rename) or off.
    """
    make_folder(place)
    place_fd = os.open(place, _OPEN_FOLDER)
    try:
        with temp_folder(place_fd) as workshop:
            for number, (data, _) in enumerate(items):
                _write_new(str(number), data, workshop)
            failpoint("publish-all.before-flush")
            if fsync != "off":
                _flush(workshop, len(items), each=fsync == "always")
            failpoint("publish-all.before-rename")
            _rename_all(workshop, [final for _, final in items], flush=fsync != "off")
    finally:
        os.close(place_fd)
    failpoint("publish-all.after-rename")


def _write_new(name: str, data: bytes, folder: int) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    fd = os.open(name, flags, 0o444, dir_fd=folder)
    try:
        write_all(fd, data)
    finally:
        os.close(fd)


def _flush(folder: int, number: int, *, each: bool) -> None:
    """Flush the files `0` to `number - 1` of a folder: one by one, or the disk when many."""
    if not each and number > FLUSH_DISK_FROM:
        sync_disk(folder)
        return
    for name in range(number):
        fd = os.open(str(name), os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def sync_disk(fd: int) -> None:
    """Flush the file system of an open file or folder (syncfs where the system has it)."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "syncfs"):
        os.sync()
    elif libc.syncfs(fd):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def _rename_all(workshop: int, finals: Sequence[str], *, flush: bool) -> None:
    folders = {os.path.dirname(final) for final in finals}
    for folder in folders:
        make_folder(folder)
    for number, final in enumerate(finals):
        if not os.path.exists(final):
            os.rename(str(number), final, src_dir_fd=workshop)
    for folder in folders if flush else ():
        sync_folder(folder)


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
        name = TEMP_PREFIX + os.urandom(8).hex()
        try:
            fd = create(name)
        except FileNotFoundError:  # taken for dead between being made and being opened
            if not os.fstat(place).st_nlink:
                raise
            continue
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
