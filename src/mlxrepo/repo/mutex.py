"""The mutex: one writer of a worktree's committed files at a time, for moments.

A kernel lock on an open file: it goes with its holder, so a dead one never blocks. The file names
the holder, for the message of whoever has to wait.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator

from mlxrepo.errors import EnvironmentFailed
from mlxrepo.files import make_folder

WAIT_SECONDS = 30.0


@contextlib.contextmanager
def mutex(path: str, what: str) -> Iterator[None]:
    """Hold the kernel lock on `path` while the block runs; `what` is told to who waits.

    Raises:
        EnvironmentFailed: when another process holds it for longer than `WAIT_SECONDS`.
    """
    make_folder(os.path.dirname(path))
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        _wait(fd, path)
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()} {what}\n".encode(), 0)
        yield
        os.ftruncate(fd, 0)
    finally:
        os.close(fd)


def _wait(fd: int, path: str) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                holder = os.pread(fd, 200, 0).decode("utf-8", "replace").strip() or "a process"
                raise EnvironmentFailed(
                    f"another mlx is writing here (process {holder})",
                    hint=f"wait for it, then again; the lock is {path}",
                ) from None
            time.sleep(0.02)


def is_locked(path: str, *, alone: bool = False) -> bool:
    """Say whether a process, also this one, has the kernel lock on a file for itself.

    With `alone`: whether anybody has it at all, so that nobody could have it alone.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False
