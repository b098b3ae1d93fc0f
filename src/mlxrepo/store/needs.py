"""What is lost: go through everything that is needed and name the objects that cannot be had."""

from __future__ import annotations

import contextlib
from typing import NamedTuple

from mlxrepo.errors import Damaged, MlxError
from mlxrepo.paths import join
from mlxrepo.store.inventory import Fault, Inventory, Key
from mlxrepo.store.tree import INDEX_HEADER, Entry, check_depth, children


class Lost(NamedTuple):
    """An object that cannot be had, at a path below the entry that was asked about.

    `entry` is the blob's, or that of the folder which cannot be read without the object.
    """

    path: str
    key: Key
    entry: Entry


class Walk:
    """Looks through entries for what is lost below them; each folder is opened once.

    `needed` is everything that was come across, `faults` the damage that was found on the way.
    """

    def __init__(self, inventory: Inventory):
        self.needed: set[Key] = set()
        self.faults: list[Fault] = []
        self._inventory = inventory
        self._below: dict[Entry, tuple[Lost, ...]] = {}

    def lost(self, entry: Entry, path: str = "") -> tuple[Lost, ...]:
        """Return what is lost of an entry; paths in it begin below the entry."""
        found = self._below.get(entry)
        if found is None:
            found = self._folder(entry, path) if entry.kind == "tree" else self._file(entry)
            self._below[entry] = found
        return found

    def _file(self, entry: Entry) -> tuple[Lost, ...]:
        key = Key("blob", entry.oid)
        self.needed.add(key)
        sound, faults = self._inventory.is_sound(key, entry.size)
        self._inventory.note(faults)
        self.faults += faults
        return () if sound else (Lost("", key, entry),)

    def _folder(self, entry: Entry, path: str) -> tuple[Lost, ...]:
        nodes = self._lost_nodes(entry)
        if nodes:
            return tuple(Lost("", key, entry) for key in nodes)
        try:
            check_depth(path)
            tree = self._inventory.tree(entry.oid)
        except MlxError as error:
            return (self._unusable(Key("tree", entry.oid), entry, error),)
        lost: list[Lost] = []
        for name, child in tree.items():
            below = self.lost(child, f"{path}/{name}")
            lost += [item._replace(path=join(name, item.path)) for item in below]
        return tuple(lost)

    def _lost_nodes(self, entry: Entry) -> list[Key]:
        """Return the nodes of a folder that cannot be had: itself, or some of a split one."""
        lost: list[Key] = []
        queue = [entry.oid]
        while queue:
            key = Key("tree", queue.pop())
            self.needed.add(key)
            data = self._inventory.read(key)
            if data is None:
                lost.append(key)
            elif data.startswith(INDEX_HEADER.encode()):
                # One that is malformed is named when the folder is read as a whole.
                with contextlib.suppress(Damaged):
                    queue += children(data, key.oid)
        return lost

    def _unusable(self, key: Key, entry: Entry, error: MlxError) -> Lost:
        """Note a folder whose bytes are what its oid says, and yet are no folder."""
        self.faults.append(Fault("", key, error.message))
        return Lost("", key, entry)
