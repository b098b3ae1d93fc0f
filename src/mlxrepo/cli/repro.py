"""`mlx repro`: bring the pipeline up to date."""

from __future__ import annotations

from collections import Counter
from typing import Any

import click

from mlxrepo.cli import render, units
from mlxrepo.cli.console import emit_event, out, paint, say, tell, warn
from mlxrepo.cli.options import Command
from mlxrepo.cli.screen import Screen
from mlxrepo.commands.repro import Repro, repro
from mlxrepo.paths import display
from mlxrepo.pipeline.report import Event, StageReport
from mlxrepo.repo.repo import Repo

_WORDS = {"up-to-date": "up to date", "ran": "ran", "restored": "restored"}
_COLORS = {"ran": "green", "restored": "cyan", "failed": "red", "blocked": "red", "run": "green"}


@click.command(
    "repro",
    cls=Command,
    examples=[
        ("mlx repro", "every stage that is stale"),
        ("mlx repro train", "one stage and what it needs"),
        ("mlx repro --dry-run", "what would run, and why"),
        ("mlx repro --force train", "run them again, whatever is recorded"),
    ],
)
@click.argument("targets", nargs=-1)
@click.option("-n", "--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("--force", is_flag=True, help="Run the stages even if they are up to date.")
@click.pass_obj
def command(screen: Screen, targets: tuple[str, ...], dry_run: bool, force: bool) -> None:
    """Bring the pipeline up to date.

    A stage runs only if its command, a dependency, a parameter or the list of its outs changed
    and no earlier result is known; it runs the commands that mlx.yaml declares. A stage whose
    inputs came out equal stops there.
    """
    with Repo.open(screen.cwd) as repo:
        teller = _Teller(screen)
        done = repro(repo, targets, force=force, dry_run=dry_run, listener=teller.tell)
    if dry_run:
        for report in done.stages:
            teller.end(report)
    _sum_up(screen, done)
    for report in done.stages:
        if report.error is not None:
            raise report.error


class _Teller:
    """Tells about stages as they go: one line each on stdout, their own output on stderr."""

    def __init__(self, screen: Screen):
        self._screen = screen
        self._started: set[str] = set()

    def tell(self, event: Event) -> None:
        """Show an event."""
        if event.report is not None:
            self.end(event.report)
        elif self._screen.json:
            emit_event("repro", {"event": event.kind, "stage": event.stage, "text": event.text})
        elif event.kind == "start":
            self._started.add(event.stage)
            say(self._screen, f"{display(event.stage)}: running, {event.text}")
        else:
            name = paint(self._screen, display(event.stage), "dim", err=True)
            say(self._screen, f"{name} | {event.text}")

    def end(self, report: StageReport) -> None:
        """Show what was done about a stage."""
        if self._screen.json:
            emit_event("repro", {"event": "end", **render.report_json(report)})
            return
        if report.outcome == "up-to-date" and not report.why and not self._screen.verbose:
            return
        word = _WORDS.get(report.outcome, report.outcome)
        time = f" in {units.duration(report.seconds)}" if report.seconds else ""
        why = f"  ({report.why})" if report.why else ""
        painted = paint(self._screen, word, _COLORS.get(report.outcome, "dim"))
        out(f"{display(report.stage)}: {painted}{time}{why}")
        for note in report.notes:
            say(self._screen, f"  note: {note}")
        if report.error is not None and self._screen.quiet:
            for line in report.tail:
                tell(f"{display(report.stage)} | {line}")


def _sum_up(screen: Screen, done: Repro) -> None:
    if screen.json:
        emit_event("repro", _document(done))
        return
    if done.recovered:
        say(screen, f"put back after a run that was killed: {render.names(done.recovered)}")
    for updated in done.updated:
        changed = render.change_counts(updated.changes)
        say(screen, f"recorded first: {display(updated.path)} had changed ({changed})")
    if done.forgotten:
        say(screen, f"forgotten, no longer declared: {render.names(done.forgotten)}")
    if done.unversioned:
        warn(
            screen,
            f"neither git nor mlx keeps {render.names(done.unversioned)}: mlx add would",
        )
    counts = Counter(report.outcome for report in done.stages)
    if not done.stages:
        out("nothing to do: mlx.yaml declares no stage")
    elif set(counts) == {"up-to-date"}:
        out(f"nothing to do: {units.count(len(done.stages), 'stage')} up to date")
    else:
        listed = ", ".join(f"{n} {_WORDS.get(word, word)}" for word, n in counts.items())
        say(screen, f"{units.count(len(done.stages), 'stage')}: {listed}")
        if done.to_commit:
            say(screen, "next: git add -A && git commit")


def _document(done: Repro) -> dict[str, Any]:
    return {
        "event": "done",
        "stages": {report.stage: report.outcome for report in done.stages},
        "updated": [updated.path for updated in done.updated],
        "unversioned": list(done.unversioned),
        "forgotten": list(done.forgotten),
        "recovered": list(done.recovered),
    }
