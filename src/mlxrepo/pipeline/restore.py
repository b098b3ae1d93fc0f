"""Putting known outs back at their place, and bringing absent inputs here before a stage runs."""

from __future__ import annotations

from collections.abc import Iterable

from mlxrepo.errors import ObjectMissing
from mlxrepo.paths import RepoPath, display
from mlxrepo.pipeline.inputs import Inputs
from mlxrepo.repo.lockfile import Output
from mlxrepo.repo.repo import Repo
from mlxrepo.repo.trash import to_trash
from mlxrepo.store.compare import same
from mlxrepo.store.materialize import Plan, Side, plan
from mlxrepo.store.subtree import find, replace
from mlxrepo.store.tree import Entry


def restore_outs(repo: Repo, outs: Iterable[Output], inputs: Inputs) -> tuple[str, ...]:
    """Make each out exactly what was recorded; return notes about what had to make room."""
    notes: list[str] = []
    for out in outs:
        steps = _plan(repo, out.path, out.entry, inputs)
        # An out belongs to its stage: what else lies in it would make it another out.
        in_the_way = [*steps.unsaved, *steps.kept]
        place = to_trash(repo, in_the_way)
        if place:
            notes.append(f"{display(in_the_way[0])} was not recorded: a copy is in {place}")
        gone = set(in_the_way)
        repo.workspace().apply(
            steps._replace(remove=tuple(path for path in steps.remove if path not in gone))
        )
    return tuple(notes)


def bring_inputs(repo: Repo, paths: Iterable[RepoPath], inputs: Inputs) -> None:
    """Put absent parts of dependencies into the workspace, so that the command finds them.

    Raises:
        ObjectMissing: when the store has not got them; nothing has been written then.
    """
    wanted: dict[RepoPath, Entry] = {}
    paths = list(paths)
    if inputs.bring:
        inputs.bring(paths)
    for path in paths:
        links, end = inputs.follow(path)
        entry = inputs.entry(end)
        wanted.update(links)
        wanted.update({end: entry} if entry else {})
    absent = [
        (path, _plan(repo, path, entry, inputs))
        for path, entry in wanted.items()
        if not same(inputs.scan.entry(path), entry)
    ]
    for path, steps in absent:
        needed = [write.entry for write in steps.write if not repo.store.pin(write.entry)]
        lost = [oid for entry in needed for _, oid in repo.store.missing(entry)]
        if lost:
            raise ObjectMissing(
                f"{display(path)} is recorded but not here, and {len(lost)} of its objects are "
                "not in the store of this clone",
                hint=f"mlx pull {display(path)} brings it from a remote; or copy the objects into "
                f"{repo.store.root}",
            )
    for path, steps in absent:
        repo.workspace().apply(steps)
        _note_placed(repo, path, inputs)


def _note_placed(repo: Repo, path: RepoPath, inputs: Inputs) -> None:
    """Note that what is recorded at a path is here: if it goes, it was deleted."""
    with repo.store.batch() as batch:
        read = repo.store.tree
        for tracked, part in inputs.parts(path):
            below = part[len(tracked.path) + 1 :]
            entry = find(read, tracked.entry, below)
            whole = replace(read, batch.put_tree, inputs.placed.get(tracked.path), below, entry)
            if whole is not None:
                inputs.placed[tracked.path] = whole
    repo.update_placed(lambda placed: placed.update(inputs.placed))


def _plan(repo: Repo, path: RepoPath, wanted: Entry, inputs: Inputs) -> Plan:
    # Everything here counts as placed: what is stored may go, what is not is reported as unsaved.
    here = inputs.scan.entry(path)
    side = Side(here, here, wanted)
    with repo.store.batch() as batch:  # and gc leaves what goes because it is stored
        return plan(path, side, inputs.scan.tree, batch.has_entry, top=inputs.top(path))
