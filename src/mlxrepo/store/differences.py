"""Files that differ between two versions of an artifact: renames found, equal parts never opened.

A rename is known by its content alone: a file with the same bytes, a folder with the same tree.
What is empty is like any other empty file, and is never taken for renamed.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import NamedTuple, Protocol

from mlxrepo.errors import ObjectMissing
from mlxrepo.hashing import Oid
from mlxrepo.paths import ancestors, name_bytes, name_of
from mlxrepo.store.compare import same
from mlxrepo.store.tree import Entry, ReadTree, Tree, check_depth, differing

ADDED, MODIFIED, DELETED, RENAMED = "added", "modified", "deleted", "renamed"

Touches = Callable[[str], bool]  # says of a path if it, or what may lie below it, is asked for


class FileChange(NamedTuple):
    """A file that differs, or a whole folder that was renamed.

    `path` is where it is now, or where it was when it is gone; `old_path` where a renamed one was.
    """

    path: str
    old: Entry | None
    new: Entry | None
    old_path: str | None = None

    @property
    def word(self) -> str:
        """Return added, modified, deleted or renamed."""
        if self.old_path is not None:
            return RENAMED
        return ADDED if self.old is None else DELETED if self.new is None else MODIFIED


class Differences(NamedTuple):
    """Files that differ, by path; `unknown` are folders that do, whose listings are not here."""

    changes: tuple[FileChange, ...]
    unknown: tuple[FileChange, ...] = ()


class Reader(Protocol):
    """Where trees are read."""

    def tree(self, oid: Oid) -> Tree:
        """Return a tree, or raise ObjectMissing."""

    def pair(self, old: Oid, new: Oid) -> tuple[Tree, Tree]:
        """Return two trees, perhaps without entries that both have."""


class Whole:
    """Reads trees as wholes, through any function that does."""

    def __init__(self, read: ReadTree):
        self.tree = read

    def pair(self, old: Oid, new: Oid) -> tuple[Tree, Tree]:
        """Return two trees."""
        return self.tree(old), self.tree(new)


class ByNode:
    """Reads of two split trees only the nodes that they do not share."""

    def __init__(self, tree: ReadTree, read: Callable[[str, Oid], bytes]):
        self.tree = tree
        self._read = read

    def pair(self, old: Oid, new: Oid) -> tuple[Tree, Tree]:
        """Return two trees without the entries of the nodes that they share."""
        return differing(old, new, lambda oid: self._read("tree", oid))


def everything(path: str) -> bool:
    """Ask for everything."""
    return True


def differences(
    read: Reader, old: Entry | None, new: Entry | None, touches: Touches = everything
) -> Differences:
    """Return the files that differ between two entries."""
    walk = _Walk(read, touches)
    walk.visit("", old, new)
    walk.pair_off()
    walk.expand()
    walk.pair_off()
    walk.settle()
    return Differences(tuple(sorted(walk.changes, key=_order)), tuple(walk.unknown))


def _order(change: FileChange) -> bytes:
    return name_bytes(change.path)


class _Walk:
    """What was found so far; `gone` and `come` are entries of one side, to be paired off."""

    def __init__(self, read: Reader, touches: Touches):
        self.read = read
        self.touches = touches
        self.changes: list[FileChange] = []
        self.unknown: list[FileChange] = []
        self.gone: dict[str, Entry] = {}
        self.come: dict[str, Entry] = {}

    def visit(self, path: str, old: Entry | None, new: Entry | None) -> None:
        """Sort what lies at `path` on both sides into changes and one-sided entries."""
        if same(old, new) or not self.touches(path):
            return
        check_depth(path)
        if old and new and old.kind == new.kind == "tree":
            self._folder(path, old, new)
        elif old and new and "tree" not in (old.kind, new.kind):
            self.changes.append(FileChange(path, old, new))
        else:
            if old:
                self.gone[path] = old
            if new:
                self.come[path] = new

    def _folder(self, path: str, old: Entry, new: Entry) -> None:
        try:
            before, after = self.read.pair(old.oid, new.oid)
        except ObjectMissing:
            self.unknown.append(FileChange(path, old, new))
            return
        for name in before.keys() | after.keys():
            self.visit(f"{path}/{name}" if path else name, before.get(name), after.get(name))

    def pair_off(self) -> None:
        """Take out what has the same content on both sides: renamed; folders before files."""
        order = _Order(self.come)
        taken: set[str] = set()
        left = sorted(self.gone, key=_rank)
        for is_tree, same_name in product((True, False), (True, False)):
            for path in left:
                entry = self.gone[path]
                if (entry.kind == "tree") != is_tree or not entry.size or _lies_in(path, taken):
                    continue
                now = order.take(path, entry, same_name)
                if now is not None:
                    self.changes.append(FileChange(now, entry, self.come[now], path))
                    taken.add(path)
        self.gone = {p: e for p, e in self.gone.items() if not _lies_in(p, taken)}
        self.come = {p: e for p, e in self.come.items() if not _lies_in(p, order.taken)}

    def expand(self) -> None:
        """List all that lies below the folders of one side."""
        for found, is_new in ((self.gone, False), (self.come, True)):
            queue = list(found.items())
            while queue:
                path, entry = queue.pop()
                check_depth(path)
                if entry.kind != "tree":
                    continue
                try:
                    tree = self.read.tree(entry.oid)
                except ObjectMissing:
                    del found[path]
                    ends = (None, entry) if is_new else (entry, None)
                    self.unknown.append(FileChange(path, *ends))
                    continue
                below = {f"{path}/{name}" if path else name: item for name, item in tree.items()}
                below = {path: item for path, item in below.items() if self.touches(path)}
                found.update(below)
                queue += below.items()

    def settle(self) -> None:
        """Call what is left added and deleted; a folder is what lies in it."""
        for path, entry in self.gone.items():
            if entry.kind != "tree":
                self.changes.append(FileChange(path, entry, None))
        for path, entry in self.come.items():
            if entry.kind != "tree":
                self.changes.append(FileChange(path, None, entry))


class _Order:
    """What came, by its content, and by its content and its name."""

    def __init__(self, come: dict[str, Entry]):
        self.taken: set[str] = set()
        self._places: dict[tuple[str, ...], list[str]] = {}
        for path in sorted(come, key=_rank, reverse=True):
            content = _content(come[path])
            self._places.setdefault(content, []).append(path)
            self._places.setdefault((*content, name_of(path)), []).append(path)

    def take(self, path: str, entry: Entry, same_name: bool) -> str | None:
        """Take what has the content of `entry`, which lay at `path`; None when nothing has."""
        content = _content(entry)
        places = self._places.get((*content, name_of(path)) if same_name else content, [])
        while places:
            found = places.pop()
            if not _lies_in(found, self.taken):
                self.taken.add(found)
                return found
        return None


def _rank(path: str) -> tuple[int, bytes]:
    return path.count("/") + bool(path), name_bytes(path)


def _content(entry: Entry) -> tuple[str, Oid]:
    kind = entry.kind if entry.kind in ("tree", "symlink") else "file"
    return kind, entry.oid


def _lies_in(path: str, taken: set[str]) -> bool:
    return bool(taken) and (path in taken or any(above in taken for above in ancestors(path)))
