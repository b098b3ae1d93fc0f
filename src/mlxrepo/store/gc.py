"""Taking out of a store what nothing needs: look, decide (pure), move to the trash.

    trash/gc-<time>/{objects,trees,packs}/…

The trash mirrors the store: so bringing back needs no list, and a kill at any point leaves each
file here or there.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Callable, Container, Iterable, Iterator
from typing import NamedTuple, TypeVar

from mlxrepo import files
from mlxrepo.errors import Damaged
from mlxrepo.hashing import Oid, is_oid
from mlxrepo.store.inventory import PACK_FOLDER, list_folder, list_packs
from mlxrepo.store.lease import alone, binary_key
from mlxrepo.store.objects import FOLDERS, oid_of
from mlxrepo.store.pack import KINDS, TARGET_SIZE, Pack, PackWriter

TRASH = "trash"
PREFIX = "gc-"
_FULL = (errno.ENOSPC, errno.EDQUOT)
Taken = TypeVar("Taken")


class Amount(NamedTuple):
    """So many objects (or files), of so many bytes."""

    objects: int = 0
    size: int = 0

    def plus(self, other: Amount) -> Amount:
        """Return both together."""
        return Amount(self.objects + other.objects, self.size + other.size)


NOTHING = Amount()


class Loose(NamedTuple):
    """An object with a file of its own; mtime in nanoseconds."""

    key: bytes
    file: str
    size: int
    mtime: int


class Share(NamedTuple):
    """A pack and what of it is dead; mtime in nanoseconds."""

    file: str
    mtime: int
    all: Amount
    dead: Amount


class Plan(NamedTuple):
    """What is to go: loose objects, whole packs, and packs to be written anew; and what stays.

    `young` is not needed, but within the grace period; `wedged` is not needed, but lies in packs
    that are mostly needed.
    """

    loose: tuple[Loose, ...]
    dead: tuple[Share, ...]
    half: tuple[Share, ...]
    needed: Amount
    young: Amount
    wedged: Amount

    @property
    def garbage(self) -> Amount:
        """Return what is to go."""
        sizes = [item.size for item in self.loose]
        found = Amount(len(sizes), sum(sizes))
        for share in (*self.dead, *self.half):
            found = found.plus(share.dead)
        return found


class Swept(NamedTuple):
    """What went: to the trash (its folder), or for good because the disk was full."""

    trash: str | None
    moved: Amount
    lost: Amount


# looking


def loose(root: str) -> Iterator[Loose]:
    """Yield every object that has a file of its own."""
    for kind, folder in FOLDERS.items():
        for prefix in list_folder(os.path.join(root, folder)):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                for item in os.scandir(os.path.join(root, folder, prefix)):
                    oid = prefix + item.name
                    if is_oid(oid):
                        found = item.stat(follow_symlinks=False)
                        file = f"{folder}/{prefix}/{item.name}"
                        key = binary_key(kind, Oid(oid))
                        yield Loose(key, file, found.st_size, found.st_mtime_ns)


def packed(pack: Pack) -> Iterator[tuple[bytes, int]]:
    """Yield key and stored bytes of every object of a pack."""
    for row, key in pack.rows_by_key():
        yield key, pack.slot(row).length


def packs(root: str) -> Iterator[tuple[str, Pack]]:
    """Yield every pack by its file.

    Raises:
        Damaged: when the table of one cannot be believed.
    """
    for file in list_packs(root):
        try:
            yield file, Pack(os.path.join(root, file))
        except FileNotFoundError:
            continue  # repacked since the listing
        except Damaged as error:
            raise Damaged(error.message, hint="mlx fsck --repair, then again") from None


def shares(root: str, live: Container[bytes]) -> Iterator[Share]:
    """Yield for every pack how much of it is dead."""
    for file, pack in packs(root):
        sizes = [(size, key in live) for key, size in packed(pack)]
        dead = [size for size, needed in sizes if not needed]
        everything = Amount(len(sizes), sum(size for size, _ in sizes))
        with contextlib.suppress(FileNotFoundError):
            mtime = os.stat(os.path.join(root, file)).st_mtime_ns
            yield Share(file, mtime, everything, Amount(len(dead), sum(dead)))


# deciding


def decide(
    found: Iterable[Loose],
    shares: Iterable[Share],
    live: Container[bytes],
    *,
    before: int,
    repack: bool,
    worth: float = 1.0,
) -> Plan:
    """Decide what goes: what is not live and was written `before` (nanoseconds).

    A pack goes when all of it is dead. One with more than `worth` dead bytes for each live one is
    written anew if `repack`.
    """
    gone: list[Loose] = []
    needed = young = wedged = NOTHING
    for item in found:
        if item.key in live:
            needed = needed.plus(Amount(1, item.size))
        elif item.mtime >= before:
            young = young.plus(Amount(1, item.size))
        else:
            gone.append(item)
    dead: list[Share] = []
    half: list[Share] = []
    for share in shares:
        alive = Amount(share.all.objects - share.dead.objects, share.all.size - share.dead.size)
        needed = needed.plus(alive)
        if share.mtime >= before:
            young = young.plus(share.dead)
        elif not alive.objects:
            dead.append(share)
        elif repack and share.dead.size > worth * alive.size:
            half.append(share)
        else:
            wedged = wedged.plus(share.dead)
    return Plan(tuple(gone), tuple(dead), tuple(half), needed, young, wedged)


# doing it


def sweep(root: str, plan: Plan, live: set[bytes], again: Callable[[], set[bytes]]) -> Swept:
    """Move what is to go to the trash; `again` as in `take_out`."""
    return take_out(root, plan, live, again, _to_trash)


def take_out(
    root: str,
    plan: Plan,
    live: Container[bytes],
    again: Callable[[], set[bytes]],
    away: Callable[[str, list[str]], Taken],
) -> Taken:
    """Let `away` take the files that are to go, when packs are written anew.

    `again` is called when nobody writes any more; it marks once more and returns what turned out
    to be needed since. That stays, and with it the pack it is in.

    Raises:
        EnvironmentFailed: when a writer does not end.
    """
    half = _repack(root, plan.half, live)
    files.failpoint("gc.repacked")
    with alone(root):
        rescued = again()
        gone = [item.file for item in plan.loose if item.key not in rescued]
        gone += [s.file for s in (*plan.dead, *half) if not _holds(root, s.file, rescued)]
        return away(root, gone)


def _holds(root: str, file: str, keys: set[bytes]) -> bool:
    if keys:
        with contextlib.suppress(FileNotFoundError):
            pack = Pack(os.path.join(root, file))
            return any(key in keys for _, key in pack.rows_by_key())
    return False


def _repack(root: str, half: tuple[Share, ...], live: Container[bytes]) -> list[Share]:
    """Copy what is live of packs into new ones; return the packs that can go then."""
    done: list[Share] = []
    if half:
        try:
            with _writer(root) as add:
                for share in half:
                    with contextlib.suppress(FileNotFoundError):  # another gc was here
                        if all(add(*item) for item in _live_objects(root, share.file, live)):
                            done.append(share)
        except OSError as error:
            if error.errno not in _FULL:
                raise
            return []
    return done


def _live_objects(root: str, file: str, live: Container[bytes]) -> Iterator[tuple[str, Oid, bytes]]:
    """Yield the objects of a pack that are needed, in the order in which they lie there."""
    pack = Pack(os.path.join(root, file))
    rows = [(pack.slot(row), key) for row, key in pack.rows_by_key() if key in live]
    fd = os.open(pack.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        for slot, key in sorted(rows, key=lambda row: row[0].offset):
            yield KINDS[key[0]], Oid(key[1:].hex()), pack.read(slot, fd)
    finally:
        os.close(fd)


@contextlib.contextmanager
def _writer(root: str) -> Iterator[Callable[[str, Oid, bytes], bool]]:
    """Yield what adds an object to new packs, unless it is damaged; they are there at the end."""
    folders = os.path.join(root, "tmp"), os.path.join(root, PACK_FOLDER)
    pack: PackWriter | None = None

    def add(kind: str, oid: Oid, data: bytes) -> bool:
        nonlocal pack
        if oid_of(kind, data) != oid:
            return False  # fsck's business: the pack stays where it is
        if pack is not None and pack.size > TARGET_SIZE:
            pack.close()
            pack = None
        pack = pack or PackWriter(*folders)
        pack.add(kind, oid, data)
        return True

    try:
        yield add
        if pack is not None:
            pack.close()
            pack = None
    finally:
        if pack is not None:
            pack.abort()


def _to_trash(root: str, gone: list[str]) -> Swept:
    now = time.time_ns()
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(now // 10**9))
    trash = os.path.join(root, TRASH, f"{PREFIX}{stamp}-{now % 10**9:09}")
    moved = lost = NOTHING
    for file in gone:
        full = os.path.join(root, file)
        try:
            one = Amount(1, os.lstat(full).st_size)
            if _move(full, os.path.join(trash, file)):
                moved = moved.plus(one)
            else:
                lost = lost.plus(one)
        except FileNotFoundError:
            continue  # another gc was here
    files.failpoint("gc.moved")
    folders = {os.path.dirname(file) for file in gone}
    files.sync_folders(os.path.join(trash, folder) for folder in folders)
    files.sync_folders(os.path.join(root, folder) for folder in folders)
    return Swept(trash if moved.objects else None, moved, lost)


def _move(source: str, target: str) -> bool:
    """Move a file to the trash; on a disk so full that this fails, remove it, and say so."""
    try:
        files.move(source, target, flush=False)
    except OSError as error:
        if error.errno not in _FULL:
            raise
        os.unlink(source)
        return False
    return True


# the trash


def undo(root: str, *, apply: bool = True) -> Amount | None:
    """Bring back what the last gc took away, as if it had just been written, if `apply`.

    What is in the store again meanwhile stays as it is. None: there is nothing to bring back.
    """
    names = [n for n in list_folder(os.path.join(root, TRASH)) if n.startswith(PREFIX)]
    if not names:
        return None
    trash = os.path.join(root, TRASH, names[-1])
    back = NOTHING
    folders: set[str] = set()
    for source, target in _moved(root, trash):
        folders.add(os.path.dirname(target))
        if os.path.exists(target):
            continue
        back = back.plus(Amount(1, os.lstat(source).st_size))
        if apply:
            with contextlib.suppress(PermissionError):  # another user's: it keeps its age
                os.utime(source)
            files.move(source, target, flush=False)
    if apply:
        files.failpoint("gc.brought-back")
        files.sync_folders(folders)
        files.remove_any(trash)
    return back


def _moved(root: str, trash: str) -> Iterator[tuple[str, str]]:
    """Yield where each file of a gc is and where it was, blobs before the trees that name them."""
    for folder in (PACK_FOLDER, *FOLDERS.values()):
        for here, _, names in os.walk(os.path.join(trash, folder)):
            for name in names:
                source = os.path.join(here, name)
                yield source, os.path.join(root, os.path.relpath(source, trash))


class Trashed(NamedTuple):
    """One folder of the trash; mtime in nanoseconds."""

    path: str
    mtime: int
    amount: Amount


def trashed(folder: str) -> Iterator[Trashed]:
    """Yield what is in a folder that is a trash."""
    for name in list_folder(folder):
        path = os.path.join(folder, name)
        with contextlib.suppress(FileNotFoundError):
            mtime = os.lstat(path).st_mtime_ns
            yield Trashed(path, mtime, _amount(path))


def _amount(path: str) -> Amount:
    found = [
        os.lstat(os.path.join(here, name)).st_size
        for here, _, names in os.walk(path)
        for name in names
    ]
    return Amount(len(found), sum(found))
