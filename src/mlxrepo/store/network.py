"""Remotes behind a URL, through fsspec: the only module that knows it.

Every request is tried again a few times when that can help; what is left of an error becomes one
sentence (refusals.py).
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import math
import random
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import fsspec
import fsspec.asyn

from mlxrepo.errors import EnvironmentFailed, InputError, MlxError
from mlxrepo.hashing import Oid
from mlxrepo.store.door import Chunks, Found, untold
from mlxrepo.store.refusals import is_bucket_absent, is_transient, redacted, refusal

R = TypeVar("R")

TRIES = 5
FIRST_WAIT = 0.2  # seconds; each next one is twice as long
TIMEOUT = 30.0  # seconds without an answer

PACKAGES = {
    "s3": "s3fs",
    "gs": "gcsfs",
    "az": "adlfs",
    "abfs": "adlfs",
    "http": "aiohttp",
    "https": "aiohttp",
    "webdav": "webdav4",
}


class Network:
    """The door to a URL that fsspec knows; `role` is what messages call it."""

    role = "remote"

    def __init__(self, url: str, options: Mapping[str, str]):
        self.url = url.rstrip("/")
        self.place = f"{self.url} {options.get('endpoint', '')}".strip()
        self.endpoint = options.get("endpoint", "")
        self.jobs = 16
        self._stopped = threading.Event()
        self._asked: set[concurrent.futures.Future[Any]] = set()
        self._lock = threading.Lock()
        self._fs = self._open(self._options(options))
        self._base = str(self._fs._strip_protocol(self.url)).rstrip("/")

    def _options(self, options: Mapping[str, str]) -> dict[str, Any]:
        """Return the options of a remote as fsspec names them."""
        return {}

    def _open(self, options: dict[str, Any]) -> Any:
        protocol = self.url.partition("://")[0]
        try:
            kind = fsspec.get_filesystem_class(protocol)
        except (ImportError, ValueError):
            package = PACKAGES.get(protocol)
            raise InputError(
                f"nothing here speaks {protocol}:// of the {self.role} {redacted(self.url)}",
                hint=f"pip install {package}" if package else "mlx remote add -h",
            ) from None
        options = {**kind._get_kwargs_from_urls(self.url), **options}
        try:
            return kind(skip_instance_cache=True, use_listings_cache=False, **options)
        except Exception as error:  # an account that is not set, a host out of reach
            raise refusal(error, self.url, self.role, self.endpoint) from None

    def _full(self, path: str) -> str:
        return f"{self._base}/{path}" if path else self._base

    # asking

    def _try(self, what: str | Callable[[], Any], *args: Any, **options: Any) -> Any:
        """Ask fsspec, by the name of a method or by a call, and again while that can help."""
        wait = FIRST_WAIT
        for left in reversed(range(TRIES)):
            if self._stopped.is_set():
                break
            try:
                return self._ask(what, *args, **options)
            except MlxError:
                raise
            except Exception as error:
                if self._stopped.is_set():
                    raise EnvironmentFailed("stopped") from None
                if isinstance(error, FileNotFoundError) and not is_bucket_absent(error):
                    raise
                if not left or not is_transient(error):
                    raise refusal(error, self.url, self.role, self.endpoint) from None
            self._stopped.wait(wait * random.uniform(0.7, 1.3))
            wait *= 2
        raise EnvironmentFailed("stopped")

    def _ask(self, what: str | Callable[[], Any], *args: Any, **options: Any) -> Any:
        """Call a method of fsspec, where that can be done so that `stop` can end it."""
        if not isinstance(what, str):
            return what()
        if not self._fs.async_impl:
            return getattr(self._fs, what)(*args, **options)
        asked = asyncio.run_coroutine_threadsafe(
            getattr(self._fs, f"_{what}")(*args, **options), self._fs.loop
        )
        with self._lock:
            self._asked.add(asked)
            if self._stopped.is_set():
                asked.cancel()
        try:
            return asked.result()
        finally:
            with self._lock:
                self._asked.discard(asked)

    def stop(self) -> None:
        """End what is being asked, and ask nothing more."""
        self._stopped.set()
        with self._lock:
            under_way = list(self._asked)
        for asked in under_way:
            asked.cancel()

    # the door

    def files(self, folder: str) -> list[Found]:
        """Return every file at and below a folder; none when it is not there."""
        try:
            rows = self._try("find", self._full(folder), detail=True)
        except FileNotFoundError:
            return []
        cut = len(self._base) + 1
        below = f"{self._full(folder)}/"  # a page may name anything, and has no sizes
        return [
            Found(name[cut:], int(row.get("size") or 0))
            for name, row in rows.items()
            # rclone lists a folder that has become empty.
            if name.startswith(below) and row.get("type", "file") == "file"
        ]

    def size(self, path: str) -> int | None:
        """Return the size of a file in bytes; None when it is not there."""
        try:
            found = self._try("info", self._full(path))
        except FileNotFoundError:
            return None
        return int(found["size"]) if found["type"] == "file" else None

    def read(self, path: str) -> bytes:
        """Return a small file."""
        return bytes(self._try("cat_file", self._full(path)))

    def read_range(self, path: str, start: int, end: int) -> bytes:
        """Return a piece of a file."""
        data = self._try("cat_file", self._full(path), start=start, end=end)
        # Some give the whole file whatever they are asked for.
        return bytes(data if len(data) <= end - start else data[start:end])

    def write(self, path: str, data: bytes) -> bool:
        """Write a small file; nothing vouches for what arrived."""
        self._try("pipe_file", self._full(path), data)
        return False

    def send(
        self, path: str, source: str, oid: Oid, advance: Callable[[int], None] = untold
    ) -> bool:
        """Write a large file; nothing vouches for what arrived."""
        self._try("put_file", source, self._full(path), callback=_Told(advance))
        return False

    def send_chunks(
        self, path: str, size: int, chunks: Chunks, advance: Callable[[int], None] = untold
    ) -> bool:
        """Write a large file from pieces; nothing vouches for what arrived."""
        self._try(lambda: self._stream(self._full(path), chunks(), advance))
        return False

    def _stream(self, path: str, chunks: Iterable[bytes], advance: Callable[[int], None]) -> None:
        self._fs.makedirs(self._fs._parent(path), exist_ok=True)
        try:
            with self._fs.open(path, "wb") as stream:
                for chunk in chunks:
                    if self._stopped.is_set():
                        raise EnvironmentFailed("stopped")
                    stream.write(chunk)
                    advance(len(chunk))
        except BaseException:
            with contextlib.suppress(Exception):  # a part of it helps nobody
                self._fs.rm_file(path)
            raise

    def refuses_other_bytes(self, path: str) -> bool:
        """Return that they are not: no checksum is sent."""
        return False

    def delete(self, path: str) -> None:
        """Remove a file, if it is there."""
        try:
            self._try("rm_file", self._full(path))
        except FileNotFoundError:
            pass


class _Told(fsspec.Callback):  # type: ignore[misc]
    """Passes on what fsspec tells of a transfer; what is sent again is not counted again."""

    def __init__(self, advance: Callable[[int], None]):
        super().__init__()
        self._advance = advance
        self._told = 0

    def call(self, *_: Any, **__: Any) -> None:
        """Tell of what is new."""
        if self.value > self._told:
            self._advance(self.value - self._told)
            self._told = self.value

    def set_size(self, size: int) -> None:
        """Begin anew: fsspec sets the size at the beginning of each try."""
        self.value = 0


def event_loop() -> asyncio.AbstractEventLoop:
    """Return the loop in whose thread requests wait; fsspec's, which its file systems share."""
    loop: asyncio.AbstractEventLoop = fsspec.asyn.get_loop()
    return loop


def seconds(options: Mapping[str, str]) -> float:
    """Return how long a remote may not answer.

    Raises:
        InputError: when that is no time.
    """
    text = options.get("timeout", "")
    try:
        found = float(text) if text else TIMEOUT
    except ValueError:
        found = 0
    if not (found > 0 and math.isfinite(found)):
        raise InputError(f'the timeout "{text}" of a remote is no number of seconds')
    return found


def protocols() -> frozenset[str]:
    """Return what URLs that fsspec knows may begin with, installed or not."""
    return frozenset(fsspec.available_protocols())
