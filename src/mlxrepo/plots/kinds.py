"""The kinds of charts: from columns of values to what is drawn of them, thinned where need be."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from mlxrepo.paths import display
from mlxrepo.plots.model import (
    LINE,
    NORMALIZED,
    NUMBER,
    SMOOTH,
    SORTED_BARS,
    TEXT,
    TIME,
    Figure,
    Matrix,
    Series,
)
from mlxrepo.plots.tables import Table, moment, number, word
from mlxrepo.rows.cells import number as exactly

POINTS = 2_000  # of one series
ALL_POINTS = 12_000  # of a figure
BARS, CLASSES, BINS = 100, 60, 40
LIMIT = 1e300  # scales need differences that are finite as well
_BEYOND = "NaN, infinite or beyond 1e300"

Note = Callable[..., None]


class Column(NamedTuple):
    """The values of one column of one revision as they stand in its file, and those for x."""

    rev: str
    file: str
    x_name: str
    y_name: str
    x: Sequence[Any]
    y: Sequence[Any]


def type_of(columns: Iterable[Sequence[Any]]) -> str:
    """Say whether all values are numbers, all times, or else text."""
    values = [value for column in columns for value in column if value is not None]
    if all(number(value) is not None for value in values):
        return NUMBER
    return TIME if all(moment(value) is not None for value in values) else TEXT


def labels_of(columns: Sequence[Column]) -> list[str]:
    """Return what tells the columns of a revision apart: names, with their files where need be."""
    if len({(c.file, c.y_name) for c in columns}) == 1:
        return [""] * len(columns)
    files: dict[str, set[str]] = {}
    for column in columns:
        files.setdefault(column.y_name, set()).add(column.file)
    return [c.y_name if len(files[c.y_name]) == 1 else f"{c.file}:{c.y_name}" for c in columns]


# --- lines and points -----------------------------------------------------------------------------


def points(base: Figure, columns: Sequence[Column], note: Note, *, as_text: bool) -> Figure:
    """Return a figure of lines or points."""
    kind = TEXT if as_text else type_of([column.x for column in columns])
    read = {NUMBER: number, TIME: moment, TEXT: word}[kind]
    room = max(200, min(POINTS, ALL_POINTS // max(1, len(columns))))
    series = []
    for column, label in zip(columns, labels_of(columns), strict=True):
        pairs = list(zip(map(read, column.x), column.y, strict=False))
        if len(column.x) != len(column.y):
            why = f"{column.x_name} and {column.y_name} have different numbers of rows"
            note(f"{display(why)}: {len(pairs):,} are drawn", column.rev)
        drawn = _numbers(pairs, column, note)
        if not drawn:
            continue
        if kind != TEXT and base.kind in (LINE, SMOOTH):
            drawn.sort(key=lambda pair: pair[0])
        count = len(drawn)
        thin = _peaks if base.kind in (LINE, SMOOTH) else _every
        drawn = thin(drawn, room)
        if len(drawn) < count:
            what = (
                f"{display(label or column.y_name)}: {len(drawn):,} of {count:,} points are drawn"
            )
            note(what, column.rev)
        xs, ys = zip(*drawn, strict=True)
        series.append(Series(column.rev, label, xs, ys))
    x_names, y_names = {c.x_name for c in columns}, {c.y_name for c in columns}
    return base._replace(
        x_type=kind,
        series=tuple(series),
        x_label=x_names.pop() if len(x_names) == 1 else "",
        y_label=y_names.pop() if len(y_names) == 1 else "",
    )


def _numbers(
    pairs: Sequence[tuple[Any, Any]], column: Column, note: Note
) -> list[tuple[Any, float | None]]:
    """Return what has a place; a gap stands where y is no number, or is not finite."""
    found: list[tuple[Any, float | None]] = []
    words = strange = 0
    for x, value in pairs:
        y = number(value)
        words += y is None and value is not None
        if y is not None and not _is_drawable(y):
            strange, y = strange + 1, None
        if x is not None and (isinstance(x, str) or _is_drawable(x)):
            found.append((x, y))
    name = display(column.y_name)
    if words:
        note(f"{name}: {words:,} of {len(pairs):,} values are no numbers", column.rev)
    if strange:
        note(f"{name}: {strange:,} of {len(pairs):,} values are {_BEYOND}", column.rev)
    if homeless := len(pairs) - len(found):
        x_name = display(column.x_name)
        what = f"{x_name}: {homeless:,} of {len(pairs):,} values are empty, {_BEYOND}"
        note(f"{what}, so these rows are left out", column.rev)
    if any(y is not None for _, y in found):
        return found
    note(f"{name} has no numbers to draw", column.rev)
    return []


def _is_drawable(value: float) -> bool:
    """Say whether scales can be made of a value."""
    return math.isfinite(value) and abs(value) < LIMIT


def _peaks(pairs: list[Any], room: int) -> list[Any]:
    """Keep first, last, and the lowest and highest point of each stretch: no peak is lost."""
    if len(pairs) <= room:
        return pairs
    parts = room // 2 - 1
    kept: set[int] = {0, len(pairs) - 1}
    for part in range(parts):
        stretch = range(part * len(pairs) // parts, (part + 1) * len(pairs) // parts)
        there = [i for i in stretch if pairs[i][1] is not None]
        if there:
            kept |= {min(there, key=lambda i: pairs[i][1]), max(there, key=lambda i: pairs[i][1])}
        else:
            kept.add(stretch.start)  # a gap stays one
    return [pairs[i] for i in sorted(kept)]


def _every(pairs: list[Any], room: int) -> list[Any]:
    """Keep points at even distances in the order of the file."""
    if len(pairs) <= room:
        return pairs
    return [pairs[i * len(pairs) // room] for i in range(room)]


# --- bars -----------------------------------------------------------------------------------------


def bars(base: Figure, columns: Sequence[Column], note: Note) -> Figure:
    """Return a figure of bars: of x and y that with more numbers is their length.

    As in DVC, y names them when both are numbers and a column is given for x.
    """
    series, x_label, y_label = [], "", ""
    for column, label in zip(columns, labels_of(columns), strict=True):
        names, values = column.x, column.y
        x_label, y_label = column.x_name, column.y_name
        swap = _share(names) - _share(values)
        if swap > 0 or (swap == 0 and column.x_name != "index"):
            names, values = values, names
            x_label, y_label = y_label, x_label
        pairs = list(zip(map(word, names), values, strict=False))
        drawn = _numbers(pairs, column, note)
        if base.kind == SORTED_BARS:
            drawn.sort(key=lambda pair: -math.inf if pair[1] is None else pair[1], reverse=True)
        if len(drawn) > BARS:
            note(f"{BARS} of {len(drawn):,} bars are drawn", column.rev)
        if drawn:
            xs, ys = zip(*drawn[:BARS], strict=True)
            series.append(Series(column.rev, label, xs, ys))
    return base._replace(x_type=TEXT, series=tuple(series), x_label=x_label, y_label=y_label)


def _share(values: Sequence[Any]) -> float:
    """Return how many of the values are numbers, from 0 to 1."""
    return sum(number(value) is not None for value in values) / max(1, len(values))


def categories(series: Sequence[Series]) -> list[str]:
    """Return the names on an axis of text, in the order in which they first stand."""
    return list(dict.fromkeys(str(x) for one in series for x in one.x))


def histogram(base: Figure, columns: Sequence[Column], note: Note) -> Figure:
    """Return how often values fall into bins, which are the same for all revisions."""
    values: list[list[float]] = []
    for column in columns:
        pairs = [(0.0, value) for value in column.y]
        values.append([y for _, y in _numbers(pairs, column, note) if y is not None])
    every = [value for part in values for value in part]
    if not every:
        return base
    low, high = min(every), max(every)
    most = max(len(part) for part in values)
    step = _round_step((high - low) / min(BINS, 1 + math.ceil(math.log2(most) * 2)))
    start = math.floor(low / step) * step
    count = max(1, math.floor((high - start) / step) + 1)
    series = []
    for column, label, part in zip(columns, labels_of(columns), values, strict=True):
        if not part:
            continue
        bins = Counter(min(count - 1, max(0, math.floor((v - start) / step))) for v in part)
        edges = tuple(start + step * i for i in range(count))
        heights = tuple(float(bins[i]) for i in range(count))
        series.append(Series(column.rev, label, edges, heights))
    names = {column.y_name for column in columns}
    x_label = names.pop() if len(names) == 1 else ""
    return base._replace(series=tuple(series), step=step, x_label=x_label, y_label="count")


def _round_step(step: float) -> float:
    """Return the next width of 1, 2 or 5 times a power of ten; 1 where all values are equal."""
    if step <= 0 or not math.isfinite(step):
        return 1.0
    power = 10.0 ** math.floor(math.log10(step))
    return next((m * power for m in (1, 2, 5) if m * power >= step), 10 * power)


# --- confusion ------------------------------------------------------------------------------------


class Given(NamedTuple):
    """A matrix as it stands in a file, and what its axes are called there."""

    matrix: Matrix
    x_label: str
    y_label: str


def confusion(
    base: Figure, columns: Sequence[Column], tables: Sequence[Given], note: Note
) -> Figure:
    """Return confusion matrices: counted from pairs of classes, or as they are given."""
    matrices = [table.matrix for table in tables]
    x_label, y_label = (tables[-1].x_label, tables[-1].y_label) if tables else ("", "")
    for column in columns:
        x_label, y_label = column.x_name, column.y_name
        pairs = Counter(zip(map(_class, column.x), map(_class, column.y), strict=False))
        matrices.append(_matrix(column.rev, pairs))
    fit = []
    for matrix in matrices:
        if max(len(matrix.rows), len(matrix.columns)) > CLASSES:
            note(f"more than {CLASSES} classes are not drawn", matrix.rev)
        elif matrix.rows and matrix.columns:
            fit.append(_normalized(matrix) if base.kind == NORMALIZED else matrix)
    return base._replace(matrices=tuple(fit), x_label=x_label, y_label=y_label, x_type=TEXT)


def given(rev: str, tables: Sequence[Table]) -> Iterator[Given]:
    """Yield the table of counts that a file holds: the first column names the rows."""
    table = tables[0] if tables else {}
    names = list(table)
    cells = [[number(v) for v in table[name]] for name in names[1:]]
    if not cells or any(v is None or not _is_drawable(v) for column in cells for v in column):
        # Not counts: the last two columns are the classes of each row.
        if len(names) > 1:
            x, y = table[names[-2]], table[names[-1]]
            pairs = Counter(zip(map(_class, x), map(_class, y), strict=False))
            yield Given(_matrix(rev, pairs), names[-2], names[-1])
        return
    rows = tuple(map(word, table[names[0]]))
    by_row = tuple(tuple(column[i] or 0.0 for column in cells) for i in range(len(rows)))
    yield Given(Matrix(rev, rows, tuple(names[1:]), by_row), "", names[0])


def _matrix(rev: str, pairs: Counter[tuple[str, str]]) -> Matrix:
    labels = tuple(sorted({name for pair in pairs for name in pair}, key=_order))
    cells = tuple(tuple(float(pairs[x, y]) for x in labels) for y in labels)
    return Matrix(rev, labels, labels, cells)


def _class(value: Any) -> str:
    """Return the name of a class: one for equal numbers, however they are written."""
    text = word(value)
    value = number(text)
    return text if value is None or not math.isfinite(value) else word(exactly(text))


def _order(label: str) -> tuple[int, float, str]:
    value = number(label)
    is_number = value is not None and not math.isnan(value)
    return (0, value or 0.0, label) if is_number else (1, 0.0, label)


def _normalized(matrix: Matrix) -> Matrix:
    """Divide each row by its sum, as DVC does."""
    cells = tuple(
        tuple(cell / total if total else 0.0 for cell in row)
        for row, total in ((row, sum(row)) for row in matrix.cells)
    )
    return matrix._replace(cells=cells)


def jitter(index: int) -> float:
    """Return an offset from -0.5 to 0.5 for a point, the same each time."""
    return (index * 0.6180339887498949) % 1 - 0.5
