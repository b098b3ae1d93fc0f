"""Where mlx differs from DVC on purpose: each is shown, and told in docs/from-dvc.md."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from both import CHAIN, Both, Outcome

PAGE = Path(__file__).parents[2] / "docs" / "from-dvc.md"

# What differs, by the name of the row in docs/from-dvc.md; each is a project to look at.
DIFFERENCES: dict[str, Callable[[Both], None]] = {}


def difference(row: str) -> Callable[[Callable[[Both], None]], Callable[[Both], None]]:
    """Register what shows a row of the page."""

    def register(show: Callable[[Both], None]) -> Callable[[Both], None]:
        DIFFERENCES[row] = show
        return show

    return register


def test_the_page_has_the_rows_that_are_shown_here() -> None:
    _, _, chapter = PAGE.read_text(encoding="utf-8").partition("## The pipeline")
    rows = re.findall(r"^\| (.+?) \| ", chapter.partition("\n## ")[0], re.M)
    assert [row.replace("\\|", "|") for row in rows[1:]] == list(DIFFERENCES)


@pytest.mark.nightly
@pytest.mark.timeout(600)
@pytest.mark.parametrize("row", DIFFERENCES)
def test_it_differs_as_the_page_says(both: Both, row: str) -> None:
    DIFFERENCES[row](both)


def one(text: str) -> str:
    """Return a file with the stage `s`."""
    return f"stages:\n  s:\n    {text}\n"


def refuses(outcome: Outcome) -> None:
    """Say that nothing ran, since the file is wrong."""
    assert outcome == (False, [])


# --- paths and names ------------------------------------------------------------------------------


@difference("paths of a stage with `wdir`")
def _(both: Both) -> None:
    text = "stages: {s: {cmd: 'cp in o; cat o >> $RAN', wdir: sub, deps: [%s], outs: [%s]}}"
    both.write("sub/in", "1\n")
    both.declare(text % ("in", "o"), mlx=text % ("sub/in", "sub/o"))
    assert both.repro() == ["1"]


@difference("params and `vars` files of a stage with `wdir`")
def _(both: Both) -> None:
    both.write("p.yaml", "v: beside\n")
    both.write("sub/p.yaml", "v: below\n")
    both.declare(
        one("cmd: echo ${v} >> $RAN; touch o\n    wdir: sub\n    vars: [p.yaml]\n    outs: [o]"),
        mlx=one(
            "cmd: echo ${v} >> $RAN; touch o\n    wdir: sub\n    vars: [p.yaml]\n    outs: [sub/o]"
        ),
    )
    theirs, ours = both.apart()
    assert (theirs.ran, ours.ran) == (["below"], ["beside"])


@difference("`repro` without targets")
def _(both: Both) -> None:
    both.declare(one("cmd: echo top >> $RAN"))
    both.declare(one("cmd: echo below >> $RAN"), folder="sub")
    theirs, ours = both.apart(folder="sub")
    assert theirs.ran == ["below"]
    assert ours.ran == ["below", "top"]


@difference("names of stages")
def _(both: Both) -> None:
    for name in ("a/b", "a b", "a:b"):
        both.declare(f"stages:\n  '{name}':\n    cmd: echo ran >> $RAN\n")
        theirs, ours = both.apart()
        assert theirs == (True, ["ran"])
        refuses(ours)


@difference("names of items")
def _(both: Both) -> None:
    both.declare(one("foreach: [a/b]\n    do: {cmd: 'echo ${item} >> $RAN'}"))
    assert both.dvc.names() == ["s@a/b"]
    assert both.mlx.names() == ["s@a_b"]
    assert both.repro("s@a/b") == ["a/b"]


# --- templates ------------------------------------------------------------------------------------


@difference("a list inside a `cmd`")
def _(both: Both) -> None:
    both.declare("vars: [{l: [1, two words]}]\n" + one("cmd: printf '%s|' ${l} >> $RAN"))
    theirs, ours = both.apart()
    refuses(theirs)
    assert ours == (True, ["1|two words|"])


@difference("a list as one item of a list")
def _(both: Both) -> None:
    both.write("x", "x")
    both.write("y", "y")
    both.declare("vars: [{l: [x, y]}]\n" + one("cmd: echo ran >> $RAN\n    deps: ['${l}']"))
    theirs, ours = both.apart()
    refuses(theirs)
    assert ours == (True, ["ran"])


@difference("`${x|q}`")
def _(both: Both) -> None:
    both.declare("vars: [{x: a  b; false}]\n" + one("cmd: echo ${x|q} >> $RAN"))
    theirs, ours = both.apart()
    refuses(theirs)
    assert ours == (True, ["a  b; false"])


@difference("a `${` without its `}`")
def _(both: Both) -> None:
    both.declare(one("cmd: echo '${' >> $RAN"))
    theirs, ours = both.apart()
    assert theirs == (True, ["${"])
    refuses(ours)


@difference("a `foreach` that has no items")
def _(both: Both) -> None:
    both.declare(one("foreach: []\n    do: {cmd: 'echo ${item} >> $RAN'}"))
    theirs, ours = both.apart()
    assert theirs == (True, [])
    refuses(ours)


@difference("two items of one name")
def _(both: Both) -> None:
    both.declare(one("foreach: [1, '1']\n    do: {cmd: 'echo ${item} >> $RAN'}"))
    theirs, ours = both.apart()
    assert theirs == (True, ["1"])
    refuses(ours)


# --- stages ---------------------------------------------------------------------------------------


@difference("metrics and plots")
def _(both: Both) -> None:
    both.declare(one("cmd: echo '{}' > m.json; echo x > p.csv\n    metrics: [m.json]\n"
                     "    plots: [p.csv]"))  # fmt: skip
    assert both.repro() == []
    ignored = (both.dvc.root / ".gitignore").read_text()
    assert "/m.json" in ignored
    assert "/p.csv" in ignored
    assert not (both.mlx.root / ".gitignore").exists()


@difference("globs in `deps`")
def _(both: Both) -> None:
    both.write("data/a.csv", "1\n")
    both.declare(one("cmd: cat data/*.csv >> $RAN\n    deps: ['data/*.csv']"))
    theirs, ours = both.apart()
    refuses(theirs)
    assert ours == (True, ["1"])


@difference("a line of a `cmd` that ends in `\\`")
def _(both: Both) -> None:
    both.declare("stages:\n  s:\n    cmd: |\n      echo a \\\n        b >> $RAN\n")
    theirs, ours = both.apart()
    assert not theirs.ok
    assert ours == (True, ["a b"])


@difference("a stage without deps and outs")
def _(both: Both) -> None:
    both.declare(one("cmd: echo ran >> $RAN"))
    both.repro()
    theirs, ours = both.apart()
    assert (theirs.ran, ours.ran) == (["ran"], [])


@difference("types of params")
def _(both: Both) -> None:
    both.declare(one("cmd: echo ran >> $RAN; touch o\n    params: [x]\n    outs: [o]"))
    both.write("params.yaml", "x: 1\n")
    both.repro()
    both.write("params.yaml", "x: true\n")
    theirs, ours = both.apart()
    assert (theirs.ran, ours.ran) == ([], ["ran"])


# --- runs -----------------------------------------------------------------------------------------


@difference("a stage that fails")
def _(both: Both) -> None:
    text = one("cmd: cp in o; test $(cat in) = good\n    deps: [in]\n    outs: [o]")
    both.declare(text)
    both.write("in", "good\n")
    both.repro()
    both.write("in", "bad\n")
    both.fails()
    assert (both.dvc.root / "o").read_text() == "bad\n"
    assert (both.mlx.root / "o").read_text() == "good\n"


@difference("a frozen stage whose `cmd` changed")
def _(both: Both) -> None:
    both.write("in.txt", "one\n")
    both.declare(CHAIN)
    both.repro()
    text = CHAIN.replace("cp a.txt b.txt", "cp a.txt b.txt; echo new >> b.txt")
    both.declare(text.replace("  b: {", "  b: {frozen: true, "))
    assert both.repro() == []
    both.declare(text)
    theirs, ours = both.apart()
    assert theirs.ran == []  # its lockfile says that the new command made the old out
    assert ours.ran == ["b", "c"]


@difference("independent stages")
def _(both: Both) -> None:
    both.declare(
        "stages:\n  s:\n    foreach: [a, b]\n    do:\n"
        "      cmd: touch ${item}.on; sleep 3; ls *.on | wc -l >> $RAN\n"
    )
    theirs = both.dvc.repro()
    ours = both.mlx.repro("-j2")
    assert theirs.ran == ["1", "2"]
    assert ours.ran == ["2", "2"]


@difference("`DVC_STAGE` and `DVC_ROOT`")
def _(both: Both) -> None:
    assert not {"DVC_STAGE", "DVC_ROOT"} & os.environ.keys()
    both.declare(one("cmd: echo $DVC_STAGE in $(basename $DVC_ROOT x) >> $RAN"))
    theirs, ours = both.apart()
    assert theirs.ran == ["s in in-dvc"]
    assert ours.ran != theirs.ran
