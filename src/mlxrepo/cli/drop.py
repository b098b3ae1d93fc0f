"""`mlx drop`: free local copies."""

from __future__ import annotations

import re

import click

from mlxrepo.cli import units
from mlxrepo.cli.console import emit_json, out, progress, say, warn
from mlxrepo.cli.options import Command
from mlxrepo.cli.screen import Screen
from mlxrepo.cli.sharing import SHOWN, sharing_options
from mlxrepo.commands.drop import Dropped, drop
from mlxrepo.errors import InputError
from mlxrepo.paths import display
from mlxrepo.repo.repo import Repo
from mlxrepo.store.gc import Amount

_AGE = re.compile(r"(\d+(?:\.\d+)?)([hdw])")
_SECONDS = {"h": 3_600, "d": 86_400, "w": 7 * 86_400}


def _age(ctx: click.Context, param: click.Parameter, text: str | None) -> float | None:
    """Read `30d` as seconds."""
    if text is None:
        return None
    found = _AGE.fullmatch(text.strip())
    if not found:
        raise click.BadParameter(f'"{text}" is no age: write 12h, 30d or 8w', ctx, param)
    return float(found[1]) * _SECONDS[found[2]]


@click.command(
    "drop",
    cls=Command,
    examples=[
        ("mlx drop data/images", "its files and objects here; mlx pull brings them back"),
        ("mlx drop data/images/train -n", "what a part of it would free"),
        ("mlx drop --older-than 30d", "versions that only older commits name"),
        ("mlx drop --keep-last 2 model:fraud", "all but the last two versions of a model"),
        ("mlx drop --yes", "everything that is recorded now"),
    ],
)
@sharing_options
@click.option(
    "--older-than", callback=_age, metavar="AGE", help="What only older commits name: 12h, 30d, 8w."
)
@click.option(
    "--keep-last",
    type=click.IntRange(min=0),
    metavar="N",
    help="All but the last N versions of each path in HEAD's history.",
)
@click.option("-n", "--dry-run", is_flag=True, help="Only tell what would go.")
@click.option("-y", "--yes", is_flag=True, help="Yes, everything; needed where nothing is named.")
@click.pass_obj
def command(
    screen: Screen,
    targets: tuple[str, ...],
    remote: str | None,
    jobs: int | None,
    older_than: float | None,
    keep_last: int | None,
    dry_run: bool,
    yes: bool,
) -> int:
    """Free local copies of what a remote has.

    Everything is read back from the remote and hashed first; what is not right there stays, and
    is named. Workspace files that differ from the record are never touched. What is dropped is
    absent, not deleted: mlx pull brings it back. What other versions or paths need stays too.
    """
    if not (targets or older_than is not None or keep_last or yes or dry_run):
        raise InputError(
            "without a target mlx drop means everything that is recorded here",
            hint="mlx drop -n tells what would go, mlx drop --yes does it",
        )
    with Repo.open(screen.cwd) as repo:
        done = drop(
            repo, targets, older_than=older_than, keep_last=keep_last, remote=remote, jobs=jobs,
            dry_run=dry_run, progress=progress(screen),
        )  # fmt: skip
    if screen.json:
        emit_json("drop", _document(done))
    else:
        _show(screen, done)
    return 1 if done.unproven else 0


def _show(screen: Screen, done: Dropped) -> None:
    out(_headline(done))
    for amount, why in (
        (done.shared, "other versions, paths, worktrees or repositories need them"),
        (done.busy, "a running mlx may need them"),
        (done.wedged, "they are in packs that are mostly needed"),
    ):
        if amount.objects:
            say(screen, f"stays: {_words(amount)}: {why}")
    for path in done.local:
        say(screen, f"stays: {display(path)}: it goes to no remote that was asked")
    if done.unproven:
        number = units.count(len(done.unproven), "object")
        warn(screen, f"not proven to be on a remote, so they stay: {number}")
        for item in done.unproven[:SHOWN]:
            say(screen, f"  {display(item.path)}: {item.why} ({item.remote})")
        if len(done.unproven) > SHOWN:
            say(screen, f"  and {len(done.unproven) - SHOWN} more (--json lists all)")
        ways = sorted({way for item in done.unproven for way in item.ways})
        say(screen, f"hint: {', '.join(ways)}, then again")
    elif done.files and done.applied:
        say(screen, "mlx pull brings it back")


def _headline(done: Dropped) -> str:
    files, remotes = units.count(done.files, "workspace file"), ", ".join(done.remotes)
    if not done.freed.objects:
        word = "removed" if done.applied else "would remove"
        return f"{word} {files}; nothing of the store" if done.files else "nothing to drop"
    what = _words(done.freed) + (f", and {files}" if done.files else "")
    if done.applied:
        return f"dropped {what}: read back from {remotes} and hashed before"
    return f"would drop {what}, if it is right on {remotes} when it is read back"


def _words(amount: Amount) -> str:
    return f"{units.count(amount.objects, 'object')}, {units.size(amount.size)}"


def _document(done: Dropped) -> dict[str, object]:
    return {
        "paths": list(done.paths),
        "versions": done.versions,
        "workspace_files": done.files,
        **{name: getattr(done, name)._asdict() for name in ("freed", "shared", "busy", "wedged")},
        "unproven": [
            {"path": item.path, "oid": item.oid, "remote": item.remote, "why": item.why}
            for item in done.unproven
        ],
        "local": list(done.local),
        "remotes": list(done.remotes),
        "applied": done.applied,
    }
