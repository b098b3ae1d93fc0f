"""All packs of a store: which are there, and where an object lies in them."""

from __future__ import annotations

import contextlib
import os
from collections import OrderedDict
from collections.abc import Callable

from mlxrepo.errors import Damaged
from mlxrepo.hashing import Oid
from mlxrepo.store.pack import KINDS, Pack, Slot

# After so many questions one table of everything costs less than asking each pack.
BULK = 2_000
OPEN_MAX = 8  # descriptors kept open for reading


class Packs:
    """The packs in one folder; a damaged one is passed over and remembered in `damaged`."""

    def __init__(self, folder: str, listed: Callable[[str], list[str]]):
        self.damaged: dict[str, Damaged] = {}
        self._folder = folder
        self._listed = listed
        self._packs: dict[str, Pack] | None = None
        self._asked = 0
        self._places: dict[bytes, tuple[Pack, int]] | None = None
        self._open: OrderedDict[str, int] = OrderedDict()

    def __del__(self) -> None:
        while self._open:
            with contextlib.suppress(OSError):
                os.close(self._open.popitem()[1])

    def all(self) -> dict[str, Pack]:
        """Return the packs by file name."""
        if self._packs is None:
            self.refresh()
        return self._packs or {}

    def refresh(self) -> None:
        """Look for new packs and forget lost ones."""
        known = self._packs or {}
        self._packs = {}
        for name in sorted(self._listed(self._folder)):
            if name.endswith(".pack"):
                with contextlib.suppress(FileNotFoundError):  # repacked since the listing
                    self._load(name, known)
        if known.keys() - self._packs.keys():
            self._places = None
        for name in self._packs.keys() - known.keys() if self._places is not None else ():
            self._enter(self._packs[name])

    def _load(self, name: str, known: dict[str, Pack]) -> None:
        assert self._packs is not None
        try:
            self._packs[name] = known.get(name) or Pack(os.path.join(self._folder, name))
        except Damaged as error:
            self.damaged[name] = error

    def find(self, kind: str, oid: Oid) -> tuple[Pack, Slot] | None:
        """Look an object up."""
        binary = bytes.fromhex(oid)
        if self._places is None and self._asked < BULK:
            self._asked += 1
            for pack in self.all().values():
                slot = pack.find(kind, binary)
                if slot:
                    return pack, slot
            return None
        place = self._table().get(bytes((KINDS.index(kind),)) + binary)
        return (place[0], place[0].slot(place[1])) if place else None

    def _table(self) -> dict[bytes, tuple[Pack, int]]:
        if self._places is None:
            self._places = {}
            for pack in self.all().values():
                self._enter(pack)
        return self._places

    def _enter(self, pack: Pack) -> None:
        assert self._places is not None
        self._places.update((key, (pack, row)) for row, key in pack.rows_by_key())

    def read(self, pack: Pack, slot: Slot) -> bytes:
        """Return the stored bytes of an object, not yet checked against its name.

        Raises:
            FileNotFoundError: when the pack is gone since it was listed.
            Damaged: when it ends early or uses a codec this version does not know.
        """
        fd = self._open.get(pack.path)
        if fd is None:
            fd = os.open(pack.path, os.O_RDONLY | os.O_CLOEXEC)
            self._open[pack.path] = fd
            if len(self._open) > OPEN_MAX:
                os.close(self._open.popitem(last=False)[1])
        return pack.read(slot, fd)
