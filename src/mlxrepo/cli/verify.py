"""`mlx verify`: are the bytes what the record says, and does a run make them again?"""

from __future__ import annotations

import sys
from typing import Any

import click

from mlxrepo.cli import units
from mlxrepo.cli.console import emit_json, out, paint, progress, say
from mlxrepo.cli.options import Command
from mlxrepo.cli.screen import Screen
from mlxrepo.commands.verify import DIFFERENT, Verified, verify
from mlxrepo.paths import display
from mlxrepo.pipeline.decide import sentence
from mlxrepo.pipeline.report import Event
from mlxrepo.repo.repo import Repo

SHOWN = 20


@click.command(
    "verify",
    cls=Command,
    examples=[
        ("mlx verify", "hash what all stages read and made, and compare it with the record"),
        ("mlx verify train", "of one stage"),
        ("mlx verify --rerun train", "run it again: does the same come out?"),
    ],
)
@click.argument("targets", nargs=-1)
@click.option("--rerun", is_flag=True, help="Run the stages again, without any cache, and compare.")
@click.pass_obj
def command(screen: Screen, targets: tuple[str, ...], rerun: bool) -> int:
    """Check stages against what is recorded.

    Every file is read and hashed anew. With --rerun each stage is run again and what comes out is
    compared, with the likely cause where it differs; what is here and what is recorded stay as
    they are. Exit code 1 means that something differs.
    """
    with Repo.open(screen.cwd) as repo:
        found = verify(
            repo,
            targets,
            again=rerun,
            listener=lambda event: _tell(screen, event),
            words=("mlx", *sys.argv[1:]),
            progress=progress(screen),
        )
    if screen.json:
        emit_json("verify", {"rerun": rerun, "stages": [_document(one) for one in found]})
    else:
        for one in found:
            _show(screen, one, rerun)
    return 1 if any(one.word == DIFFERENT for one in found) else 0


def _tell(screen: Screen, event: Event) -> None:
    if event.kind == "start":
        say(screen, f"{display(event.stage)}: running again")
    elif event.kind == "line":
        say(screen, f"{display(event.stage)} | {event.text}")
    elif event.kind == "note":
        say(screen, f"{display(event.stage)}: {event.text}")


def _show(screen: Screen, one: Verified, rerun: bool) -> None:
    word = paint(screen, one.word, "red" if one.word == DIFFERENT else "green")
    compared = "the same came out" if rerun else f"{units.count(one.files, 'file')} as recorded"
    out(f"{display(one.stage)}: {word}" + (f"  {compared}" if one.word != DIFFERENT else ""))
    if one.accepted is not None:
        out(f"  {one.accepted}")
    if one.reasons:
        out(f"  {sentence(one.reasons)}")
    shown = one.differences if screen.verbose else one.differences[:SHOWN]
    for item in shown:
        cause = f": {item.cause}" if item.cause else ""
        out(f"  {item.word} {item.role}: {display(item.path)}{cause}")
    if len(one.differences) > len(shown):
        out(f"  and {len(one.differences) - len(shown)} more (-v shows all)")
    if one.left:
        say(screen, f"  what it made this time is in {one.left}")


def _document(one: Verified) -> dict[str, Any]:
    return {
        "stage": one.stage,
        "result": one.word,
        "files": one.files,
        "differences": [item._asdict() for item in one.differences],
        "reasons": [reason._asdict() for reason in one.reasons],
        "accepted": one.accepted and {"by": one.accepted.old, "why": one.accepted.new},
        "left": one.left,
    }
