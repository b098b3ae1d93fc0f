"""`mlx mv`: give tracked data another path."""

from __future__ import annotations

import click

from mlxrepo.cli import render
from mlxrepo.cli.console import emit_json, out, say, warn
from mlxrepo.cli.options import Command
from mlxrepo.cli.screen import Screen
from mlxrepo.commands.mv import mv
from mlxrepo.paths import display
from mlxrepo.repo.repo import Repo


@click.command(
    "mv",
    cls=Command,
    examples=[
        ("mlx mv data/raw data/reviews", "files, mlx.yaml, mlx.lock and .gitignore together"),
        ("mlx mv data/reviews.csv archive/", "into a folder"),
        ("mlx mv data:reviews reviews.csv", "by its name, which stays"),
    ],
)
@click.argument("source", metavar="SRC")
@click.argument("target", metavar="DST")
@click.option("-n", "--dry-run", is_flag=True, help="Only check and tell.")
@click.option("-y", "--yes", is_flag=True, help="For scripts: it asks nothing in any case.")
@click.pass_obj
def command(screen: Screen, source: str, target: str, dry_run: bool, yes: bool) -> None:
    """Give tracked data another path.

    Nothing is copied or read again. Stages that read it get the new path in mlx.yaml; what their
    commands say is for you to change.
    """
    with Repo.open(screen.cwd) as repo:
        done = mv(repo, source, target, dry_run=dry_run)
    if screen.json:
        document = {
            "old": done.old,
            "new": done.new,
            "artifact": done.address,
            "stages": list(done.stages),
            "named": list(done.named),
            "to_commit": list(done.to_commit),
            "applied": done.applied,
        }
        emit_json("mv", document)
        return
    word = "moved" if done.applied else "would move"
    out(f"{word} {display(done.old)} to {display(done.new)} ({done.address})")
    if done.named:
        warn(screen, f"{display(done.old)} is still written in: {render.names(done.named)}")
    if done.stages:
        say(
            screen, f"stages that read it run again at the next mlx repro: {', '.join(done.stages)}"
        )
    if done.applied:
        say(screen, render.next_step(repo.root, done.to_commit))
