"""`mlx repro`: bring the pipeline up to date."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from typing import Any

import click

from mlxrepo.cli import failures, render, units
from mlxrepo.cli.console import (
    emit_event,
    flush,
    has_colors,
    live_view,
    notes,
    out,
    paint,
    say,
    tell,
    warn,
)
from mlxrepo.cli.options import Command, Misuse
from mlxrepo.cli.screen import Screen
from mlxrepo.commands.repro import Options, Repro, repro
from mlxrepo.errors import MlxError, StageFailed
from mlxrepo.paths import display
from mlxrepo.pipeline.lines import without_colors
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
        ("mlx repro 'train@*'", "all stages of a foreach or matrix; `train` does too"),
        ("mlx repro -j 4 --keep-going", "four at a time; a failure stops only what needs it"),
        ("mlx repro --downstream clean", "a stage and all that need it"),
        ("mlx repro --dry-run", "what would run, and why"),
        ("mlx repro --dry-run --exit-code", "1 when a command would run: for scripts"),
        ("mlx repro --pull", "take finished stages, and data that is needed, from the remote"),
        ("mlx repro --force --single train", "run one again, whatever is recorded"),
    ],
)
@click.argument("targets", nargs=-1)
@click.option("-n", "--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("--exit-code", is_flag=True, help="With -n: exit 1 when a command would run.")
@click.option(
    "-j",
    "--jobs",
    type=click.IntRange(min=1),
    metavar="N",
    help="Run at most N stages at a time (default: git config mlx.jobs, else the cores).",
)
@click.option("--single", is_flag=True, help="Only the targets, not what they need.")
@click.option("--downstream", is_flag=True, help="The targets and what needs them.")
@click.option(
    "--from", "start", multiple=True, metavar="STAGE", help="Only STAGE and what needs it."
)
@click.option(
    "--until", "end", multiple=True, metavar="STAGE", help="Only STAGE and what it needs."
)
@click.option("--force", is_flag=True, help="Run the stages even if they are up to date.")
@click.option(
    "--keep-going", is_flag=True, help="After a failure go on with what does not need it."
)
@click.option(
    "--allow-missing", is_flag=True, help="Data that is not here counts as it is recorded."
)
@click.option("--no-run-cache", is_flag=True, help="Do not take results from earlier runs.")
@click.option("--pull", is_flag=True, help="Take what is not here from a remote, results too.")
@click.option("-r", "--remote", metavar="NAME", help="With --pull: that one, not the default one.")
@click.pass_obj
def command(
    screen: Screen,
    /,
    targets: tuple[str, ...],
    dry_run: bool,
    exit_code: bool,
    no_run_cache: bool,
    **options: Any,
) -> int | None:
    """Bring the pipeline up to date.

    A stage runs only if its command, a dependency, a parameter, its declared environment or the
    list of its outs changed and no earlier result is known; it runs the commands that mlx.yaml
    declares. A stage whose inputs came out equal stops there. Stages that do not need each other
    run side by side.
    """
    if exit_code and not dry_run:
        raise Misuse(
            "--exit-code answers whether something would run, so it goes with --dry-run",
            "mlx repro --dry-run --exit-code",
            click.get_current_context(),
        )
    if options["remote"] is not None and not options["pull"]:
        raise Misuse(
            "-r says which remote is meant, so it goes with --pull",
            "mlx repro --pull -r NAME",
            click.get_current_context(),
        )
    chosen = Options(run_cache=not no_run_cache, **options)
    with Repo.open(screen.cwd) as repo:
        teller = _Teller(screen)
        try:
            words, tell = ["mlx", *sys.argv[1:]], teller.tell
            done = repro(
                repo,
                targets,
                chosen,
                dry_run=dry_run,
                words=words,
                listener=tell,
                progress=notes(screen),
            )
        finally:
            teller.close()
    if dry_run:
        for report in done.stages:
            teller.end(report)
    _sum_up(screen, done)
    _raise_first(screen, [report.error for report in done.stages if report.error is not None])
    return 1 if exit_code and done.would_run else None


def _raise_first(screen: Screen, errors: list[MlxError]) -> None:
    """Raise the error that decides the exit code, after the others were told."""
    if not errors:
        return
    chief = next((error for error in errors if isinstance(error, StageFailed)), errors[0])
    if not screen.json:  # there each stands with its stage
        for error in errors:
            failure = failures.explain(error)
            if error is not chief and failure is not None:
                failures.tell(failure, screen)
    raise chief


class _Teller:
    """Tells about stages as they go: one line each on stdout, their own output on stderr.

    Lines come from several threads.
    """

    def __init__(self, screen: Screen):
        self._screen = screen
        self._lock = threading.Lock()
        self._view = live_view(screen)
        self._colors = has_colors(screen, err=True)

    def tell(self, event: Event) -> None:
        """Show an event."""
        if self._view is not None:
            if event.kind == "begin":
                self._view.expect(int(event.text))
            elif event.kind == "start":
                self._view.start(event.stage)
            elif event.report is not None:
                self._view.end(event.stage, event.report.outcome)
        with self._lock:
            self._show(event)

    def close(self) -> None:
        """Take the live view off the screen."""
        if self._view is not None:
            self._view.close()

    def _show(self, event: Event) -> None:
        if event.kind == "begin":
            return
        if event.report is not None:
            self.end(event.report)
        elif self._screen.json:
            emit_event("repro", {"event": event.kind, "stage": event.stage, "text": event.text})
        elif event.kind == "start":
            say(self._screen, f"{display(event.stage)}: running, {event.text}")
        elif event.kind == "note":
            say(self._screen, f"{display(event.stage)}: {event.text}")
        else:
            name = paint(self._screen, display(event.stage), "dim", err=True)
            say(self._screen, f"{name} | {self._line(event.text)}")

    def _line(self, text: str) -> str:
        """Keep a line's colours from running into the next one, or off where none are wanted."""
        if "\x1b" not in text:
            return text
        return f"{text}\x1b[0m" if self._colors else without_colors(text)

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
        flush()  # a log that is read meanwhile has it now, not when the next stage ends
        for note in report.notes:
            say(self._screen, f"  note: {note}")
        if report.error is not None and self._screen.quiet:
            for line in report.tail:
                tell(f"{display(report.stage)} | {self._line(line)}")


def _sum_up(screen: Screen, done: Repro) -> None:
    if screen.json:
        emit_event("repro", _document(done))
        return
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
