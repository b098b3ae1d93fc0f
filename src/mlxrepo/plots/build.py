"""From the bytes of a plot's files at some revisions to one figure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from mlxrepo.errors import InputError, Where
from mlxrepo.nearest import nearest
from mlxrepo.paths import display
from mlxrepo.plots import kinds
from mlxrepo.plots.kinds import Column, Given
from mlxrepo.plots.model import (
    CONFUSION,
    HISTOGRAM,
    IMAGE,
    IMAGES,
    JITTER,
    LINE,
    NORMALIZED,
    TABLES,
    TEMPLATES,
    TEXT,
    Curve,
    Figure,
    Picture,
    Wanted,
    extension,
)
from mlxrepo.plots.tables import Table, choose, read_tables

STEPS = ("step", "epoch", "iteration")  # a column that is x by its name, when none is named
IMAGE_MAX = 20 << 20  # bytes of one image in a page
_PNG = b"\x89PNG\r\n\x1a\n"


class Content(NamedTuple):
    """The files of a plot at one revision: their bytes, or a sentence on why there are none.

    `doubts` are sentences on whether they belong to that revision.
    """

    rev: str
    files: Mapping[str, bytes | str]
    doubts: tuple[str, ...] = ()


class Notes:
    """What is to be told of a figure, each thing once with the revisions that it is true for."""

    def __init__(self) -> None:
        self._revs: dict[str, list[str]] = {}

    def add(self, text: str, rev: str = "") -> None:
        """Note something of one revision, or of the whole figure."""
        revs = self._revs.setdefault(text, [])
        if rev and rev not in revs:
            revs.append(rev)

    def told(self) -> tuple[str, ...]:
        """Return all of it as sentences."""
        return tuple(
            f"{', '.join(map(display, revs))}: {text}" if revs else text
            for text, revs in self._revs.items()
        )


def figure(wanted: Wanted, contents: Sequence[Content]) -> Figure:
    """Return the figure of a plot; what is missing or damaged is noted and the rest is drawn.

    Raises:
        InputError: for a template that there is not, and a column that no revision has.
    """
    notes = Notes()
    for content in contents:
        for doubt in content.doubts:
            notes.add(doubt, content.rev)
        for file in wanted.files:
            if isinstance(why := content.files[file], str):
                notes.add(why, content.rev)
    if all(extension(file) in IMAGES for file in wanted.files):
        found = _picture(wanted, contents, notes)
    else:
        found = _chart(wanted, contents, notes, kind_of(wanted))
    keys = wanted.keys
    if found.is_empty and not (found.notes or notes.told()):
        files = ", ".join(map(display, wanted.files))
        notes.add(f"{files}: nothing there can be drawn as {found.kind}")
    return found._replace(
        title=str(keys.get("title") or found.title),
        x_label=str(keys.get("x_label") or found.x_label),
        y_label=str(keys.get("y_label") or found.y_label),
        notes=(*_same(found, contents), *found.notes, *notes.told()),
    )


def kind_of(wanted: Wanted) -> str | None:
    """Return how a plot is to be drawn; None when that is not said.

    Raises:
        InputError: for a template that there is not.
    """
    given = wanted.keys.get("template")
    if given is None:
        return None
    kind = TEMPLATES.get(str(given))
    if kind is None:
        near = nearest(str(given), TEMPLATES)
        known = ", ".join(sorted(TEMPLATES))
        raise InputError(
            f'the plot "{display(wanted.name)}" has the template "{display(str(given))}", '
            "which mlx does not draw",
            hint=f'did you mean "{near}"?' if near else f"templates: {known}",
            where=wanted.where,
        )
    return kind


def _picture(wanted: Wanted, contents: Sequence[Content], notes: Notes) -> Figure:
    pictures = []
    for content in contents:
        for file, data in content.files.items():
            if isinstance(data, str):
                continue
            media = IMAGES[extension(file)]
            if why := _flaw(data, media):
                notes.add(f"{display(file)} {why}", content.rev)
            else:
                pictures.append(Picture(content.rev, media, data))
    pictures = [p._replace(rev=rev) for p, rev in _merged(pictures)]
    return Figure(wanted.name, IMAGE, wanted.name, pictures=tuple(pictures), stage=wanted.stage)


def _flaw(data: bytes, media: str) -> str:
    """Say why an image is not drawn; "" for nothing. Browsers draw one of another kind as well."""
    if not data:
        return "is empty"
    if len(data) > IMAGE_MAX:
        return f"has more than {IMAGE_MAX >> 20} MiB"
    if media == IMAGES["svg"]:
        return "" if b"svg" in data.replace(b"\0", b"") else "is no image"  # it may be in UTF-16
    is_webp = data.startswith(b"RIFF") and data[8:12] == b"WEBP"
    if not (is_webp or data.startswith((_PNG, b"\xff\xd8\xff", b"GIF8"))):
        return "is no image"
    return "is cut off" if data.startswith(_PNG) and b"IEND" not in data else ""


def _merged(pictures: Sequence[Picture]) -> Iterator[tuple[Picture, str]]:
    """Yield each image once, with all revisions that have it."""
    by_bytes: dict[bytes, list[Picture]] = {}
    for picture in pictures:
        by_bytes.setdefault(picture.data, []).append(picture)
    for same in by_bytes.values():
        yield same[0], ", ".join(p.rev for p in same)


def _same(found: Figure, contents: Sequence[Content]) -> list[str]:
    """Say so when there is nothing to compare."""
    all_there = all(not isinstance(d, str) for c in contents for d in c.files.values())
    one = all_there and len({tuple(c.files.values()) for c in contents}) == 1
    return ["the same at all revisions"] if one and len(contents) > 1 and not found.is_empty else []


# --- charts ---------------------------------------------------------------------------------------


class _Lacking(NamedTuple):
    rev: str
    file: str
    column: str
    known: tuple[str, ...]


def _chart(wanted: Wanted, contents: Sequence[Content], notes: Notes, kind: str | None) -> Figure:
    found: list[Column] = []
    given: list[Given] = []
    lacking: list[_Lacking] = []
    for content in contents:
        tables = dict(_tables(wanted, content, notes))
        for curve in wanted.curves:
            if curve.y_file not in tables or curve.x_file not in tables:
                continue
            if kind in (CONFUSION, NORMALIZED) and curve.x is None and curve.y is None:
                given += kinds.given(content.rev, tables[curve.y_file])
                continue
            column = _column(content.rev, curve, tables, lacking, wants_x=kind != HISTOGRAM)
            if column is not None:
                found.append(column)
    _check_columns(wanted, found, lacking, notes)
    base = Figure(wanted.name, kind or LINE, wanted.name, stage=wanted.stage)
    if kind in (CONFUSION, NORMALIZED):
        return kinds.confusion(base, found, given, notes.add)
    if kind == HISTOGRAM:
        return kinds.histogram(base, found, notes.add)
    if kind is None and found and kinds.type_of([c.x for c in found]) == TEXT:
        base = base._replace(kind="bars")
    if base.kind in ("bars", "bars_sorted"):
        return kinds.bars(base, found, notes.add)
    return kinds.points(base, found, notes.add, as_text=kind == JITTER)


def _tables(wanted: Wanted, content: Content, notes: Notes) -> Iterator[tuple[str, list[Table]]]:
    """Yield what can be read of the files of one revision."""
    for file, data in content.files.items():
        if isinstance(data, str):
            continue
        if extension(file) not in TABLES:
            known = ", ".join((*TABLES, *IMAGES))
            notes.add(f"{display(file)} is no file that mlx draws ({known})")
            continue
        try:
            header = wanted.keys.get("header") is not False
            uneven: list[str] = []
            tables = read_tables(data, file, header=header, note=uneven.append)
        except InputError as error:
            place = f" (line {error.where.line})" if error.where else ""
            notes.add(f"{display(file)} cannot be read: {error.message}{place}", content.rev)
            continue
        for text in uneven:
            notes.add(f"{display(file)}: {text}", content.rev)
        if any(values for table in tables for values in table.values()):
            yield file, tables
        else:
            notes.add(f"{display(file)} is empty", content.rev)


def _column(
    rev: str,
    curve: Curve,
    tables: Mapping[str, list[Table]],
    lacking: list[_Lacking],
    *,
    wants_x: bool,
) -> Column | None:
    same = curve.x_file == curve.y_file
    table = choose(tables[curve.y_file], [curve.y, curve.x if same else None])
    other = table if same else choose(tables[curve.x_file], [curve.x])
    if table is None or other is None:
        return None
    for file, name, there in ((curve.y_file, curve.y, table), (curve.x_file, curve.x, other)):
        if name is not None and name not in there:
            lacking.append(_Lacking(rev, file, name, tuple(there)))
            return None
    x = curve.x
    if x is None and wants_x:
        x = next((name for name in table if name.lower() in STEPS and name != curve.y), None)
        other = table
    y = curve.y or next((name for name in reversed(list(table)) if name != x), None)
    if y is None:
        return None
    ys = table[y]
    xs: list[Any] = other[x] if x is not None else list(range(len(ys)))
    return Column(rev, curve.y_file, x if x is not None else "index", y, xs, ys)


def _check_columns(
    wanted: Wanted, found: Sequence[Column], lacking: Sequence[_Lacking], notes: Notes
) -> None:
    """Note the columns that a revision lacks.

    Raises:
        InputError: for one that no revision has.
    """
    there = {name for column in found for name in (column.x_name, column.y_name)}
    for rev, file, name, known in lacking:
        if name in there:
            notes.add(f'{display(file)} has no column "{display(name)}"', rev)
            continue
        near = nearest(name, known)
        columns = ", ".join(display(column) for column in known[:10])
        raise InputError(
            f'the plot "{display(wanted.name)}" wants the column "{display(name)}", which '
            f"{display(file)} does not have at {display(rev)}",
            hint=f'did you mean "{display(near)}"?' if near else f"its columns: {columns}",
            where=wanted.where or Where(file, 1),
        )
