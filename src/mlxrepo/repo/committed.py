"""Commits looked at as if they were the workspace: for questions about many of them at once.

Nothing is checked out. What git keeps is read from its objects, each once for all commits.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property

from mlxrepo.errors import CannotDecide, InputError
from mlxrepo.hashing import Oid, blob_oid
from mlxrepo.paths import (
    TEMP_PREFIX,
    RepoPath,
    bad_name,
    display,
    name_of,
    normalise,
    parent,
)
from mlxrepo.progress import SILENT, Progress
from mlxrepo.repo import layout, parsed
from mlxrepo.repo.declared import Declared, declare, parse_file
from mlxrepo.repo.gitdirs import GitDirs
from mlxrepo.repo.gitobjects import EXECUTABLE, FOLDER, LINK, SUBMODULE, GitObjects, Item
from mlxrepo.repo.ignore import IgnoreRules
from mlxrepo.repo.lockfile import Records, parse_lock
from mlxrepo.repo.observed import Observed
from mlxrepo.repo.placed import Placed
from mlxrepo.repo.repo import Repo
from mlxrepo.repo.stage import ProjectFile, Read
from mlxrepo.store.objects import Store
from mlxrepo.store.sink import Sink
from mlxrepo.store.snapshot import Scan
from mlxrepo.store.tree import Entry, check_depth, write_tree

LINKS_MAX = 40  # as the kernel has it
_NAMES = frozenset((layout.PROJECT_FILE, layout.LOCK_FILE, layout.IGNORE_FILE))


class Commits:
    """The commits of a repository, and what was worked out about the objects they share."""

    def __init__(self, repo: Repo):
        self.repo = repo
        self.objects = GitObjects(repo.git)
        self.blobs: dict[str, Entry] = {}  # by git's oid, as a plain file
        self.folders: dict[tuple[str, str, bytes], Entry | None] = {}
        self.trees: dict[Oid, bytes] = {}
        self._locks: dict[str, Records] = {}
        self._parsed: dict[tuple[RepoPath, bytes], list[ProjectFile]] = {}
        self._asked: dict[int, dict[RepoPath, bytes | None]] = {}
        self._declared: dict[tuple[int, ...], Declared] = {}

    @classmethod
    @contextmanager
    def of(cls, repo: Repo) -> Iterator[Commits]:
        """Look at commits of a repository; git is started when one is asked for."""
        commits = cls(repo)
        try:
            yield commits
        finally:
            commits.objects.close()

    def at(self, rev: str) -> RepoAt:
        """Return a commit as a workspace.

        Raises:
            CannotDecide, InputError: when there is no such revision.
        """
        commit, tree = self.objects.commit(rev)
        return RepoAt(self, rev, commit, tree)

    def read_ahead(self, revs: Sequence[str]) -> None:
        """Read in few turns what will be asked for of many commits, as far as it can be guessed."""
        declared = self.repo.declared
        paths = {ref.file for stage in declared.stages.values() for ref in stage.params}
        paths |= {path for path, (_, out) in declared.outs.items() if out.kind == "metric"}
        paths |= {path for file in declared.files for path in (*file.params, *file.metrics)}
        self.objects.read_ahead(revs, _NAMES | set(map(name_of, paths)))

    def records(self, oid: str, source: str) -> Records:
        """Return what the lockfile with git's `oid` says, which lies at `source`.

        Raises:
            CannotDecide: when it cannot be read, as after a merge that was committed unsettled.
        """
        if oid not in self._locks:
            try:
                self._locks[oid] = parse_lock(self.objects.read(oid), source)
            except InputError as error:
                raise CannotDecide(error.message, hint=error.hint, where=error.where) from None
        return self._locks[oid]

    def declare(self, sources: Mapping[str, bytes], read: Read) -> Declared:
        """Return what project files say, once for each combination of them.

        Raises:
            InputError: as `declare` of `mlxrepo.repo.declared`.
        """
        files = {
            path: self._parse(data, RepoPath(path), read) for path, data in sorted(sources.items())
        }
        key = tuple(map(id, files.values()))
        if key not in self._declared:
            self._declared[key] = declare(sources, read, lambda _data, path, _read: files[path])
        return self._declared[key]

    def _parse(self, data: bytes, path: RepoPath, read: Read) -> ProjectFile:
        known = self._parsed.setdefault((path, data), [])
        for project in known:
            if all(read(asked) == was for asked, was in self._asked[id(project)].items()):
                return project
        # Most often it is the workspace's.
        memo = self.repo.cache.memo(f"parsed {path}")
        found = (parsed.load(memo, path, data, read) if memo else None) or parse_file(
            data, path, read
        )
        self._asked[id(found)] = {asked: read(asked) for asked in found.read}
        known.append(found)
        return found


class RepoAt(Repo):
    """A commit in the place of the workspace: files, declarations and records are its own."""

    def __init__(self, commits: Commits, rev: str, commit: str, tree: str):
        origin = commits.repo
        super().__init__(GitDirs(origin.root, origin.git_dir, origin.common_dir), origin.cwd)
        self.settings = origin.settings
        self.rev = rev
        self.commit = commit
        self._commits = commits
        self._tree = tree

    @cached_property
    def store(self) -> Store:
        """The objects."""
        return self._commits.repo.store

    @cached_property
    def rules(self) -> IgnoreRules:
        """The rules of the commit's .mlxignore files."""
        return _CommittedRules(self)

    @cached_property
    def declared(self) -> Declared:
        """What the commit's project files say."""
        return self._commits.declare(
            {
                path: self._commits.objects.read(item.oid)
                for path, item in self._files(layout.PROJECT_FILE)
            },
            lambda path: self.file_at(path, None),
        )

    @cached_property
    def observed(self) -> Observed:
        """What the commit's lockfiles say."""
        return Observed(
            {
                path: self._commits.records(item.oid, f"{self.rev}:{path}")
                for path, item in self._files(layout.LOCK_FILE)
            }
        )

    @property
    def placed(self) -> Placed:
        """Nothing was placed by a commit."""
        return {}

    def _files(self, name: str) -> list[tuple[RepoPath, Item]]:
        found = self._commits.objects.files(self._tree, _NAMES)
        return [(RepoPath(p), item) for p, item in found if p.rpartition("/")[2] == name]

    def item(self, path: str) -> Item | None:
        """Return what git keeps at a path of the commit."""
        return self._commits.objects.find(self._tree, path)

    def link(self, path: str) -> str:
        """Return what the symbolic link at a path says; "" when none is there."""
        item = self.item(path)
        if item is None or item.mode != LINK:
            return ""
        return os.fsdecode(self._commits.objects.read(item.oid))

    def target(self, path: RepoPath) -> tuple[RepoPath, Item | None]:
        """Return what a path leads to: itself, or the end of links, and where that is.

        Raises:
            CannotDecide: for a link that leads to what git does not keep.
        """
        item, at = self.item(path), path
        for _ in range(LINKS_MAX):
            if item is None or item.mode != LINK:
                return at, item
            text = self.link(at)
            at = RepoPath("") if text.startswith("/") else _inside(text, at)
            item = self.item(at) if at else None
            if item is None:
                break
        raise CannotDecide(
            f"{display(path)} is a symbolic link to what git does not keep in {self.rev}"
        )

    def read(self, path: str) -> bytes:
        """Return a file of the commit.

        Raises:
            FileNotFoundError: when it has none there.
        """
        _, item = self.target(RepoPath(path))
        if item is None or item.mode in (FOLDER, SUBMODULE):
            raise FileNotFoundError(path)
        return self._commits.objects.read(item.oid)

    def file_at(self, path: str, commit: str | None) -> bytes | None:
        """Return a file of this commit, or of another one; None when it is not there."""
        if commit:
            return super().file_at(path, commit)
        try:
            return self.read(path)
        except FileNotFoundError:
            return None

    def scan(self, *, batch: Sink | None = None, progress: Progress = SILENT) -> CommittedScan:
        """Return a scan of the commit, which stores nothing."""
        assert batch is None
        return CommittedScan(self, self._commits)

    def names(self, folder: RepoPath) -> list[tuple[str, bool]]:
        """Return the names in a folder, and of each whether it is a folder."""
        item = self.item(folder)
        if item is None or item.mode != FOLDER:
            return []
        tree = self._commits.objects.tree(item.oid)
        return [(name, found.mode == FOLDER) for name, found in tree.items()]


