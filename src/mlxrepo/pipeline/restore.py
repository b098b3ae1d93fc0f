"""Putting known outs back at their place, and bringing absent inputs here before a stage runs."""

from __future__ import annotations

from collections.abc import Iterable

from mlxrepo.paths import RepoPath, display
from mlxrepo.pipeline.inputs import Inputs
from mlxrepo.repo.lockfile import Output
from mlxrepo.repo.repo import Repo
from mlxrepo.repo.trash import to_trash
from mlxrepo.store.compare import same
from mlxrepo.store.materialize import Plan, Side, plan
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
        ObjectMissing: when the store has not got them.
    """
    for path in paths:
        wanted = inputs.entry(path)
        if wanted is None or same(inputs.scan.entry(path), wanted):
            continue
        repo.workspace().apply(_plan(repo, path, wanted, inputs))


def _plan(repo: Repo, path: RepoPath, wanted: Entry, inputs: Inputs) -> Plan:
    # Everything here counts as placed: what is stored may go, what is not is reported as unsaved.
    here = inputs.scan.entry(path)
    return plan(path, Side(here, here, wanted), inputs.scan.tree, repo.store.has_entry, top=path)
