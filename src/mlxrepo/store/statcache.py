"""The stat cache: what was in a folder when it was last hashed, so that it need not be read again.

One SQLite row per folder. A row holds the stat of every file with its oid, and one fingerprint over
all of it together with the folder's tree: a clean folder is recognised without decoding the row.
Beside the rows it keeps memos: what else was worked out from files and can be worked out again.
Everything here can be deleted at any time; on any doubt it is not believed.
"""

from __future__ import annotations

import os
import sqlite3
import struct
import time
from array import array
from typing import NamedTuple

from mlxrepo.files import Stat, stat_of
from mlxrepo.hashing import Oid, fingerprint
from mlxrepo.paths import name_bytes
from mlxrepo.store.tree import Entry

VERSION = 3
# A file changed within this many nanoseconds before it was looked at could change again without a
# new time stamp (kernels tick every 1 to 10 ms), so it is read again next time: git's racy rule.
RACY_NS = 20_000_000
YOUNG_MAX = 1_000  # folders that wait to be old enough

_HEAD = struct.Struct("<16s32sqq")  # print, oid, size and files of the folder
_ROW = struct.Struct("<32sqqqQIBH")
_KINDS = ("file", "exec", "symlink")

# What SQLite says when a database is fine, but cannot be had now, here or by this user; after
# anything else it is thrown away.
_OUT_OF_REACH = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
}

# A folder's own row, those of single files in it, and those of folders below it.
_WHERE = "WHERE path = ? OR (path >= ? AND path < ?) OR (path >= ? AND path < ?)"
_AT_OR_BELOW = f"SELECT path, row FROM folder {_WHERE}"
_DROP_AT_OR_BELOW = f"DELETE FROM folder {_WHERE}"


class Seen(NamedTuple):
    """A file as it was when it was hashed."""

    stat: Stat
    entry: Entry


class Folder(NamedTuple):
    """A folder as it was: the print of its listing, its own entry, and its files by name.

    An empty print is that of no listing.
    """

    print: bytes
    entry: Entry
    files: dict[str, Seen]


def listing_print(
    found: list[tuple[str, Stat]], folders: list[tuple[str, Oid]], rules: bytes = b""
) -> bytes:
    """Fingerprint a listing: what is in a folder, and the rules by which some of it is left out."""
    found.sort()
    names = "\0".join([name for name, _ in found])
    numbers = _words([number for _, stat in found for number in stat])
    below = "\0".join([f"{name}\0{oid}" for name, oid in sorted(folders)])
    return fingerprint(b"\0\0".join((name_bytes(names), numbers, name_bytes(below), rules)))


def _words(numbers: list[int]) -> bytes:
    try:
        return array("q", numbers).tobytes()
    except OverflowError:  # inode numbers of some disks use the last bit
        return array("Q", [n & 0xFFFFFFFFFFFFFFFF for n in numbers]).tobytes()


def single_key(path: str) -> str:
    """Return the row name of a file that is looked at by itself, not with its folder."""
    folder, _, name = path.rpartition("/")
    return f"{folder}\0{name}"


def is_racy(stat: Stat, looked_at: int) -> bool:
    """Say whether a file is too young for its stat to be believed later."""
    return max(stat.mtime, stat.ctime) >= looked_at - RACY_NS


def _pack(path: bytes, folder: Folder) -> bytes:
    head = _pack_head(folder.print, folder.entry)
    return _signed(path, head + b"".join([_pack_file(*item) for item in folder.files.items()]))


def _signed(path: bytes, row: bytes) -> bytes:
    return fingerprint(path + row) + row


def _pack_head(print_: bytes, entry: Entry) -> bytes:
    return _HEAD.pack(print_, bytes.fromhex(entry.oid), entry.size, entry.files)


def _pack_file(name: str, seen: Seen) -> bytes:
    raw = name_bytes(name)
    return (
        _ROW.pack(
            bytes.fromhex(seen.entry.oid),
            seen.stat.size,
            seen.stat.mtime,
            seen.stat.ctime,
            seen.stat.inode,
            seen.stat.mode,
            _KINDS.index(seen.entry.kind),
            len(raw),
        )
        + raw
    )


