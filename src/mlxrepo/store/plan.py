"""Plans: what a checkout would do at and below one path, decided before anything is touched."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from mlxrepo.paths import RepoPath
from mlxrepo.store.tree import Entry, ReadTree, Tree, check_depth


class Write(NamedTuple):
    """One thing to put at a path; `replace` says that something may be there already.

    `top` is the tracked path it belongs to: a link must not lead out of it.
    """

    path: RepoPath
    entry: Entry
    replace: bool
    top: RepoPath


class Plan(NamedTuple):
    """What a checkout would do at and below one path.

    `folders` are removed when they are empty then. `unsaved` are workspace files whose bytes the
    store does not have and that are in the way; `kept` are the user's own files, left alone.
    """

    write: tuple[Write, ...]
    remove: tuple[RepoPath, ...]
    folders: tuple[RepoPath, ...]
    chmod: tuple[tuple[RepoPath, bool], ...]
    unsaved: tuple[RepoPath, ...]
    kept: tuple[RepoPath, ...]


class Side(NamedTuple):
    """The three views of one path: what is here, what mlx last put here, what should be here."""

    here: Entry | None
    placed: Entry | None
    wanted: Entry | None


class _Planner:
    def __init__(self, top: RepoPath, read: ReadTree, is_stored: Callable[[Entry], bool]):
        self.top = top
        self.read = read
        self.is_stored = is_stored
        self.folders: list[RepoPath] = []
        self.write: list[Write] = []
        self.remove: list[RepoPath] = []
        self.chmod: list[tuple[RepoPath, bool]] = []
        self.unsaved: list[RepoPath] = []
        self.kept: list[RepoPath] = []

    def visit(self, path: RepoPath, side: Side) -> None:
        here, _, wanted = side
        if here == wanted or (here and wanted and here[:2] == wanted[:2]):
            return
        if here is None:
            if wanted:
                self.write.append(Write(path, wanted, False, self.top))
            return
        if here.kind == "tree":
            self._folder(path, side)
        elif wanted is None:
            self._surplus(path, side)
        elif wanted.kind in ("file", "exec") and here.oid == wanted.oid and here.kind != "symlink":
            self.chmod.append((path, wanted.kind == "exec"))
        else:
            self._replace(path, here, wanted)

    def _replace(self, path: RepoPath, here: Entry, wanted: Entry) -> None:
        if not self.is_stored(here):
            self.unsaved.append(path)
        if wanted.kind == "tree":
            self.remove.append(path)
        self.write.append(Write(path, wanted, True, self.top))

    def _surplus(self, path: RepoPath, side: Side) -> None:
        """Something is here that should not be: remove it only if mlx put it here."""
        if side.placed is None or side.here is None:
            self.kept.append(path)
        elif self.is_stored(side.here):
            self.remove.append(path)
        else:
            self.unsaved.append(path)
            self.remove.append(path)

    def _folder(self, path: RepoPath, side: Side) -> None:
        check_depth(path)
        here = self._tree(side.here)
        placed = self._tree(side.placed)
        wanted = self._tree(side.wanted)
        for name in sorted(here.keys() | wanted.keys()):
            below = Side(here.get(name), placed.get(name), wanted.get(name))
            if below.here is not None or below.wanted is not None:
                self.visit(RepoPath(f"{path}/{name}"), below)
        if side.wanted is None:
            self.folders.append(path)
        elif side.wanted.kind != "tree":
            self.folders.append(path)
            # A file belongs where a folder stands: it can go there only when the folder is emptied.
            kept = [p for p in self.kept if p.startswith(path + "/")]
            self.kept = [p for p in self.kept if not p.startswith(path + "/")]
            self.unsaved += kept
            self.remove += kept
            self.write.append(Write(path, side.wanted, True, self.top))

    def _tree(self, entry: Entry | None) -> Tree:
        return self.read(entry.oid) if entry and entry.kind == "tree" else {}


def plan(
    path: RepoPath,
    side: Side,
    read: ReadTree,
    is_stored: Callable[[Entry], bool],
    *,
    top: RepoPath,
) -> Plan:
    """Compare the three views of a path and return what to do; pure but for reading trees.

    `top` is the tracked path that `path` is or lies in. A file that is here, should not be, and
    was never put here by mlx is the user's: it is kept.
    """
    planner = _Planner(top, read, is_stored)
    planner.visit(path, side)
    return Plan(
        tuple(planner.write),
        tuple(planner.remove),
        tuple(planner.folders),
        tuple(planner.chmod),
        tuple(planner.unsaved),
        tuple(planner.kept),
    )
