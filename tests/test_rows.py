"""Rows and cells that differ, by key: real CSV and Parquet."""

from __future__ import annotations

import csv
import gzip
import io
import random
import subprocess
import sys
from typing import Any

import pandas
import pytest

from mlxrepo.errors import CannotDecide
from mlxrepo.rows.diff import LISTED, CellChange, ColumnChange, RowsDiff, compare_rows

BASE = [(1, "paris", 2.5), (2, "rome", None), (3, "berlin", 4.0)]
NAMES = ("id", "city", "score")


def as_csv(rows: list[tuple[Any, ...]], names: tuple[str, ...] = NAMES) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(names)
    writer.writerows(rows)
    return text.getvalue().encode()


def as_parquet(rows: list[tuple[Any, ...]], names: tuple[str, ...] = NAMES) -> bytes:
    stream = io.BytesIO()
    pandas.DataFrame(rows, columns=list(names)).to_parquet(stream, engine="pyarrow")
    return stream.getvalue()


FORMATS = {"t.csv": as_csv, "t.parquet": as_parquet}


def compared(
    old: list[tuple[Any, ...]], new: list[tuple[Any, ...]], path: str = "t.csv", key: str = "id"
) -> RowsDiff:
    write = FORMATS[path]
    return compare_rows(path, key.split(), write(old), write(new))


def counts(rows: RowsDiff) -> tuple[int, int, int, int]:
    return rows.added, rows.removed, rows.modified, rows.cells


@pytest.mark.parametrize("path", FORMATS)
def test_each_kind_of_change_is_counted_and_listed(path: str) -> None:
    new = [(3, "bonn", 5.0), (1, "paris", 2.5), (4, "oslo", 1.0)]
    done = compared(BASE, new, path)
    assert counts(done) == (1, 1, 1, 2)
    assert (done.old_rows, done.new_rows) == (3, 3)
    assert [(row.word, row.key) for row in done.rows] == [
        ("added", (4,)),
        ("removed", (2,)),
        ("modified", (3,)),
    ]
    assert done.rows[2].cells == (
        CellChange("city", "berlin", "bonn"),
        CellChange("score", 4.0, 5.0),
    )
    assert done.columns == ()


@pytest.mark.parametrize("path", FORMATS)
def test_rows_and_columns_in_another_order_do_not_differ_and_empty_equals_empty(path: str) -> None:
    turned = [(score, number, city) for number, city, score in reversed(BASE)]
    write = FORMATS[path]
    done = compare_rows(path, ["id"], write(BASE), write(turned, ("score", "id", "city")))
    assert (counts(done), done.columns, done.rows) == ((0, 0, 0, 0), (), ())


@pytest.mark.parametrize("path", FORMATS)
def test_a_cell_that_was_emptied_or_filled_is_modified(path: str) -> None:
    new = [(1, None, 2.5), (2, "rome", 7.0), (3, "berlin", 4.0)]
    done = compared(BASE, new, path)
    assert [row.cells for row in done.rows] == [
        (CellChange("city", "paris", None),),
        (CellChange("score", None, 7.0),),
    ]


def test_columns_that_come_go_and_change_their_type_are_the_schema() -> None:
    old = as_csv([(1, 5, "x"), (2, 6, "y")], ("id", "count", "gone"))
    new = as_csv([(1, 5, 1.5), (2, 6.5, 2.5)], ("id", "count", "come"))
    done = compare_rows("t.csv", ["id"], old, new)
    assert set(done.columns) == {
        ColumnChange("count", "int64", "float64"),
        ColumnChange("gone", done.columns[1].old, None),
        ColumnChange("come", None, "float64"),
    }
    assert counts(done) == (0, 0, 1, 1), "5 and 5.0 are the same number"


def test_one_cell_that_is_no_number_does_not_make_the_others_differ() -> None:
    old = as_csv([(1, 5), (2, 6), (3, 7)], ("id", "count"))
    new = as_csv([(1, 5), (2, "many"), (3, 7)], ("id", "count"))
    done = compare_rows("t.csv", ["id"], old, new)
    assert counts(done) == (0, 0, 1, 1)
    assert done.rows[0].cells == (CellChange("count", "6", "many"),)
    assert [column.name for column in done.columns] == ["count"]


def test_also_where_the_key_is_that_column() -> None:
    done = compared([(1, "a", 1.0), (2, "b", 1.0)], [(1, "a", 1.0), ("x2", "b", 1.0)])
    assert counts(done) == (1, 1, 0, 0)


