"""Figures as Vega-Lite specifications: data inline, field names of our own, no expressions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from mlxrepo.paths import display
from mlxrepo.plots.kinds import categories, jitter
from mlxrepo.plots.model import (
    BARS,
    HISTOGRAM,
    JITTER,
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

# Told apart by people who see colours differently: after Okabe and Ito, fit for dark and light.
PALETTE = (
    "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8C8C8C", "#A6A02B",
)  # fmt: skip

_TYPES = {NUMBER: "quantitative", TIME: "temporal", TEXT: "nominal"}
_NAMES = """
__defineGetter__ __defineSetter__ __lookupGetter__ __lookupSetter__ __proto__ constructor
hasOwnProperty isPrototypeOf propertyIsEnumerable toLocaleString toString valueOf
"""
_NAMES_OF_OBJECTS = frozenset(_NAMES.split())
_SMOOTH_FROM = 8  # points; fewer say more as they are

Spec = dict[str, Any]


def color_of(index: int) -> str:
    """Return the colour of a revision or a column by its number."""
    return PALETTE[index % len(PALETTE)]


def specification(figure: Figure, revs: Sequence[str]) -> Spec:
    """Return the specification of a chart; `revs` are all revisions, so that colours agree."""
    figure, revs = _printable(figure), [_safe(rev) for rev in revs]
    spec: Spec = {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "data": {"values": _rows(figure, revs)},
    }
    if figure.matrices:
        return {**spec, **_confusion(figure, revs)}
    if figure.kind in (BARS, SORTED_BARS):
        return {**spec, **_bars(figure, revs)}
    size: Spec = {"width": 440, "height": 260}
    if figure.kind == HISTOGRAM:
        return {**spec, **size, **_histogram(figure, revs)}
    if figure.kind in (LINE, SMOOTH):
        return {**spec, **size, **_lines(figure, revs)}
    return {**spec, **size, **_scatter(figure, revs)}


def _printable(figure: Figure) -> Figure:
    """Return a figure whose texts Vega takes for texts."""

    def shown(values: Iterable[Any]) -> tuple[Any, ...]:
        return tuple(_safe(value) if isinstance(value, str) else value for value in values)

    series = (Series(_safe(s.rev), _safe(s.label), shown(s.x), s.y) for s in figure.series)
    matrices = (
        Matrix(_safe(m.rev), shown(m.rows), shown(m.columns), m.cells) for m in figure.matrices
    )
    return figure._replace(
        series=tuple(series),
        matrices=tuple(matrices),
        x_label=display(figure.x_label),
        y_label=display(figure.y_label),
    )


def _safe(text: str) -> str:
    """Return a text without characters that Vega's expressions do not read.

    A name that every object of JavaScript has would be found where Vega looks for a group of that
    name: one that is invisible is added.
    """
    shown = display(text)
    return f"{shown}\u200b" if shown in _NAMES_OF_OBJECTS else shown


def _rows(figure: Figure, revs: Sequence[str]) -> list[Spec]:
    """Return the data; what has an order carries its place, for Vega makes code of sorted texts."""
    if figure.matrices:
        rows = list(dict.fromkeys(name for m in figure.matrices for name in m.rows))
        columns = list(dict.fromkeys(name for m in figure.matrices for name in m.columns))
        top = max((c for m in figure.matrices for row in m.cells for c in row), default=0) or 1
        top = 1.0 if figure.kind == NORMALIZED else top
        return [
            {
                "r": m.rev,
                "ro": revs.index(m.rev),
                "y": y,
                "yo": rows.index(y),
                "x": x,
                "xo": columns.index(x),
                "v": _finite(cell),
                "d": cell > top / 2,
            }
            for m in figure.matrices
            for y, row in zip(m.rows, m.cells, strict=True)
            for x, cell in zip(m.columns, row, strict=True)
        ]
    found = []
    names = {name: i for i, name in enumerate(categories(figure.series))}
    for series in figure.series:
        for i, (x, y) in enumerate(zip(series.x, series.y, strict=True)):
            row = {"r": series.rev, "c": series.label, "i": i, "x": _finite(x), "y": _finite(y)}
            row["ro"] = revs.index(series.rev)
            if isinstance(x, str):
                row["xo"] = names[x]
            if figure.kind == HISTOGRAM:
                row["x2"] = _finite(float(x) + figure.step)
            if figure.kind == JITTER:
                row["j"] = jitter(i)
            found.append(row)
    return found


def _by(field: str) -> Spec:
    return {"field": field, "op": "min", "order": "ascending"}


def _finite(value: Any) -> Any:
    """Return a value that JSON has."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _axis(figure: Figure, axis: str) -> Spec:
    title = figure.x_label if axis == "x" else figure.y_label
    kind = figure.x_type if axis == "x" else NUMBER
    encoding: Spec = {"field": axis, "type": _TYPES[kind], "title": title or None}
    if kind == TEXT:
        # In the order of the file, and every label as it is.
        encoding |= {"sort": None, "axis": {"labelLimit": 200}}
    else:
        encoding["scale"] = {"zero": False, "nice": True}
    if kind == TIME:
        encoding["scale"] = {"type": "utc"}
    return encoding


def _colors(figure: Figure, revs: Sequence[str]) -> Spec:
    """Colour revisions, and columns by dashes; where there is one revision colour the columns."""
    labels = list(dict.fromkeys(series.label for series in figure.series))
    by_label = len(revs) == 1 and len(labels) > 1
    names = labels if by_label else list(revs)
    color: Spec = {
        "field": "c" if by_label else "r",
        "type": "nominal",
        "title": None,
        "scale": {"domain": names, "range": [color_of(i) for i in range(len(names))]},
        "legend": {"orient": "bottom", "columns": 2} if by_label else None,
    }
    return {"color": color}


