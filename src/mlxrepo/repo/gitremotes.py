"""What the remotes of git have: is all of it here?"""

from __future__ import annotations

from mlxrepo.errors import CannotDecide, EnvironmentFailed
from mlxrepo.paths import display
from mlxrepo.repo.repo import Repo

_REFS = ("refs/heads/*", "refs/tags/*", "refs/mlx/*")


def check_fetched(repo: Repo) -> None:
    """Check that every branch, tag and experiment of every git remote is here.

    Raises:
        CannotDecide: when one is not: what its commits need is not known.
        EnvironmentFailed: when a git remote cannot be asked.
    """
    _, out = repo.git.run("remote")
    for remote in out.decode("utf-8", "surrogateescape").split():
        status, listed = repo.git.run("ls-remote", "--quiet", remote, *_REFS, accept=range(256))
        if status:
            raise EnvironmentFailed(
                f"the git remote {display(remote)} of {display(repo.root)} cannot be asked which "
                "commits it has",
                hint=f"git ls-remote {remote} says why; if it is gone: git remote remove {remote}",
            )
        oids = sorted({line.split("\t")[0] for line in listed.decode().splitlines()})
        if lacking := _lacking(repo, oids):
            raise CannotDecide(
                f"{len(lacking)} branches or tags of the git remote {display(remote)} are not "
                f"here, {lacking[0][:12]} for one: what they need is not known",
                hint=f"git -C {display(repo.root)} fetch --all --tags, then again",
            )


def _lacking(repo: Repo, oids: list[str]) -> list[str]:
    _, out = repo.git.run(
        "cat-file", "--batch-check", input="".join(f"{oid}\n" for oid in oids).encode()
    )
    return [line.split()[0] for line in out.decode().splitlines() if line.endswith(" missing")]
