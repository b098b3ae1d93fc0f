"""Files on their way from a source to a remote: hashed, packed and sent, and never copied here.

A file's name is known only when it has been read to its end. One that fits into memory is read
once; a larger one is read twice, first for its name and then, checked against it, into its place
(docs/adr/0014).
"""

from __future__ import annotations

import os
import time
from binascii import unhexlify
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from types import TracebackType
from typing import NamedTuple

from mlxrepo.errors import EnvironmentFailed
from mlxrepo.failpoints import failpoint
from mlxrepo.files import SMALL, Stat, open_regular, stat_of
from mlxrepo.hashing import Oid, blob_hasher, blob_oid, tree_oid
from mlxrepo.paths import display
from mlxrepo.progress import Progress
from mlxrepo.reading import Content, read_content
from mlxrepo.store.door import Chunks
from mlxrepo.store.notes import Notes
from mlxrepo.store.objects import Store
from mlxrepo.store.push import PACK_OBJECTS, PACK_SIZE, Extended, Sent
from mlxrepo.store.remote import Remote, object_file, pack_file
from mlxrepo.store.remoteindex import WHOLE, Spot
from mlxrepo.store.remotepack import make
from mlxrepo.store.statcache import is_racy
from mlxrepo.store.survey import BLOB, TREE
from mlxrepo.store.tree import Entry

HELD = 8 << 20  # bytes; a file up to this is sent from memory, side by side with others
PIECE = 2 << 20


class File(NamedTuple):
    """A file of a source; its size in bytes, and a mark that changes when it does ("": none)."""

    name: str
    size: int
    mark: str
    chunks: Chunks


class _Arrived(NamedTuple):
    """What is there now; `sent`: it was not before."""

    spots: list[Spot]
    sent: bool


