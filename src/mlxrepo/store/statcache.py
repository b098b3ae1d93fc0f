"""The stat cache: what was in a folder when it was last hashed, so that it need not be read again.

One SQLite row per folder. A row holds the stat of every file with its oid, and one fingerprint over
all of it together with the folder's tree: a clean folder is recognised without decoding the row.
Everything here can be deleted at any time; on any doubt it is not believed.
"""

from __future__ import annotations

import os
import sqlite3
import struct
from array import array
from typing import NamedTuple

from mlxrepo.files import Stat
from mlxrepo.hashing import Oid, fingerprint
from mlxrepo.paths import name_bytes
from mlxrepo.store.tree import Entry

VERSION = 1
# A file changed within this many nanoseconds before it was looked at could change again without a
# new time stamp (kernels tick every 1 to 10 ms), so it is read again next time: git's racy rule.
RACY_NS = 20_000_000

_ROW = struct.Struct("<32sqqqQIBH")
_KINDS = ("file", "exec", "symlink")


class Seen(NamedTuple):
    """A file as it was when it was hashed."""

    stat: Stat
    entry: Entry


class Folder(NamedTuple):
    """A folder as it was: the print of its listing, its own entry, and its files by name."""

    print: bytes
    entry: Entry
    files: dict[str, Seen]


def listing_print(found: list[tuple[str, Stat]], folders: list[tuple[str, Oid]]) -> bytes:
    """Fingerprint a listing: names and stats of its files, names and oids of its sub-folders."""
    found.sort()
    names = "\0".join([name for name, _ in found])
    numbers = array("Q", [n & 0xFFFFFFFFFFFFFFFF for _, stat in found for n in stat])
    below = "\0".join([f"{name}\0{oid}" for name, oid in sorted(folders)])
    return fingerprint(b"\0\0".join((name_bytes(names), numbers.tobytes(), name_bytes(below))))


def single_key(path: str) -> str:
    """Return the row name of a file that is looked at by itself, not with its folder."""
    folder, _, name = path.rpartition("/")
    return f"{folder}\0{name}"


def is_racy(stat: Stat, looked_at: int) -> bool:
    """Say whether a file is too young for its stat to be believed later."""
    return max(stat.mtime, stat.ctime) >= looked_at - RACY_NS


def _pack(files: dict[str, Seen]) -> bytes:
    parts = []
    for name, (stat, entry) in files.items():
        raw = name_bytes(name)
        parts.append(
            _ROW.pack(
                bytes.fromhex(entry.oid),
                stat.size,
                stat.mtime,
                stat.ctime,
                stat.inode,
                stat.mode,
                _KINDS.index(entry.kind),
                len(raw),
            )
        )
        parts.append(raw)
    data = b"".join(parts)
    return fingerprint(data) + data


def _unpack(blob: bytes) -> dict[str, Seen] | None:
    data = blob[16:]
    if fingerprint(data) != blob[:16]:
        return None
    files: dict[str, Seen] = {}
    at = 0
    while at < len(data):
        oid, size, mtime, ctime, inode, mode, kind, length = _ROW.unpack_from(data, at)
        at += _ROW.size
        name = data[at : at + length].decode("utf-8", "surrogateescape")
        at += length
        entry = Entry(_KINDS[kind], Oid(oid.hex()), size)
        files[name] = Seen(Stat(size, mtime, ctime, inode, mode), entry)
    return files


class StatCache:
    """Folders by path; opened at the first question, written in one transaction by `save`."""

    def __init__(self, path: str):
        self._path = path
        self._db: sqlite3.Connection | None = None
        self._new: dict[str, tuple[bytes, Entry, bytes]] = {}

    def get(self, folder: str) -> tuple[bytes, Entry, bytes] | None:
        """Return print, entry and undecoded files of a folder as last saved."""
        if folder in self._new:
            return self._new[folder]
        try:
            row = (
                self._open()
                .execute(
                    "SELECT print, oid, size, count, files FROM folder WHERE path = ?",
                    (name_bytes(folder),),
                )
                .fetchone()
            )
        except sqlite3.Error:
            self._rebuild()
            return None
        if row is None or not isinstance(row[4], bytes):
            return None
        return row[0], Entry("tree", Oid(row[1]), row[2], row[3]), row[4]

    def files(self, blob: bytes) -> dict[str, Seen]:
        """Decode the files of a row; a damaged row has none."""
        return _unpack(blob) or {}

    def put(self, folder: str, value: Folder) -> None:
        """Note a folder; `save` writes it."""
        self._new[folder] = (value.print, value.entry, _pack(value.files))

    def save(self) -> None:
        """Write what was noted; a stat cache that cannot be written is no error."""
        if not self._new:
            return
        rows = [
            (name_bytes(path), print_, entry.oid, entry.size, entry.files, files)
            for path, (print_, entry, files) in self._new.items()
        ]
        try:
            with self._open() as db:
                db.executemany("INSERT OR REPLACE INTO folder VALUES (?,?,?,?,?,?)", rows)
        except sqlite3.Error:
            self._rebuild()
        self._new.clear()

    def close(self) -> None:
        """Save and close."""
        self.save()
        if self._db:
            self._db.close()
            self._db = None

    def _open(self) -> sqlite3.Connection:
        if self._db is None:
            os.makedirs(os.path.dirname(self._path), exist_ok=True)
            self._db = sqlite3.connect(self._path, timeout=5)
            # A lost cache costs time, never truth: no flush needed.
            self._db.execute("PRAGMA synchronous=OFF")
            if self._db.execute("PRAGMA user_version").fetchone()[0] != VERSION:
                self._create(self._db)
        return self._db

    def _create(self, db: sqlite3.Connection) -> None:
        with db:
            db.execute("DROP TABLE IF EXISTS folder")
            db.execute(
                "CREATE TABLE folder (path BLOB PRIMARY KEY, print BLOB, oid TEXT,"
                " size INTEGER, count INTEGER, files BLOB) WITHOUT ROWID"
            )
            db.execute(f"PRAGMA user_version={VERSION}")

    def _rebuild(self) -> None:
        """Throw a damaged database away; the next scan fills a new one."""
        if self._db:
            self._db.close()
            self._db = None
        for suffix in ("", "-journal", "-wal", "-shm"):
            try:
                os.unlink(self._path + suffix)
            except OSError:
                pass
