"""`mlx metrics`: show metrics, compare them, and answer gates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click

from mlxrepo.cli.console import emit_json, out, paint, say, tell
from mlxrepo.cli.options import Group
from mlxrepo.cli.screen import Screen
from mlxrepo.cli.tables import markdown_table, table
from mlxrepo.commands.metrics import (
    Doubt,
    Gate,
    MetricChange,
    MetricsDiff,
    Shown,
    diff,
    show,
)
from mlxrepo.errors import InputError
from mlxrepo.paths import display
from mlxrepo.repo.repo import Repo

DIGITS = 6
MARK = "*"  # beside a number that may not be that of its revision
EXIT_CODES = {"passed": 0, "failed": 1, "undecided": 3}
_STYLES = {"better": "green", "worse": "red", "within tolerance": "dim"}


def _formats(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say how a table is printed."""
    for option in (
        click.option("--csv", "as_csv", is_flag=True, help="Print CSV, in full precision."),
        click.option("--md", is_flag=True, help="Print a Markdown table."),
        click.option(
            "--precision",
            type=click.IntRange(1, 17),
            default=DIGITS,
            metavar="N",
            help=f"Print N significant digits (default: {DIGITS}).",
        ),
    ):
        function = option(function)
    return function


@click.group(
    "metrics",
    cls=Group,
    examples=[
        ("mlx metrics diff", "the workspace against the last commit"),
        ("mlx metrics show --rev v1", "what was measured at a tag"),
        ("mlx metrics diff main --fail-if 'auc < base.auc'", "a gate: 0 passes, 1 fails"),
    ],
)
def command() -> None:
    """Show metrics, compare them, and answer gates.

    Metrics are the numbers that stages left in their `metrics` files; they are kept in mlx.lock,
    so no data is needed to read them. Numbers whose record does not hold, by `mlx lock check`, are
    marked with a *: they were not measured on what lies beside them.
    """


@command.command(
    "show",
    examples=[
        ("mlx metrics show", "of the workspace"),
        ("mlx metrics show --rev v1 --rev HEAD --md", "two revisions side by side, as Markdown"),
        ("mlx metrics show evaluate --all-tags", "what one stage measured, at every tag"),
    ],
)
@click.argument("targets", nargs=-1)
@click.option("--rev", "revs", metavar="REV", multiple=True, help="Show a revision; repeatable.")
@click.option("--all-branches", is_flag=True, help="Show every local branch.")
@click.option("--all-tags", is_flag=True, help="Show every tag.")
@_formats
@click.pass_obj
def show_command(
    screen: Screen,
    targets: tuple[str, ...],
    revs: tuple[str, ...],
    all_branches: bool,
    all_tags: bool,
    precision: int,
    md: bool,
    as_csv: bool,
) -> None:
    """Show metrics of the workspace or of revisions, side by side.

    Targets are metrics files, folders, or stages; none means all.
    """
    _one_format(screen, md, as_csv)
    with Repo.open(screen.cwd) as repo:
        found = show(repo, targets, revs, all_tags=all_tags, all_branches=all_branches)
    is_single = len(found) == 1 and not (all_tags or all_branches)
    if screen.json:
        emit_json("metrics show", _shown_document(found, is_single))
        return
    if as_csv:
        _csv(["rev", "file", "metric", "value", "state"], _long(found))
        return
    rows, headers, align = (_list if is_single else _side_by_side)(found, precision)
    doubts = [doubt for one in found for doubt in one.doubts]
    _print(screen, rows, headers, align, md, doubts, empty="no metrics are recorded")
    absent = [display(one.rev) for one in found if one.absent]
    if absent:
        say(screen, f"nothing is recorded at {', '.join(absent[:5])}{_more(len(absent) - 5)}")


