"""mlx fsck: find what is damaged or missing in the store, say who needs it, and mend it."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from mlxrepo.errors import CannotDecide, MlxError
from mlxrepo.hashing import Oid
from mlxrepo.paths import display
from mlxrepo.progress import SILENT, Progress
from mlxrepo.repo.afar import Afar
from mlxrepo.repo.losses import Losses, Need, look, narrowed, needed_roots
from mlxrepo.repo.registered import registered
from mlxrepo.repo.repair import Absence, Repair, Sources, foresee
from mlxrepo.repo.repo import Repo
from mlxrepo.repo.roots import Root, asked
from mlxrepo.repo.targets import resolve_tracked
from mlxrepo.store.check import Notes, Pick, Tally, check
from mlxrepo.store.inventory import Fault, Inventory, Key
from mlxrepo.store.marker import away
from mlxrepo.store.quarantine import finish

DAMAGED = "damaged"
MISSING = "missing"

REPAIRED = "repaired"
REMOVED = "removed"
LOST = "lost"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something damaged or missing: an object, or a whole pack (kind pack, no oid).

    `file` is where it lies below the store, "" when nowhere. `outcome` is "" when no repair was
    asked for, "repaired" (`source` is the file with the good bytes, where it was one), "removed"
    (moved to the quarantine: nothing here needs it) or "lost" (no good copy is at hand).
    """

    state: str
    kind: str
    oid: str
    file: str
    why: str
    needs: tuple[Need, ...] = ()
    outcome: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check found; after a dry run outcomes are those that a repair would have.

    `objects` and `bytes` were read; `noted` parts of the store had been found good by an earlier
    check that was stopped. `unknown` says why it is not known what all is needed ("": it is).
    `quarantine` is where damaged files are now. `absent` objects are needed and not here because
    they were never fetched, or dropped; `unreached` says of remotes why they could not be asked.
    """

    findings: tuple[Finding, ...]
    objects: int
    bytes: int
    noted: int
    unknown: str = ""
    quarantine: str | None = None
    mended: bool = False
    absent: int = 0
    unreached: tuple[str, ...] = ()

    @property
    def sound(self) -> bool:
        """Say whether nothing is damaged or missing (any more)."""
        return not self.findings or (
            self.mended and all(found.outcome != LOST for found in self.findings)
        )


def fsck(
    repo: Repo,
    targets: Sequence[str] = (),
    *,
    data: bool = False,
    sample: int | None = None,
    repair: bool = False,
    dry_run: bool = False,
    progress: Progress = SILENT,
) -> Checked:
    """Check the store, or what `targets` need of it, in all of the history that git still has.

    Without targets it is asked for what every repository needs that uses the store.

    Structure is always checked: tables of packs, trees, and that everything needed is there with
    its size. With `data` every object is read, with `sample` that many per cent of them. With
    `repair` damaged files go to the quarantine and good copies are put in their place, from all
    remotes in turn where nothing here has one.

    Raises:
        InputError: when a target means nothing that is recorded, or a newer mlx wrote the store.
        EnvironmentFailed: when the store cannot be read, or its disk is not there.
    """
    if repo.store.is_away:
        raise away(repo.store.root)
    repo.store.refresh()  # refuses a store of a newer format
    if repair and not dry_run:
        finish(repo.store.root)
    needed, unknown = needed_roots(repo)
    if not targets:
        others, why = _needed_elsewhere(repo)
        needed, unknown = needed + others, unknown or why
    state = _look(repo, needed, targets, data=data, sample=sample, progress=progress)
    afar = Afar(repo, progress)
    findings, folder = _findings(state.faults, state.lost), None
    if repair:
        findings, folder = (_foreseen if dry_run else _mended)(repo, state, afar)
    return Checked(
        findings,
        state.tally.objects,
        state.tally.bytes,
        state.tally.noted,
        unknown,
        folder,
        mended=repair and not dry_run,
        absent=len(state.losses) - len(state.lost),
        unreached=tuple(f"{name}: {why}".lstrip(": ") for name, why in afar.unreached.items()),
    )


def _needed_elsewhere(repo: Repo) -> tuple[list[Root], str]:
    """Return what other repositories need of the store, and why that may not be all ("": it is)."""
    found: list[Root] = []
    unknown = ""
    try:
        others = [user for user in registered(repo.store.root) if user.path != repo.common_dir]
    except MlxError as error:
        return found, str(error)
    for other in others:
        name = display(other.root or other.path)
        try:
            roots = [root for root in asked(other) if _is_read(root)]
        except CannotDecide as error:  # such as those of a user who lets nobody in
            unknown = unknown or str(error)
            continue
        except MlxError as error:
            unknown = unknown or f"{name}: {error}"
            continue
        found += [root._replace(where=f"{root.where} of {name}") for root in roots]
    return found, unknown


def _is_read(root: Root) -> bool:
    """Leave out what was only placed and is never read from the store: single files."""
    return root.where != "placed" or root.entry.kind == "tree"


class _State(NamedTuple):
    """What a look at the store came to."""

    needed: list[Root]
    inventory: Inventory
    tally: Tally
    faults: list[Fault]
    losses: Losses
    absence: Absence

    @property
    def lost(self) -> Losses:
        """Losses without what is only not here."""
        return self.absence.lost(self.faults, self.losses)


def _look(
    repo: Repo,
    needed: list[Root],
    targets: Sequence[str],
    *,
    data: bool,
    sample: int | None,
    progress: Progress,
) -> _State:
    root = repo.store.root
    inventory = Inventory(root)
    pick = _pick(data, sample)
    if targets:
        matches = resolve_tracked(targets, repo.place, lambda: repo.declared, repo.observed)
        needed = narrowed(needed, [path for _, path in matches], inventory)
        pick = _only(look(needed, inventory).needed, pick)
    notes = Notes(root) if data and sample is None and not targets else None
    tally = check(root, pick, notes=notes, progress=progress)
    inventory.note(tally.faults)
    seen = look(needed, inventory)
    faults = dict.fromkeys([*tally.faults, *inventory.damaged, *seen.faults])
    return _State(needed, inventory, tally, list(faults), seen.losses, Absence.of(repo))


# what is read


def _pick(data: bool, sample: int | None) -> Pick:
    """Return which objects are read: trees always, for they say what else there has to be."""
    if sample is not None:
        chance = random.SystemRandom()
        share = sample / 100
        return lambda key: key.kind == "tree" or chance.random() < share
    if data:
        return lambda key: True
    return lambda key: key.kind == "tree"


def _only(needed: set[Key], pick: Pick) -> Pick:
    return lambda key: key in needed and pick(key)


# what is told


def _findings(faults: Iterable[Fault], losses: Losses) -> tuple[Finding, ...]:
    found = []
    for fault in faults:
        kind, oid = fault.key or ("pack", "")
        needs = losses[fault.key].needs if fault.key in losses else ()
        found.append(Finding(DAMAGED, kind, oid, fault.file, fault.why, needs))
    damaged = {fault.key for fault in faults}
    for key, loss in losses.items():
        if key not in damaged:
            found.append(Finding(MISSING, *key, "", "it is not in the store", loss.needs))
    return tuple(found)


def _foreseen(repo: Repo, state: _State, afar: Afar) -> tuple[tuple[Finding, ...], str | None]:
    lost = state.lost
    sources = foresee(repo, state.faults, lost, afar)
    end = _End(repo.root, lost.keys() - sources.keys(), sources, state.inventory)
    return tuple(end.of(item) for item in _findings(state.faults, lost)), None


def _mended(repo: Repo, state: _State, afar: Afar) -> tuple[tuple[Finding, ...], str | None]:
    """Repair; return the findings, also those that showed up on the way, and the quarantine."""
    if not state.faults and not state.lost:
        return (), None
    mend = Repair(repo, state.needed, state.faults, state.losses, afar, state.absence)
    mend.run()
    end = _End(repo.root, mend.left.keys(), mend.sources, mend.inventory)
    lost = state.absence.lost(mend.faults, mend.losses)
    findings = tuple(end.of(item) for item in _findings(mend.faults, lost))
    return findings, mend.folder if mend.moved else None


class _End(NamedTuple):
    """How a repair ends: what stays lost, and where the rest is from."""

    root: str
    left: Collection[Key]
    sources: Sources
    inventory: Inventory

    def of(self, item: Finding) -> Finding:
        """Return a finding with its outcome."""
        key = Key(item.kind, Oid(item.oid))
        if key in self.left:
            return replace(item, outcome=LOST)
        if key in self.sources:
            source = self.sources[key].removeprefix(f"{self.root}/")
            return replace(item, outcome=REPAIRED, source=source)
        # A pack leaves what is good of it in the store; what is not is a finding of its own.
        if item.needs or item.kind == "pack" or self.inventory.has(key):
            return replace(item, outcome=REPAIRED)
        return replace(item, outcome=REMOVED)
