"""Patterns of paths, compared with a real shell where it knows them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from mlxrepo.globs import concerns, fixed_folder, is_glob, matches

FILES = [
    "a.csv", "b.csv", "c.txt", ".hidden.csv", "a[1].csv", "a1.csv",
    "d/a.csv", "d/e/a.csv", "d/e/f/b.csv", "d/.h/a.csv", "d/e.csv/x",
]  # fmt: skip


@pytest.mark.parametrize(
    "pattern",
    [
        "*.csv", "?.csv", "[ab].csv", "[!a].csv", "d/*", "d/*.csv", "*/a.csv", "d/**/a.csv",
        "**/*.csv", "**/a.csv", "d/**", ".*.csv", "d/.*/*", "d/*/*/*.csv", "**/e/**/*.csv", "x*",
    ],
)  # fmt: skip
def test_a_pattern_means_what_bash_means(tmp_path: Path, pattern: str) -> None:
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    script = (
        f'shopt -s globstar nullglob; for f in {pattern}; do [ -f "$f" ] && echo "$f"; done; true'
    )
    told = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )

    assert {name for name in FILES if matches(name, pattern)} == set(told.stdout.split())


def test_a_file_that_is_spelled_as_the_pattern_fits_too() -> None:
    assert matches("a[1].csv", "a[1].csv")
    assert matches("a1.csv", "a[1].csv")


def test_what_lies_below_a_folder_is_not_the_folder() -> None:
    assert not matches("data", "data/**")
    assert matches("data/a", "data/**")


def test_what_is_a_pattern_and_where_it_can_lead() -> None:
    assert [is_glob(text) for text in ("a*", "a?", "a[b]", "a[b", "a]", "a")] == [
        True, True, True, False, False, False,
    ]  # fmt: skip
    assert fixed_folder("data/raw/*/x.csv") == "data/raw"
    assert fixed_folder("*.csv") == ""
    assert fixed_folder("data/a.csv") == "data"


def test_a_hostile_pattern_ends() -> None:
    assert not matches("a/" * 200 + "a", "**/a/" * 60 + "b")
    assert not matches("a" * 200, "*a" * 60 + "b")


@pytest.mark.parametrize(
    ("path", "pattern", "expected"),
    [
        ("parts/a.txt", "parts/*.txt", True),
        ("parts/a.csv", "parts/*.txt", False),
        ("parts", "parts/*.txt", True),  # a folder that may hold it
        ("other", "parts/*.txt", False),
        ("data/x/y.csv", "data/*", True),  # in a folder that fits
        ("deep/x", "deep/**/y.txt", True),
        ("deep", "deep/**/y.txt", True),
        ("else/x", "deep/**/y.txt", False),
        ("a", "**/*.csv", True),
        ("a/b/c", "a/*", True),
        ("a/b/c", "b/*", False),
    ],
)
def test_what_a_pattern_concerns(path: str, pattern: str, expected: bool) -> None:
    assert concerns(path, pattern) is expected
