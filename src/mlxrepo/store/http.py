"""Remotes that a server of web pages shows: to be read, where it lists its folders."""

from __future__ import annotations

from collections.abc import Callable

from mlxrepo.errors import EnvironmentFailed
from mlxrepo.hashing import Oid
from mlxrepo.store.door import Chunks, Found, untold
from mlxrepo.store.network import Network
from mlxrepo.store.refusals import redacted
from mlxrepo.store.remote import MARKER


class Http(Network):
    """The door to a folder at http:// or https://."""

    def files(self, folder: str) -> list[Found]:
        """Return every file at and below a folder, of size 0: a page does not say it in bytes.

        Raises:
            EnvironmentFailed: when the server shows files, and no listing of them.
        """
        found = super().files(folder)
        if not found and self.size(MARKER) is not None:
            raise EnvironmentFailed(
                f"the remote {redacted(self.url)} does not list its folders, so what is on it "
                "cannot be known",
                hint="let the server list them, or use another URL of the same place",
            )
        return found

    def write(self, path: str, data: bytes) -> bool:
        """Refuse to."""
        raise self._read_only()

    def send(
        self, path: str, source: str, oid: Oid, advance: Callable[[int], None] = untold
    ) -> bool:
        """Refuse to."""
        raise self._read_only()

    def send_chunks(
        self, path: str, size: int, chunks: Chunks, advance: Callable[[int], None] = untold
    ) -> bool:
        """Refuse to."""
        raise self._read_only()

    def _read_only(self) -> EnvironmentFailed:
        return EnvironmentFailed(
            f"the remote {redacted(self.url)} can only be read through this protocol",
            hint="push by another URL of the same place: s3://, sftp://",
        )
