"""What came from a remote with other bytes than its name says: kept to be looked at.

quarantine/<time>/incoming/<oid>   the bytes as they came, compressed where they were
"""

from __future__ import annotations

import os
import threading

from mlxrepo import files
from mlxrepo.hashing import Oid
from mlxrepo.store.quarantine import new_folder
from mlxrepo.store.space import free_bytes

MOST = 64 << 20  # bytes of small objects that are kept; more of the same teaches nobody


class Wrong:
    """What one fetch got wrong; its folder is made with the first of it. For any thread."""

    def __init__(self, root: str):
        self.count = 0
        self._root = root
        self._folder = os.path.join(root, new_folder(), "incoming")
        self._room = MOST
        self._lock = threading.Lock()

    @property
    def folder(self) -> str | None:
        """Where it is; None when all came right."""
        return self._folder if self.count else None

    def keep(self, oid: Oid, data: bytes) -> None:
        """Keep the bytes of a small object, the first that came."""
        path = os.path.join(self._folder, oid)
        with self._lock:
            if len(data) > self._room or os.path.exists(path):
                return
            self._room -= len(data)
            self.count += 1
            files.make_folder(self._folder)
            files.write_atomic(path, data, flush=False)

    def take(self, oid: Oid, path: str, size: int) -> None:
        """Take the file of a large one, the first that came, where there is room for another."""
        target = os.path.join(self._folder, oid)
        with self._lock:
            if os.path.exists(target) or free_bytes(self._root) < size:
                files.remove_quietly(path)
                return
            self.count += 1
            files.move(path, target)