class Outbox:
    """Takes what a scan finds, as a `Batch` does, and sends the blobs; trees stay in `trees`.

    `spots` is where everything lies that has arrived. Use it as a context manager, from one
    thread, and `finish` it.
    """

    def __init__(
        self,
        store: Store,
        remote: Remote,
        known: Extended,
        notes: Notes,
        *,
        jobs: int,
        prepare: Callable[[], None],
        progress: Progress,
    ):
        self.trees: dict[Oid, bytes] = {}
        self.spots: list[Spot] = []
        self.sent = Sent()
        self._store = store
        self._remote = remote
        self._known = known
        self._notes = notes
        self._jobs = jobs
        self._prepare: Callable[[], None] | None = prepare
        self._progress = progress
        self._coming: set[bytes] = set()
        self._pending: list[tuple[bytes, bytes]] = []
        self._pending_size = 0
        self._flying: set[Future[_Arrived]] = set()
        self._pool = ThreadPoolExecutor(max_workers=jobs, thread_name_prefix="mlx-transfer")

    def __enter__(self) -> Outbox:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    # as a Sink

    def has(self, kind: str, oid: Oid) -> bool:
        """Say whether an object is there, or on its way; a tree only with all below it."""
        if kind == "tree":
            spot = self._known.find(TREE + unhexlify(oid))
            return oid in self.trees or bool(spot and spot.closed and self._store.has(kind, oid))
        key = BLOB + unhexlify(oid)
        return key in self._coming or self._known.has(key)

    def has_entry(self, entry: Entry) -> bool:
        """Say the same of what an entry names."""
        return self.has("tree" if entry.kind == "tree" else "blob", entry.oid)

    def put_tree(self, data: bytes) -> Oid:
        """Keep a tree; it is sent when all that it names is there."""
        oid = tree_oid(data)
        self.trees[oid] = data
        return oid

    def put(self, kind: str, data: bytes, oid: Oid | None = None) -> Oid:
        """Send a small blob, with others in a pack."""
        name = oid or blob_oid(data)
        if not self.has(kind, name):
            key = BLOB + unhexlify(name)
            if self._pending and self._pending_size + len(data) > PACK_SIZE:
                self._send_pending()
            self._coming.add(key)
            self._pending.append((key, data))
            self._pending_size += len(data)
            if len(self._pending) >= PACK_OBJECTS:
                self._send_pending()
        return name

    def put_file(self, path: str, size: int | None = None) -> Content:
        """Send a file of this machine.

        Raises:
            EnvironmentFailed: when it changes meanwhile.
        """
        found = stat_of(os.lstat(path))
        oid = self.put_noted(_local(path, found))
        if oid is not None:
            return Content(oid, found, None)
        content = self._read(path, found.size)
        file = _local(path, content.stat)
        self._notes.add(file.name, file.mark, content.oid)
        if content.data is None:
            self._put(file, content.oid)
        else:
            self.put("blob", content.data, content.oid)
            self._progress.advance(file.size)
        return content

    def _read(self, path: str, size: int) -> Content:
        if size <= HELD:
            return read_content(path)
        self._progress.start(f"hashing {display(path)}")
        content = read_content(path)
        self._progress.done()
        return content

    # files of other sources

    def put_noted(self, file: File) -> Oid | None:
        """Send a file that an earlier run noted; None when it has to be read for that.

        A small one that did not arrive has to be: it is in no file of its own there.
        """
        oid = self._notes.find(file.name, file.mark)
        if oid is None or (file.size < SMALL and not self.has("blob", oid)):
            return None
        self._put(file, oid)
        return oid

    def put_data(self, file: File, data: bytes) -> Oid:
        """Send a file that is in memory."""
        oid = blob_oid(data)
        self._notes.add(file.name, file.mark, oid)
        if len(data) >= SMALL:
            self._put(file._replace(chunks=lambda: [data]), oid)
            return oid
        self._progress.advance(len(data))
        return self.put("blob", data, oid)

    def put_chunks(self, file: File) -> Oid:
        """Send a large file, reading it twice, or once if an earlier run noted what it is."""
        oid = self._notes.find(file.name, file.mark) or self._hashed(file)
        self._notes.add(file.name, file.mark, oid)
        self._put(file, oid)
        return oid

    def _hashed(self, file: File) -> Oid:
        self._progress.start(f"hashing {display(file.name)}", file.size, "bytes")
        hasher, total = blob_hasher(file.size), 0
        for chunk in file.chunks():
            hasher.update(chunk)
            total += len(chunk)
            self._progress.advance(len(chunk))
        self._progress.done()
        if total != file.size:
            raise changed(file.name)
        return Oid(hasher.hexdigest())

    # sending

    def finish(self) -> None:
        """Wait until everything has arrived."""
        self._send_pending()
        while self._flying:
            self._land()

    def _put(self, file: File, oid: Oid) -> None:
        """Send a file whose name is known, unless it is there or on its way."""
        key = BLOB + unhexlify(oid)
        if self.has("blob", oid):
            if key not in self._coming:
                self._coming.add(key)
                self.sent = replace(self.sent, resumed=self.sent.resumed + 1)
            self._progress.advance(file.size)
            return
        self._coming.add(key)
        self._be_prepared()
        if file.size <= HELD:
            self._submit(lambda: self._send_held(file, oid))
        else:
            self._note(self._send_large(file, oid))

    def _send_held(self, file: File, oid: Oid) -> _Arrived:
        is_there = self._is_there(oid, file.size)
        if not is_there:
            self._remote.write(object_file(oid), b"".join(checked(file, oid)))
        self._progress.advance(file.size)
        return _Arrived([_whole(oid, file.size)], not is_there)

    def _send_large(self, file: File, oid: Oid) -> _Arrived:
        is_there, advance = self._is_there(oid, file.size), self._progress.advance
        if is_there:
            advance(file.size)
        else:
            self._remote.send_chunks(oid, file.size, lambda: checked(file, oid), advance)
        return _Arrived([_whole(oid, file.size)], not is_there)

    def _is_there(self, oid: Oid, size: int) -> bool:
        """Say whether a large blob, which no index names, came with an earlier run."""
        return self._remote.door.size(object_file(oid)) == size and self._remote.holds(oid, size)

    def _send_pending(self) -> None:
        objects, self._pending, self._pending_size = self._pending, [], 0
        if objects:
            self._be_prepared()
            self._submit(lambda: self._send_pack(objects))

    def _send_pack(self, objects: list[tuple[bytes, bytes]]) -> _Arrived:
        pack = make(objects)
        file = pack_file(pack.name)
        is_there = self._remote.has_file(file, pack.data)
        if not is_there:
            self._remote.write(file, pack.data)
        return _Arrived(pack.spots, not is_there)

    def _be_prepared(self) -> None:
        prepare, self._prepare = self._prepare, None
        if prepare:
            prepare()

    def _submit(self, work: Callable[[], _Arrived]) -> None:
        self._flying.add(self._pool.submit(work))
        if len(self._flying) >= self._jobs:
            self._land()

    def _land(self) -> None:
        landed, self._flying = wait(self._flying, return_when=FIRST_COMPLETED)
        for future in landed:
            self._note(future.result())

    def _note(self, arrived: _Arrived) -> None:
        self.spots += arrived.spots
        self._remote.note_sent(arrived.spots)
        failpoint("to-remote.arrived")
        before, count = self.sent, len(arrived.spots)
        if not arrived.sent:
            self.sent = replace(before, resumed=before.resumed + count)
            return
        self.sent = Sent(
            before.objects + count,
            before.bytes + sum(spot.size for spot in arrived.spots),
            before.stored + sum(spot.length for spot in arrived.spots),
            before.resumed,
        )


def _whole(oid: Oid, size: int) -> Spot:
    return Spot(BLOB + unhexlify(oid), WHOLE, 0, True, "", 0, size, size)


def checked(file: File, oid: Oid) -> Iterator[bytes]:
    """Yield what a file holds, and the last piece only if all of it together is `oid`.

    So what changed meanwhile never lies on a remote in the size that it should have.

    Raises:
        EnvironmentFailed: when it is not.
    """
    hasher, total, held = blob_hasher(file.size), 0, b""
    for chunk in file.chunks():
        if held:
            yield held
        hasher.update(chunk)
        total += len(chunk)
        held = chunk
        if total > file.size:
            break
    if total != file.size or hasher.hexdigest() != oid:
        raise changed(file.name)
    yield held


def changed(name: str) -> EnvironmentFailed:
    """Return the error for a file that did not hold still."""
    return EnvironmentFailed(
        f"{display(name)} changes while it is read; nothing was recorded",
        hint="wait until its writer is done, then again: what arrived is not sent again",
    )


def _local(path: str, stat: Stat) -> File:
    mark = "" if is_racy(stat, time.time_ns()) else " ".join(map(str, stat))
    return File(path, stat.size, mark, lambda: _pieces(path))


def _pieces(path: str) -> Iterator[bytes]:
    try:
        fd, _ = open_regular(path)
        with open(fd, "rb", buffering=0) as stream:
            while data := stream.read(PIECE):
                yield data
    except OSError as error:
        raise EnvironmentFailed(
            f"{display(path)} cannot be read: {error.strerror}",
            hint="nothing may be taken away there meanwhile; then again",
        ) from None
