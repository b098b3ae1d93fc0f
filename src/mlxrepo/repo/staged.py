"""What git is about to commit: the files of an index, and a repository that looks as they do."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager

from mlxrepo.paths import RepoPath
from mlxrepo.progress import SILENT, Progress
from mlxrepo.repo.committed import Commits, CommittedScan, RepoAt
from mlxrepo.repo.git import Git
from mlxrepo.repo.gitobjects import FOLDER, LINK, SUBMODULE, Item
from mlxrepo.repo.history import index_files
from mlxrepo.repo.layout import LOCK_FILE, PROJECT_FILE
from mlxrepo.repo.repo import Repo
from mlxrepo.store.sink import Sink
from mlxrepo.store.tree import Entry

_MARKS = re.compile(rb"(?m)^(<{7}|>{7}) ")


def staged_git(repo: Repo, index: str | None) -> Git:
    """Return git with an index of its own, as `git commit` hands one to its hooks."""
    return Git(repo.root, repo.git_dir if index else None, index)


def staged_locks(git: Git) -> dict[str, bytes]:
    """Return the content of every lockfile in an index, by path.

    After `git add -N` a file stands there empty, and no commit has it: it does not count.
    """
    locks = _contents(git, LOCK_FILE)
    if all(locks.values()):
        return locks
    intended = _differing(git, "--diff-filter=A")
    return {path: data for path, data in locks.items() if data or path not in intended}


def in_conflict(git: Git) -> list[str]:
    """Return the project files of an index in which the marks of a conflict stand."""
    files = _contents(git, PROJECT_FILE).items()
    return [path for path, data in files if len(set(_MARKS.findall(data))) == 2]


def _contents(git: Git, name: str) -> dict[str, bytes]:
    found = dict(index_files(git, name))
    return dict(zip(found, git.blobs(list(found.values())), strict=True))


def _differing(git: Git, *options: str) -> set[str]:
    """Return the files that are not in the workspace as they are staged."""
    words = ("diff-files", "--name-only", "-z", "--ignore-submodules=all", *options)
    return {os.fsdecode(path) for path in git.run(*words)[1].split(b"\0")[:-1]}


@contextmanager
def as_staged(repo: Repo, git: Git) -> Iterator[Repo]:
    """Yield a repository whose workspace is what is staged: this one, where both are the same.

    Else it is looked at as a commit is, and nothing is written out. Untracked files do not count
    there, nor does what a sparse checkout leaves out of the workspace.
    """
    differing = _differing(git)
    if not differing:
        yield repo
        return
    tree = git.run("write-tree", "--missing-ok")[1].decode().strip()
    with Commits.of(repo) as commits:
        yield _Staged(commits, tree, differing)


class _Staged(RepoAt):
    """The tree of an index; what is `differing` is read from git, all else where it lies.

    For a stage read it there: with line ends as this workspace has them, and not a pointer of LFS.
    """

    def __init__(self, commits: Commits, tree: str, differing: Collection[str]):
        super().__init__(commits, "", "", tree)  # git calls a staged file :PATH
        self._differing = differing
        self.origin = commits.repo
        self.project_paths = [path for path, _ in self._files(PROJECT_FILE)]

    def is_here(self, path: str, item: Item) -> bool:
        """Say whether a staged file lies in the workspace as it is."""
        is_file = item.mode not in (FOLDER, SUBMODULE, LINK)
        return is_file and path not in self._differing and os.path.lexists(self.full(path))

    def read(self, path: str) -> bytes:
        """Return a staged file.

        Raises:
            FileNotFoundError: when none is there.
        """
        at, item = self.target(RepoPath(path))
        return self.origin.read(at) if item and self.is_here(at, item) else super().read(path)

    def scan(self, *, batch: Sink | None = None, progress: Progress = SILENT) -> CommittedScan:
        """Return a scan of what is staged, which stores nothing."""
        assert batch is None
        return _StagedScan(self, self._commits)


class _StagedScan(CommittedScan):
    """A look at what is staged."""

    def __init__(self, repo: _Staged, commits: Commits):
        super().__init__(repo, commits)
        self._staged = repo
        self._here = repo.origin.scan()

    def _entry(self, path: RepoPath, item: Item, depth: int) -> Entry | None:
        if self._staged.is_here(path, item):
            return self._here.entry(path)
        return super()._entry(path, item, depth)

    def _unread(self, path: RepoPath, counted: Mapping[str, Item]) -> list[str]:
        absent = {
            name: item
            for name, item in counted.items()
            if not self._staged.is_here(f"{path}/{name}" if path else name, item)
        }
        return super()._unread(path, absent)
