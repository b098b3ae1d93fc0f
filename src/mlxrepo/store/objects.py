"""The local store: objects by oid, large ones as files of their own, small ones in packs.

Objects are immutable and read-only. What is read is hashed before anybody gets it, so a damaged
object is an error here and never wrong bytes in a workspace.
"""

from __future__ import annotations

import os
from functools import lru_cache

from mlxrepo import files
from mlxrepo.errors import Damaged, InputError, ObjectMissing
from mlxrepo.hashing import ALGORITHM, Oid, blob_oid, tree_oid
from mlxrepo.store.pack import TARGET_SIZE, Pack, PackWriter, Slot
from mlxrepo.store.tree import Entry, Tree, parse

FORMAT = 1
FOLDERS = {"blob": "objects", "tree": "trees"}
LOOSE_MAX = 16  # up to this many small objects of one batch stay loose; more go into a pack
PENDING_MAX = 4 << 20


def oid_of(kind: str, data: bytes) -> Oid:
    """Name bytes as an object of `kind` (blob or tree)."""
    return blob_oid(data) if kind == "blob" else tree_oid(data)


class Store:
    """Objects under one folder, usually `.git/mlx`."""

    def __init__(self, root: str):
        self.root = root
        self.temp = os.path.join(root, "tmp")
        self.pack_folder = os.path.join(root, "packs")
        self._packs: dict[str, Pack] | None = None
        self._loose: dict[tuple[str, str], set[str]] = {}
        self._checked = False
        self.tree = lru_cache(maxsize=4096)(self._tree)

    # where things are

    def path(self, kind: str, oid: Oid) -> str:
        """Return where the object lies, or would lie, as a file of its own."""
        return os.path.join(self.root, FOLDERS[kind], oid[:2], oid[2:])

    def prepare(self) -> None:
        """Make sure that the store exists and is of this format.

        Raises:
            InputError: when it is of a newer format.
        """
        if self._checked:
            return
        marker = os.path.join(self.root, "format")
        try:
            with open(marker, encoding="ascii") as stream:
                found = stream.read().split()
        except FileNotFoundError:
            files.make_folder(self.root)
            files.write_atomic(marker, f"{FORMAT} {ALGORITHM}\n".encode())
        else:
            if found != [str(FORMAT), ALGORITHM]:
                raise InputError(
                    f"the store {self.root} has format {' '.join(found)}; this mlx reads "
                    f"{FORMAT} {ALGORITHM}",
                    hint="use the mlx that wrote it, or a newer one",
                )
        self._checked = True

    def packs(self, *, again: bool = False) -> dict[str, Pack]:
        """Return the open packs by file name; `again` looks for new ones and forgets lost ones."""
        if self._packs is None or again:
            known = self._packs or {}
            try:
                names = [n for n in os.listdir(self.pack_folder) if n.endswith(".pack")]
            except FileNotFoundError:
                names = []
            self._packs = {
                name: known.get(name) or Pack(os.path.join(self.pack_folder, name))
                for name in sorted(names)
            }
        return self._packs

    def _find(self, kind: str, oid: Oid) -> tuple[Pack, Slot] | None:
        binary = bytes.fromhex(oid)
        for pack in self.packs().values():
            slot = pack.find(kind, binary)
            if slot:
                return pack, slot
        return None

    def _is_loose(self, kind: str, oid: Oid) -> bool:
        key = (kind, oid[:2])
        names = self._loose.get(key)
        if names is None:
            try:
                names = set(os.listdir(os.path.join(self.root, FOLDERS[kind], oid[:2])))
            except FileNotFoundError:
                names = set()
            self._loose[key] = names
        return oid[2:] in names

    def refresh(self) -> None:
        """Look at the disk again: another process may have added or repacked objects."""
        self._loose.clear()
        self.packs(again=True)

    # reading

    def has(self, kind: str, oid: Oid) -> bool:
        """Say whether the object is here."""
        return self._is_loose(kind, oid) or self._find(kind, oid) is not None

    def has_entry(self, entry: Entry) -> bool:
        """Say whether the object that `entry` names is here; for a tree, its own node only."""
        return self.has("tree" if entry.kind == "tree" else "blob", entry.oid)

    def is_whole(self, entry: Entry) -> bool:
        """Say whether the object and, for a tree, everything below it is here."""
        return not self.missing(entry, limit=1)

    def missing(self, entry: Entry, *, limit: int | None = None) -> list[tuple[str, Oid]]:
        """List what is not here of an entry, as (path below it, oid)."""
        lost: list[tuple[str, Oid]] = []
        queue = [("", entry)]
        while queue and (limit is None or len(lost) < limit):
            path, item = queue.pop()
            if not self.has_entry(item):
                lost.append((path, item.oid))
            elif item.kind == "tree":
                below = f"{path}/" if path else ""
                queue += [(below + name, child) for name, child in self.tree(item.oid).items()]
        return lost

    def read(self, kind: str, oid: Oid) -> bytes:
        """Return the bytes of an object, checked against its name.

        Raises:
            ObjectMissing: when it is not here.
            Damaged: when it holds other bytes.
        """
        data = self._read(kind, oid)
        if data is None:
            self.refresh()
            data = self._read(kind, oid)
        if data is None:
            raise ObjectMissing(f"{kind} {oid[:12]} is not in the store")
        if oid_of(kind, data) != oid:
            raise Damaged(f"{kind} {oid[:12]} in the store holds other bytes than its name says")
        return data

    def _read(self, kind: str, oid: Oid) -> bytes | None:
        found = self._find(kind, oid)
        if found:
            return found[0].read(found[1])
        try:
            with open(self.path(kind, oid), "rb") as stream:
                return stream.read()
        except FileNotFoundError:
            return None

    def _tree(self, oid: Oid) -> Tree:
        return parse(self.read("tree", oid), oid, lambda child: self.read("tree", child))

    def write_to(self, fd: int, entry: Entry) -> None:
        """Copy a blob into an empty file, verified on the way; blocks are shared where possible.

        Raises:
            ObjectMissing: when it is not here.
            Damaged: when it holds other bytes; the file then has to be thrown away.
        """
        if entry.size < files.SMALL or self._find("blob", entry.oid):
            files.write_all(fd, self.read("blob", entry.oid))
            return
        try:
            source, _ = files.open_regular(self.path("blob", entry.oid))
        except FileNotFoundError:
            raise ObjectMissing(f"blob {entry.oid[:12]} is not in the store") from None
        try:
            if not files.copy_verified(source, fd, entry.oid, entry.size):
                raise Damaged(
                    f"blob {entry.oid[:12]} in the store holds other bytes than its name says"
                )
        finally:
            os.close(source)

    def stream(self, entry: Entry, fd: int) -> None:
        """Write a blob to a pipe or file, verified as a whole before the first byte.

        Raises:
            ObjectMissing: when it is not here.
            Damaged: when it holds other bytes.
        """
        with files.temp_file(self.temp) as (copy, _):
            self.write_to(copy, entry)
            os.lseek(copy, 0, os.SEEK_SET)
            while data := os.read(copy, files.CHUNK):
                files.write_all(fd, data)

    # writing

    def batch(self) -> Batch:
        """Start a batch of writes; nothing of it is visible before it is published."""
        self.prepare()
        return Batch(self)

    def note_new(self, kind: str, oid: Oid) -> None:
        """Remember an object that was just published as a file of its own."""
        names = self._loose.get((kind, oid[:2]))
        if names is not None:
            names.add(oid[2:])


