"""`mlx remote gc` and `mlx remote fsck`: the upkeep of a remote."""

from __future__ import annotations

import click

from mlxrepo.cli import units
from mlxrepo.cli.console import emit_json, out, progress, say, warn
from mlxrepo.cli.options import Command
from mlxrepo.cli.screen import Screen
from mlxrepo.cli.sharing import SHOWN
from mlxrepo.cli.tables import table
from mlxrepo.commands.remote_fsck import RemoteChecked, remote_fsck
from mlxrepo.commands.remote_gc import GRACE_DAYS, GRACE_MAX, RemoteCollected, remote_gc
from mlxrepo.paths import display
from mlxrepo.repo.repo import Repo


@click.command(
    "gc",
    cls=Command,
    examples=[
        ("mlx remote gc origin", "what would go, and what waits"),
        ("mlx remote gc origin --yes", "condemn it; what was condemned 14 days ago goes"),
        ("mlx remote gc origin --clone ../other", "another project keeps data there too"),
        ("mlx remote gc origin --without old-project", "one that does not count any more"),
    ],
)
@click.argument("name", required=False)
@click.option("-y", "--yes", is_flag=True, help="Do it; without this it only tells.")
@click.option("-n", "--dry-run", is_flag=True, help="Only tell, also with --yes.")
@click.option(
    "--grace",
    type=click.FloatRange(0, GRACE_MAX),
    default=GRACE_DAYS,
    show_default=True,
    metavar="DAYS",
    help="How long what nothing needs stays condemned before it goes.",
)
@click.option(
    "--clone", "clones", multiple=True, metavar="PATH", help="A clone of another repository there."
)
@click.option(
    "--without", multiple=True, metavar="NAME", help="A repository there that does not count."
)
@click.option("--force", is_flag=True, help="Also when folders of the history can be had nowhere.")
@click.option(
    "-j", "--jobs", type=click.IntRange(min=1), metavar="N", help="Make N requests at a time."
)
@click.pass_obj
def gc(
    screen: Screen,
    name: str | None,
    yes: bool,
    dry_run: bool,
    grace: float,
    clones: tuple[str, ...],
    without: tuple[str, ...],
    force: bool,
    jobs: int | None,
) -> None:
    """Free the space of what no repository needs on a remote.

    Two runs do it: the first one condemns, a later one, when the grace is over, removes what still
    nobody needs. Every repository that the remote lists has to be at hand, with all that its git
    remotes have, or be left out by name.
    """
    with Repo.open(screen.cwd) as repo:
        found = remote_gc(
            repo, name, clones=clones, without=without, grace=grace, force=force,
            apply=yes and not dry_run, jobs=jobs, progress=progress(screen),
        )  # fmt: skip
    if screen.json:
        emit_json("remote gc", _document(found))
    else:
        _show(screen, found)


def _show(screen: Screen, found: RemoteCollected) -> None:
    goes = "removed" if found.applied else "would go"
    waits = "condemned" if found.applied else "would wait"
    days = f"{found.grace_days:g} days"
    rows = [
        (goes, found.expired, "object", f"condemned for {days}, and nothing needs it"),
        (goes, found.files, "file", "with nothing in it that is needed"),
        (waits, found.waiting, "object", f"nothing needs it; goes when that is so for {days}"),
        (waits, found.idle, "file", f"no index names it; goes when that is so for {days}"),
    ]
    shown = [
        (word, units.count(amount.objects, what), units.size(amount.size), why)
        for word, amount, what, why in rows
        if amount.objects
    ]
    place = f"{found.remote} ({display(found.url)})"
    if shown:
        out(table(shown, align="lrrl"))
    else:
        out(f"nothing to do on {place}")
    say(screen, f"{units.count(found.needed, 'object')} on {place} are needed")
    if found.spared:
        say(screen, f"{units.count(found.spared, 'file')} came into use meanwhile, and stayed")
    if shown and not found.applied:
        say(screen, f"nothing was changed; mlx remote gc {found.remote} --yes does it")


