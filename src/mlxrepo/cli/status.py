"""`mlx status`: what differs from what is recorded."""

from __future__ import annotations

from typing import Any

import click

from mlxrepo.cli import render, units
from mlxrepo.cli.console import emit_json, out, paint, progress
from mlxrepo.cli.options import Command
from mlxrepo.cli.screen import Screen
from mlxrepo.commands.status import (
    ABSENT,
    BEHIND,
    CLEAN,
    FETCHED,
    RUNNING,
    STALE,
    PathStatus,
    StageStatus,
    Status,
    status,
)
from mlxrepo.errors import InputError
from mlxrepo.paths import display
from mlxrepo.repo.repo import Repo

SHOWN_CHANGES = 10
_COLORS = {
    "modified": "yellow",
    BEHIND: "yellow",
    "deleted": "red",
    "not added": "yellow",
    STALE: "yellow",
}


@click.command(
    "status",
    cls=Command,
    examples=[
        ("mlx status", "the whole repository"),
        ("mlx status data/images train", "one path and one stage"),
        ("mlx status --exit-code", "1 when there is something to do, for a CI job"),
        ("mlx status --unpushed", "what the remote lacks of what is recorded"),
    ],
)
@click.argument("targets", nargs=-1)
@click.option("--exit-code", is_flag=True, help="Exit with 1 unless everything is clean.")
@click.option("--unpushed", is_flag=True, help="Ask a remote what it lacks, instead.")
@click.option("-r", "--remote", metavar="NAME", help="With --unpushed: which remote.")
@click.pass_obj
def command(
    screen: Screen,
    targets: tuple[str, ...],
    exit_code: bool,
    unpushed: bool,
    remote: str | None,
) -> int:
    """Show what differs from what is recorded.

    Data is clean, modified, older than recorded (after a git pull), deleted or absent (recorded,
    but never fetched here, or dropped);
    stages are up to date or stale, with the reason. Nothing is changed and nothing is run.
    --unpushed tells what mlx push would send; only then is a remote asked.
    """
    if remote and not unpushed:
        raise InputError("-r goes with --unpushed: nothing else asks a remote")
    with Repo.open(screen.cwd) as repo:
        if unpushed:
            from mlxrepo.cli.unpushed import show_unpushed

            return show_unpushed(screen, repo, targets, remote, exit_code)
        bar = progress(screen)
        bar.start("looking")
        found = status(repo, targets, progress=bar)
        bar.done()
    if screen.json:
        emit_json("status", _document(found))
    else:
        _show(screen, found)
    return 1 if exit_code and not found.clean else 0


def _show(screen: Screen, found: Status) -> None:
    for path in found.paths:
        if path.state != CLEAN or path.absent or screen.verbose:
            _show_path(screen, path)
    for stage in found.stages:
        if stage.state in (STALE, ABSENT, RUNNING) or stage.why or screen.verbose:
            _show_stage(screen, stage)
    if found.aside:
        names = render.names(found.aside)
        out(f"  set aside by a run that was killed: {names}   (mlx checkout puts them back)")
    for address in found.leftover:
        verb = f"mlx rm --cached {display(address)}" if ":" in address else "mlx repro"
        out(f"  recorded, no longer declared: {display(address)}   ({verb} forgets it)")
    if found.clean:
        out(_all_clean(found))


def _all_clean(found: Status) -> str:
    counts = (
        f"{units.count(len(found.paths), 'artifact')}, {units.count(len(found.stages), 'stage')}"
    )
    if not found.paths and not found.stages:
        return "clean: nothing is tracked yet (mlx add DATA)"
    return f"clean: {counts}"


def _show_path(screen: Screen, path: PathStatus) -> None:
    word = paint(screen, path.state, _COLORS.get(path.state, "dim"))
    line = f"  {word}: {display(path.path)} ({path.address})"
    counts = render.change_counts(path.changes)
    if counts and path.changes[0].path:
        line += f"  {counts}"
    verb = "checkout" if path.origin == FETCHED else "pull"
    if path.state == BEHIND:
        line += f"  (mlx {verb} {path.address})"
    elif path.absent:
        files = units.count(path.absent, "file")
        line += f"  {files} absent ({path.origin}; mlx {verb} {path.address} brings it)"
    out(line)
    inside = [change for change in path.changes if change.path]
    for change in inside if screen.verbose else inside[:SHOWN_CHANGES]:
        out(f"      {change.word}: {display(change.path)}")
    if len(inside) > SHOWN_CHANGES and not screen.verbose:
        out(f"      and {len(inside) - SHOWN_CHANGES} more (-v shows all)")


def _show_stage(screen: Screen, stage: StageStatus) -> None:
    word = paint(screen, stage.state, _COLORS.get(stage.state, "dim"))
    why = f"  {stage.word}: {stage.why}" if stage.why else ""
    out(f"  {word}: stage {display(stage.stage)}{why}")


def _document(found: Status) -> dict[str, Any]:
    return {
        "clean": found.clean,
        "artifacts": [
            {
                "path": path.path,
                "name": path.address,
                "state": path.state,
                "absent": path.absent,
                "origin": path.origin or None,
                "changes": [render.change_json(change) for change in path.changes],
            }
            for path in found.paths
        ],
        "stages": [
            {"stage": s.stage, "state": s.state, "decision": s.word, "why": s.why}
            for s in found.stages
        ],
        "leftover": list(found.leftover),
        "aside": list(found.aside),
    }
