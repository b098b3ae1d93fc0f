"""`mlx uninstall`: the set-up of one clone, taken away."""

from __future__ import annotations

from dataclasses import asdict

import click

from mlxrepo.cli import render
from mlxrepo.cli.console import emit_json, out, say, warn
from mlxrepo.cli.options import Command
from mlxrepo.cli.screen import Screen
from mlxrepo.commands.install import uninstall
from mlxrepo.paths import display
from mlxrepo.repo.repo import Repo


@click.command("uninstall", cls=Command, examples=[("mlx uninstall", "git as it was before")])
@click.pass_obj
def command(screen: Screen) -> None:
    """Undo mlx install.

    Hooks that were there before are put back as they were. Data and records stay.
    """
    with Repo.find(screen.cwd) as repo:
        done = uninstall(repo)
    if screen.json:
        emit_json("uninstall", asdict(done))
        return
    if done.settings:
        out("unset: how git merges mlx.lock, and how it shows it")
    if done.hooks:
        out(f"removed hooks: {render.names(done.hooks)}")
    if not (done.settings or done.hooks):
        out("nothing to do: this clone is not prepared")
    for path in done.left:
        warn(screen, f"{display(path)} is of others, and another hook is in its place")
    if done.wired:
        say(screen, f"hooks of yours that call mlx: {render.names(done.wired)}")
