"""`mlx runs`: what runs did, and what their stages printed."""

from __future__ import annotations

import shlex
import time
from typing import Any

import click

from mlxrepo.cli import units
from mlxrepo.cli.console import emit_event, emit_json, flush, has_colors, out, out_bytes, paint, say
from mlxrepo.cli.options import Group
from mlxrepo.cli.screen import Screen
from mlxrepo.cli.tables import table
from mlxrepo.commands.runs import Logs, Shown, list_runs, logs, show
from mlxrepo.paths import display
from mlxrepo.pipeline.decide import UP_TO_DATE, sentence
from mlxrepo.pipeline.journal import RUNNING, Run, StageRun
from mlxrepo.pipeline.lines import Lines, without_colors
from mlxrepo.repo.repo import Repo

_COLORS = {
    "done": "green",
    "ran": "green",
    "restored": "cyan",
    "running": "cyan",
    "interrupted": "yellow",
    "failed": "red",
    "killed": "red",
    "blocked": "red",
}


@click.group(
    "runs",
    cls=Group,
    examples=[
        ("mlx runs list", "the last runs"),
        ("mlx runs show", "what the last one did, and why"),
        ("mlx runs logs -f", "what the one that goes on prints"),
    ],
)
def command() -> None:
    """List what runs did, and show what they printed.

    Every `mlx repro` that does something is kept, of all worktrees: who began it, on what commit,
    what was decided about each stage and why, time, memory, exit code, and the whole log. The
    oldest make room when there are more than 1,000 or more than `git config mlx.journal 1GB`.
    """


@command.command(
    "list",
    examples=[
        ("mlx runs list", "the last 20"),
        ("mlx runs list --limit 5 --stage train", "the last 5 that did something about a stage"),
        ("mlx runs list --json", "for a script"),
    ],
)
@click.option(
    "--limit", type=click.IntRange(min=1), default=20, metavar="N", help="At most N (20)."
)
@click.option("--stage", metavar="STAGE", help="Only runs that did something about STAGE.")
@click.pass_obj
def list_command(screen: Screen, limit: int, stage: str | None) -> None:
    """List runs, newest first."""
    with Repo.open(screen.cwd) as repo:
        found = list_runs(repo, limit, stage)
        here = repo.root
    if screen.json:
        emit_json("runs list", {"runs": [_run(run) for run in found]})
    elif found:
        rows = [_row(screen, run, here) for run in found]
        out(table(rows, ("run", "began", "outcome", "time", "stages", "command"), "lllrll"))
    else:
        out("no run is kept" if stage is None else f"no run that is kept ran {display(stage)}")


@command.command(
    "show",
    examples=[
        ("mlx runs show", "the last run"),
        ("mlx runs show 4f1a", "by any unambiguous beginning of its id, or of the end of it"),
    ],
)
@click.argument("run", required=False)
@click.pass_obj
def show_command(screen: Screen, run: str | None) -> None:
    """Show what a run did about each stage, and why."""
    with Repo.open(screen.cwd) as repo:
        found = show(repo, run)
    if screen.json:
        stages = [_stage(one) for one in found.stages]
        document = {"run": _run(found.run), "stages": stages, "environment": found.environment}
        emit_json("runs show", document)
        return
    out(table(_facts(screen, found)))
    shown = [one for one in found.stages if screen.verbose or one.outcome != UP_TO_DATE]
    if shown:
        out()
        headers = ("stage", "outcome", "exit", "time", "memory", "why")
        out(table([_stage_row(screen, one) for one in shown], headers, "llrrrl"))
    for one in found.stages:
        if one.error:
            out(f"\n{display(one.stage)}: {paint(screen, display(one.error), 'red')}")
    if idle := len(found.stages) - len(shown):
        out(f"{units.count(idle, 'stage')} up to date (-v lists them)")


