"""Where good copies of lost objects may lie: the store's trash and quarantine, every worktree."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator

from mlxrepo.errors import MlxError
from mlxrepo.hashing import Oid, tree_oid
from mlxrepo.paths import RepoPath
from mlxrepo.repo.layout import TRASH_FOLDER
from mlxrepo.repo.repo import Repo
from mlxrepo.repo.roots import worktrees
from mlxrepo.store.inventory import Key
from mlxrepo.store.objects import Store
from mlxrepo.store.quarantine import FOLDER as QUARANTINE_FOLDER
from mlxrepo.store.search import Search, trees_of, walk_files
from mlxrepo.store.snapshot import Scan
from mlxrepo.store.tree import Entry, PutTree, write_tree


def look_everywhere(repo: Repo, search: Search, named: Collection[str]) -> None:
    """Let a search look at all places there are until nothing is left; `named` are looked at first.

    `named` are the repository paths where lost objects belong.
    """
    places = list(_worktrees(repo))
    for place in places:
        search.look_at(place.full(path) for path in named)
    for folder in {repo.shared(TRASH_FOLDER), _in_store(repo, TRASH_FOLDER)}:
        search.look_below(folder)
    search.look_below(_in_store(repo, QUARANTINE_FOLDER))
    for place in places:
        if search.left:
            _look_in_worktree(place, search)


def _in_store(repo: Repo, folder: str) -> str:
    return os.path.join(repo.store.root, folder)


def _worktrees(repo: Repo) -> Iterator[Repo]:
    """Open every worktree that is within reach, this one first."""
    main = repo.root if repo.git_dir == repo.common_dir else None
    found = [place.root for place in worktrees(repo.git, repo.common_dir, main)]
    for root in dict.fromkeys([repo.root, *found]):
        try:
            if root is not None:
                yield Repo.find(root)
        except MlxError:
            continue  # no worktree any more


def _look_in_worktree(repo: Repo, search: Search) -> None:
    with repo:
        for top in _tops(repo):
            full = repo.full(top)
            search.look_at(walk_files(full) if os.path.isdir(full) else [full])
            if any(key.kind == "tree" for key in search.left):
                trees_of(_nodes(repo, top, search.left), full, search)


def _tops(repo: Repo) -> list[RepoPath]:
    """Return the paths that are tracked here, as far as that is known."""
    tops: set[RepoPath] = set()
    for paths in (lambda: repo.placed, lambda: (item.path for item in repo.observed.tracked())):
        try:
            tops.update(paths())
        except MlxError:
            continue  # a lockfile in the middle of a merge says nothing
    return sorted(tops)


def _nodes(repo: Repo, top: RepoPath, lost: Iterable[Key]) -> dict[Oid, bytes]:
    """Return every tree node of a workspace folder as it would be recorded now."""
    nodes: dict[Oid, bytes] = {}

    def put(data: bytes) -> Oid:
        oid = tree_oid(data)
        nodes[oid] = data
        return oid

    repo.store = _Without(repo.store.root, frozenset(lost))
    scan = repo.scan()
    try:
        entry = scan.entry(top)
        if entry is not None:
            _write_all(scan, entry, put)
    except (MlxError, OSError):
        pass  # what could be read of it is there
    return nodes


def _write_all(scan: Scan, entry: Entry, put: PutTree) -> None:
    if entry.kind == "tree":
        tree = scan.tree(entry.oid)
        write_tree(tree, put)
        for child in tree.values():
            _write_all(scan, child, put)


class _Without(Store):
    """The store as it would be without some objects: what was there has to be computed."""

    def __init__(self, root: str, lost: frozenset[Key]):
        super().__init__(root)
        self._lost = lost

    def has(self, kind: str, oid: Oid) -> bool:
        """Say whether the object is here and none of the lost ones."""
        return Key(kind, oid) not in self._lost and super().has(kind, oid)
