"""The door to a remote: the few things that are asked of any place that can keep files.

Paths are relative to the remote, with `/`. Files are written whole or not at all, and never
changed afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol

from mlxrepo.hashing import Oid


class Found(NamedTuple):
    """A file of a remote and its size in bytes."""

    path: str
    size: int


Chunks = Callable[[], Iterable[bytes]]
"""Gives the pieces of a file, from the beginning each time that it is called."""


def untold(amount: int) -> None:
    """Take no notice of what has been sent."""


class Door(Protocol):
    """A remote as a folder of files.

    Every method raises EnvironmentFailed, in a sentence with a way out, when the remote cannot be
    asked: out of reach, closed to this user, full.
    """

    url: str
    place: str  # the URL, and what else says which remote this is
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

    def write(self, path: str, data: bytes) -> bool:
        """Write a small file; return whether the remote vouches for the bytes that arrived.

        It does when it answered with, or checked, a checksum of them. Where it does not, only
        reading them back shows what they are.
        """

    def send(
        self, path: str, source: str, oid: Oid, advance: Callable[[int], None] = untold
    ) -> bool:
        """Write a large file, a copy of the local blob `source`; return as `write` does.

        `advance` is told of each piece that was sent, in bytes, in any thread.

        Raises:
            Damaged: when it turns out on the way that the blob is not `oid`; nothing is written.
            FileNotFoundError: when `source` is not there.
        """

    def send_chunks(
        self, path: str, size: int, chunks: Chunks, advance: Callable[[int], None] = untold
    ) -> bool:
        """Write a large file of `size` bytes from pieces; return as `write` does.

        `chunks` is called for each try. What it raises ends the sending; the file is not there
        then, or is shorter than `size`.
        """

    def refuses_other_bytes(self, path: str) -> bool:
        """Try whether a body that is not what its checksum says is refused; may write `path`."""

    def delete(self, path: str) -> None:
        """Remove a file, if it is there."""

    def stop(self) -> None:
        """End what other threads are asking, and ask nothing more: the user wants out."""
