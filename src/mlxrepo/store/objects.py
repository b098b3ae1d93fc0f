"""The local store: objects by oid, large ones as files of their own, small ones in packs.

Objects are immutable and read-only. What is read is hashed before anybody gets it, so a damaged
object is an error here and never wrong bytes in a workspace.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import lru_cache

from mlxrepo import files, reading
from mlxrepo.errors import ObjectMissing
from mlxrepo.hashing import Oid
from mlxrepo.store import marker
from mlxrepo.store.copies import damaged as damaged
from mlxrepo.store.copies import oid_of as oid_of
from mlxrepo.store.copies import packed_copy, read_good
from mlxrepo.store.lease import Lease
from mlxrepo.store.pack import TARGET_SIZE, PackWriter
from mlxrepo.store.packs import Packs
from mlxrepo.store.rights import group_readable
from mlxrepo.store.space import check_fits
from mlxrepo.store.tree import Entry, Tree, check_depth, parse

LINKS = ("copy", "hardlink", "symlink")
FSYNC = ("batch", "always", "off")
FOLDERS = {"blob": "objects", "tree": "trees"}
LOOSE_MAX = 16  # up to this many small objects of one batch stay loose; more go into a pack
PENDING_MAX = 4 << 20


class Store:
    """Objects under one folder, usually `.git/mlx`.

    One that `is_away`, on a disk that is not there, can be asked and has nothing; nothing is made
    in its place.
    """

    def __init__(
        self, root: str, *, link: str = "copy", fsync: str = "batch", is_away: bool = False
    ):
        self.root = root
        self.is_away = is_away
        self.link = link
        self.fsync = fsync
        self.temp = os.path.join(root, "tmp")
        self.pack_folder = os.path.join(root, "packs")
        self.packs = Packs(self.pack_folder, self._list)
        self.lease = Lease(root)
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
            EnvironmentFailed: when its disk is not there.
        """
        if self.is_away:
            raise marker.away(self.root)
        if not self._checked and not marker.is_store(self.root):
            marker.make_store(self.root)
        self._checked = True

    def _list(self, folder: str) -> list[str]:
        """List a folder of the store; none is an empty one."""
        if not self._checked:
            self._checked = marker.is_store(self.root)
        try:
            return os.listdir(folder)
        except FileNotFoundError:
            return []

    def _is_loose(self, kind: str, oid: Oid) -> bool:
        key = (kind, oid[:2])
        names = self._loose.get(key)
        if names is None:
            names = set(self._list(os.path.join(self.root, FOLDERS[kind], oid[:2])))
            self._loose[key] = names
        return oid[2:] in names

    def refresh(self) -> None:
        """Look at the disk again: another process may have added or repacked objects."""
        self._loose.clear()
        self.packs.refresh()

    # reading

    def has(self, kind: str, oid: Oid) -> bool:
        """Say whether the object is here."""
        return self._is_loose(kind, oid) or self.packs.find(kind, oid) is not None

    def has_entry(self, entry: Entry) -> bool:
        """Say whether the object that `entry` names is here; for a tree, its own node only."""
        return self.has("tree" if entry.kind == "tree" else "blob", entry.oid)

    def is_whole(self, entry: Entry) -> bool:
        """Say whether the object and, for a tree, everything below it is here."""
        return not self.missing(entry, limit=1)

    def pin(self, entry: Entry) -> bool:
        """Say whether all of an entry is here, and keep gc from it while this process lives."""
        with self.writing():
            self.refresh()
            self.keep(entry)
            return self.is_whole(entry)

    def keep(self, entry: Entry) -> None:
        """Keep gc from an entry and all below it, while `writing` and then until the end."""
        self.lease.reuse("tree" if entry.kind == "tree" else "blob", entry.oid)

    def missing(self, entry: Entry, *, limit: int | None = None) -> list[tuple[str, Oid]]:
        """List what is not here of an entry, as (path below it, oid)."""
        lost: list[tuple[str, Oid]] = []
        seen: set[Oid] = set()
        queue = [("", entry)]
        while queue and (limit is None or len(lost) < limit):
            path, item = queue.pop()
            if item.kind != "tree":
                if not self.has("blob", item.oid):
                    lost.append((path, item.oid))
            elif item.oid not in seen:
                check_depth(path)
                seen.add(item.oid)
                try:
                    tree = self.tree(item.oid)
                except ObjectMissing:  # it, or a node of a split one
                    lost.append((path, item.oid))
                    continue
                below = f"{path}/" if path else ""
                queue += [(below + name, child) for name, child in tree.items()]
        return lost

    def read(self, kind: str, oid: Oid) -> bytes:
        """Return the bytes of an object, checked against its name.

        Raises:
            ObjectMissing: when it is not here.
            Damaged: when no copy of it is good.
        """
        path = self.path(kind, oid)
        data = read_good(self.packs, path, kind, oid)
        if data is None:
            self.refresh()
            data = read_good(self.packs, path, kind, oid)
        if data is None:
            raise ObjectMissing(f"{kind} {oid[:12]} is not in the store")
        return data

    def _tree(self, oid: Oid) -> Tree:
        return parse(self.read("tree", oid), oid, lambda child: self.read("tree", child))

    def write_to(self, fd: int, entry: Entry) -> None:
        """Copy a blob into an empty file, verified on the way; blocks are shared where possible.

        Raises:
            ObjectMissing: when it is not here.
            Damaged: when it holds other bytes; the file then has to be thrown away.
        """
        packed = entry.size < files.SMALL and self.packs.find("blob", entry.oid)
        source = None if packed else self._open_large(entry.oid)
        if source is None:
            files.write_all(fd, self.read("blob", entry.oid))
            return
        try:
            if reading.copy_verified(source, fd, entry.oid):
                return
        finally:
            os.close(source)
        data = self._from_packs(entry.oid)
        os.ftruncate(fd, 0)
        os.lseek(fd, 0, os.SEEK_SET)
        files.write_all(fd, data)

    def stream(self, entry: Entry, fd: int) -> None:
        """Write a blob to a pipe or file, verified as a whole before the first byte.

        Raises:
            ObjectMissing: when it is not here.
            Damaged: when it holds other bytes.
        """
        source = self._open_large(entry.oid)
        if source is None:
            files.write_all(fd, self.read("blob", entry.oid))
            return
        try:
            if reading.hash_open(source) != entry.oid:
                files.write_all(fd, self._from_packs(entry.oid))
                return
            while data := os.read(source, reading.CHUNK):
                files.write_all(fd, data)
        finally:
            os.close(source)

    def _from_packs(self, oid: Oid) -> bytes:
        """Return a blob whose file is damaged, from a pack.

        Raises:
            Damaged: when none has it.
        """
        data = packed_copy(self.packs, "blob", oid)
        if data is None:
            raise damaged("blob", oid)
        return data

    def _open_large(self, oid: Oid) -> int | None:
        """Open a blob that is too large for memory; None when `read` is the way to it."""
        try:
            source, found = files.open_regular(self.path("blob", oid))
        except FileNotFoundError:
            return None
        if found.st_size >= files.SMALL:
            return source
        os.close(source)
        return None

    # writing

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Keep gc from removing anything while the block runs (`Lease.writing`)."""
        self.prepare()
        with ExitStack() as stack:
            with group_readable(self.root):  # gc of another user has to see lock and lease
                stack.enter_context(self.lease.writing())
            yield

    def batch(self) -> Batch:
        """Start a batch of writes; nothing of it is visible before it is published."""
        self.prepare()
        return Batch(self)

    def close(self) -> None:
        """End what this process holds of the store."""
        self.lease.close()

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
        self._writing: AbstractContextManager[None] | None = None
        self._pending: dict[tuple[str, Oid], bytes] = {}
        self._pending_size = 0
        self._packed: set[tuple[str, Oid]] = set()
        self._pack: PackWriter | None = None
        self.new_objects = 0
        self.new_bytes = 0

    def __enter__(self) -> Batch:
        self._writing = self._store.writing()
        self._writing.__enter__()
        self._store.refresh()  # gc may have taken something away since the store was listed
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self.publish()
        finally:
            if self._pack:  # left unpublished by an error, here or in the block
                self._pack.abort()
                self._pack = None
            if self._writing:
                self._writing.__exit__(None, None, None)

    def has(self, kind: str, oid: Oid) -> bool:
        """Say whether the object is in the store or in this batch; then gc leaves it there."""
        key = (kind, oid)
        if key in self._pending or key in self._packed:
            return True
        if not self._store.has(kind, oid):
            return False
        self._store.lease.reuse(kind, oid)
        return True

    def has_entry(self, entry: Entry) -> bool:
        """Say the same of what an entry names; for a tree, of its own node only."""
        return self.has("tree" if entry.kind == "tree" else "blob", entry.oid)

    def put(self, kind: str, data: bytes, oid: Oid | None = None) -> Oid:
        """Add a small object; `oid` when the caller has hashed it already."""
        name = oid or oid_of(kind, data)
        if not self.has(kind, name):
            self._pending[kind, name] = data
            self._pending_size += len(data)
            self._count(len(data))
            many = len(self._pending) > LOOSE_MAX or self._pending_size > PENDING_MAX
            if many and self._store.link == "copy":
                self._to_pack()
            elif self._pending_size > PENDING_MAX:
                self._write_loose()
        return name

    def put_tree(self, data: bytes) -> Oid:
        """Add the canonical bytes of a tree node."""
        return self.put("tree", data)

    def put_file(self, path: str, size: int | None = None) -> reading.Content:
        """Add the content of a file in one read; `size` in bytes when the caller knows it."""
        if self._store.link == "hardlink" and (content := self._put_link(path)):
            return content
        if (os.lstat(path).st_size if size is None else size) < files.SMALL:
            content = reading.read_content(path)
            if content.data is not None:
                self.put("blob", content.data, content.oid)
                return content
        return self._put_large(path)

    def _put_link(self, path: str) -> reading.Content | None:
        """Make the file itself the object, by a hard link; None where that cannot be."""
        content = reading.read_content(path)
        if self.has("blob", content.oid) or content.stat.executable:
            return None
        final = self._store.path("blob", content.oid)
        # It keeps its old time: without this gc would take it for old before its row is written.
        self._store.lease.reuse("blob", content.oid)
        stat = files.adopt(path, content.stat, final, flush=self._store.fsync != "off")
        if stat is None:
            return None
        self._store.note_new("blob", content.oid)
        self._count(stat.size)
        return content._replace(stat=stat)

    def _put_large(self, path: str) -> reading.Content:
        with files.temp_file(self._store.temp) as (fd, temp):
            check_fits(path, fd, self._store.root)
            content = reading.read_content(path, sink=fd)
            if content.data is not None:
                self.put("blob", content.data, content.oid)
            elif not self.has("blob", content.oid):
                final = self._store.path("blob", content.oid)
                files.publish(fd, temp, final, flush=self._store.fsync != "off")
                self._store.note_new("blob", content.oid)
                self._count(content.stat.size)
        return content

    def _count(self, size: int) -> None:
        self.new_objects += 1
        self.new_bytes += size

    def _to_pack(self) -> None:
        if self._pack is None:
            flush = self._store.fsync != "off"
            self._pack = PackWriter(self._store.temp, self._store.pack_folder, flush=flush)
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
            self._store.packs.refresh()

    def publish(self) -> None:
        """Flush everything and make it visible; the batch can go on."""
        if self._pack:
            self._to_pack()
            self._close_pack()
        self._write_loose()

    def _write_loose(self) -> None:
        """Write what is pending as files of their own, in the order it came: children first."""
        if not self._pending:
            return
        items = [(data, self._store.path(*key)) for key, data in self._pending.items()]
        files.publish_all(self._store.temp, items, self._store.fsync)
        for key in self._pending:
            self._store.note_new(*key)
        self._pending.clear()
        self._pending_size = 0
