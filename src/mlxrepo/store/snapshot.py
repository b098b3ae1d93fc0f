"""Workspace to objects: hash a file or a folder, and store it when asked to.

A folder whose listing is the one the stat cache remembers is not read. A file with the stat it had
when it was hashed is not read either. Everything else is read once, hashed and copied on the way.
"""

from __future__ import annotations

import os
import stat as statlib
import time
from collections.abc import Callable
from typing import NamedTuple

from mlxrepo.errors import EnvironmentFailed, InputError
from mlxrepo.files import TEMP_PREFIX, Stat, read_content, stat_of
from mlxrepo.hashing import Oid, blob_oid, tree_oid
from mlxrepo.paths import RepoPath, bad_link, bad_name, display, name_bytes, name_of
from mlxrepo.progress import SILENT, Progress
from mlxrepo.store.objects import Batch, Store
from mlxrepo.store.statcache import Folder, Seen, StatCache, is_racy, listing_print, single_key
from mlxrepo.store.tree import Entry, Tree, parse, write_tree

DEPTH_MAX = 400

Ignored = Callable[[str, bool], bool]  # (repository path, is it a folder) -> leave it out


def nothing_ignored(path: str, is_folder: bool) -> bool:
    """Ignore nothing."""
    return False


class _Listing(NamedTuple):
    files: list[tuple[str, Stat]]
    links: list[tuple[str, Stat]]
    folders: list[str]


