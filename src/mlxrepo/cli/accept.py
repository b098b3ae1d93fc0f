"""`mlx accept`: present outs as the result of present inputs."""

from __future__ import annotations

import click

from mlxrepo.cli import render, units
from mlxrepo.cli.console import emit_json, out, progress, say
from mlxrepo.cli.options import Command
from mlxrepo.cli.screen import Screen
from mlxrepo.commands.accept import Accepted, accept
from mlxrepo.paths import display
from mlxrepo.pipeline.decide import sentence
from mlxrepo.repo.repo import Repo


@click.command(
    "accept",
    cls=Command,
    examples=[
        ("mlx accept train -m 'only reformatted'", "the model stays, no hours are spent"),
        ("mlx accept -n train -m 'only reformatted'", "what would be accepted"),
        ("mlx why train", "says later by whom and why it was accepted"),
    ],
)
@click.argument("targets", nargs=-1, required=True)
@click.option("-m", "--why", required=True, metavar="WHY", help="Why the outs are still right.")
@click.option("-n", "--dry-run", is_flag=True, help="Only check and tell.")
@click.pass_obj
def command(screen: Screen, targets: tuple[str, ...], why: str, dry_run: bool) -> None:
    """Take present outs as the result of present inputs.

    For changes that cannot matter, such as a reformatted script. The record says accepted, by whom
    and why, and so do `status` and `why`, here and downstream: it is never shown as a run, and
    no other result is taken from it.
    """
    with Repo.open(screen.cwd) as repo:
        done = accept(repo, targets, why, dry_run=dry_run, progress=progress(screen))
    if screen.json:
        _emit(done)
        return
    word = "accepted" if done.applied else "would be accepted"
    for item in done.stages:
        out(f"{display(item.stage)}: {word}  ({sentence(item.reasons)})")
    if done.fresh:
        out(f"up to date, left as recorded: {render.names(done.fresh)}")
    for updated in done.updated:
        say(screen, f"recorded first: {display(updated.path)} had changed")
    if done.stages and not done.by:
        say(screen, "git knows no user.email here: the record says nobody's name")
    if done.to_commit:
        say(screen, render.next_step(repo.root, done.to_commit))
    elif not done.applied:
        say(screen, f"{units.count(len(done.stages), 'stage')}; nothing was written")


def _emit(done: Accepted) -> None:
    document = {
        "stages": [
            {"stage": item.stage, "reasons": [reason._asdict() for reason in item.reasons]}
            for item in done.stages
        ],
        "fresh": list(done.fresh),
        "by": done.by,
        "why": done.why,
        "updated": [updated.path for updated in done.updated],
        "to_commit": list(done.to_commit),
        "applied": done.applied,
    }
    emit_json("accept", document)
