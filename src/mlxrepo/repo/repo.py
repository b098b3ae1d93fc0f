"""The repository as a bunch of keys: it opens things when first asked for, and has no verbs."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache, cached_property
from typing import TYPE_CHECKING

from mlxrepo.errors import EnvironmentFailed, InputError
from mlxrepo.files import Stat, stat_of
from mlxrepo.paths import ROOT, RepoPath, display, parent
from mlxrepo.progress import SILENT, Progress
from mlxrepo.repo import gitignore, layout, parsed
from mlxrepo.repo.checkedlock import read_records
from mlxrepo.repo.claims import Claim, Claims, Held
from mlxrepo.repo.declared import Declared, declare, parse_file
from mlxrepo.repo.git import Git, no_project
from mlxrepo.repo.gitdirs import GitDirs, find
from mlxrepo.repo.ignore import IgnoreRules
from mlxrepo.repo.lockfile import Records, encode_lock, parse_lock
from mlxrepo.repo.mutex import mutex
from mlxrepo.repo.observed import Observed, observe
from mlxrepo.repo.owned import refuse_links, write_owned
from mlxrepo.repo.placed import Placed, read_placed, write_placed
from mlxrepo.repo.registered import Registered, register
from mlxrepo.repo.settings import Settings
from mlxrepo.repo.shared_store import is_shared, share
from mlxrepo.repo.stage import ProjectFile, Read
from mlxrepo.repo.targets import Place
from mlxrepo.store.objects import FSYNC, LINKS, Store
from mlxrepo.store.snapshot import Scan, Sink
from mlxrepo.store.statcache import StatCache

if TYPE_CHECKING:
    from mlxrepo.store.materialize import Workspace

READ_MAX = 256 << 20  # bytes of a lockfile, a project file or one of values


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
        repo.settings.begin()
        if not repo.project_paths:
            repo.close()
            raise no_project(repo.git)
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

    @property
    def has_manifests(self) -> bool:
        """Say whether outs are set aside: a stage is running, or was when its mlx was killed."""
        folder = self.worktree_file(layout.MANIFESTS_FOLDER)
        return os.path.isdir(folder) and bool(os.listdir(folder))

    def shared(self, *names: str) -> str:
        """Return a path beside the store, shared by all worktrees."""
        return os.path.join(self.common_dir, layout.STORE_FOLDER, *names)

    # what is there

    @cached_property
    def store(self) -> Store:
        """The objects."""
        folder = self._store_folder()
        shared = is_shared(self.settings)
        is_away = not os.path.isdir(os.path.dirname(folder)) and self._has_records()
        if shared and not is_away:
            share(folder)
        if folder != self.shared() and not is_away:
            self._register(folder)
        return Store(
            folder,
            link=self.settings.choice("link", LINKS),
            fsync=self.settings.choice("fsync", FSYNC),
            is_away=is_away,
        )

    def _has_records(self) -> bool:
        """Say whether anything was ever recorded here, so that there has to be a store."""
        locks = [self.full(self._lock_beside(path)) for path in self.project_paths]
        return any(map(os.path.exists, [*locks, self.worktree_file(layout.PLACED_FILE)]))

    def _register(self, folder: str) -> None:
        """Note that this repository uses a store, before anything is put there: gc has to know."""
        main = self.root if self.git_dir == self.common_dir else None
        with contextlib.suppress(OSError):
            register(folder, Registered(self.common_dir, main))

    def _store_folder(self) -> str:
        chosen = os.path.expanduser(self.settings.get("store"))
        if chosen and not os.path.isabs(chosen):
            raise InputError(
                f'the setting mlx.store is "{chosen}"; it has to be an absolute path',
                hint=f'git config mlx.store "$PWD/{chosen}"',
            )
        return chosen or self.shared()

    @cached_property
    def cache(self) -> StatCache:
        """The stat cache of this worktree."""
        return StatCache(self.worktree_file(layout.STAT_CACHE))

    @cached_property
    def rules(self) -> IgnoreRules:
        """The rules of .mlxignore."""
        return IgnoreRules(self.root)

    @cached_property
    def project_paths(self) -> list[RepoPath]:
        """Every mlx.yaml of the worktree that git tracks or would track, and the root's."""
        paths = {layout.PROJECT_FILE, *self.git.project_files(layout.PROJECT_FILE)}
        return [RepoPath(path) for path in sorted(paths) if os.path.isfile(self.full(path))]

    @cached_property
    def declared(self) -> Declared:
        """What the workspace's project files say."""
        sources: dict[str, bytes] = {path: self.read(path) for path in self.project_paths}
        return declare(sources, lambda path: self.file_at(path, None), self._parse)

    def _parse(self, data: bytes, path: RepoPath, read: Read) -> ProjectFile:
        """Parse a project file, or remember what it said when it was parsed last."""
        name = f"parsed {path}"
        memo = self.cache.memo(name)
        known = parsed.load(memo, path, data, read) if memo else None
        if known is None:
            known = parse_file(data, path, read)
            self.cache.put_memo(name, parsed.dump(known, data, read))
        return known

    @cached_property
    def observed(self) -> Observed:
        """What the workspace's lockfiles say."""
        paths = [self._lock_beside(path) for path in self.project_paths]
        self._lock_stats = {path: self._lock_stat(path) for path in paths}
        there = [path for path, found in self._lock_stats.items() if found]
        return Observed({path: read_records(self.read(path), path, self.cache) for path in there})

    @property
    def is_observed_now(self) -> bool:
        """Say whether `observed` is what the lockfiles say now: others write them too."""
        if "observed" not in self.__dict__:
            return False
        return all(self._lock_stat(path) == found for path, found in self._lock_stats.items())

    def forget_observed(self) -> None:
        """Read the lockfiles anew at the next question."""
        self.__dict__.pop("observed", None)

    def _lock_stat(self, path: RepoPath) -> Stat | None:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            return stat_of(os.stat(self.full(path)))
        return None

    @staticmethod
    def _lock_beside(project_file: str) -> RepoPath:
        return RepoPath(project_file.removesuffix(layout.PROJECT_FILE) + layout.LOCK_FILE)

    def declared_at(self, commit: str) -> Declared:
        """Return what the project files of a commit say."""
        sources = self.git.files_at(commit, layout.PROJECT_FILE)
        return declare(sources, lambda path: self.file_at(path, commit))

    def observed_at(self, commit: str) -> Observed:
        """Return what the lockfiles of a commit say."""
        return observe(self.git.files_at(commit, layout.LOCK_FILE))

    def views(self, rev: str | None) -> tuple[Callable[[], Declared], Observed]:
        """Return what was declared (read when it is asked for) and recorded at `rev`, or here.

        Raises:
            CannotDecide: when there is no such revision.
        """
        if rev is None:
            return lambda: self.declared, self.observed
        commit = self.git.commit(rev)
        return cache(lambda: self.declared_at(commit)), self.observed_at(commit)

    def read(self, path: str) -> bytes:
        """Return a small file of the workspace; a link may lead to it, as anywhere in git.

        Raises:
            InputError: when it is a device or the like, or much too large to be small.
        """
        fd = os.open(self.full(path), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(fd, "rb") as stream:
            found = os.fstat(fd)
            if stat.S_ISDIR(found.st_mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
            if not stat.S_ISREG(found.st_mode) or found.st_size > READ_MAX:
                what = "too large" if stat.S_ISREG(found.st_mode) else "no file"
                raise InputError(f"{display(path)} is {what}: mlx does not read it")
            return stream.read()

    def file_at(self, path: str, commit: str | None) -> bytes | None:
        """Return a small file of a commit or of the workspace; None when it is not there."""
        if commit:
            return self.git.file_at(commit, path)
        with contextlib.suppress(FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return self.read(path)
        return None

    @property
    def placed(self) -> Placed:
        """What mlx last put or recorded at each tracked path of this worktree."""
        return read_placed(self.worktree_file(layout.PLACED_FILE))

    # work

    def scan(self, *, batch: Sink | None = None, progress: Progress = SILENT) -> Scan:
        """Return a scan of the workspace; with a batch it stores what it hashes."""
        return Scan(
            self.root,
            self.cache,
            self.store,
            batch=batch,
            ignored=self.rules.ignored,
            rules=self.rules.digest,
            progress=progress,
        )

    def workspace(self, progress: Progress = SILENT) -> Workspace:
        """Return the writer of workspace files."""
        from mlxrepo.store.materialize import Workspace  # reading commands do without

        return Workspace(
            self.root, self.store, self.cache, rules=self.rules.digest, progress=progress
        )

    def claims(self, holder: str, run: str = "") -> Claims:
        """Return the claims of this worktree; others are told that `holder` has what is claimed."""
        return Claims(self.worktree_file(layout.CLAIMS_FOLDER), holder, run)

    def claim_alone(self, holder: str) -> Claim:
        """Claim the whole worktree.

        Raises:
            EnvironmentFailed: when a run is on its way in it.
        """
        found = self.claims(holder).take([ROOT])
        if isinstance(found, Held):
            raise EnvironmentFailed(
                f"this worktree is in use by {found.holder}",
                hint="wait until it is done, then again",
            )
        return found

    def mutex(self, what: str) -> AbstractContextManager[None]:
        """Return the mutex of this worktree's committed files and of what is placed."""
        return mutex(self.worktree_file(layout.MUTEX_FILE), what)

    @contextmanager
    def recording(
        self, lock: RepoPath, *, forgetting: bool = False
    ) -> Iterator[tuple[Records, Placed]]:
        """Yield the records of one lockfile and what is placed, to be changed in the block.

        They are read under the mutex and written when the block ends without an error: the
        records first, or last when `forgetting`. So after a kill in between, what is new is
        recorded, and what is to be forgotten still is, for the same command to find.
        """
        with self.mutex("recording"):
            records, placed = self._lock_now(lock), self.placed
            before = dict(records), dict(placed)
            yield records, placed
            if forgetting:
                self._write_placed(placed, before[1])
            if records != before[0]:
                write_owned(self.root, lock, encode_lock(records))
                self._note_lock(lock, records)
            if not forgetting:
                self._write_placed(placed, before[1])

    def _lock_now(self, path: RepoPath) -> Records:
        """Return the records of a lockfile; it is read again when it is not as it was read last."""
        if "observed" in self.__dict__ and path in self._lock_stats:
            if self._lock_stat(path) == self._lock_stats[path]:
                return dict(self.observed.locks.get(path, {}))
            del self.observed  # somebody else wrote it
        try:
            return parse_lock(self.read(path), path)
        except FileNotFoundError:
            return {}

    def _note_lock(self, path: RepoPath, records: Records) -> None:
        """Take note of what was just written; call it under the mutex."""
        if "observed" in self.__dict__:
            self._lock_stats[path] = self._lock_stat(path)
            self.observed = Observed({**self.observed.locks, path: dict(sorted(records.items()))})

    def update_lock(self, path: RepoPath, change: Callable[[Records], None]) -> None:
        """Change records of one lockfile: under the mutex, on what is on disk now."""
        with self.recording(path) as (records, _):
            change(records)

    def update_placed(self, change: Callable[[Placed], None]) -> None:
        """Change under the mutex what is noted as placed."""
        with self.mutex("noting what is here"):
            placed = self.placed
            before = dict(placed)
            change(placed)
            self._write_placed(placed, before)

    def _write_placed(self, placed: Placed, before: Placed) -> None:
        if placed != before:
            write_placed(self.worktree_file(layout.PLACED_FILE), placed)

    def update_project(self, path: RepoPath, change: Callable[[str], str]) -> None:
        """Change the text of one mlx.yaml: under the mutex, on what is on disk now."""
        with self.mutex("declaring"):
            text = self.read(path).decode("utf-8")
            new = change(text)
            if new != text:
                write_owned(self.root, path, new.encode("utf-8"))
        self.forget()

    def hide(
        self, paths: Collection[RepoPath], *, folders: Collection[RepoPath] = ()
    ) -> list[RepoPath]:
        """Let committed rules hide `paths` from git; return those that were not hidden before."""
        if not paths:
            return []
        for path in paths:
            refuse_links(self.root, parent(path))
        asked = {path: f"{path}/" if path in folders else path for path in paths}
        with self.mutex("hiding data from git"):
            gitignore.prepare(self.git, self.common_dir, paths)
            hidden = self.git.hidden(list(asked.values()))
            shown = [path for path, text in asked.items() if text not in hidden]
            gitignore.add_lines(self.root, shown)
        return shown

    def reveal(self, paths: Collection[RepoPath]) -> list[RepoPath]:
        """Take back what `hide` did; return the .gitignore files that changed."""
        with self.mutex("showing files to git"):
            return gitignore.remove_lines(self.root, paths)

    def forget(self) -> None:
        """Read project files and lockfiles anew at the next question."""
        for name in ("project_paths", "declared", "observed"):
            self.__dict__.pop(name, None)

    def close(self) -> None:
        """Write what is still to be noted."""
        self.settings.close()
        if "cache" in self.__dict__:
            self.cache.close()
        if "store" in self.__dict__:
            self.store.close()

    def __enter__(self) -> Repo:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
