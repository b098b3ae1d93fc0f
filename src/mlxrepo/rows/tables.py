"""Versions of a table: CSV, TSV and Parquet as pandas reads them, and the text of their cells."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mlxrepo.errors import CannotDecide

if TYPE_CHECKING:
    import numpy
    import pandas

_SEPARATORS = {".csv": ",", ".tsv": "\t"}
_PARQUET = (".parquet", ".pq")
# pandas' and pyarrow's own errors are among the first.
_UNREADABLE = (
    ValueError, OSError, OverflowError, EOFError, NotImplementedError, zlib.error, csv.Error
)  # fmt: skip
TABLES = (*_SEPARATORS, *(f"{name}.gz" for name in _SEPARATORS), *_PARQUET)

_PART = 1 << 20  # bytes that are looked at together: they stay in the processor's cache


def is_table(path: str) -> bool:
    """Say whether rows of a file can be compared, by its name."""
    return path.lower().endswith(TABLES)


def read_both(path: str, old: bytes, new: bytes) -> tuple[Table, Table]:
    """Read two versions side by side: pandas lets go of Python's lock most of the time.

    Raises:
        CannotDecide: when one cannot be read.
    """
    from concurrent.futures import ThreadPoolExecutor

    name = path.lower()
    reader: Callable[[bytes], Table] = Parquet
    if not name.endswith(_PARQUET):
        separator = _SEPARATORS[name.removesuffix(".gz")[-4:]]
        reader = lambda data: Delimited(_unpacked(data, name), separator)  # noqa: E731
    try:
        with ThreadPoolExecutor(2) as pool:
            a, b = pool.map(reader, (old, new))
    except ImportError:
        raise CannotDecide(
            f"{path}: reading Parquet needs pyarrow, which is not installed",
            hint='pip install "mlxrepo[parquet]"',
        ) from None
    except _UNREADABLE as error:
        reason = str(error).strip().splitlines()[:1] or [type(error).__name__]
        raise CannotDecide(f"{path} cannot be read as a table: {reason[0]}") from None
    return a, b


def are_truths(column: pandas.Series[Any]) -> bool:
    """Say whether a column holds truths alone; beside empty cells they are objects to pandas."""
    import pandas

    if column.dtype != object:
        return bool(column.dtype.kind == "b")
    return bool(pandas.api.types.infer_dtype(column, skipna=True) == "boolean")


def _unpacked(data: bytes, name: str) -> bytes:
    return gzip.decompress(data) if name.endswith(".gz") else data


class Table:
    """One version: its cells as pandas reads them, and how they are written where that matters."""

    frame: pandas.DataFrame

    def exact(self, name: str, kind: str) -> bool:
        """Say whether the frame holds all that is written in a column, read as that kind."""
        return True

    def type_of(self, name: str) -> str:
        """Return what the values of a column are; "" where it has none."""
        column = self.frame[name]
        dtype = getattr(column.dtype, "numpy_dtype", column.dtype)
        return str(dtype) if column.notna().any() else ""

    def texts(self, names: Sequence[str], rows: numpy.ndarray[Any, Any]) -> pandas.DataFrame:
        """Return columns of rows as they are written; the frame's own where it holds that."""
        return self.frame[list(names)].take(rows)

    def unlike(
        self, other: Table, mine: numpy.ndarray[Any, Any], others: numpy.ndarray[Any, Any]
    ) -> numpy.ndarray[Any, Any]:
        """Return the places at which rows may differ from those of another version."""
        import numpy

        return numpy.arange(len(mine))


class Parquet(Table):
    """A Parquet file: its types are its own."""

    def __init__(self, data: bytes):
        import pandas

        # Else whole numbers are floats as soon as a cell is empty, and large ones are rounded.
        frame = pandas.read_parquet(
            io.BytesIO(data), engine="pyarrow", dtype_backend="numpy_nullable"
        )
        floats = {n: d.numpy_dtype for n, d in frame.dtypes.items() if str(d).startswith("Float")}
        frame = frame.astype(floats)
        # An index with a name is a column that pandas wrote apart.
        self.frame = frame.reset_index(drop=frame.index.names == [None])


