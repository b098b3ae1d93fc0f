"""Notes on a remote which say that a gc is removing files there just now.

    indexes/gc-<random>   {"beat":N}, written anew every few seconds

A note whose beat stands still belongs to a gc that was killed. No clocks are compared.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time

from mlxrepo.codec import canonical
from mlxrepo.errors import EnvironmentFailed, MlxError
from mlxrepo.progress import Progress
from mlxrepo.store.remote import INDEXES, Remote

PREFIX = "gc-"
BEAT = 10.0  # seconds between two beats
WAITING = 60.0  # seconds without one, and others take it for dead
STILL = 30.0  # seconds without one, and it gives up itself
PAUSE = 0.5


class Intent:
    """The note of this process, while the block runs; a thread keeps it fresh."""

    def __init__(self, remote: Remote):
        self._remote = remote
        self._path = f"{INDEXES}/{PREFIX}{os.urandom(8).hex()}"
        self._beats = 0
        self._last = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep_fresh, daemon=True)

    def __enter__(self) -> Intent:
        self._beat()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._remote.door.delete(self._path)

    def _beat(self) -> None:
        began = _now()
        self._beats += 1
        self._remote.write(self._path, canonical({"beat": self._beats}) + b"\n")
        self._last = began

    def _keep_fresh(self) -> None:
        while not self._ended.wait(BEAT):
            with contextlib.suppress(MlxError):  # `check` sees that it is old
                self.check()
                self._beat()

    def check(self) -> None:
        """Check that nobody can have taken this process for dead.

        Raises:
            EnvironmentFailed: when it stood still for so long, as in a laptop that slept.
        """
        if _now() - self._last > STILL:
            raise EnvironmentFailed(
                f"this gc of the remote {self._remote.name} stood still, and others may go on "
                "as if it were over",
                hint="the same command again",
            )


def _now() -> float:
    """Return seconds that also pass while a machine sleeps."""
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime(clock)


def wait_for_others(remote: Remote, progress: Progress) -> bool:
    """Wait until no gc is at work on a remote, and say whether one was."""
    was_there = False
    while notes := [name for name in remote.listed() if name.startswith(PREFIX)]:
        if not was_there:
            progress.note(f"waiting for a gc of {remote.name}")
        was_there = True
        for name in notes:
            _outlast(remote, f"{INDEXES}/{name}")
    return was_there


def _outlast(remote: Remote, path: str) -> None:
    """Wait until a note goes, or take it away when its beat stands still."""
    with contextlib.suppress(FileNotFoundError):
        beat, since = remote.door.read(path), time.monotonic()
        while time.monotonic() - since < WAITING:
            time.sleep(min(PAUSE, WAITING))
            now = remote.door.read(path)
            if now != beat:
                beat, since = now, time.monotonic()
        remote.door.delete(path)
