"""What the pre-push hook is about: the commits that git is about to send."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mlxrepo.errors import CannotDecide
from mlxrepo.repo.remotes import default_name, specs
from mlxrepo.repo.repo import Repo
from mlxrepo.repo.wanted import Scope


def new_commits(repo: Repo, remote: str, rows: Iterable[str]) -> Scope | None:
    """Return what of the refs that git pushes the git remote lacks; None: nothing, or no remote.

    `rows` are what git tells its hook: local ref, local commit, ref there, commit there. Where the
    workspace declares no remote, as on a branch for pages, what the pushed commits declare counts.

    Raises:
        InputError: when mlx.yaml or the settings of a remote cannot be read.
        CannotDecide: when there are several remotes, and none is the default.
    """
    fields = [row.split() for row in rows]
    tips = [row[1] for row in fields if len(row) == 4 and row[1].strip("0")]
    repo.git.fetches = True  # asking for a commit that is not here makes a partial clone fetch
    if not tips or not (specs(repo) or _declare_as_in(repo, tips)):
        return None
    known = specs(repo)
    if default_name(repo, known) is None:
        raise CannotDecide(
            f"there are several remotes: {', '.join(known)}",
            hint="mlx remote default NAME says which",
        )
    there = [row[3] for row in fields if len(row) == 4 and row[3].strip("0")]
    there += _seen(repo, remote)
    return Scope(commits=(*tips, *(f"^{oid}" for oid in _here(repo, there))))


def _declare_as_in(repo: Repo, tips: Sequence[str]) -> bool:
    """Let the first of some commits that declares a remote stand for the workspace."""
    for commit, _ in repo.git.kinds(f"{tip}^{{commit}}" for tip in tips):
        repo.declared = repo.declared_at(commit)
        if specs(repo):
            return True
    return False


def _seen(repo: Repo, remote: str) -> list[str]:
    """Return the commits that a git remote had when git last looked."""
    if not remote or "/" in remote or ":" in remote:
        return []  # a URL
    shape = "--format=%(objectname)"
    return repo.git.run("for-each-ref", shape, f"refs/remotes/{remote}")[1].decode().split()


def _here(repo: Repo, oids: Sequence[str]) -> list[str]:
    """Return those of some commits that are in this repository."""
    return [oid for oid, kind in repo.git.kinds(dict.fromkeys(oids)) if kind == "commit"]