class Batch:
    """Objects being written together: small ones into one pack, large ones as they come.

    Use it as a context manager: leaving it without an error publishes, blobs before trees that
    name them because callers put children first.
    """

    def __init__(self, store: Store):
        self._store = store
        self._pending: dict[tuple[str, Oid], bytes] = {}
        self._pending_size = 0
        self._packed: set[tuple[str, Oid]] = set()
        self._pack: PackWriter | None = None
        self.new_objects = 0
        self.new_bytes = 0

    def __enter__(self) -> Batch:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.publish()
        elif self._pack:
            self._pack.abort()

    def has(self, kind: str, oid: Oid) -> bool:
        """Say whether the object is in the store or in this batch."""
        key = (kind, oid)
        return key in self._pending or key in self._packed or self._store.has(kind, oid)

    def put(self, kind: str, data: bytes, oid: Oid | None = None) -> Oid:
        """Add a small object; `oid` when the caller has hashed it already."""
        name = oid or oid_of(kind, data)
        if not self.has(kind, name):
            self._pending[kind, name] = data
            self._pending_size += len(data)
            self._count(len(data))
            if len(self._pending) > LOOSE_MAX or self._pending_size > PENDING_MAX:
                self._to_pack()
        return name

    def put_tree(self, data: bytes) -> Oid:
        """Add the canonical bytes of a tree node."""
        return self.put("tree", data)

    def put_file(self, path: str) -> files.Content:
        """Add the content of a workspace file, hashed and copied in one read."""
        if os.lstat(path).st_size < files.SMALL:
            content = files.read_content(path)
            if content.data is not None:
                self.put("blob", content.data, content.oid)
                return content
        return self._put_large(path)

    def _put_large(self, path: str) -> files.Content:
        with files.temp_file(self._store.temp) as (fd, temp):
            content = files.read_content(path, sink=fd)
            if content.data is not None:
                self.put("blob", content.data, content.oid)
            elif not self.has("blob", content.oid):
                files.failpoint("put.before-flush")
                os.fsync(fd)
                files.publish(temp, self._store.path("blob", content.oid))
                self._store.note_new("blob", content.oid)
                self._count(content.stat.size)
        return content

    def _count(self, size: int) -> None:
        self.new_objects += 1
        self.new_bytes += size

    def _to_pack(self) -> None:
        if self._pack is None:
            self._pack = PackWriter(self._store.temp, self._store.pack_folder)
        for (kind, oid), data in self._pending.items():
            self._pack.add(kind, oid, data)
        self._packed.update(self._pending)
        self._pending.clear()
        self._pending_size = 0
        if self._pack.size > TARGET_SIZE:
            self._close_pack()

    def _close_pack(self) -> None:
        if self._pack:
            self._pack.close()
            self._pack = None
            self._store.packs(again=True)

    def publish(self) -> None:
        """Flush everything and make it visible."""
        if self._pack:
            self._to_pack()
            self._close_pack()
        for (kind, oid), data in self._pending.items():
            self._write_loose(kind, oid, data)
        self._pending.clear()

    def _write_loose(self, kind: str, oid: Oid, data: bytes) -> None:
        with files.temp_file(self._store.temp) as (fd, temp):
            files.write_all(fd, data)
            os.fsync(fd)
            files.publish(temp, self._store.path(kind, oid))
        self._store.note_new(kind, oid)