@command.command(
    "diff",
    examples=[
        ("mlx metrics diff", "the workspace against HEAD"),
        ("mlx metrics diff v1", "the workspace against a tag"),
        ("mlx metrics diff main my-branch --md", "two revisions, as Markdown"),
        ("mlx metrics diff main --fail-if 'auc < base.auc - 0.002 or f1 < 0.8'", "a gate"),
    ],
)
@click.argument("old", required=False)
@click.argument("new", required=False)
@click.option("--all", "every", is_flag=True, help="Show metrics that are equal too.")
@click.option(
    "--fail-if",
    metavar="EXPR",
    multiple=True,
    help="Exit with 1 when EXPR is true, 3 when unknown; of several any.",
)
@click.option("--allow-stale", is_flag=True, help="Let the gate use numbers that may not hold.")
@_formats
@click.pass_obj
def diff_command(
    screen: Screen,
    old: str | None,
    new: str | None,
    every: bool,
    fail_if: tuple[str, ...],
    allow_stale: bool,
    precision: int,
    md: bool,
    as_csv: bool,
) -> int:
    """Compare metrics of two revisions, or of HEAD and the workspace.

    `goals` in mlx.yaml say which way metrics get better, and what change is within tolerance.

    With --fail-if it is a gate: it exits with 0 when EXPR is false, 1 when it is true, and 3 when
    that cannot be decided: a metric is missing, NaN, or its record does not hold. EXPR compares
    metrics of NEW (`auc`) with those of OLD (`base.auc`), numbers, and parameters (`params.lr`).
    """
    _one_format(screen, md, as_csv)
    with Repo.open(screen.cwd) as repo:
        found = diff(repo, old, new, fail_if=fail_if, allow_stale=allow_stale)
    rows = [row for row in found.rows if every or row.differs]
    if screen.json:
        emit_json("metrics diff", _diff_document(found, rows))
    elif as_csv:
        headers = ["file", "metric", "old", "new", "change", "verdict", "old_state", "new_state"]
        _csv(headers, [[_document(row)[key] for key in headers] for row in rows])
    else:
        _show_diff(screen, found, rows, precision, md)
    return _answer(screen, found)


def _one_format(screen: Screen, md: bool, as_csv: bool) -> None:
    if screen.json + md + as_csv > 1:
        raise InputError("--json, --md and --csv are three formats: give one of them")


def _print(
    screen: Screen,
    rows: list[list[str]],
    headers: list[str],
    align: str,
    md: bool,
    doubts: Sequence[Doubt],
    *,
    empty: str,
) -> None:
    if rows:
        out(markdown_table(rows, headers, align) if md else table(rows, headers, align))
    else:
        out(empty)
    if doubts:
        shown = [_doubt(doubt) for doubt in doubts]
        say(screen, "\n".join(shown[:10]) + _more(len(shown) - 10))


def _doubt(doubt: Doubt) -> str:
    why = f": {doubt.why}" if doubt.why else ""
    told = f"{display(doubt.rev)}: {display(doubt.file)} is {doubt.state}"
    return f"{MARK} {told}, by stage {display(doubt.stage)}{why}"


def _more(count: int) -> str:
    return f" and {count} more" if count > 0 else ""


