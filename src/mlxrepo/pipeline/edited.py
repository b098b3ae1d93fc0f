"""Tracked data that is not as recorded: what was edited is recorded before a stage reads it."""

from __future__ import annotations

from collections.abc import Iterable

from mlxrepo.globs import fixed_folder, is_glob
from mlxrepo.paths import ancestors, is_inside
from mlxrepo.pipeline.graph import Graph, read_paths
from mlxrepo.repo.declared import SECTIONS
from mlxrepo.repo.repo import Repo
from mlxrepo.repo.update import Modified, Updated, modified, update_tracked


def find_edited(
    repo: Repo, graph: Graph, addresses: Iterable[str], *, keep_deleted: bool = False
) -> Modified:
    """Return what stages read and is not as recorded; with `keep_deleted` it may be gone."""
    read = {path for address in addresses for path in read_paths(graph.stages[address])}
    patterns = [path for path in read if is_glob(path)]
    above = {folder for path in read for folder in ancestors(path)}
    data = [
        item
        for item in repo.observed.tracked()
        if item.role in SECTIONS
        and (
            item.path in above
            or not read.isdisjoint((item.path, *ancestors(item.path)))
            or any(is_inside(item.path, fixed_folder(pattern)) for pattern in patterns)
        )
    ]
    return modified(repo, data, keep_deleted=keep_deleted)


def record_edited(
    repo: Repo, found: Modified, *, keep_deleted: bool = False
) -> tuple[Updated, ...]:
    """Record what was edited: what a model was made from has to be in the store.

    With `keep_deleted` files that are gone stay on record.
    """
    return tuple(
        update_tracked(repo, item, item.path, keep_deleted=keep_deleted) for item in found.edited
    )
