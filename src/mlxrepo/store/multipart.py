"""Large files to S3 from pieces that nobody keeps: parts side by side, each tried again."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from mlxrepo.store.parallel import parallel

Try = Callable[[Callable[[], Any]], Any]


class Upload:
    """One file at `path`, through the client of s3fs; `attempt` repeats a request that may fail."""

    def __init__(self, client: Any, path: str, attempt: Try):
        self._client = client
        self._try = attempt
        self._bucket, self._key, _ = client.split_path(path)
        self._id = ""

    def send(self, chunks: Iterable[bytes], part: int, at_once: int) -> None:
        """Send `chunks` in parts of `part` bytes; nothing is there until all of it is.

        What `chunks` raises takes back what was sent.
        """
        self._id = self._ask("create_multipart_upload")["UploadId"]
        try:
            done = list(parallel(self._part, enumerate(regrouped(chunks, part), 1), at_once))
            parts = sorted(done, key=lambda item: item["PartNumber"])
            self._ask(
                "complete_multipart_upload", UploadId=self._id, MultipartUpload={"Parts": parts}
            )
        except BaseException:
            with contextlib.suppress(Exception):  # the first error is the one to tell
                self._call("abort_multipart_upload", UploadId=self._id)
            raise

    def _part(self, item: tuple[int, bytes]) -> dict[str, Any]:
        number, data = item
        reply = self._ask("upload_part", UploadId=self._id, PartNumber=number, Body=data)
        return {"PartNumber": number, "ETag": reply["ETag"]}

    def _ask(self, method: str, **options: Any) -> Any:
        return self._try(lambda: self._call(method, **options))

    def _call(self, method: str, **options: Any) -> Any:
        return self._client.call_s3(method, Bucket=self._bucket, Key=self._key, **options)


def regrouped(chunks: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Yield the same bytes in pieces of `size`; the last may be shorter."""
    held = bytearray()
    for chunk in chunks:
        held += chunk
        while len(held) >= size:
            yield bytes(memoryview(held)[:size])
            del held[:size]
    if held:
        yield bytes(held)
