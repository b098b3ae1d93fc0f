"""`mlx init`: make this git repository an mlx project."""

from __future__ import annotations

import click

from mlxrepo.cli import render
from mlxrepo.cli.console import emit_json, out, say
from mlxrepo.cli.options import Command
from mlxrepo.cli.screen import Screen
from mlxrepo.commands.init import init
from mlxrepo.repo.repo import Repo


@click.command(
    "init",
    cls=Command,
    examples=[
        ("git init proj && cd proj && mlx init", "a new project"),
        ("cd sub && mlx init", "a project file of its own for a part of a repository"),
    ],
)
@click.pass_obj
def command(screen: Screen) -> None:
    """Make this git repository an mlx project.

    Writes mlx.yaml with a commented example, .mlxignore and a line in .gitattributes. What is
    there already stays as it is.
    """
    with Repo.find(screen.cwd) as repo:
        done = init(repo)
    if screen.json:
        emit_json("init", {"created": list(done.created), "present": list(done.present)})
        return
    if not done.created:
        out("nothing to do: this is an mlx project already")
        return
    out(f"created {render.names(done.created)}")
    say(screen, f"{render.next_step(repo.root, done.created)}, then mlx add DATA")
