"""Figures as text: lines of braille dots, bars, and tables, in as many columns as there are.

Where the terminal has no such characters, or no colours to tell several lines apart, each gets a
sign of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import groupby

from mlxrepo.cli.tables import cell_width, table
from mlxrepo.paths import display
from mlxrepo.plots.model import (
    BARS,
    HISTOGRAM,
    LINE,
    SMOOTH,
    SORTED_BARS,
    TEXT,
    TIME,
    Figure,
    Matrix,
    Series,
)

HEIGHT = 12  # lines of a chart
WIDTH = 100  # columns at most
LABEL = 24
WORST = 10  # confusions that are listed of a matrix that is too wide

SIGNS = "*o+x#@%&"
_COLORS = (32, 214, 36, 175, 117, 166, 245, 142)  # of 256, near those of the page
_BRAILLE = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
_EIGHTHS = " ▏▎▍▌▋▊▉█"


class Style:
    """What a terminal can show; `width` counts columns."""

    def __init__(self, width: int = 80, *, unicode: bool = True, color: bool = False):
        self.width = max(20, min(width, WIDTH))
        self.unicode = unicode
        self.color = color

    def paint(self, text: str, index: int) -> str:
        """Return text in the colour of a revision."""
        return f"\x1b[38;5;{_COLORS[index % len(_COLORS)]}m{text}\x1b[0m" if self.color else text

    def bold(self, text: str) -> str:
        """Return a heading."""
        return f"\x1b[1m{text}\x1b[0m" if self.color else text

    def sign(self, index: int) -> str:
        """Return what stands for a revision: a coloured dot, or a sign of its own."""
        return "●" if self.unicode and self.color else SIGNS[index % len(SIGNS)]


def text(figure: Figure, revs: Sequence[str], style: Style) -> str:
    """Return a figure as lines of text, without a final newline."""
    return "\n".join(_lines(figure, revs, style))


def _lines(figure: Figure, revs: Sequence[str], style: Style) -> Iterator[str]:
    about = figure.name if figure.title != figure.name else ""
    yield style.bold(display(figure.title)) + (f"  {display(about)}" if about else "")
    if figure.pictures:
        for picture in figure.pictures:
            yield f"  {display(picture.rev)}: {picture.media}, {len(picture.data):,} bytes"
    for matrix in figure.matrices:
        if len(revs) > 1:
            yield f"{display(matrix.rev)}:"
        yield from _matrix(figure, matrix, style)
    if figure.kind in (BARS, SORTED_BARS, HISTOGRAM):
        yield from _bars(figure, revs, style)
    elif figure.series:
        yield from _charts(figure, revs, style)
    for note in figure.notes:
        yield f"  {note}"


def _groups(figure: Figure, revs: Sequence[str]) -> Iterator[tuple[str, list[Series]]]:
    """Yield what stands in one chart: a column of all revisions, or all columns of one."""
    labels = list(dict.fromkeys(series.label for series in figure.series))
    if len(revs) == 1:
        yield "", list(figure.series)
        return
    for label in labels:
        yield label, [series for series in figure.series if series.label == label]


def _index(series: Series, figure: Figure, revs: Sequence[str]) -> int:
    if len(revs) > 1:
        return revs.index(series.rev)
    return list(dict.fromkeys(one.label for one in figure.series)).index(series.label)


# --- lines and points -----------------------------------------------------------------------------

_Pairs = list[tuple[float, float]]


def _charts(figure: Figure, revs: Sequence[str], style: Style) -> Iterator[str]:
    names = list(dict.fromkeys(str(x) for s in figure.series for x in s.x))
    places = {name: float(i) for i, name in enumerate(names)} if figure.x_type == TEXT else None
    for label, group in _groups(figure, revs):
        if label:
            yield f"{display(label)}:"
        drawn = [(_index(series, figure, revs), _pairs(series, places)) for series in group]
        every = [pair for _, pairs in drawn for pair in pairs]
        if not every:
            continue
        yield from _chart(figure, drawn, every, names, style)
        if len(group) > 1:
            told = [
                f"{style.paint(style.sign(i), i)} {display(s.rev if len(revs) > 1 else s.label)}"
                for s, (i, _) in zip(group, drawn, strict=True)
            ]
            yield "  " + "   ".join(told)


def _pairs(series: Series, places: dict[str, float] | None) -> _Pairs:
    found = zip(series.x, series.y, strict=True)
    return [
        (places[str(x)] if places is not None else float(x), y) for x, y in found if y is not None
    ]


def _chart(
    figure: Figure,
    drawn: Sequence[tuple[int, _Pairs]],
    every: _Pairs,
    names: Sequence[str],
    style: Style,
) -> Iterator[str]:
    left, right = _range([x for x, _ in every])
    low, high = _range([y for _, y in every])
    ticks = {HEIGHT - 1: low, HEIGHT // 2: (low + high) * 0.5, 0: high}
    ticks[HEIGHT // 2] = high - (high - low) * (HEIGHT // 2) / (HEIGHT - 1)
    labels = {row: f"{value:.4g}" for row, value in ticks.items()}
    margin = max(map(len, labels.values()))
    columns = style.width - margin - 2
    dots = style.unicode and (style.color or len(drawn) == 1)
    canvas = Canvas(columns, HEIGHT, dots=dots)
    is_line = figure.kind in (LINE, SMOOTH)
    for index, pairs in drawn:
        spots = [
            (
                round((x - left) / (right - left) * (canvas.width - 1)),
                round((high - y) / (high - low) * (canvas.height - 1)),
            )
            for x, y in pairs
        ]
        canvas.draw(spots, index, joined=is_line)
    bar, corner, rule = ("│", "└", "─") if style.unicode else ("|", "+", "-")
    for row, line in enumerate(canvas.lines(style)):
        yield f"{labels.get(row, ''):>{margin}} {bar}{line}".rstrip()
    yield " " * (margin + 1) + corner + rule * columns
    ends = [_tick(left, figure, names), _tick(right, figure, names)]
    yield " " * (margin + 2) + _spread(ends[0], display(figure.x_label), ends[1], columns)


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    if high - low > 0:
        return low, high
    pad = abs(low) * 0.1 or 1.0
    return low - pad, high + pad


def _tick(value: float, figure: Figure, names: Sequence[str]) -> str:
    if figure.x_type == TEXT:
        return display(names[max(0, min(len(names) - 1, round(value)))])
    if figure.x_type == TIME:
        try:
            return datetime.fromtimestamp(value / 1000, UTC).strftime("%Y-%m-%d %H:%M")
        except (ValueError, OverflowError, OSError):
            return ""
    return f"{value:.4g}"


def _spread(first: str, middle: str, last: str, width: int) -> str:
    """Put three texts at the beginning, in the middle and at the end of a line."""
    room = width - cell_width(first) - cell_width(last)
    if cell_width(middle) + 2 > room:
        middle = ""
    gap = max(1, room - cell_width(middle))
    before = gap // 2
    return first + " " * before + middle + " " * (gap - before) + last


class Canvas:
    """A field of dots, eight to a character, or of one sign to each."""

    def __init__(self, columns: int, rows: int, *, dots: bool):
        self._dots = dots
        self.width = columns * 2 if dots else columns
        self.height = rows * 4 if dots else rows
        self._cells: list[list[tuple[int, int]]] = [[(0, -1)] * columns for _ in range(rows)]

    def draw(self, spots: Sequence[tuple[int, int]], index: int, *, joined: bool) -> None:
        """Set places (column, row from the top), and all between neighbours when `joined`."""
        for i, spot in enumerate(spots):
            self._set(*spot, index)
            if joined and i:
                for between in _between(spots[i - 1], spot):
                    self._set(*between, index)

    def _set(self, x: int, y: int, index: int) -> None:
        if self._dots:
            row = self._cells[y // 4]
            row[x // 2] = row[x // 2][0] | _BRAILLE[y % 4][x % 2], index
        else:
            self._cells[y][x] = 1, index

    def lines(self, style: Style) -> Iterator[str]:
        """Yield the rows from the top."""
        for row in self._cells:
            parts = []
            for index, cells in groupby(row, key=lambda cell: cell[1]):
                shown = "".join(self._cell(bits, index, style) for bits, _ in cells)
                parts.append(style.paint(shown, index) if index >= 0 else shown)
            yield "".join(parts).rstrip()

    def _cell(self, bits: int, index: int, style: Style) -> str:
        if not bits:
            return " "
        return chr(0x2800 + bits) if self._dots else style.sign(index)


def _between(start: tuple[int, int], end: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """Yield the places on the way from one to another."""
    across, down = end[0] - start[0], end[1] - start[1]
    steps = max(abs(across), abs(down))
    for i in range(1, steps):
        yield start[0] + round(across * i / steps), start[1] + round(down * i / steps)


# --- bars -----------------------------------------------------------------------------------------


def _bars(figure: Figure, revs: Sequence[str], style: Style) -> Iterator[str]:
    for label, group in _groups(figure, revs):
        if label:
            yield f"{display(label)}:"
        yield from _bar_rows(figure, group, revs, style)


def _bar_rows(
    figure: Figure, group: Sequence[Series], revs: Sequence[str], style: Style
) -> Iterator[str]:
    rows: list[tuple[str, int, float]] = []
    names = list(dict.fromkeys(x for series in group for x in series.x))
    by_series = [(s, dict(zip(s.x, s.y, strict=True))) for s in group]
    for name in names:
        for series, values in by_series:
            value = values.get(name)
            if value is not None:
                rows.append((_bar_name(name, figure), _index(series, figure, revs), value))
    if not rows:
        return
    most = max(abs(value) for _, _, value in rows) or 1.0
    margin = min(LABEL, max(cell_width(name) for name, _, _ in rows))
    numbers = [f"{value:.4g}" for _, _, value in rows]
    several = len(group) > 1
    room = style.width - margin - max(map(len, numbers)) - (6 if several else 4)
    before = None
    for (name, index, value), number in zip(rows, numbers, strict=True):
        shown = "" if name == before else _cut(name, margin)
        before = name
        sign = f"{style.paint(style.sign(index), index)} " if several else ""
        bar = _bar(abs(value) / most, max(4, room), style)
        pad = " " * (margin - cell_width(shown))
        yield f"{shown}{pad} {sign}{style.paint(bar, index) if bar else ''} {number}"
    if several:
        told = dict.fromkeys(
            (_index(s, figure, revs), s.rev if len(revs) > 1 else s.label) for s in group
        )
        yield "  " + "   ".join(f"{style.paint(style.sign(i), i)} {display(n)}" for i, n in told)


def _bar_name(name: float | str, figure: Figure) -> str:
    if isinstance(name, str):
        return display(name)
    return f"{name:.4g} .. {name + figure.step:.4g}"


def _cut(name: str, width: int) -> str:
    if cell_width(name) <= width:
        return name
    while cell_width(name) > width - 2:
        name = name[:-1]
    return name + ".."


def _bar(share: float, width: int, style: Style) -> str:
    if not style.unicode:
        return "#" * round(share * width)
    eighths = round(share * width * 8)
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


# --- confusion ------------------------------------------------------------------------------------


def _matrix(figure: Figure, matrix: Matrix, style: Style) -> Iterator[str]:
    normalized = figure.kind == "confusion_normalized"
    cells = [
        [f"{cell:.2f}" if normalized else f"{cell:.6g}" for cell in row] for row in matrix.cells
    ]
    corner = " \\ ".join(filter(None, (display(figure.y_label), display(figure.x_label))))
    rows = [[display(name), *row] for name, row in zip(matrix.rows, cells, strict=True)]
    drawn = table(rows, [corner, *map(display, matrix.columns)], "l" + "r" * len(matrix.columns))
    if max(map(cell_width, drawn.split("\n"))) <= style.width:
        yield drawn
        return
    yield f"  {len(matrix.rows)} x {len(matrix.columns)} classes are too wide for here; apart from"
    yield f"  the diagonal the {WORST} largest are:"
    off = [
        (matrix.cells[i][j], row, column)
        for i, row in enumerate(matrix.rows)
        for j, column in enumerate(matrix.columns)
        if row != column
    ]
    off.sort(key=lambda found: -found[0])
    worst = [
        [display(row), display(column), f"{cell:.6g}"] for cell, row, column in off[:WORST] if cell
    ]
    headers = [display(figure.y_label) or "row", display(figure.x_label) or "column", "cell"]
    yield table(worst, headers, "llr")
