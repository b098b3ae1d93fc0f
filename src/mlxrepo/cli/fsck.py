"""`mlx fsck`: check the store and mend it."""

from __future__ import annotations

from collections.abc import Iterable

import click

from mlxrepo.cli import units
from mlxrepo.cli.console import emit_json, out, paint, progress, say, warn
from mlxrepo.cli.options import Command
from mlxrepo.cli.screen import Screen
from mlxrepo.commands.fsck import LOST, REMOVED, REPAIRED, Checked, Finding, fsck
from mlxrepo.paths import display
from mlxrepo.repo.losses import Need
from mlxrepo.repo.repo import Repo
from mlxrepo.store.inventory import PACK_FOLDER

SHOWN_FINDINGS = 20
SHOWN_NEEDS = 3
SHOWN_PLACES = 4

_COLORS = {REPAIRED: "green", REMOVED: "yellow", LOST: "red"}
# What was done, and what would be done.
_SENTENCES = {
    REPAIRED: ("repaired", "can be repaired"),
    REMOVED: ("moved to the quarantine; nothing here needs it", "nothing here needs it"),
    LOST: ("no good copy is at hand", "no good copy is at hand"),
}


def _percent(ctx: click.Context, param: click.Parameter, text: str | None) -> int | None:
    """Read `10%` or `10`."""
    if text is None:
        return None
    number = text.removesuffix("%")
    if not number.isdecimal() or not 1 <= int(number) <= 100:
        raise click.BadParameter(f'"{text}" is not a share from 1% to 100%', ctx, param)
    return int(number)


@click.command(
    "fsck",
    cls=Command,
    examples=[
        ("mlx fsck", "is everything there that any commit needs? Fast"),
        ("mlx fsck --data", "read every object; goes on where it was stopped"),
        ("mlx fsck --sample 5%", "read some of them, others each time"),
        ("mlx fsck --data --repair", "and mend what has a good copy at hand"),
        ("mlx fsck --data model:fraud", "only what one model needs, in all commits"),
    ],
)
@click.argument("targets", nargs=-1)
@click.option("--data", is_flag=True, help="Read every object and compare it with its name.")
@click.option("--sample", metavar="N%", callback=_percent, help="Read that share of the objects.")
@click.option("--repair", is_flag=True, help="Put good copies in the place of damaged objects.")
@click.option("-n", "--dry-run", is_flag=True, help="Say what --repair would do, and do nothing.")
@click.pass_obj
def command(
    screen: Screen,
    targets: tuple[str, ...],
    data: bool,
    sample: int | None,
    repair: bool,
    dry_run: bool,
) -> int:
    """Check the store, and mend it.

    Names what is damaged or missing, and which artifacts and commits need it, in every repository
    that uses the store; exits with 1 then, and with 3 where not all of them can be asked. Damaged
    files are never thrown away: a repair moves them to quarantine/ in the store. Good copies are
    taken from the store, its trash, the files of all worktrees, and then from all remotes. What was
    never fetched, or dropped, is counted and no damage.
    """
    with Repo.open(screen.cwd) as repo:
        found = fsck(
            repo,
            targets,
            data=data,
            sample=sample,
            repair=repair or dry_run,
            dry_run=dry_run,
            progress=progress(screen),
        )
        store = repo.store.root
    if screen.json:
        emit_json("fsck", _document(found))
    else:
        _show(screen, found, store)
    return 1 if not found.sound else 3 if found.unknown else 0


def _show(screen: Screen, found: Checked, store: str) -> None:
    if found.noted:
        say(screen, "went on where an earlier check was stopped")
    if found.unknown:
        warn(screen, f"what all needs the store is not known: {found.unknown}")
    shown = found.findings if screen.verbose else found.findings[:SHOWN_FINDINGS]
    for finding in shown:
        _show_finding(screen, finding, found.mended)
    if len(shown) < len(found.findings):
        say(screen, f"and {len(found.findings) - len(shown)} more (-v or --json lists all)")
    read = f"{units.count(found.objects, 'object')} read, {units.size(found.bytes)}"
    out(f"{_verdict(found)} ({read})")
    if found.absent:
        out(f"{units.count(found.absent, 'object')} not here (never fetched or dropped)")
    for why in found.unreached:
        warn(screen, f"a remote could not be asked: {why}")
    if found.quarantine:
        say(screen, f"what was damaged is in {display(store)}/{found.quarantine}")
    if not found.sound and not any(finding.outcome for finding in found.findings):
        say(screen, "hint: mlx fsck --repair looks for good copies and puts them in place")


def _verdict(found: Checked) -> str:
    if not found.findings:
        return "the store is sound"
    states = [finding.state for finding in found.findings]
    parts = [f"{states.count(word)} {word}" for word in ("damaged", "missing") if word in states]
    outcomes = [finding.outcome for finding in found.findings if finding.outcome]
    lost = outcomes.count(LOST)
    if outcomes:
        parts.append(f"{len(outcomes) - lost} " + ("mended" if found.mended else "can be mended"))
    if lost:
        parts.append(f"{lost} lost")
    return ", ".join(parts)


def _show_finding(screen: Screen, finding: Finding, mended: bool) -> None:
    state = paint(screen, finding.state, "red")
    out(f"{state}: {_what(finding)}: {finding.why}")
    for line in _needed_by(finding.needs):
        out(f"  needed by {line}")
    if finding.outcome:
        word = _SENTENCES[finding.outcome][0 if mended else 1]
        source = f" from {display(finding.source)}" if finding.source else ""
        out(f"  {paint(screen, word, _COLORS[finding.outcome])}{source}")


def _what(finding: Finding) -> str:
    """Return an object, and the pack in which it lies, in short."""
    folder, _, name = finding.file.partition("/")
    pack = f"pack {name[:12]}" if folder == PACK_FOLDER else ""
    if not finding.oid:
        return pack
    return f"{finding.kind} {finding.oid[:12]}" + (f" in {pack}" if pack else "")


def _needed_by(needs: Iterable[Need]) -> list[str]:
    """Return a line for each file with who records it, and where."""
    files: dict[str, list[Need]] = {}
    for need in needs:
        files.setdefault(need.path, []).append(need)
    lines = [_need_line(path, found) for path, found in list(files.items())[:SHOWN_NEEDS]]
    if len(files) > SHOWN_NEEDS:
        lines.append(f"{len(files) - SHOWN_NEEDS} more")
    return lines


def _need_line(path: str, needs: list[Need]) -> str:
    addresses = ", ".join(dict.fromkeys(need.address for need in needs if need.address))
    places = list(dict.fromkeys(need.where for need in needs))
    more = len(places) - SHOWN_PLACES
    listed = ", ".join(places[:SHOWN_PLACES]) + (f" and {more} more" if more > 0 else "")
    return f"{display(path)}" + (f" of {addresses}" if addresses else "") + f": {listed}"


def _document(found: Checked) -> dict[str, object]:
    return {
        "sound": found.sound,
        "findings": [_finding(finding) for finding in found.findings],
        "objects": found.objects,
        "bytes": found.bytes,
        "resumed": bool(found.noted),
        "unknown": found.unknown or None,
        "absent": found.absent,
        "unreached": list(found.unreached),
        "quarantine": found.quarantine,
    }


def _finding(finding: Finding) -> dict[str, object]:
    return {
        "state": finding.state,
        "kind": finding.kind,
        "oid": finding.oid or None,
        "file": finding.file or None,
        "why": finding.why,
        "needs": [need._asdict() for need in finding.needs],
        "outcome": finding.outcome or None,
        "source": finding.source or None,
    }