class _CommittedRules(IgnoreRules):
    """The rules of a commit's .mlxignore files."""

    def __init__(self, repo: RepoAt):
        super().__init__(repo.root)
        self._repo = repo

    def _text(self, folder: str) -> bytes:
        if folder not in self._texts:
            path = f"{folder}/{layout.IGNORE_FILE}" if folder else layout.IGNORE_FILE
            self._texts[folder] = self._repo.file_at(path, None) or b""
        return self._texts[folder]


class CommittedScan(Scan):
    """A look at what git keeps in a commit; it names files and folders as mlx does."""

    def __init__(self, repo: RepoAt, commits: Commits):
        super().__init__(repo.root, commits.repo.cache, repo.store)
        self._trees = commits.trees
        self._repo = repo
        self._commits = commits

    def entry(self, path: RepoPath, *, top: RepoPath | None = None) -> Entry | None:
        """Name what git keeps at `path`, or what a link there leads to; None when it is nothing.

        Raises:
            CannotDecide: for a submodule, and a link to what git does not keep.
        """
        at, item = self._repo.target(path)
        return None if item is None else self._entry(at, item, 0)

    def _entry(self, path: RepoPath, item: Item, depth: int) -> Entry | None:
        if item.mode == FOLDER:
            key = item.oid, path, self._repo.rules.digest(path)
            if key not in self._commits.folders:
                self._commits.folders[key] = self._listed(path, item, depth)
            return self._commits.folders[key]
        if item.mode == SUBMODULE:
            raise CannotDecide(f"{display(path)} is a submodule: git does not keep what is in it")
        if item.mode == LINK:
            data = self._commits.objects.read(item.oid)
            return Entry("symlink", blob_oid(data), len(data))
        if item.oid not in self._commits.blobs:
            self._note([item.oid])
        entry = self._commits.blobs[item.oid]
        return entry._replace(kind="exec") if item.mode == EXECUTABLE else entry

    def _note(self, oids: list[str]) -> None:
        for oid, data in zip(oids, self._commits.objects.contents(oids), strict=True):
            self._commits.blobs[oid] = Entry("file", blob_oid(data), len(data))

    def _listed(self, path: RepoPath, item: Item, depth: int) -> Entry | None:
        """Name a folder; None as `Scan` has it, for one below the top in which nothing counts."""
        check_depth(path)
        counted, is_hiding = self._counting(path, self._commits.objects.tree(item.oid))
        self._note(self._unread(path, counted))
        below: dict[str, Entry] = {}
        for name, child in counted.items():
            entry = self._entry(RepoPath(f"{path}/{name}" if path else name), child, depth + 1)
            if entry is not None:
                below[name] = entry
        if depth and not below and (is_hiding or counted):
            return None
        return write_tree(below, self.put_tree)

    def _unread(self, path: RepoPath, counted: Mapping[str, Item]) -> list[str]:
        """Return the blobs of a folder that have to be read to be named."""
        return [
            i.oid
            for i in counted.values()
            if i.mode not in (FOLDER, SUBMODULE, LINK) and i.oid not in self._commits.blobs
        ]

    def _counting(self, path: RepoPath, tree: dict[str, Item]) -> tuple[dict[str, Item], bool]:
        """Return what of a folder counts, and whether anything does not."""
        counted: dict[str, Item] = {}
        for name, item in tree.items():
            child = f"{path}/{name}" if path else name
            ours = name.startswith(TEMP_PREFIX) or name in (".git", ".mlx")
            if ours or self._repo.rules.ignored(child, item.mode == FOLDER):
                continue
            if reason := bad_name(name):
                raise InputError(f"{display(child)}: the name {reason}")
            counted[name] = item
        return counted, len(counted) < len(tree)


def _inside(text: str, link: RepoPath) -> RepoPath:
    """Return where a relative link leads; "" for out of the repository."""
    try:
        return normalise(text, parent(link))
    except InputError:
        return RepoPath("")
