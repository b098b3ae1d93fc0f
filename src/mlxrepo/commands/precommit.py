"""What the pre-commit hook asks: may these lockfiles be committed, and do they fit the workspace?

The index is judged, for it is what becomes the commit: `git commit -- path` has one of its own.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mlxrepo.errors import InputError, MlxError, ObjectMissing
from mlxrepo.paths import RepoPath, display
from mlxrepo.repo.git import Git
from mlxrepo.repo.lastseen import last_seen
from mlxrepo.repo.layout import LOCK_FILE
from mlxrepo.repo.lockfile import Records, parse_lock
from mlxrepo.repo.lockrows import RowReader, rows_of
from mlxrepo.repo.observed import Observed
from mlxrepo.repo.repo import Repo
from mlxrepo.repo.staged import in_conflict
from mlxrepo.repo.update import modified
from mlxrepo.store.compare import same
from mlxrepo.store.reach import key_of
from mlxrepo.store.tree import Entry, Tree

_WAITING = ("MERGE_HEAD", "CHERRY_PICK_HEAD", "REBASE_HEAD")
_UNDONE = "REVERT_HEAD"
_MERGED = "GITHEAD_"  # begins the name of a variable that ends with a commit
LACKING_MAX = 20  # of an artifact


@dataclass(frozen=True, slots=True)
class Lacking:
    """A file, or a folder, that a lockfile names and nobody is known to have."""

    path: RepoPath
    address: str
    oid: str


@dataclass(frozen=True, slots=True)
class Judged:
    """What is wrong with what is about to be committed.

    `broken` says why lockfiles, and project files, cannot be read; `lacking` is named by rows that
    this commit adds or changes. `changed` are tracked paths whose content is not what it records;
    `doubt` says why that is not known.
    """

    broken: tuple[InputError, ...]
    lacking: tuple[Lacking, ...]
    changed: tuple[RepoPath, ...]
    doubt: str

    @property
    def refused(self) -> bool:
        """Say whether it must not be committed."""
        return bool(self.broken or self.lacking)


def judge(repo: Repo, git: Git, staged: Mapping[str, bytes]) -> Judged:
    """Look at the lockfiles of an index, and at the data that they name; no network.

    Raises:
        EnvironmentFailed: when the store cannot be read.
    """
    locks, broken = _parsed(repo, staged)
    broken += tuple(_conflict(path) for path in in_conflict(git))
    if broken:
        return Judged(broken, (), (), "")
    head = git.head()
    before = git.files_at(head, LOCK_FILE) if head else {}
    fresh = {path: locks[path] for path in locks if before.get(path) != staged[path]}
    lacking: list[Lacking] = []
    if fresh:
        known = _rows(before)
        for commit in _others(repo, git):
            known |= _rows(git.files_at(commit, LOCK_FILE))
        lacking = _Search(repo, known).lacking(fresh.values())
    changed, doubt = _changed(repo, locks)
    return Judged((), tuple(lacking), changed, doubt)


def _parsed(
    repo: Repo, staged: Mapping[str, bytes]
) -> tuple[dict[RepoPath, Records], tuple[InputError, ...]]:
    locks: dict[RepoPath, Records] = {}
    broken = []
    for path, data in staged.items():
        try:
            locks[RepoPath(path)] = parse_lock(data, path)
        except InputError as error:
            broken.append(_where_staged(repo, path, data, error))
    return locks, tuple(broken)


def _conflict(path: str) -> InputError:
    return InputError(
        f"{display(path)} is staged with the marks of a conflict in it",
        hint=f"settle it, then git add {shlex.quote(path)}",
    )


def _where_staged(repo: Repo, path: str, data: bytes, error: InputError) -> InputError:
    """Return what is wrong with a staged lockfile; the way out where the workspace has another."""
    try:
        with open(repo.full(RepoPath(path)), "rb") as stream:
            if stream.read() == data:
                return error
    except OSError:
        pass
    hint = f"what is staged is not what lies here: git add {shlex.quote(path)}"
    return InputError(error.message, hint=hint, where=error.where)


def _others(repo: Repo, git: Git) -> list[str]:
    """Return the commits besides HEAD whose records come into this one."""
    found = [oid for name in _WAITING for oid in _noted(repo, name)]
    # When git merge asks its hook it has told only its children so far.
    found += [name[len(_MERGED) :] for name in os.environ if name.startswith(_MERGED)]
    found += [f"{oid}^" for oid in _noted(repo, _UNDONE)]
    return [oid for oid, _ in git.kinds(f"{rev}^{{commit}}" for rev in found)]


def _noted(repo: Repo, name: str) -> list[str]:
    try:
        with open(os.path.join(repo.git_dir, name), encoding="ascii") as stream:
            return stream.read().split()
    except OSError:
        return []


def _rows(locks: Mapping[str, bytes]) -> dict[bytes, tuple[str, Entry]]:
    """Return what the lockfiles of a commit name, by its binary key."""
    reader = RowReader(once=True)
    rows = (row for path, data in locks.items() for row in reader.rows(data, path))
    return {key_of(row.entry): (row.path, row.entry) for row in rows}


class _Search:
    """Looks for what new rows name: in the store, in `known` records, on remotes as last seen."""

    def __init__(self, repo: Repo, known: Mapping[bytes, tuple[str, Entry]]):
        self._store = repo.store
        self._repo = repo
        self._known = known
        self._earlier = dict(known.values())
        self._found: list[Lacking] = []

    def lacking(self, locks: Iterable[Records]) -> list[Lacking]:
        """Return what is nowhere; folders are compared with what was recorded at their path."""
        for records in locks:
            for row in rows_of(records):
                if row.kept:
                    self._limit = len(self._found) + LACKING_MAX
                    self._visit(row.path, row.name, self._earlier.get(row.path), row.entry)
        return self._found

    def _visit(self, path: str, address: str, old: Entry | None, new: Entry) -> None:
        if same(old, new) or key_of(new) in self._known or len(self._found) >= self._limit:
            return
        if not self._store.has_entry(new):
            if not self._is_seen(new):
                self._found.append(Lacking(RepoPath(path), address, new.oid))
            return
        if new.kind == "tree":
            before = self._tree(old)
            for name, child in self._store.tree(new.oid).items():
                self._visit(f"{path}/{name}", address, before.get(name), child)

    def _tree(self, entry: Entry | None) -> Tree:
        try:
            return self._store.tree(entry.oid) if entry and entry.kind == "tree" else {}
        except ObjectMissing:
            return {}

    def _is_seen(self, entry: Entry) -> bool:
        if "_remotes" not in self.__dict__:
            self._remotes = last_seen(self._repo)
        return any(remote.has(key_of(entry)) for remote in self._remotes)


def _changed(repo: Repo, locks: Mapping[RepoPath, Records]) -> tuple[tuple[RepoPath, ...], str]:
    tracked = [item for item in Observed(locks).tracked() if item.cache]
    try:
        found = modified(repo, tracked)
        now = {item.path: item.entry for item in repo.observed.tracked()} if found.behind else {}
    except MlxError as error:
        return (), error.message
    # What the lockfile on disk says too is only older than recorded; else that lies there unstaged.
    unstaged = [item for item in found.behind if not same(now.get(item.path), item.entry)]
    return tuple(sorted(item.path for item in [*found.edited, *unstaged])), ""
