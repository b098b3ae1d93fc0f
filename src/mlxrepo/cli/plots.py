"""`mlx plots`: draw plots of the workspace and of revisions."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from typing import Any

import click

from mlxrepo.cli import charts
from mlxrepo.cli.console import emit_json, has_colors, out, out_bytes, say, warn
from mlxrepo.cli.options import Group
from mlxrepo.cli.screen import Screen
from mlxrepo.commands.plots import Look, Plots, diff, show, write_page
from mlxrepo.errors import InputError
from mlxrepo.paths import display
from mlxrepo.plots.model import TEMPLATES, Figure
from mlxrepo.plots.page import page
from mlxrepo.repo.repo import Repo


def _outputs(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say how plots look, and where they go."""
    for option in (
        click.option("--force", is_flag=True, help="Replace FILE whoever wrote it."),
        click.option("--open", "opens", is_flag=True, help="Open the page in a browser."),
        click.option("--output", metavar="FILE", help="Write the page to FILE; - is stdout."),
        click.option("--text", is_flag=True, help="Draw in the terminal, and write no page."),
        click.option(
            "--template",
            metavar="KIND",
            type=click.Choice(sorted(TEMPLATES)),
            help="Draw lines, points, bars and so on, whatever mlx.yaml says.",
        ),
        click.option("--y", multiple=True, metavar="COLUMN", help="Draw a column; repeatable."),
        click.option("--x", metavar="COLUMN", help="Take a column for the horizontal axis."),
    ):
        function = option(function)
    return function


@click.group(
    "plots",
    cls=Group,
    examples=[
        ("mlx plots show", "a page with the plots of the workspace"),
        ("mlx plots diff main", "the workspace laid over a branch"),
        ("mlx plots diff v1 v2 v3 --text", "three revisions, in the terminal"),
    ],
)
def command() -> None:
    """Draw plots, and lay revisions over each other.

    Plots are the `plots` of stages and of mlx.yaml: curves, points, bars, histograms, confusion
    matrices and images, from CSV, TSV, JSON, YAML and image files. The page holds all that it
    needs and opens without a network.
    """


@command.command(
    "show",
    examples=[
        ("mlx plots show", "all plots of the workspace"),
        ("mlx plots show evaluate --rev v1", "those of a stage, at a tag"),
        ("mlx plots show loss.csv --x step --y train --y test --text", "any file, in the terminal"),
        ("mlx plots show --output report.html --open", "to a file of yours, and into the browser"),
    ],
)
@click.argument("targets", nargs=-1)
@click.option("--rev", "revs", metavar="REV", multiple=True, help="Draw a revision; repeatable.")
@_outputs
@click.pass_obj
def show_command(
    screen: Screen,
    /,
    targets: tuple[str, ...],
    revs: tuple[str, ...],
    x: str | None,
    y: tuple[str, ...],
    template: str | None,
    **outputs: Any,
) -> None:
    """Draw plots of the workspace or of revisions.

    Targets are plots, stages, folders, and any files that can be drawn; none means all plots.
    """
    with Repo.open(screen.cwd) as repo:
        found = show(repo, targets, revs, Look(x, y, template))
        _deliver(screen, repo, "plots show", found, **outputs)


@command.command(
    "diff",
    examples=[
        ("mlx plots diff", "HEAD and the workspace"),
        ("mlx plots diff v1 v2 v3", "three revisions"),
        ("mlx plots diff main loss.csv --text", "one plot, a branch and the workspace"),
    ],
)
@click.argument("words", nargs=-1, metavar="[REV]... [TARGET]...")
@_outputs
@click.pass_obj
def diff_command(
    screen: Screen,
    /,
    words: tuple[str, ...],
    x: str | None,
    y: tuple[str, ...],
    template: str | None,
    **outputs: Any,
) -> None:
    """Lay plots of revisions over each other, or of HEAD and the workspace.

    The first words that git knows as revisions are those, what follows are targets; ./NAME is
    always a path. A single revision is compared with the workspace.
    """
    with Repo.open(screen.cwd) as repo:
        found = diff(repo, words, Look(x, y, template))
        _deliver(screen, repo, "plots diff", found, **outputs)


def _deliver(
    screen: Screen,
    repo: Repo,
    command: str,
    found: Plots,
    *,
    text: bool,
    output: str | None,
    opens: bool,
    force: bool,
) -> None:
    if text and (output is not None or opens or screen.json):
        raise InputError("--text draws in the terminal: leave --output, --open and --json away")
    if screen.json and output == "-":
        raise InputError("--json and --output - both want stdout: give one of them")
    if text:
        _print(screen, found)
        return
    if output == "-":
        out_bytes(_page(found))
        _tell(screen, found)
        return
    path = None
    if output is not None or opens or not screen.json:
        path = write_page(repo, _page(found), output, force=force)
    if screen.json:
        emit_json(command, {**_document(found), "path": path})
    elif path is not None:
        out(display(path))
        _tell(screen, found)
    if opens and path is not None:
        _open(screen, path)


def _page(found: Plots) -> bytes:
    title = f"Plots: {found.revs[0]}" if len(found.revs) == 1 else "Plots"
    return page(found.figures, found.revs, title)


def _tell(screen: Screen, found: Plots) -> None:
    """Say what the page lacks, for whoever does not read it to its end."""
    told: dict[str, list[str]] = {}
    for figure in found.figures:
        for note in figure.notes:
            told.setdefault(note, []).append(display(figure.name))
    for note, names in told.items():
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        say(screen, f"{', '.join(names[:3])}{more}: {note}")


def _print(screen: Screen, found: Plots) -> None:
    encoding = (getattr(sys.stdout, "encoding", None) or "").lower().replace("-", "")
    style = charts.Style(
        shutil.get_terminal_size((80, 24)).columns,
        unicode=encoding == "utf8",
        color=has_colors(screen),
    )
    out("\n\n".join(charts.text(figure, found.revs, style) for figure in found.figures))


def _open(screen: Screen, path: str) -> None:
    import webbrowser
    from pathlib import Path

    if not webbrowser.open(Path(path).as_uri()):
        warn(screen, f"no browser was found; open {display(path)} in one")


def _document(found: Plots) -> dict[str, Any]:
    return {"revisions": list(found.revs), "plots": [_figure(one) for one in found.figures]}


def _figure(figure: Figure) -> dict[str, Any]:
    return {
        "name": figure.name,
        "kind": figure.kind,
        "title": figure.title,
        "stage": figure.stage or None,
        "x_label": figure.x_label,
        "y_label": figure.y_label,
        "x_type": figure.x_type,
        "series": [
            {"rev": s.rev, "column": s.label, "x": list(s.x), "y": list(s.y)} for s in figure.series
        ],
        "matrices": [
            {"rev": m.rev, "rows": m.rows, "columns": m.columns, "cells": m.cells}
            for m in figure.matrices
        ],
        "images": [{"rev": p.rev, "media": p.media, "size": len(p.data)} for p in figure.pictures],
        "notes": list(figure.notes),
    }
