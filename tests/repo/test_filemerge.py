"""Merging mlx.yaml and .gitignore: rows of mlx as a set, and no line of the user's is lost."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlxrepo.paths import RepoPath
from mlxrepo.repo.filemerge import FileMerge, merge_ignored, merge_project, rows_of
from mlxrepo.repo.git import Git
from mlxrepo.repo.gitignore import with_lines
from mlxrepo.repo.mergefiles import NO_ANSWERS, Answers
from mlxrepo.repo.unmerged import Versions
from mlxrepo.store.treemerge import OURS, THEIRS
from mlxrepo.yamledit import remove_entry, set_entry

NAME = "mlx.yaml"
merge_text = Git(str(Path.cwd())).merge_text

BASE = """\
# what this project declares

datasets:
  # from the shop
  kept:
    path: kept
    desc: a dataset with words of the user's
  m:
    path: m

stages:
  train:
    cmd: python train.py   # twice a day
"""


def merge(
    base: str, ours: str, theirs: str, answers: Answers = NO_ANSWERS, **decided: str
) -> FileMerge:
    versions = Versions(RepoPath(NAME), base.encode(), ours.encode(), theirs.encode())
    return merge_project(versions, merge_text, answers, decided)


def declared(text: str, names: Iterable[str]) -> str:
    for name in names:
        text = set_entry(text, "datasets", name, {"path": f"data/{name}"}, NAME)
    return text


def text_of(merged: FileMerge) -> str:
    assert merged.text is not None
    return merged.text.decode()


names = st.sets(st.sampled_from([f"{letter}{n}" for letter in "am" for n in range(4)]), max_size=5)


@given(ours=names, theirs=names, gone=st.booleans(), note=st.booleans())
@settings(max_examples=60, deadline=None)
def test_rows_that_either_side_added_are_there_and_all_other_lines_too(
    ours: set[str], theirs: set[str], gone: bool, note: bool
) -> None:
    mine, other = declared(BASE, sorted(ours)), declared(BASE, sorted(theirs))
    if gone:
        mine = remove_entry(mine, "datasets", "m", NAME)
    if note:
        other += "# a remark of theirs\n"
    text = text_of(merge(BASE, mine, other))
    expected = {"kept", *ours, *theirs} | ({"m"} - ({"m"} if gone else set()))
    assert {name for _, name in rows_of(text, NAME)} == expected
    lines = text.splitlines()
    for line in BASE.splitlines():
        assert line in lines or (gone and line.strip() in ("m:", "path: m"))
    assert ("# a remark of theirs" in lines) is note
    assert len(lines) == len(BASE.splitlines()) + note - 2 * gone + 2 * len(ours | theirs)


def test_a_first_section_on_both_sides_is_one() -> None:
    base = "# nothing yet\n"
    text = text_of(merge(base, declared(base, ["a"]), declared(base, ["b"])))
    assert text.count("datasets:") == 1
    assert rows_of(text, NAME) == {
        ("datasets", "a"): {"path": "data/a"},
        ("datasets", "b"): {"path": "data/b"},
    }


def test_a_row_that_both_changed_asks_and_the_answer_is_taken() -> None:
    ours = declared(BASE, ["x"])
    theirs = ours.replace("data/x", "elsewhere/x")
    asked = merge(BASE, ours, theirs)
    assert asked.text is None
    assert [(q.name, q.path) for q in asked.questions] == [("data:x", "data/x")]
    for answers in (Answers({"data:x": THEIRS}), Answers({"elsewhere": THEIRS})):
        found = rows_of(text_of(merge(BASE, ours, theirs, answers)), NAME)
        assert found["datasets", "x"] == {"path": "elsewhere/x"}


def test_what_was_decided_about_a_record_holds_for_its_row() -> None:
    ours, theirs = remove_entry(BASE, "datasets", "m", NAME), BASE
    assert ("datasets", "m") not in rows_of(text_of(merge(BASE, ours, theirs)), NAME)
    kept = merge(BASE, ours, theirs, **{"data:m": THEIRS})
    assert ("datasets", "m") in rows_of(text_of(kept), NAME)
    taken_out = merge(BASE, BASE, declared(BASE, ["n"]), **{"data:n": OURS})
    assert text_of(taken_out) == BASE


@pytest.mark.parametrize(
    "broken",
    [
        BASE.replace("    path: m\n", "   path: [\n"),
        BASE.replace("datasets:", "datasets: {a: {path: a}}\nfeatures:"),
        BASE + "datasets:\n",
    ],
)
def test_what_mlx_cannot_edit_is_left_to_the_user(broken: str) -> None:
    merged = merge(BASE, broken, declared(BASE, ["m1"]))
    assert merged.text is None or "m1" in merged.text.decode()


def test_a_row_with_a_comment_stays_with_it_or_is_left() -> None:
    ours = declared(BASE, ["n"]).replace("  n:\n", "  # mine\n  n:\n")
    merged = merge(BASE, ours, declared(BASE, ["o"]))
    assert merged.text is None or "  # mine\n  n:\n" in merged.text.decode()
    alone = merge(BASE, ours, declared(BASE, ["a"]))
    assert "  # mine\n  n:\n" in text_of(alone)


# .gitignore


def ignored(base: str, ours: str, theirs: str) -> str | None:
    versions = Versions(RepoPath(".gitignore"), base.encode(), ours.encode(), theirs.encode())
    text = merge_ignored(versions, merge_text).text
    return None if text is None else text.decode()


def hiding(text: str, rows: Iterable[str]) -> str:
    return with_lines(text.encode(), sorted(f"/{row}".encode() for row in rows)).decode()


@given(base=names, ours=names, theirs=names, gone=names, note=st.booleans())
@settings(max_examples=60, deadline=None)
def test_lines_that_hide_data_are_a_set_and_the_users_stay_in_order(
    base: set[str], ours: set[str], theirs: set[str], gone: set[str], note: bool
) -> None:
    users = "*.pyc\n!keep.pyc\n/build/out\n"
    text = hiding(users, base)
    mine = hiding(users, (base - gone) | ours)
    other = hiding(users, base | theirs) + ("*.log\n" if note else "")
    merged = ignored(text, mine, other)
    assert merged is not None
    lines = merged.splitlines()
    rows = {line[1:] for line in lines if line.startswith("/") and line.count("/") == 1}
    # Of what was there before, only what neither side took away.
    assert rows == {row for row in base | ours | theirs if row not in base - ((base - gone) | ours)}
    assert len(lines) == len(set(lines))
    assert [line for line in lines if line in users.splitlines()] == users.splitlines()
    assert ("*.log" in lines) is note


def test_a_line_above_one_that_takes_a_path_back_is_the_users() -> None:
    base = "/a\n!/a\n"
    assert ignored(base, base + "/x\n", base + "/y\n") == "/a\n!/a\n/x\n/y\n"


def test_lines_of_the_users_that_conflict_are_left() -> None:
    assert ignored("a\n", "b\n/x\n", "c\n/y\n") is None
