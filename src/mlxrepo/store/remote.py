"""A remote: what is on it, as its indexes say, and what has to be there before anything is sent."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from mlxrepo import files, reading
from mlxrepo.codec import canonical, parse_json
from mlxrepo.errors import Damaged, EnvironmentFailed, MlxError
from mlxrepo.hashing import ALGORITHM, Oid, blob_hasher, is_oid
from mlxrepo.store.condemned import Mark, ages, decode, is_mark
from mlxrepo.store.copies import damaged
from mlxrepo.store.door import Chunks, Door, untold
from mlxrepo.store.parallel import parallel
from mlxrepo.store.remoteindex import (
    FORMAT,
    Index,
    Known,
    Spot,
    damaged_index,
    encode,
    newer_format,
)
from mlxrepo.store.seen import check_seen, note_seen

MARKER = "mlx.json"
INDEXES, PACKS, OBJECTS = "indexes", "packs", "objects"
REPOS, ACTIONS = "repos", "actions"
SWEPT = "swept-"  # beside the indexes: the last gc that removed files
_MARK = canonical({"format": FORMAT, "oid": ALGORITHM}) + b"\n"
CHECKED = "checked.json"  # in the cache: whether the remote refuses other bytes than were sent
PIECE = 8 << 20  # bytes of a large object that are read at a time


def pack_file(name: str) -> str:
    """Return where a pack lies on a remote."""
    return f"{PACKS}/{name}.pack"


def object_file(oid: str) -> str:
    """Return where a large blob lies on a remote."""
    return f"{OBJECTS}/{oid[:2]}/{oid[2:]}"


class Notes(NamedTuple):
    """What a remote says of itself: indexes, marks of what is condemned, names of last sweeps."""

    indexes: dict[str, Index]
    marks: dict[str, Mark]
    sweeps: frozenset[str] = frozenset()

    @classmethod
    def of(cls, found: Mapping[str, Index | Mark], sweeps: frozenset[str] = frozenset()) -> Notes:
        """Tell indexes and marks apart."""
        rows = sorted(found.items())
        indexes = {name: note for name, note in rows if isinstance(note, Index)}
        return cls(indexes, {name: note for name, note in rows if isinstance(note, Mark)}, sweeps)

    def known(self) -> Known:
        """Return what is there, without what is condemned."""
        hidden = ages(self.marks.values(), self.indexes)
        return Known(self.indexes, hidden.keys(), self.sweeps)


def file_of(spot: Spot) -> str:
    """Return which file of a remote an object lies in."""
    return pack_file(spot.pack) if spot.pack else object_file(spot.key[1:].hex())


def _sweeps(listed: Iterable[str]) -> frozenset[str]:
    return frozenset(name for name in listed if name.startswith(SWEPT))


def parse_note(data: bytes, name: str) -> Index | Mark:
    """Return an index, or a mark of what is condemned, from its bytes.

    Raises:
        InputError: when it is of a newer format.
        Damaged: when it holds other bytes than its name says.
    """
    return decode(data, name) if is_mark(name) else Index(data, name)


class _Gone(EnvironmentFailed):
    """An index that was listed is not there."""


class Remote:
    """A remote called `name`; `cache` is the local folder for what is known of it."""

    def __init__(self, name: str, door: Door, cache: str):
        self.name = name
        self.door = door
        self.cache = cache
        self._refuses: bool | None = None

    # what is there

    def known(self, *, condemned: bool = False, damaged: list[str] | None = None) -> Known:
        """Return what the indexes say: one listing, and those that are not cached are read.

        What is condemned is left out, unless asked for: it is there, and may be gone tomorrow.
        What a damaged index says does not count; with `damaged` its name goes there.

        Raises:
            InputError: when it is of a newer format.
            Damaged: when an index holds other bytes than its name says, without `damaged`.
        """
        notes = self.notes(damaged)
        if condemned:
            return Known(notes.indexes, sweeps=notes.sweeps)
        for name in filter(is_mark, damaged or ()):
            raise damaged_index(name)  # what it condemns is not known
        return notes.known()

    def notes(self, damaged: list[str] | None = None) -> Notes:
        """Return what stands in the folder of the indexes.

        Raises:
            InputError, Damaged: as `known`.
        """
        try:
            return self._notes(damaged)
        except _Gone:  # somebody tidies up there, or the listing was old or changed on the way
            return self._notes(damaged)

    def _notes(self, damaged: list[str] | None) -> Notes:
        listed = self.listed()
        names = {name for name in listed if is_oid(name) or is_mark(name)}
        cached = self.cached()
        if not names or names - cached:
            self.check_format()
        if names:
            note_seen(self.door.place, self.cache)
        found = {name: note for name in names & cached if (note := self._load(name))}
        lacking = sorted(names - found.keys())
        for name, data, note in parallel(self._fetch, lacking, self.door.jobs, self.door.stop):
            if note is not None:
                found[name] = note
                self._keep(name, data)
            elif damaged is None:
                raise damaged_index(name)
            else:
                damaged.append(name)
        for name in cached - names:
            files.remove_quietly(os.path.join(self.cache, INDEXES, name))
        sweeps = _sweeps(listed)
        self._note_sweeps(sweeps)
        return Notes.of(found, sweeps)

    def _note_sweeps(self, sweeps: frozenset[str]) -> None:
        """Forget which entries of actions are there when a gc may have taken some."""
        if set(self.remembered("sweeps")) != sweeps:
            files.remove_quietly(os.path.join(self.cache, ACTIONS))
            self.remember("sweeps", sweeps)

    def remember(self, what: str, names: Iterable[str]) -> None:
        """Keep names here in the file `what`, to be compared with what is there next time."""
        text = "".join(f"{name}\n" for name in sorted(names))
        files.write_atomic(self._place(what), text.encode(), flush=False)

    def remembered(self, what: str) -> list[str]:
        """Return the names that were kept last."""
        try:
            with open(os.path.join(self.cache, what), "rb") as stream:
                return stream.read().decode("utf-8", "replace").splitlines()
        except FileNotFoundError:
            return []

    def sent_index(self, name: str) -> Index | None:
        """Return an index that was written from here, from the copy that was kept."""
        found = self._load(name)
        return found if isinstance(found, Index) else None

    def sweeps(self) -> frozenset[str]:
        """Return what tells one gc of the remote from the next."""
        return _sweeps(self.listed())

    def listed(self) -> list[str]:
        """Return the names of all files beside the indexes."""
        return [found.path.rpartition("/")[2] for found in self.door.files(INDEXES)]

    def check_format(self) -> bool:
        """Say whether the remote has been used.

        Raises:
            InputError, EnvironmentFailed: when it is of a newer format, or went away.
        """
        for _ in range(2):  # a byte may have been changed on the way
            try:
                data = self.door.read(MARKER)
            except FileNotFoundError:
                check_seen(self.door.place, self.cache, INDEXES)
                return False
            if data == _MARK:
                return True
        try:
            value = parse_json(data, source=MARKER)
            right = value["format"] == FORMAT and value["oid"] == ALGORITHM
        except (MlxError, KeyError, TypeError):
            raise Damaged(f"{MARKER} of the remote {self.name} is not what mlx writes") from None
        if not right:
            raise newer_format(f"the remote {self.name}")
        return True

    def cached(self) -> set[str]:
        """Return the names of the indexes and marks that were there last time."""
        try:
            found = os.listdir(os.path.join(self.cache, INDEXES))
        except FileNotFoundError:
            return set()
        return {name for name in found if is_oid(name) or is_mark(name)}

    def _load(self, name: str) -> Index | Mark | None:
        try:
            with open(os.path.join(self.cache, INDEXES, name), "rb") as stream:
                return parse_note(stream.read(), name)
        except (FileNotFoundError, Damaged):  # it is only a copy
            return None

    def _fetch(self, name: str) -> tuple[str, bytes, Index | Mark | None]:
        """Read an index; what comes wrong is asked for once more, and None then."""
        data = b""
        try:
            for _ in range(2):
                data = self.door.read(f"{INDEXES}/{name}")
                try:
                    return name, data, parse_note(data, name)
                except Damaged:
                    continue
            return name, data, None
        except FileNotFoundError:
            raise _Gone(
                f"index {name[:12]} of the remote {self.name} went away meanwhile",
                hint="the same command again",
            ) from None

    def _keep(self, name: str, data: bytes) -> None:
        files.write_atomic(self._place(INDEXES, name), data, flush=False)

    def _place(self, *names: str) -> str:
        path = os.path.join(self.cache, *names)
        files.make_folder(os.path.dirname(path), flush=False)
        return path

    # before and after sending

    def prepare(self, repository: str, about: Mapping[str, Any]) -> None:
        """Make the remote one of mlx and name the repository there, before its first object."""
        if not self.check_format():
            self.write(MARKER, _MARK)
            note_seen(self.door.place, self.cache)
        note = f"{REPOS}/{repository}"
        if self.door.size(note) is None:
            self.write(note, canonical({"format": FORMAT, **about}) + b"\n")

    def publish(self, spots: list[Spot]) -> Oid:
        """Write an index of objects that are there for certain; from now on others see them."""
        name, data = encode(spots)
        self.write(f"{INDEXES}/{name}", data)
        self._keep(name, data)
        return name

    def write(self, path: str, data: bytes) -> None:
        """Write a file, and be sure that it arrived: what is not vouched for is read back.

        Raises:
            EnvironmentFailed: when it did not, or with other bytes, twice.
        """
        for _ in range(2):
            vouched = self.door.write(path, data)
            self.confirm(path, len(data))
            if vouched or self.refuses or self.door.read_range(path, 0, len(data)) == data:
                return
        raise self._otherwise(path)

    def has_file(self, path: str, data: bytes) -> bool:
        """Say whether a file is there with these bytes."""
        return self.door.size(path) == len(data) and (
            self.door.read_range(path, 0, len(data)) == data
        )

    def send(
        self, source: str, oid: Oid, size: int, advance: Callable[[int], None] = untold
    ) -> None:
        """Write the blob in the local file `source` as a file of its own, as `write` does.

        Raises:
            Damaged: when it is not `oid`.
            FileNotFoundError: when `source` is not there.
        """
        path = object_file(oid)
        for _ in range(2):
            vouched = self.door.send(path, source, oid, advance)
            self.confirm(path, size)
            if vouched or self.refuses or self.holds(oid, size):
                return
            if reading.read_content(source).oid != oid:
                raise damaged("blob", oid)
            advance = untold  # it has been counted
        raise self._otherwise(path)

    def send_chunks(
        self, oid: Oid, size: int, chunks: Chunks, advance: Callable[[int], None] = untold
    ) -> None:
        """Write a blob of `size` bytes as a file of its own, as `write` does.

        `chunks` gives it from the beginning each time that it is called, and checks that it is
        `oid` before it ends.
        """
        path = object_file(oid)
        for _ in range(2):
            vouched = self.door.send_chunks(path, size, chunks, advance)
            self.confirm(path, size)
            if vouched or self.refuses or self.holds(oid, size):
                return
            advance = untold  # it has been counted
        raise self._otherwise(path)

    def holds(self, oid: Oid, size: int) -> bool:
        """Read a large blob, and say whether it is there with the right bytes."""
        path = object_file(oid)
        hasher = blob_hasher(PIECE)
        try:
            for start in range(0, size, PIECE):
                hasher.update(self.door.read_range(path, start, min(size, start + PIECE)))
        except FileNotFoundError:
            return False
        return hasher.hexdigest() == oid

    @property
    def refuses(self) -> bool:
        """Whether this remote is known to refuse other bytes than were sent."""
        if self._refuses is None:
            try:
                with open(os.path.join(self.cache, CHECKED), "rb") as stream:
                    noted = parse_json(stream.read(), source=CHECKED)
                self._refuses = noted == {"place": self.door.place, "refuses": True}
            except (FileNotFoundError, MlxError):
                self._refuses = False
        return self._refuses

    def check(self, path: str) -> bool:
        """Try whether this remote refuses other bytes than were sent, and note the answer here."""
        self._refuses = self.door.refuses_other_bytes(path)
        noted = {"place": self.door.place, "refuses": self._refuses}
        files.write_atomic(self._place(CHECKED), canonical(noted) + b"\n", flush=False)
        return self._refuses

    def _otherwise(self, path: str) -> EnvironmentFailed:
        return EnvironmentFailed(
            f"{path} arrived on the remote {self.name} with other bytes than were sent, twice",
            hint="something between here and there changes them: it is not said to be pushed",
        )

    def confirm(self, path: str, size: int) -> None:
        """Check that a file is there in its full size.

        Raises:
            EnvironmentFailed: when it is not, though the remote took it.
        """
        found = self.door.size(path)
        if found != size:
            is_ = "is not there" if found is None else f"has {found:,} bytes of {size:,}"
            raise EnvironmentFailed(
                f"{path} was sent to the remote {self.name}, and {is_}",
                hint=f"mlx remote test {self.name}",
            )

    # what a push that was cut off has sent

    def note_sent(self, spots: list[Spot]) -> None:
        """Note that a pack, or a large object, arrived which no index names yet."""
        name, data = encode(spots)
        place = self._place("sent", f"{spots[0].pack or spots[0].key[1:].hex()}.{name}")
        files.write_atomic(place, data, flush=False)

    def sent(self) -> list[Spot]:
        """Return what earlier pushes sent and did not come to index, as far as it is there."""
        folder = os.path.join(self.cache, "sent")
        spots: list[Spot] = []
        for file in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
            name = file.partition(".")[2]
            try:
                with open(os.path.join(folder, file), "rb") as stream:
                    index = Index(stream.read(), name)
            except Damaged:
                continue
            noted = [index.spot(row) for row in range(index.count)]
            if noted and self.door.size(file_of(noted[0])) is not None:
                spots += noted
        return spots

    def forget_sent(self) -> None:
        """Forget these notes: an index has it all."""
        folder = os.path.join(self.cache, "sent")
        for file in os.listdir(folder) if os.path.isdir(folder) else ():
            files.remove_quietly(os.path.join(folder, file))
