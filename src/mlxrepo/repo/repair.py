"""Mend a store: what is damaged goes to the quarantine, good copies are put in its place."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import NamedTuple

from mlxrepo.files import SMALL
from mlxrepo.repo.afar import Afar
from mlxrepo.repo.losses import Loss, Losses, look
from mlxrepo.repo.repo import Repo
from mlxrepo.repo.roots import Root
from mlxrepo.repo.sources import look_everywhere
from mlxrepo.store.inventory import Fault, Inventory, Key, loose_key
from mlxrepo.store.marker import is_partial
from mlxrepo.store.objects import Batch
from mlxrepo.store.quarantine import move_away, new_folder, salvage
from mlxrepo.store.search import Found, Search, Take

Sources = dict[Key, str]  # an object, and the file with its good bytes


class Absence(NamedTuple):
    """What may be absent without being lost: in a partial store, what was not put here either.

    `placed` are single files of this worktree; folders of worktrees are among what is needed.
    """

    is_partial: bool
    placed: frozenset[Key]

    @classmethod
    def of(cls, repo: Repo) -> Absence:
        """Look at a repository and its store."""
        entries = [entry for entry in repo.placed.values() if entry.kind != "tree"]
        here = frozenset(Key("blob", entry.oid) for entry in entries)
        return cls(is_partial(repo.store.root), here)

    def lost(self, faults: Iterable[Fault], losses: Losses) -> Losses:
        """Return losses without what was never fetched, or was dropped.

        A pack whose table is damaged may have held any small object.
        """
        if not self.is_partial:
            return losses
        damaged = {fault.key for fault in faults}
        return {
            key: loss
            for key, loss in losses.items()
            if key in damaged
            or key in self.placed
            or (None in damaged and loss.size < SMALL)
            or any(need.where.startswith("placed") for need in loss.needs)
        }


class Repair:
    """One repair: `losses` and `faults` are all that was ever found, `left` what stays lost.

    `afar` is asked for what nothing here has, but not for what never was here.
    """

    def __init__(
        self,
        repo: Repo,
        needed: list[Root],
        faults: list[Fault],
        losses: Losses,
        afar: Afar,
        absence: Absence,
    ):
        self.faults = list(faults)
        self.losses = dict(losses)
        self.left: Losses = {}
        self.sources: Sources = {}
        self.moved: list[str] = []
        self.folder = new_folder()
        self.inventory: Inventory
        self._repo = repo
        self._needed = needed
        self._afar = afar
        self._absence = absence

    def run(self) -> None:
        """Mend what can be mended; what lies below a mended folder is looked at in its turn."""
        bad = self.faults
        while True:
            self.moved += move_away(self._repo.store.root, bad, self.folder)
            self._repo.store.refresh()
            self.inventory = Inventory(self._repo.store.root)
            seen = look(self._needed, self.inventory)
            self.left, self.losses = seen.losses, {**seen.losses, **self.losses}
            bad = [fault for fault in seen.faults if fault not in self.faults]
            self.faults += bad
            found = self._restore(seen.losses)
            if not found and not bad:
                return

    def _restore(self, losses: Losses) -> Sources:
        """Put back what can be found of what is lost, and was not put back before."""
        lost = self._absence.lost(self.faults, losses)
        wanted = {key: loss for key, loss in lost.items() if key not in self.sources}
        found: Sources = {}
        if wanted:
            with self._repo.store.batch() as batch:
                _search(self._repo, wanted, lambda item: _take(batch, item, found))
            self._repo.store.refresh()
            found |= self._afar.get({key: wanted[key] for key in wanted.keys() - found.keys()})
        self.sources.update(found)
        return found


def foresee(repo: Repo, faults: list[Fault], losses: Losses, afar: Afar) -> Sources:
    """Return where a repair would find good copies; nothing is changed.

    What lies below a folder that is lost itself is not known yet.
    """
    found: Sources = {}
    in_packs = [fault.file for fault in faults if fault.file and loose_key(fault.file) is None]
    for file in in_packs:
        path = os.path.join(repo.store.root, file)
        found.update((key, path) for key, _ in salvage(path) if key in losses)
    rest = {key: loss for key, loss in losses.items() if key not in found}
    if rest:
        _search(repo, rest, lambda item: found.__setitem__(item.key, item.path))
        found |= afar.has({key: rest[key] for key in rest.keys() - found.keys()})
    return found


def _search(repo: Repo, losses: dict[Key, Loss], take: Take) -> None:
    search = Search({key: loss.size for key, loss in losses.items()}, take)
    named = {need.path for loss in losses.values() for need in loss.needs}
    look_everywhere(repo, search, named)


def _take(batch: Batch, item: Found, found: Sources) -> None:
    """Store what was found, if it is still what it was."""
    if item.data is not None:
        batch.put(item.key.kind, item.data, item.key.oid)
    elif batch.put_file(item.path).oid != item.key.oid:
        return
    found[item.key] = item.path
