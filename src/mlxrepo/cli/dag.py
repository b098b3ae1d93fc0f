"""`mlx dag`: draw the pipeline."""

from __future__ import annotations

import click

from mlxrepo.cli import graphs
from mlxrepo.cli.console import emit_json, out
from mlxrepo.cli.options import Command
from mlxrepo.cli.screen import Screen
from mlxrepo.commands.dag import dag
from mlxrepo.errors import InputError
from mlxrepo.repo.repo import Repo


@click.command(
    "dag",
    cls=Command,
    examples=[
        ("mlx dag", "in the terminal"),
        ("mlx dag --mermaid train", "one stage and what it needs, for Markdown"),
        ("mlx dag --dot | dot -Tsvg > dag.svg", "for Graphviz"),
    ],
)
@click.argument("targets", nargs=-1)
@click.option("--mermaid", is_flag=True, help="Print a Mermaid flowchart.")
@click.option("--dot", is_flag=True, help="Print a Graphviz graph.")
@click.pass_obj
def command(screen: Screen, targets: tuple[str, ...], mermaid: bool, dot: bool) -> None:
    """Draw the pipeline."""
    if mermaid and dot:
        raise InputError("--mermaid and --dot are two formats", hint="choose one of them")
    with Repo.open(screen.cwd) as repo:
        found = dag(repo, targets)
    if screen.json:
        emit_json("dag", {"nodes": list(found.nodes), "edges": [list(e) for e in found.edges]})
        return
    if not found.nodes:
        out("mlx.yaml declares no stage")
        return
    draw = graphs.mermaid if mermaid else graphs.dot if dot else graphs.ascii_dag
    out(draw(list(found.nodes), list(found.edges)).rstrip("\n"))
