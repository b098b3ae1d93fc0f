"""Runs by name, and which are alive: a kernel lock in its folder goes with the process."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator

from mlxrepo.files import make_folder, remove_quietly
from mlxrepo.repo.layout import ALIVE_FILE, RUNS_FOLDER
from mlxrepo.repo.mutex import is_locked
from mlxrepo.repo.repo import Repo


def new_run_id() -> str:
    """Return a name for a run: names sort as runs began, to 4 ms, and show the second in UTC."""
    now = time.time()
    second = time.strftime("%Y%m%d-%H%M%S", time.gmtime(now))
    return f"{second}-{int(now % 1 * 256):02x}{os.urandom(3).hex()}"


@contextlib.contextmanager
def hold(repo: Repo, run: str) -> Iterator[None]:
    """Be the run `run` until the block ends; others see that it is alive.

    No folder is left of a run that put nothing into it.

    Raises:
        OSError: when its folder cannot be written.
    """
    folder = repo.shared(RUNS_FOLDER, run)
    make_folder(folder, flush=False)
    path = os.path.join(folder, ALIVE_FILE)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        # Not at once only while somebody asks, which takes a moment.
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        with contextlib.suppress(OSError):
            remove_quietly(path)
            os.rmdir(folder)  # if nothing else is in it
        os.close(fd)


def is_alive(repo: Repo, run: str) -> bool:
    """Say whether a process, also this one, holds the run `run`."""
    return is_locked(repo.shared(RUNS_FOLDER, run, ALIVE_FILE))
