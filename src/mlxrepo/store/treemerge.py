"""Merging folders three ways, path by path; what is equal on two sides is never opened.

Only what both sides changed, and not alike, is a collision. A folder is what is in it: where one
side took it away, the files that the other left alone go with it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from mlxrepo.errors import ObjectMissing
from mlxrepo.store.compare import changes, same
from mlxrepo.store.tree import Entry, PutTree, ReadTree, Tree, check_depth, is_tree, write_tree

OURS, THEIRS = "ours", "theirs"
# Says which side a path that both changed is taken from: OURS, THEIRS, or "" for no answer.
Choose = Callable[[str], str]


class Collision(NamedTuple):
    """A path that both sides changed; None: that side has nothing there."""

    path: str
    ours: Entry | None
    theirs: Entry | None


class TreeMerge(NamedTuple):
    """A merged entry, how many files each side alone changed, and what could not be decided.

    Where there are collisions, `entry` has there what ours has. A folder whose listing is not in
    the store counts as one file.
    """

    entry: Entry | None
    ours: int
    theirs: int
    collisions: tuple[Collision, ...]


def no_answer(path: str) -> str:
    """Answer no question."""
    return ""


def merge_entries(
    read: ReadTree,
    put: PutTree,
    base: Entry | None,
    ours: Entry | None,
    theirs: Entry | None,
    choose: Choose = no_answer,
) -> TreeMerge:
    """Merge what two sides made of `base`; new trees go through `put`, children first.

    Raises:
        ObjectMissing: when a listing that both sides changed is not in the store.
    """
    merge = _Merge(read, put, choose)
    entry = merge.visit("", base, ours, theirs)
    return TreeMerge(entry, merge.ours, merge.theirs, tuple(merge.collisions))


class _Merge:
    def __init__(self, read: ReadTree, put: PutTree, choose: Choose):
        self.read = read
        self.put = put
        self.choose = choose
        self.ours = 0
        self.theirs = 0
        self.collisions: list[Collision] = []

    def visit(
        self, path: str, base: Entry | None, ours: Entry | None, theirs: Entry | None
    ) -> Entry | None:
        if same(ours, theirs):
            return ours
        if same(base, ours):
            self.theirs += self._count(base, theirs)
            return theirs
        if same(base, theirs):
            self.ours += self._count(base, ours)
            return ours
        if self._is_folder(base, ours, theirs):
            return self._folder(path, base, ours, theirs)
        side = self.choose(path)
        if not side:
            self.collisions.append(Collision(path, ours, theirs))
        return theirs if side == THEIRS else ours

    @staticmethod
    def _is_folder(base: Entry | None, ours: Entry | None, theirs: Entry | None) -> bool:
        """Say whether to go on inside: both have a folder, or one took away what was one."""
        if is_tree(ours) and is_tree(theirs):
            return True
        left = theirs if ours is None else ours if theirs is None else None
        return is_tree(base) and is_tree(left)

    def _folder(
        self, path: str, base: Entry | None, ours: Entry | None, theirs: Entry | None
    ) -> Entry | None:
        check_depth(path)
        trees = [self._tree(entry) for entry in (base, ours, theirs)]
        merged: Tree = {}
        # In order, so that collisions are named in order.
        for name in sorted(trees[0].keys() | trees[1].keys() | trees[2].keys()):
            below = f"{path}/{name}" if path else name
            found = self.visit(below, *(tree.get(name) for tree in trees))
            if found is not None:
                merged[name] = found
        if not merged and (ours is None or theirs is None):
            return None
        return write_tree(merged, self.put)

    def _tree(self, entry: Entry | None) -> Tree:
        return self.read(entry.oid) if entry is not None and is_tree(entry) else {}

    def _count(self, old: Entry | None, new: Entry | None) -> int:
        try:
            return sum(1 for _ in changes(self.read, old, new))
        except ObjectMissing:
            return 1
