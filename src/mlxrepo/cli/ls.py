"""`mlx ls`: what is tracked."""

from __future__ import annotations

import click

from mlxrepo.cli import render, units
from mlxrepo.cli.console import emit_json, out
from mlxrepo.cli.options import Command
from mlxrepo.cli.screen import Screen
from mlxrepo.cli.tables import table
from mlxrepo.commands.ls import Listed, ls
from mlxrepo.paths import display
from mlxrepo.repo.repo import Repo


@click.command(
    "ls",
    cls=Command,
    examples=[
        ("mlx ls", "every tracked path"),
        ("mlx ls data/images", "what a tracked folder holds"),
        ("mlx ls -R --rev HEAD~1 data/images", "every file of it, one commit ago"),
    ],
)
@click.argument("target", required=False)
@click.option("--rev", metavar="REV", help="List what is recorded at a git revision.")
@click.option("-R", "--recursive", is_flag=True, help="List files in sub-folders too.")
@click.pass_obj
def command(screen: Screen, target: str | None, rev: str | None, recursive: bool) -> None:
    """List what is tracked.

    Reads what is recorded, so it also lists files that are not in this worktree.
    """
    with Repo.open(screen.cwd) as repo:
        rows = ls(repo, target, rev=rev, recursive=recursive)
    if screen.json:
        emit_json("ls", {"entries": [_document(row) for row in rows]})
    elif rows:
        out(table([_row(screen, row) for row in rows], align="lrl"))


def _row(screen: Screen, row: Listed) -> list[str]:
    slash = "/" if row.entry.kind == "tree" else ""
    cells = [display(row.path) + slash, units.size(row.entry.size)]
    cells.append(units.count(row.entry.files, "file") if slash else "")
    if row.address:
        cells.append(
            row.address if row.address.startswith(row.role) else f"{row.role} of {row.address}"
        )
    if screen.verbose:
        cells.append(row.entry.oid)
    return cells


def _document(row: Listed) -> dict[str, object]:
    return {
        "path": row.path,
        "role": row.role,
        "name": row.address,
        **(render.entry_json(row.entry) or {}),
    }
