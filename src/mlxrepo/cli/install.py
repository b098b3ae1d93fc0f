"""`mlx install`: the set-up of one clone."""

from __future__ import annotations

from dataclasses import asdict

import click

from mlxrepo.cli import render
from mlxrepo.cli.console import emit_json, out, say, warn
from mlxrepo.cli.options import Command
from mlxrepo.cli.screen import Screen
from mlxrepo.commands.install import Installed, install
from mlxrepo.paths import display
from mlxrepo.repo.repo import Repo


@click.command(
    "install",
    cls=Command,
    examples=[
        ("git clone URL && cd proj && mlx install && mlx pull", "a colleague's project"),
        ("mlx install --no-hooks", "only how git merges and shows mlx.lock"),
    ],
)
@click.option("--no-hooks", is_flag=True, help="Set the merge driver and textconv only.")
@click.pass_obj
def command(screen: Screen, no_hooks: bool) -> int:
    """Prepare this clone: merge driver, textconv and hooks.

    git takes neither settings nor hooks from a clone, so each clone needs it once, and once more
    after an upgrade; it does nothing twice. Then git merges mlx.lock by records and shows it as
    prose, brings the data along when it switches branches, merges or rebases, has what is
    committed checked, and sends data before the commits that name it.

    A hook that is there already runs first. Where core.hooksPath leads out of the repository, or
    to hooks that git tracks, mlx says which lines to add and exits with 1. MLXREPO_NO_HOOKS=1
    switches the hooks off.
    """
    with Repo.find(screen.cwd) as repo:
        done = install(repo, with_hooks=not no_hooks)
    if screen.json:
        document = asdict(done)
        emit_json("install", {**document, "lines": done.lines})
    else:
        _show(screen, done)
    return 1 if done.lacking else 0


def _show(screen: Screen, done: Installed) -> None:
    if done.settings:
        out("set: how git merges mlx.lock, and how it shows it")
    if done.hooks:
        out(f"hooks: {render.names(done.hooks)}")
    if done.chained:
        say(screen, f"hooks that were there before run first: {render.names(done.chained)}")
    if not (done.settings or done.hooks or done.lacking):
        out("nothing to do: this clone is prepared")
    if done.lacking:
        warn(screen, f"hooks that mlx did not write into {display(done.folder)}: {done.why}")
        for name, line in done.lines.items():
            out(f"add to {name}:  {line}")
