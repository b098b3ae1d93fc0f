"""Remotes in a bucket of S3, or of what speaks it.

Every body goes with its MD5: stores check it, and those that do not still name what arrived by its
MD5 (the ETag). Where neither can be seen, with keys of one's own for one, nothing vouches for it.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from mlxrepo.errors import EnvironmentFailed
from mlxrepo.files import open_regular
from mlxrepo.hashing import Oid, blob_hasher
from mlxrepo.store.copies import damaged
from mlxrepo.store.door import Chunks, untold
from mlxrepo.store.network import Network, seconds
from mlxrepo.store.parallel import parallel
from mlxrepo.store.refusals import is_mismatch, is_wordless, redacted, refusal

PART = 8 << 20  # of a large file
PARTS_MAX = 9_000  # S3 takes 10,000
PARTS_AT_ONCE = 4
UPLOADS = 3  # that the store may forget


class _Part(NamedTuple):
    number: int
    tag: str
    vouched: bool


class _UploadLost(Exception):
    """The store knows nothing of an upload that is under way: rclone's drops it on any error."""


class S3(Network):
    """The door to a bucket."""

    def _options(self, options: Mapping[str, str]) -> dict[str, Any]:
        return s3_options(options)

    def _open(self, options: dict[str, Any]) -> Any:
        found = super()._open(options)
        found.retries = 1  # the tries are counted here
        return found

    def _s3(self, method: str, path: str, **options: Any) -> Any:
        bucket, key, _ = self._fs.split_path(self._full(path))
        return self._try("call_s3", method, Bucket=bucket, Key=key, **options)

    def _ask(self, what: str | Callable[[], Any], *args: Any, **options: Any) -> Any:
        try:
            return super()._ask(what, *args, **options)
        except Exception as error:
            if args == ("head_object",) and is_wordless(error):
                super()._ask(what, "get_object", Range="bytes=0-0", **options)  # says why
            raise

    def size(self, path: str) -> int | None:
        """Return the size of a file in bytes; None when it is not there."""
        try:
            return int(self._s3("head_object", path)["ContentLength"])
        except FileNotFoundError:
            return None

    def write(self, path: str, data: bytes) -> bool:
        """Write a small file; S3 vouches for it by its MD5."""
        digest = _md5(data)
        answer = self._s3("put_object", path, Body=data, ContentMD5=_in_header(digest))
        return _names(answer, digest)

    def send(
        self, path: str, source: str, oid: Oid, advance: Callable[[int], None] = untold
    ) -> bool:
        """Write a large file in parts, a few at a time; each is tried again by itself."""
        fd, found = open_regular(source)
        with open(fd, "rb") as stream:

            def pieces() -> Iterator[bytes]:
                stream.seek(0)
                return hashed(iter(lambda: stream.read(PART), b""), oid)

            return self.send_chunks(path, found.st_size, pieces, advance)

    def send_chunks(
        self, path: str, size: int, chunks: Chunks, advance: Callable[[int], None] = untold
    ) -> bool:
        """Write a large file from pieces, in parts, a few at a time; each is tried again."""
        for _ in range(UPLOADS):
            try:
                return self._upload(path, size, chunks(), advance)
            except _UploadLost:
                advance = untold  # rather too little than twice
        raise EnvironmentFailed(
            f"the remote {redacted(self.url)} forgets uploads that are under way",
            hint="again later: what arrived stays",
        )

    def _upload(
        self, path: str, size: int, chunks: Iterable[bytes], advance: Callable[[int], None]
    ) -> bool:
        upload = self._s3("create_multipart_upload", path)["UploadId"]

        def send_part(part: tuple[int, bytes]) -> _Part:
            number, data = part
            digest = _md5(data)
            try:
                answer = self._s3(
                    "upload_part", path, UploadId=upload, PartNumber=number, Body=data,
                    ContentMD5=_in_header(digest),
                )  # fmt: skip
            except FileNotFoundError:
                raise _UploadLost from None
            advance(len(data))
            return _Part(number, answer["ETag"], _names(answer, digest))

        work = enumerate(regrouped(chunks, max(PART, -(-size // PARTS_MAX))), 1)
        try:
            parts = sorted(parallel(send_part, work, PARTS_AT_ONCE, self.stop))
        except BaseException:
            self._abandon(path, upload)
            raise
        return self._complete(path, upload, parts) and all(part.vouched for part in parts)

    def _complete(self, path: str, upload: str, parts: list[_Part]) -> bool:
        """Make a file of its parts; False when that was done by a try whose answer got lost."""
        named = [{"PartNumber": part.number, "ETag": part.tag} for part in parts]
        try:
            self._s3(
                "complete_multipart_upload", path, UploadId=upload, MultipartUpload={"Parts": named}
            )
        except FileNotFoundError:
            return False
        return True

    def _abandon(self, path: str, upload: str) -> None:
        with contextlib.suppress(EnvironmentFailed, FileNotFoundError):
            self._s3("abort_multipart_upload", path, UploadId=upload)

    def refuses_other_bytes(self, path: str) -> bool:
        """Try whether a body that is not what its MD5 says is refused; may write `path`."""
        bucket, key, _ = self._fs.split_path(self._full(path))
        wrong = _in_header(_md5(b"another body"))
        try:
            self._ask(
                "call_s3", "put_object", Bucket=bucket, Key=key, Body=b"a body", ContentMD5=wrong
            )
        except Exception as error:
            if is_mismatch(error):
                return True
            raise refusal(error, self.url, self.role, self.endpoint) from None
        return False


def s3_options(options: Mapping[str, str]) -> dict[str, Any]:
    """Return the options of a remote as s3fs names them; what it lacks is the environment's.

    Raises:
        InputError: when its timeout is no time.
    """
    client = {"endpoint_url": options.get("endpoint"), "region_name": options.get("region")}
    timeout = seconds(options)
    return {
        "anon": options.get("anonymous") == "true",
        "key": options.get("access_key_id"),
        "secret": options.get("secret_access_key"),
        "token": options.get("session_token"),
        "profile": options.get("profile"),
        "client_kwargs": {name: value for name, value in client.items() if value},
        "config_kwargs": {
            "connect_timeout": min(10.0, timeout),
            "read_timeout": timeout,
            "max_pool_connections": 32,
            "retries": {"total_max_attempts": 1},
            # The MD5 is sent, which more stores check.
            "request_checksum_calculation": "when_required",
            # Everything that is read is hashed here; rclone and Ceph send none for ranges.
            "response_checksum_validation": "when_required",
        },
    }


def regrouped(chunks: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Yield the same bytes in pieces of `size`; the last may be shorter."""
    held = bytearray()
    for chunk in chunks:
        if not held and len(chunk) == size:
            yield chunk
            continue
        held += chunk
        while len(held) >= size:
            yield bytes(memoryview(held)[:size])
            del held[:size]
    if held:
        yield bytes(held)


def hashed(chunks: Iterable[bytes], oid: Oid) -> Iterator[bytes]:
    """Yield the pieces of a blob, and the last one only if all together are `oid`.

    Raises:
        Damaged: when they are not.
    """
    hasher, held = blob_hasher(PART), b""
    for chunk in chunks:
        if held:
            yield held
        hasher.update(chunk)
        held = chunk
    if hasher.hexdigest() != oid:
        raise damaged("blob", oid)
    if held:
        yield held


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()


def _in_header(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


def _names(answer: Mapping[str, Any], digest: bytes) -> bool:
    """Say whether the store names what arrived by its MD5."""
    return str(answer.get("ETag", "")).strip('"').lower() == digest.hex()
