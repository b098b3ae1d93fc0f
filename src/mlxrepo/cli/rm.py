"""`mlx rm`: stop tracking data."""

from __future__ import annotations

import click

from mlxrepo.cli import render
from mlxrepo.cli.console import emit_json, out, progress, say
from mlxrepo.cli.options import Command
from mlxrepo.cli.screen import Screen
from mlxrepo.commands.rm import rm
from mlxrepo.repo.repo import Repo


@click.command(
    "rm",
    cls=Command,
    examples=[
        ("mlx rm data/reviews.csv", "from the workspace, mlx.yaml, mlx.lock and .gitignore"),
        ("mlx rm --cached data/images", "forget it, but leave the files"),
        ("mlx rm data/images/bad.png", "one file of a tracked folder"),
    ],
)
@click.argument("targets", nargs=-1, required=True)
@click.option("--cached", is_flag=True, help="Leave the files in the workspace.")
@click.option("--force", is_flag=True, help="Also with unrecorded changes; a copy is kept.")
@click.option("-n", "--dry-run", is_flag=True, help="Only check and tell.")
@click.option("-y", "--yes", is_flag=True, help="For scripts: it asks nothing in any case.")
@click.pass_obj
def command(
    screen: Screen, targets: tuple[str, ...], cached: bool, force: bool, dry_run: bool, yes: bool
) -> None:
    """Stop tracking data and remove it from the workspace.

    Earlier commits keep it. It is refused when only the workspace has the bytes.
    """
    with Repo.open(screen.cwd) as repo:
        bar = progress(screen)
        done = rm(repo, targets, cached=cached, force=force, dry_run=dry_run, progress=bar)
    if screen.json:
        document = {
            "paths": list(done.paths),
            "kept": list(done.kept),
            "trash": done.trash,
            "to_commit": list(done.to_commit),
            "applied": done.applied,
        }
        emit_json("rm", document)
        return
    word = "no longer tracked" if done.applied else "would no longer be tracked"
    out(f"{word}: {render.names(done.paths)}")
    if done.kept:
        out(f"left where they are, mlx never had them: {render.names(done.kept)}")
    if done.trash:
        say(screen, f"a copy of what was not recorded is in {done.trash}")
    if done.to_commit:
        say(screen, render.next_step(repo.root, done.to_commit))