def _packed_files(row: bytes) -> dict[bytes, bytes]:
    """Return the part of a row that each file has, by name, without decoding it."""
    found: dict[bytes, bytes] = {}
    at = _HEAD.size
    while at < len(row):
        name = at + _ROW.size
        end = name + int.from_bytes(row[name - 2 : name], "little")
        found[row[name:end]] = row[at:end]
        at = end
    return found


def _unpack(row: bytes) -> dict[str, Seen]:
    files: dict[str, Seen] = {}
    at = _HEAD.size
    while at < len(row):
        oid, size, mtime, ctime, inode, mode, kind, length = _ROW.unpack_from(row, at)
        at += _ROW.size
        name = row[at : at + length].decode("utf-8", "surrogateescape")
        at += length
        entry = Entry(_KINDS[kind], Oid(oid.hex()), size)
        files[name] = Seen(Stat(size, mtime, ctime, inode, mode), entry)
    return files


class _Young(NamedTuple):
    """Files that were just written: when (ns), in which folder, and what they were then."""

    noted: int
    place: str
    value: Folder


def _is_still(path: str, seen: Seen) -> bool:
    try:
        found = os.stat(path, follow_symlinks=seen.entry.kind != "symlink")
    except OSError:
        return False
    return stat_of(found) == seen.stat


class Row(NamedTuple):
    """A folder as it is kept: its files are decoded when somebody asks for them."""

    print: bytes
    entry: Entry
    data: bytes

    @property
    def files(self) -> dict[str, Seen]:
        """Decode the files."""
        return _unpack(self.data)


