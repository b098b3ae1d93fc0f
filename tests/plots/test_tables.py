"""Tables as people and programs leave them in files."""

from __future__ import annotations

import math

import pytest

from mlxrepo.errors import InputError
from mlxrepo.plots.tables import choose, moment, number, read_tables


def test_csv_and_tsv_are_columns_of_text() -> None:
    comma = read_tables(b"\xef\xbb\xbfstep,loss\n1,0.5\n\n2,\n3\n", "a.csv")
    assert comma == [{"step": ["1", "2", "3"], "loss": ["0.5", None, None]}]
    assert read_tables(b"a\tb\r\n1\tx,y\r\n", "a.tsv") == [{"a": ["1"], "b": ["x,y"]}]
    assert read_tables(b'a\n"two\nlines"\n', "A.CSV") == [{"a": ["two\nlines"]}]


def test_without_a_header_columns_are_numbered() -> None:
    assert read_tables(b"1,2\n3,4,5\n", "a.csv", header=False) == [
        {"0": ["1", "3"], "1": ["2", "4"], "2": [None, "5"]}
    ]


@pytest.mark.parametrize("data", [b"", b"\n\n"])
def test_an_empty_file_has_no_table(data: bytes) -> None:
    assert read_tables(data, "a.csv") == []


def test_what_json_holds_is_found_wherever_it_is() -> None:
    text = b"""{
      "about": "x", "n": 3,
      "train": {"roc": [{"fpr": 0, "tpr": 0.1}, {"fpr": 1, "auc": 2}], "thresholds": [1, 2, 3]},
      "columns": {"x": [1, 2], "y": [3, null]}
    }"""
    assert read_tables(text, "a.json") == [
        {"fpr": [0, 1], "tpr": [0.1, None], "auc": [None, 2]},
        {"thresholds": [1, 2, 3]},
        {"x": [1, 2], "y": [3, None]},
    ]
    assert read_tables(b"[1, 2.5]", "a.json") == [{"value": [1, 2.5]}]
    assert read_tables(b"3", "a.json") == read_tables(b"{}", "a.json") == []


def test_yaml_reads_as_json_does() -> None:
    assert read_tables(b"rows:\n- {a: 1, b: no}\n- {a: 2}\n", "a.yaml") == [
        {"a": [1, 2], "b": ["no", None]}
    ]


@pytest.mark.parametrize(
    ("data", "path", "line"),
    [(b"{\n,", "a.json", 2), (b"a\n\xff\n", "a.csv", 2), (b"a: [", "a.yml", 1)],
)
def test_damage_is_told_with_its_place(data: bytes, path: str, line: int) -> None:
    with pytest.raises(InputError) as caught:
        read_tables(data, path)
    assert caught.value.where is not None
    assert (caught.value.where.file, caught.value.where.line) == (path, line)


def test_the_table_with_the_wanted_columns_is_chosen() -> None:
    tables = [{"a": [1]}, {"b": [1], "c": [2]}, {"c": [3]}]
    assert choose(tables, ["c", "b"]) is tables[1]
    assert choose(tables, ["c", None]) is tables[1]
    assert choose(tables, [None]) is tables[0]
    assert choose([], ["a"]) is None


def test_numbers_are_numbers_however_they_are_written() -> None:
    read = [number(value) for value in ("1e3", " 2 ", 3, "x", "", None, True, "1_0", "0x1")]
    assert read == [1000, 2, 3, None, None, None, None, None, None]
    assert number(10**400) == math.inf
    assert math.isnan(number("nan") or 0)


def test_moments_are_iso_dates_and_times() -> None:
    assert moment("1970-01-02") == 86_400_000
    assert moment("1970-01-01T01:00:00+01:00") == 0
    assert moment("20240101") is moment("2024") is moment(5) is moment("2024-13-01") is None
