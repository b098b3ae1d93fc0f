"""Bringing all objects of one store into another, each hashed on the way.

Blobs go before the trees that name them, and inner trees before outer ones: what is in a store is
whole there, also in one that others are using meanwhile.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from mlxrepo import files
from mlxrepo.errors import Damaged
from mlxrepo.hashing import Oid
from mlxrepo.progress import SILENT, Progress
from mlxrepo.store.copies import damaged, packed_copy
from mlxrepo.store.inventory import Inventory, Key, list_folder, loose_key
from mlxrepo.store.objects import FOLDERS, Batch, Store

HOLDING = (*FOLDERS.values(), "packs")  # the folders of a store that hold objects


def list_objects(store: Store) -> set[Key]:
    """Return every object of a store, large or small.

    Raises:
        Damaged: when the table of a pack cannot be read, so that nobody knows what is in it.
    """
    store.refresh()
    found = set(_loose(store.root))
    for pack in store.packs.all().values():
        found.update(Key(slot.kind, oid) for oid, slot in pack.items())
    for error in store.packs.damaged.values():
        raise error
    return found


def size_of(root: str) -> int:
    """Return the bytes of the files that hold the objects of a store."""
    total = 0
    for folder in HOLDING:
        for here, _, names in os.walk(os.path.join(root, folder)):
            total += sum(os.lstat(os.path.join(here, name)).st_size for name in names)
    return total


def copy_objects(
    source: Store, target: Store, keys: Iterable[Key], *, progress: Progress = SILENT
) -> None:
    """Bring objects into another store; one that it has already is hashed there.

    Raises:
        Damaged: when an object holds other bytes than its name says, here or there.
    """
    wanted = set(keys)
    trees = {key.oid for key in wanted if key.kind == "tree"}
    there = Inventory(target.root)
    progress.start("copying objects", len(wanted), "objects")
    for group in (
        (key for key in sorted(wanted) if key.kind == "blob"),
        (Key("tree", oid) for oid in _inner_first(source, trees)),
    ):
        with target.batch() as batch:
            for key in group:
                _copy(source, target, batch, there, key)
                progress.advance()
    progress.done()


def remove_objects(root: str) -> None:
    """Remove a store's objects, and what marks it as a store; everything else stays."""
    for folder in HOLDING:
        files.remove_any(os.path.join(root, folder))
    files.remove_quietly(os.path.join(root, "format"))


def _loose(root: str) -> Iterator[Key]:
    for folder in FOLDERS.values():
        for two in list_folder(os.path.join(root, folder)):
            for rest in list_folder(os.path.join(root, folder, two)):
                key = loose_key(f"{folder}/{two}/{rest}")
                if key:
                    yield key


def _copy(source: Store, target: Store, batch: Batch, there: Inventory, key: Key) -> None:
    if target.has(*key):
        if not there.has(key):
            raise Damaged(
                f"{key.kind} {key.oid[:12]} is damaged in {target.root}",
                hint="mlx fsck --repair in a repository that uses that store",
            )
        return
    path = source.path(*key)
    if key.kind == "tree" or not os.path.exists(path):
        batch.put(key.kind, source.read(*key), key.oid)
    else:
        _copy_file(path, source, batch, key.oid)


def _copy_file(path: str, source: Store, batch: Batch, oid: Oid) -> None:
    """Copy a blob from its own file; where that is damaged, from a pack that has it too."""
    failure: Exception = Damaged(damaged("blob", oid).message, hint="mlx fsck --repair, then again")
    try:
        if batch.put_file(path).oid == oid:
            return
    except OSError as error:
        if error.filename not in (path, None):  # not the file: the other store, or its disk
            raise
        failure = error
    data = packed_copy(source.packs, "blob", oid)
    if data is None:
        raise failure
    batch.put("blob", data, oid)


def _inner_first(store: Store, oids: set[Oid]) -> Iterator[Oid]:
    """Yield trees, each behind those that it names."""
    done: set[Oid] = set()
    for first in sorted(oids):
        stack = [(first, False)]
        while stack:
            oid, is_open = stack.pop()
            if oid in done or oid not in oids:
                continue
            if is_open:
                done.add(oid)
                yield oid
            else:
                stack.append((oid, True))
                stack += [(child, False) for child in _named(store.read("tree", oid))]


def _named(data: bytes) -> list[Oid]:
    """Return the trees that a tree or an index node names (docs/formats.md)."""
    head, *lines = data.decode("ascii").splitlines()
    if head.startswith("mlx index"):
        return [Oid(line[:64]) for line in lines]
    return [Oid(line[2:66]) for line in lines if line.startswith("d ")]
