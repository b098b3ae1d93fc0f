"""`mlx add`: record files and folders in the store."""

from __future__ import annotations

from collections.abc import Sequence
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
from mlxrepo.repo.update import Updated, behind

_TO_REMOTE = "mlx add --to-remote SOURCE [DEST]"
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
        ("mlx add --to-remote s3://lake/images data/images", "what does not fit here: no copy"),
        ("mlx add --to-remote /mnt/usb/big.parquet data/", "or from another disk"),
    ],
)
@click.argument("paths", nargs=-1)
@click.option("--name", help="Name of the artifact; default: from the path.")
@click.option("--kind", type=click.Choice(list(KINDS)), help="What it is; default: dataset.")
@click.option("-u", "--update", is_flag=True, help="Record every tracked path that changed.")
@click.option(
    "--to-remote", is_flag=True, help="Send SOURCE, a path or URL, to a remote; keep no copy."
)
@click.option("-r", "--remote", metavar="NAME", help="The remote, instead of the default one.")
@click.option("-j", "--jobs", type=click.IntRange(min=1), metavar="N", help="Send N at a time.")
@click.option("-n", "--dry-run", is_flag=True, help="Only say what would be sent.")
@click.pass_obj
def command(
    screen: Screen,
    paths: tuple[str, ...],
    name: str | None,
    kind: str | None,
    update: bool,
    to_remote: bool,
    remote: str | None,
    jobs: int | None,
    dry_run: bool,
) -> None:
    """Record files and folders in the store.

    A path inside a tracked folder updates that path only. Files that are recorded but not in this
    worktree stay recorded; files that were here and are gone are recorded as deleted. The name is
    the file's without its ending, with the names of the folders above it where that is taken.

    With --to-remote the arguments are SOURCE [DEST]: a path anywhere on this machine, or a URL, and
    the path at which it is tracked (by its last name below a DEST that ends with /, or here). It
    goes through memory to the remote, and mlx pull DEST brings it. The same command again goes on
    after a kill. -r, -j and -n belong to it.
    """
    if to_remote:
        if update or not 1 <= len(paths) <= 2:
            raise InputError("--to-remote takes SOURCE [DEST]", hint=_TO_REMOTE)
        _send(screen, paths, name, kind, remote, jobs, dry_run)
        return
    if remote or jobs or dry_run:
        raise InputError("-r, -j and -n belong to --to-remote", hint=_TO_REMOTE)
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
        way_out = behind(repo, done.behind).hint if done.behind else None
    if screen.json:
        emit_json("add", _document(done))
        return
    _show(screen, repo.root, done, way_out)


def _show(screen: Screen, root: str, done: Added, way_out: str | None) -> None:
    for updated in done.updated:
        out(_line(updated))
        for path in updated.deleted[:20]:
            out(f"  deleted: {display(path)}")
    for item in done.behind:
        out(f"left as it is: {display(item.path)} is older than recorded")
    if way_out:
        say(screen, way_out)
    elif not done.updated:
        out("nothing changed")
    if done.to_commit:
        say(screen, render.next_step(root, done.to_commit))


def _send(
    screen: Screen,
    words: Sequence[str],
    name: str | None,
    kind: str | None,
    remote: str | None,
    jobs: int | None,
    dry_run: bool,
) -> None:
    from mlxrepo.cli import addthere  # what it needs is loaded then

    with Repo.open(screen.cwd) as repo:
        done = addthere.run(
            repo, words, name=name, kind=KINDS[kind] if kind else None, remote=remote, jobs=jobs,
            dry_run=dry_run, progress=progress(screen),
        )  # fmt: skip
        addthere.show(screen, repo, done)


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
        "behind": [item.path for item in done.behind],
        "to_commit": list(done.to_commit),
    }
