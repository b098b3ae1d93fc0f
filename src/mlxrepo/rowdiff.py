"""Rows and cells that differ between two versions of a table, by the key that names a row.

The only module that loads pandas, when rows are asked for. Rows in another order do not differ,
nor do columns; an empty cell equals an empty cell.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from mlxrepo.errors import CannotDecide

if TYPE_CHECKING:
    import numpy
    import pandas

LISTED = 1000  # rows of each word that are listed; all are counted
_SEPARATORS = {".csv": ",", ".tsv": "\t"}
_PARQUET = (".parquet", ".pq")
# pandas' and pyarrow's own errors are among the first.
_UNREADABLE = (ValueError, OSError, OverflowError, EOFError, NotImplementedError, zlib.error)
TABLES = (*_SEPARATORS, *(f"{name}.gz" for name in _SEPARATORS), *_PARQUET)


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


def is_table(path: str) -> bool:
    """Say whether rows of a file can be compared, by its name."""
    return path.lower().endswith(TABLES)


def compare_rows(path: str, key: Sequence[str], old: bytes, new: bytes) -> RowsDiff:
    """Compare two versions of the table `path`, a CSV, TSV or Parquet file.

    Raises:
        CannotDecide: when one cannot be read, lacks a column of the key, or names two rows alike.
    """
    with _Tables(path, (old, new)) as tables:
        a, b = tables.read()
        for side, frame in (("old", a), ("new", b)):
            _check_columns(path, side, frame, key)
        shared = [name for name in a.columns if name in set(b.columns)]
        columns = tuple(_schema(a, b))
        a, b = tables.comparable(a, b, shared)
    return _compare(path, list(key), a, b, shared, columns)


# reading


class _Tables:
    """Two versions of one file, side by side: reading lets go of Python's lock most of the time."""

    def __init__(self, path: str, versions: tuple[bytes, bytes]):
        self.path = path
        self.versions = versions
        self.name = path.lower()

    def __enter__(self) -> _Tables:
        from concurrent.futures import ThreadPoolExecutor

        self._pool = ThreadPoolExecutor(2)
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def read(self) -> tuple[pandas.DataFrame, pandas.DataFrame]:
        """Read both."""
        return self._both(self._parquet if self.name.endswith(_PARQUET) else self._csv)

    def comparable(
        self, a: pandas.DataFrame, b: pandas.DataFrame, shared: Sequence[str]
    ) -> tuple[pandas.DataFrame, pandas.DataFrame]:
        """Return both with columns as text that are numbers in one of them only.

        One cell that is no number makes a column of text of them all; the others did not change.
        """
        mixed = [name for name in shared if _kind(a[name]) != _kind(b[name])]
        if not mixed:
            return a, b
        if self.name.endswith(_PARQUET):
            return a.astype(dict.fromkeys(mixed, str)), b.astype(dict.fromkeys(mixed, str))
        text = self._both(lambda data: self._csv(data, usecols=mixed, dtype=str))
        return a.assign(**dict(text[0].items())), b.assign(**dict(text[1].items()))

    def _both(
        self, read: Callable[[bytes], pandas.DataFrame]
    ) -> tuple[pandas.DataFrame, pandas.DataFrame]:
        try:
            a, b = self._pool.map(read, self.versions)
        except ImportError:
            raise CannotDecide(
                f"{self.path}: reading Parquet needs pyarrow, which is not installed",
                hint='pip install "mlxrepo[parquet]"',
            ) from None
        except _UNREADABLE as error:
            reason = str(error).strip().splitlines()[:1] or [type(error).__name__]
            raise CannotDecide(f"{self.path} cannot be read as a table: {reason[0]}") from None
        return a, b

    def _csv(self, data: bytes, **options: Any) -> pandas.DataFrame:
        import pandas

        packed = self.name.endswith(".gz")
        return pandas.read_csv(
            io.BytesIO(data),
            sep=_SEPARATORS[self.name.removesuffix(".gz")[-4:]],
            compression="gzip" if packed else None,
            low_memory=False,  # else a column has the type of each part of it
            **options,
        )

    def _parquet(self, data: bytes) -> pandas.DataFrame:
        import pandas

        frame = pandas.read_parquet(io.BytesIO(data), engine="pyarrow")
        # An index with a name is a column that pandas wrote apart.
        return frame.reset_index(drop=frame.index.names == [None])


def _check_columns(path: str, side: str, frame: pandas.DataFrame, key: Sequence[str]) -> None:
    lacking = [name for name in key if name not in frame.columns]
    if lacking:
        there = ", ".join(map(str, frame.columns[:20]))
        raise CannotDecide(
            f'the {side} {path} has no column "{lacking[0]}", which its key names',
            hint=f"its columns: {there}",
        )


