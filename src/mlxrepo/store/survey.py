"""What a push has to do: the walk through what is wanted on a remote; sends nothing.

A tree that the remote says is closed is not opened: everything below it is there too. So a second
push of a million files asks one question.
"""

from __future__ import annotations

import re
from binascii import unhexlify
from collections.abc import Iterator

from mlxrepo.errors import InputError, ObjectMissing
from mlxrepo.files import SMALL
from mlxrepo.hashing import Oid
from mlxrepo.store.objects import Store
from mlxrepo.store.reach import key_of
from mlxrepo.store.remoteindex import Known
from mlxrepo.store.tree import DEPTH_MAX, RANK_MAX, Entry
from mlxrepo.store.tree import children as nodes_below

BLOB, TREE = b"\0", b"\1"

_NAMED = re.compile(rb"^(?:([fxld]) )?([0-9a-f]{64}) (?:([0-9]+) )?", re.MULTILINE)


def named(data: bytes) -> Iterator[tuple[bytes, int]]:
    """Yield key and size (0 for trees) of all that the bytes of a tree or an index node name."""
    for letter, oid, size in _NAMED.findall(data):
        is_blob = letter in (b"f", b"x", b"l")
        yield (BLOB if is_blob else TREE) + unhexlify(oid), int(size) if is_blob else 0


def oid_in(key: bytes) -> Oid:
    """Return the oid in a key."""
    return Oid(key[1:].hex())


class Survey:
    """Collects what is to be sent: `trees` and `small` blobs in packs, `large` ones alone.

    `there` are objects of it that the remote has; `missing` are neither there nor here, with a
    path each. `reclosed` are trees that are there and turn out to be closed by now.
    """

    def __init__(self, store: Store, known: Known):
        self.trees: dict[bytes, int] = {}
        self.small: dict[bytes, int] = {}
        self.large: dict[bytes, int] = {}
        self.there = 0
        self.missing: dict[bytes, str] = {}
        self.reclosed: set[bytes] = set()
        self.closed: dict[bytes, bool] = {}
        self._store = store
        self._known = known

    @property
    def amount(self) -> int:
        """How much is to be sent, in bytes, before it is compressed."""
        return sum(map(sum, (part.values() for part in (self.trees, self.small, self.large))))

    @property
    def objects(self) -> int:
        """How many objects are to be sent."""
        return len(self.trees) + len(self.small) + len(self.large)

    def add(self, entry: Entry, path: str, below: str = "") -> None:
        """Want an entry on the remote, and all below it.

        With `below` only what lies there in it, and the folders that lead there.
        """
        for name in below.split("/") if below else ():
            if entry.kind != "tree":
                return
            self._nodes(entry.oid, path)
            try:
                found = self._store.tree(entry.oid).get(name)
            except ObjectMissing:
                return  # noted as missing
            if found is None:
                return
            entry = found
        self._visit(key_of(entry), entry.size, f"{path}/{below}" if below else path, 0)

    def _nodes(self, oid: Oid, path: str) -> None:
        """Want the listing of one folder, with all its nodes, and nothing that it names."""
        queue = [oid]
        while queue:
            node = queue.pop()
            data = self._tree(TREE + unhexlify(node), path)
            queue += nodes_below(data, node) if data is not None else []

    def _tree(self, key: bytes, path: str) -> bytes | None:
        """Return a tree, to be sent unless it is there; None when it is not here."""
        is_there = self._known.has(key)
        try:
            data = self._store.read("tree", oid_in(key))
        except ObjectMissing:
            self.there += is_there
            if not is_there:
                self.missing[key] = path
            return None
        if is_there:
            self.there += 1
        else:
            self.trees[key] = len(data)
        return data

    def _visit(self, key: bytes, size: int, path: str, depth: int) -> bool:
        """Want an object; say whether after this push all that it reaches is on the remote."""
        known = self.closed.get(key)
        if known is None:
            known = (
                self._folder(key, path, depth) if key[:1] == TREE else self._file(key, size, path)
            )
            self.closed[key] = known
        return known

    def _file(self, key: bytes, size: int, path: str) -> bool:
        if self._known.has(key):
            self.there += 1
        elif not self._store.has("blob", oid_in(key)):
            self.missing[key] = path
            return False
        elif size < SMALL:
            self.small[key] = size
        else:
            self.large[key] = size
        return True

    def _folder(self, key: bytes, path: str, depth: int) -> bool:
        if depth > DEPTH_MAX + RANK_MAX:
            raise InputError(f"{path} is nested deeper than {DEPTH_MAX} folders")
        spot = self._known.find(key)
        if spot and spot.closed:
            self.there += 1
            return True
        data = self._tree(key, path)
        if data is None:
            return False
        below = [self._visit(child, size, path, depth + 1) for child, size in named(data)]
        if all(below) and spot:
            self.reclosed.add(key)
        return all(below)
