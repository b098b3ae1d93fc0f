"""A look ahead: what a run would do, without doing any of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from mlxrepo.errors import MlxError
from mlxrepo.pipeline.accepted import Standing
from mlxrepo.pipeline.decide import BLOCKED, MAY_RUN, RESTORE, RUN, UP_TO_DATE, Reason
from mlxrepo.pipeline.graph import Graph
from mlxrepo.pipeline.judge import Judge
from mlxrepo.pipeline.report import StageReport, with_standing

if TYPE_CHECKING:  # `status` needs no journal
    from mlxrepo.pipeline.earlier import EarlierRuns


def preview(
    judge: Judge, graph: Graph, addresses: Iterable[str], earlier: EarlierRuns | None = None
) -> list[StageReport]:
    """Decide about each stage as if those before it had been settled.

    A stage behind one that would run may run, or stop early: that depends on what comes out. With
    `earlier` a stage that would run gets a note when a run that is not the one on record comes
    nearer to it.
    """
    reports: dict[str, StageReport] = {}
    standing = Standing(graph, judge)
    for address in addresses:
        needs = () if graph.stages[address].frozen else graph.upstream[address]
        before = [reports[u] for u in needs if u in reports]
        report = _behind(address, before) or _decide(judge, graph, address, earlier)
        reports[address] = with_standing(report, standing.of(address))
    return list(reports.values())


def _behind(address: str, before: list[StageReport]) -> StageReport | None:
    blocked = [report.stage for report in before if report.outcome == BLOCKED or report.error]
    if blocked:
        return StageReport(address, BLOCKED, why=f"{blocked[0]} is blocked")
    waits = tuple(
        Reason("upstream", report.stage) for report in before if report.outcome in (RUN, MAY_RUN)
    )
    if waits:
        return StageReport(address, MAY_RUN, waits, ", ".join(str(reason) for reason in waits))
    return None


def _decide(judge: Judge, graph: Graph, address: str, earlier: EarlierRuns | None) -> StageReport:
    if judge.is_settled(graph.stages[address]):
        return StageReport(address, UP_TO_DATE)
    try:
        decision = judge.decide(graph.stages[address])
    except MlxError as error:
        return StageReport(address, BLOCKED, why=error.message, error=error)
    if decision.word == RESTORE and decision.result is not None:
        judge.inputs.assume_outs(graph.stages[address], decision.result.outs)
        judge.look_again()
    nearest = earlier.nearest(decision.action) if earlier and decision.word == RUN else None
    notes = decision.notes
    if nearest and len(nearest.reasons) < len(decision.reasons):
        notes += (str(nearest),)
    return StageReport(address, decision.word, decision.reasons, decision.why, notes=notes)
