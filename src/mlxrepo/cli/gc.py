"""`mlx gc`: free the space of what nothing needs."""

from __future__ import annotations

import click

from mlxrepo.cli import units
from mlxrepo.cli.console import emit_json, out, progress, say, warn
from mlxrepo.cli.options import Command
from mlxrepo.cli.screen import Screen
from mlxrepo.cli.tables import table
from mlxrepo.commands.gc import GRACE_MAX, Collected, empty_trash, forget, gc, undo
from mlxrepo.errors import InputError
from mlxrepo.paths import display
from mlxrepo.repo.repo import Repo
from mlxrepo.store.gc import Amount


@click.command(
    "gc",
    cls=Command,
    examples=[
        ("mlx gc", "what would go, and why"),
        ("mlx gc --yes", "move it to the trash"),
        ("mlx gc --undo", "bring back what the last one took"),
        ("mlx gc --empty-trash --yes", "free the space now"),
    ],
)
@click.option("-y", "--yes", is_flag=True, help="Do it; without this it only tells.")
@click.option("-n", "--dry-run", is_flag=True, help="Only tell, also with --yes.")
@click.option(
    "--grace",
    type=click.FloatRange(0, GRACE_MAX),
    metavar="DAYS",
    help="Leave objects that are younger (default: mlx.gcGrace, or 14).",
)
@click.option("--undo", "is_undo", is_flag=True, help="Bring back what the last gc took away.")
@click.option("--empty-trash", "is_empty", is_flag=True, help="Free what is in the trash.")
@click.option("--forget", "gone", metavar="PATH", help="A repository of this store is no more.")
@click.pass_obj
def command(
    screen: Screen,
    yes: bool,
    dry_run: bool,
    grace: float | None,
    is_undo: bool,
    is_empty: bool,
    gone: str | None,
) -> None:
    """Free the space of what nothing needs.

    Needed is what any branch, tag, stash, reflog, worktree, index, experiment, workspace or running
    process names, in every repository that uses the store. What goes waits in the trash.
    """
    if sum((is_undo, is_empty, gone is not None)) > 1:
        raise InputError("--undo, --empty-trash and --forget are three commands: name one")
    apply = yes and not dry_run
    with Repo.find(screen.cwd) as repo:
        if is_undo:
            _show_undo(screen, undo(repo, apply=not dry_run), dry_run)
        elif is_empty:
            _show_emptied(screen, empty_trash(repo, apply=apply), apply)
        elif gone is not None:
            _show_forgotten(screen, forget(repo, gone, apply=not dry_run), dry_run)
        else:
            _show(screen, gc(repo, apply=apply, grace=grace, progress=progress(screen)))


def _show(screen: Screen, found: Collected) -> None:
    if screen.json:
        emit_json("gc", _document(found))
        return
    rows = [row for row in _rows(found) if row[1] != "0"]
    if rows:
        out(table(rows, align="lrrl"))
    if found.lost.objects:
        warn(screen, f"the disk was full: {_words(found.lost)} went for good, not to the trash")
    if not any(one.objects for one in (found.unneeded, found.expired, found.abandoned)):
        out("nothing to do")
    elif not found.applied:
        say(screen, "nothing was changed; mlx gc --yes does it")
    elif found.trash:
        say(screen, f"moved to {display(found.trash)}; mlx gc --undo brings it back, and")
        say(screen, "mlx gc --empty-trash --yes frees the space now")


def _rows(found: Collected) -> list[tuple[str, str, str, str]]:
    """Return what goes and what stays, each with its reason."""
    goes = "removed" if found.applied else "would go"
    packs = f"; {units.count(found.packs, 'pack')} written anew" if found.packs else ""
    days = f"{found.grace_days:g} days"
    return [
        _row(goes, found.unneeded, f"nothing names it any more{packs}"),
        _row(goes, found.expired, "files in the trash whose time is over"),
        _row(goes, found.abandoned, "files of downloads that were cut off"),
        _row("stays", found.young, f"nothing names it, but it is younger than {days}"),
        _row("stays", found.wedged, "nothing names it, but its pack is mostly needed"),
        _row("stays", found.needed, "needed"),
    ]


def _row(word: str, amount: Amount, why: str) -> tuple[str, str, str, str]:
    return word, f"{amount.objects:,}", units.size(amount.size), why


def _words(amount: Amount) -> str:
    return f"{units.count(amount.objects, 'object')}, {units.size(amount.size)}"


def _show_undo(screen: Screen, back: Amount, dry_run: bool) -> None:
    if screen.json:
        emit_json("gc", {"undo": back._asdict(), "applied": not dry_run})
    else:
        word = "would bring" if dry_run else "brought"
        files = units.count(back.objects, "file")
        out(f"{word} back {files} of the store, {units.size(back.size)}")


def _show_emptied(screen: Screen, freed: Amount, applied: bool) -> None:
    if screen.json:
        emit_json("gc", {"emptied": freed._asdict(), "applied": applied})
        return
    files = f"{units.count(freed.objects, 'file')}, {units.size(freed.size)}"
    out(f"freed {files}" if applied else f"in the trash: {files}")
    if freed.objects and not applied:
        say(screen, "nothing was changed; with --yes it is gone for good")


def _show_forgotten(screen: Screen, path: str, dry_run: bool) -> None:
    if screen.json:
        emit_json("gc", {"forgotten": path, "applied": not dry_run})
    else:
        word = "would no longer keep" if dry_run else "no longer keeping"
        out(f"{word} data for {display(path)}")


def _document(found: Collected) -> dict[str, object]:
    amounts = ("unneeded", "expired", "abandoned", "young", "wedged", "needed", "lost")
    return {
        **{name: getattr(found, name)._asdict() for name in amounts},
        "packs": found.packs,
        "absent_folders": found.absent,
        "grace_days": found.grace_days,
        "repositories": list(found.repositories),
        "trash": found.trash,
        "applied": found.applied,
    }
