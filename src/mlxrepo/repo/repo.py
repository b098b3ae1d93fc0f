"""The repository as a bunch of keys: it opens things when first asked for, and has no verbs."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cached_property

from mlxrepo.errors import InputError
from mlxrepo.files import write_atomic
from mlxrepo.paths import RepoPath
from mlxrepo.progress import SILENT, Progress
from mlxrepo.repo import layout
from mlxrepo.repo.declared import Declared, declare
from mlxrepo.repo.git import Git, GitDirs, find
from mlxrepo.repo.ignore import load_ignored
from mlxrepo.repo.lockfile import Records, encode_lock, parse_lock
from mlxrepo.repo.mutex import mutex
from mlxrepo.repo.observed import Observed, observe
from mlxrepo.repo.placed import Placed, read_placed, write_placed
from mlxrepo.repo.settings import Settings
from mlxrepo.repo.targets import Place
from mlxrepo.store.materialize import Workspace
from mlxrepo.store.objects import Batch, Store
from mlxrepo.store.snapshot import Ignored, Scan
from mlxrepo.store.statcache import StatCache


class Repo:
    """A git worktree with an mlx project in it."""

    def __init__(self, dirs: GitDirs, cwd: str):
        self.root = dirs.root
        self.git_dir = dirs.git_dir
        self.common_dir = dirs.common_dir
        self.cwd = cwd
        self.git = Git(dirs.root)
        self.settings = Settings(self.git)

    @classmethod
    def find(cls, start: str | None = None) -> Repo:
        """Open the git worktree around `start` (default: the current folder), project or not.

        Raises:
            InputError: when there is none.
        """
        cwd = os.path.realpath(start or os.getcwd())
        return cls(find(cwd), cwd)

    @classmethod
    def open(cls, start: str | None = None) -> Repo:
        """Open the mlx project around `start`.

        Raises:
            InputError: when there is no git worktree, or no mlx.yaml in it.
        """
        repo = cls.find(start)
        if not repo.project_paths:
            raise InputError(f"there is no {layout.PROJECT_FILE} in {repo.root}", hint="mlx init")
        return repo

    # where things are

    @property
    def place(self) -> Place:
        """Return where targets are looked up."""
        return Place(self.root, self.cwd)

    def full(self, path: str) -> str:
        """Return the absolute path of a repository path."""
        return os.path.join(self.root, path) if path else self.root

    def worktree_file(self, name: str) -> str:
        """Return a file of this worktree's own state."""
        return os.path.join(self.git_dir, layout.WORKTREE_FOLDER, name)

    def shared(self, *names: str) -> str:
        """Return a path beside the store, shared by all worktrees."""
        return os.path.join(self.common_dir, layout.STORE_FOLDER, *names)

    # what is there

    @cached_property
    def store(self) -> Store:
        """The objects."""
        return Store(self.settings.get("store") or self.shared())

    @cached_property
    def cache(self) -> StatCache:
        """The stat cache of this worktree."""
        return StatCache(self.worktree_file(layout.STAT_CACHE))

    @cached_property
    def ignored(self) -> Ignored:
        """The predicate of .mlxignore."""
        return load_ignored(self.root)

    @cached_property
    def project_paths(self) -> list[RepoPath]:
        """Every mlx.yaml of the worktree."""
        return [
            RepoPath(path)
            for path in self.git.project_files(layout.PROJECT_FILE)
            if os.path.isfile(self.full(path))
        ]

    @cached_property
    def declared(self) -> Declared:
        """What the workspace's project files say."""
        return declare({path: self.read(path) for path in self.project_paths})

    @cached_property
    def observed(self) -> Observed:
        """What the workspace's lockfiles say."""
        paths = [self._lock_beside(path) for path in self.project_paths]
        return observe({p: self.read(p) for p in paths if os.path.exists(self.full(p))})

    @staticmethod
    def _lock_beside(project_file: str) -> RepoPath:
        return RepoPath(project_file.removesuffix(layout.PROJECT_FILE) + layout.LOCK_FILE)

    def declared_at(self, commit: str) -> Declared:
        """Return what the project files of a commit say."""
        return declare(self.git.files_at(commit, layout.PROJECT_FILE))

    def observed_at(self, commit: str) -> Observed:
        """Return what the lockfiles of a commit say."""
        return observe(self.git.files_at(commit, layout.LOCK_FILE))

    def read(self, path: str) -> bytes:
        """Return a small file of the workspace."""
        with open(self.full(path), "rb") as stream:
            return stream.read()

    def file_at(self, path: str, commit: str | None) -> bytes | None:
        """Return a small file of a commit or of the workspace; None when it is not there."""
        if commit:
            return self.git.file_at(commit, path)
        try:
            return self.read(path)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return None

    @property
    def placed(self) -> Placed:
        """What mlx last put or recorded at each tracked path of this worktree."""
        return read_placed(self.worktree_file(layout.PLACED_FILE))

    # work

    def scan(self, *, batch: Batch | None = None, progress: Progress = SILENT) -> Scan:
        """Return a scan of the workspace; with a batch it stores what it hashes."""
        return Scan(
            self.root,
            self.cache,
            self.store,
            batch=batch,
            ignored=self.ignored,
            progress=progress,
        )

    def workspace(self, progress: Progress = SILENT) -> Workspace:
        """Return the writer of workspace files."""
        return Workspace(self.root, self.store, self.cache, progress=progress)

    def mutex(self, what: str) -> AbstractContextManager[None]:
        """Return the mutex of this worktree's committed files and of what is placed."""
        return mutex(self.worktree_file(layout.MUTEX_FILE), what)

    def update_lock(self, path: RepoPath, change: Callable[[Records], None]) -> None:
        """Change records of one lockfile: under the mutex, on what is on disk now."""
        with self.mutex("recording"):
            records = self._lock_now(path)
            before = dict(records)
            change(records)
            if records != before:
                write_atomic(self.full(path), encode_lock(records))
        self.__dict__.pop("observed", None)

    def _lock_now(self, path: RepoPath) -> Records:
        try:
            return parse_lock(self.read(path), path)
        except FileNotFoundError:
            return {}

    def update_placed(self, change: Callable[[Placed], None]) -> None:
        """Change under the mutex what is noted as placed."""
        with self.mutex("noting what is here"):
            placed = self.placed
            before = dict(placed)
            change(placed)
            if placed != before:
                write_placed(self.worktree_file(layout.PLACED_FILE), placed)

    def forget(self) -> None:
        """Read project files and lockfiles anew at the next question."""
        for name in ("project_paths", "declared", "observed"):
            self.__dict__.pop(name, None)

    def close(self) -> None:
        """Write what is still to be noted."""
        if "cache" in self.__dict__:
            self.cache.close()

    def __enter__(self) -> Repo:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
