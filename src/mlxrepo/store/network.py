"""Remotes behind a URL, through fsspec: the only module that knows it.

Every request is tried again a few times when that can help; what is left of an error becomes one
sentence (refusals.py).
"""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import fsspec

from mlxrepo.errors import InputError, MlxError
from mlxrepo.store import multipart
from mlxrepo.store.door import Chunks, Found
from mlxrepo.store.refusals import is_bucket_absent, is_transient, redacted, refusal

R = TypeVar("R")

TRIES = 5
FIRST_WAIT = 0.2  # seconds; each next one is twice as long
PART = 8 << 20  # of a large file
PARTS_MAX = 9_000  # S3 takes 10,000
PARTS_AT_ONCE = 4

PACKAGES = {"s3": "s3fs", "gs": "gcsfs", "az": "adlfs", "abfs": "adlfs", "sftp": "sshfs"}


class Network:
    """The door to a URL that fsspec knows; `role` is what messages call it."""

    role = "remote"

    def __init__(self, url: str, options: Mapping[str, str]):
        self.url = url.rstrip("/")
        self.jobs = 16
        self._is_s3 = url.startswith(("s3://", "s3a://"))
        self._fs = self._open(_s3_options(options) if self._is_s3 else {})
        self._base = str(self._fs._strip_protocol(self.url)).rstrip("/")

    def _open(self, options: dict[str, Any]) -> Any:
        protocol = self.url.partition("://")[0]
        try:
            found = fsspec.filesystem(
                protocol, skip_instance_cache=True, use_listings_cache=False, **options
            )
        except (ImportError, ValueError):
            package = PACKAGES.get(protocol)
            raise InputError(
                f"nothing here speaks {protocol}:// of the {self.role} {redacted(self.url)}",
                hint=f"pip install {package}" if package else "mlx remote add -h",
            ) from None
        if self._is_s3:
            found.retries = 1  # the tries are counted here
        return found

    def _full(self, path: str) -> str:
        return f"{self._base}/{path}" if path else self._base

    def _try(self, call: Callable[[], R]) -> R:
        wait = FIRST_WAIT
        for left in reversed(range(TRIES)):
            try:
                return call()
            except MlxError:
                raise
            except Exception as error:
                if isinstance(error, FileNotFoundError) and not is_bucket_absent(error):
                    raise
                if not left or not is_transient(error):
                    raise refusal(error, self.url, self.role) from None
            time.sleep(wait * random.uniform(0.7, 1.3))
            wait *= 2
        raise AssertionError("the last try returns or raises")

    def files(self, folder: str) -> list[Found]:
        """Return every file at and below a folder; none when it is not there."""
        try:
            rows = self._try(lambda: self._fs.find(self._full(folder), detail=True))
        except FileNotFoundError:
            return []
        cut = len(self._base) + 1
        return [
            Found(name[cut:], int(row["size"] or 0))
            for name, row in rows.items()
            if row["type"] == "file"  # rclone lists a folder that has become empty
        ]

    def size(self, path: str) -> int | None:
        """Return the size of a file in bytes; None when it is not there."""
        try:
            found = self._try(lambda: self._fs.info(self._full(path)))
        except FileNotFoundError:
            return None
        return int(found["size"]) if found["type"] == "file" else None

    def read(self, path: str) -> bytes:
        """Return a small file."""
        return bytes(self._try(lambda: self._fs.cat_file(self._full(path))))

    def read_range(self, path: str, start: int, end: int) -> bytes:
        """Return a piece of a file."""
        data = self._try(lambda: self._fs.cat_file(self._full(path), start=start, end=end))
        # sshfs gives the whole file whatever it is asked for.
        return bytes(data if len(data) <= end - start else data[start:end])

    def write(self, path: str, data: bytes) -> None:
        """Write a small file."""
        self._try(lambda: self._fs.pipe_file(self._full(path), data))

    def send(self, path: str, source: str) -> None:
        """Write a large file in parts, a few at a time."""
        import os

        options: dict[str, Any] = {}
        if self._is_s3:
            part = _part_of(os.stat(source).st_size)
            options = {"chunksize": part, "max_concurrency": PARTS_AT_ONCE}
        self._try(lambda: self._fs.put_file(source, self._full(path), **options))

    def send_chunks(self, path: str, size: int, chunks: Chunks) -> None:
        """Write a large file from pieces; on S3 in parts, a few at a time, each tried again."""
        if self._is_s3:
            upload = multipart.Upload(self._fs, self._full(path), self._try)
            upload.send(chunks(), _part_of(size), PARTS_AT_ONCE)
        else:
            self._try(lambda: self._stream(path, chunks()))

    def _stream(self, path: str, chunks: Iterable[bytes]) -> None:
        full = self._full(path)
        self._fs.makedirs(self._fs._parent(full), exist_ok=True)
        try:
            with self._fs.open(full, "wb") as stream:
                for chunk in chunks:
                    stream.write(chunk)
        except Exception:
            with contextlib.suppress(Exception):  # a part of it helps nobody
                self._fs.rm_file(full)
            raise

    def delete(self, path: str) -> None:
        """Remove a file, if it is there."""
        try:
            self._try(lambda: self._fs.rm_file(self._full(path)))
        except FileNotFoundError:
            pass


def _part_of(size: int) -> int:
    return max(PART, -(-size // PARTS_MAX))


def _s3_options(options: Mapping[str, str]) -> dict[str, Any]:
    """Return the options of a remote as s3fs names them; credentials are the environment's."""
    client = {"endpoint_url": options.get("endpoint"), "region_name": options.get("region")}
    return {
        "anon": options.get("anonymous") == "true",
        "profile": options.get("profile"),
        "client_kwargs": {name: value for name, value in client.items() if value},
        "config_kwargs": {
            "connect_timeout": 10,
            "read_timeout": 30,
            "max_pool_connections": 32,
            "retries": {"total_max_attempts": 1},
            # Everything that is read is hashed here; rclone and Ceph send none for ranges.
            "response_checksum_validation": "when_required",
        },
    }
