"""mlx checkout: make the workspace what the lockfile says, here or at a revision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mlxrepo.errors import Refused
from mlxrepo.paths import RepoPath, display, parent
from mlxrepo.progress import SILENT, Progress
from mlxrepo.repo import gitignore
from mlxrepo.repo.observed import Tracked
from mlxrepo.repo.placed import Placed
from mlxrepo.repo.repo import Repo
from mlxrepo.repo.targets import resolve_tracked
from mlxrepo.repo.trash import to_trash
from mlxrepo.store.compare import same
from mlxrepo.store.materialize import Plan, Side, clean_temporaries, plan
from mlxrepo.store.snapshot import Scan
from mlxrepo.store.subtree import find, replace
from mlxrepo.store.tree import Entry


@dataclass(frozen=True, slots=True)
class CheckedOut:
    """What a checkout did.

    `written` and `removed` are paths (a folder that was not here counts once), `kept` the user's
    own files that were left where they are, `missing` tracked paths whose bytes are not in the
    store, with how many objects, and `trash` where forced-away files are.
    """

    written: tuple[RepoPath, ...]
    removed: tuple[RepoPath, ...]
    kept: tuple[RepoPath, ...]
    missing: tuple[tuple[RepoPath, int], ...]
    files: int
    trash: str | None


@dataclass(frozen=True, slots=True)
class _Item:
    """One tracked path (`top`) with the part of it that is checked out and what belongs there."""

    top: RepoPath
    path: RepoPath
    wanted: Entry | None
    here: Entry | None


def checkout(
    repo: Repo,
    targets: Sequence[str] = (),
    *,
    rev: str | None = None,
    force: bool = False,
    progress: Progress = SILENT,
) -> CheckedOut:
    """Materialize what is recorded for `targets` (default: everything).

    Bytes that the store does not have are never replaced, unless forced: then they go to the
    trash. The lockfile is not changed, also with `rev`.

    Raises:
        Refused: when unsaved files are in the way; nothing has been touched then.
        CannotDecide: when there is no such revision.
    """
    observed = repo.observed_at(repo.git.commit(rev)) if rev else repo.observed
    declared = repo.declared
    chosen = resolve_tracked(targets, repo.place, declared, observed)
    chosen = [(item, path) for item, path in chosen if item.cache]
    scan = repo.scan(progress=progress)
    items = [_item(scan, item, path) for item, path in chosen]
    if not targets and not rev:
        items += _left_behind(scan, repo.placed, list(observed.tracked()))
    items, missing = _available(repo, [i for i in items if not same(i.here, i.wanted)])
    plans = [_plan(repo, scan, item) for item in items]
    trash = _make_room(repo, plans, force=force)
    _hide(repo, items)
    _apply(repo, plans, progress)
    _note(repo, [_item(scan, item, path) for item, path in chosen], items, missing)
    return CheckedOut(
        written=tuple(write.path for steps in plans for write in steps.write),
        removed=tuple(path for steps in plans for path in steps.remove),
        kept=tuple(path for steps in plans for path in steps.kept),
        missing=tuple(missing),
        files=sum(write.entry.files for steps in plans for write in steps.write),
        trash=trash,
    )


def _item(scan: Scan, tracked: Tracked, path: RepoPath) -> _Item:
    wanted = find(scan.tree, tracked.entry, path[len(tracked.path) + 1 :])
    return _Item(tracked.path, path, wanted, scan.entry(path))


def _left_behind(scan: Scan, placed: Placed, tracked: list[Tracked]) -> list[_Item]:
    """Return what another commit's lockfile put here and this one does not name."""
    named = {item.path for item in tracked}
    found = [path for path in placed if path not in named]
    return [_Item(path, path, None, scan.entry(path)) for path in found]


def _available(repo: Repo, items: list[_Item]) -> tuple[list[_Item], list[tuple[RepoPath, int]]]:
    """Split off what the store has not got all bytes of."""
    here: list[_Item] = []
    missing: list[tuple[RepoPath, int]] = []
    for item in items:
        lost = repo.store.missing(item.wanted) if item.wanted else []
        if lost:
            missing.append((item.path, len(lost)))
        else:
            here.append(item)
    return here, missing


def _plan(repo: Repo, scan: Scan, item: _Item) -> Plan:
    below = item.path[len(item.top) + 1 :]
    placed = find(scan.tree, repo.placed.get(item.top), below)
    side = Side(item.here, placed, item.wanted)
    return plan(item.path, side, scan.tree, repo.store.has_entry, top=item.top)


def _make_room(repo: Repo, plans: list[Plan], *, force: bool) -> str | None:
    unsaved = [path for steps in plans for path in steps.unsaved]
    if not unsaved:
        return None
    if not force:
        more = f" and {len(unsaved) - 1} more files" if len(unsaved) > 1 else ""
        raise Refused(
            f"{display(unsaved[0])}{more} would be replaced, and nothing else has these bytes",
            hint="mlx add records them; --force replaces them and keeps a copy in the trash",
        )
    return to_trash(repo, unsaved)


def _hide(repo: Repo, items: list[_Item]) -> None:
    """Let git ignore what is about to appear: its .gitignore may be of another commit."""
    tops = sorted({item.top for item in items if item.wanted})
    ignored = repo.git.ignored(tops) if tops else set()
    gitignore.add_lines(repo.root, [top for top in tops if top not in ignored])


def _apply(repo: Repo, plans: list[Plan], progress: Progress) -> None:
    total = sum(write.entry.files for steps in plans for write in steps.write)
    progress.start("checkout", total)
    workspace = repo.workspace(progress)
    for steps in plans:
        for folder in {parent(write.path) for write in steps.write}:
            clean_temporaries(repo.full(folder))
        workspace.apply(steps)
    progress.done()


def _note(
    repo: Repo, chosen: list[_Item], applied: list[_Item], missing: list[tuple[RepoPath, int]]
) -> None:
    """Note what is placed now: what was asked for and could be had."""
    lost = {path for path, _ in missing}
    gone = [item.top for item in applied if item.wanted is None]
    with repo.store.batch() as batch:
        placed = repo.placed
        for item in chosen:
            if item.path in lost:
                continue
            below = item.path[len(item.top) + 1 :]
            if below and item.wanted is None and item.top not in placed:
                continue
            entry = replace(
                repo.store.tree, batch.put_tree, placed.get(item.top), below, item.wanted
            )
            if entry is not None:
                placed[item.top] = entry
    new = {path: entry for path, entry in placed.items() if path not in gone}

    def change(noted: Placed) -> None:
        noted.clear()
        noted.update(new)

    repo.update_placed(change)
