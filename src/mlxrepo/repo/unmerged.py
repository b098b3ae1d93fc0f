"""The three versions of a file that a merge left unsettled: where git still knows them.

In the index, while git waits for somebody to settle a conflict; else in the commits of the merge,
when git took it for clean (a host's merge button), or somebody committed the marks of a conflict.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from mlxrepo.errors import CannotDecide
from mlxrepo.paths import RepoPath, display
from mlxrepo.repo.git import Git

# What git puts on top of HEAD, while it waits: the change that such a commit made.
_PICKED = ("CHERRY_PICK_HEAD", "REBASE_HEAD")
MERGES_MAX = 100  # merge commits among which the one is looked for that left a file as it is


class Versions(NamedTuple):
    """One file before a merge and on both sides of it; None: it was not there."""

    path: RepoPath
    base: bytes | None
    ours: bytes | None
    theirs: bytes | None

    @property
    def sides(self) -> tuple[bytes, bytes, bytes]:
        """Return base, ours and theirs, each as an empty file where it was not there."""
        return self.base or b"", self.ours or b"", self.theirs or b""


def in_index(git: Git) -> list[Versions]:
    """Return every file that git's index holds unmerged."""
    found = git.unmerged()
    oids = sorted({oid for stages in found.values() for oid in stages.values()})
    blobs = dict(zip(oids, git.blobs(oids), strict=True))
    return [
        Versions(path, *(blobs[stages[n]] if n in stages else None for n in (1, 2, 3)))
        for path, stages in found.items()
    ]


def in_commits(git: Git, git_dir: str, path: RepoPath, now: bytes) -> Versions | None:
    """Return the versions of a file from the merge that made it what it is `now`; None: no merge.

    Raises:
        CannotDecide: when the merge had more than two sides, or they more than one common ancestor.
    """
    sides = _waiting(git, git_dir, path) or _made(git, path, now)
    if sides is None:
        return None
    return Versions(path, *(git.file_at(c, path) if c else None for c in sides))


Sides = tuple[str | None, str, str]  # commits: base, ours, theirs


def _waiting(git: Git, git_dir: str, path: RepoPath) -> Sides | None:
    """Return the sides of the merge, or the like, that git waits for somebody to end."""
    merged = _heads(git_dir, "MERGE_HEAD")
    if merged:
        return _sides(git, path, ["HEAD", *merged])
    for name in _PICKED:
        for commit in _heads(git_dir, name):
            return f"{commit}^", "HEAD", commit
    return None


def _heads(git_dir: str, name: str) -> list[str]:
    try:
        with open(os.path.join(git_dir, name), encoding="ascii") as stream:
            return stream.read().split()
    except OSError:
        return []


def _made(git: Git, path: RepoPath, now: bytes) -> Sides | None:
    """Return the sides of the last merge commit that left the file as neither parent has it."""
    for commit, *parents in git.merges(MERGES_MAX):
        if git.file_at(commit, path) != now:
            continue
        if all(git.file_at(parent, path) != now for parent in parents):
            return _sides(git, path, parents)
    return None


def _sides(git: Git, path: RepoPath, parents: list[str]) -> Sides:
    if len(parents) > 2:
        raise CannotDecide(
            f"{display(path)} comes from a merge of {len(parents)} branches at once",
            hint="merge them one after the other",
        )
    bases = git.merge_bases(*parents)
    if len(bases) > 1:
        raise CannotDecide(
            f"the branches that were merged have {len(bases)} common ancestors, which differ",
            hint="git merge them anew; mlx lock merge before you commit has git's own merge of "
            "the ancestors",
        )
    ours, theirs = parents
    return (bases[0] if bases else None), ours, theirs
