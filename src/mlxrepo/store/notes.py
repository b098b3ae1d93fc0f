"""What the files of a source are, noted as they are hashed: for a run after a kill.

    a line a file: BLAKE3 of name, line end and mark (32 digits), a space, oid

A mark changes when the file does. A note says what a file is, never that it arrived: that is
asked of the remote.
"""

from __future__ import annotations

import os
import re
from types import TracebackType

from mlxrepo.files import make_folder, remove_quietly
from mlxrepo.hashing import Oid, blob_oid
from mlxrepo.paths import name_bytes

_KEY = 32
_LINE = re.compile(rb"([0-9a-f]{32}) ([0-9a-f]{64})\n")


class Notes:
    """The notes in one file; opened by `with`, gone after `forget`."""

    def __init__(self, path: str):
        self._path = path
        self._fd = -1
        self._known: dict[bytes, bytes] = {}  # a million take 150 MB

    def __enter__(self) -> Notes:
        make_folder(os.path.dirname(self._path), flush=False)
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._fd = os.open(self._path, flags, 0o644)
        with open(self._fd, "rb", closefd=False) as stream:
            for line in stream:
                if found := _LINE.fullmatch(line):
                    self._known[bytes.fromhex(found[1].decode())] = bytes.fromhex(found[2].decode())
        os.write(self._fd, b"\n")  # the last line may have been cut off
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        os.close(self._fd)

    def find(self, name: str, mark: str) -> Oid | None:
        """Return what a file was when it had this mark; one without a mark is not known."""
        found = self._known.get(_key(name, mark)) if mark else None
        return Oid(found.hex()) if found else None

    def add(self, name: str, mark: str, oid: Oid) -> None:
        """Note what a file is."""
        if mark and self.find(name, mark) != oid:
            key = _key(name, mark)
            self._known[key] = bytes.fromhex(oid)
            os.write(self._fd, f"{key.hex()} {oid}\n".encode())

    def forget(self) -> None:
        """Remove the notes: all of it has arrived."""
        remove_quietly(self._path)


def _key(name: str, mark: str) -> bytes:
    return bytes.fromhex(blob_oid(name_bytes(f"{name}\n{mark}"))[:_KEY])
