"""A remote: what is on it, as its indexes say, and what has to be there before anything is sent."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from mlxrepo import files
from mlxrepo.codec import canonical, parse_json
from mlxrepo.errors import Damaged, EnvironmentFailed, MlxError
from mlxrepo.hashing import ALGORITHM, Oid, is_oid
from mlxrepo.store.door import Door
from mlxrepo.store.parallel import parallel
from mlxrepo.store.remoteindex import FORMAT, Index, Known, Spot, encode, newer_format

MARKER = "mlx.json"
INDEXES, PACKS, OBJECTS, REPOS = "indexes", "packs", "objects", "repos"
ACTIONS = "actions"


def pack_file(name: str) -> str:
    """Return where a pack lies on a remote."""
    return f"{PACKS}/{name}.pack"


def object_file(oid: str) -> str:
    """Return where a large blob lies on a remote."""
    return f"{OBJECTS}/{oid[:2]}/{oid[2:]}"


class Remote:
    """A remote called `name`; `cache` is the local folder for what is known of it."""

    def __init__(self, name: str, door: Door, cache: str):
        self.name = name
        self.door = door
        self.cache = cache

    # what is there

    def known(self) -> Known:
        """Return what the indexes say: one listing, and those that are not cached are read.

        Raises:
            InputError: when it is of a newer format.
            Damaged: when an index holds other bytes than its name says.
        """
        listed = [found.path.rpartition("/")[2] for found in self.door.files(INDEXES)]
        names = sorted(name for name in listed if is_oid(name))
        cached = self._cached()
        lacking = [name for name in names if name not in cached]
        if lacking or not names:
            self.check_format()
        loaded = {name: index for name in names if (index := self._load(name))}
        lacking = [name for name in names if name not in loaded]
        for name, data in parallel(self._fetch, lacking, self.door.jobs):
            loaded[name] = Index(data, name)
            self._keep(name, data)
        gone = cached - set(names)
        if gone:  # somebody collected the remote, and may have taken entries of actions too
            files.remove_quietly(os.path.join(self.cache, ACTIONS))
        for name in gone:
            files.remove_quietly(os.path.join(self.cache, INDEXES, name))
        return Known(loaded)

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

    def _cached(self) -> set[str]:
        try:
            return {name for name in os.listdir(os.path.join(self.cache, INDEXES)) if is_oid(name)}
        except FileNotFoundError:
            return set()

    def _load(self, name: str) -> Index | None:
        try:
            with open(os.path.join(self.cache, INDEXES, name), "rb") as stream:
                return Index(stream.read(), name)
        except (FileNotFoundError, Damaged):  # it is only a copy
            return None

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
