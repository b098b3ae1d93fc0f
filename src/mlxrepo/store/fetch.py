"""Fetching objects: folders level by level, then files, a few large reads instead of many small.

What arrives is hashed before it is published through the store's own batch.
"""

from __future__ import annotations

from binascii import unhexlify
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from mlxrepo.errors import Damaged, EnvironmentFailed, MlxError
from mlxrepo.failpoints import failpoint
from mlxrepo.hashing import Oid
from mlxrepo.progress import SILENT, Progress
from mlxrepo.store.incoming import receive
from mlxrepo.store.marker import mark_partial
from mlxrepo.store.objects import Batch, Store
from mlxrepo.store.pack import KINDS
from mlxrepo.store.parallel import parallel
from mlxrepo.store.reach import key_of
from mlxrepo.store.remote import Remote, file_of, object_file
from mlxrepo.store.remoteindex import PACKED, WHOLE, Known, Spot, newer_format
from mlxrepo.store.remotepack import decode
from mlxrepo.store.survey import TREE, named, oid_in
from mlxrepo.store.tree import Entry
from mlxrepo.store.tree import children as nodes_below
from mlxrepo.store.wrong import Wrong

GAP = 256 << 10  # bytes between two objects that are read along rather than asked for twice
PARTS_AT_ONCE = 4  # of a large file; each is in memory
READ_MAX = 4 << 20  # bytes of one read


class PackMissing(EnvironmentFailed):
    """What an index names is not on the remote."""


@dataclass(slots=True)
class Fetched:
    """What a fetch got: objects, their bytes, and the bytes and reads that it took.

    `missing` are objects that neither side has, with a path each; `damaged` those that the remote
    has with other bytes.
    """

    objects: int = 0
    amount: int = 0
    stored: int = 0
    reads: int = 0
    missing: dict[bytes, str] = field(default_factory=dict)
    damaged: dict[bytes, str] = field(default_factory=dict)


class Read(NamedTuple):
    """One read: a piece of a pack with some objects in it."""

    pack: str
    start: int
    end: int
    spots: list[Spot]

    def cut(self, data: bytes) -> Iterator[tuple[Spot, bytes]]:
        """Yield each object with what is stored of it in the bytes of this read."""
        for spot in self.spots:
            start = spot.offset - self.start
            yield spot, data[start : start + spot.length]


