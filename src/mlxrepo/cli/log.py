"""`mlx log`: the commits in which something changed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from mlxrepo.cli import render, units
from mlxrepo.cli.console import emit_json, out, paint, say
from mlxrepo.cli.locktext import value_text
from mlxrepo.cli.options import Command
from mlxrepo.cli.screen import Screen
from mlxrepo.cli.tables import table
from mlxrepo.commands.log import Change, Log, LogEntry, Metrics, log
from mlxrepo.paths import display
from mlxrepo.repo.repo import Repo

_SHOWN_METRICS = 4
_DIGITS, _OID_DIGITS = 10, 12
_COLORS = {"added": "green", "modified": "yellow", "deleted": "red"}


@click.command(
    "log",
    cls=Command,
    examples=[
        ("mlx log", "what each commit changed, newest first"),
        ("mlx log models/sentiment.pkl", "each version of a model, with its metrics"),
        ("mlx log data:reviews --max-count 3", "the last three of a dataset"),
    ],
)
@click.argument("target", required=False)
@click.option("--rev", metavar="REV", default="HEAD", help="Begin at a git revision, not at HEAD.")
@click.option(
    "--max-count", type=click.IntRange(min=1), metavar="N", help="Show so many commits at most."
)
@click.pass_obj
def command(screen: Screen, target: str | None, rev: str, max_count: int | None) -> None:
    """Show the commits in which something changed.

    Each commit that changed a path, an artifact or a stage, with its author and date: what it
    became, which stage made it or that somebody added it by hand, and the metrics, of the stage
    or of those that measured exactly these bytes. All of it stands in git, so no data is needed;
    only for a path inside a tracked folder its listings are.
    """
    with Repo.open(screen.cwd) as repo:
        found = log(repo, target, rev=rev, max_count=max_count)
    if screen.json:
        emit_json("log", _document(found))
        return
    if not found.entries:
        out(
            f"no commit has recorded {display(target)} yet" if target else "nothing is recorded yet"
        )
    elif target is None:
        for line in _by_commit(screen, found):
            out(line)
    else:
        out(table([row for entry in found.entries for row in _rows(screen, entry)], align="llllr"))
    if not found.complete:
        say(screen, "the history is cut off here: git fetch --unshallow brings the rest")


def _by_commit(screen: Screen, found: Log) -> Iterator[str]:
    for entry in found.entries:
        commit = entry.commit
        yield (
            f"{paint(screen, commit.oid[:_DIGITS], 'yellow')} {commit.date[:10]} "
            f"{display(commit.author)}: {display(commit.subject)}"
        )
        for change in entry.changes:
            parts = [
                f"    {_word(screen, change)}: {_what(change)}",
                _size(change),
                _oid(change),
                _maker(change) if change.path else "",
                _metrics(change.metrics),
            ]
            yield "  ".join(part for part in parts if part)


def _rows(screen: Screen, entry: LogEntry) -> Iterator[list[str]]:
    commit = entry.commit
    for change in entry.changes:
        yield [
            paint(screen, commit.oid[:_DIGITS], "yellow"),
            commit.date[:10],
            display(commit.author),
            _word(screen, change),
            _size(change),
            _oid(change),
            _what(change),
            _maker(change) if change.path else "",
            _metrics(change.metrics),
            display(commit.subject),
        ]


def _word(screen: Screen, change: Change) -> str:
    word = change.word if change.known else "perhaps"
    return paint(screen, word, _COLORS.get(word, "dim"))


def _what(change: Change) -> str:
    if not change.path:
        return f"stage {display(change.stage)}"
    return display(change.path) + (f" ({display(change.name)})" if change.name else "")


def _size(change: Change) -> str:
    return render.totals(change.new) if change.new else ""


def _oid(change: Change) -> str:
    return change.new.oid[:_OID_DIGITS] if change.new else ""


def _maker(change: Change) -> str:
    if not change.stage:
        return "removed" if change.known and change.new is None else "added by hand"
    accepted = f", accepted by {display(change.accepted)}" if change.accepted else ""
    return f"stage {display(change.stage)}{accepted}"


def _metrics(metrics: Metrics) -> str:
    named = [
        f"{display(name)} {_number(value)}"
        for values in metrics.values()
        for name, value in values.items()
    ]
    more = len(named) - _SHOWN_METRICS
    return ", ".join(named[:_SHOWN_METRICS]) + (
        f" and {units.count(more, 'metric')} more" if more > 0 else ""
    )


def _number(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else value_text(value)


def _document(found: Log) -> dict[str, Any]:
    return {
        "complete": found.complete,
        "commits": [
            {
                "commit": entry.commit.oid,
                "date": entry.commit.date,
                "author": entry.commit.author,
                "email": entry.commit.email,
                "subject": entry.commit.subject,
                "changes": [_change(change) for change in entry.changes],
            }
            for entry in found.entries
        ],
    }


def _change(change: Change) -> dict[str, Any]:
    return {
        "path": change.path,
        "name": change.name,
        "stage": change.stage,
        "change": change.word if change.known else "unknown",
        "old": render.entry_json(change.old),
        "new": render.entry_json(change.new),
        "accepted_by": change.accepted,
        "metrics": {
            file: {name: _plain(value) for name, value in values.items()}
            for file, values in change.metrics.items()
        },
    }


def _plain(value: Any) -> Any:
    """Return a metric as a number; NaN and the infinities are wrapped in a lockfile."""
    return float(value["$float"]) if isinstance(value, dict) and "$float" in value else value
