"""A source of data that is to be recorded without a copy here: what it holds, and its reading."""

from __future__ import annotations

import os
from typing import Protocol

from mlxrepo.errors import EnvironmentFailed, InputError
from mlxrepo.paths import RepoPath, display, is_inside, join
from mlxrepo.repo.ignore import IgnoreRules
from mlxrepo.repo.repo import Repo
from mlxrepo.store.outbox import Outbox, changed
from mlxrepo.store.refusals import redacted
from mlxrepo.store.sink import Nowhere, Sink
from mlxrepo.store.snapshot import Scan
from mlxrepo.store.statcache import StatCache
from mlxrepo.store.tree import Entry

NOWHERE = os.path.join(os.devnull, "stat")  # of a stat cache that keeps nothing


class Source(Protocol):
    """A file or folder; `shown` is what messages call it, `is_here` says that it stays here."""

    shown: str
    is_here: bool

    def survey(self) -> Entry:
        """Look at all of it, and read no file: kind, size and number of files are right.

        Raises:
            InputError: when something of it cannot be kept.
        """

    def gather(self, outbox: Outbox) -> Entry:
        """Read all of it into an outbox.

        Raises:
            EnvironmentFailed: when something cannot be read, or changes meanwhile.
        """


class Local:
    """A source on this machine, looked at by the rules of `add`."""

    def __init__(self, repo: Repo, full: str, path: RepoPath):
        self.shown = display(full)
        self.is_here = full == repo.full(path)
        self._repo = repo
        self._path = path
        self._root, self._top = os.path.split(full)
        if self.is_here:
            self._root, self._top = repo.root, path
        self._rules = IgnoreRules(repo.root, None if self.is_here else (path, full))

    def survey(self) -> Entry:
        """Look at it."""
        return self._entry(self._scan(Nowhere()))

    def gather(self, outbox: Outbox) -> Entry:
        """Read it."""
        scan = self._repo.scan(batch=outbox) if self.is_here else self._scan(outbox)
        return self._entry(scan)

    def _entry(self, scan: Scan) -> Entry:
        entry = scan.entry(RepoPath(self._top))
        if entry is None:
            raise InputError(f"{self.shown} is not there", hint="check the path: ls")
        return entry

    def _scan(self, sink: Sink) -> Scan:
        cache = StatCache(NOWHERE)
        return Scan(self._root, cache, self._repo.store, batch=sink, ignored=self._ignored)

    def _ignored(self, path: str, is_folder: bool) -> bool:
        return self._rules.ignored(self._path + path[len(self._top) :], is_folder)


class Behind:
    """A source behind a URL."""

    is_here = False

    def __init__(self, repo: Repo, url: str, path: RepoPath):
        from mlxrepo.store.origin import Origin  # fsspec, only where it is needed

        self._origin = Origin(url)
        self._path = path
        self._rules = IgnoreRules(repo.root)
        self.shown = self._origin.shown
        self._items = self._origin.items(self._ignored)

    def _ignored(self, path: str, is_folder: bool) -> bool:
        return bool(path) and self._rules.ignored(join(self._path, path), is_folder)

    def survey(self) -> Entry:
        """Look at it."""
        from mlxrepo.hashing import blob_oid

        is_file = self._items[0].path == ""
        size = sum(item.size for item in self._items)
        return Entry("file" if is_file else "tree", blob_oid(b""), size, len(self._items))

    def gather(self, outbox: Outbox) -> Entry:
        """Read it, and look again whether it is what it was."""
        from mlxrepo.store.origin import gather

        entry = gather(self._origin, self._items, outbox)
        before, now = set(self._items), set(self._origin.items(self._ignored))
        differ = sorted(item.path for item in before ^ now)
        if differ:
            raise changed(f"{self.shown}/{differ[0]}" if differ[0] else self.shown)
        return entry


def last_name(text: str) -> str:
    """Return what a source is called where nobody says.

    Raises:
        InputError: when it has no name.
    """
    path = text.partition("?")[0] if "://" in text else os.path.normpath(text)
    name = path.rstrip("/").rpartition("/")[2]
    if "://" in text:
        from urllib.parse import unquote

        name = unquote(name)
    if name in ("", ".", "..") or path.rstrip("/").endswith(":/"):
        raise InputError(
            f"{display(redacted(text))} has no name of its own",
            hint="say where it is to be tracked: mlx add --to-remote SOURCE DEST",
        )
    return name


def open_source(repo: Repo, text: str, path: RepoPath) -> Source:
    """Open a local path or URL that is to be recorded at `path`.

    Raises:
        InputError: when nothing is there, or nothing here speaks its protocol.
    """
    if "://" in text:
        return Behind(repo, text, path)
    full = os.path.join(repo.cwd, text)
    folder, name = os.path.split(os.path.normpath(full))
    full = os.path.join(os.path.realpath(folder), name)
    if full != repo.full(path):
        full = os.path.realpath(full)
    if not os.path.lexists(full):
        raise InputError(f"{display(text)} is not there", hint="check the path: ls")
    if is_inside(repo.root, full.rstrip("/")):
        raise InputError(f"{display(text)} holds this repository", hint="name a folder of data")
    if not os.access(full, os.R_OK):
        raise EnvironmentFailed(f"{display(text)} cannot be read", hint="mend its permissions")
    return Local(repo, full, path)
