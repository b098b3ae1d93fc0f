"""`mlx params`: compare parameters."""

from __future__ import annotations

from collections.abc import Callable
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
    """Compare parameters of two revisions, or of HEAD and the workspace.

    A value that YAML 1.1 and YAML 1.2 read differently, such as an unquoted no, is shown with
    both, and differs when one of its readings does. The stages are those that read it.
    """
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
        [display(r.file), display(r.name), *_both(r), ", ".join(map(display, r.stages))]
        for r in found.rows
    ]
    headers = ["file", "param", display(found.old), display(found.new), "stages"]
    draw = markdown_table if md else table
    out(draw(rows, headers, "llrr"))


def _both(row: ParamChange) -> tuple[str, str]:
    """Return the old and the new value; as Python writes them when they look the same."""
    old, new = _text(row.old, row.in_old, str), _text(row.new, row.in_new, str)
    if old == new:  # "1" and 1
        return _text(row.old, row.in_old, repr), _text(row.new, row.in_new, repr)
    return old, new


def _text(value: Any, present: bool, plain: Callable[[Any], str]) -> str:
    if not present:
        return "-"
    if isinstance(value, Reading):
        return display(f"{value.yaml12!r} (YAML 1.1: {value.yaml11!r})")
    return display(plain(value) if isinstance(value, str) and value else repr(value))


def _document(row: ParamChange) -> dict[str, Any]:
    return {
        "file": row.file,
        "param": row.name,
        "old": encode(row.old),
        "new": encode(row.new),
        "in_old": row.in_old,
        "in_new": row.in_new,
        "stages": list(row.stages),
    }