class StatCache:
    """Folders by path; opened at the first question, written in one transaction by `save`."""

    def __init__(self, path: str):
        self._path = path
        self._db: sqlite3.Connection | None = None
        self._off = False
        self._new: dict[bytes, bytes] = {}
        self._memos: dict[str, bytes] = {}
        self._young: dict[str, _Young] = {}

    def get(self, folder: str) -> Row | None:
        """Return a folder as last noted; None when nothing, or nothing believable, is."""
        path = name_bytes(folder)
        if folder in self._young:
            self._settle(folder)
        found = self._new.get(path) or self._load(path)
        if not isinstance(found, bytes) or len(found) < 16 + _HEAD.size:
            return None
        row = found[16:]
        if fingerprint(path + row) != found[:16]:
            return None
        print_, oid, size, files = _HEAD.unpack_from(row)
        return Row(print_, Entry("tree", Oid(oid.hex()), size, files), row)

    def put(self, folder: str, value: Folder, looked_at: int) -> None:
        """Note a folder as it was at a time (in ns); `save` writes it.

        The racy rule: files too young at that time are left out, and the folder gets no print.
        """
        settled = {n: seen for n, seen in value.files.items() if not is_racy(seen.stat, looked_at)}
        if len(settled) < len(value.files):
            value = Folder(b"", value.entry, settled)
        path = name_bytes(folder)
        self._new[path] = _pack(path, value)

    def put_new(self, folder: str, value: Folder, place: str) -> None:
        """Note files that mlx itself has just written in `place`, an absolute path.

        Without a print they are some files of the folder, with one they are all of it.
        Their bytes are known, but their stats are too young to be believed: they are compared
        once more when they are old enough, at the first question or when the cache is saved.
        """
        before = self._young.pop(folder, None)
        if before and not value.print:
            value = value._replace(files={**before.value.files, **value.files})
        self._young[folder] = _Young(time.time_ns(), place, value)
        oldest = next(iter(self._young))
        if len(self._young) > YOUNG_MAX:
            self._settle(oldest)

    def _settle(self, folder: str) -> None:
        noted, place, value = self._young.pop(folder)
        wait = noted + 2 * RACY_NS - time.time_ns()
        if wait > 0:
            time.sleep(wait / 1e9)
        now = time.time_ns()
        same = {n: s for n, s in value.files.items() if _is_still(os.path.join(place, n), s)}
        print_ = value.print if len(same) == len(value.files) else b""
        if value.print:
            self.put(folder, Folder(print_, value.entry, same), now)
        else:
            self._add(folder, value.entry, same, now)

    def _add(self, folder: str, entry: Entry, files: dict[str, Seen], looked_at: int) -> None:
        """Note some files of a folder; the rest is as it was noted before."""
        row, path = self.get(folder), name_bytes(folder)
        known = _packed_files(row.data) if row else {}
        for name, seen in files.items():
            if is_racy(seen.stat, looked_at):
                known.pop(name_bytes(name), None)
            else:
                known[name_bytes(name)] = _pack_file(name, seen)
        self._new[path] = _signed(path, _pack_head(b"", entry) + b"".join(known.values()))

    def memo(self, name: str) -> bytes | None:
        """Return what was last kept under a name; None when nothing, or nothing believable, is."""
        if name in self._memos:
            return self._memos[name]
        found = self._ask("SELECT body FROM memo WHERE name = ?", name)
        if not isinstance(found, bytes) or fingerprint(found[16:]) != found[:16]:
            return None
        return found[16:]

    def put_memo(self, name: str, body: bytes) -> None:
        """Keep a memo under a name; `save` writes it."""
        self._memos[name] = body

    def save(self) -> None:
        """Write what was noted; a stat cache that cannot be written is no error."""
        for folder in list(self._young):
            self._settle(folder)
        if (self._new or self._memos) and not self._off:
            memos = [(name, fingerprint(body) + body) for name, body in self._memos.items()]
            try:
                with self._open() as db:
                    rows = self._new.items()
                    db.executemany("INSERT OR REPLACE INTO folder VALUES (?,?)", rows)
                    db.executemany("INSERT OR REPLACE INTO memo VALUES (?,?)", memos)
            except (sqlite3.Error, OSError) as error:
                self._give_up(error)
        self._new.clear()
        self._memos.clear()

    def rename(self, old: str, new: str) -> None:
        """Let the rows of a moved folder follow it, with those of what lies in it."""
        self.save()
        if self._off:
            return
        try:
            with self._open() as db:
                start = name_bytes(old)
                ends = (start + b"\0", start + b"\1", start + b"/", start + b"0")
                found = db.execute(_AT_OR_BELOW, (start, *ends)).fetchall()
                rows = [
                    (path := name_bytes(new) + before[len(start) :], fingerprint(path + row) + row)
                    for before, whole in found
                    if fingerprint(before + (row := whole[16:])) == whole[:16]
                ]
                db.execute(_DROP_AT_OR_BELOW, (start, *ends))
                db.executemany("INSERT OR REPLACE INTO folder VALUES (?,?)", rows)
        except (sqlite3.Error, OSError) as error:
            self._give_up(error)

    def close(self) -> None:
        """Save and close."""
        self.save()
        self._disconnect()

    def _load(self, path: bytes) -> object:
        return self._ask("SELECT row FROM folder WHERE path = ?", path)

    def _ask(self, query: str, word: str | bytes) -> object:
        if self._off:
            return None
        try:
            found = self._open().execute(query, (word,)).fetchone()
        except (sqlite3.Error, OSError) as error:
            self._give_up(error)
            return None
        return found[0] if found else None

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
            db.execute("DROP TABLE IF EXISTS memo")
            db.execute("CREATE TABLE folder (path BLOB PRIMARY KEY, row BLOB) WITHOUT ROWID")
            db.execute("CREATE TABLE memo (name TEXT PRIMARY KEY, body BLOB)")
            db.execute(f"PRAGMA user_version={VERSION}")

    def _disconnect(self) -> None:
        if self._db:
            self._db.close()
            self._db = None

    def _give_up(self, error: Exception) -> None:
        """Throw a damaged database away, the next question makes a new one; else ask no more."""
        self._disconnect()
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if isinstance(error, OSError) or code in _OUT_OF_REACH:
            self._off = True
            return
        for suffix in ("", "-journal"):
            try:
                os.unlink(self._path + suffix)
            except FileNotFoundError:
                pass
            except OSError:
                self._off = True
