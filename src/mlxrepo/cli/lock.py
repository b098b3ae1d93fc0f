"""`mlx lock`: settling lockfiles after a merge, and checking them."""

from __future__ import annotations

import os

import click

from mlxrepo.cli import render, units
from mlxrepo.cli.console import emit_json, out, say
from mlxrepo.cli.locktext import print_text
from mlxrepo.cli.options import Group
from mlxrepo.cli.screen import Screen
from mlxrepo.commands.lock_check import FRESH, STALE, UNKNOWN, Checked, lock_check
from mlxrepo.commands.lock_merge import LockMerged, lock_merge, lock_merge_files
from mlxrepo.errors import InputError
from mlxrepo.paths import display
from mlxrepo.repo.repo import Repo

SHOWN_QUESTIONS = 20


@click.group(
    "lock",
    cls=Group,
    examples=[
        ("mlx lock merge", "after a git merge that conflicts in mlx.lock"),
        ("mlx lock check", "in a CI job: 1 when a stage was not run"),
    ],
)
def command() -> None:
    """Settle a lockfile after a merge, or check it."""


@command.command(
    "check",
    examples=[
        ("mlx lock check", "all stages: 0 fresh, 1 stale, 3 unknown"),
        ("mlx lock check train", "one, and what it needs"),
    ],
)
@click.argument("targets", nargs=-1)
@click.pass_obj
def check(screen: Screen, targets: tuple[str, ...]) -> int:
    """Say whether the lockfile holds, from git's files alone.

    Code, params, lock files of the environment and metrics are read here; data counts as it is
    recorded, and so do the interpreter and variables. So no data is needed, nor mlx's store,
    unless a stage reads a part of a tracked folder. Exits with 0 when all is fresh, 1 when
    a stage is stale, 3 when that is not known.
    """
    with Repo.open(screen.cwd) as repo:
        found = lock_check(repo, targets)
    if screen.json:
        emit_json("lock check", {"stages": [_checked(item) for item in found]})
    else:
        _show_checked(screen, found)
    states = {item.state for item in found}
    return 1 if STALE in states else 3 if UNKNOWN in states else 0


def _show_checked(screen: Screen, found: tuple[Checked, ...]) -> None:
    for item in found:
        if item.state != FRESH:
            out(f"{item.state}: stage {display(item.stage)}  {item.why}")
        elif item.accepted:
            out(f"{item.state}: stage {display(item.stage)}  {_accepted(item.accepted)}")
        elif item.why or screen.verbose:
            out(
                f"{item.state}: stage {display(item.stage)}" + (f"  {item.why}" if item.why else "")
            )
    if all(item.state == FRESH for item in found):
        out(f"fresh: {units.count(len(found), 'stage')}")


def _accepted(accepted: object) -> str:
    """Say by whom and why; a lockfile that somebody edited may hold anything."""
    said = accepted if isinstance(accepted, dict) else {}
    return f"accepted by {display(str(said.get('by')))}: {display(str(said.get('why')))}"


def _checked(item: Checked) -> dict[str, object]:
    return {
        "stage": item.stage,
        "state": item.state,
        "why": item.why,
        "reasons": [reason._asdict() for reason in item.reasons],
        "accepted": item.accepted,
    }