def _marks_of_columns(figure: Figure, revs: Sequence[str], channel: str) -> Spec:
    labels = list(dict.fromkeys(series.label for series in figure.series))
    if len(labels) < 2 or len(revs) == 1:
        return {}
    legend: Spec = {"orient": "bottom", "columns": 2, "symbolStrokeColor": "#8C8C8C"}
    if channel == "shape":
        legend |= {"symbolFillColor": "#8C8C8C"}
    return {
        channel: {"field": "c", "type": "nominal", "title": None, "sort": None, "legend": legend}
    }


def _lines(figure: Figure, revs: Sequence[str]) -> Spec:
    most = max(len(series.x) for series in figure.series)
    shared = {"x": _axis(figure, "x"), "y": _axis(figure, "y"), **_colors(figure, revs),
              **_marks_of_columns(figure, revs, "strokeDash")}  # fmt: skip
    shared["detail"] = [{"field": "r"}, {"field": "c"}]
    line: Spec = {"type": "line", "strokeWidth": 2, "tooltip": True}
    order = {"order": {"field": "i", "type": "quantitative"}}
    if most <= 40:
        line["point"] = {"size": 30}
    shortest = min(len(series.x) for series in figure.series)
    if figure.kind == LINE or figure.x_type == TEXT or shortest < _SMOOTH_FROM:
        return {"mark": line, "encoding": {**shared, **order}}
    smooth = {"loess": "y", "on": "x", "groupby": ["r", "c"], "bandwidth": 0.3}
    faint = {"type": "line", "strokeWidth": 1, "opacity": 0.3}
    return {
        "encoding": shared,
        "layer": [
            {"mark": faint, "encoding": order},
            {"transform": [{"filter": {"field": "y", "valid": True}}, smooth], "mark": line},
        ],
    }


def _scatter(figure: Figure, revs: Sequence[str]) -> Spec:
    encoding = {"x": _axis(figure, "x"), "y": _axis(figure, "y"), **_colors(figure, revs),
                **_marks_of_columns(figure, revs, "shape")}  # fmt: skip
    if figure.kind == JITTER:
        encoding["xOffset"] = {"field": "j", "type": "quantitative", "title": None}
    mark = {"type": "point", "filled": True, "opacity": 0.7, "size": 40, "tooltip": True}
    return {"mark": mark, "encoding": encoding}


def _bars(figure: Figure, revs: Sequence[str]) -> Spec:
    length = _axis(figure, "y") | {"scale": {"zero": True}}
    by_label = len(revs) == 1 and len({series.label for series in figure.series}) > 1
    encoding: Spec = {
        "y": {"field": "x", "type": "nominal", "title": figure.x_label or None, "sort": _by("xo"),
              "axis": {"labelLimit": 240}},
        "x": length,
        "yOffset": {"field": "c" if by_label else "r", "sort": None if by_label else _by("ro")},
        **_colors(figure, revs),
    }  # fmt: skip
    mark = {"type": "bar", "tooltip": True}
    return {"mark": mark, "encoding": encoding, "width": 400, "height": {"step": 18}}


def _histogram(figure: Figure, revs: Sequence[str]) -> Spec:
    encoding = {
        "x": _axis(figure, "x") | {"bin": {"binned": True, "step": figure.step}},
        "x2": {"field": "x2"},
        "y": _axis(figure, "y") | {"scale": {"zero": True}, "stack": None},
        "detail": [{"field": "r"}, {"field": "c"}],
        **_colors(figure, revs),
    }
    opacity = 0.9 if len(figure.series) == 1 else 0.5
    mark = {"type": "bar", "opacity": opacity, "tooltip": True}
    return {"mark": mark, "encoding": encoding}


def _confusion(figure: Figure, revs: Sequence[str]) -> Spec:
    columns = dict.fromkeys(name for m in figure.matrices for name in m.columns)
    size = max(16, min(44, 440 // max(1, len(columns))))
    domain: Spec = {"domain": [0, 1]} if figure.kind == NORMALIZED else {"domainMin": 0}
    digits = ".2f" if figure.kind == NORMALIZED else ",~r"
    cell: Spec = {
        "mark": {"type": "rect", "tooltip": True},
        "encoding": {
            "color": {
                "field": "v",
                "type": "quantitative",
                "title": None,
                "scale": {"scheme": "blues", **domain},
            }
        },
    }
    text: Spec = {
        "mark": {"type": "text", "fontSize": max(7, min(12, size // 3 + 2))},
        "encoding": {
            "text": {"field": "v", "type": "quantitative", "format": digits},
            "color": {
                "condition": {"test": {"field": "d", "equal": True}, "value": "white"},
                "value": "black",
            },
        },
    }
    spec = {
        "width": {"step": size},
        "height": {"step": size},
        "encoding": {
            "x": {"field": "x", "type": "nominal", "sort": _by("xo"),
                  "title": figure.x_label or None},
            "y": {"field": "y", "type": "nominal", "sort": _by("yo"),
                  "title": figure.y_label or None},
        },
        "layer": [cell, text],
    }  # fmt: skip
    if len(revs) == 1:
        return spec
    header = {"title": None, "labelLimit": 400}
    facet = {"field": "r", "type": "nominal", "sort": _by("ro"), "header": header}
    return {"facet": facet, "columns": max(1, 1000 // (size * len(columns) + 60)), "spec": spec}