def test_a_key_may_be_several_columns() -> None:
    old = [(1, "a", 1.0), (1, "b", 2.0), (2, "a", 3.0)]
    new = [(2, "a", 3.0), (1, "b", 2.5), (1, "c", 1.0)]
    done = compared(old, new, key="id city")
    assert [(row.word, row.key) for row in done.rows] == [
        ("added", (1, "c")),
        ("removed", (1, "a")),
        ("modified", (1, "b")),
    ]


def test_quotes_line_ends_and_unicode_in_cells_are_content() -> None:
    old = [(1, 'said "no",\nthen left', 1.0), (2, "café", 1.0)]
    new = [(2, "cafe", 1.0), (1, 'said "no",\nthen left', 1.0)]
    done = compared(old, new)
    assert counts(done) == (0, 0, 1, 1)
    assert done.rows[0].cells == (CellChange("city", "café", "cafe"),)


def test_a_table_separated_by_tabs_and_one_that_is_compressed() -> None:
    text = "id\tcity\n1\tparis, france\n"
    done = compare_rows("t.tsv", ["id"], text.encode(), text.replace("paris", "lyon").encode())
    assert counts(done) == (0, 0, 1, 1)
    packed = [gzip.compress(as_csv(rows)) for rows in (BASE, BASE[:2])]
    assert counts(compare_rows("T.CSV.GZ", ["id"], *packed)) == (0, 1, 0, 0)


def test_a_parquet_file_whose_key_is_its_index_and_cells_that_are_lists() -> None:
    def write(last: list[int]) -> bytes:
        frame = pandas.DataFrame({"id": [1, 2], "items": [[1, 2], last]}).set_index("id")
        stream = io.BytesIO()
        frame.to_parquet(stream)
        return stream.getvalue()

    assert counts(compare_rows("t.parquet", ["id"], write([3]), write([3]))) == (0, 0, 0, 0)
    done = compare_rows("t.parquet", ["id"], write([3]), write([4]))
    assert counts(done) == (0, 0, 1, 1)
    assert done.rows[0].key == (2,)


def as_frame(**columns: Any) -> bytes:
    stream = io.BytesIO()
    pandas.DataFrame(columns).to_parquet(stream, engine="pyarrow")
    return stream.getvalue()


LONG = [0.0] * 2000
NAN = float("nan")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (LONG, [*LONG[:1000], 5.0, *LONG[1001:]]),
        ([0.1234567891, 2.0], [0.1234567892, 2.0]),
        ([[1], [2, 3]], [[1], [2, 4]]),
        ([{"a": [1.0, NAN]}], [{"a": [1.0, 2.0]}]),
        ([1.0, 2.0], [1.0]),
    ],
)
def test_cells_that_are_lists_are_compared_whole(old: list[Any], new: list[Any]) -> None:
    a, b = (as_frame(id=[1, 2], e=[old, last]) for last in (old, new))
    assert counts(compare_rows("t.parquet", ["id"], a, b)) == (0, 0, 1, 1)
    assert counts(compare_rows("t.parquet", ["id"], b, b)) == (0, 0, 0, 0)


def test_nan_inside_a_list_equals_nan_inside() -> None:
    a, b = (as_frame(id=[1, 2], e=[[NAN, 1.0], [last]]) for last in (1.5, 2.5))
    assert counts(compare_rows("t.parquet", ["id"], a, b)) == (0, 0, 1, 1)


BIG = 2**53 + 1  # no float holds it


@pytest.mark.parametrize("path", FORMATS)
def test_large_whole_numbers_beside_an_empty_cell_are_exact(path: str) -> None:
    def table(value: int) -> bytes:
        if path == "t.csv":
            return f"id,v\n1,{value}\n2,\n".encode()
        return as_frame(id=[1, 2], v=pandas.array([value, None], dtype="Int64"))

    done = compare_rows(path, ["id"], table(BIG), table(BIG - 1))
    assert counts(done) == (0, 0, 1, 1)
    assert done.rows[0].cells == (CellChange("v", BIG, BIG - 1),)


def test_a_key_of_large_numbers_one_of_them_empty() -> None:
    old = f"id,v\n{BIG},1\n{BIG - 1},1\n,1\n".encode()
    done = compare_rows("t.csv", ["id"], old, old.replace(f"{BIG - 1},1".encode(), b"7,1"))
    assert [(row.word, row.key) for row in done.rows] == [("added", (7,)), ("removed", (BIG - 1,))]


