"""mlx why: what would be done about a stage, and what exactly is the cause."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from mlxrepo.errors import MlxError
from mlxrepo.hashing import Oid
from mlxrepo.paths import RepoPath
from mlxrepo.pipeline.action import Action
from mlxrepo.pipeline.decide import BLOCKED, MAY_RUN, RUN, UP_TO_DATE, Reason, differences
from mlxrepo.pipeline.earlier import Earlier, EarlierRuns, undeclared
from mlxrepo.pipeline.graph import build_graph
from mlxrepo.pipeline.journal import StageRun, environment
from mlxrepo.pipeline.judge import Judge
from mlxrepo.pipeline.packages import Packages
from mlxrepo.pipeline.preview import preview
from mlxrepo.pipeline.report import StageReport
from mlxrepo.progress import SILENT, Progress
from mlxrepo.repo.lockfile import StageRecord
from mlxrepo.repo.repo import Repo
from mlxrepo.repo.stage import Stage
from mlxrepo.repo.targets import resolve_stages
from mlxrepo.store.compare import Change, changes
from mlxrepo.store.tree import Entry

_UNSETTLED = (RUN, MAY_RUN, BLOCKED)


@dataclass(frozen=True, slots=True)
class Cause:
    """One reason, with the files that changed where it is about a folder that is known."""

    reason: Reason
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True)
class Why:
    """What would be done about a stage, and why.

    `word` is the decision. `upstream` are the stages it waits for that would, or may, run.
    `recorded` is the run that made what is on record, where the journal knows it; `nearest` the
    earlier run that differs least, if another. `undeclared` is what else is different since the
    recorded run; `running` who is at it now.
    """

    stage: str
    word: str
    causes: tuple[Cause, ...]
    upstream: tuple[StageReport, ...]
    recorded: StageRun | None
    nearest: Earlier | None
    undeclared: tuple[Reason, ...]
    running: str
    error: MlxError | None


def why(repo: Repo, targets: Sequence[str], *, progress: Progress = SILENT) -> tuple[Why, ...]:
    """Explain what `mlx repro` would do about stages; takes no lock and runs nothing.

    Raises:
        InputError: for a target that is no stage and nothing that a stage makes.
    """
    addresses = resolve_stages(targets, repo.place, repo.declared)
    packages = Packages(repo, dict(os.environ))
    packages.begin()
    graph = build_graph(repo.declared)
    judge = Judge(repo, progress=progress)
    reports = {r.stage: r for r in preview(judge, graph, graph.needed(addresses))}
    explain = _Explainer(judge, EarlierRuns(repo, judge.actions, addresses), packages)
    found = []
    for address in addresses:
        needs = () if graph.stages[address].frozen else graph.upstream[address]
        before = tuple(r for need in needs if (r := reports[need]).outcome in _UNSETTLED)
        found.append(explain(graph.stages[address], reports[address], before))
    return tuple(found)


class _Explainer:
    """Looks for causes in one look at the repository."""

    def __init__(self, judge: Judge, earlier: EarlierRuns, packages: Packages):
        self._judge = judge
        self._repo = judge.repo
        self._earlier = earlier
        self._packages = packages

    def __call__(self, stage: Stage, report: StageReport, upstream: tuple[StageReport, ...]) -> Why:
        """Explain what was decided about a stage."""
        record = self._judge.records.get(stage.address)
        # What was accepted no run made, whatever run had the same inputs.
        key = record.key if record and not record.accepted else ""
        recorded = self._earlier.of_key(stage.address, key)
        action = self._action(stage, record)
        reasons, nearest = report.reasons, None
        if action is not None and report.outcome != UP_TO_DATE:
            nearest = self._earlier.nearest(action)
            if report.outcome == MAY_RUN and record is not None:  # what is known of it already
                reasons += differences(action, record)
        if nearest and recorded and nearest.run.key == recorded.key:
            nearest = None
        return Why(
            stage.address,
            report.outcome,
            tuple(self._cause(stage, reason) for reason in reasons),
            upstream,
            recorded,
            nearest,
            self._undeclared(recorded),
            self._running(stage),
            report.error,
        )

    def _action(self, stage: Stage, record: StageRecord | None) -> Action | None:
        try:
            return self._judge.inputs.action(stage, record)
        except MlxError:
            return None  # the report says what is missing

    def _cause(self, stage: Stage, reason: Reason) -> Cause:
        """Add to a reason which files of a folder changed, where both versions are known."""
        old, new = None, None
        if reason.what == "dep":
            old = Entry(reason.old[0], Oid(reason.old[1]), 0, 0)
            new = self._judge.inputs.entry(RepoPath(reason.name))
        elif reason.what == "out":
            record = self._judge.records[stage.address]
            old = next((o.entry for o in record.outs if o.path == reason.name), None)
            new = self._judge.inputs.scan.entry(RepoPath(reason.name))
        if old is None or new is None or "tree" not in (old.kind, new.kind):
            return Cause(reason)
        try:
            return Cause(reason, tuple(changes(self._judge.inputs.scan.tree, old, new)))
        except MlxError:
            return Cause(reason)  # the old one is not in this store

    def _undeclared(self, recorded: StageRun | None) -> tuple[Reason, ...]:
        then = environment(self._repo, recorded.run.environment) if recorded else None
        return undeclared(then, self._packages.wait()) if then else ()

    def _running(self, stage: Stage) -> str:
        claims = self._repo.claims("mlx why")
        return next((who for out in stage.outs if (who := claims.holder(out.path))), "")
