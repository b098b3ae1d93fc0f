"""`mlx metrics`: show metrics and compare them."""

from __future__ import annotations

import math
from typing import Any

import click

from mlxrepo.cli.console import emit_json, out
from mlxrepo.cli.options import Group
from mlxrepo.cli.screen import Screen
from mlxrepo.cli.tables import markdown_table, table
from mlxrepo.commands.metrics import MetricChange, diff, show
from mlxrepo.paths import display
from mlxrepo.repo.repo import Repo


@click.group(
    "metrics",
    cls=Group,
    examples=[
        ("mlx metrics diff", "the workspace against the last commit"),
        ("mlx metrics show --rev v1", "what was measured at a tag"),
    ],
)
def command() -> None:
    """Show metrics and compare them.

    Metrics are the numbers that stages left in their `metrics` files; they are kept in mlx.lock,
    so no data is needed to read them.
    """


@command.command(
    "show",
    examples=[
        ("mlx metrics show", "of the workspace"),
        ("mlx metrics show --rev HEAD~1 --md", "of an earlier commit, as Markdown"),
    ],
)
@click.option("--rev", metavar="REV", help="Show what is recorded at a git revision.")
@click.option("--md", is_flag=True, help="Print a Markdown table.")
@click.pass_obj
def show_command(screen: Screen, rev: str | None, md: bool) -> None:
    """Show metrics of the workspace or a revision."""
    with Repo.open(screen.cwd) as repo:
        found = show(repo, rev)
    if screen.json:
        emit_json("metrics show", {"rev": rev, "metrics": found})
        return
    rows = [
        [display(file), name, number(value)]
        for file, values in found.items()
        for name, value in values.items()
    ]
    _print(rows, ["file", "metric", "value"], "llr", md, empty="no metrics are recorded")


@command.command(
    "diff",
    examples=[
        ("mlx metrics diff", "the workspace against HEAD"),
        ("mlx metrics diff v1", "the workspace against a tag"),
        ("mlx metrics diff main my-branch --md", "two revisions, as Markdown"),
    ],
)
@click.argument("old", required=False)
@click.argument("new", required=False)
@click.option("--all", "every", is_flag=True, help="Show metrics that are equal too.")
@click.option("--md", is_flag=True, help="Print a Markdown table.")
@click.pass_obj
def diff_command(screen: Screen, old: str | None, new: str | None, every: bool, md: bool) -> None:
    """Compare metrics of two revisions, or of HEAD and the workspace."""
    with Repo.open(screen.cwd) as repo:
        found = diff(repo, old, new)
    rows = [row for row in found.rows if every or _differs(row)]
    if screen.json:
        document = {"old": found.old, "new": found.new, "metrics": [_document(r) for r in rows]}
        emit_json("metrics diff", document)
        return
    cells = [[display(r.file), r.name, number(r.old), number(r.new), _change(r)] for r in rows]
    headers = ["file", "metric", found.old, found.new, "change"]
    same = f"no metric differs between {found.old} and {found.new}"
    _print(cells, headers, "llrrr", md, empty=same)


def _print(rows: list[list[str]], headers: list[str], align: str, md: bool, *, empty: str) -> None:
    if not rows:
        out(empty)
    elif md:
        out(markdown_table(rows, headers, align))
    else:
        out(table(rows, headers, align))


def number(value: Any) -> str:
    """Return a number as people read it; a dash for none."""
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _differs(row: MetricChange) -> bool:
    both_nan = all(isinstance(v, float) and math.isnan(v) for v in (row.old, row.new))
    return not both_nan and row.old != row.new


def _change(row: MetricChange) -> str:
    if row.change is None:
        return "new" if row.old is None else "gone"
    return f"{row.change:+.6g}" if isinstance(row.change, float) else f"{row.change:+d}"


def _document(row: MetricChange) -> dict[str, Any]:
    return {
        "file": row.file,
        "metric": row.name,
        "old": row.old,
        "new": row.new,
        "change": row.change,
    }
