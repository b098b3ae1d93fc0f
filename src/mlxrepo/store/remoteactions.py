"""Entries of the action cache on a remote, as bytes: `actions/<key>/<digest>` (docs/formats.md).

Here `remotes/<name>/actions` notes those that are known to be there, `<key>/<digest>` a line: so a
push that has none to send asks for none.
"""

from __future__ import annotations

from collections.abc import Iterable

from mlxrepo.errors import EnvironmentFailed
from mlxrepo.hashing import is_oid
from mlxrepo.store.parallel import parallel
from mlxrepo.store.remote import ACTIONS, Remote

ENTRY_MAX = 64 << 20  # bytes; what is larger is no entry


class RemoteActions:
    """The entries on one remote."""

    def __init__(self, remote: Remote):
        self._remote = remote

    def noted(self) -> set[str]:
        """Return those that are known to be there, as `<key>/<digest>`."""
        return set(self._remote.remembered(ACTIONS))

    def note(self, entries: Iterable[str]) -> None:
        """Take note that entries are there."""
        before = self.noted()
        now = before.union(entries)
        if now != before:
            self._remote.remember(ACTIONS, now)

    def read(self, key: str) -> list[tuple[str, bytes]]:
        """Return the entries of a key by name, the bytes as they are; one listing, then each."""
        found = self._remote.door.files(f"{ACTIONS}/{key}")
        listed = [(item.path.rpartition("/")[2], item.size) for item in found]
        names = [name for name, size in listed if is_oid(name) and size <= ENTRY_MAX]
        return sorted(parallel(lambda name: self._one(key, name), names, self._remote.door.jobs))

    def _one(self, key: str, name: str) -> tuple[str, bytes]:
        try:
            return name, self._remote.door.read(f"{ACTIONS}/{key}/{name}")
        except FileNotFoundError:  # it went away meanwhile
            return name, b""

    def send(self, entries: Iterable[tuple[str, bytes]], jobs: int) -> int:
        """Write entries, each `<key>/<digest>` and its bytes; return how many were not there.

        Raises:
            EnvironmentFailed: when the remote does not take one; those that arrived are noted.
        """
        there: list[str] = []
        new = 0
        try:
            for entry, is_new in parallel(self._send, entries, jobs):
                there.append(entry)
                new += is_new
        except (EnvironmentFailed, KeyboardInterrupt):
            self.note(there)
            raise
        self.note(there)
        return new

    def _send(self, item: tuple[str, bytes]) -> tuple[str, bool]:
        entry, data = item
        path = f"{ACTIONS}/{entry}"
        if self._remote.door.size(path) == len(data):
            return entry, False
        self._remote.write(path, data)
        return entry, True
