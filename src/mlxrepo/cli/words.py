"""Words that people bring from git and DVC, and what mlx says instead."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from mlxrepo.nearest import nearest

# Words that are not commands of mlx and never will be.
FOREIGN = {
    "commit": "git commits; `mlx add` records data",
    "branch": "git branches; `mlx checkout` then brings the data along",
    "switch": "use `git switch`, then `mlx checkout`",
    "reset": "use `git reset`, then `mlx checkout`",
    "restore": "use `mlx checkout PATH`; with `--rev REV` as it was in a revision",
    "revert": "use `git revert`, then `mlx checkout`",
    "merge": "use `git merge`, then `mlx checkout`; `mlx lock merge` settles mlx.lock",
    "clone": "use `git clone`, then `mlx install` and `mlx pull`",
    "tag": "use `git tag`: a commit pins the data too",
    "stash": "use `git stash`, then `mlx checkout`",
    "show": "use `mlx metrics show`, or `mlx cat PATH` for a file",
    "list": "use `mlx ls`",
    "remove": "use `mlx rm`",
    "delete": "use `mlx rm`",
    "untrack": "use `mlx rm --cached`, which leaves the files where they are",
    "move": "use `mlx mv`",
    "rename": "use `mlx mv`",
    "unlock": "mlx has no lock to open; change the file and `mlx add` it",
    "freeze": "write `frozen: true` into the stage in mlx.yaml",
    "unfreeze": "take `frozen: true` out of the stage in mlx.yaml",
    "reproduce": "use `mlx repro`",
    "run": "use `mlx repro`",
    "exp run": "use `mlx repro`, and commit what it made with git",
    "exp show": "use `mlx metrics diff` between two revisions",
    "exp diff": "use `mlx metrics diff` between two revisions",
    "config": "settings live in git: `git config mlx.NAME VALUE`",
    "cache": "objects are kept in .git/mlx; there is nothing to set up",
    "root": "use `git rev-parse --show-toplevel`",
    "version": "use `mlx --version`",
    "help": "use `mlx -h`, or `mlx COMMAND -h`",
    "data status": "use `mlx status`",
    "data": "use `mlx add`, `mlx status` or `mlx ls`",
    "exp": "use `mlx repro` and `mlx metrics diff`",
}

# The same below `mlx remote`, and options of commands that do not have them.
FOREIGN_REMOTE = {
    "remove": "use `mlx remote rm NAME`",
    "delete": "use `mlx remote rm NAME`",
    "modify": "use `git config mlx.remote.NAME.KEY VALUE`, or edit mlx.yaml",
    "set-url": "use `git config mlx.remote.NAME.url URL`, or edit mlx.yaml",
    "rename": "edit its name in mlx.yaml; or `mlx remote rm`, then `mlx remote add`",
    "show": "use `mlx remote list`",
}
FOREIGN_OPTIONS = {
    ("mlx pull", option): f"use `mlx fetch {shown}`; mlx pull is for the workspace"
    for option, shown in (
        ("--rev", "--rev REV"),
        ("--all-branches", "--all-branches"),
        ("--all-tags", "--all-tags"),
    )
}

# Commands of later versions, by their own name or DVC's.
_LATER = """
attribute audit bisect ci export get impact import
import-url lineage migrate model purge queue rollback
update
"""
LATER = frozenset(_LATER.split())


def advice(words: Sequence[str], known: Collection[str]) -> str | None:
    """Say what mlx offers for the words of an unknown command, or None.

    The first two words are looked up, then the first; `known` are the commands there are. Advice
    that names a command which is not there yet says so.
    """
    first = words[0]
    for word in (" ".join(words[:2]), first):
        if word in FOREIGN and word not in known:
            return _with_what_there_is(FOREIGN[word], known)
    if first in LATER:
        return _not_yet(first)
    if nearest(first, known):
        return None
    close = nearest(first, [*FOREIGN, *LATER], 0.8)
    return advice(close.split(), known) if close else None


def _with_what_there_is(text: str, known: Collection[str]) -> str:
    """Keep the advice unless it sends the user to a command of a later version."""
    for part in text.split("`mlx ")[1:]:
        name = part.split("`")[0].split()[0]
        if name in LATER and name not in known:
            return _not_yet(name)
    return text


def _not_yet(name: str) -> str:
    return f"`mlx {name}` is not available in this version"
