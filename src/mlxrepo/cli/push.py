"""`mlx push`: send data."""

from __future__ import annotations

import click

from mlxrepo.cli import units
from mlxrepo.cli.console import emit_json, out, progress
from mlxrepo.cli.options import Command
from mlxrepo.cli.screen import Screen
from mlxrepo.cli.sharing import belonging, scope_options, sharing_options, show_missing, transfer
from mlxrepo.commands.push import Pushed, push
from mlxrepo.paths import display
from mlxrepo.repo.repo import Repo
from mlxrepo.repo.wanted import Scope


@click.command(
    "push",
    cls=Command,
    examples=[
        ("mlx push", "what the commits of HEAD and the workspace record, and the remote lacks"),
        ("mlx push data/images/train", "a part of what is recorded now"),
        ("mlx push --all-branches --all-tags", "the data of the whole history"),
        ("mlx push -r backup --verify", "to another remote, and read it back"),
    ],
)
@sharing_options
@scope_options
@click.option("--verify", is_flag=True, help="Read everything back, and hash it.")
@click.option("-n", "--dry-run", is_flag=True, help="Only say what would be sent.")
@click.pass_obj
def command(
    screen: Screen,
    targets: tuple[str, ...],
    remote: str | None,
    jobs: int | None,
    rev: str | None,
    all_branches: bool,
    all_tags: bool,
    verify: bool,
    dry_run: bool,
) -> int:
    """Send data to a remote.

    Only what it lacks is sent, and said to be there when it is. A push that was cut off goes on
    where it was. --rev sends what that commit records; outs with push: false stay. Results of
    stages go along, for mlx repro --pull; git config mlx.pushActions false keeps them here.
    """
    with Repo.open(screen.cwd) as repo:
        done = push(
            repo, targets, remote=remote, jobs=jobs, scope=Scope(rev, all_branches, all_tags),
            verify=verify, dry_run=dry_run, progress=progress(screen),
        )  # fmt: skip
    if screen.json:
        emit_json("push", {"remotes": [_document(item) for item in done]})
    else:
        for item in done:
            _show(screen, item)
    return 1 if any(item.missing for item in done) else 0


def _show(screen: Screen, done: Pushed) -> None:
    place = f"{done.remote} ({display(done.url)})"
    if done.objects:
        word = "sent" if done.applied else "would send"
        amount = units.size(done.bytes)
        if done.applied:
            amount = transfer(done.bytes, done.stored)
        out(f"{word} {units.count(done.objects, 'object')} ({amount}) to {place}")
    elif done.resumed and done.applied:
        out(f"completed a push of {units.count(done.resumed, 'object')} to {place}")
    elif done.elsewhere:
        out(f"nothing to send: {belonging(done.remote, done.elsewhere)}")
    elif not (done.missing or done.actions):
        out(f"nothing to send: everything is on {place}")
    if done.actions:
        word = "sent" if done.applied else "would send"
        out(f"{word} {units.count(done.actions, 'result')} of stages to {place}")
    if done.verified is not None:
        out(f"read back {units.count(done.verified, 'object')}: all are what their names say")
    show_missing(screen, done.missing)


def _document(done: Pushed) -> dict[str, object]:
    return {
        "remote": done.remote,
        "url": done.url,
        "sent": {"objects": done.objects, "bytes": done.bytes, "stored": done.stored},
        "actions": done.actions,
        "resumed": done.resumed,
        "there": done.there,
        "missing": [{"path": path, "oid": oid} for path, oid in done.missing],
        "verified": done.verified,
        "applied": done.applied,
    }
