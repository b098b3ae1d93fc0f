"""`mlx unprotect`: private copies instead of links."""

from __future__ import annotations

import click

from mlxrepo.cli import units
from mlxrepo.cli.console import emit_json, out, progress
from mlxrepo.cli.options import Command
from mlxrepo.cli.screen import Screen
from mlxrepo.commands.unprotect import unprotect
from mlxrepo.paths import display
from mlxrepo.repo.repo import Repo


@click.command(
    "unprotect",
    cls=Command,
    examples=[
        ("mlx unprotect data/images", "to edit what mlx.link made a link"),
        ("mlx checkout --relink data/images", "the other way"),
    ],
)
@click.argument("targets", nargs=-1, required=True, metavar="PATH...")
@click.pass_obj
def command(screen: Screen, targets: tuple[str, ...]) -> None:
    """Make linked files private and writable.

    With mlx.link set to hardlink or symlink, files are links to read-only objects of the store.
    """
    with Repo.open(screen.cwd) as repo:
        done = unprotect(repo, targets, progress=progress(screen))
    if screen.json:
        emit_json("unprotect", {"paths": list(done.paths), "size": done.size})
        return
    if not done.paths:
        out("nothing to do: no file is a link or read-only")
        return
    files = units.count(len(done.paths), "file")
    out(f"private and writable: {files}, {units.size(done.size)} copied")
    for path in done.paths if screen.verbose else ():
        out(f"  {display(path)}")
