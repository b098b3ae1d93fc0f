"""What a store holds, read from the disk and trusted in nothing: for checking and mending it.

Unlike `Store` it knows every copy of an object, also when one of them is damaged.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from mlxrepo import files, reading
from mlxrepo.errors import Damaged, EnvironmentFailed, InputError
from mlxrepo.hashing import Oid, blob_hasher, is_oid
from mlxrepo.store.objects import FOLDERS, oid_of
from mlxrepo.store.pack import CODEC_RAW, FOOTER, KINDS, Pack, Slot
from mlxrepo.store.tree import Tree, parse

PACK_FOLDER = "packs"
TOLD_BYTES = 1 << 20  # small objects are counted together
OTHER_BYTES = "it holds other bytes than its name says"

_KIND_OF = {folder: kind for kind, folder in FOLDERS.items()}


class Key(NamedTuple):
    """An object: its kind (blob or tree) and its oid."""

    kind: str
    oid: Oid


class Copy(NamedTuple):
    """Where an object lies: a file below the store and the place of the object in it."""

    key: Key
    file: str
    offset: int
    size: int


class Fault(NamedTuple):
    """A copy of an object, or (no key) a whole pack, that is not what its name says."""

    file: str
    key: Key | None
    why: str


def loose_key(file: str) -> Key | None:
    """Return the object that a file below the store claims to be; None for any other file."""
    folder, _, rest = file.partition("/")
    oid = rest.replace("/", "", 1)
    if folder in _KIND_OF and is_oid(oid) and rest[2:3] == "/":
        return Key(_KIND_OF[folder], Oid(oid))
    return None


def loose_file(key: Key) -> str:
    """Return where an object lies below the store when it has a file of its own."""
    return f"{FOLDERS[key.kind]}/{key.oid[:2]}/{key.oid[2:]}"


def pack_copies(file: str, pack: Pack) -> Iterator[Copy]:
    """Yield what a pack says it holds, in the order in which it lies on the disk.

    Raises:
        Damaged: when its table names what cannot be in it.
        InputError: when it holds what a newer mlx wrote.
    """
    for oid, slot in sorted(pack.items(), key=lambda item: item[1].offset):
        yield _in_pack(file, Oid(oid), slot)


def _in_pack(file: str, oid: Oid, slot: Slot) -> Copy:
    if slot.codec != CODEC_RAW:
        raise InputError(
            f"{file} holds objects in codec {slot.codec}, which this mlx does not know",
            hint="use the mlx that wrote it, or a newer one",
        )
    return Copy(Key(slot.kind, oid), file, slot.offset, slot.length)


def open_pack(root: str, file: str) -> Pack:
    """Open a pack of the store.

    Raises:
        Damaged: when its table cannot be believed, or it is not the pack that its name says.
        FileNotFoundError: when it is gone.
    """
    path = os.path.join(root, file)
    try:
        pack = Pack(path)
        with open(path, "rb") as stream:
            stream.seek(-FOOTER.size, os.SEEK_END)
            name = FOOTER.unpack(stream.read(FOOTER.size))[2].hex()
    except FileNotFoundError:
        raise
    except PermissionError as error:
        raise _out_of_reach(file, error) from None
    except OSError as error:
        raise Damaged(f"it cannot be read: {error.strerror}") from None
    except Damaged as error:
        raise Damaged(error.message.rpartition(" is damaged: ")[2]) from None
    if os.path.basename(file) != f"{name}.pack":
        raise Damaged(f"it is another pack, {name[:12]}, under a wrong name")
    return pack


def hash_copies(
    root: str, file: str, copies: list[Copy], advance: Callable[[int], None] = lambda _: None
) -> list[Fault]:
    """Read copies that lie in one file and return those that are not what their names say.

    `advance` is told of the bytes read. A file that is gone meanwhile has no faults: what was in
    it is missing, or has moved.

    Raises:
        EnvironmentFailed: when this user may not read it.
    """
    try:
        fd, _ = files.open_regular(os.path.join(root, file))
    except FileNotFoundError:
        return []
    except PermissionError as error:
        raise _out_of_reach(file, error) from None
    except (OSError, EnvironmentFailed):
        return [Fault(file, copy.key, "it is no file that could be read") for copy in copies]
    try:
        return _hash_all(fd, copies, advance)
    finally:
        os.close(fd)


def _hash_all(fd: int, copies: list[Copy], advance: Callable[[int], None]) -> list[Fault]:
    faults = []
    untold = 0
    for copy in copies:
        why = _wrong(fd, copy, advance)
        if why:
            faults.append(Fault(copy.file, copy.key, why))
        if _is_small(copy):
            untold += copy.size
        if untold >= TOLD_BYTES:
            advance(untold)
            untold = 0
    advance(untold)
    return faults


def _out_of_reach(file: str, error: OSError) -> EnvironmentFailed:
    return EnvironmentFailed(
        f"{file} of the store cannot be read: {error.strerror}",
        hint="mend its permissions, or ask who owns the store",
    )


def _wrong(fd: int, copy: Copy, advance: Callable[[int], None]) -> str:
    """Say what is wrong with a copy; nothing when it is what its name says."""
    try:
        right = _oid_at(fd, copy, advance) == copy.key.oid
    except OSError as error:
        return f"it cannot be read: {error.strerror}"
    return "" if right else OTHER_BYTES


def _is_small(copy: Copy) -> bool:
    return copy.key.kind == "tree" or copy.size < files.SMALL


def _oid_at(fd: int, copy: Copy, advance: Callable[[int], None]) -> Oid:
    if _is_small(copy):
        return oid_of(copy.key.kind, os.pread(fd, copy.size, copy.offset))
    hasher = blob_hasher(copy.size)
    buffer = bytearray(reading.CHUNK)
    at, end = copy.offset, copy.offset + copy.size
    while at < end and (count := os.preadv(fd, [memoryview(buffer)[: end - at]], at)):
        hasher.update(memoryview(buffer)[:count])
        advance(count)
        at += count
    return Oid(hasher.hexdigest())


class Inventory:
    """Every copy of every object under the store at `root`; `damaged` are packs without a table."""

    def __init__(self, root: str):
        self.root = root
        self.packs: dict[str, Pack] = {}
        self.damaged: list[Fault] = []
        self.known_bad: set[tuple[str, Key]] = set()
        self._packed: dict[bytes, tuple[str, ...]] = {}
        self.reload()

    def reload(self) -> bool:
        """Look at the packs again; say whether there are others than before."""
        before = self.packs.keys() | {fault.file for fault in self.damaged}
        self.packs, self.damaged, self._packed = {}, [], {}
        for file in list_packs(self.root):
            with contextlib.suppress(FileNotFoundError):  # repacked since the listing
                self._load(file)
        return before != self.packs.keys() | {fault.file for fault in self.damaged}

    def _load(self, file: str) -> None:
        try:
            pack = open_pack(self.root, file)
            keys = [copy.key for copy in pack_copies(file, pack)]
        except Damaged as error:
            self.damaged.append(Fault(file, None, error.message))
            return
        self.packs[file] = pack
        for key in keys:
            binary = _binary(key)
            self._packed[binary] = (*self._packed.get(binary, ()), file)

    def note(self, faults: Iterable[Fault]) -> None:
        """Remember copies that are bad: they do not count any more."""
        self.known_bad.update((fault.file, fault.key) for fault in faults if fault.key)

    def copies(self, key: Key) -> Iterator[Copy]:
        """Yield the copies of an object that are not known to be bad."""
        file = loose_file(key)
        if (file, key) not in self.known_bad:
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                yield Copy(key, file, 0, os.lstat(os.path.join(self.root, file)).st_size)
        for name in self._packed.get(_binary(key), ()):
            slot = self.packs[name].find(key.kind, bytes.fromhex(key.oid))
            if slot and (name, key) not in self.known_bad:
                yield _in_pack(name, key.oid, slot)

    def has(self, key: Key) -> bool:
        """Say whether a copy of an object is here that is right."""
        return any(not hash_copies(self.root, copy.file, [copy]) for copy in self.copies(key))

    def read(self, key: Key) -> bytes | None:
        """Return the bytes of a small object from a copy that is right; None when there is none."""
        for copy in self.copies(key):
            try:
                data = read_range(os.path.join(self.root, copy.file), copy.offset, copy.size)
            except OSError:
                continue
            if oid_of(key.kind, data) == key.oid:
                return data
        return None

    def tree(self, oid: Oid) -> Tree:
        """Return a folder.

        Raises:
            Damaged: when no right copy of it, or of a node of it, is here, or it is malformed.
        """
        return parse(self._node(oid), oid, self._node)

    def _node(self, oid: Oid) -> bytes:
        data = self.read(Key("tree", oid))
        if data is None:
            raise Damaged(f"tree {oid[:12]} cannot be had")
        return data

    def is_sound(self, key: Key, size: int) -> tuple[bool, list[Fault]]:
        """Say whether a blob of `size` bytes is here; copies of another size are looked into."""
        faults: list[Fault] = []
        for copy in self.copies(key):
            wrong = hash_copies(self.root, copy.file, [copy]) if copy.size != size else []
            if not wrong:
                return True, faults
            faults += wrong
        return False, faults


def read_range(path: str, offset: int, size: int) -> bytes:
    """Return a piece of a regular file.

    Raises:
        OSError: when it cannot be read.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return os.pread(fd, size, offset)
    finally:
        os.close(fd)


def list_packs(root: str) -> list[str]:
    """Return the packs below a store, sorted."""
    names = list_folder(os.path.join(root, PACK_FOLDER))
    return [f"{PACK_FOLDER}/{name}" for name in names if name.endswith(".pack")]


def list_folder(path: str) -> list[str]:
    """Return the names in a folder, sorted; none when it is not there."""
    try:
        return sorted(os.listdir(path))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _binary(key: Key) -> bytes:
    return bytes((KINDS.index(key.kind),)) + bytes.fromhex(key.oid)
