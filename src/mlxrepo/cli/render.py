"""Values of commands as JSON documents and as words, for every verb alike."""

from __future__ import annotations

import os
from collections.abc import Iterable
from shlex import quote
from typing import TYPE_CHECKING, Any

from mlxrepo.cli import units
from mlxrepo.paths import display, is_inside
from mlxrepo.repo.targets import Place

if TYPE_CHECKING:  # what a verb renders it has imported itself
    from mlxrepo.pipeline.report import StageReport
    from mlxrepo.store.compare import Change
    from mlxrepo.store.tree import Entry


def entry_json(entry: Entry | None) -> dict[str, Any] | None:
    """Return an entry as JSON."""
    if entry is None:
        return None
    value: dict[str, Any] = {"kind": entry.kind, "oid": entry.oid, "size": entry.size}
    return {**value, "files": entry.files} if entry.kind == "tree" else value


def change_json(change: Change) -> dict[str, Any]:
    """Return a changed file as JSON."""
    return {
        "path": change.path,
        "change": change.word,
        "old": entry_json(change.old),
        "new": entry_json(change.new),
    }


def report_json(report: StageReport) -> dict[str, Any]:
    """Return what was done about a stage as JSON."""
    error = report.error
    return {
        "stage": report.stage,
        "outcome": report.outcome,
        "why": report.why,
        "reasons": [reason._asdict() for reason in report.reasons],
        "seconds": round(report.seconds, 3),
        "notes": list(report.notes),
        "error": {"message": error.message, "hint": error.hint} if error else None,
        "tail": list(report.tail),
    }


def totals(entry: Entry) -> str:
    """Return a file's size, or a folder's number of files and size."""
    if entry.kind == "tree":
        return f"{units.count(entry.files, 'file')}, {units.size(entry.size)}"
    return units.size(entry.size)


def change_counts(changes: Iterable[Change]) -> str:
    """Return changes in words: "2 added, 1 deleted"."""
    words = [change.word for change in changes]
    parts = [f"{words.count(w)} {w}" for w in ("added", "modified", "deleted") if w in words]
    return ", ".join(parts)


def names(paths: Iterable[str], limit: int = 5) -> str:
    """Return a few paths fit for one line."""
    listed = [display(path) for path in paths]
    more = len(listed) - limit
    return ", ".join(listed[:limit]) + (f" and {more} more" if more > 0 else "")


def next_step(root: str, paths: Iterable[str]) -> str:
    """Return the line that says how to commit `paths`, to be typed where the user stands."""
    here, git = os.path.realpath(os.getcwd()), "git"
    if not is_inside(here, root):
        here, git = root, f"git -C {quote(root)}"
    words = " ".join(Place(root, here).word(path) for path in paths)
    return f"next: {git} add {words} && {git} commit"
