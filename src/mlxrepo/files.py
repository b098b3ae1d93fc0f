"""Durable writes: the only module that creates, renames or removes files mlx depends on.

The order is always the same: a temporary file beside the target, its bytes flushed, a rename, the
folder flushed. A kill or a power cut at any point leaves the old file or the new one, and at worst
a temporary (temporaries.py), which the next writer in that folder removes.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from mlxrepo.errors import EnvironmentFailed
from mlxrepo.failpoints import failpoint as failpoint
from mlxrepo.paths import TEMP_PREFIX as TEMP_PREFIX
from mlxrepo.paths import display
from mlxrepo.temporaries import held_folder, hold_file, naming, new_name
from mlxrepo.temporaries import remove_dead as remove_dead
from mlxrepo.temporaries import temp_folder as temp_folder

FLUSH_DISK_FROM = 32  # flushing the whole disk once is cheaper than this many files
SMALL = 1 << 20  # below this a file is read whole and its object goes into a pack

# What says that this disk, or this user, cannot link here; then files are copied.
CANNOT_LINK = frozenset(
    (errno.EXDEV, errno.EPERM, errno.EACCES, errno.EMLINK, errno.ENOTSUP, errno.EOPNOTSUPP)
)

_OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


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


def sync_folders(paths: Iterable[str]) -> None:
    """Flush folders; those that are gone meanwhile had nothing in them."""
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            sync_folder(path)


def make_folder(path: str, *, flush: bool = True) -> None:
    """Create a folder and those above it, so that they survive a power cut."""
    if not path or os.path.isdir(path):
        return
    above = os.path.dirname(path)
    make_folder(above, flush=flush)
    try:
        os.mkdir(path)
    except FileExistsError:
        if not os.path.isdir(path):
            raise
        return
    _let_group_in(path, above or ".")
    if flush:
        sync_folder(above or ".")


_GROUPS = stat.S_ISGID | stat.S_IRWXG  # the rights of a folder in a shared store


def _is_groups(folder: str) -> bool:
    return os.stat(folder).st_mode & _GROUPS == _GROUPS


def _let_group_in(path: str, above: str) -> None:
    """Give a new folder to the group where the one above is the group's: in a shared store."""
    if _is_groups(above):
        os.chmod(path, stat.S_IMODE(os.stat(path).st_mode) | _GROUPS)


def write_all(fd: int, data: bytes | bytearray | memoryview) -> None:
    """Write every byte of `data`, whatever the system takes at a time."""
    view = memoryview(data)
    with naming(fd):
        while view:
            view = view[os.write(fd, view) :]


def write_atomic(path: str, data: bytes, *, mode: int = 0o644, flush: bool = True) -> None:
    """Replace the file at `path` by `data`; readers see the old bytes or the new ones.

    An existing file keeps its permission bits; a symlink keeps pointing where it does. Without
    `flush` a power cut may leave anything: for what is checked when read, and can be made again.
    """
    path = os.path.realpath(path)
    folder = os.path.dirname(path)
    with temp_file(folder, mode) as (fd, temp):
        _give_mode(fd, path)
        write_all(fd, data)
        if flush:
            os.fsync(fd)
        failpoint("write.before-rename")
        os.rename(temp, path)
    failpoint("write.after-rename")
    if flush:
        sync_folder(folder)


def _give_mode(fd: int, path: str) -> None:
    """Keep the permission bits of the file at `path`; in a group's folder the group can read it."""
    try:
        os.fchmod(fd, stat.S_IMODE(os.stat(path).st_mode))
    except FileNotFoundError:
        if _is_groups(os.path.dirname(path)):
            os.fchmod(fd, stat.S_IMODE(os.fstat(fd).st_mode) | stat.S_IRGRP)


def publish(fd: int, temp: str, final: str, *, flush: bool = True) -> None:
    """Give an open temporary file its final name, read-only; what is there already is kept."""
    failpoint("publish.before-flush")
    os.fchmod(fd, 0o444)
    if flush:
        with naming(fd):
            os.fsync(fd)
    folder = os.path.dirname(final)
    make_folder(folder)
    failpoint("publish.before-rename")
    if os.path.exists(final):
        _freshen(final)
        os.unlink(temp)
    else:
        os.rename(temp, final)
    failpoint("publish.after-rename")
    if flush:  # also what somebody else has just put there
        sync_folder(folder)


def _freshen(path: str) -> None:
    """Let an object that is wanted again count as new: its grace period begins now."""
    with contextlib.suppress(PermissionError, FileNotFoundError):  # another user's
        os.utime(path)