def _kind(column: pandas.Series[Any]) -> str:
    kind: str = column.dtype.kind
    return "number" if kind in "iuf" else "text" if kind in "OUT" else kind


def _schema(a: pandas.DataFrame, b: pandas.DataFrame) -> list[ColumnChange]:
    old = {str(name): str(dtype) for name, dtype in a.dtypes.items()}
    new = {str(name): str(dtype) for name, dtype in b.dtypes.items()}
    names = dict.fromkeys([*old, *new])
    return [
        ColumnChange(name, old.get(name), new.get(name))
        for name in names
        if old.get(name) != new.get(name)
    ]


# comparing


def _compare(
    path: str,
    key: list[str],
    a: pandas.DataFrame,
    b: pandas.DataFrame,
    shared: list[str],
    columns: tuple[ColumnChange, ...],
) -> RowsDiff:
    import numpy

    places = _places(path, key, a, b)
    both = numpy.flatnonzero(places >= 0)  # rows of the new one that the old one has
    partners = places[both]
    gone = numpy.ones(len(a), dtype=bool)
    gone[partners] = False
    come = numpy.flatnonzero(places < 0)
    left = numpy.flatnonzero(gone)
    masks = {
        name: _differs(a[name].take(partners), b[name].take(both))
        for name in shared
        if name not in key
    }
    touched = numpy.zeros(len(both), dtype=bool)
    for mask in masks.values():
        touched |= mask
    modified = numpy.flatnonzero(touched)
    rows = [RowChange(_key(b, key, at), "added") for at in come[:LISTED]]
    rows += [RowChange(_key(a, key, at), "removed") for at in left[:LISTED]]
    for row in modified[:LISTED]:
        i, j = partners[row], both[row]
        cells = [
            CellChange(str(name), _plain(a[name].iloc[i]), _plain(b[name].iloc[j]))
            for name, mask in masks.items()
            if mask[row]
        ]
        rows.append(RowChange(_key(b, key, j), "modified", tuple(cells)))
    cells_changed = sum(int(mask.sum()) for mask in masks.values())
    return RowsDiff(
        len(a), len(b), len(come), len(left), len(modified), cells_changed, columns, tuple(rows)
    )


def _places(
    path: str, key: list[str], a: pandas.DataFrame, b: pandas.DataFrame
) -> numpy.ndarray[Any, Any]:
    """Return for each row of the new table where the old one has its key, -1 for nowhere."""
    indexes = []
    for side, frame in (("old", a), ("new", b)):
        index = _index(frame, key)
        if not index.is_unique:
            twice = index[index.duplicated()][0]
            value = ", ".join(map(str, twice)) if isinstance(twice, tuple) else twice
            raise CannotDecide(
                f"the key {', '.join(key)} does not name the rows of the {side} {path}: "
                f'"{value}" is there more than once',
                hint="name more columns in `key`, or take away the rows that are there twice",
            )
        indexes.append(index)
    if indexes[0].equals(indexes[1]):
        import numpy

        return numpy.arange(len(b))
    found: numpy.ndarray[Any, Any] = indexes[0].get_indexer(indexes[1])
    return found


def _index(frame: pandas.DataFrame, key: list[str]) -> pandas.Index[Any]:
    import pandas

    if len(key) == 1:
        return pandas.Index(frame[key[0]])
    return pandas.MultiIndex.from_frame(frame[key])


def _differs(old: pandas.Series[Any], new: pandas.Series[Any]) -> numpy.ndarray[Any, Any]:
    """Say of each cell if it differs; two that are empty do not."""
    import numpy

    empty: Any = (old.isna().to_numpy(), new.isna().to_numpy())
    try:
        unlike = old.array != new.array
        found: Any = numpy.asarray(unlike.fillna(True) if hasattr(unlike, "fillna") else unlike)
    except (TypeError, ValueError):  # cells that are lists, or of kinds that do not compare
        found = numpy.fromiter(
            (repr(a) != repr(b) for a, b in zip(old, new, strict=True)), bool, len(new)
        )
    differs: numpy.ndarray[Any, Any] = numpy.where(empty[0] | empty[1], empty[0] ^ empty[1], found)
    return differs.astype(bool)


def _key(frame: pandas.DataFrame, key: list[str], at: int) -> tuple[Any, ...]:
    return tuple(_plain(frame[name].iloc[at]) for name in key)


def _plain(value: Any) -> Any:
    """Return a cell as JSON can hold it."""
    import pandas

    if pandas.api.types.is_scalar(value) and pandas.isna(value):
        return None
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        value = value.item()
    return value if isinstance(value, str | int | float | bool) else str(value)
