"""mlx ls: what is tracked, or what a tracked folder holds, now or at a revision."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mlxrepo.errors import InputError
from mlxrepo.paths import RepoPath, display, join
from mlxrepo.repo.observed import Tracked
from mlxrepo.repo.repo import Repo
from mlxrepo.repo.targets import resolve_tracked
from mlxrepo.store.subtree import find
from mlxrepo.store.tree import Entry


@dataclass(frozen=True, slots=True)
class Listed:
    """One line of a listing; `role` and `address` are empty inside a folder."""

    path: RepoPath
    entry: Entry
    role: str = ""
    address: str = ""


def ls(
    repo: Repo, target: str | None = None, *, rev: str | None = None, recursive: bool = False
) -> list[Listed]:
    """List tracked paths, or the content of one; reads the store, not the workspace.

    Raises:
        InputError: when nothing is recorded for the target.
        ObjectMissing: when a listing is not in the store.
    """
    declared, observed = repo.views(rev)
    if target is None:
        return [_tracked(item) for item in sorted(observed.tracked(), key=lambda t: t.path)]
    found = resolve_tracked([target], repo.place, declared, observed)
    rows: list[Listed] = []
    for item, path in found:
        entry = find(repo.store.tree, item.entry, path[len(item.path) + 1 :])
        if entry is None:
            raise InputError(
                f"{display(path)} is not recorded in {display(item.path)}",
                hint=f"mlx ls {repo.place.word(item.path)}",
            )
        if entry.kind == "tree" and (len(found) == 1 or recursive):
            rows += _children(repo, path, entry, recursive)
        else:
            rows.append(_tracked(item) if path == item.path else Listed(path, entry))
    return rows


def _tracked(item: Tracked) -> Listed:
    return Listed(item.path, item.entry, item.role, item.address)


def _children(repo: Repo, path: RepoPath, entry: Entry, recursive: bool) -> Iterator[Listed]:
    for name, child in repo.store.tree(entry.oid).items():
        below = join(path, name)
        if recursive and child.kind == "tree" and child.files:
            yield from _children(repo, below, child, recursive)
        else:
            yield Listed(below, child)
