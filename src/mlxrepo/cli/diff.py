"""`mlx diff`: what differs between revisions."""

from __future__ import annotations

from collections.abc import Iterator
from shlex import quote
from typing import Any

import click

from mlxrepo.cli import render
from mlxrepo.cli.console import emit_json, out, progress, say
from mlxrepo.cli.difftext import markdown, shortened, stat_lines, text_lines, totals
from mlxrepo.cli.failures import explain, tell
from mlxrepo.cli.options import Command
from mlxrepo.cli.screen import Screen
from mlxrepo.commands.diff import ArtifactDiff, Diff, diff
from mlxrepo.errors import InputError
from mlxrepo.repo.recorddiff import PLACES, Fact
from mlxrepo.repo.repo import Repo
from mlxrepo.repo.revisions import WORKSPACE
from mlxrepo.repo.tablediff import TableDiff
from mlxrepo.rows.diff import CellChange, RowsDiff
from mlxrepo.store.differences import FileChange
from mlxrepo.store.tree import Entry

_PATHS = "mlx.diff.paths"
_CELL_MAX = 1000  # characters of a cell in JSON


class DiffCommand(Command):
    """A command that heeds `--`: what follows are paths, and what stands before are none."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Set the words behind the first `--` apart, which click would forget."""
        if "--" in args:
            cut = args.index("--")
            ctx.meta[_PATHS] = tuple(args[cut + 1 :])
            args = args[:cut]
        return super().parse_args(ctx, args)


@click.command(
    "diff",
    cls=DiffCommand,
    examples=[
        ("mlx diff", "the last commit against the workspace"),
        ("mlx diff v1.0 -- data/images", "a tag against the workspace, one path"),
        ("mlx diff main...HEAD --md", "what a branch brings, for a pull request"),
        ("mlx diff HEAD~1 HEAD --rows data/reviews.csv", "rows and cells, by the key in mlx.yaml"),
    ],
)
@click.argument("words", nargs=-1, metavar="[REV [REV]] [--] [PATH]...")
@click.option("--stat", is_flag=True, help="One line for each artifact and stage.")
@click.option("--rows", is_flag=True, help="Compare the rows of tables whose key is declared.")
@click.option("--md", is_flag=True, help="Print Markdown.")
@click.option("--exit-code", is_flag=True, help="Exit with 1 when anything differs.")
@click.pass_obj
@click.pass_context
def command(
    ctx: click.Context,
    screen: Screen,
    words: tuple[str, ...],
    stat: bool,
    rows: bool,
    md: bool,
    exit_code: bool,
) -> int:
    """Show what differs between revisions.

    Two of them, or one (HEAD) and the workspace.

    Files inside datasets, features and models that were added, modified, deleted or renamed;
    stages whose command, inputs, params, outs or metrics are recorded otherwise. The workspace
    counts as it is, added or not. Only what differs is opened, and of that the listings alone:
    no data is needed, but for --rows, which reads the CSV and Parquet files that changed.
    """
    if stat and md:
        raise InputError("--stat and --md exclude each other")
    with Repo.open(screen.cwd) as repo:
        bar = progress(screen)
        bar.start("looking")
        found = diff(repo, words, ctx.meta.get(_PATHS), rows=rows, progress=bar)
        bar.done()
    if screen.json:
        emit_json("diff", _document(found))
    else:
        _show(screen, found, stat=stat, md=md)
    if any(table.problem for table in found.tables):
        return 3
    return 1 if exit_code and not found.is_empty else 0


def _show(screen: Screen, found: Diff, *, stat: bool, md: bool) -> None:
    if found.is_empty:
        out(f"nothing differs between {found.old} and {_new(found)}")
        return
    for line in _lines(screen, found, stat=stat, md=md):
        out(line)
    if any(artifact.unknown for artifact in found.artifacts):
        say(screen, f"hint: {_fetching(found)}, gets the listings that are not here")
    for table in found.tables:
        if table.problem and (failure := explain(table.problem)):
            tell(failure, screen)


def _lines(screen: Screen, found: Diff, *, stat: bool, md: bool) -> Iterator[str]:
    if md:
        return markdown(found)
    return stat_lines(found) if stat else text_lines(screen, found)


def _fetching(found: Diff) -> str:
    """Return the commands that bring what both sides record."""
    revs = [rev for rev in (found.old, found.new) if rev != WORKSPACE]
    words = ["REV" if "..." in rev else quote(rev) for rev in revs]
    return ", ".join(f"mlx fetch --rev {word}" for word in words)


def _new(found: Diff) -> str:
    return "the workspace" if found.new == WORKSPACE else found.new


# JSON


def _document(found: Diff) -> dict[str, Any]:
    return {
        "old": found.old,
        "new": found.new,
        "differs": not found.is_empty,
        "totals": totals(found),
        "artifacts": [_artifact(item) for item in found.artifacts],
        "stages": [
            {
                "stage": stage.stage,
                "change": stage.word,
                "facts": [_fact(fact) for fact in stage.facts],
            }
            for stage in found.stages
        ],
        "tables": [_table(table) for table in found.tables],
    }


def _artifact(item: ArtifactDiff) -> dict[str, Any]:
    return {
        "path": item.path,
        "old_path": item.old_path,
        "name": item.name,
        "stage": item.stage,
        "change": item.word,
        "old": render.entry_json(item.old),
        "new": render.entry_json(item.new),
        "changes": [_change(change) for change in item.changes],
        "unknown": [_change(change) for change in item.unknown],
    }


def _change(change: FileChange) -> dict[str, Any]:
    return {
        "path": change.path,
        "old_path": change.old_path,
        "change": change.word,
        "old": render.entry_json(change.old),
        "new": render.entry_json(change.new),
    }


def _fact(fact: Fact) -> dict[str, Any]:
    sides = (_side(fact, fact.old), _side(fact, fact.new))
    return {"what": fact.what, "name": fact.name, "old": sides[0], "new": sides[1]}


def _side(fact: Fact, value: Any) -> Any:
    if fact.what in PLACES:
        return render.entry_json(value if isinstance(value, Entry) else None)
    if fact.what == "metric" and isinstance(value, dict):
        return float(value["$float"])  # NaN or an infinity
    return value


def _table(table: TableDiff) -> dict[str, Any]:
    problem = table.problem
    error = {"message": str(problem), "hint": problem.hint} if problem else None
    found = _rows(table.rows) if table.rows else None
    return {"path": table.path, "key": list(table.key), "rows": found, "error": error}


def _rows(rows: RowsDiff) -> dict[str, Any]:
    return {
        **rows._asdict(),
        "columns": [column._asdict() for column in rows.columns],
        "rows": [
            {
                "key": [shortened(value, value, _CELL_MAX)[0] for value in row.key],
                "change": row.word,
                "cells": [_cell(cell) for cell in row.cells],
            }
            for row in rows.rows
        ],
    }


def _cell(cell: CellChange) -> dict[str, Any]:
    """Return a cell; `cut` where it is long, then with the part that begins to differ."""
    old, new = shortened(cell.old, cell.new, _CELL_MAX)
    is_cut = (old, new) != (cell.old, cell.new)
    return {"column": cell.column, "old": old, "new": new, **({"cut": True} if is_cut else {})}
