"""mlx init: make a git worktree an mlx project."""

from __future__ import annotations

import os
from dataclasses import dataclass

from mlxrepo.paths import RepoPath, join
from mlxrepo.repo import layout
from mlxrepo.repo.git import no_project
from mlxrepo.repo.ignore import DEFAULT
from mlxrepo.repo.owned import write_owned
from mlxrepo.repo.repo import Repo


@dataclass(frozen=True, slots=True)
class Initialized:
    """The files that were written, and those that were there already."""

    created: tuple[RepoPath, ...]
    present: tuple[RepoPath, ...]


def init(repo: Repo) -> Initialized:
    """Write mlx.yaml in the current folder, the rest at the root; what is there stays.

    Raises:
        InputError: when git tracks a project file at the root that is not here.
        EnvironmentFailed: when git does not work in the repository.
    """
    from mlxrepo.repo.schema import commented_example

    store = repo.store  # first: it takes a repository that git works in
    is_here = os.path.lexists(repo.full(layout.PROJECT_FILE))
    if not is_here and repo.git.tracked([layout.PROJECT_FILE]):
        raise no_project(repo.git)
    folder = os.path.relpath(repo.cwd, repo.root)
    project = join("" if folder == "." else folder, layout.PROJECT_FILE)
    wanted = {
        project: commented_example().encode(),
        RepoPath(layout.IGNORE_FILE): DEFAULT.encode(),
    }
    created, present = [], []
    for path, text in wanted.items():
        if os.path.lexists(repo.full(path)):
            present.append(path)
        else:
            write_owned(repo.root, path, text)
            created.append(path)
    (created if _add_attributes(repo) else present).append(RepoPath(".gitattributes"))
    store.prepare()
    repo.forget()
    return Initialized(tuple(created), tuple(present))


def _add_attributes(repo: Repo) -> bool:
    text = repo.file_at(".gitattributes", None) or b""
    line = layout.GITATTRIBUTES_LINE.encode()
    if line in text.splitlines():
        return False
    if text and not text.endswith(b"\n"):
        text += b"\n"
    write_owned(repo.root, ".gitattributes", text + line + b"\n")
    return True
