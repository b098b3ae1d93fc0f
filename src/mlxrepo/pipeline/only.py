"""One run at a time in a worktree: two would take each other's half-written outs for results."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator

from mlxrepo.errors import EnvironmentFailed
from mlxrepo.files import make_folder

RUNNING = "running"  # in the worktree's folder


@contextlib.contextmanager
def only_run(path: str) -> Iterator[None]:
    """Hold the kernel lock on `path` for as long as a run lasts; it goes with its holder.

    Raises:
        EnvironmentFailed: when another process holds it.
    """
    make_folder(os.path.dirname(path))
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(fd, 20, 0).decode("ascii", "replace").strip()
            raise EnvironmentFailed(
                f"another mlx repro is running in this worktree (process {holder})",
                hint="wait until it is done, then again",
            ) from None
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(fd)
