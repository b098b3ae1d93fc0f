"""A remote in a local folder: another disk, or a share that is mounted."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Callable, Iterator

from mlxrepo import files, reading
from mlxrepo.errors import EnvironmentFailed
from mlxrepo.hashing import Oid
from mlxrepo.paths import TEMP_PREFIX, display
from mlxrepo.store.copies import damaged
from mlxrepo.store.door import Chunks, Found, untold

_WHY = {
    errno.EACCES: ("is closed to you", "mend its permissions"),
    errno.EPERM: ("is closed to you", "mend its permissions"),
    errno.EROFS: ("is read-only", "mount it writable, or use another remote"),
    errno.ENOSPC: ("has no space left", "make room there, then again: what arrived stays"),
    errno.EDQUOT: ("has no space left for you", "make room there, then again"),
}


class Folder:
    """The door to a folder of this machine."""

    def __init__(self, root: str):
        self.url = self.place = root
        self.jobs = 4
        self._stopped = threading.Event()

    def _full(self, path: str) -> str:
        return os.path.join(self.url, path)

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            self._check_there()
            raise
        except OSError as error:
            why, hint = _WHY.get(error.errno or 0, (f"failed: {error.strerror}", None))
            raise EnvironmentFailed(f"the remote {display(self.url)} {why}", hint=hint) from None

    def _check_there(self) -> None:
        """Check that what is missing is the file, and not the disk."""
        if not os.path.isdir(os.path.dirname(self.url)):
            raise EnvironmentFailed(
                f"the remote {display(self.url)} is not there", hint="is its disk mounted?"
            )

    def files(self, folder: str) -> list[Found]:
        """Return every file at and below a folder; none when it is not there."""
        found: list[Found] = []
        with self._telling():
            self._check_there()
            self._walk(folder, found)
        return found

    def _walk(self, folder: str, found: list[Found]) -> None:
        try:
            entries = list(os.scandir(self._full(folder)))
        except (FileNotFoundError, NotADirectoryError):
            return
        for entry in entries:
            path = f"{folder}/{entry.name}" if folder else entry.name
            if entry.is_dir(follow_symlinks=False):
                self._walk(path, found)
            elif not entry.name.startswith(TEMP_PREFIX):
                found.append(Found(path, entry.stat().st_size))

    def size(self, path: str) -> int | None:
        """Return the size of a file in bytes; None when it is not there."""
        with self._telling():
            try:
                return os.stat(self._full(path)).st_size
            except (FileNotFoundError, NotADirectoryError):
                self._check_there()
                return None

    def read(self, path: str) -> bytes:
        """Return a small file."""
        with self._telling(), open(self._full(path), "rb") as stream:
            return stream.read()

    def read_range(self, path: str, start: int, end: int) -> bytes:
        """Return a piece of a file."""
        with self._telling(), open(self._full(path), "rb") as stream:
            return os.pread(stream.fileno(), end - start, start)

    def write(self, path: str, data: bytes) -> bool:
        """Write a small file; it is on the disk when this returns."""
        with self._telling():
            self._check_there()
            full = self._full(path)
            files.make_folder(os.path.dirname(full))
            files.write_atomic(full, data, mode=0o444)
        return True

    def send(
        self, path: str, source: str, oid: Oid, advance: Callable[[int], None] = untold
    ) -> bool:
        """Write a copy of a file; blocks are shared where both lie on one disk that can.

        It is hashed on the way, and on the disk when this returns.
        """

        def tick(amount: int) -> None:
            if self._stopped.is_set():
                raise EnvironmentFailed("stopped")
            advance(amount)

        with self._telling(), self._new(path) as fd:
            content = reading.read_content(source, sink=fd, tick=tick)
            if content.oid != oid:
                raise damaged("blob", oid)
            if content.data is not None:  # small ones are not copied
                files.write_all(fd, content.data)
        return True

    def send_chunks(
        self, path: str, size: int, chunks: Chunks, advance: Callable[[int], None] = untold
    ) -> bool:
        """Write a large file from pieces; who gives them hashes them."""
        with self._telling(), self._new(path) as fd:
            for chunk in chunks():
                if self._stopped.is_set():
                    raise EnvironmentFailed("stopped")
                files.write_all(fd, chunk)
                advance(len(chunk))
        return True

    @contextlib.contextmanager
    def _new(self, path: str) -> Iterator[int]:
        """Open a new file; it appears whole at `path` when the block ends without an error."""
        self._check_there()
        final = self._full(path)
        files.make_folder(os.path.dirname(final))
        with files.temp_file(os.path.dirname(final)) as (fd, temp):
            yield fd
            if os.path.exists(final):  # with other bytes, else nobody would send it
                files.remove_quietly(final)
            files.publish(fd, temp, final)

    def refuses_other_bytes(self, path: str) -> bool:
        """Return that they are: what is written is hashed on the way."""
        return True

    def delete(self, path: str) -> None:
        """Remove a file, if it is there."""
        with self._telling():
            files.remove_quietly(self._full(path))

    def stop(self) -> None:
        """End a copy that is under way."""
        self._stopped.set()
