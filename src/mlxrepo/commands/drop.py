"""mlx drop: free local copies of what is proven to be on a remote."""

from __future__ import annotations

import shutil
import time
from collections.abc import Collection, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field

from mlxrepo import files
from mlxrepo.errors import InputError, ObjectMissing
from mlxrepo.paths import RepoPath
from mlxrepo.progress import SILENT, Progress
from mlxrepo.repo.dropped import FILE, note_dropped
from mlxrepo.repo.dropping import Staying, Versions, narrowed
from mlxrepo.repo.leaving import Leaving, leavings, note_left
from mlxrepo.repo.remotes import chosen, opened
from mlxrepo.repo.repo import Repo
from mlxrepo.repo.wanted import Scope, Wanted, by_remote, meant_remotes, recorded
from mlxrepo.store import drop as store_drop
from mlxrepo.store.gc import Amount
from mlxrepo.store.marker import away, mark_partial
from mlxrepo.store.pack import TARGET_SIZE
from mlxrepo.store.proof import bad_copies, bad_here
from mlxrepo.store.reach import key_of
from mlxrepo.store.survey import oid_in

NOT_THERE = "it is not there"
OTHER_BYTES = "its copy there is not what its name says"


@dataclass(frozen=True, slots=True)
class Unproven:
    """A file that stays because its remote does not have it, and why.

    `is_rotten` when the store has it, and no copy there is right.
    """

    path: str
    oid: str
    remote: str
    why: str
    is_rotten: bool

    @property
    def ways(self) -> tuple[str, ...]:
        """The commands that help."""
        fsck = f"mlx remote fsck {self.remote} --data --repair"
        afar = "mlx push" if self.why == NOT_THERE else fsck
        return ("mlx fsck --data --repair", afar) if self.is_rotten else (afar,)


@dataclass(frozen=True, slots=True)
class Dropped:
    """What a drop freed, or (not `applied`) would free once the remote's copies are read.

    `files` left the workspace. `shared` stay in the store because other versions, paths, worktrees
    or repositories need them, `busy` because a running process may, `wedged` in packs that are
    mostly needed. `local` are paths that no remote gets.
    """

    paths: tuple[RepoPath, ...]
    versions: int
    files: int
    freed: Amount
    shared: Amount
    busy: Amount
    wedged: Amount
    unproven: tuple[Unproven, ...]
    local: tuple[RepoPath, ...]
    remotes: tuple[str, ...]
    applied: bool


def drop(
    repo: Repo,
    targets: Sequence[str] = (),
    *,
    older_than: float | None = None,
    keep_last: int | None = None,
    remote: str | None = None,
    jobs: int | None = None,
    dry_run: bool = False,
    progress: Progress = SILENT,
) -> Dropped:
    """Free what the workspace records for `targets` (default: everything), store and files.

    With `older_than` (seconds) it is what only older commits name, with `keep_last` all but that
    many versions of each path in HEAD's history. Listings of folders stay.

    Everything that goes was read back from the remote and hashed before; what was not right there
    stays.

    Raises:
        InputError: when a target means nothing that is recorded, or there is no such remote.
        Refused: when workspace files differ from what is recorded; nothing has been done then.
        CannotDecide: when there is no remote, or it is not known what else needs the store.
        EnvironmentFailed: when the remote cannot be asked; nothing has been done then.
    """
    if repo.store.is_away:
        raise away(repo.store.root)
    if older_than is not None and keep_last is not None:
        raise InputError("--older-than and --keep-last are two ways to choose: take one")
    meant_remotes(repo, remote)  # there has to be one
    parts = _parts(repo, targets, older_than, keep_last)
    shares = by_remote(repo, parts, remote)
    tops = {item.path for items in shares.values() for item in items}
    is_about_here = older_than is None and not keep_last and not dry_run
    claim = repo.claims("mlx drop").wait(tops, progress.note) if tops and is_about_here else None
    with claim or nullcontext():
        return _Drop(repo, parts, shares, jobs, progress).run(dry_run=dry_run)


def _parts(
    repo: Repo, targets: Sequence[str], older_than: float | None, keep_last: int | None
) -> list[Wanted]:
    """Return what is meant: the present version, or old ones."""
    if older_than is not None:
        return narrowed(repo, targets, Versions(repo).older(time.time() - older_than))
    if keep_last is not None:
        return narrowed(repo, targets, Versions(repo).beyond(keep_last))
    return recorded(repo, targets, Scope())


@dataclass
class _Found:
    """The files of what is dropped: `sizes` and `paths` by key, and which remote has to have each.

    `doomed` are those that the store can do without, `shared` the others that it has.
    """

    sizes: dict[bytes, int] = field(default_factory=dict)
    paths: dict[bytes, str] = field(default_factory=dict)
    remotes: dict[bytes, str] = field(default_factory=dict)
    doomed: set[bytes] = field(default_factory=set)
    shared: set[bytes] = field(default_factory=set)

    def amount(self, keys: set[bytes]) -> Amount:
        return Amount(len(keys), sum(self.sizes[key] for key in keys))


