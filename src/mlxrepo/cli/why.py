"""`mlx why`: the decision about a stage, and its cause."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import click

from mlxrepo.cli import render, units
from mlxrepo.cli.console import emit_json, out, paint, progress
from mlxrepo.cli.options import Command
from mlxrepo.cli.screen import Screen
from mlxrepo.commands.why import Cause, Why, why
from mlxrepo.paths import display
from mlxrepo.pipeline.decide import Reason
from mlxrepo.pipeline.journal import StageRun
from mlxrepo.repo.repo import Repo

SHOWN = 10  # changed files, packages
_COLORS = {"run": "yellow", "may-run": "yellow", "blocked": "red", "up-to-date": "green"}


@click.command(
    "why",
    cls=Command,
    examples=[
        ("mlx why train", "what mlx repro would do about it, and the cause"),
        ("mlx why model.pkl", "by what it makes"),
        ("mlx why --json train", "with old and new values, for a script"),
    ],
)
@click.argument("targets", nargs=-1, required=True)
@click.pass_obj
def command(screen: Screen, targets: tuple[str, ...]) -> None:
    """Explain what repro would do about a stage.

    up-to-date, restore (an earlier result is known), run, may-run (something it needs would run
    first) or blocked; then the causes with old and new values, the run that made what is on
    record, the earlier run that comes nearest, and what else is different since, but was not
    declared as an input. Nothing is run.
    """
    with Repo.open(screen.cwd) as repo:
        found = why(repo, targets, progress=progress(screen))
    if screen.json:
        emit_json("why", {"stages": [_document(one) for one in found]})
        return
    for number, one in enumerate(found):
        if number:
            out()
        _show(screen, one)


def _show(screen: Screen, one: Why) -> None:
    word = paint(screen, one.word, _COLORS.get(one.word, "cyan"))
    out(f"{display(one.stage)}: {word}")
    if one.running:
        out(f"  running: {one.running}")
    if one.error is not None:
        place = f"{one.error.where}: " if one.error.where else ""
        out(f"  {place}{one.error.message}")
    for cause in one.causes:
        if cause.reason.what != "upstream":  # each has a line of its own
            _show_cause(screen, cause)
    for report in one.upstream:
        out(f"  {display(report.stage)}: {report.outcome}, {report.why}")
    if one.recorded:
        out(f"  on record: {_run(one.recorded)}")
    if one.nearest:
        reasons = _sentences(one.nearest.reasons) or "in nothing that is declared"
        out(f"  nearest earlier run: {_run(one.nearest.run)}; differs: {reasons}")
    if one.undeclared:
        out(f"  also different, not declared: {_sentences(one.undeclared)}")


def _sentences(reasons: Sequence[Reason]) -> str:
    more = len(reasons) - SHOWN
    return ", ".join(map(str, reasons[:SHOWN])) + (f" and {more} more" if more > 0 else "")


def _show_cause(screen: Screen, cause: Cause) -> None:
    reason = cause.reason
    text = str(reason)
    if reason.what == "dep":
        text += f"  {reason.old[1][:12]} -> {reason.new[1][:12]}"
    out(f"  {text}")
    if reason.what == "command":
        for sign, lines in (("-", reason.old), ("+", reason.new)):
            for line in lines:
                out(f"    {sign} {display(line)}")
    elif reason.what == "param" and len(str(reason.old)) + len(str(reason.new)) > SHOWN:
        out(f"    - {display(str(reason.old))}\n    + {display(str(reason.new))}")
    shown = cause.changes if screen.verbose else cause.changes[:SHOWN]
    for change in shown:
        out(f"    {change.word}: {display(change.path or reason.name)}")
    if len(cause.changes) > len(shown):
        out(f"    and {len(cause.changes) - len(shown)} more (-v shows all)")


def _run(one: StageRun) -> str:
    """Name a run: its id, who, when, at which commit."""
    day = time.strftime("%Y-%m-%d %H:%M", time.localtime(one.begun))
    by = f" by {display(one.run.by)}" if one.run.by else ""
    dirty = " (dirty)" if one.run.dirty else ""
    commit = f" at {one.run.commit[:8]}{dirty}" if one.run.commit else ""
    took = f", {units.duration(one.seconds)}" if one.seconds else ""
    return f"{one.run.id}, {day}{by}{commit}{took}"


def _document(one: Why) -> dict[str, Any]:
    nearest = one.nearest
    return {
        "stage": one.stage,
        "decision": one.word,
        "causes": [
            {
                **cause.reason._asdict(),
                "text": str(cause.reason),
                "changes": [render.change_json(change) for change in cause.changes],
            }
            for cause in one.causes
        ],
        "upstream": [render.report_json(report) for report in one.upstream],
        "recorded": _run_json(one.recorded),
        "nearest": nearest
        and {
            **(_run_json(nearest.run) or {}),
            "differs": [reason._asdict() for reason in nearest.reasons],
        },
        "undeclared": [reason._asdict() for reason in one.undeclared],
        "running": one.running or None,
        "error": one.error.message if one.error else None,
    }


def _run_json(one: StageRun | None) -> dict[str, Any] | None:
    if one is None:
        return None
    run = one.run
    return {
        "run": run.id,
        "by": run.by,
        "host": run.host,
        "commit": run.commit,
        "dirty": run.dirty,
        "begun": one.begun,
        "seconds": one.seconds,
    }
