"""What git is about to commit: the files of an index, and a repository that looks as they do."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from mlxrepo import files
from mlxrepo.paths import RepoPath
from mlxrepo.repo.git import Git
from mlxrepo.repo.gitdirs import GitDirs
from mlxrepo.repo.history import index_locks
from mlxrepo.repo.ignore import IgnoreRules
from mlxrepo.repo.layout import PROJECT_FILE
from mlxrepo.repo.placed import Placed
from mlxrepo.repo.repo import Repo


def staged_git(repo: Repo, index: str | None) -> Git:
    """Return git with an index of its own, as `git commit` hands one to its hooks."""
    return Git(repo.root, repo.git_dir if index else None, index)


def staged_locks(git: Git) -> dict[str, bytes]:
    """Return the content of every lockfile in an index, by path.

    After `git add -N` a file stands there empty, and no commit has it: it does not count.
    """
    found = dict(index_locks(git))
    locks = dict(zip(found, git.blobs(list(found.values())), strict=True))
    if all(locks.values()):
        return locks
    intended = _intended(git)
    return {path: data for path, data in locks.items() if data or path not in intended}


def _intended(git: Git) -> set[str]:
    """Return the files of which an index holds but the intent to add them."""
    _, out = git.run("diff-files", "--diff-filter=A", "--name-only", "-z", "--ignore-submodules")
    return {os.fsdecode(path) for path in out.split(b"\0")[:-1]}


@contextmanager
def as_staged(repo: Repo, git: Git) -> Iterator[Repo]:
    """Yield a repository whose workspace is what is staged: this one, where both are the same.

    Else the staged files are written into a temporary folder. Untracked files do not count there,
    nor does what a sparse checkout leaves out.
    """
    _, differing = git.run("diff-files", "--name-only", "-z", "--ignore-submodules=all")
    if not differing:
        yield repo
        return
    with tempfile.TemporaryDirectory(prefix="mlx-staged-") as folder:
        root = os.path.join(os.path.realpath(folder), "root")
        os.mkdir(root)
        git.run("checkout-index", "--all", "--quiet", f"--prefix={root}/")
        for path in _intended(git):
            files.remove_quietly(os.path.join(root, path))
        with _Staged(repo, root) as staged:
            yield staged


class _Staged(Repo):
    """The files of an index in a folder of their own, with the store of the repository."""

    def __init__(self, repo: Repo, root: str):
        own = os.path.join(os.path.dirname(root), "git")  # for the stat cache; git is not asked
        super().__init__(GitDirs(root, own, repo.common_dir), root)
        self.settings = repo.settings
        self.store = repo.store
        self.rules = IgnoreRules(root)
        self.project_paths = sorted(_project_files(root))

    @property
    def placed(self) -> Placed:
        return {}

    def close(self) -> None:
        """Close what is its own."""
        if "cache" in self.__dict__:
            self.cache.close()


def _project_files(root: str) -> Iterator[RepoPath]:
    for folder, _, names in os.walk(root):
        if PROJECT_FILE in names:
            yield RepoPath(os.path.relpath(os.path.join(folder, PROJECT_FILE), root))
