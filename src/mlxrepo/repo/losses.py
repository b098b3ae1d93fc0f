"""Who needs what the store has lost."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from mlxrepo.errors import MlxError
from mlxrepo.paths import RepoPath, is_inside, join
from mlxrepo.repo.repo import Repo
from mlxrepo.repo.roots import Root, roots
from mlxrepo.store.inventory import Fault, Inventory, Key
from mlxrepo.store.needs import Walk
from mlxrepo.store.subtree import find


class Need(NamedTuple):
    """A file or folder of what is recorded for `address`, and where that is recorded.

    `where` is "workspace", "index", "placed", or a commit or ref in short.
    """

    path: RepoPath
    address: str
    where: str


class Loss(NamedTuple):
    """How large a lost blob is (a tree: 0), and who needs it."""

    size: int
    needs: tuple[Need, ...]


Losses = dict[Key, Loss]


class Seen(NamedTuple):
    """One walk through all that is needed: what was come across, what is lost, what is damaged."""

    needed: set[Key]
    losses: Losses
    faults: list[Fault]


def needed_roots(repo: Repo) -> tuple[list[Root], str]:
    """Return what this repository needs, and why that may not be all ("": it is).

    Where the history cannot be told, the workspace speaks for itself.
    """
    try:
        return _meant(repo, roots(repo)), ""
    except MlxError as error:
        return _meant(repo, _here(repo)), str(error)


def _here(repo: Repo) -> Iterable[Root]:
    for path, entry in repo.placed.items():
        yield Root(entry, path, "", "placed")
    try:
        for item in repo.observed.tracked():
            if item.cache:
                yield Root(item.entry, item.path, item.address, "workspace")
    except MlxError:
        return  # that lockfile is the reason why the history cannot be told


def _meant(repo: Repo, found: Iterable[Root]) -> list[Root]:
    """Leave out what was only placed and is never read from the store: single files.

    The trees of placed folders are read, to tell deleted from absent.
    """
    listed = dict.fromkeys(found)
    return [root for root in listed if root.where != "placed" or root.entry.kind == "tree"]


def narrowed(found: Iterable[Root], paths: Iterable[RepoPath], inventory: Inventory) -> list[Root]:
    """Return the parts of roots that lie at or below `paths`."""
    chosen = list(paths)
    parts: dict[Root, None] = {}
    for root in found:
        for path in chosen:
            if is_inside(root.path, path):
                parts[root] = None
            elif is_inside(path, root.path):
                parts.update(dict.fromkeys(_part(root, path, inventory)))
    return list(parts)


def _part(root: Root, path: RepoPath, inventory: Inventory) -> list[Root]:
    try:
        entry = find(inventory.tree, root.entry, path[len(root.path) + 1 :])
    except MlxError:
        return [root]  # which part is needed stands in what is lost: all of it may be
    return [root._replace(entry=entry, path=path)] if entry else []


def look(found: Iterable[Root], inventory: Inventory) -> Seen:
    """Go through everything that roots need.

    What is not where it was may have been moved into a pack meanwhile: then all is looked at again.
    """
    listed = list(found)
    while True:
        walk = Walk(inventory)
        losses = _losses(listed, walk)
        if not losses or not inventory.reload():
            return Seen(walk.needed, losses, walk.faults)


def _losses(found: Iterable[Root], walk: Walk) -> Losses:
    sizes: dict[Key, int] = defaultdict(int)
    needs: dict[Key, dict[Need, None]] = defaultdict(dict)
    for root in found:
        for item in walk.lost(root.entry):
            size = item.entry.size if item.key.kind == "blob" else 0
            sizes[item.key] = max(size, sizes[item.key])
            need = Need(join(root.path, item.path), root.address, root.where)
            needs[item.key][need] = None
    return {key: Loss(size, tuple(needs[key])) for key, size in sizes.items()}
