"""Whether records hold: fresh, stale or unknown, of the workspace or of a commit.

Files that git keeps are read where they are looked at; what the store keeps counts as recorded,
and interpreter and variables too.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from mlxrepo.errors import MlxError
from mlxrepo.paths import RepoPath, is_inside
from mlxrepo.pipeline.decide import Reason, differences, sentence
from mlxrepo.pipeline.graph import Graph, build_graph
from mlxrepo.pipeline.recorded import CommittedInputs, RecordedInputs
from mlxrepo.pipeline.sound import has_its_key, has_its_metrics
from mlxrepo.repo.committed import RepoAt
from mlxrepo.repo.declared import Declared
from mlxrepo.repo.lockfile import StageRecord
from mlxrepo.repo.repo import Repo
from mlxrepo.repo.stage import Stage
from mlxrepo.store.compare import same

FRESH, STALE, UNKNOWN = "fresh", "stale", "unknown"


@dataclass(frozen=True, slots=True)
class Checked:
    """One stage: fresh, stale with its reasons, or unknown and why.

    `accepted` is what the record says of who took its outs for good without a run.
    """

    stage: str
    state: str
    reasons: tuple[Reason, ...] = ()
    why: str = ""
    accepted: Any = None


def freshness(
    repo: Repo,
    stages: Iterable[str] | None = None,
    graph_of: Callable[[Declared], Graph] = build_graph,
    unlike: Collection[RepoPath] = (),
) -> dict[str, Checked]:
    """Say of each stage, or of some and what they need, whether its record holds.

    `unlike` are tracked paths that are known to hold something else than is recorded.

    Raises:
        InputError: for an mlx.yaml that cannot be read.
        InputError, CannotDecide: when a lockfile cannot be read.
    """
    records = repo.observed.stages()
    graph = graph_of(repo.declared)
    inputs = CommittedInputs(repo) if isinstance(repo, RepoAt) else RecordedInputs(repo)
    found: dict[str, Checked] = {}
    for address in graph.needed(graph.order if stages is None else stages):
        stage = graph.stages[address]
        before = [] if stage.frozen else [found[name] for name in graph.upstream[address]]
        found[address] = _check(inputs, stage, records.get(address), before, unlike)
    return found


def _check(
    inputs: RecordedInputs,
    stage: Stage,
    record: StageRecord | None,
    before: list[Checked],
    unlike: Collection[RepoPath],
) -> Checked:
    """Check one stage behind those it needs; what is stale for sure is not unknown."""
    doubts: list[str] = [f"{item.stage} is unknown" for item in before if item.state == UNKNOWN]
    reasons: list[Reason] = []
    try:
        reasons += _stale(inputs, stage, record)
    except MlxError as error:
        doubts.insert(0, error.message)
    if record is not None and unlike:
        reasons += _unlike(stage, record, unlike)
    reasons += [Reason("upstream", item.stage) for item in before if item.state == STALE]
    if record is not None and record.is_unverified:
        doubts.append("it is unverified: a merge chose between two runs")
    if reasons:
        return Checked(stage.address, STALE, tuple(reasons), ", ".join(map(str, reasons)))
    if doubts:
        return Checked(stage.address, UNKNOWN, (), ", ".join(doubts))
    why = _frozen_although(inputs, stage, record) if stage.frozen else ""
    return Checked(stage.address, FRESH, (), why, record.accepted if record else None)


def _frozen_although(inputs: RecordedInputs, stage: Stage, record: StageRecord | None) -> str:
    """Say what changed behind a stage that does not run for it."""
    try:
        reasons = differences(inputs.action(stage, record), record)
    except MlxError as error:
        return f"it is frozen, although {error.message}"
    return f"it is frozen, although {sentence(reasons)}" if reasons else ""


def _unlike(stage: Stage, record: StageRecord, unlike: Collection[RepoPath]) -> Iterator[Reason]:
    """Name what the stage read or made that is not as recorded."""
    for dep in () if stage.frozen else record.deps:
        if any(is_inside(dep.path, path) or is_inside(path, dep.path) for path in unlike):
            yield Reason("dep", dep.path, dep.entry.oid)
    for out in record.outs:
        if out.path in unlike:
            yield Reason("out", out.path, out.entry.oid, "was changed")


def _stale(inputs: RecordedInputs, stage: Stage, record: StageRecord | None) -> Iterator[Reason]:
    if record is None:
        yield Reason("new")
        return
    if stage.always_changed and not stage.frozen:
        yield Reason("always")
        return
    scan = inputs.scan
    action = None if stage.frozen else inputs.action(stage, record)
    if not has_its_key(record) or not has_its_metrics(record, inputs.repo, scan):
        yield Reason("key", "", record.key, action.key if action else None)
    elif action and action.key != record.key:
        yield from differences(action, record)
    known = {out.path: out.entry for out in record.outs}
    for out in stage.outs:
        here = None if out.cache else scan.entry(out.path)
        if not out.cache and out.path in known and not same(here, known[out.path]):
            turn = "is missing" if here is None else "was changed"
            yield Reason("out", out.path, known[out.path].oid, turn)
