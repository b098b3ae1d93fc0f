"""Notes on a remote which say that a gc is removing files there just now.

    indexes/gc-<random>   {"beat":N}, written anew every few seconds

A note whose beat stands still belongs to a gc that was killed. No clocks are compared.
"""

from __future__ import annotations

import contextlib
import os
import time

from mlxrepo.codec import canonical
from mlxrepo.progress import Progress
from mlxrepo.store.remote import INDEXES, Remote

PREFIX = "gc-"
BEAT = 10.0  # seconds between two beats
PATIENCE = 60.0  # seconds without one, and it is dead
PAUSE = 0.5


class Intent:
    """The note of this process."""

    def __init__(self, remote: Remote):
        self._remote = remote
        self._path = f"{INDEXES}/{PREFIX}{os.urandom(8).hex()}"
        self._beats = 0
        self._write()

    def _write(self) -> None:
        self._last = time.monotonic()
        self._beats += 1
        self._remote.write(self._path, canonical({"beat": self._beats}) + b"\n")

    def beat(self) -> None:
        """Show that this process lives, now and then."""
        if time.monotonic() - self._last > BEAT:
            self._write()

    def end(self) -> None:
        """Take the note away."""
        self._remote.door.delete(self._path)


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
        while time.monotonic() - since < PATIENCE:
            time.sleep(min(PAUSE, PATIENCE))
            now = remote.door.read(path)
            if now != beat:
                beat, since = now, time.monotonic()
        remote.door.delete(path)
