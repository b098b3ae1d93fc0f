"""What must be true of two repositories that share a store, found out without asking mlx.

Git says which lockfiles can still be reached. What each of their rows holds is noted when it first
appears, from the workspace it was made of; from then on the store must give the same bytes for as
long as anything names the row.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from sandbox import Project

from mlxrepo.errors import MlxError
from mlxrepo.hashing import Oid, blob_oid
from mlxrepo.store.objects import Store
from mlxrepo.store.tree import Entry

TOPS = ("data", "sets/raw", "one.bin")  # two folders, one below a folder of git's, and a file
Files = dict[str, bytes]
Rows = dict[str, Entry]


class Found(NamedTuple):
    """A row of a lockfile and where that lies."""

    where: str
    top: str
    entry: Entry


def parse_rows(text: str) -> Rows:
    """Return what a lockfile names, by path; read without mlx."""
    values = [json.loads(line) for line in text.splitlines()[1:] if line]
    records = [value for value in values if isinstance(value, dict)]
    return {
        r["path"]: Entry(r["kind"], Oid(r["oid"]), r["size"], r.get("files", 1)) for r in records
    }


def covers(top: str, path: str) -> bool:
    """Say whether `path` is `top` or below it."""
    return path == top or path.startswith(top + "/")


def below(files: Files, top: str) -> Files:
    """Return the files at and below a path."""
    return {path: data for path, data in files.items() if covers(top, path)}


class Place(Project):
    """A worktree as its user sees it."""

    def data(self) -> Files:
        """Return the user's data files."""
        found: Files = {}
        for top in TOPS:
            full = self.root / top
            if full.is_file():
                found[top] = full.read_bytes()
            for here, folders, names in os.walk(full):
                assert not any(Path(here, name).is_symlink() for name in (*folders, *names))
                for name in names:
                    if not name.startswith(".mlx-tmp-"):
                        path = Path(here, name)
                        found[str(path.relative_to(self.root))] = path.read_bytes()
        return found

    def rows(self) -> Rows:
        """Return what the lockfile on disk names."""
        lock = self.root / "mlx.lock"
        return parse_rows(lock.read_text()) if lock.exists() else {}

    def trash(self) -> Iterator[bytes]:
        """Yield what --force has put away here."""
        common = self.git("rev-parse", "--path-format=absolute", "--git-common-dir").strip()
        for path in Path(common, "mlx", "trash").rglob("*"):
            if path.is_file():
                yield path.read_bytes()


class Oracle:
    """Remembers what rows hold, and looks whether they still do."""

    def __init__(self, store: Path, places: dict[str, Place]):
        self.store = store
        self.places = places
        self.known: dict[Entry, Files] = {}  # paths below the row's; "" for a file
        self._locks: dict[str, str] = {}

    # what is named

    def named(self) -> list[Found]:
        """Return every row that anything names: on disk, in an index, in any reachable commit."""
        found: list[Found] = []
        seen: set[tuple[str, str]] = set()
        for name, place in self.places.items():
            texts = [("workspace", place.read("mlx.lock"))] if place.rows() else []
            for where in (":mlx.lock", *(f"{commit}:mlx.lock" for commit in self.commits(place))):
                texts.append((where, self._lock(place, where)))
            for where, text in texts:
                rows = parse_rows(text).items() if text else ()
                for top, entry in rows:
                    if (top, entry.oid) not in seen or where == "workspace":
                        seen.add((top, entry.oid))
                        found.append(Found(f"{name} {where}", top, entry))
        return found

    def commits(self, place: Place) -> list[str]:
        """Return every commit that a ref or a reflog leads to, the newest first."""
        return place.git("rev-list", "--all", "--reflog", "HEAD").split()

    def _lock(self, place: Place, where: str) -> str:
        if where.startswith(":"):
            return place.git("show", where, check=False)
        if where not in self._locks:  # a commit's never changes
            self._locks[where] = place.git("show", where, check=False)
        return self._locks[where]

    def files(self, rows: Rows) -> Files:
        """Return the files that rows hold, by their paths in the worktree."""
        return {
            f"{top}/{path}" if path else top: data
            for top, entry in rows.items()
            for path, data in self.known[entry].items()
        }

    def at(self, place: Place, commit: str) -> Rows:
        """Return the rows of a commit's lockfile."""
        return parse_rows(self._lock(place, f"{commit}:mlx.lock"))

    # what is there

    def read(self, entry: Entry) -> Files:
        """Return what the store has of an entry, every byte checked against its name."""
        try:
            return self._read(entry)
        except MlxError as error:
            raise AssertionError(f"{entry.kind} {entry.oid[:12]} is lost: {error}") from error

    def _read(self, entry: Entry) -> Files:
        store = Store(str(self.store))
        found: Files = {}
        queue = [("", entry)]
        while queue:
            path, item = queue.pop()
            if item.kind == "tree":
                parts = store.tree(item.oid).items()
                queue += [(f"{path}/{name}" if path else name, child) for name, child in parts]
            else:
                found[path] = store.read("blob", item.oid)
        return found

    def check_all(self) -> None:
        """Fail when anything that is named is not whole, or holds other bytes than it did."""
        looked: set[Entry] = set()
        for where, top, entry in self.named():
            if entry in looked:
                continue
            looked.add(entry)
            found = self.read(entry)
            assert self.known.setdefault(entry, found) == found, f"{top} of {where}"

    def is_stored(self, data: bytes) -> bool:
        """Say whether the store, or what gc took out of it, has these bytes."""
        trashes = (self.store / "trash").glob("gc-*")
        oid = blob_oid(data)
        return any(Store(str(root)).has("blob", oid) for root in (self.store, *trashes))
