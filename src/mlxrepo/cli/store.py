"""`mlx store`: where the objects are."""

from __future__ import annotations

import click

from mlxrepo.cli import units
from mlxrepo.cli.console import emit_json, out, progress, say
from mlxrepo.cli.options import Group
from mlxrepo.cli.screen import Screen
from mlxrepo.commands.store import store_dir, store_move
from mlxrepo.paths import display
from mlxrepo.repo.repo import Repo


@click.group(
    "store",
    cls=Group,
    examples=[
        ("mlx store dir", "where it is"),
        ("mlx store move /mnt/big/mlx-store", "to another disk, or into a shared store"),
    ],
)
def command() -> None:
    """Show where the objects are, or move them."""


@command.command("dir", examples=[("du -sh $(mlx store dir)", "its size")])
@click.pass_obj
def dir_(screen: Screen) -> None:
    """Print the folder that holds the objects."""
    with Repo.find(screen.cwd) as repo:
        folder = store_dir(repo)
    if screen.json:
        emit_json("store dir", {"dir": folder})
    else:
        out(display(folder))


@command.command(
    "move",
    examples=[
        ("mlx store move /mnt/big/mlx-store", "to another disk"),
        ("git config mlx.shared group && mlx store move /srv/mlx", "to share it with a group"),
    ],
)
@click.argument("folder", metavar="DIR")
@click.option("-n", "--dry-run", is_flag=True, help="Only check and tell.")
@click.option("-y", "--yes", is_flag=True, help="For scripts: it asks nothing in any case.")
@click.pass_obj
def move(screen: Screen, folder: str, dry_run: bool, yes: bool) -> None:
    """Move the objects to DIR and set mlx.store.

    Every object is hashed on the way. A DIR that is a store already takes them in.
    """
    with Repo.open(screen.cwd) as repo:
        done = store_move(repo, folder, dry_run=dry_run, progress=progress(screen))
    if screen.json:
        document = {
            "old": done.old,
            "new": done.new,
            "objects": done.objects,
            "kept_for": list(done.kept_for),
            "applied": done.applied,
        }
        emit_json("store move", document)
        return
    if done.old == done.new:
        out(f"nothing to do: the store is {display(done.new)}")
        return
    word = "moved" if done.applied else "would move"
    out(f"{word} {units.count(done.objects, 'object')} to {display(done.new)}")
    if done.kept_for:
        users = ", ".join(map(display, done.kept_for))
        say(screen, f"{display(done.old)} keeps its objects for {users}")
