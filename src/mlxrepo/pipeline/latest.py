"""Placing what is recorded of data that is older: a run that may ask remotes does it first."""

from __future__ import annotations

from collections.abc import Iterable

from mlxrepo.errors import ObjectMissing, Refused
from mlxrepo.paths import display
from mlxrepo.pipeline.supply import Supply
from mlxrepo.progress import Progress
from mlxrepo.repo.observed import Tracked
from mlxrepo.repo.placed import Placed
from mlxrepo.repo.repo import Repo
from mlxrepo.repo.update import behind
from mlxrepo.repo.wanted import Wanted
from mlxrepo.store.compare import changes, same
from mlxrepo.store.materialize import Side, plan
from mlxrepo.store.tree import Entry, PutTree, ReadTree, Tree, write_tree


def bring_recorded(
    repo: Repo, supply: Supply, items: Iterable[Tracked], progress: Progress
) -> None:
    """Get what is recorded of files that are older here, and put it in their place.

    Files that are recorded and not here stay absent: the stages that read them bring them.

    Raises:
        Refused: when some of it cannot be had, or the store has lost what it would replace;
            nothing has been placed of that path then.
        EnvironmentFailed: when a remote cannot be asked.
    """
    for item in items:
        try:
            is_here = _bring(repo, supply, item)
        except ObjectMissing:
            is_here = False
        if not is_here:
            error = behind(repo, [item])
            why = supply.why_not(item.entry.oid) or "not to be had from a remote"
            raise Refused(f"{error.message}; what is recorded is {why}", hint=error.hint)
        with repo.claims("mlx repro").wait([item.path], progress.note):
            if _place(repo, item):
                progress.note(f"placed as recorded: {display(item.path)} was older")


def _bring(repo: Repo, supply: Supply, item: Tracked) -> bool:
    """Get the files that are to be placed into the store; say whether all came."""
    scan = repo.scan()
    here = scan.entry(item.path)
    wanted = _counterpart(scan.tree, scan.put_tree, here, item.entry)
    parts = [
        Wanted(item.path, item.entry, change.path)
        for change in changes(scan.tree, here, wanted)
        if change.new is not None
    ]
    return not supply.bring(parts)


def _place(repo: Repo, item: Tracked) -> bool:
    """Replace what is still as it was placed; say whether it was."""
    with repo.store.batch() as batch:  # gc leaves what it is asked for
        scan = repo.scan(batch=batch)
        here = scan.entry(item.path)
        if not same(here, repo.placed.get(item.path)):
            return False  # somebody has edited it, or placed it, since the run looked
        wanted = _counterpart(scan.tree, batch.put_tree, here, item.entry)
        batch.publish()
        side = Side(here, here, wanted)
        steps = plan(item.path, side, scan.tree, batch.has_entry, top=item.path)
        if steps.unsaved:
            raise Refused(
                f"{display(steps.unsaved[0])} is older than recorded, and nothing else has its "
                "bytes",
                hint=f"mlx checkout --force {repo.place.word(item.path)} keeps a copy in the trash",
            )
        repo.workspace().apply(steps)

    def note(placed: Placed) -> None:
        placed.pop(item.path, None)
        if wanted is not None:
            placed[item.path] = wanted

    repo.update_placed(note)
    return True


def _counterpart(
    read: ReadTree, put: PutTree, here: Entry | None, recorded: Entry | None
) -> Entry | None:
    """Return what is recorded, without what is not here of it."""
    if here is None or recorded is None or same(here, recorded):
        return None if here is None else recorded
    if here.kind != "tree" or recorded.kind != "tree":
        return recorded
    now = read(recorded.oid)
    found: Tree = {}
    for name, child in read(here.oid).items():
        entry = _counterpart(read, put, child, now.get(name))
        if entry is not None:
            found[name] = entry
    return write_tree(found, put) if found else None
