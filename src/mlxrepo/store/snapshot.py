"""Workspace to objects: hash a file or a folder, and store it when asked to.

A folder whose listing is the one the stat cache remembers is not read. A file with the stat it had
when it was hashed is not read either. Everything else is read once, hashed and copied on the way.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat as statlib
import time
from collections.abc import Callable
from typing import NamedTuple

from mlxrepo.errors import EnvironmentFailed, InputError, ObjectMissing
from mlxrepo.files import Stat, stat_of
from mlxrepo.hashing import Oid, blob_oid, tree_oid
from mlxrepo.paths import (
    TEMP_PREFIX,
    RepoPath,
    bad_link,
    bad_name,
    display,
    name_bytes,
    name_of,
)
from mlxrepo.progress import SILENT, Progress
from mlxrepo.reading import read_content
from mlxrepo.store.links import linked_oid, quarantine_if_edited
from mlxrepo.store.marker import is_partial
from mlxrepo.store.objects import Store
from mlxrepo.store.sink import Sink as Sink
from mlxrepo.store.statcache import Folder, Seen, StatCache, listing_print, single_key
from mlxrepo.store.tree import Entry, Tree, check_depth, parse, write_tree

Ignored = Callable[[str, bool], bool]  # (repository path, is it a folder) -> leave it out
Rules = Callable[[str], bytes]  # folder -> a digest of the rules that hold in it


def nothing_ignored(path: str, is_folder: bool) -> bool:
    """Ignore nothing."""
    return False


def no_rules(folder: str) -> bytes:
    """Return the digest of no rules."""
    return b""


class _Listing(NamedTuple):
    """What is in a folder: everything but folders with its stat, folders that count, the rest."""

    found: list[tuple[str, Stat]]
    folders: list[str]
    hidden: list[str]


class _Sorted(NamedTuple):
    """What of a listing counts."""

    files: list[tuple[str, Stat]]
    links: list[tuple[str, Stat]]


class Scan:
    """One look at the workspace below `root`; with a batch it stores what it hashes.

    Trees it computed without storing them are kept and answered by `tree`, so that a comparison
    can walk them as if they were in the store. `unfinished` are the folders in which it has seen
    what a writer is making, or has left when it was killed.
    """

    def __init__(
        self,
        root: str,
        cache: StatCache,
        store: Store,
        *,
        batch: Sink | None = None,
        ignored: Ignored = nothing_ignored,
        rules: Rules = no_rules,
        progress: Progress = SILENT,
    ):
        self.root = root
        self.read_files = 0
        self.unfinished: set[RepoPath] = set()
        self._cache = cache
        self._store = store
        self._batch = batch
        self._is_partial = batch is not None and is_partial(store.root)
        self._ignored = ignored
        self._rules = rules
        self._progress = progress
        self._trees: dict[Oid, bytes] = {}
        self._cached: dict[Oid, RepoPath] = {}

    # answers

    def entry(self, path: RepoPath, *, top: RepoPath | None = None) -> Entry | None:
        """Hash what lies at `path`; None when nothing does.

        `top` is the tracked path that `path` lies in (default: itself): links may lead to
        anything in it. Without a batch, a top that is a link is what it leads to, as for the
        command that depends on it; a link below is itself.

        Raises:
            InputError: for a special file, a name that cannot be kept, or a link that leaves it.
            EnvironmentFailed: when something cannot be read or will not hold still.
        """
        top = path if top is None else top
        try:
            found = os.lstat(self.full(path))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise _unreadable(path, error) from None
        if statlib.S_ISDIR(found.st_mode):
            return self._folder(path, top, 0)
        if not statlib.S_ISLNK(found.st_mode):
            return self._single(path, stat_of(found))
        if linked_oid(self._store, os.readlink(self.full(path))):
            with contextlib.suppress(FileNotFoundError):
                return self._single(path, stat_of(os.stat(self.full(path))))
            return None
        if path == top and not self._batch:
            return self._through_link(path)
        return self._link(path, top)

    def _through_link(self, path: RepoPath) -> Entry | None:
        """Hash what a dependency that is a link leads to: its content is what the command reads."""
        real = os.path.realpath(self.full(path))
        if os.path.isdir(real):
            return self._folder(path, path, 0)
        if not os.path.isfile(real):
            return None
        return self._read(path, real, None).entry

    def tree(self, oid: Oid) -> Tree:
        """Return a tree this scan computed or the store has."""
        if oid in self._trees:
            return parse(self._trees[oid], oid, self._node)
        if oid in self._cached and not self._store.has("tree", oid):
            path = self._cached[oid]
            again = self._folder(path, path, 0, whole=False)
            if again is None or again.oid != oid:
                raise EnvironmentFailed(f"{display(path)} changes while it is read")
            return parse(self._trees[oid], oid, self._node)
        return self._store.tree(oid)

    def put_tree(self, data: bytes) -> Oid:
        """Name tree bytes; store them when this scan stores."""
        oid = self._batch.put_tree(data) if self._batch else tree_oid(data)
        self._trees[oid] = data
        return oid

    def full(self, path: str) -> str:
        """Return the absolute path of a repository path."""
        return os.path.join(self.root, path) if path else self.root

    def _node(self, oid: Oid) -> bytes:
        return self._trees.get(oid) or self._store.read("tree", oid)

    # folders

    def _folder(self, path: RepoPath, top: str, depth: int, *, whole: bool = True) -> Entry | None:
        """Hash a folder; not `whole`: also when its print says what it is.

        None for one below the top that holds nothing but what mlx does not look at: it would
        otherwise stay behind as an empty folder that nobody recorded.
        """
        looked_at = time.time_ns()
        listing = self._list(path)
        below = self._below(path, top, depth, listing)
        folders = [(name, entry.oid) for name, entry in below.items()]
        # The print is of the raw listing, so that a clean folder is recognised before anybody
        # asks which of its files count.
        seen_print = listing_print(listing.found, folders, self._rules(path))
        row = self._cache.get(path)
        if row and whole and row.print == seen_print and self._usable(row.entry, listing):
            self._cached[row.entry.oid] = path
            self._progress.advance(len(listing.found))
            return row.entry
        counted = self._sort(path, listing)
        if depth and listing.hidden and not counted.files and not counted.links and not below:
            return None
        known = row.files if row else {}
        entry, seen = self._hash_folder(path, top, counted, below, known)
        found = [(name, seen[name].stat if name in seen else s) for name, s in listing.found]
        seen_print = listing_print(found, folders, self._rules(path))
        self._cache.put(path, Folder(seen_print, entry, seen), looked_at)
        return entry

    def _below(self, path: RepoPath, top: str, depth: int, listing: _Listing) -> dict[str, Entry]:
        check_depth(path)
        below: dict[str, Entry] = {}
        for name in listing.folders:
            child = RepoPath(f"{path}/{name}" if path else name)
            entry = self._folder(child, top, depth + 1)
            if entry:
                below[name] = entry
            else:
                listing.hidden.append(name)
        return below

    def _usable(self, entry: Entry, listing: _Listing) -> bool:
        """Say whether a remembered tree saves the reading.

        When storing, only if its objects are there, and it holds no link: what a link may lead to
        depends on the tracked path that the folder is looked at as a part of.
        """
        if self._batch is None:
            return True
        has_link = any(statlib.S_ISLNK(stat.mode) for _, stat in listing.found)
        return not has_link and self._batch.has("tree", entry.oid) and self._is_filled(entry)

    def _is_filled(self, entry: Entry) -> bool:
        """Say whether the store has the files of a folder that it has: it may have been fetched.

        Folders in it are looked at by themselves.
        """
        assert self._batch is not None
        if not self._is_partial:
            return True
        try:
            tree = self._store.tree(entry.oid)
        except ObjectMissing:
            return False
        return all(item.kind == "tree" or self._batch.has_entry(item) for item in tree.values())

    def _hash_folder(
        self,
        path: RepoPath,
        top: str,
        counted: _Sorted,
        below: dict[str, Entry],
        known: dict[str, Seen],
    ) -> tuple[Entry, dict[str, Seen]]:
        seen: dict[str, Seen] = {}
        for name, stat in counted.files:
            seen[name] = self._file(f"{path}/{name}" if path else name, stat, known.get(name))
        for name, stat in counted.links:
            seen[name] = Seen(stat, self._link(f"{path}/{name}" if path else name, top))
        tree: Tree = dict(below)
        tree.update((name, item.entry) for name, item in seen.items())
        return write_tree(tree, self.put_tree), seen

    def _list(self, path: RepoPath) -> _Listing:
        listing = _Listing([], [], [])
        below = f"{path}/" if path else ""
        try:
            with os.scandir(self.full(path)) as items:
                for item in items:
                    if item.is_symlink():
                        listing.found.append((item.name, self._link_stat(item)))
                    elif not item.is_dir(follow_symlinks=False):
                        found = item.stat(follow_symlinks=False)
                        listing.found.append((item.name, stat_of(found)))
                    elif self._is_hidden(below + item.name, item.name, True):
                        listing.hidden.append(item.name)
                        if item.name.startswith(TEMP_PREFIX):
                            self.unfinished.add(path)
                    else:
                        _check_name(below + item.name, item.name)
                        listing.folders.append(item.name)
        except OSError as error:
            raise _unreadable(path, error) from None
        return listing

    def _link_stat(self, item: os.DirEntry[str]) -> Stat:
        """Return the stat of a link; for one to an object of the store, the object's."""
        if linked_oid(self._store, os.readlink(item.path)):
            with contextlib.suppress(OSError):
                return stat_of(item.stat())
        return stat_of(item.stat(follow_symlinks=False))

    def _is_hidden(self, path: str, name: str, is_folder: bool) -> bool:
        ours = name.startswith(TEMP_PREFIX) or name in (".git", ".mlx")
        return ours or self._ignored(path, is_folder)

    def _sort(self, folder: RepoPath, listing: _Listing) -> _Sorted:
        """Leave out what is hidden; refuse what cannot be kept."""
        counted = _Sorted([], [])
        for name, stat in listing.found:
            path = f"{folder}/{name}" if folder else name
            if self._is_hidden(path, name, False):
                listing.hidden.append(name)
                continue
            _check_name(path, name)
            if statlib.S_ISREG(stat.mode):
                counted.files.append((name, stat))
            elif statlib.S_ISLNK(stat.mode):
                counted.links.append((name, stat))
            else:
                raise InputError(
                    f"{display(path)} is a {_special(stat.mode)}; only files, folders and "
                    "links can be kept",
                    hint="remove it, or name it in .mlxignore",
                )
        return counted

    # files and links

    def _single(self, path: RepoPath, stat: Stat) -> Entry:
        """Hash a file that is tracked by itself; it has a row of its own."""
        if not statlib.S_ISREG(stat.mode):
            raise InputError(f"{display(path)} is a {_special(stat.mode)}, not a file or a folder")
        key = single_key(path)
        looked_at = time.time_ns()
        row = self._cache.get(key)
        known = row.files.get(name_of(path)) if row else None
        seen = self._file(path, stat, known)
        if seen is not known:
            self._cache.put(key, Folder(b"", seen.entry, {name_of(path): seen}), looked_at)
        return seen.entry

    def _file(self, path: str, stat: Stat, known: Seen | None) -> Seen:
        self._progress.advance()
        if known and known.stat == stat and self._has_blob(known.entry.oid):
            return known
        self.read_files += 1
        full = self.full(path)
        if known and known.stat.inode == stat.inode:
            quarantine_if_edited(self._store, known.entry.oid, full)
        if os.path.islink(full):
            full = os.path.realpath(full)  # an object of the store
        return self._read(path, full, stat.size)

    def _read(self, path: str, full: str, size: int | None) -> Seen:
        try:
            content = self._batch.put_file(full, size) if self._batch else read_content(full)
        except OSError as error:
            if error.filename != full:  # not the file: the store, or the disk
                raise
            raise _unreadable(path, error) from None
        kind = "exec" if content.stat.executable else "file"
        return Seen(content.stat, Entry(kind, content.oid, content.stat.size))

    def _has_blob(self, oid: Oid) -> bool:
        return self._batch is None or self._batch.has("blob", oid)

    def _link(self, path: str, top: str) -> Entry:
        try:
            target = os.readlink(self.full(path))
        except OSError as error:
            raise _unreadable(path, error) from None
        reason = self._batch and (bad_link(path, target, top) or self._bad_end(path))
        if reason:
            raise InputError(
                f'{display(path)} is a symbolic link to "{display(target)}", which {reason}',
                hint="replace it by a copy, or name it in .mlxignore",
            )
        data = name_bytes(target)
        oid = self._batch.put("blob", data) if self._batch else blob_oid(data)
        return Entry("symlink", oid, len(data))

    def _bad_end(self, path: str) -> str | None:
        """Say what is wrong with where a link ends; what it leads to may be absent by design."""
        try:
            os.stat(self.full(path))
        except OSError as error:
            return "goes round in a circle" if error.errno == errno.ELOOP else None
        return None


def _check_name(path: str, name: str) -> None:
    reason = bad_name(name)
    if reason:
        raise InputError(f"{display(path)}: the name {reason}")


def _special(mode: int) -> str:
    for test, word in (
        (statlib.S_ISFIFO, "FIFO"),
        (statlib.S_ISSOCK, "socket"),
        (statlib.S_ISBLK, "block device"),
        (statlib.S_ISCHR, "character device"),
    ):
        if test(mode):
            return word
    return "special file"


def _unreadable(path: str, error: OSError) -> EnvironmentFailed:
    hint = "nothing may be taken away there meanwhile; then again"
    if isinstance(error, PermissionError):
        hint = "mend its permissions, or name it in .mlxignore"
    return EnvironmentFailed(f"{display(path) or '.'} cannot be read: {error.strerror}", hint=hint)