class Delimited(Table):
    """A CSV or TSV file: its cells are text, taken for numbers where a whole column are some."""

    def __init__(self, data: bytes, separator: str):
        import pandas

        self._data = data
        self._options: dict[str, Any] = {
            "sep": separator,
            "index_col": False,
            "keep_default_na": False,  # NA is a country, and None a name
            "na_values": [""],
            "low_memory": False,  # else a column has the type of each part of it
        }
        self._ends, self._codes = _looked_at(data, separator)
        if self._ends is None:
            _check_widths(data, separator)
        self.frame = pandas.read_csv(io.BytesIO(data), **self._options)
        self._texts: dict[tuple[str, ...], pandas.DataFrame] = {}

    @cached_property
    def lines(self) -> list[bytes] | None:
        """The text of each row; None where it is not known, as quotes stand in odd places."""
        rows = _lines(self._data) if self._ends is None else _cut(self._data, self._ends)
        if len(rows) != len(self.frame) + 2 or rows[-1]:  # else all but the end is a row
            rows = [*filter(None, rows), b""]
        rows = rows[1:-1]
        return rows if len(rows) == len(self.frame) else None

    def exact(self, name: str, kind: str) -> bool:
        """See Table."""
        held = self.frame[name].dtype.kind
        if kind == "text":
            return held in "OUT"
        return held in "iu" and not self._codes

    def type_of(self, name: str) -> str:
        """See Table; pandas' whole numbers are floats where a cell is empty."""
        column = self.frame[name].dropna()
        if are_truths(column):
            return "bool"
        is_whole = column.dtype.kind == "f" and len(column) < len(self.frame)
        return "int64" if is_whole and len(column) and (column % 1 == 0).all() else (
            super().type_of(name))  # fmt: skip

    def texts(self, names: Sequence[str], rows: numpy.ndarray[Any, Any]) -> pandas.DataFrame:
        """See Table."""
        import pandas

        options = {**self._options, "usecols": list(names), "dtype": object}
        # Most of the file anyway, then all of it; else only these lines.
        if self.lines is None or len(rows) > len(self.frame) // 2:
            known = tuple(names)
            if known not in self._texts:
                self._texts[known] = pandas.read_csv(io.BytesIO(self._data), **options)
            return self._texts[known].take(rows)
        part = b"\n".join([self.lines[row] for row in rows])
        if not part:
            return pandas.DataFrame({name: [] for name in names})
        return pandas.read_csv(
            io.BytesIO(part), header=None, names=list(self.frame.columns), **options
        )

    def unlike(
        self, other: Table, mine: numpy.ndarray[Any, Any], others: numpy.ndarray[Any, Any]
    ) -> numpy.ndarray[Any, Any]:
        """See Table."""
        import numpy

        assert isinstance(other, Delimited)
        if self.lines is None or other.lines is None:
            return super().unlike(other, mine, others)
        if list(self.frame.columns) != list(other.frame.columns):
            return super().unlike(other, mine, others)
        old = numpy.array(self.lines, dtype=object)[mine]
        new = numpy.array(other.lines, dtype=object)[others]
        return numpy.flatnonzero(old != new)


def _lines(data: bytes) -> list[bytes]:
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return data.split(b"\n")


def _cut(data: bytes, ends: numpy.ndarray[Any, Any]) -> list[bytes]:
    if data.count(b"\n") == len(ends) - (not data.endswith(b"\n")):
        return _lines(data)  # no cell spans lines
    places = ends.tolist()
    rows = [data[a:b] for a, b in zip([0, *(end + 1 for end in places)], places, strict=False)]
    return [row.rstrip(b"\r") for row in rows] + [b""] if b"\r" in data else [*rows, b""]


