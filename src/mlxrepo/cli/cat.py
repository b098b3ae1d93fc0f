"""`mlx cat`: print one tracked file."""

from __future__ import annotations

import sys

import click

from mlxrepo.cli.console import OutputClosed, flush
from mlxrepo.cli.options import Command
from mlxrepo.cli.screen import Screen
from mlxrepo.commands.cat import cat
from mlxrepo.repo.repo import Repo


@click.command(
    "cat",
    cls=Command,
    examples=[
        ("mlx cat data/reviews.csv | head", "a file as it is recorded"),
        ("mlx cat --rev v1 data/images/labels.json", "one file of a folder, at a tag"),
    ],
)
@click.argument("target")
@click.option("--rev", metavar="REV", help="Print what is recorded at a git revision.")
@click.pass_obj
def command(screen: Screen, target: str, rev: str | None) -> None:
    """Print one tracked file, of now or of a revision.

    The bytes are verified before the first one is printed.
    """
    flush()
    with Repo.open(screen.cwd) as repo:
        try:
            cat(repo, target, sys.stdout.fileno(), rev=rev)
        except BrokenPipeError:
            raise OutputClosed from None
