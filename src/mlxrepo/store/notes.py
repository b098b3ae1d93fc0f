"""What the files of a source are called, noted as they are hashed: for a run after a kill.

    JSON Lines: [name, mark, oid]; a mark changes when the file does

A note says what a file is, never that it arrived: that is asked of the remote.
"""

from __future__ import annotations

import os
from types import TracebackType

from mlxrepo.codec import canonical, parse_json
from mlxrepo.errors import MlxError
from mlxrepo.files import make_folder, remove_quietly
from mlxrepo.hashing import Oid, is_oid


class Notes:
    """The notes in one file; opened by `with`, gone after `forget`."""

    def __init__(self, path: str):
        self._path = path
        self._fd = -1
        self._known: dict[tuple[str, str], Oid] = {}

    def __enter__(self) -> Notes:
        make_folder(os.path.dirname(self._path), flush=False)
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._fd = os.open(self._path, flags, 0o644)
        with open(self._fd, "rb", closefd=False) as stream:
            for line in stream:
                self._learn(line)
        os.write(self._fd, b"\n")  # the last line may have been cut off
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        os.close(self._fd)

    def _learn(self, line: bytes) -> None:
        try:
            name, mark, oid = parse_json(line, source=self._path)
        except (MlxError, ValueError, TypeError):
            return
        if is_oid(oid):
            self._known[name, mark] = oid

    def find(self, name: str, mark: str) -> Oid | None:
        """Return what a file was when it had this mark; one without a mark is not known."""
        return self._known.get((name, mark)) if mark else None

    def add(self, name: str, mark: str, oid: Oid) -> None:
        """Note what a file is."""
        if mark and self._known.get((name, mark)) != oid:
            self._known[name, mark] = oid
            os.write(self._fd, canonical([name, mark, oid]) + b"\n")

    def forget(self) -> None:
        """Remove the notes: all of it has arrived."""
        remove_quietly(self._path)
