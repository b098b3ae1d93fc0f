"""Mend a store: what is damaged goes to the quarantine, good copies are put in its place."""

from __future__ import annotations

import os

from mlxrepo.repo.losses import Loss, Losses, look
from mlxrepo.repo.repo import Repo
from mlxrepo.repo.roots import Root
from mlxrepo.repo.sources import look_everywhere
from mlxrepo.store.inventory import Fault, Inventory, Key, loose_key
from mlxrepo.store.objects import Batch
from mlxrepo.store.quarantine import move_away, new_folder, salvage
from mlxrepo.store.search import Found, Search, Take

Sources = dict[Key, str]  # an object, and the file with its good bytes


class Repair:
    """One repair: `losses` and `faults` are all that was ever found, `left` what stays lost."""

    def __init__(self, repo: Repo, needed: list[Root], faults: list[Fault], losses: Losses):
        self.faults = list(faults)
        self.losses = dict(losses)
        self.left: Losses = {}
        self.sources: Sources = {}
        self.moved: list[str] = []
        self.folder = new_folder()
        self.inventory: Inventory
        self._repo = repo
        self._needed = needed

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
        wanted = {key: loss for key, loss in losses.items() if key not in self.sources}
        found: Sources = {}
        if wanted:
            with self._repo.store.batch() as batch:
                _search(self._repo, wanted, lambda item: _take(batch, item, found))
            self._repo.store.refresh()
        self.sources.update(found)
        return found


def foresee(repo: Repo, faults: list[Fault], losses: Losses) -> Sources:
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
