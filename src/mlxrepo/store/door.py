"""The door to a remote: the few things that are asked of any place that can keep files.

Paths are relative to the remote, with `/`. Files are written whole or not at all, and never
changed afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol

Chunks = Callable[[], Iterable[bytes]]  # asked for again when the sending is tried again


class Found(NamedTuple):
    """A file of a remote and its size in bytes."""

    path: str
    size: int


class Door(Protocol):
    """A remote as a folder of files.

    Every method raises EnvironmentFailed, in a sentence with a way out, when the remote cannot be
    asked: out of reach, closed to this user, full.
    """

    url: str
    jobs: int  # how many requests at a time do it good

    def files(self, folder: str) -> list[Found]:
        """Return every file at and below a folder; none when it is not there."""

    def size(self, path: str) -> int | None:
        """Return the size of a file in bytes; None when it is not there."""

    def read(self, path: str) -> bytes:
        """Return a small file.

        Raises:
            FileNotFoundError: when it is not there.
        """

    def read_range(self, path: str, start: int, end: int) -> bytes:
        """Return the bytes from `start` up to `end` (exclusive) of a file.

        Raises:
            FileNotFoundError: when it is not there.
        """

    def write(self, path: str, data: bytes) -> None:
        """Write a small file."""

    def send(self, path: str, source: str) -> None:
        """Write a large file: a copy of the local file `source`, in parts."""

    def send_chunks(self, path: str, size: int, chunks: Chunks) -> None:
        """Write a large file of `size` bytes from pieces of any length, held a few at a time.

        What `chunks` raises ends it; the file is not there then, or is shorter than `size`.
        """

    def delete(self, path: str) -> None:
        """Remove a file, if it is there."""