def _document(found: RemoteCollected) -> dict[str, object]:
    amounts = ("expired", "files", "waiting", "idle")
    return {
        "remote": found.remote,
        "url": found.url,
        **{name: getattr(found, name)._asdict() for name in amounts},
        "needed": found.needed,
        "moved": found.moved,
        "spared": found.spared,
        "grace_days": found.grace_days,
        "repositories": list(found.repositories),
        "excluded": list(found.excluded),
        "applied": found.applied,
    }


@click.command(
    "fsck",
    cls=Command,
    examples=[
        ("mlx remote fsck origin", "is all there that its indexes name?"),
        ("mlx remote fsck origin --data", "read and hash every byte"),
        ("mlx remote fsck origin --data --repair", "and send again what is damaged"),
    ],
)
@click.argument("name", required=False)
@click.option("--data", is_flag=True, help="Read everything on it, and hash it.")
@click.option("--repair", is_flag=True, help="Mend its indexes, and send again what is here.")
@click.option("-n", "--dry-run", is_flag=True, help="Only say what --repair would do.")
@click.option(
    "-j", "--jobs", type=click.IntRange(min=1), metavar="N", help="Make N requests at a time."
)
@click.pass_obj
def fsck(
    screen: Screen, name: str | None, data: bool, repair: bool, dry_run: bool, jobs: int | None
) -> int:
    """Check that a remote has what it says.

    Its indexes are read and compared with a listing of its files; --data reads these too. Exit
    code 1: something is wrong (still, after --repair).
    """
    with Repo.open(screen.cwd) as repo:
        found = remote_fsck(
            repo, name, data=data, repair=repair, dry_run=dry_run, jobs=jobs,
            progress=progress(screen),
        )  # fmt: skip
    if screen.json:
        emit_json("remote fsck", _checked(found))
    else:
        _show_checked(screen, found, repair)
    return 0 if found.is_sound else 1


def _show_checked(screen: Screen, found: RemoteChecked, repair: bool) -> None:
    place = f"{found.remote} ({display(found.url)})"
    for file, why, oid in found.flaws[:SHOWN]:
        out(f"{file}: {why}{f' ({oid[:12]})' if oid else ''}")
    if len(found.flaws) > SHOWN:
        out(f"and {len(found.flaws) - SHOWN} more (--json lists all)")
    what = f"{units.count(found.objects, 'object')} ({units.size(found.bytes)}) on {place}"
    if not found.flaws:
        read = "read and sound" if found.read else "in place; --data reads them too"
        out(f"{what}: {read}")
    if found.unnamed:
        size = units.size(found.unnamed_bytes)
        say(screen, f"{units.count(found.unnamed, 'file')} ({size}) of pushes that were cut off")
        say(screen, f"mlx remote gc {found.remote} removes them in time")
    if found.sent:
        word = "sent again" if found.repaired else "would send again"
        out(f"{word} {units.count(found.sent, 'object')}")
    if found.lost and repair:
        warn(screen, f"not here either: {units.count(len(found.lost), 'object')}")
        say(screen, "mlx push from a clone that has them sends them again")
    elif found.flaws and not repair:
        data = " --data" if found.read else ""
        say(screen, f"mlx remote fsck {found.remote}{data} --repair mends what can be mended")


def _checked(found: RemoteChecked) -> dict[str, object]:
    return {
        "remote": found.remote,
        "url": found.url,
        "objects": found.objects,
        "bytes": found.bytes,
        "read": found.read,
        "flaws": [{"file": file, "why": why, "oid": oid} for file, why, oid in found.flaws],
        "unnamed": {"files": found.unnamed, "bytes": found.unnamed_bytes},
        "repaired": found.repaired,
        "sent": found.sent,
        "lost": list(found.lost),
    }
