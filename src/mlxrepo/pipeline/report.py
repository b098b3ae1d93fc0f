"""What a run tells: one report a stage, and events on the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from mlxrepo.errors import MlxError
from mlxrepo.pipeline.decide import UP_TO_DATE, Decision, Reason, sentence


class StageReport(NamedTuple):
    """What was done about one stage.

    Outcome is up-to-date, restored, ran, failed, blocked (something it needs failed) or skipped
    (something else failed first); in a look ahead it is the decision's word. `key` is the action
    key. Of a stage whose commands ran: the exit code of the last one (negative: a signal), the
    peak memory in bytes (None: not known) and how often it was tried.
    """

    stage: str
    outcome: str
    reasons: tuple[Reason, ...] = ()
    why: str = ""
    seconds: float = 0.0
    error: MlxError | None = None
    notes: tuple[str, ...] = ()
    tail: tuple[str, ...] = ()
    begun: float = 0.0  # when its commands began and ended, in seconds since the epoch
    ended: float = 0.0
    key: str = ""
    exit_code: int | None = None
    memory: int | None = None
    attempts: int = 0


def with_standing(report: StageReport, standing: tuple[Reason, ...]) -> StageReport:
    """Say in a report what the stage rests on: why it counts, or a note when it was made now."""
    if not standing:
        return report
    if report.outcome == UP_TO_DATE:
        reasons = (*report.reasons, *standing)
        return report._replace(reasons=reasons, why=sentence(reasons))
    if report.outcome in ("ran", "restored"):
        return report._replace(notes=(*report.notes, *map(str, standing)))
    return report


class Event(NamedTuple):
    """Something a listener may show: kind is begin, start, line, note or end.

    A run begins with the number of its stages as text; with the start of a stage comes what was
    decided, with its end the report. Lines come from several threads.
    """

    kind: str
    stage: str
    text: str = ""
    report: StageReport | None = None
    decision: Decision | None = None


Listener = Callable[[Event], None]