def _looked_at(data: bytes, separator: str) -> tuple[numpy.ndarray[Any, Any] | None, bool]:
    """Return where rows end, if all surely have as many cells, and say if there may be codes.

    Those are cells that begin as 007 does: whole numbers would not hold their zeros.
    """
    import numpy

    text = numpy.frombuffer(b"\n%b\n\n\n" % data, dtype=numpy.uint8)
    is_mark = text == ord(separator)
    is_mark |= text == ord("\n")
    codes = _begin_with_zeros(text, is_mark)
    is_plain = b'"' not in data or _without_quoted(text, is_mark)
    if is_plain and b"\r" in data:
        is_plain = data.count(b"\r") == data.count(b"\r\n")
    part = slice(1, -3 if data.endswith(b"\n") else -2)
    ends = text[is_mark][part] == ord("\n")
    width = data.count(separator.encode(), 0, data.find(b"\n")) + 1
    if not is_plain or len(ends) % width:
        return None, codes
    grid = ends.reshape(-1, width)
    if not grid[:, -1].all() or grid[:, :-1].any():
        return None, codes
    return numpy.flatnonzero(is_mark & (text == ord("\n")))[part] - 1, codes


def _without_quoted(
    text: numpy.ndarray[Any, Any], is_mark: numpy.ndarray[Any, numpy.dtype[numpy.bool_]]
) -> bool:
    """Take away the marks that stand between quotes; False where these stand in odd places."""
    import numpy

    quotes = text == ord('"')
    places = numpy.flatnonzero(quotes)
    before, after = places[::2] - 1, places[1::2] + 1
    is_mark &= ~numpy.logical_xor.accumulate(quotes)
    opened = is_mark[before] | quotes[before]
    closed = is_mark[after] | quotes[after] | (text[after] == ord("\r"))
    return bool(len(before) == len(after) and opened.all() and closed.all())


def _begin_with_zeros(
    text: numpy.ndarray[Any, Any], is_mark: numpy.ndarray[Any, numpy.dtype[numpy.bool_]]
) -> bool:
    import numpy

    found = []
    for at in range(0, len(text), _PART):
        first = text[at + 1 : at + 1 + _PART]
        leads = first == ord("0")
        for other in b'+-" ':
            leads |= first == other
        found.append(numpy.flatnonzero(leads & is_mark[at : at + len(first)]) + (at + 1))
    starts = numpy.concatenate(found)
    while (apart := numpy.isin(text[starts], list(b'+-" '))).any():
        starts += apart
    after = text[starts + 1]
    return bool(((text[starts] == ord("0")) & (after >= ord("0")) & (after <= ord("9"))).any())


def _check_widths(data: bytes, separator: str) -> None:
    """Refuse rows that have not as many cells as the header; pandas would shift or fill them.

    Raises:
        ValueError: with the line of the first.
    """
    lines = _lines(data)
    if _are_even(data, lines, separator):
        return
    width = 0
    for number, cells in _records(data, lines, separator):
        width = width or len(cells)
        if len(cells) != width and "".join(cells).strip():
            many = f"{len(cells)} cell{'s' * (len(cells) != 1)}"
            raise ValueError(f"line {number} has {many}, its header {width}")


def _are_even(data: bytes, lines: Sequence[bytes], separator: str) -> bool:
    """Say whether all lines have the same number of cells; of those with quotes, by reading them.

    Where a cell spans lines the answer is no.
    """
    mark = separator.encode()
    if b'"' not in data:
        return len({line.count(mark) for line in lines if line}) <= 1
    quoted = [line for line in lines if b'"' in line]
    widths = [len(cells) for _, cells in _records(data, quoted, separator)]
    found = {line.count(mark) + 1 for line in lines if line and b'"' not in line}
    return len(widths) == len(quoted) and len(found.union(widths)) <= 1


def _records(
    data: bytes, lines: Sequence[bytes], separator: str
) -> Iterator[tuple[int, list[str]]]:
    """Yield what rows hold, with the lines on which they begin."""
    csv.field_size_limit(max(csv.field_size_limit(), len(data)))
    begun = 1
    reader = csv.reader(_decoded(lines), delimiter=separator)
    for cells in reader:
        if cells:
            yield begun, cells
        begun = reader.line_num + 1


def _decoded(lines: Iterable[bytes]) -> Iterator[str]:
    return (f"{line.decode()}\n" for line in lines)
