"""`mlx add`: record files and folders in the store."""

from __future__ import annotations

from typing import Any

import click

from mlxrepo.cli import render, units
from mlxrepo.cli.console import emit_json, out, progress, say
from mlxrepo.cli.options import Command
from mlxrepo.cli.screen import Screen
from mlxrepo.commands.add import Added, add, add_modified
from mlxrepo.errors import InputError
from mlxrepo.paths import display
from mlxrepo.repo.repo import Repo
from mlxrepo.repo.update import Updated

KINDS = {"dataset": "data", "feature": "feature", "model": "model"}


@click.command(
    "add",
    cls=Command,
    examples=[
        ("mlx add data/reviews.csv", "a file"),
        ("mlx add data/images", "a folder, as one dataset"),
        ("mlx add data/images/cats", "only this part of a tracked folder"),
        ("mlx add --kind model --name base weights.bin", "a model from elsewhere"),
        ("mlx add -u", "everything tracked that changed"),
    ],
)
@click.argument("paths", nargs=-1)
@click.option("--name", help="Name of the artifact; default: from the path.")
@click.option("--kind", type=click.Choice(list(KINDS)), help="What it is; default: dataset.")
@click.option("-u", "--update", is_flag=True, help="Record every tracked path that changed.")
@click.pass_obj
def command(
    screen: Screen, paths: tuple[str, ...], name: str | None, kind: str | None, update: bool
) -> None:
    """Record files and folders in the store.

    A path inside a tracked folder updates that path only. Files that are recorded but not in this
    worktree stay recorded; files that were here and are gone are recorded as deleted. The name is
    the file's without its ending, with the names of the folders above it where that is taken.
    """
    if update == bool(paths) or (update and (name or kind)):
        raise InputError("name the paths to add, or use -u alone", hint="mlx add DATA")
    with Repo.open(screen.cwd) as repo:
        bar = progress(screen)
        bar.start("hashing")
        if update:
            done = add_modified(repo, progress=bar)
        else:
            done = add(repo, paths, name=name, kind=KINDS[kind] if kind else None, progress=bar)
        bar.done()
    if screen.json:
        emit_json("add", _document(done))
        return
    for updated in done.updated:
        out(_line(updated))
        for path in updated.deleted[:20]:
            out(f"  deleted: {display(path)}")
    if not done.updated:
        out("nothing changed")
    if done.to_commit:
        say(screen, render.next_step(repo.root, done.to_commit))


def _line(updated: Updated) -> str:
    where = f"{display(updated.path)} ({updated.address})"
    if updated.old is None:
        new = f"{units.size(updated.new_bytes)} new" if updated.new_objects else "nothing new"
        return f"added {where}: {render.totals(updated.entry)}; {new} in the store"
    counts = render.change_counts(updated.changes) or "nothing changed"
    absent = ""
    if updated.absent:
        absent = f"; {units.count(updated.absent, 'absent file')} kept as recorded"
    return f"updated {where}: {counts}{absent}"


def _document(done: Added) -> dict[str, Any]:
    return {
        "artifacts": [
            {
                "path": updated.path,
                "name": updated.address,
                "entry": render.entry_json(updated.entry),
                "old": render.entry_json(updated.old),
                "changes": [render.change_json(c) for c in updated.changes if updated.old],
                "absent": updated.absent,
                "new_objects": updated.new_objects,
                "new_bytes": updated.new_bytes,
            }
            for updated in done.updated
        ],
        "to_commit": list(done.to_commit),
    }
