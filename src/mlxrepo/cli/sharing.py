"""What push, fetch and pull have in common on the screen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from mlxrepo.cli import units
from mlxrepo.cli.console import out, say, warn
from mlxrepo.cli.screen import Screen
from mlxrepo.commands.fetch import FetchedFrom
from mlxrepo.paths import display

F = TypeVar("F", bound=Callable[..., Any])

SHOWN = 10


def sharing_options(command: F) -> F:
    """Add targets, -r and -j."""
    command = click.option(
        "-j", "--jobs", type=click.IntRange(min=1), metavar="N", help="Make N requests at a time."
    )(command)
    command = click.option(
        "-r", "--remote", metavar="NAME", help="The remote, instead of the default one."
    )(command)
    return click.argument("targets", nargs=-1)(command)


def scope_options(command: F) -> F:
    """Add --rev, --all-branches and --all-tags."""
    for name, what in (("--all-tags", "all tags"), ("--all-branches", "all branches")):
        command = click.option(name, is_flag=True, help=f"Also what {what} record.")(command)
    return click.option("--rev", metavar="REV", help="What a git revision records.")(command)


def transfer(size: int, stored: int) -> str:
    """Return an amount of data, with what it was on the way where that was less."""
    if stored < size * 0.95:
        return f"{units.size(size)}, {units.size(stored)} compressed"
    return units.size(size)


def named(missing: Sequence[tuple[str, str]]) -> list[str]:
    """Return lines that name objects by path, the first few."""
    counts: dict[str, int] = {}
    for path, _ in missing:
        counts[path] = counts.get(path, 0) + 1
    lines = [f"  {display(path)} ({units.count(n, 'object')})" for path, n in counts.items()]
    more = len(lines) - SHOWN
    return [*lines[:SHOWN], f"  and {more} more (--json lists all)"] if more > 0 else lines


def belonging(remote: str, elsewhere: Sequence[tuple[str, str]]) -> str:
    """Say of all that was asked for that it does not belong on the remote, and why."""
    rows = ", ".join(f"{display(path)} ({why})" for path, why in elsewhere[:SHOWN])
    more = f" and {len(elsewhere) - SHOWN} more" if len(elsewhere) > SHOWN else ""
    return f"none of it belongs on {remote}: {rows}{more}"


def show_away(screen: Screen, away: Sequence[tuple[str, str]]) -> None:
    """Name what no push sends and is not here, with what makes it."""
    for path, stage in away[:SHOWN]:
        say(
            screen,
            f"stays away: {display(path)} (push: false): mlx repro {display(stage)} makes it",
        )
    if len(away) > SHOWN:
        say(screen, f"  and {len(away) - SHOWN} more (--json lists all)")


def show_missing(screen: Screen, missing: Sequence[tuple[str, str]]) -> None:
    """Name what can be had neither here nor on the remote."""
    if missing:
        warn(screen, f"neither here nor there: {units.count(len(missing), 'object')}")
        for line in named(missing):
            say(screen, line)


def show_fetched(screen: Screen, done: FetchedFrom, *, quiet: bool = False) -> None:
    """Tell what came from one remote; `quiet`: nothing when that is nothing."""
    place = f"{done.remote} ({display(done.url)})"
    if done.objects:
        word = "fetched" if done.applied else "would fetch"
        amount = transfer(done.bytes, done.stored) if done.applied else units.size(done.bytes)
        out(f"{word} {units.count(done.objects, 'object')} ({amount}) from {place}")
    elif done.elsewhere and not quiet:
        out(f"nothing to fetch: {belonging(done.remote, done.elsewhere)}")
    elif not (quiet or done.missing or done.damaged):
        out("nothing to fetch: everything is in the store")
    for what, rows in (
        (f"not on {done.remote}", done.missing),
        (f"on {done.remote} with other bytes than the name says, not taken", done.damaged),
    ):
        if rows:
            warn(screen, f"{what}: {units.count(len(rows), 'object')}")
            for line in named(rows):
                say(screen, line)
    if done.missing:
        say(screen, "next: mlx push in a clone that has it, then the same again")
    if done.quarantine:
        came = f"{units.count(done.wrong, 'object')} came with other bytes"
        again = "" if done.damaged else ", and rightly when asked for again"
        warn(screen, f"{came}{again}; what came is in {display(done.quarantine)}")


def fetched_document(done: Sequence[FetchedFrom]) -> list[dict[str, object]]:
    """Return what was fetched, for --json."""
    return [
        {
            "remote": item.remote,
            "url": item.url,
            "fetched": {"objects": item.objects, "bytes": item.bytes, "stored": item.stored},
            "missing": [{"path": path, "oid": oid} for path, oid in item.missing],
            "damaged": [{"path": path, "oid": oid} for path, oid in item.damaged],
            "wrong": item.wrong,
            "quarantine": item.quarantine,
            "applied": item.applied,
        }
        for item in done
    ]


def is_short(done: Sequence[FetchedFrom]) -> bool:
    """Say whether something did not come."""
    return any(item.missing or item.damaged for item in done)
