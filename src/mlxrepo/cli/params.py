"""`mlx params`: compare parameters."""

from __future__ import annotations

from typing import Any

import click

from mlxrepo.cli.console import emit_json, out
from mlxrepo.cli.options import Group
from mlxrepo.cli.screen import Screen
from mlxrepo.cli.tables import markdown_table, table
from mlxrepo.commands.params import ParamChange, diff
from mlxrepo.paths import display
from mlxrepo.repo.repo import Repo
from mlxrepo.values import Reading, encode


@click.group(
    "params",
    cls=Group,
    examples=[("mlx params diff", "the workspace against the last commit")],
)
def command() -> None:
    """Compare parameters.

    Parameters are the values in the params files that stages name (params.yaml by default).
    """


@command.command(
    "diff",
    examples=[
        ("mlx params diff", "the workspace against HEAD"),
        ("mlx params diff v1 v2 --md", "two tags, as Markdown"),
    ],
)
@click.argument("old", required=False)
@click.argument("new", required=False)
@click.option("--md", is_flag=True, help="Print a Markdown table.")
@click.pass_obj
def diff_command(screen: Screen, old: str | None, new: str | None, md: bool) -> None:
    """Compare parameters of two revisions, or of HEAD and the workspace."""
    with Repo.open(screen.cwd) as repo:
        found = diff(repo, old, new)
    if screen.json:
        document = {
            "old": found.old,
            "new": found.new,
            "params": [_document(row) for row in found.rows],
        }
        emit_json("params diff", document)
        return
    if not found.rows:
        out(f"no parameter differs between {found.old} and {found.new}")
        return
    rows = [
        [display(r.file), r.name, _text(r.old, r.in_old), _text(r.new, r.in_new)]
        for r in found.rows
    ]
    draw = markdown_table if md else table
    out(draw(rows, ["file", "param", found.old, found.new], "llrr"))


def _text(value: Any, present: bool) -> str:
    if not present:
        return "-"
    if isinstance(value, Reading):
        return f"{value.yaml12!r} (YAML 1.1: {value.yaml11!r})"
    return value if isinstance(value, str) and value else repr(value)


def _document(row: ParamChange) -> dict[str, Any]:
    return {
        "file": row.file,
        "param": row.name,
        "old": encode(row.old),
        "new": encode(row.new),
        "in_old": row.in_old,
        "in_new": row.in_new,
    }
