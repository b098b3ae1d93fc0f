"""A power cut: what would be left on the disk of one folder, if the power went now.

The calls that flush, name and remove are the real ones, only looked at. What was in the folder when
it starts is on the disk. From then on a file's bytes get there when it is flushed, and a name when
its folder is; `syncfs` takes both there.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

Tree = dict[str, bytes]  # the bytes of the files, by path


class PowerCut:
    """Watches a folder; `check` is called before and after each step that could be the last."""

    def __init__(self, root: Path, check: Callable[[PowerCut], None] | None = None):
        self.root = root
        self.steps = 0
        self._check = check
        self._bytes: dict[int, bytes] = {}
        self._names: dict[int, dict[str, int]] = {}
        self._held: dict[int, int] = {}  # an open file's inode number is not given away again
        self._open = os.open
        self._fsync = os.fsync

    def strict(self) -> Tree:
        """Return what is left when nothing got to the disk unasked."""
        return self._left(lambda folder, _: self._names.get(folder, {}))

    def eager(self) -> Tree:
        """Return what is left when names got there at once, and bytes only when flushed."""
        return self._left(lambda _, path: _listing(path))

    def _left(self, names: Callable[[int, Path], dict[str, int]]) -> Tree:
        found: Tree = {}
        queue = [(self.root, os.stat(self.root).st_ino)]
        while queue:
            path, inode = queue.pop()
            for name, child in names(inode, path).items():
                if child in self._bytes:
                    found[str((path / name).relative_to(self.root))] = self._bytes[child]
                elif child in self._names or (path / name).is_dir():
                    queue.append((path / name, child))
                else:
                    found[str((path / name).relative_to(self.root))] = b""
        return found

    # what the disk has

    def _flush(self, path: str) -> None:
        """Take what is at `path` to the disk: the bytes of a file, or the names in a folder."""
        fd = self._open(path, os.O_RDONLY)
        found = os.fstat(fd)
        if found.st_ino in self._held:
            os.close(fd)
        else:
            self._held[found.st_ino] = fd
        if stat.S_ISDIR(found.st_mode):
            self._names[found.st_ino] = _listing(path)
        else:
            self._bytes[found.st_ino] = Path(path).read_bytes()

    def flush_all(self) -> None:
        """Take everything to the disk."""
        for here, _, names in os.walk(self.root):
            self._flush(here)
            for name in names:
                if not os.path.islink(os.path.join(here, name)):
                    self._flush(os.path.join(here, name))

    # watching

    def _at(self) -> None:
        self.steps += 1
        if self._check:
            self._check(self)

    def _watched(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            self._at()
            done = real(*args, **options)
            self._at()
            return done

        return call

    def _watched_fsync(self, fd: int) -> None:
        self._at()
        self._fsync(fd)
        self._flush(f"/proc/self/fd/{fd}")
        self._at()

    def _watched_libc(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def load(*args: Any, **options: Any) -> Any:
            power, libc = self, real(*args, **options)

            class Libc:
                def syncfs(self, fd: int) -> int:
                    power._at()
                    code = int(libc.syncfs(fd))
                    power.flush_all()
                    power._at()
                    return code

            return Libc()

        return load

    @contextlib.contextmanager
    def watching(self) -> Iterator[PowerCut]:
        """Watch while the block runs, and look once more when it has ended."""
        self.flush_all()
        with pytest.MonkeyPatch.context() as patch:
            for name in ("rename", "replace", "link", "unlink", "rmdir", "mkdir"):
                patch.setattr(os, name, self._watched(getattr(os, name)))
            patch.setattr(os, "fsync", self._watched_fsync)
            patch.setattr(ctypes, "CDLL", self._watched_libc(ctypes.CDLL))
            try:
                yield self
                self._at()
            finally:
                for fd in self._held.values():
                    os.close(fd)


def _listing(folder: str | Path) -> dict[str, int]:
    return {name: os.lstat(os.path.join(folder, name)).st_ino for name in os.listdir(folder)}