def _csv(headers: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    from mlxrepo.cli.csvtext import csv_text

    out(csv_text(headers, rows))


def number(value: Any, precision: int = DIGITS) -> str:
    """Return a number as people read it; a dash for none."""
    if value is None:
        return "-"
    return f"{value:.{precision}g}" if isinstance(value, float) else str(value)


def _marked(value: Any, state: str | None, precision: int) -> str:
    mark = MARK if state in ("stale", "unknown") else ""
    return number(value, precision) + mark


# --- show -----------------------------------------------------------------------------------------

_Table = tuple[list[list[str]], list[str], str]


def _long(found: Sequence[Shown]) -> list[list[Any]]:
    """Return a row for each metric of each revision."""
    return [
        [one.rev, file.path, name, value, file.state]
        for one in found
        for file in one.files.values()
        for name, value in file.values.items()
    ]


def _list(found: Sequence[Shown], precision: int) -> _Table:
    rows = [
        [display(file), display(name), _marked(value, state, precision)]
        for _, file, name, value, state in _long(found)
    ]
    return rows, ["file", "metric", "value"], "llr"


def _side_by_side(found: Sequence[Shown], precision: int) -> _Table:
    """Return what there is more of, revisions or metrics, from top to bottom."""
    cells = {
        (one.rev, file.path, name): _marked(value, file.state, precision)
        for one in found
        for file in one.files.values()
        for name, value in file.values.items()
    }
    metrics = sorted({(file, name) for _, file, name in cells})
    revs = [one.rev for one in found]
    if not metrics:
        return [], [], ""
    if len(revs) <= len(metrics):
        rows = [
            [display(file), display(name), *(cells.get((rev, file, name), "-") for rev in revs)]
            for file, name in metrics
        ]
        return rows, ["file", "metric", *map(display, revs)], "ll" + "r" * len(revs)
    names = [name for _, name in metrics]
    titles = [
        display(name if names.count(name) == 1 else f"{file}:{name}") for file, name in metrics
    ]
    rows = [
        [display(rev), *(cells.get((rev, file, name), "-") for file, name in metrics)]
        for rev in revs
    ]
    return rows, ["rev", *titles], "l" + "r" * len(metrics)


def _shown_document(found: Sequence[Shown], is_single: bool) -> dict[str, Any]:
    """Return every revision; of a single one also what is asked for most, at the top."""
    revisions = [
        {
            "rev": one.rev,
            "commit": one.commit,
            "metrics": {path: file.values for path, file in one.files.items()},
            "files": {
                path: {"stage": file.stage, "state": file.state, "why": file.why}
                for path, file in one.files.items()
            },
            "absent": one.absent,
        }
        for one in found
    ]
    if not is_single:
        return {"revisions": revisions}
    rev = found[0].rev if found[0].commit else None
    return {"rev": rev, "metrics": revisions[0]["metrics"], "revisions": revisions}


# --- diff -----------------------------------------------------------------------------------------


def _show_diff(
    screen: Screen, found: MetricsDiff, rows: list[MetricChange], precision: int, md: bool
) -> None:
    has_goals = any(row.better for row in rows)
    cells = []
    for row in rows:
        cell = [display(row.file), display(row.name)]
        cell += [_marked(row.old, row.old_state, precision)]
        cell += [_marked(row.new, row.new_state, precision), _change(row, precision)]
        if has_goals:
            word = row.verdict or ""
            cell.append(paint(screen, word, _STYLES[word]) if word and not md else word)
        cells.append(cell)
    headers = ["file", "metric", display(found.old), display(found.new), "change"]
    headers += ["verdict"] if has_goals else []
    same = f"no metric differs between {display(found.old)} and {display(found.new)}"
    _print(screen, cells, headers, "llrrr", md, found.doubts, empty=same)


def _change(row: MetricChange, precision: int) -> str:
    if row.change is None:
        return "new" if row.old is None else "gone"
    return f"{row.change:+.{precision}g}" if isinstance(row.change, float) else f"{row.change:+d}"


def _answer(screen: Screen, found: MetricsDiff) -> int:
    """Tell what came of the gate, and return the exit code; a refusal is told also with -q."""
    gate = found.gate
    if gate is None:
        return 0
    shown = display(gate.expression)
    if gate.verdict == "undecided":
        tell(f"{paint(screen, 'gate undecided:', 'yellow', err=True)} {shown}")
        for reason in gate.reasons:
            tell(f"  {display(reason)}")
        if found.doubts:
            label = paint(screen, "hint:", "cyan", err=True)
            tell(f"{label} mlx repro measures anew; --allow-stale takes numbers as they are")
        return EXIT_CODES[gate.verdict]
    values = ", ".join(f"{display(k)} = {_operand(v)}" for k, v in gate.operands.items())
    values = f"  ({values})" if values else ""
    if gate.verdict == "failed":
        tell(f"{paint(screen, 'gate failed:', 'red', err=True)} {shown}{values}")
    else:
        say(screen, f"{paint(screen, 'gate passed:', 'green', err=True)} not {shown}{values}")
    return EXIT_CODES[gate.verdict]


def _operand(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return display(repr(value)) if isinstance(value, str) else repr(value)


def _diff_document(found: MetricsDiff, rows: list[MetricChange]) -> dict[str, Any]:
    return {
        "old": found.old,
        "new": found.new,
        "metrics": [_document(row) for row in rows],
        "doubts": [
            {"rev": d.rev, "file": d.file, "stage": d.stage, "state": d.state, "why": d.why}
            for d in found.doubts
        ],
        "gate": _gate_document(found.gate) if found.gate else None,
    }


def _gate_document(gate: Gate) -> dict[str, Any]:
    return {
        "expression": gate.expression,
        "verdict": gate.verdict,
        "operands": gate.operands,
        "reasons": list(gate.reasons),
    }


def _document(row: MetricChange) -> dict[str, Any]:
    return {
        "file": row.file,
        "metric": row.name,
        "old": row.old,
        "new": row.new,
        "change": row.change,
        "direction": row.better,
        "tolerance": row.tolerance if row.better else None,
        "verdict": row.verdict,
        "old_state": row.old_state,
        "new_state": row.new_state,
    }
