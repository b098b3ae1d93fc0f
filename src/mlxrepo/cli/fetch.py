"""`mlx fetch`: get data into the store."""

from __future__ import annotations

import click

from mlxrepo.cli.console import emit_json, progress
from mlxrepo.cli.options import Command
from mlxrepo.cli.screen import Screen
from mlxrepo.cli.sharing import (
    fetched_document,
    is_short,
    scope_options,
    sharing_options,
    show_fetched,
)
from mlxrepo.commands.fetch import fetch
from mlxrepo.repo.repo import Repo
from mlxrepo.repo.wanted import Scope


@click.command(
    "fetch",
    cls=Command,
    examples=[
        ("mlx fetch", "all that the workspace records; mlx checkout then writes it"),
        ("mlx fetch --rev origin/main data/images", "a part of another branch"),
        ("mlx fetch --all-branches", "what every branch records now"),
    ],
)
@sharing_options
@scope_options
@click.option("-n", "--dry-run", is_flag=True, help="Get listings of folders, and no file.")
@click.pass_obj
def command(
    screen: Screen,
    targets: tuple[str, ...],
    remote: str | None,
    jobs: int | None,
    rev: str | None,
    all_branches: bool,
    all_tags: bool,
    dry_run: bool,
) -> int:
    """Get data from a remote into the store.

    Every object is hashed before it counts. A fetch that was cut off goes on where it was.
    """
    with Repo.open(screen.cwd) as repo:
        done = fetch(
            repo, targets, remote=remote, jobs=jobs, scope=Scope(rev, all_branches, all_tags),
            dry_run=dry_run, progress=progress(screen),
        )  # fmt: skip
    if screen.json:
        emit_json("fetch", {"remotes": fetched_document(done)})
    else:
        for item in done:
            show_fetched(screen, item)
    return 1 if is_short(done) else 0
