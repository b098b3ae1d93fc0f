"""Temporaries: files and folders that nobody misses when their writer is killed.

Their names start with `TEMP_PREFIX`, which every scan passes over, and their writer holds a kernel
lock on them: so the next writer in the folder can tell what is dead, and removes it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Callable, Iterator

from mlxrepo.paths import TEMP_PREFIX

_OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@contextlib.contextmanager
def naming(fd: int) -> Iterator[None]:
    """Let an error of the system say in which folder it was, when it names no whole path.

    `fd` is the folder, or a file in it. Temporaries, which nobody knows, are left out.
    """
    try:
        yield
    except OSError as error:
        if error.errno and not os.path.isabs(error.filename or ""):
            with contextlib.suppress(OSError):  # only Linux tells
                path = os.readlink(f"/proc/self/fd/{fd}").partition(f"/{TEMP_PREFIX}")[0]
                if os.path.isabs(path):  # and no pipe
                    error.filename = path
        raise


def new_name() -> str:
    """Return a name that no temporary has."""
    return TEMP_PREFIX + os.urandom(8).hex()


def hold_file(place: int, mode: int) -> tuple[int, str]:
    """Make a file in the open folder `place`; it is alive until its descriptor is closed."""
    with naming(place):
        return _create_held(place, lambda name: _create_file(name, mode, place))


@contextlib.contextmanager
def held_folder(place: int) -> Iterator[tuple[int, str]]:
    """Make a folder in the open folder `place`, removed with what is still in it.

    Yields its descriptor and its name.
    """
    remove_dead(place)
    with naming(place):
        fd, name = _create_held(place, lambda name: _create_folder(name, place))
    try:
        with naming(place):
            yield fd, name
    finally:
        _remove_folder(name, place)
        os.close(fd)


@contextlib.contextmanager
def temp_folder(place: int) -> Iterator[int]:
    """Make a folder in the open folder `place`, removed with what is still in it."""
    with held_folder(place) as (fd, _):
        yield fd


def _create_held(place: int, create: Callable[[str], int]) -> tuple[int, str]:
    """Create something under a fresh name and lock it, before anybody takes it for dead."""
    while True:
        name = new_name()
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
    return os.open(name, _OPEN_FOLDER, dir_fd=place)


def _remove_folder(name: str, place: int) -> None:
    import shutil  # what only looks around does without

    shutil.rmtree(name, ignore_errors=True, dir_fd=place)


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
                _remove_folder(name, place)
            else:
                os.unlink(name, dir_fd=place)
        except OSError:
            pass  # its writer lives, or it cannot be removed: then it is in nobody's way
        finally:
            os.close(fd)
