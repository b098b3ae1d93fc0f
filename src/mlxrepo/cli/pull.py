"""`mlx pull`: get data into the workspace."""

from __future__ import annotations

import click

from mlxrepo.cli import render, units
from mlxrepo.cli.console import emit_json, out, progress, say
from mlxrepo.cli.options import Command
from mlxrepo.cli.screen import Screen
from mlxrepo.cli.sharing import (
    fetched_document,
    is_short,
    sharing_options,
    show_away,
    show_fetched,
)
from mlxrepo.commands.checkout import CheckedOut, checkout
from mlxrepo.commands.fetch import fetch
from mlxrepo.repo.repo import Repo


@click.command(
    "pull",
    cls=Command,
    examples=[
        ("git pull && mlx pull", "code, data and models as they are recorded"),
        ("mlx pull data/images/train/cats", "one folder of a dataset"),
        ("mlx pull -r backup model:fraud", "from another remote"),
    ],
)
@sharing_options
@click.option("-n", "--dry-run", is_flag=True, help="Get listings of folders, and no file.")
@click.option("--force", is_flag=True, help="Replace unrecorded files; copies go to the trash.")
@click.pass_obj
def command(
    screen: Screen,
    targets: tuple[str, ...],
    remote: str | None,
    jobs: int | None,
    dry_run: bool,
    force: bool,
) -> int:
    """Get data from a remote into the workspace.

    It is mlx fetch, then mlx checkout. Wrong bytes never reach the workspace.
    """
    bar = progress(screen)
    with Repo.open(screen.cwd) as repo:
        done = fetch(repo, targets, remote=remote, jobs=jobs, dry_run=dry_run, progress=bar)
        if not screen.json:
            for item in done:
                show_fetched(screen, item, quiet=not dry_run)
        if dry_run:
            if screen.json:
                emit_json("pull", {"remotes": fetched_document(done)})
            return 1 if is_short(done) else 0
        placed = checkout(repo, targets, force=force, progress=bar)
    if screen.json:
        emit_json("pull", {"remotes": fetched_document(done), "workspace": _document(placed)})
    else:
        _show(screen, placed)
    return 1 if placed.missing or is_short(done) else 0


def _show(screen: Screen, placed: CheckedOut) -> None:
    if placed.files or placed.removed:
        removed = f", {len(placed.removed)} removed" if placed.removed else ""
        out(f"{units.count(placed.files, 'file')} written{removed}")
    elif not (placed.missing or placed.away):
        out("nothing to do: the workspace is as recorded")
    show_away(screen, placed.away)
    if placed.missing:
        missing = sum(files for _, files in placed.missing)
        names = render.names([path for path, _ in placed.missing])
        count = units.count(missing, "file")
        say(screen, f"left as before, for want of the bytes: {count}: {names}")


def _document(placed: CheckedOut) -> dict[str, object]:
    return {
        "files": placed.files,
        "removed": list(placed.removed),
        "missing": [{"path": path, "files": lost} for path, lost in placed.missing],
        "away": [{"path": path, "stage": stage} for path, stage in placed.away],
    }
