"""What the remotes of git have: is all of it here?"""

from __future__ import annotations

from collections.abc import Sequence

from mlxrepo.errors import CannotDecide, EnvironmentFailed
from mlxrepo.paths import display
from mlxrepo.repo.repo import Repo

_REFS = ("refs/heads/*", "refs/tags/*", "refs/mlx/*")


def fetched_tips(repo: Repo) -> list[str]:
    """Return what the branches, tags and experiments of every git remote name, all of it here.

    That an object is here does not mean that a ref of this clone reaches it.

    Raises:
        CannotDecide: when one is not here: what its commits need is not known.
        EnvironmentFailed: when a git remote cannot be asked.
    """
    tips: set[str] = set()
    _, out = repo.git.run("remote")
    for remote in out.decode("utf-8", "surrogateescape").split():
        status, listed = repo.git.run("ls-remote", "--quiet", remote, *_REFS, accept=range(256))
        if status:
            raise EnvironmentFailed(
                f"the git remote {display(remote)} of {display(repo.root)} cannot be asked which "
                "commits it has",
                hint=f"git ls-remote {remote} says why; if it is gone: git remote remove {remote}",
            )
        rows = [line.split("\t") for line in listed.decode("utf-8", "replace").splitlines()]
        here, lacking = _looked_up(repo, sorted({oid for oid, _ in rows}))
        if lacking:
            names = {name.removesuffix("^{}") for oid, name in rows if oid in lacking}
            raise CannotDecide(
                f"{len(names)} branches or tags of the git remote {display(remote)} are not here, "
                f"{display(min(names))} for one: what they need is not known",
                hint=f"git -C {display(repo.root)} fetch {remote} '+refs/heads/*:refs/remotes/"
                f"{remote}/*' 'refs/tags/*:refs/tags/*' {min(names)}, then again",
            )
        tips |= here
    return sorted(tips)


def _looked_up(repo: Repo, oids: list[str]) -> tuple[set[str], set[str]]:
    """Return which of these commits and tags are here, and which objects are not."""
    found = dict(repo.git.kinds(oids))
    here = {oid for oid, kind in found.items() if kind in ("commit", "tag")}
    return here, set(oids) - found.keys()


def has_commits(repo: Repo, oids: Sequence[str]) -> bool:
    """Say whether all these commits are here."""
    if not all(oid.isalnum() for oid in oids):
        return False
    here, _ = _looked_up(repo, sorted(oids)) if oids else (set(), set())
    return here >= set(oids)


def newest_commit(repo: Repo) -> int:
    """Return when the newest commit was made that a ref names, in seconds since 1970."""
    _, out = repo.git.run(
        "for-each-ref", "--sort=-committerdate", "--count=1", "--format=%(committerdate:unix)"
    )
    text = out.decode().strip()
    return int(text) if text.isdecimal() else 0
