"""Two sides to compare, as git names them: revisions, ranges, and the workspace."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from shlex import quote
from typing import NamedTuple

from mlxrepo.errors import CannotDecide, InputError
from mlxrepo.paths import display
from mlxrepo.repo.git import Git

WORKSPACE = "workspace"


class Between(NamedTuple):
    """Two sides by the names that the user gave, and their commits; `new` None: the workspace."""

    old_name: str
    new_name: str
    old: str
    new: str | None


def between(
    git: Git, words: Sequence[str], names: Callable[[str], bool], *, only_revisions: bool = False
) -> tuple[Between, list[str]]:
    """Return the sides that words mean, and the words behind them, which are paths.

    `A..B` is A and B, `A...B` is B and where it left A; nothing is HEAD and the workspace. As in
    git a word that is a revision and (as `names` says) a path too is refused.

    Raises:
        InputError: when a word could be both, or `only_revisions` are given and too many.
        CannotDecide: when there is no such revision, or no commit yet.
    """
    found: list[tuple[str, str]] = []
    rest = list(words)
    while rest and len(found) < 2:
        sides = _sides(git, rest[0], must=only_revisions)
        if sides is None or len(found) + len(sides) > 2:
            break
        if not only_revisions and names(rest[0]):
            word = quote(rest[0])
            raise InputError(
                f'"{display(rest[0])}" is a revision and a path',
                hint=f"mlx diff {word} -- for the revision, mlx diff -- {word} for the path",
            )
        found += sides
        del rest[0]
    if only_revisions and rest:
        raise InputError(f'"{display(rest[0])}" is one revision too many: two can be compared')
    old = found[0] if found else ("HEAD", git.commit("HEAD"))
    if len(found) < 2:
        return Between(old[0], WORKSPACE, old[1], None), rest
    return Between(old[0], found[1][0], old[1], found[1][1]), rest


def _sides(git: Git, word: str, *, must: bool) -> list[tuple[str, str]] | None:
    """Return the one or two revisions that a word means, each with its commit, or None."""
    try:
        return _range(git, word) if ".." in word else [(word, git.commit(word))]
    except CannotDecide:
        if must or (word == "HEAD" and not os.path.lexists(os.path.join(git.root, word))):
            raise
        return None


def _range(git: Git, word: str) -> list[tuple[str, str]]:
    dots = "..." if "..." in word else ".."
    first, _, last = word.partition(dots)
    old, new = ((name, git.commit(name)) for name in (first or "HEAD", last or "HEAD"))
    if dots == "...":
        bases = git.merge_bases(old[1], new[1])
        if not bases:
            raise CannotDecide(f"{display(word)}: the two have no commit in common")
        old = word, bases[0]
    return [old, new]
