"""`mlx pull`: get data into the workspace."""

from __future__ import annotations

import click

from mlxrepo.cli import units
from mlxrepo.cli.console import emit_json, out, progress, say
from mlxrepo.cli.options import Command
from mlxrepo.cli.screen import Screen
from mlxrepo.cli.sharing import fetched_document, is_short, sharing_options, show_fetched
from mlxrepo.commands.checkout import checkout
from mlxrepo.commands.fetch import fetch
from mlxrepo.repo.repo import Repo


@click.command(
    "pull",
    cls=Command,
    examples=[
        ("git pull && mlx pull", "code, data and models as they are recorded"),
        ("mlx pull data/images/train/cats", "one folder of a dataset"),
        ("mlx pull -r backup model:fraud", "from another remote"),
    ],
)
@sharing_options
@click.option("-n", "--dry-run", is_flag=True, help="Get listings of folders, and no file.")
@click.option("--force", is_flag=True, help="Replace unrecorded files; copies go to the trash.")
@click.pass_obj
def command(
    screen: Screen,
    targets: tuple[str, ...],
    remote: str | None,
    jobs: int | None,
    dry_run: bool,
    force: bool,
) -> int:
    """Get data from a remote into the workspace.

    It is mlx fetch, then mlx checkout. Wrong bytes never reach the workspace.
    """
    bar = progress(screen)
    with Repo.open(screen.cwd) as repo:
        done = fetch(repo, targets, remote=remote, jobs=jobs, dry_run=dry_run, progress=bar)
        if not screen.json:
            for item in done:
                show_fetched(screen, item, quiet=not dry_run)
        if dry_run:
            if screen.json:
                emit_json("pull", {"remotes": fetched_document(done)})
            return 1 if is_short(done) else 0
        placed = checkout(repo, targets, force=force, progress=bar)
    missing = sum(lost for _, lost in placed.missing)
    if screen.json:
        workspace = {"files": placed.files, "removed": list(placed.removed), "missing": missing}
        emit_json("pull", {"remotes": fetched_document(done), "workspace": workspace})
    elif placed.files or placed.removed:
        removed = f", {len(placed.removed)} removed" if placed.removed else ""
        out(f"{units.count(placed.files, 'file')} written{removed}")
    elif not missing:
        out("nothing to do: the workspace is as recorded")
    if missing:
        say(screen, f"left as before, for want of the bytes: {units.count(missing, 'file')}")
    return 1 if missing or is_short(done) else 0
