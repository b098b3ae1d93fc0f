"""What a figure is: the same values for a page, a terminal, or whoever draws next."""

from __future__ import annotations

from typing import Any, NamedTuple

from mlxrepo.errors import Where

NUMBER, TIME, TEXT = "number", "time", "text"

# What can be drawn, and DVC's names for it.
LINE, SMOOTH, SCATTER, JITTER = "line", "smooth", "scatter", "jitter"
BARS, SORTED_BARS, HISTOGRAM = "bars", "bars_sorted", "histogram"
CONFUSION, NORMALIZED = "confusion", "confusion_normalized"
IMAGE = "image"
TEMPLATES = {
    "linear": LINE, "simple": LINE, LINE: LINE, SMOOTH: SMOOTH,
    SCATTER: SCATTER, "scatter_jitter": JITTER, JITTER: JITTER,
    CONFUSION: CONFUSION, NORMALIZED: NORMALIZED,
    "bar_horizontal": BARS, "bar": BARS, BARS: BARS,
    "bar_horizontal_sorted": SORTED_BARS, SORTED_BARS: SORTED_BARS,
    HISTOGRAM: HISTOGRAM,
}  # fmt: skip

IMAGES = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "gif": "image/gif",
    "svg": "image/svg+xml",
    "webp": "image/webp",
}
TABLES = ("json", "csv", "tsv", "yaml", "yml")


class Curve(NamedTuple):
    """Where values come from: a column of a file for each axis, None for the usual one."""

    x_file: str
    x: str | None
    y_file: str
    y: str | None


class Wanted(NamedTuple):
    """A plot as it is declared. `keys` holds title, x_label, y_label, template and header.

    `stage` is the address of the stage that writes its files, "" for none.
    """

    name: str
    curves: tuple[Curve, ...]
    keys: dict[str, Any]
    where: Where | None = None
    stage: str = ""

    @property
    def files(self) -> tuple[str, ...]:
        """Return the files that it is drawn from."""
        return tuple(dict.fromkeys(f for c in self.curves for f in (c.y_file, c.x_file)))


class Series(NamedTuple):
    """Values of one revision that belong together; a `y` of None is a gap.

    `label` is the column, or "" where a figure has one. In a histogram `x` holds the lower edges.
    """

    rev: str
    label: str
    x: tuple[float | str, ...]
    y: tuple[float | None, ...]


class Matrix(NamedTuple):
    """A confusion matrix of one revision: a row of cells for each of `rows`; all as drawn."""

    rev: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: tuple[tuple[float, ...], ...]


class Picture(NamedTuple):
    """An image file of one revision."""

    rev: str
    media: str
    data: bytes


class Figure(NamedTuple):
    """What is drawn as one: of its series, matrices and pictures there are those of one kind.

    `x_type` is number, time (milliseconds since 1970) or text. `step` is the width of a
    histogram's bins. `notes` say what is missing or left out.
    """

    name: str
    kind: str
    title: str
    x_label: str = ""
    y_label: str = ""
    x_type: str = NUMBER
    series: tuple[Series, ...] = ()
    matrices: tuple[Matrix, ...] = ()
    pictures: tuple[Picture, ...] = ()
    step: float = 0.0
    notes: tuple[str, ...] = ()
    stage: str = ""

    @property
    def is_empty(self) -> bool:
        """Say whether there is nothing to draw."""
        return not (self.series or self.matrices or self.pictures)


def extension(path: str) -> str:
    """Return the extension of a path in lower case, without its dot; "" for none."""
    name = path.rpartition("/")[2]
    return name.rpartition(".")[2].lower() if "." in name else ""