def test_whole_numbers_that_become_floats_are_compared_exactly() -> None:
    old, new = as_frame(id=[BIG], v=[1]), as_frame(id=[float(BIG)], v=[1])
    assert counts(compare_rows("t.parquet", ["id"], old, new)) == (1, 1, 0, 0)
    old, new = as_frame(id=[1], v=[BIG]), as_frame(id=[1], v=[float(BIG)])
    assert counts(compare_rows("t.parquet", ["id"], old, new)) == (0, 0, 1, 1)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("NA", ""),  # Namibia
        ("None", "NULL"),
        ("01234", "1234"),
        ("0.12345678901234567891", "0.12345678901234567892"),
        ("1e400", "2e400"),
        ("18446744073709551617", "18446744073709551618"),
    ],
)
@pytest.mark.parametrize("others", ["", "5", "5.5", "paris"])
def test_what_is_written_otherwise_differs(old: str, new: str, others: str) -> None:
    for quote in ("", '"'):
        a, b = (f"id,v\n1,{quote}{v}{quote}\n2,{others}\n".encode() for v in (old, new))
        assert counts(compare_rows("t.csv", ["id"], a, b)) == (0, 0, 1, 1)


@pytest.mark.parametrize(("old", "new"), [("5", "5.0"), ("0.1", "1e-1"), ("true", "True")])
def test_equal_numbers_and_truths_are_the_same_however_they_are_written(old: str, new: str) -> None:
    a, b = (f"id,v\n1,{value}\n2,\n".encode() for value in (old, new))
    assert counts(compare_rows("t.csv", ["id"], a, b)) == (0, 0, 0, 0)
    for other in ("", "1"):
        keys = (f"id,v\n{value},1\n{other},1\n".encode() for value in (old, new))
        if old != "true" or not other:
            assert counts(compare_rows("t.csv", ["id"], *keys)) == (0, 0, 0, 0)


def test_truths_beside_an_empty_cell_are_truths() -> None:
    old = b"id,ok\n1,true\n2,false\n"
    done = compare_rows("t.csv", ["id"], old, b"id,ok\n1,True\n2,\n")
    assert (counts(done), done.columns) == ((0, 0, 1, 1), ())
    assert done.rows[0].cells == (CellChange("ok", False, None),)


def test_in_a_column_of_text_numbers_are_text() -> None:
    old = as_csv([(1, "1.10"), (2, "beta")], ("id", "version"))
    assert counts(compare_rows("t.csv", ["id"], old, old.replace(b"1.10", b"1.1"))) == (0, 0, 1, 1)


def test_a_key_that_begins_with_zeros_is_a_name_of_its_own() -> None:
    old = b"id,v\n01,3\n1,4\n"
    done = compare_rows("t.csv", ["id"], old, b"id,v\n1,4\n01,5\n")
    assert [(row.key, row.cells) for row in done.rows] == [(("01",), (CellChange("v", 3, 5),))]
    assert counts(compare_rows("t.csv", ["id"], b"id,v\n01,3\n", b"id,v\n1,3\n")) == (1, 1, 0, 0)
    twice = b'id,v\n"-01",3\n"-1",3\n"  01",3\n'
    assert counts(compare_rows("t.csv", ["id"], twice, twice)) == (0, 0, 0, 0)
    minus = compare_rows("t.csv", ["id"], b"id,v\n-01,3\n", b'id,v\n"-1",3\n')
    assert counts(minus) == (1, 1, 0, 0)


def test_lines_need_not_be_rows() -> None:
    old = b'id,v,w\n1,"a\n\nb",0.10\n2,c,2\n'
    done = compare_rows("t.csv", ["id"], old, old.replace(b"c,2", b"c,3").replace(b".10", b".1"))
    assert [(row.key, row.cells) for row in done.rows] == [((2,), (CellChange("w", 2, 3),))]
    unlike = old.replace(b"\n", b"\r\n").replace(b"a\r\n\r\nb", b"a\n\nb") + b"\r\n  \r\n"
    assert counts(compare_rows("t.csv", ["id"], old, unlike)) == (0, 0, 0, 0)


def test_an_emptied_cell_of_a_whole_number_changes_no_type() -> None:
    old = as_csv([(1, 5), (2, 6)], ("id", "count"))
    done = compare_rows("t.csv", ["id"], old, as_csv([(1, 5), (2, None)], ("id", "count")))
    assert (counts(done), done.columns) == ((0, 0, 1, 1), ())