@command.command(
    "logs",
    examples=[
        ("mlx runs logs", "what the stages of the last run printed"),
        ("mlx runs logs train", "of one stage, as it was last run"),
        ("mlx runs logs 4f1a train", "of one stage in one run, byte by byte"),
        ("mlx runs logs -f", "follow the run that goes on"),
    ],
)
@click.argument("run", required=False)
@click.argument("stage", required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on until the run, or the stage, has ended.")
@click.pass_obj
def logs_command(screen: Screen, run: str | None, stage: str | None, follow: bool) -> None:
    """Print the whole log of a stage, or of all stages of a run.

    One word alone may also be a stage: it is the last run of it then. Lines of several stages bear
    their names. With --json each line is one document.
    """
    with Repo.open(screen.cwd) as repo:
        found = logs(repo, [word for word in (run, stage) if word], follow=follow)
        _print_logs(screen, found, follow)
        outcome = show(repo, found.run.id).run.outcome
    if screen.json:
        emit_event("runs logs", {"event": "done", "run": found.run.id, "outcome": outcome})
    elif follow and outcome != RUNNING:
        say(screen, f"the run {found.run.id}: {outcome}")


def _print_logs(screen: Screen, found: Logs, follow: bool) -> None:
    printers: dict[str, Lines] = {}
    for stage, data in found.pieces():
        if not follow and stage not in printers:  # the one before is whole
            for printer in printers.values():
                printer.end()
        if found.one and not screen.json:
            out_bytes(data)
        else:
            if stage not in printers:
                printers[stage] = Lines(lambda line, stage=stage: _line(screen, stage, line))  # type: ignore[misc]
            printers[stage].take(data)
        flush()
    for printer in printers.values():
        printer.end()


def _line(screen: Screen, stage: str, text: str) -> None:
    if screen.json:
        emit_event("runs logs", {"event": "line", "stage": stage, "text": text})
        return
    colored = has_colors(screen)
    if "\x1b" in text:
        text = f"{text}\x1b[0m" if colored else without_colors(text)
    out(f"{paint(screen, display(stage), 'dim')} | {text}")


def _row(screen: Screen, run: Run, here: str) -> tuple[str, ...]:
    where = "" if run.root == here else f"  in {display(run.root)}"
    stages = ", ".join(f"{n} {w}" for w, n in run.counts.items() if w != UP_TO_DATE)
    return (
        run.id,
        _clock(run.begun),
        _outcome(screen, run.outcome),
        _time(run.seconds),
        stages or "-",
        _words(run) + where,
    )


def _facts(screen: Screen, found: Shown) -> list[tuple[str, str]]:
    run = found.run
    ended = f" (exit {run.exit_code})" if run.exit_code else ""
    ended += f" in {units.duration(run.seconds)}" if run.seconds is not None else ""
    rows = [
        ("run", run.id),
        ("outcome", _outcome(screen, run.outcome) + ended),
        ("command", _words(run)),
        ("began", f"{_clock(run.begun)}, process {run.pid}"),
        ("by", display(f"{run.by or 'nobody that git knows'} on {run.host}")),
        ("commit", (run.commit[:12] or "none yet") + (", with changes" if run.dirty else "")),
        ("worktree", display(run.root)),
    ]
    python = found.environment
    if python is not None and run.environment:
        packages = units.count(len(python["packages"]), "package")
        told = f"{python['implementation']} {python['version']}, {packages}"
        rows.append(("python", display(f"{told}: {python['path']} ({run.environment[:12]})")))
    return rows


def _stage_row(screen: Screen, one: StageRun) -> tuple[str, ...]:
    why = sentence(one.reasons)
    if one.attempts > 1:
        why += f" (attempt {one.attempts})"
    return (
        display(one.stage),
        _outcome(screen, one.outcome),
        "-" if one.exit_code is None else str(one.exit_code),
        _time(one.seconds),
        "-" if one.memory is None else units.size(one.memory),
        display(why),
    )


def _outcome(screen: Screen, word: str) -> str:
    return paint(screen, word, _COLORS[word]) if word in _COLORS else word


def _clock(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def _time(seconds: float | None) -> str:
    return "-" if seconds is None else units.duration(seconds)


def _words(run: Run) -> str:
    return display(shlex.join(run.words)) or "-"


def _run(run: Run) -> dict[str, Any]:
    return {
        "id": run.id,
        "command": list(run.words),
        "cwd": run.cwd,
        "worktree": run.root,
        "by": run.by,
        "host": run.host,
        "pid": run.pid,
        "commit": run.commit or None,
        "dirty": run.dirty,
        "begun": run.begun,
        "outcome": run.outcome,
        "exit_code": run.exit_code,
        "seconds": run.seconds,
        "counts": dict(run.counts),
        "environment": run.environment,
    }


def _stage(one: StageRun) -> dict[str, Any]:
    return {
        "stage": one.stage,
        "outcome": one.outcome,
        "why": sentence(one.reasons),
        "reasons": [reason._asdict() for reason in one.reasons],
        "key": one.key or None,
        "exit_code": one.exit_code,
        "begun": one.begun or None,
        "seconds": one.seconds,
        "memory": one.memory,
        "attempts": one.attempts,
        "error": one.error or None,
        "declared": dict(one.declared),
        "log": one.log or None,
    }