class _Drop:
    """One drop; `by_remote` says what of `parts` belongs where."""

    def __init__(
        self,
        repo: Repo,
        parts: list[Wanted],
        by_remote: dict[str, list[Wanted]],
        jobs: int | None,
        progress: Progress,
    ):
        self._repo = repo
        self._by_remote = by_remote
        self._parts = list(dict.fromkeys(item for items in by_remote.values() for item in items))
        self._local = sorted({item.path for item in parts} - {p.path for p in self._parts})
        self._jobs = jobs
        self._progress = progress

    def run(self, *, dry_run: bool) -> Dropped:
        """Look, prove, note, remove: in this order, so that a kill leaves nothing half done."""
        repo, root = self._repo, self._repo.store.root
        leaving = leavings(repo, self._parts)  # refuses before anything is read from afar
        found = self._find(leaving)
        staying = Staying(repo, self._parts, leaving)
        live: set[bytes] = set()
        staying.mark(live)
        here = {key for key in found.sizes if repo.store.has("blob", oid_in(key))}
        found.doomed, found.shared = here - live, here & live
        # Of what the store keeps or never had, the file in the workspace may be the only good copy.
        seen = _keys(leaving)
        others = seen - found.doomed
        rotten = set() if dry_run else self._rotten(found, others & here)
        keys = found.doomed | (others - here) | rotten
        unproven = self._prove(found, keys, rotten, dry_run=dry_run)
        kept = set(unproven)
        found.doomed -= unproven.keys()
        # A lease of our own would keep what was looked at.
        repo.store.close()
        steps = store_drop.plan(root, found.doomed, repack=_has_room(root))
        freed = steps.garbage
        if not dry_run:
            leaving = leavings(repo, self._parts)  # proving took its time
            kept |= _keys(leaving) - seen
            self._leave(leaving, kept)
            repo.store.close()
            freed = store_drop.remove(root, steps, found.doomed, lambda: staying.mark(live))
            repo.store.refresh()
        return Dropped(
            paths=tuple(dict.fromkeys(item.full for item in self._parts)),
            versions=len({(item.path, item.entry.oid) for item in self._parts}),
            files=sum(key_of(e) not in kept for item in leaving for e in item.files.values()),
            freed=freed,
            shared=found.amount(found.shared),
            busy=steps.young,
            wedged=steps.wedged,
            unproven=tuple(unproven.values()),
            local=tuple(self._local),
            remotes=tuple(self._by_remote),
            applied=not dry_run,
        )

    def _find(self, leaving: list[Leaving]) -> _Found:
        """Collect the files of all parts, each with the remote that has to have it."""
        found = _Found()
        here = {item.part: item.files for item in leaving}
        for name, items in self._by_remote.items():
            for item in items:
                below: dict[bytes, tuple[int, str]] = {}
                with suppress(ObjectMissing):  # its listing was never fetched: it is not here
                    if part := item.part(self._repo.store.tree):
                        store_drop.files_below(self._repo.store, part, item.full, below)
                for name_here, entry in here.get(item, {}).items():  # its listing may not be stored
                    below.setdefault(key_of(entry), (entry.size, name_here))
                for key, (size, path) in below.items():
                    if key not in found.sizes:
                        found.sizes[key], found.paths[key] = size, path
                        found.remotes[key] = name
        return found

    def _rotten(self, found: _Found, keys: set[bytes]) -> set[bytes]:
        """Return those that the store has, and no copy of them is right."""
        return bad_here(self._repo.store, {key: found.sizes[key] for key in keys}, self._progress)

    def _prove(
        self, found: _Found, keys: set[bytes], rotten: set[bytes], *, dry_run: bool
    ) -> dict[bytes, Unproven]:
        """Return what its remote does not have; a dry run believes the indexes."""
        wrong: dict[bytes, Unproven] = {}
        for name in self._by_remote:
            mine = [key for key in keys if found.remotes.get(key) == name]
            if not mine:
                continue
            remote = opened(self._repo, chosen(self._repo, name))
            known = remote.known()
            there = [
                key for key in mine if (spot := known.find(key)) and spot.size == found.sizes[key]
            ]
            bad = dict.fromkeys(set(mine).difference(there), NOT_THERE)
            if not dry_run:
                jobs = self._jobs or remote.door.jobs
                read = bad_copies(remote, known, there, jobs=jobs, progress=self._progress)
                bad |= dict.fromkeys(read, OTHER_BYTES)
            for key in sorted(bad, key=lambda key: found.paths[key]):
                wrong[key] = Unproven(found.paths[key], oid_in(key), name, bad[key], key in rotten)
        return wrong

    def _leave(self, leaving: list[Leaving], kept: Collection[bytes]) -> None:
        """Empty the workspace: what is noted as absent first is never taken for deleted."""
        repo = self._repo
        mark_partial(repo.store.root)
        note_left(repo, leaving, kept)
        note_dropped(repo.worktree_file(FILE), {item.full: item.entry.oid for item in leaving})
        files.failpoint("drop.noted")
        workspace = repo.workspace(self._progress)
        gone = [path for item in leaving for path, e in item.files.items() if key_of(e) not in kept]
        self._progress.start("removing from the workspace", len(gone))
        workspace.remove(gone)
        workspace.remove_folders([path for item in leaving for path in item.folders])
        self._progress.done()
        files.failpoint("drop.cleared")


def _keys(leaving: list[Leaving]) -> set[bytes]:
    return {key for item in leaving for key in item.keys}


def _has_room(root: str) -> bool:
    """Say whether there is room to write packs anew before the old ones go."""
    return shutil.disk_usage(root).free > 4 * TARGET_SIZE
