"""mlx rm: forget tracked paths, as git rm does; never the only copy of anything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from typing import NamedTuple

from mlxrepo.errors import InputError, Refused
from mlxrepo.paths import RepoPath, ancestors, display, from_user, join, parent
from mlxrepo.progress import SILENT, Progress
from mlxrepo.repo import gitignore
from mlxrepo.repo.declared import SECTIONS
from mlxrepo.repo.lockfile import DataRecord, Records
from mlxrepo.repo.observed import Tracked
from mlxrepo.repo.placed import Placed
from mlxrepo.repo.repo import Repo
from mlxrepo.repo.stage import Artifact
from mlxrepo.repo.targets import parse_target
from mlxrepo.repo.trash import to_trash
from mlxrepo.repo.update import recorded_entry
from mlxrepo.store.compare import presence
from mlxrepo.store.materialize import Plan, Side, plan
from mlxrepo.store.objects import Batch
from mlxrepo.store.snapshot import Scan
from mlxrepo.store.subtree import find, replace
from mlxrepo.store.tree import Entry


@dataclass(frozen=True, slots=True)
class Removed:
    """What is forgotten, or (not `applied`) would be.

    `kept` are files that stay because mlx never had them.
    """

    paths: tuple[RepoPath, ...]
    kept: tuple[RepoPath, ...]
    trash: str | None
    to_commit: tuple[RepoPath, ...]
    applied: bool = True


class _Chosen(NamedTuple):
    """A tracked path and what of it is to go: all of it, or `path` inside it."""

    tracked: Tracked
    path: RepoPath

    @property
    def below(self) -> str:
        return self.path[len(self.tracked.path) + 1 :]


def rm(
    repo: Repo,
    targets: Sequence[str],
    *,
    cached: bool = False,
    force: bool = False,
    dry_run: bool = False,
    progress: Progress = SILENT,
) -> Removed:
    """Forget artifacts, or paths inside tracked folders, and remove their files unless `cached`.

    Killed at any point it is finished by the same command; git ignores the files to the end. With
    `dry_run` everything is checked and nothing is done. A stage that reads it is waited for.

    Raises:
        InputError: when a target is not tracked data.
        Refused: when the workspace has bytes that the store lacks (unless forced or cached).
    """
    chosen = _choose_all(repo, targets)
    tops = {item.tracked.path for item in chosen}
    with nullcontext() if dry_run else repo.claims("mlx rm").wait(tops, progress.note):
        return _rm(repo, chosen, cached=cached, force=force, dry_run=dry_run)


def _rm(repo: Repo, chosen: list[_Chosen], *, cached: bool, force: bool, dry_run: bool) -> Removed:
    plans = [] if cached else _plans(repo, chosen)
    kept = tuple(path for steps in plans for path in steps.kept)
    unsaved = [path for steps in plans for path in steps.unsaved]
    if unsaved and not force:
        raise Refused(
            f"{display(unsaved[0])} has changes that only the workspace has"
            + (f", and so have {len(unsaved) - 1} more files" if len(unsaved) > 1 else ""),
            hint="mlx add records them first; --force removes all and keeps a copy in the trash",
        )
    if dry_run:
        return Removed(tuple(item.path for item in chosen), kept, None, (), False)
    touched = _undeclare(repo, chosen)
    trash = to_trash(repo, unsaved)
    for steps in plans:
        left = tuple(path for path in steps.remove if path not in set(unsaved))
        repo.workspace().apply(steps._replace(remove=left))
    whole = [item.path for item in chosen if not item.below]
    repo.reveal(whole)
    # Last: while it is recorded, the same command finds what is left to do.
    _forget(repo, chosen)
    touched.update(item.tracked.lock for item in chosen)
    touched.update(join(parent(path), gitignore.NAME) for path in whole)
    return Removed(
        tuple(item.path for item in chosen), kept, trash, tuple(repo.git.uncommitted(touched))
    )


def _choose_all(repo: Repo, targets: Sequence[str]) -> list[_Chosen]:
    """Return what the targets mean, each once; a path inside another chosen one goes with it."""
    chosen = list(dict.fromkeys(_choose(repo, text) for text in targets))
    paths = {item.path for item in chosen}
    return [item for item in chosen if paths.isdisjoint(ancestors(item.path))]


def _choose(repo: Repo, text: str) -> _Chosen:
    target = parse_target(text, repo.place, ())
    if target.kind == "path":
        path = from_user(text, repo.root, repo.cwd)
        tracked = repo.observed.at(path)
    else:
        address = f"{target.kind}:{target.name}"
        tracked = next((t for t in repo.observed.tracked() if t.address == address), None)
        path = tracked.path if tracked else RepoPath("")
    if tracked is None or target.version:
        raise InputError(f'"{display(text)}" is not tracked', hint="mlx ls lists what is")
    if tracked.role not in SECTIONS:
        raise InputError(
            f"{display(path)} is made by stage {tracked.address}",
            hint="take the out, or the stage, out of mlx.yaml",
        )
    chosen = _Chosen(tracked, path)
    if find(repo.store.tree, tracked.entry, chosen.below) is None:
        raise InputError(f"{display(path)} is not recorded in {display(tracked.path)}")
    return chosen


def _plans(repo: Repo, chosen: list[_Chosen]) -> list[Plan]:
    """Plan the removal; what goes because the store has it is kept from gc meanwhile."""
    scan = repo.scan()
    with repo.store.batch() as batch:
        return [_plan(repo, item, scan, batch.has_entry) for item in chosen]


def _plan(repo: Repo, item: _Chosen, scan: Scan, is_stored: Callable[[Entry], bool]) -> Plan:
    recorded = find(scan.tree, item.tracked.entry, item.below)
    placed = find(scan.tree, repo.placed.get(item.tracked.path), item.below)
    # What is recorded is mlx's to remove, also where it was not mlx that put it here.
    ours = presence(scan.tree, scan.put_tree, placed, None, recorded).entry
    side = Side(scan.entry(item.path, top=item.tracked.path), ours, None)
    return plan(item.path, side, scan.tree, is_stored, top=item.tracked.path)


def _forget(repo: Repo, chosen: list[_Chosen]) -> None:
    """Take paths out of their lockfile and of what is placed: all of a lockfile at once."""
    for lock in dict.fromkeys(item.tracked.lock for item in chosen):
        mine = [item for item in chosen if item.tracked.lock == lock]
        with ExitStack() as stack:
            parts = any(item.below for item in mine)
            batch = stack.enter_context(repo.store.batch()) if parts else None
            records, placed = stack.enter_context(repo.recording(lock, forgetting=True))
            for item in mine:
                if batch is not None and item.below:
                    _forget_part(repo, item, batch, records, placed)
                else:
                    records.pop(item.tracked.address, None)
                    placed.pop(item.tracked.path, None)


def _forget_part(repo: Repo, item: _Chosen, batch: Batch, records: Records, placed: Placed) -> None:
    tracked, read = item.tracked, repo.store.tree
    old = recorded_entry(records, tracked)
    entry = replace(read, batch.put_tree, old, item.below, None)
    noted = placed.get(tracked.path)
    if find(read, noted, item.below):
        noted = replace(read, batch.put_tree, noted, item.below, None)
    assert entry is not None  # only a part was taken out of the tree
    records[tracked.address] = DataRecord(tracked.path, entry)
    if noted is not None:
        placed[tracked.path] = noted
    batch.publish()  # the next part of the same tree reads what was just written


def _undeclare(repo: Repo, chosen: list[_Chosen]) -> set[RepoPath]:
    """Take whole artifacts out of mlx.yaml; return the files that changed."""
    touched: set[RepoPath] = set()
    for item in chosen:
        artifact = repo.declared.artifacts.get(item.tracked.address)
        if artifact is not None and not item.below:
            file = RepoPath(artifact.where.file)
            repo.update_project(file, lambda text, of=artifact: _without(text, of))  # type: ignore[misc]
            touched.add(file)
    return touched


def _without(text: str, artifact: Artifact) -> str:
    from mlxrepo.yamledit import remove_entry

    return remove_entry(text, SECTIONS[artifact.kind], artifact.name, artifact.where.file)
