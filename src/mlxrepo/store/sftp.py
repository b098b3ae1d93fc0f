"""Remotes on a host that speaks SFTP, through asyncssh: who knows ~/.ssh knows this.

Keys, the agent, ~/.ssh/config and ~/.ssh/known_hosts are ssh's own. A host that is not known is
refused; nothing is ever asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import posixpath
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import unquote, urlsplit

from mlxrepo.errors import InputError
from mlxrepo.paths import TEMP_PREFIX
from mlxrepo.store.door import Chunks, untold
from mlxrepo.store.network import Network, event_loop, seconds

CHUNK = 1 << 20  # bytes that are read from a file at a time; asyncssh cuts them smaller
LISTINGS = 8  # folders that are listed at a time


class Sftp(Network):
    """The door to a folder of a host."""

    def _options(self, options: Mapping[str, str]) -> dict[str, Any]:
        return {"timeout": seconds(options), "password": options.get("password")}

    def _open(self, options: dict[str, Any]) -> Any:
        self.jobs = 8
        return open_files(self.url, self.role, options["timeout"], options["password"])

    def send_chunks(
        self, path: str, size: int, chunks: Chunks, advance: Callable[[int], None] = untold
    ) -> bool:
        """Write a large file from pieces; nothing vouches for what arrived."""
        self._try(lambda: self._ask("put_chunks", self._full(path), iter(chunks()), advance))
        return False


def open_files(url: str, role: str, timeout: float, password: str | None = None) -> _Files:
    """Return the files of a host, to be connected to when they are asked for.

    Raises:
        InputError: when asyncssh is not installed.
    """
    try:
        import asyncssh  # noqa: F401
    except ImportError:
        raise InputError(
            f"nothing here speaks sftp:// of the {role} {url}",
            hint="pip install 'mlxrepo[sftp]'",
        ) from None
    return _Files(url, timeout, password)


class _Files:
    """What Network asks of fsspec, of one connection; it is made when it is needed, and again.

    Files are written under another name and renamed, so that nobody sees a half.
    """

    async_impl = True

    def __init__(self, url: str, timeout: float, password: str | None):
        self.loop = event_loop()
        self._place = urlsplit(url)
        self._timeout = timeout
        self._password = password
        self._connection: Any = None
        self._client: Any = None
        self._connecting = asyncio.Lock()
        self._made: set[str] = set()

    def _strip_protocol(self, url: str) -> str:
        """Return the path on the host; /~/ is the home of the user there."""
        path = unquote(urlsplit(url).path)
        return path.removeprefix("/~/") if path.startswith("/~/") else path

    @asynccontextmanager
    async def _sftp(self) -> AsyncIterator[Any]:
        """Yield the client, and let what is not there be said as by a disk."""
        import asyncssh

        async with self._connecting:
            if self._client is None:
                await self._connect()
        try:
            yield self._client
        except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath) as error:
            raise FileNotFoundError(str(error)) from None
        except (asyncssh.SFTPConnectionLost, asyncssh.SFTPNoConnection, asyncssh.ConnectionLost):
            self._client = None
            raise

    async def _connect(self) -> None:
        import asyncssh

        given = {
            "port": self._place.port,
            "username": self._place.username,
            "password": self._password,
        }
        self._connection = await asyncssh.connect(
            self._place.hostname or "",
            **{name: value for name, value in given.items() if value is not None},
            connect_timeout=self._timeout,
            login_timeout=self._timeout,
            keepalive_interval=self._timeout / 3,
            keepalive_count_max=3,
            password_auth=self._password is not None,
            kbdint_auth=False,
        )
        self._client = await self._connection.start_sftp_client()

    async def _find(self, folder: str, *, detail: bool) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        room = asyncio.Semaphore(LISTINGS)

        async def walk(here: str) -> None:
            async with room, self._sftp() as client:
                entries = await client.readdir(here)
            below = []
            for entry in entries:
                path = posixpath.join(here, entry.filename)
                if entry.attrs.type == 2:  # a folder
                    if entry.filename not in (".", ".."):
                        below.append(walk(path))
                elif not entry.filename.startswith(TEMP_PREFIX):
                    found[path] = {"size": entry.attrs.size}
            await asyncio.gather(*below)

        await walk(folder)
        return found

    async def _info(self, path: str) -> dict[str, Any]:
        async with self._sftp() as client:
            found = await client.stat(path)
        return {"size": found.size, "type": "directory" if found.type == 2 else "file"}

    async def _cat_file(self, path: str, start: int = 0, end: int = -1) -> bytes:
        async with self._sftp() as client, client.open(path, "rb") as stream:
            data: bytes = await stream.read(end - start if end >= 0 else -1, start)
            return data

    async def _pipe_file(self, path: str, data: bytes) -> None:
        async with self._written(path) as stream:
            await stream.write(data)

    async def _put_file(self, source: str, path: str, callback: Any) -> None:
        callback.set_size(os.stat(source).st_size)
        with open(source, "rb") as local:
            async with self._written(path) as stream:
                while data := await asyncio.to_thread(local.read, CHUNK):
                    await stream.write(data)
                    callback.relative_update(len(data))

    async def _put_chunks(
        self, path: str, chunks: Iterator[bytes], advance: Callable[[int], None]
    ) -> None:
        async with self._written(path) as stream:
            while data := await asyncio.to_thread(next, chunks, b""):
                await stream.write(data)
                advance(len(data))

    @asynccontextmanager
    async def _written(self, path: str) -> AsyncIterator[Any]:
        """Yield a file under another name, which gets its own when all went well."""
        import asyncssh

        folder, name = posixpath.split(path)
        temp = posixpath.join(folder, f"{TEMP_PREFIX}{os.urandom(6).hex()}-{name[:40]}")
        async with self._sftp() as client:
            if folder and folder not in self._made:
                await client.makedirs(folder, exist_ok=True)
                self._made.add(folder)
            try:
                async with client.open(temp, "wb") as stream:
                    yield stream
                    with contextlib.suppress(asyncssh.SFTPOpUnsupported):
                        await stream.fsync()
                try:
                    await client.posix_rename(temp, path)
                except asyncssh.SFTPOpUnsupported:  # then nothing may be there
                    with contextlib.suppress(asyncssh.SFTPNoSuchFile):
                        await client.remove(path)
                    await client.rename(temp, path)
            except BaseException:
                with contextlib.suppress(asyncssh.Error, OSError):
                    await client.remove(temp)
                raise

    async def _rm_file(self, path: str) -> None:
        async with self._sftp() as client:
            await client.remove(path)