@command.command(
    "merge",
    examples=[
        ("mlx lock merge", "after git merge, rebase or cherry-pick"),
        ("mlx lock merge --theirs data/labels.csv --ours data", "both changed these paths"),
        ("mlx install", "let git merge call it"),
    ],
)
@click.argument("files", nargs=-1, metavar="[BASE OURS THEIRS [PATH]]")
@click.option("--ours", multiple=True, metavar="PATH", help="Take our side where both changed it.")
@click.option("--theirs", multiple=True, metavar="PATH", help="Take their side there.")
@click.pass_obj
def merge(
    screen: Screen, files: tuple[str, ...], ours: tuple[str, ...], theirs: tuple[str, ...]
) -> int:
    """Settle lockfiles after a git merge.

    Records merge as a set, folders path by path. Only a path that both sides changed asks: --ours
    and --theirs, which may be repeated, take a path, a folder or data:NAME. A stage that both
    sides ran is marked unverified, and mlx repro settles it. The rows of mlx.yaml and .gitignore
    that mlx add wrote are merged too. Nothing is written while anything asks, and nothing is
    added to git's index.

    The versions come from git's index, or from the commits of the merge; with file names from
    those files, as git hands them to a merge driver: the result goes to OURS.
    """
    if files and (not 3 <= len(files) <= 4 or ours or theirs):
        raise InputError(
            "a merge driver gives three files and a path",
            hint="mlx lock merge, or mlx lock merge BASE OURS THEIRS [PATH]",
        )
    with Repo.find(screen.cwd) as repo:
        if files:
            path = files[3] if len(files) > 3 else ""
            done = lock_merge_files(repo, files[0], files[1], files[2], path)
        else:
            done = lock_merge(repo, ours=ours, theirs=theirs)
    if screen.json:
        emit_json("lock merge", _document(done))
    elif files:
        _tell_driver(screen, done)
    else:
        _show(screen, done)
    return 0 if done.settled else 1


@command.command(
    "text",
    examples=[
        ("mlx lock text mlx.lock", "what git diff compares"),
        ("git config diff.mlx.textconv 'mlx lock text'", "let git diff call it"),
    ],
)
@click.argument("file")
@click.pass_obj
def text(screen: Screen, file: str) -> int:
    """Print a lockfile as text, one fact a line, whatever state it is in."""
    return print_text(os.path.join(screen.cwd, file))


text.hidden = True  # git calls it, nobody types it


def _show(screen: Screen, done: LockMerged) -> None:
    if done.questions:
        _ask(done)
        return
    if not done.files and not done.left:
        out("nothing to merge")
        return
    for line in _summary(done):
        out(line)
    for path in done.left:
        out(f"left as it is: {display(path)}, where lines conflict that mlx did not write")
    if done.files:
        add = " ".join(map(display, done.files))
        mend = f"mend {render.names(done.left)} by hand, then " if done.left else ""
        say(screen, f"next: {mend}git add {add} && mlx checkout && mlx repro")


def _summary(done: LockMerged) -> list[str]:
    lines = [f"merged {display(path)}" for path in done.files]
    counts = [(len(done.ours), "ours"), (len(done.theirs), "theirs")]
    sides = [f"{units.count(count, 'record')} from {side}" for count, side in counts if count]
    if sides:
        lines.append(f"  {', '.join(sides)}")
    for folder in done.folders:
        parts = f"{units.count(folder.ours, 'file')} from ours, {folder.theirs} from theirs"
        lines.append(f"  {display(folder.path)}: path by path, {parts}")
    lines += [
        f"  unverified: stage {display(stage)}, which both sides ran" for stage in done.unverified
    ]
    return lines


def _ask(done: LockMerged) -> None:
    for question in done.questions[:SHOWN_QUESTIONS]:
        out(f"asks: {display(question.path)} ({display(question.name)}): {display(question.what)}")
    more = len(done.questions) - SHOWN_QUESTIONS
    if more > 0:
        out(f"and {more} more")
    out("nothing was written; answer with --ours PATH or --theirs PATH: one, or a folder above")


def _tell_driver(screen: Screen, done: LockMerged) -> None:
    for line in _summary(done)[1:]:
        say(screen, line)
    if done.questions:
        paths = ", ".join(display(question.path) for question in done.questions[:3])
        say(screen, f"  asks: {paths}; mlx lock merge --ours PATH or --theirs PATH")


def _document(done: LockMerged) -> dict[str, object]:
    return {
        "settled": done.settled,
        "files": list(done.files),
        "left": list(done.left),
        "ours": list(done.ours),
        "theirs": list(done.theirs),
        "folders": [
            {"name": f.name, "path": f.path, "ours": f.ours, "theirs": f.theirs}
            for f in done.folders
        ],
        "unverified": list(done.unverified),
        "questions": [{"name": q.name, "path": q.path, "what": q.what} for q in done.questions],
    }