def adopt(path: str, found: Stat, final: str, *, flush: bool) -> Stat | None:
    """Publish a workspace file itself, by a hard link; it becomes read-only with it.

    None when the disk or the owner forbids it, when the object is here already, or when the file
    is no longer the one that was `found`; then it stays as it is.
    """
    make_folder(os.path.dirname(final))
    fd, before = open_regular(path)
    try:
        if stat_of(before) != found:
            return None
        linked = False
        try:
            linked = _link(fd, path, final, flush=flush)
        finally:
            if not linked:
                os.fchmod(fd, stat.S_IMODE(before.st_mode))
        return stat_of(os.fstat(fd)) if linked else None
    except PermissionError:  # another user's file
        return None
    finally:
        os.close(fd)


def _link(fd: int, path: str, final: str, *, flush: bool) -> bool:
    """Make the open file at `path` read-only and link it; say whether that was possible."""
    os.fchmod(fd, 0o444)
    if flush:
        os.fsync(fd)
    failpoint("adopt.before-link")
    try:
        os.link(path, final, follow_symlinks=False)
    except FileExistsError:
        _freshen(final)
        return False
    except OSError as error:
        if error.errno in CANNOT_LINK:
            return False
        raise
    failpoint("adopt.after-link")
    if flush:
        sync_folder(os.path.dirname(final))
    return True


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


def _write_new(name: str, data: bytes, folder: int) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    fd = os.open(name, flags, 0o444, dir_fd=folder)
    try:
        os.fchmod(fd, 0o444)  # whatever the umask
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
        if os.path.exists(final):
            _freshen(final)
        else:
            os.rename(str(number), final, src_dir_fd=workshop)
    failpoint("publish-all.after-rename")
    if flush:
        sync_folders(folders)


def open_temp(folder: str, mode: int = 0o644) -> tuple[int, str]:
    """Open a new temporary file in `folder`; it counts as alive until the descriptor is closed."""
    make_folder(folder)
    place = os.open(folder, _OPEN_FOLDER)
    try:
        remove_dead(place)
        fd, name = hold_file(place, mode)
        return fd, os.path.join(folder, name)
    finally:
        os.close(place)


@contextlib.contextmanager
def temp_file(folder: str, mode: int = 0o644) -> Iterator[tuple[int, str]]:
    """Open a new temporary file in `folder`; it is removed unless somebody renamed it."""
    fd, path = open_temp(folder, mode)
    try:
        with naming(fd):
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
        import shutil  # many commands do without, as below

        shutil.rmtree(path)


def move(source: str, target: str, *, flush: bool = True) -> None:
    """Rename a file, a link or a folder; from disk to disk a whole copy of it appears at once.

    A kill or a power cut leaves it at one of the two places, or whole at both. Who moves many
    things leaves `flush` to the end: first the folders they are in now, then those they were in.
    """
    folder, left = os.path.dirname(target) or ".", os.path.dirname(source) or "."
    make_folder(folder)
    failpoint("move.before-rename")
    try:
        os.rename(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _move_far(source, target)
        return
    failpoint("move.after-rename")
    if flush:  # in this order: it must not be gone here before it is there for good
        sync_folders(dict.fromkeys((folder, left)))


def _move_far(source: str, target: str) -> None:
    """Copy, flush, rename; only then remove the source."""
    folder = os.path.dirname(target) or "."
    place = os.open(folder, _OPEN_FOLDER)
    try:
        with held_folder(place) as (workshop, name):
            copy = os.path.join(folder, name, "copy")
            _copy(source, copy)
            sync_disk(workshop)
            failpoint("move.copied")
            os.rename(copy, target)
        os.fsync(place)
    finally:
        os.close(place)
    failpoint("move.before-remove")
    if os.path.isdir(source) and not os.path.islink(source):
        # Under the name of a dead temporary: half of a folder must not be taken for it.
        dead = os.path.join(os.path.dirname(source), new_name())
        os.rename(source, dead)
        source = dead
    remove_any(source)
    sync_folder(os.path.dirname(source) or ".")


def _copy(source: str, target: str) -> None:
    """Copy a file, a link or a folder with its permission bits and times."""
    import shutil

    if os.path.isdir(source) and not os.path.islink(source):
        os.mkdir(target)
        for name in os.listdir(source):
            _copy(os.path.join(source, name), os.path.join(target, name))
    else:
        shutil.copyfile(source, target, follow_symlinks=False)
    shutil.copystat(source, target, follow_symlinks=False)


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