class Fetch:
    """Fetches what is wanted from one remote into the store."""

    def __init__(
        self,
        store: Store,
        remote: Remote,
        known: Known,
        *,
        jobs: int,
        progress: Progress = SILENT,
        files: bool = True,
    ):
        """Open a fetch; without `files` it gets the folders alone and counts the rest."""
        self.done = Fetched()
        self.wrong = Wrong(store.root)
        self.lacking: dict[bytes, int] = {}
        self._store = store
        self._remote = remote
        self._known = known
        self._jobs = jobs
        self._progress = progress
        self._files = files
        self._paths: dict[bytes, str] = {}
        self._seen: set[bytes] = set()

    def get(self, wanted: Iterable[tuple[Entry, str, str]]) -> Fetched:
        """Fetch entries, each with the path below it that is wanted ("" is all) and its own path.

        Raises:
            EnvironmentFailed: when the remote cannot be asked; what arrived stays.
        """
        with self._store.batch() as batch:
            tops = [(self._descend(batch, *item), item[2]) for item in wanted]
            level = [(key_of(entry), entry.size, path) for entry, path in tops if entry]
            while level:
                level = list(self._level(batch, level))
            if self._files:
                self._blobs(batch)
        return self.done

    def only(self, wanted: Mapping[bytes, tuple[int, str]]) -> Fetched:
        """Fetch single objects, each with its size (a tree: any) and a path; nothing below them.

        Raises:
            EnvironmentFailed: when the remote cannot be asked; what arrived stays.
        """
        self._paths.update((key, path) for key, (_, path) in wanted.items())
        with self._store.batch() as batch:
            lacking = [key for key in wanted if not batch.has(KINDS[key[0]], oid_in(key))]
            self.lacking.update((key, wanted[key][0]) for key in lacking if key[:1] != TREE)
            self._objects(batch, [key for key in lacking if key[:1] == TREE])
            self._blobs(batch)
        return self.done

    def listing(self, entry: Entry, path: str) -> Fetched:
        """Fetch the listing of one folder, and nothing that it names.

        Raises:
            EnvironmentFailed: when the remote cannot be asked; what arrived stays.
        """
        with self._store.batch() as batch:
            self._nodes(batch, entry.oid, path)
        return self.done

    # folders

    def _descend(self, batch: Batch, entry: Entry, below: str, path: str) -> Entry | None:
        """Return the entry at a path below another, fetching the folders that lead there."""
        for name in below.split("/") if below else ():
            if entry.kind != "tree":
                return None
            self._nodes(batch, entry.oid, path)
            if entry.oid in {oid_in(key) for key in (*self.done.missing, *self.done.damaged)}:
                return None
            found = self._store.tree(entry.oid).get(name)
            if found is None:
                return None
            entry = found
        return entry

    def _nodes(self, batch: Batch, oid: Oid, path: str) -> None:
        """Fetch the whole listing of one folder."""
        level = [oid]
        while level:
            keys = [TREE + unhexlify(node) for node in level]
            self._paths.update((key, path) for key in keys)
            self._objects(batch, [key for key in keys if not batch.has("tree", oid_in(key))])
            here = [node for node in level if self._store.has("tree", node)]
            level = [n for node in here for n in nodes_below(self._store.read("tree", node), node)]

    def _level(
        self, batch: Batch, level: list[tuple[bytes, int, str]]
    ) -> Iterator[tuple[bytes, int, str]]:
        """Fetch the folders of one level, and yield what they name."""
        trees = []
        for key, size, path in level:
            if key in self._seen:
                continue
            self._seen.add(key)
            self._paths[key] = path
            if key[:1] == TREE:
                trees.append(key)
            elif not batch.has("blob", oid_in(key)):
                self.lacking[key] = size
        self._objects(batch, [key for key in trees if not batch.has("tree", oid_in(key))])
        for key in trees:
            if self._store.has("tree", oid_in(key)):
                below = named(self._store.read("tree", oid_in(key)))
                yield from ((child, size, self._paths[key]) for child, size in below)

    # files

    def _blobs(self, batch: Batch) -> None:
        self._progress.start(f"fetch from {self._remote.name}", sum(self.lacking.values()), "bytes")
        large: list[Spot] = []
        small: list[bytes] = []
        for key in self.lacking:
            spot = self._known.find(key)
            if spot and spot.form == WHOLE:
                large.append(spot)
            else:
                small.append(key)
        self._objects(batch, small)
        if large:
            mark_partial(self._store.root)  # a file alone is a part, too
        for spot in large:
            self._large(spot)
        self._progress.done()

    def _large(self, spot: Spot) -> None:
        oid = oid_in(spot.key)
        door, file = self._remote.door, object_file(oid)
        try:
            receive(
                self._store, oid, spot.size,
                lambda start, end: door.read_range(file, start, end),
                min(self._jobs, PARTS_AT_ONCE), self._progress.advance, door.stop, self.wrong,
            )  # fmt: skip
        except FileNotFoundError:
            self.done.missing[spot.key] = self._paths[spot.key]
        except Damaged:
            self.done.damaged[spot.key] = self._paths[spot.key]
        else:
            self._count(spot.size, spot.size)

    def _count(self, size: int, stored: int) -> None:
        self.done.objects += 1
        self.done.amount += size
        self.done.stored += stored

    # objects of any kind

    def _objects(self, batch: Batch, keys: list[bytes]) -> None:
        """Fetch objects and publish them; what comes wrong is asked for once more."""
        if not keys:
            return
        mark_partial(self._store.root)
        spots = []
        for key in keys:
            spot = self._known.find(key)
            if spot is None:
                self.done.missing[key] = self._paths[key]
            elif spot.form not in (PACKED, WHOLE):
                raise newer_format(f"object {oid_in(key)[:12]} of the remote {self._remote.name}")
            else:
                spots.append(spot)
        wrong = self._read(batch, spots)
        again = [other for spot in wrong for other in (self._known.others(spot) or [spot])[:1]]
        for spot in self._read(batch, again):
            self.done.damaged[spot.key] = self._paths[spot.key]
        batch.publish()

    def _read(self, batch: Batch, spots: list[Spot]) -> list[Spot]:
        """Read objects into the batch; return those that were not what their names say."""
        wrong: list[Spot] = []
        try:
            for good, bad in parallel(self._one, reads(spots), self._jobs, self._remote.door.stop):
                for spot, data in good:
                    oid = oid_in(spot.key)
                    if not batch.has(KINDS[spot.key[0]], oid):
                        batch.put(KINDS[spot.key[0]], data, oid)
                    self._count(spot.size, spot.length)
                    self._progress.advance(spot.size if spot.key[:1] != TREE else 0)
                wrong += bad
                self.done.reads += 1
                failpoint("fetch.arrived")
        except (MlxError, KeyboardInterrupt):
            batch.publish()  # what arrived stays
            raise
        return wrong

    def _one(self, read: Read) -> tuple[list[tuple[Spot, bytes]], list[Spot]]:
        file = file_of(read.spots[0])
        try:
            data = self._remote.door.read_range(file, read.start, read.end)
        except FileNotFoundError:
            raise PackMissing(
                f"{file} is named by an index of the remote {self._remote.name}, and is not there",
                hint=f"mlx remote fsck {self._remote.name} --repair, in a clone that has the data",
            ) from None
        good, bad = [], []
        for spot, stored in read.cut(data):
            try:
                good.append((spot, decode(spot, stored)))
            except Damaged:
                self.wrong.keep(oid_in(spot.key), stored)
                bad.append(spot)
        return good, bad


def reads(spots: Iterable[Spot]) -> list[Read]:
    """Return the reads that get objects: neighbours in a pack together, up to `READ_MAX`."""
    packs: dict[str, list[Spot]] = defaultdict(list)
    alone = []
    for spot in spots:
        if spot.pack:
            packs[spot.pack].append(spot)
        else:
            alone.append(Read("", 0, spot.length, [spot]))
    found: list[Read] = []
    for pack, inside in packs.items():
        last: Read | None = None
        for spot in sorted(inside, key=lambda spot: spot.offset):
            end = spot.offset + spot.length
            if last and spot.offset - last.end <= GAP and end - last.start <= READ_MAX:
                last.spots.append(spot)
                last = found[-1] = last._replace(end=max(end, last.end))
            else:
                last = Read(pack, spot.offset, end, [spot])
                found.append(last)
    return found + alone