class Scan:
    """One look at the workspace below `root`; with a batch it stores what it hashes.

    Trees it computed without storing them are kept and answered by `tree`, so that a comparison
    can walk them as if they were in the store.
    """

    def __init__(
        self,
        root: str,
        cache: StatCache,
        store: Store,
        *,
        batch: Batch | None = None,
        ignored: Ignored = nothing_ignored,
        progress: Progress = SILENT,
    ):
        self.root = root
        self.read_files = 0
        self._cache = cache
        self._store = store
        self._batch = batch
        self._ignored = ignored
        self._progress = progress
        self._trees: dict[Oid, bytes] = {}
        self._cached: dict[Oid, str] = {}

    # answers

    def entry(self, path: RepoPath) -> Entry | None:
        """Hash what lies at `path`; None when nothing does.

        Raises:
            InputError: for a special file, a name that cannot be kept, or a link that leaves it.
            EnvironmentFailed: when something cannot be read or will not hold still.
        """
        full = self.full(path)
        try:
            found = os.lstat(full)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise _unreadable(path, error) from None
        if statlib.S_ISDIR(found.st_mode):
            return self._folder(path, path, 0)
        if statlib.S_ISLNK(found.st_mode):
            return self._link(path, path) if self._batch else self._through_link(path)
        return self._single(path, stat_of(found))

    def _through_link(self, path: RepoPath) -> Entry | None:
        """Hash what a dependency that is a link leads to: its content is what the command reads."""
        real = os.path.realpath(self.full(path))
        if os.path.isdir(real):
            return self._folder(path, path, 0)
        if not os.path.isfile(real):
            return None
        content = read_content(real)
        kind = "exec" if content.stat.executable else "file"
        return Entry(kind, content.oid, content.stat.size)

    def tree(self, oid: Oid) -> Tree:
        """Return a tree this scan computed or the store has."""
        if oid in self._trees:
            return parse(self._trees[oid], oid, self._node)
        if oid in self._cached and not self._store.has("tree", oid):
            self._remember(self._cached[oid])
            return parse(self._trees[oid], oid, self._node)
        return self._store.tree(oid)

    def put_tree(self, data: bytes) -> Oid:
        """Name tree bytes; store them when this scan stores."""
        if self._batch:
            return self._batch.put_tree(data)
        oid = tree_oid(data)
        self._trees[oid] = data
        return oid

    def full(self, path: str) -> str:
        """Return the absolute path of a repository path."""
        return os.path.join(self.root, path) if path else self.root

    def _node(self, oid: Oid) -> bytes:
        return self._trees.get(oid) or self._store.read("tree", oid)

    def _remember(self, folder: str) -> None:
        """Compute the trees of a folder that was recognised by its print alone."""
        self._folder(RepoPath(folder), folder, 0, whole=False)

    # folders

    def _folder(self, path: RepoPath, top: str, depth: int, *, whole: bool = True) -> Entry:
        if depth > DEPTH_MAX:
            raise InputError(f"{display(path)} is nested deeper than {DEPTH_MAX} folders")
        looked_at = time.time_ns()
        listing = self._list(path)
        below = {
            name: self._folder(RepoPath(f"{path}/{name}" if path else name), top, depth + 1)
            for name in listing.folders
        }
        stats = listing.files + listing.links
        seen_print = listing_print(stats, [(name, entry.oid) for name, entry in below.items()])
        row = self._cache.get(path)
        if row and whole and row[0] == seen_print and self._usable(row[1]):
            self._cached[row[1].oid] = path
            self._progress.advance(len(stats))
            return row[1]
        return self._hash_folder(path, top, listing, below, looked_at, row)

    def _usable(self, entry: Entry) -> bool:
        """A remembered tree saves the reading only if its objects are where they are wanted."""
        return self._batch is None or self._store.has("tree", entry.oid)

    def _hash_folder(
        self,
        path: RepoPath,
        top: str,
        listing: _Listing,
        below: dict[str, Entry],
        looked_at: int,
        row: tuple[bytes, Entry, bytes] | None,
    ) -> Entry:
        known = self._cache.files(row[2]) if row else {}
        tree: Tree = dict(below)
        seen: dict[str, Seen] = {}
        for name, stat in listing.files:
            seen[name] = self._file(f"{path}/{name}" if path else name, stat, known.get(name))
        for name, stat in listing.links:
            seen[name] = Seen(stat, self._link(f"{path}/{name}" if path else name, top))
        tree.update((name, item.entry) for name, item in seen.items())
        entry = write_tree(tree, self.put_tree)
        settled = {n: s for n, s in seen.items() if not is_racy(s.stat, looked_at)}
        stats = [(name, item.stat) for name, item in seen.items()]
        # A folder with a racy file must not be recognised by its print: it gets none.
        trusted = len(settled) == len(seen)
        seen_print = (
            listing_print(stats, [(n, e.oid) for n, e in below.items()]) if trusted else b""
        )
        self._cache.put(path, Folder(seen_print, entry, settled))
        return entry

    def _list(self, path: RepoPath) -> _Listing:
        listing = _Listing([], [], [])
        try:
            with os.scandir(self.full(path)) as items:
                for item in items:
                    self._sort_in(item, path, listing)
        except OSError as error:
            raise _unreadable(path, error) from None
        return listing

    def _sort_in(self, item: os.DirEntry[str], folder: RepoPath, listing: _Listing) -> None:
        name = item.name
        if name.startswith(TEMP_PREFIX) or name in (".git", ".mlx"):
            return
        path = f"{folder}/{name}" if folder else name
        is_folder = item.is_dir(follow_symlinks=False)
        if self._ignored(path, is_folder):
            return
        reason = bad_name(name)
        if reason:
            raise InputError(f"{display(path)}: the name {reason}")
        if is_folder:
            listing.folders.append(name)
            return
        found = item.stat(follow_symlinks=False)
        if statlib.S_ISREG(found.st_mode):
            listing.files.append((name, stat_of(found)))
        elif statlib.S_ISLNK(found.st_mode):
            listing.links.append((name, stat_of(found)))
        else:
            raise InputError(
                f"{display(path)} is a {_special(found.st_mode)}; only files, folders and links "
                "can be kept",
                hint="remove it, or name it in .mlxignore",
            )

    # files and links

    def _single(self, path: RepoPath, stat: Stat) -> Entry:
        """Hash a file that is tracked by itself; it has a row of its own."""
        if not statlib.S_ISREG(stat.mode):
            raise InputError(f"{display(path)} is a {_special(stat.mode)}, not a file or a folder")
        key = single_key(path)
        looked_at = time.time_ns()
        row = self._cache.get(key)
        known = self._cache.files(row[2]).get(name_of(path)) if row else None
        seen = self._file(path, stat, known)
        if seen is not known and not is_racy(seen.stat, looked_at):
            self._cache.put(key, Folder(b"", seen.entry, {name_of(path): seen}))
        return seen.entry

    def _file(self, path: str, stat: Stat, known: Seen | None) -> Seen:
        self._progress.advance()
        if known and known.stat == stat and self._has_blob(known.entry.oid):
            return known
        self.read_files += 1
        try:
            content = (
                self._batch.put_file(self.full(path))
                if self._batch
                else read_content(self.full(path))
            )
        except PermissionError as error:
            raise _unreadable(path, error) from None
        kind = "exec" if content.stat.executable else "file"
        return Seen(content.stat, Entry(kind, content.oid, content.stat.size))

    def _has_blob(self, oid: Oid) -> bool:
        return self._batch is None or self._batch.has("blob", oid)

    def _link(self, path: str, top: str) -> Entry:
        target = os.readlink(self.full(path))
        reason = bad_link(path, target, top)
        if reason and self._batch:
            raise InputError(
                f'{display(path)} is a symbolic link to "{display(target)}", which {reason}',
                hint="replace it by a copy, or name it in .mlxignore",
            )
        data = name_bytes(target)
        oid = self._batch.put("blob", data) if self._batch else blob_oid(data)
        return Entry("symlink", oid, len(data))


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
    return EnvironmentFailed(
        f"{display(path) or '.'} cannot be read: {error.strerror}",
        hint="mend its permissions, or name it in .mlxignore",
    )
