"""Tables in files: CSV, TSV, JSON and YAML, as columns of values."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from mlxrepo.errors import InputError, Where
from mlxrepo.plots.model import extension
from mlxrepo.values import Reading, read_values

Table = dict[str, list[Any]]

VALUE = "value"  # the column of a list of numbers that has no name
_FIELD_MAX = 1 << 24


def read_tables(
    data: bytes, path: str, *, header: bool = True, note: Callable[[str], None] | None = None
) -> list[Table]:
    """Return the tables of a file by its extension, in the order in which they stand there.

    A CSV or TSV file has one; without `header` its columns are called 0, 1, 2 and so on. In JSON
    and YAML every list of maps is one, wherever it stands, every map of lists that are equally
    long, and every list of single values. `note` is told of rows that are longer or shorter than
    the first.

    Raises:
        InputError: for a file that its format refuses.
    """
    kind = extension(path)
    if kind in ("csv", "tsv"):
        return _delimited(data, path, "\t" if kind == "tsv" else ",", header, note)
    lower = path.rpartition(".")[0] + "." + kind
    return list(_nested(read_values(data, lower), VALUE))


def choose(tables: Sequence[Table], columns: Sequence[str | None]) -> Table | None:
    """Return the first table that has all columns, else the first that has one, else the first."""
    wanted = [column for column in columns if column is not None]
    ranked = sorted(tables, key=lambda table: -sum(column in table for column in wanted))
    return ranked[0] if ranked else None


def number(value: Any) -> float | None:
    """Return what is a number, or text that is one; None for anything else. It may be NaN."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, str) and ("_" in value or not value):
        return None
    try:
        return float(value)
    except (ValueError, TypeError):
        return None
    except OverflowError:  # a whole number beyond floats
        return math.inf if value > 0 else -math.inf


def moment(value: Any) -> float | None:
    """Return an ISO date or time as milliseconds since 1970, UTC where it has no zone; or None."""
    text = value.isoformat() if hasattr(value, "isoformat") else value
    if not isinstance(text, str) or len(text) < 10 or "-" not in text:
        return None
    try:
        when = datetime.fromisoformat(text)
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1000
    except (ValueError, OverflowError):
        return None


def word(value: Any) -> str:
    """Return a value as a label."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)


def _delimited(
    data: bytes, path: str, delimiter: str, header: bool, note: Callable[[str], None] | None
) -> list[Table]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError("not text in UTF-8", where=Where(path, line)) from None
    csv.field_size_limit(_FIELD_MAX)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        numbered = [(reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        raise InputError(f"not CSV: {error}", where=Where(path, reader.line_num)) from None
    rows = [row for _, row in numbered]
    if not rows:
        return []
    uneven = [line for line, row in numbered if len(row) != len(rows[0])]
    if uneven and note:
        other = "the header" if header else "the first"
        many = f"{len(uneven):,} of {len(rows) - header:,} rows"
        note(f"{many} are longer or shorter than {other}, the first of them on line {uneven[0]}")
    width = max(map(len, rows))
    names = rows.pop(0) if header else []
    names += [str(i) for i in range(len(names), width)]
    columns = [[row[i] if i < len(row) and row[i] != "" else None for row in rows]
               for i in range(width)]  # fmt: skip
    return [dict(zip(names, columns, strict=True))]


def _nested(value: Any, name: str) -> Iterator[Table]:
    if isinstance(value, list):
        if any(isinstance(item, dict) for item in value):
            yield _of_maps([item for item in value if isinstance(item, dict)])
        elif value and not any(isinstance(item, list) for item in value):
            yield {name: [_plain(item) for item in value]}
        for item in value:
            if isinstance(item, dict | list):
                yield from _inside(item, name)
    elif isinstance(value, dict):
        lists = list(value.values())
        size = len(lists[0]) if lists and isinstance(lists[0], list) else 0
        if len(lists) > 1 and all(_is_column(item, size) for item in lists):
            yield {str(key): [_plain(v) for v in column] for key, column in value.items()}
            return
        yield from _inside(value, name)


def _inside(value: Any, name: str) -> Iterator[Table]:
    """Yield the tables in what a map or list holds."""
    if isinstance(value, list):
        yield from _nested(value, name)
        return
    for key, item in value.items():
        if isinstance(item, dict | list):
            yield from _nested(item, str(key))


def _is_column(value: Any, length: int) -> bool:
    return (
        isinstance(value, list)
        and len(value) == length > 0
        and not any(isinstance(item, dict | list) for item in value)
    )


def _of_maps(rows: list[dict[Any, Any]]) -> Table:
    names = dict.fromkeys(str(name) for row in rows for name in row)
    keyed = [{str(name): value for name, value in row.items()} for row in rows]
    return {name: [_plain(row.get(name)) for row in keyed] for name in names}


def _plain(value: Any) -> Any:
    return value.yaml12 if isinstance(value, Reading) else value
