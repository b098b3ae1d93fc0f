"""Differences between trees; equal oids are never opened."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from mlxrepo.store.subtree import walk
from mlxrepo.store.tree import Entry, PutTree, ReadTree, Tree, check_depth, write_tree


class Change(NamedTuple):
    """One file that differs; `old` None: added, `new` None: deleted."""

    path: str
    old: Entry | None
    new: Entry | None

    @property
    def word(self) -> str:
        """Return added, deleted or modified."""
        return "added" if self.old is None else "deleted" if self.new is None else "modified"


def same(a: Entry | None, b: Entry | None) -> bool:
    """Say whether two entries are the same kind of thing with the same content."""
    if a is None or b is None:
        return a is b
    return a.kind == b.kind and a.oid == b.oid


def changes(
    read: ReadTree, old: Entry | None, new: Entry | None, path: str = ""
) -> Iterator[Change]:
    """Yield the files that differ between two entries, by path below them."""
    if same(old, new):
        return
    check_depth(path)
    old_tree = read(old.oid) if old and old.kind == "tree" else None
    new_tree = read(new.oid) if new and new.kind == "tree" else None
    if old_tree is None and new_tree is None:
        yield Change(path, old, new)
    elif old_tree is not None and new_tree is not None:
        for name in sorted(old_tree.keys() | new_tree.keys()):
            below = f"{path}/{name}" if path else name
            yield from changes(read, old_tree.get(name), new_tree.get(name), below)
    else:
        if old:
            yield from (Change(below, item, None) for below, item in walk(read, old, path))
        if new:
            yield from (Change(below, None, item) for below, item in walk(read, new, path))


class Presence(NamedTuple):
    """A tracked path as it counts: what is here, and what is recorded but absent.

    `entry` is here and absent together (None: nothing is left), `deleted` the files that were here
    and are gone, `absent` and `absent_size` what is recorded and was never here.
    """

    entry: Entry | None
    deleted: tuple[str, ...]
    absent: int
    absent_size: int


def presence(
    read: ReadTree,
    put: PutTree,
    here: Entry | None,
    placed: Entry | None,
    recorded: Entry | None,
) -> Presence:
    """Fill what is here with what is absent: recorded, and not part of what mlx last saw here."""
    merge = _Presence(read, put)
    entry = merge.visit("", here, placed, recorded)
    return Presence(entry, tuple(merge.deleted), merge.absent, merge.absent_size)


class _Presence:
    def __init__(self, read: ReadTree, put: PutTree):
        self.read = read
        self.put = put
        self.deleted: list[str] = []
        self.absent = 0
        self.absent_size = 0

    def visit(
        self, path: str, here: Entry | None, placed: Entry | None, recorded: Entry | None
    ) -> Entry | None:
        if recorded is None or same(here, recorded):
            return here
        if here is None and placed is None:
            self.absent += recorded.files
            self.absent_size += recorded.size
            return recorded
        if here is not None and (here.kind != "tree" or recorded.kind != "tree"):
            return here
        if here is None and (recorded.kind != "tree" or placed is None or placed.kind != "tree"):
            self.deleted += [below for below, _ in walk(self.read, recorded, path)]
            return None
        return self._folder(path, here, placed, recorded)

    def _folder(
        self, path: str, here: Entry | None, placed: Entry | None, recorded: Entry
    ) -> Entry | None:
        check_depth(path)
        here_tree = self._tree(here)
        placed_tree = self._tree(placed)
        merged: Tree = dict(here_tree)
        for name, wanted in self.read(recorded.oid).items():
            below = f"{path}/{name}" if path else name
            kept = self.visit(below, here_tree.get(name), placed_tree.get(name), wanted)
            if kept is not None:
                merged[name] = kept
        if not merged and here is None:
            return None
        return write_tree(merged, self.put)

    def _tree(self, entry: Entry | None) -> Tree:
        return self.read(entry.oid) if entry and entry.kind == "tree" else {}
