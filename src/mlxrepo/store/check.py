"""Check a store: hash what is in it and say what is not what its name says.

The store is cut into parts, which are checked side by side. What was found good is noted beside
the store, so that a check that was killed goes on where it was.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from mlxrepo import files
from mlxrepo.codec import canonical, parse_json
from mlxrepo.errors import Damaged, MlxError
from mlxrepo.files import Stat, stat_of
from mlxrepo.progress import SILENT, Progress
from mlxrepo.store.inventory import (
    Copy,
    Fault,
    Key,
    hash_copies,
    list_folder,
    list_packs,
    loose_key,
    open_pack,
    pack_copies,
)
from mlxrepo.store.objects import FOLDERS
from mlxrepo.store.statcache import listing_print

Pick = Callable[[Key], bool]  # is this object one of those to be read?

FORMAT = 1
NOTES = "fsck.json"
NOTE_SECONDS = 2.0
NOTES_AGE = 7 * 24 * 3600  # older notes say too little about the disk of today
PART_BYTES = 256 << 20
PART_FILES = 1000
# For the disk's sake: reading waits without the interpreter lock. Hashing small objects gains
# nothing by it, in threads or in processes (measured), and large ones use every core anyway.
WORKERS = min(4, os.cpu_count() or 1)


class Part(NamedTuple):
    """A piece of the store that is checked in one go: a pack, or some loose objects of a folder.

    `print` changes with the stat of any of its files.
    """

    files: tuple[str, ...]
    size: int
    print: str

    @property
    def name(self) -> str:
        """Return what the notes call it."""
        return self.files[0]


class Tally(NamedTuple):
    """What a check read, how much of it an earlier one had, and what is wrong."""

    faults: tuple[Fault, ...]
    objects: int
    bytes: int
    noted: int


# the parts


def parts(root: str) -> Iterator[Part]:
    """Cut the store at `root` into parts: packs, then loose objects folder by folder."""
    for file in list_packs(root):
        found = _stat(root, file)
        if found:
            yield _part([(file, found)])
    for folder in FOLDERS.values():
        for prefix in list_folder(os.path.join(root, folder)):
            yield from _loose_parts(root, f"{folder}/{prefix}")


def _loose_parts(root: str, folder: str) -> Iterator[Part]:
    group: list[tuple[str, Stat]] = []
    size = 0
    for name in list_folder(os.path.join(root, folder)):
        file = f"{folder}/{name}"
        found = _stat(root, file) if loose_key(file) else None
        if found is None:
            continue
        group.append((file, found))
        size += found.size
        if size >= PART_BYTES or len(group) >= PART_FILES:
            yield _part(group)
            group, size = [], 0
    if group:
        yield _part(group)


def _stat(root: str, file: str) -> Stat | None:
    try:
        return stat_of(os.lstat(os.path.join(root, file)))
    except FileNotFoundError:
        return None


def _part(found: list[tuple[str, Stat]]) -> Part:
    names = tuple(file for file, _ in found)
    size = sum(stat.size for _, stat in found)
    return Part(names, size, listing_print(list(found), []).hex())


# checking


def check(
    root: str,
    pick: Pick,
    *,
    notes: Notes | None = None,
    progress: Progress = SILENT,
) -> Tally:
    """Read every object that is picked and return what is wrong; the store is not changed.

    With notes, parts that an earlier check found good are passed over, and the good ones noted.

    Raises:
        EnvironmentFailed: when this user may not read a file of the store.
        InputError: when a newer mlx wrote it.
    """
    listed = list(parts(root))
    left = [part for part in listed if notes is None or not notes.has(part)]
    progress.start("check", sum(part.size for part in left), "bytes")
    faults: list[Fault] = []
    reader = _Reader(root, pick, progress)
    pool = ThreadPoolExecutor(WORKERS)
    try:
        for part, wrong in zip(left, pool.map(reader.check, left), strict=True):
            faults += wrong
            if notes is not None and not wrong:
                notes.add(part)
    finally:
        reader.stopped.set()
        pool.shutdown(cancel_futures=True)
    progress.done()
    if notes is not None:
        notes.drop()
    return Tally(tuple(faults), reader.objects, reader.bytes, len(listed) - len(left))


class _Stopped(Exception):
    """The check was interrupted; nobody waits for the answer."""


class _Reader:
    """Checks one part after the other, in several threads."""

    def __init__(self, root: str, pick: Pick, progress: Progress):
        self.stopped = threading.Event()
        self.objects = 0
        self.bytes = 0
        self._root = root
        self._pick = pick
        self._progress = progress
        self._count = threading.Lock()

    def check(self, part: Part) -> list[Fault]:
        faults: list[Fault] = []
        for file in part.files:
            faults += self._file(file)
        return faults

    def _file(self, file: str) -> list[Fault]:
        try:
            copies = [copy for copy in self._copies(file) if self._pick(copy.key)]
        except FileNotFoundError:
            return []
        except Damaged as error:
            return [Fault(file, None, error.message)]
        faults = hash_copies(self._root, file, copies, self._advance) if copies else []
        with self._count:
            self.objects += len(copies)
        return faults

    def _copies(self, file: str) -> list[Copy]:
        key = loose_key(file)
        if key is None:
            return list(pack_copies(file, open_pack(self._root, file)))
        return [Copy(key, file, 0, os.lstat(os.path.join(self._root, file)).st_size)]

    def _advance(self, amount: int) -> None:
        if self.stopped.is_set():
            raise _Stopped
        with self._count:
            self.bytes += amount
            self._progress.advance(amount)


# notes


class Notes:
    """The parts that a check has found good so far, in a file beside the store.

    They are lost without harm: then the next check begins at the beginning.
    """

    def __init__(self, root: str):
        self._path = os.path.join(root, NOTES)
        self._good = self._load()
        self._written = time.monotonic()

    def _load(self) -> dict[str, str]:
        try:
            with open(self._path, "rb") as stream:
                value = parse_json(stream.read(), source=self._path)
            recent = time.time() - float(value["begun"]) < NOTES_AGE
            if value["format"] == FORMAT and recent:
                self._begun = float(value["begun"])
                return dict(value["good"])
        except (OSError, MlxError, ValueError, TypeError, KeyError):
            pass
        self._begun = time.time()
        return {}

    def has(self, part: Part) -> bool:
        """Say whether a part was found good and looks as it did then."""
        return self._good.get(part.name) == part.print

    def add(self, part: Part) -> None:
        """Note a good part; the file is written every few seconds."""
        self._good[part.name] = part.print
        if time.monotonic() - self._written > NOTE_SECONDS:
            value = {"format": FORMAT, "begun": self._begun, "good": self._good}
            with contextlib.suppress(OSError):  # a store that only may be read can be checked too
                files.write_atomic(self._path, canonical(value))
            self._written = time.monotonic()

    def drop(self) -> None:
        """Forget everything: the check came to its end."""
        with contextlib.suppress(OSError):
            files.remove_quietly(self._path)
