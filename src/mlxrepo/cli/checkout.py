"""`mlx checkout`: bring the workspace to what is recorded."""

from __future__ import annotations

import click

from mlxrepo.cli import render, units
from mlxrepo.cli.console import emit_json, out, progress, say, warn
from mlxrepo.cli.options import Command
from mlxrepo.cli.screen import Screen
from mlxrepo.cli.sharing import show_away
from mlxrepo.commands.checkout import CheckedOut, checkout
from mlxrepo.commands.relink import relink as relink_files
from mlxrepo.errors import InputError
from mlxrepo.paths import display
from mlxrepo.repo.repo import Repo

SHOWN_MISSING = 10


@click.command(
    "checkout",
    cls=Command,
    examples=[
        ("git checkout HEAD~1 && mlx checkout", "code, data and models of an earlier commit"),
        ("mlx checkout data/images", "bring back one path"),
        ("mlx checkout --rev v1 model:fraud", "a model as it was at a tag"),
        ("mlx checkout --relink data/images", "links again after mlx unprotect or a new mlx.link"),
        ("mlx checkout --force", "also over files that were never recorded; a copy is kept"),
    ],
)
@click.argument("targets", nargs=-1)
@click.option("--rev", metavar="REV", help="Take what is recorded at a git revision.")
@click.option("--force", is_flag=True, help="Replace unrecorded files; copies go to the trash.")
@click.option("--relink", is_flag=True, help="Make clean files links again, as mlx.link says.")
@click.pass_obj
def command(
    screen: Screen, targets: tuple[str, ...], rev: str | None, force: bool, relink: bool
) -> int:
    """Bring the workspace to what is recorded.

    Only files that differ are touched. Bytes that the store does not have are never replaced
    without --force. mlx.lock stays as it is, also with --rev.
    """
    if relink:
        return _relink(screen, targets, alone=not (rev or force))
    with Repo.open(screen.cwd) as repo:
        done = checkout(repo, targets, rev=rev, force=force, progress=progress(screen))
    if screen.json:
        emit_json("checkout", _document(done))
    else:
        _show(screen, done)
    return 1 if done.missing else 0


def _relink(screen: Screen, targets: tuple[str, ...], *, alone: bool) -> int:
    if not alone:
        raise InputError("--relink goes alone", hint="mlx checkout first, then --relink")
    with Repo.open(screen.cwd) as repo:
        done = relink_files(repo, targets, progress=progress(screen))
    if screen.json:
        emit_json("checkout", {"relinked": done.files, "modified": list(done.modified)})
        return 0
    out(f"relinked {units.count(done.files, 'file')}")
    if done.modified:
        say(screen, f"modified, left alone: {render.names(done.modified)}")
    return 0


def _show(screen: Screen, done: CheckedOut) -> None:
    if done.files or done.removed:
        removed = f", {len(done.removed)} removed" if done.removed else ""
        out(f"{units.count(done.files, 'file')} written{removed}")
    elif not (done.missing or done.away):
        out("nothing to do: the workspace is as recorded")
    for path in (*done.written, *done.removed) if screen.verbose else ():
        out(f"  {display(path)}")
    if done.kept:
        out(f"left where they are, mlx never had them: {render.names(done.kept)}")
    if done.trash:
        say(screen, f"a copy of what was replaced is in {done.trash}")
    _warn_of_missing(screen, done)


def _warn_of_missing(screen: Screen, done: CheckedOut) -> None:
    show_away(screen, done.away)
    if not done.missing:
        return
    count = units.count(sum(lost for _, lost in done.missing), "file")
    warn(screen, f"not in the store, left as before: {count}")
    for path, lost in done.missing[:SHOWN_MISSING]:
        say(screen, f"  {display(path)}" + (f" ({lost} files)" if lost > 1 else ""))
    if len(done.missing) > SHOWN_MISSING:
        say(screen, f"  and {len(done.missing) - SHOWN_MISSING} more (--json lists all)")
    say(screen, "mlx pull brings them from a remote")


def _document(done: CheckedOut) -> dict[str, object]:
    return {
        "written": list(done.written),
        "removed": list(done.removed),
        "kept": list(done.kept),
        "files": done.files,
        "missing": [{"path": path, "files": lost} for path, lost in done.missing],
        "away": [{"path": path, "stage": stage} for path, stage in done.away],
        "trash": done.trash,
    }
