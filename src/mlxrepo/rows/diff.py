"""Rows and cells that differ between two versions of a table, by the key that names a row.

Rows in another order do not differ, nor do columns; an empty cell equals an empty cell.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

from mlxrepo.errors import CannotDecide
from mlxrepo.rows.cells import READ, is_empty, plain, same
from mlxrepo.rows.tables import Table, are_truths, is_table, read_both

if TYPE_CHECKING:
    import numpy
    import pandas

    Places = numpy.ndarray[Any, Any]

__all__ = [
    "LISTED",
    "CellChange",
    "ColumnChange",
    "RowChange",
    "RowsDiff",
    "compare_rows",
    "is_table",
]
LISTED = 1000  # rows of each word that are listed; all are counted


class ColumnChange(NamedTuple):
    """A column that came, went, or holds another type; None: not there."""

    name: str
    old: str | None
    new: str | None


class CellChange(NamedTuple):
    """A cell that differs; None is an empty one."""

    column: str
    old: Any
    new: Any


class RowChange(NamedTuple):
    """A row that was added, removed or modified; of a modified one the cells that differ."""

    key: tuple[Any, ...]
    word: str
    cells: tuple[CellChange, ...] = ()


class RowsDiff(NamedTuple):
    """Numbers of rows, of those that differ, and of modified cells in columns that both have.

    `rows` are the first `LISTED` of each word.
    """

    old_rows: int
    new_rows: int
    added: int
    removed: int
    modified: int
    cells: int
    columns: tuple[ColumnChange, ...]
    rows: tuple[RowChange, ...]


def compare_rows(path: str, key: Sequence[str], old: bytes, new: bytes) -> RowsDiff:
    """Compare two versions of the table `path`, a CSV, TSV or Parquet file.

    Raises:
        CannotDecide: when one cannot be read, lacks a column of the key, or names two rows alike.
    """
    a, b = read_both(path, old, new)
    for side, table in (("old", a), ("new", b)):
        _check_columns(path, side, table.frame, key)
    pairs = [_Pair(name, a, b) for name in a.frame.columns if name in set(b.frame.columns)]
    return _compare(path, list(key), a, b, {pair.name: pair for pair in pairs})


def _check_columns(path: str, side: str, frame: pandas.DataFrame, key: Sequence[str]) -> None:
    lacking = [name for name in key if name not in frame.columns]
    if lacking:
        there = ", ".join(map(str, frame.columns[:20]))
        raise CannotDecide(
            f'the {side} {path} has no column "{lacking[0]}", which its key names',
            hint=f"its columns: {there}",
        )


# columns


class _Pair:
    """A column of both versions, and how its cells are read.

    `exact` where the frames hold all that is written; else the text of cells is looked at.
    """

    def __init__(self, name: str, a: Table, b: Table):
        self.name = name
        self.old, self.new = a.frame[name], b.frame[name]
        self.types = (a.type_of(name), b.type_of(name))
        there = [c for c, word in zip((self.old, self.new), self.types, strict=True) if word]
        kinds = {_kind(column) for column in there}
        self.kind = kinds.pop() if len(kinds) == 1 else "text"
        self.exact = a.exact(name, self.kind) and b.exact(name, self.kind)

    def change(self) -> ColumnChange | None:
        """Return how its type changed; a column without values has none."""
        old, new = self.types
        return ColumnChange(str(self.name), old, new) if old and new and old != new else None

    def is_alike(self) -> bool:
        """Say whether pandas can compare both sides itself."""
        return self.exact and self.old.dtype == self.new.dtype != object

    def values(self, cells: pandas.Series[Any]) -> list[Any]:
        """Return what cells of the frames, or their texts, say."""
        read = READ.get(self.kind, str)
        if not self.exact:
            return [read(text) if isinstance(text, str) else None for text in cells.tolist()]
        found = [None if is_empty(value) else plain(value) for value in cells.tolist()]
        if self.kind != "text" or {_kind(self.old), _kind(self.new)} == {"text"}:
            return found
        return [None if value is None else str(value) for value in found]

    def unlike(self, old: pandas.Series[Any], new: pandas.Series[Any]) -> Places:
        """Say of each cell of the frames if it differs; two that are empty do not."""
        import numpy

        if self.is_alike():
            unlike: Any = old.array != new.array
            found = numpy.asarray(unlike.fillna(True) if hasattr(unlike, "fillna") else unlike)
            gone, came = old.isna().to_numpy(), new.isna().to_numpy()
            return numpy.where(gone | came, gone ^ came, found).astype(bool)
        cells = zip(old.tolist(), new.tolist(), strict=True)
        return self._settled(old, new, numpy.array([not same(x, y) for x, y in cells], dtype=bool))

    def unlike_texts(
        self, texts: Sequence[pandas.Series[Any]], cells: Sequence[pandas.Series[Any]]
    ) -> Places:
        """Say the same of cells by their texts; numbers far apart need no closer look."""
        import numpy

        old, new = (numpy.asarray(column, dtype=object) for column in texts)
        written: Places = old != new
        far = numpy.zeros(len(written), dtype=bool)
        if all(_kind(column) == "number" for column in cells):
            x, y = (column.to_numpy(dtype=float) for column in cells)
            with numpy.errstate(invalid="ignore", over="ignore"):
                far = written & (abs(x - y) > 1e-9 * numpy.maximum(abs(x), abs(y)))
        return far | self._settled(texts[0], texts[1], written & ~far)

    def _settled(
        self, old: pandas.Series[Any], new: pandas.Series[Any], doubtful: Places
    ) -> Places:
        some = doubtful.nonzero()[0]
        values = [self.values(column.iloc[some]) for column in (old, new)]
        found = doubtful.copy()
        found[some] = [not same(x, y) for x, y in zip(*values, strict=True)]
        return found


def _kind(column: pandas.Series[Any]) -> str:
    kind = "b" if are_truths(column) else column.dtype.kind
    return "number" if kind in "iuf" else "text" if kind in "OUT" else kind


def _schema(a: Table, b: Table, pairs: dict[str, _Pair]) -> Iterator[ColumnChange]:
    for name in dict.fromkeys([*a.frame.columns, *b.frame.columns]):
        if name in pairs:
            if change := pairs[name].change():
                yield change
        elif name in a.frame.columns:
            yield ColumnChange(str(name), a.type_of(name) or "empty", None)
        else:
            yield ColumnChange(str(name), None, b.type_of(name) or "empty")


# comparing


def _compare(path: str, key: list[str], a: Table, b: Table, pairs: dict[str, _Pair]) -> RowsDiff:
    import numpy

    keys = [_keys(pairs[name], a, b) for name in key]
    places = _places(path, key, keys)
    both = numpy.flatnonzero(places >= 0)  # rows of the new one that the old one has
    partners = places[both]
    gone = numpy.ones(len(a.frame), dtype=bool)
    gone[partners] = False
    come = numpy.flatnonzero(places < 0)
    left = numpy.flatnonzero(gone)
    rest = [pair for name, pair in pairs.items() if name not in key]
    masks = _masks(a, b, rest, partners, both)
    touched = numpy.zeros(len(both), dtype=bool)
    for mask in masks.values():
        touched |= mask
    modified = numpy.flatnonzero(touched)
    rows = [RowChange(_key(keys, 1, at), "added") for at in come[:LISTED]]
    rows += [RowChange(_key(keys, 0, at), "removed") for at in left[:LISTED]]
    listed = modified[:LISTED]
    cells = _cells(a, b, rest, masks, listed, partners[listed], both[listed])
    rows += [
        RowChange(_key(keys, 1, at), "modified", found)
        for at, found in zip(both[listed], cells, strict=True)
    ]
    return RowsDiff(
        len(a.frame), len(b.frame), len(come), len(left), len(modified),
        sum(int(mask.sum()) for mask in masks.values()), tuple(_schema(a, b, pairs)), tuple(rows),
    )  # fmt: skip


def _masks(
    a: Table, b: Table, pairs: Sequence[_Pair], partners: Places, both: Places
) -> dict[str, Places]:
    """Return for each column which of the rows that both have differ in it."""
    import numpy

    rows = a.unlike(b, partners, both)
    old_rows, new_rows = partners[rows], both[rows]
    written = [pair for pair in pairs if not pair.exact]
    texts = _texts(a, b, written, old_rows, new_rows) if written else None
    masks = {}
    for pair in pairs:
        cells = pair.old.take(old_rows), pair.new.take(new_rows)
        if texts is None or pair.exact:
            found = pair.unlike(*cells)
        else:
            found = pair.unlike_texts([frame[pair.name] for frame in texts], cells)
        masks[pair.name] = numpy.zeros(len(both), dtype=bool)
        masks[pair.name][rows] = found
    return masks


def _texts(
    a: Table, b: Table, pairs: Sequence[_Pair], partners: Places, both: Places
) -> tuple[pandas.DataFrame, pandas.DataFrame]:
    names = [pair.name for pair in pairs]
    with ThreadPoolExecutor(2) as pool:
        old = pool.submit(a.texts, names, partners)
        new = b.texts(names, both)
        return old.result(), new


def _cells(
    a: Table,
    b: Table,
    pairs: Sequence[_Pair],
    masks: dict[str, Places],
    rows: Places,
    partners: Places,
    both: Places,
) -> list[tuple[CellChange, ...]]:
    """Return the cells that differ of some rows, as they are told."""
    found: list[list[CellChange]] = [[] for _ in rows]
    written = [pair for pair in pairs if not pair.exact]
    texts = _texts(a, b, written, partners, both) if written else None
    for pair in pairs:
        (there,) = masks[pair.name][rows].nonzero()
        if texts is None or pair.exact:
            columns = [pair.old.take(partners[there]), pair.new.take(both[there])]
        else:
            columns = [frame[pair.name].take(there) for frame in texts]
        values = zip(*map(pair.values, columns), strict=True)
        for row, (old, new) in zip(there, values, strict=True):
            found[row].append(CellChange(str(pair.name), _shown(old), _shown(new)))
    return [tuple(cells) for cells in found]


# keys


def _keys(pair: _Pair, a: Table, b: Table) -> tuple[pandas.Series[Any], pandas.Series[Any]]:
    """Return the values of a column of the key: as pandas holds them where that is exact."""
    import numpy
    import pandas

    if pair.is_alike() and not (pair.kind == "number" and pair.old.dtype.kind == "f"):
        return pair.old, pair.new
    old, new = pair.old, pair.new
    if not pair.exact:
        every = [numpy.arange(len(table.frame)) for table in (a, b)]
        texts = _texts(a, b, [pair], *every)
        old, new = (frame[pair.name] for frame in texts)
    lists = [[_hashable(value) for value in pair.values(column)] for column in (old, new)]
    made = [pandas.Series(values, dtype=object) for values in lists]
    return made[0], made[1]


def _hashable(value: Any) -> Any:
    return str(value) if isinstance(value, list | dict) else value


def _places(
    path: str, key: list[str], keys: Sequence[tuple[pandas.Series[Any], pandas.Series[Any]]]
) -> Places:
    """Return for each row of the new table where the old one has its key, -1 for nowhere."""
    import numpy

    indexes = []
    for side, word in enumerate(("old", "new")):
        index = _index([column[side] for column in keys])
        if not index.is_unique:
            at = int(index.duplicated().argmax())
            value = ", ".join("(empty)" if v is None else str(v) for v in _key(keys, side, at))
            raise CannotDecide(
                f"the key {', '.join(key)} does not name the rows of the {word} {path}: "
                f'"{value}" is there more than once',
                hint="name more columns in `key`, or take away the rows that are there twice",
            )
        indexes.append(index)
    if indexes[0].equals(indexes[1]):
        return numpy.arange(len(indexes[1]))
    found: Places = indexes[0].get_indexer(indexes[1])
    return found


def _index(columns: Sequence[pandas.Series[Any]]) -> pandas.Index[Any]:
    import pandas

    if len(columns) == 1:
        return pandas.Index(columns[0])
    return pandas.MultiIndex.from_arrays(columns)


def _key(
    keys: Sequence[tuple[pandas.Series[Any], pandas.Series[Any]]], side: int, at: int
) -> tuple[Any, ...]:
    return tuple(_shown(column[side].iloc[at]) for column in keys)


def _shown(value: Any) -> Any:
    """Return a cell as JSON can hold it."""
    value = None if is_empty(value) else plain(value)
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return str(value)