@pytest.mark.parametrize("path", FORMATS)
def test_a_side_without_rows_has_no_types(path: str) -> None:
    for old, new in ((BASE, []), ([], BASE)):
        assert compared(old, new, path).columns == ()


def test_a_column_without_values_comes_and_goes() -> None:
    old, new = b"id,was\n1,\n", b"id,is\n1,\n"
    assert compare_rows("t.csv", ["id"], old, new).columns == (
        ColumnChange("was", "empty", None),
        ColumnChange("is", None, "empty"),
    )


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (b"id,x\n1,3,\n2,5,\n", "line 2 has 3 cells, its header 2"),
        (b"id,x\n1,3\n2\n", "line 3 has 1 cell, its header 2"),
        (b"id,x\r\n1,3\r\n2,5,6\r\n", "line 3 has 3 cells, its header 2"),
        (b'id,x\n1,"a,b"\n2,"c",d\n', "line 3 has 3 cells, its header 2"),
        (b'id,x\n1,"a,b"\n"2,c"\n', "line 3 has 1 cell, its header 2"),
        (b'id,x\n1,"a\n\nb"\n\n2,c,d\n', "line 6 has 3 cells, its header 2"),
    ],
)
def test_rows_that_are_longer_or_shorter_than_the_header_are_refused(
    table: bytes, said: str
) -> None:
    for old, new in ((as_csv(BASE), table), (table, table)):
        with pytest.raises(CannotDecide, match="cannot be read as a table") as error:
            compare_rows("t.csv", ["id"], old, new)
        assert said in error.value.message


def test_what_is_listed_is_bounded_and_what_is_counted_is_not() -> None:
    many = [(number, "x", 1.0) for number in range(LISTED + 500)]
    done = compared(BASE[:1], many)
    assert done.added == LISTED + 499
    assert sum(row.word == "added" for row in done.rows) == LISTED


def test_random_tables_against_plain_dictionaries() -> None:
    chance = random.Random(7)
    for _ in range(20):
        cell = lambda: chance.choice(["", "a", "b", "1.5", "x y"])  # noqa: E731
        old, new = (
            {key: (cell(), cell()) for key in chance.sample(range(12), chance.randrange(1, 12))}
            for _ in range(2)
        )
        rows = [[(key, *cells) for key, cells in table.items()] for table in (old, new)]
        done = compared(*rows)
        both = old.keys() & new.keys()
        assert done.added == len(new.keys() - old.keys())
        assert done.removed == len(old.keys() - new.keys())
        assert done.modified == sum(old[key] != new[key] for key in both)
        assert done.cells == sum(
            a != b for key in both for a, b in zip(old[key], new[key], strict=True)
        )


@pytest.mark.parametrize(
    ("old", "key", "said"),
    [
        (as_csv(BASE), "name", 'the old t.csv has no column "name"'),
        (as_csv([*BASE, (2, "rome", 1.0)]), "id", '"2" is there more than once'),
        (as_csv([(None, "a", 1.0), (None, "b", 1.0)]), "id", "is there more than once"),
        (b"", "id", "cannot be read as a table"),
        (b'id,x\n1,"open', "id", "cannot be read as a table"),
        (b"id,x\n1,\xff\xfe\n", "id", "cannot be read as a table"),
    ],
)
def test_what_cannot_be_decided_is_said(old: bytes, key: str, said: str) -> None:
    with pytest.raises(CannotDecide) as error:
        compare_rows("t.csv", [key], old, as_csv(BASE))
    assert said in error.value.message


@pytest.mark.parametrize("path", ["t.parquet", "t.csv.gz"])
def test_bytes_that_are_no_such_file(path: str) -> None:
    with pytest.raises(CannotDecide, match="cannot be read as a table"):
        compare_rows(path, ["id"], b"nothing of that kind", b"nor this")


def test_without_pyarrow_parquet_is_refused_in_a_sentence() -> None:
    code = """
import sys
sys.modules["pyarrow"] = None
from mlxrepo.errors import CannotDecide
from mlxrepo.rows.diff import compare_rows
assert compare_rows("t.csv", ["id"], b"id\\n1\\n", b"id\\n2\\n").added == 1
try:
    compare_rows("t.parquet", ["id"], b"", b"")
except CannotDecide as error:
    print(error.message, error.hint)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "needs pyarrow" in done.stdout
    assert "mlxrepo[parquet]" in done.stdout
