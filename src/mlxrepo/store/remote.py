"""A remote: what is on it, as its indexes say, and what has to be there before anything is sent."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from mlxrepo import files
from mlxrepo.codec import canonical, parse_json
from mlxrepo.errors import Damaged, EnvironmentFailed, MlxError
from mlxrepo.hashing import ALGORITHM, Oid, is_oid
from mlxrepo.store.condemned import Mark, ages, decode, is_mark
from mlxrepo.store.door import Door
from mlxrepo.store.parallel import parallel
from mlxrepo.store.remoteindex import FORMAT, Index, Known, Spot, encode, newer_format

MARKER = "mlx.json"
INDEXES, PACKS, OBJECTS = "indexes", "packs", "objects"
REPOS, ACTIONS = "repos", "actions"
SWEPT = "swept-"  # beside the indexes: the last gc that removed files


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
    sweeps: frozenset[str]


class Remote:
    """A remote called `name`; `cache` is the local folder for what is known of it."""

    def __init__(self, name: str, door: Door, cache: str):
        self.name = name
        self.door = door
        self.cache = cache

    # what is there

    def known(self, *, condemned: bool = False) -> Known:
        """Return what the indexes say: one listing, and those that are not cached are read.

        What is condemned is left out, unless asked for: it is there, and may be gone tomorrow.

        Raises:
            InputError: when it is of a newer format.
            Damaged: when an index holds other bytes than its name says.
        """
        notes = self.notes()
        hidden = {} if condemned else ages(notes.marks.values(), notes.indexes)
        return Known(notes.indexes, hidden.keys(), notes.sweeps)

    def notes(self) -> Notes:
        """Return what stands in the folder of the indexes.

        Raises:
            InputError, Damaged: as `known`.
        """
        listed = self.listed()
        names = {name for name in listed if is_oid(name) or is_mark(name)}
        cached = self.cached()
        if not names or names - cached:
            self.check_format()
        indexes: dict[str, Index] = {}
        marks: dict[str, Mark] = {}

        def take(name: str, data: bytes) -> None:
            if is_mark(name):
                marks[name] = decode(data, name)
            else:
                indexes[name] = Index(data, name)

        for name in sorted(names & cached):
            with contextlib.suppress(FileNotFoundError, Damaged):  # it is only a copy
                take(name, self._load(name))
        lacking = sorted(names - indexes.keys() - marks.keys())
        for name, data in parallel(self._fetch, lacking, self.door.jobs):
            take(name, data)
            self._keep(name, data)
        for name in cached - names:
            files.remove_quietly(os.path.join(self.cache, INDEXES, name))
        sweeps = frozenset(name for name in listed if name.startswith(SWEPT))
        self._note_sweeps(sweeps)
        return Notes(indexes, marks, sweeps)

    def _note_sweeps(self, sweeps: frozenset[str]) -> None:
        """Forget which entries of actions are there when a gc may have taken some."""
        place = self._place("sweeps")
        text = "\n".join(sorted(sweeps)).encode()
        try:
            with open(place, "rb") as stream:
                known = stream.read()
        except FileNotFoundError:
            known = b""
        if known != text:
            files.remove_quietly(os.path.join(self.cache, ACTIONS))
            files.write_atomic(place, text, flush=False)

    def listed(self) -> list[str]:
        """Return the names of all files beside the indexes."""
        return [found.path.rpartition("/")[2] for found in self.door.files(INDEXES)]

    def check_format(self) -> bool:
        """Say whether the remote has been used.

        Raises:
            InputError: when it is of a newer format, or something else.
        """
        try:
            data = self.door.read(MARKER)
        except FileNotFoundError:
            return False
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

    def _load(self, name: str) -> bytes:
        with open(os.path.join(self.cache, INDEXES, name), "rb") as stream:
            return stream.read()

    def _fetch(self, name: str) -> tuple[str, bytes]:
        try:
            return name, self.door.read(f"{INDEXES}/{name}")
        except FileNotFoundError:
            raise EnvironmentFailed(
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
            self.door.write(MARKER, canonical({"format": FORMAT, "oid": ALGORITHM}) + b"\n")
        note = f"{REPOS}/{repository}"
        if self.door.size(note) is None:
            self.door.write(note, canonical({"format": FORMAT, **about}) + b"\n")

    def publish(self, spots: list[Spot]) -> Oid:
        """Write an index of objects that are there for certain; from now on others see them."""
        name, data = encode(spots)
        self.write(f"{INDEXES}/{name}", data)
        self._keep(name, data)
        return name

    def write(self, path: str, data: bytes) -> None:
        """Write a file, and be sure that it arrived."""
        self.door.write(path, data)
        self.confirm(path, len(data))

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

    def note_sent(self, pack: str, spots: list[Spot]) -> None:
        """Note that a pack arrived which no index names yet."""
        name, data = encode(spots)
        place = self._place("sent", f"{pack}.{name}")
        files.write_atomic(place, data, flush=False)

    def sent(self) -> list[Spot]:
        """Return what earlier pushes sent and did not come to index, as far as it is there."""
        folder = os.path.join(self.cache, "sent")
        spots: list[Spot] = []
        for file in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
            pack, _, name = file.partition(".")
            try:
                with open(os.path.join(folder, file), "rb") as stream:
                    index = Index(stream.read(), name)
            except Damaged:
                continue
            if is_oid(pack) and self.door.size(pack_file(pack)) is not None:
                spots += [index.spot(row) for row in range(index.count)]
        return spots

    def forget_sent(self) -> None:
        """Forget these notes: an index has it all."""
        folder = os.path.join(self.cache, "sent")
        for file in os.listdir(folder) if os.path.isdir(folder) else ():
            files.remove_quietly(os.path.join(folder, file))
