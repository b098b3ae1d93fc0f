"""mlx checkout: make the workspace what the lockfile says, here or at a revision."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from mlxrepo.errors import InputError, ObjectMissing, Refused
from mlxrepo.paths import RepoPath, ancestors, display, is_inside, parent
from mlxrepo.progress import SILENT, Progress
from mlxrepo.repo.claims import Claims, Held
from mlxrepo.repo.declared import SECTIONS
from mlxrepo.repo.observed import Tracked
from mlxrepo.repo.owned import refuse_links
from mlxrepo.repo.placed import Placed
from mlxrepo.repo.repo import Repo
from mlxrepo.repo.targets import Place, resolve_tracked
from mlxrepo.repo.trash import to_trash
from mlxrepo.repo.wanted import makers
from mlxrepo.store.compare import same
from mlxrepo.store.materialize import Plan, Side, plan
from mlxrepo.store.objects import Batch, Store
from mlxrepo.store.snapshot import Scan
from mlxrepo.store.subtree import find, replace
from mlxrepo.store.tree import Entry, Tree, write_tree


@dataclass(frozen=True, slots=True)
class CheckedOut:
    """What a checkout did.

    `written` and `removed` are paths (a folder that was not here counts once), `kept` the user's
    own files that were left where they are, `missing` recorded paths whose bytes are not in the
    store, with how many files (`missing_size` bytes in all), and `trash` where forced-away files
    are. `in_the_way` are files with unsaved bytes, for which a tracked path was left as it is.
    `away` are missing as well, each with the stage that makes it: outs with `push: false`, which
    no remote has.
    """

    written: tuple[RepoPath, ...]
    removed: tuple[RepoPath, ...]
    kept: tuple[RepoPath, ...]
    missing: tuple[tuple[RepoPath, int], ...]
    files: int
    trash: str | None
    missing_size: int = 0
    in_the_way: tuple[RepoPath, ...] = ()
    away: tuple[tuple[RepoPath, str], ...] = ()


class _Item(NamedTuple):
    """One tracked path (`top`) with the part of it that is checked out and what belongs there.

    `lost` are paths below that cannot be had: what is here counts as what belongs there.
    """

    top: RepoPath
    path: RepoPath
    wanted: Entry | None
    here: Entry | None
    placed: Entry | None
    lost: tuple[tuple[str, Entry], ...] = ()

    @property
    def below(self) -> str:
        return self.path[len(self.top) + 1 :]


def checkout(
    repo: Repo,
    targets: Sequence[str] = (),
    *,
    rev: str | None = None,
    force: bool = False,
    gently: bool = False,
    progress: Progress = SILENT,
) -> CheckedOut:
    """Materialize what is recorded for `targets` (default: everything).

    Bytes that the store does not have are never replaced, unless forced: then they go to the
    trash. The lockfile is not changed, also with `rev`.

    A hook does it `gently`: only where something else is recorded than was placed here, around
    what is unsaved, and without waiting.

    Raises:
        InputError: when a target means nothing that is recorded.
        Refused: when unsaved files are in the way; nothing has been touched then. And gently, when
            somebody else works with these paths.
        CannotDecide: when there is no such revision.
    """
    claims = repo.claims("mlx checkout")
    _recover(repo, claims, progress)
    work = _look(repo, targets, rev, progress, gently=gently)
    while isinstance(claim := claims.take(work.tops), Held):
        if gently:
            raise Refused(str(claim), hint="mlx checkout, when that is done")
        claims.wait(work.tops, progress.note).release()
        repo.forget()  # the stage that was waited for has made and recorded something else
        work = _look(repo, targets, rev, progress)
    with claim:
        trash = _make_room(repo, work.plans, work.made, force=force)
        _hide(repo, [item for item in work.items if not _is_done(item)])
        _apply(repo, work.plans, work.looked_at, progress)
        _note(repo, work.items, work.forgotten)
    lost = _missing(work.items)
    away = makers(repo, (path for path, _ in lost)) if lost else {}
    return CheckedOut(
        written=tuple(write.path for steps in work.plans for write in steps.write),
        removed=tuple(path for steps in work.plans for path in steps.remove),
        kept=tuple(path for steps in work.plans for path in steps.kept),
        missing=tuple(row for row in lost if row[0] not in away),
        files=sum(write.entry.files for steps in work.plans for write in steps.write),
        trash=trash,
        missing_size=sum(entry.size for item in work.items for _, entry in item.lost),
        in_the_way=work.in_the_way,
        away=tuple(away.items()),
    )


def _recover(repo: Repo, claims: Claims, progress: Progress) -> None:
    """Put back what a run that was killed has aside: it is what belongs there."""
    if repo.has_manifests:
        from mlxrepo.pipeline.aside import recover

        recover(repo, claims, progress.note)


class _Work(NamedTuple):
    """What is to be done: `tops` are the tracked paths that change, `made` those that are outs.

    `forgotten` are placed and no longer recorded, `looked_at` the folders where what killed writers
    left is removed, `in_the_way` unsaved files for which something is left as it is.
    """

    items: list[_Item]
    forgotten: list[RepoPath]
    plans: list[Plan]
    tops: set[RepoPath]
    made: set[RepoPath]
    looked_at: set[RepoPath]
    in_the_way: tuple[RepoPath, ...] = ()


def _look(
    repo: Repo, targets: Sequence[str], rev: str | None, progress: Progress, *, gently: bool = False
) -> _Work:
    """Compare the workspace with what is recorded."""
    declared, observed = repo.views(rev)
    chosen = [
        (item, path)
        for item, path in resolve_tracked(targets, repo.place, declared, observed)
        if item.cache
    ]
    scan, placed = repo.scan(progress=progress), repo.placed
    if gently:
        chosen = [match for match in chosen if not same(placed.get(match[0].path), match[0].entry)]
    named = {item.path for item in observed.tracked()}
    forgotten = [] if targets or rev else [top for top in placed if top not in named]
    with repo.store.batch() as batch:  # what is asked for in it, gc leaves until all is done
        search = _Search(repo.store, batch, scan)
        items = [search.obtain(_item(repo.place, scan, placed, *match)) for match in chosen]
        batch.publish()
        behind = _left_behind(repo, scan, placed, forgotten, named)
        changed = [item for item in (*behind, *items) if not _is_done(item)]
        plans = [_plan(item, scan, batch.has_entry) for item in changed]
    made = {item.path for item, _ in chosen if item.role not in SECTIONS}
    looked_at = scan.unfinished.union(parent(item.path) for item in (*behind, *items))
    work = _Work(items, forgotten, plans, {item.top for item in changed}, made, looked_at)
    return _around_unsaved(work, changed) if gently else work


def _around_unsaved(work: _Work, changed: list[_Item]) -> _Work:
    """Leave out every tracked path in which unsaved files would be replaced."""
    left = {item.top for item, steps in zip(changed, work.plans, strict=True) if steps.unsaved}
    return work._replace(
        items=[item for item in work.items if item.top not in left],
        forgotten=[top for top in work.forgotten if top not in left],
        plans=[s for i, s in zip(changed, work.plans, strict=True) if i.top not in left],
        tops=work.tops - left,
        in_the_way=tuple(path for steps in work.plans for path in steps.unsaved),
    )


def _is_done(item: _Item) -> bool:
    return same(item.here, item.wanted)


def _missing(items: list[_Item]) -> list[tuple[RepoPath, int]]:
    return [
        (RepoPath(f"{item.path}/{below}" if below else item.path), entry.files)
        for item in items
        for below, entry in item.lost
    ]


# what belongs where


def _item(place: Place, scan: Scan, placed: Placed, tracked: Tracked, path: RepoPath) -> _Item:
    refuse_links(place.root, parent(path))
    below = path[len(tracked.path) + 1 :]
    wanted = find(scan.tree, tracked.entry, below)
    before = _placed_at(scan, placed, path)
    if wanted is None and before is None:
        raise InputError(
            f"{display(path)} is not recorded in {display(tracked.path)}",
            hint=f"mlx ls {place.word(tracked.path)}",
        )
    here = scan.entry(path, top=tracked.path)
    return _Item(tracked.path, path, wanted, here, before)


def _placed_at(scan: Scan, placed: Placed, path: RepoPath) -> Entry | None:
    """Return what mlx put at and below a path, whatever tracked path it was part of then."""
    entry: Entry | None = None
    for top in sorted(placed):
        if is_inside(path, top):
            entry = find(scan.tree, placed[top], path[len(top) + 1 :])
        elif is_inside(top, path):
            below = top[len(path) + 1 :]
            entry = replace(scan.tree, scan.put_tree, entry, below, placed[top])
    return entry


def _left_behind(
    repo: Repo, scan: Scan, placed: Placed, forgotten: list[RepoPath], named: set[RepoPath]
) -> list[_Item]:
    """Return what another commit's lockfile put here and this one does not name.

    What lies there and belongs to somebody else now, to git or to another tracked path, stays.
    """
    tops = [top for top in forgotten if named.isdisjoint(ancestors(top))]
    others = [*named, *repo.git.tracked(tops)]
    items = []
    for top in tops:
        here, wanted = scan.entry(top), None
        for path in (path for path in others if is_inside(path, top)):
            below = path[len(top) + 1 :]
            stays = find(scan.tree, here, below)
            if stays:
                wanted = replace(scan.tree, scan.put_tree, wanted, below, stays)
        items.append(_Item(top, top, wanted, here, placed[top]))
    return items


class _Search:
    """Looks through what is to be written for what the store has not got the bytes of."""

    def __init__(self, store: Store, batch: Batch, scan: Scan):
        self._store = store
        self._batch = batch
        self._scan = scan
        self._lost: list[tuple[str, Entry]] = []

    def obtain(self, item: _Item) -> _Item:
        """Leave out what cannot be had: there, what is here stays."""
        if item.wanted is None:
            return item
        self._store.keep(item.wanted)
        self._lost = []
        wanted = self._visit("", item.here, item.wanted)
        return item._replace(wanted=wanted, lost=tuple(self._lost))

    def _visit(self, path: str, here: Entry | None, wanted: Entry) -> Entry | None:
        if same(here, wanted):
            return wanted
        try:
            tree = self._tree(wanted)
        except ObjectMissing:
            self._lost.append((path, wanted))
            return here
        if tree is None:
            return wanted
        lost_before = len(self._lost)
        here_tree = self._scan.tree(here.oid) if here and here.kind == "tree" else {}
        found: Tree = {}
        for name, child in tree.items():
            below = f"{path}/{name}" if path else name
            entry = self._visit(below, here_tree.get(name), child)
            if entry is not None:
                found[name] = entry
        if len(self._lost) == lost_before:
            return wanted
        return write_tree(found, self._batch.put_tree)

    def _tree(self, entry: Entry) -> Tree | None:
        """Return the listing of a folder, None for a file whose bytes are here."""
        if entry.kind == "tree":
            return self._store.tree(entry.oid)
        if not self._store.has_entry(entry):
            raise ObjectMissing(f"blob {entry.oid[:12]} is not in the store")
        return None


# doing it


def _plan(item: _Item, scan: Scan, is_stored: Callable[[Entry], bool]) -> Plan:
    side = Side(item.here, item.placed, item.wanted)
    return plan(item.path, side, scan.tree, is_stored, top=item.top)


def _make_room(repo: Repo, plans: list[Plan], made: set[RepoPath], *, force: bool) -> str | None:
    """Move what is unsaved to the trash; `made` are outs, which `mlx add` would not record."""
    unsaved = [path for steps in plans for path in steps.unsaved]
    if not unsaved:
        return None
    if not force:
        more = f" and {len(unsaved) - 1} more files" if len(unsaved) > 1 else ""
        is_made = any(made.intersection((path, *ancestors(path))) for path in unsaved)
        add = "" if is_made else "mlx add records them; "
        raise Refused(
            f"{display(unsaved[0])}{more} would be replaced, and nothing else has these bytes",
            hint=f"{add}--force replaces them and keeps a copy in the trash",
        )
    return to_trash(repo, unsaved)


def _hide(repo: Repo, items: list[_Item]) -> None:
    """Let git ignore what is about to appear: its .gitignore may be of another commit."""
    tops = {item.top for item in items if item.wanted}
    folders = {i.top for i in items if i.below or (i.wanted and i.wanted.kind == "tree")}
    repo.hide(tops, folders=folders)


def _apply(repo: Repo, plans: list[Plan], looked_at: set[RepoPath], progress: Progress) -> None:
    total = sum(write.entry.files for steps in plans for write in steps.write)
    progress.start("checkout", total)
    workspace = repo.workspace(progress)
    workspace.clean(looked_at)
    for steps in plans:
        workspace.apply(steps)
    progress.done()


def _note(repo: Repo, items: list[_Item], forgotten: list[RepoPath]) -> None:
    """Note what is placed now: what was asked for and could be had."""
    store, now = repo.store, repo.placed
    new: Placed = {}
    with store.batch() as batch:
        for item in items:
            top = new.get(item.top) or now.get(item.top)
            entry = item.wanted
            for below, _ in item.lost:
                was = find(store.tree, top, f"{item.below}/{below}".strip("/"))
                entry = _put(store, batch, entry, below, was)
            whole = _put(store, batch, top, item.below, entry)
            if whole is not None:
                new[item.top] = whole
            batch.publish()

    def change(noted: Placed) -> None:
        for top in forgotten:
            noted.pop(top, None)
        noted.update(new)

    repo.update_placed(change)


def _put(
    store: Store, batch: Batch, top: Entry | None, below: str, entry: Entry | None
) -> Entry | None:
    """Return `top` with `entry` below it; nothing in nothing stays nothing."""
    if entry is None and below and find(store.tree, top, below) is None:
        return top
    return replace(store.tree, batch.put_tree, top, below, entry)
