"""`mlx diff` and `mlx log` at a shell: text, Markdown, JSON, exit codes, and rows by key."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from user import User


@pytest.fixture
def changed(analyst: User) -> User:
    """A pipeline that ran twice, on other data and params the second time, each committed."""
    analyst.ok("repro")
    analyst.commit("first")
    analyst.write("data/reviews.csv", analyst.read("data/reviews.csv") + "7,ok!,3\n")
    analyst.write("params.yaml", "train:\n  rounds: 2\n")
    analyst.ok("add", "data/reviews.csv")
    analyst.ok("repro")
    analyst.commit("second")
    return analyst


def test_text_names_each_artifact_stage_and_fact(changed: User) -> None:
    said = changed.ok("diff", "HEAD~1", "HEAD")
    assert "modified: data/reviews.csv (data:reviews)  69 B -> 77 B" in said
    assert "modified: models/model.json (out of train)" in said
    assert "    param params.yaml:train.rounds: 1 -> 2\n" in said
    assert "    metric metrics.json:rows: 5 -> 6\n" in said
    assert said.splitlines()[-1].startswith("4 artifacts and 4 stages differ; files: 4 modified (+")


def test_stat_is_a_line_each_and_md_is_markdown(changed: User) -> None:
    lines = changed.ok("diff", "--stat", "HEAD~1", "HEAD").splitlines()
    assert len(lines) == 9
    assert lines[0].split() == ["data/reviews.csv", "modified", "+8", "B"]
    assert "stage train           modified  reads, param, writes" in lines
    said = changed.ok("diff", "--md", "HEAD~1", "HEAD")
    assert "| artifact | HEAD~1 | HEAD | files |" in said
    assert "| train | param params.yaml:train.rounds | 1 | 2 |" in said
    changed.fails(2, "diff", "--md", "--stat")


def test_json_holds_all_of_it(changed: User) -> None:
    document = changed.json("diff", "HEAD~1", "HEAD", "data/reviews.csv")
    assert (document["old"], document["new"], document["differs"]) == ("HEAD~1", "HEAD", True)
    (artifact,) = document["artifacts"]
    assert artifact["path"] == "data/reviews.csv"
    assert (artifact["old"]["size"], artifact["new"]["size"]) == (69, 77)
    assert [change["change"] for change in artifact["changes"]] == ["modified"]
    assert document["totals"]["modified"] == 1
    assert document["stages"] == []
    facts = changed.json("diff", "HEAD~1", "HEAD", "evaluate")["stages"][0]["facts"]
    assert {"what": "metric", "name": "metrics.json:rows", "old": 5, "new": 6} in facts


def test_exit_codes(changed: User) -> None:
    assert changed.mlx("diff", "--exit-code").returncode == 0
    assert changed.mlx("diff", "HEAD~1", "HEAD").returncode == 0
    assert changed.mlx("diff", "HEAD~1", "HEAD", "--exit-code").returncode == 1
    assert changed.ok("diff") == "nothing differs between HEAD and the workspace\n"
    assert "no revision" in changed.fails(3, "diff", "v9", "--")
    assert "nothing is recorded" in changed.fails(2, "diff", "v9")


def test_from_a_sub_folder_paths_are_those_of_the_folder(changed: User) -> None:
    said = changed.ok("diff", "HEAD~1", "HEAD", "--", "reviews.csv", folder="data")
    assert said.startswith("modified: data/reviews.csv")
    assert changed.ok("diff", "HEAD~1", "HEAD", folder="src").count("modified: stage") == 4
    assert "data/reviews.csv" in changed.ok("log", "reviews.csv", folder="data")


def test_what_a_terminal_is_shown_is_bounded(user: User) -> None:
    user.fill("many", 30)
    user.ok("add", "many")
    user.commit("first")
    for number in range(25):
        user.write(f"many/{number:04}.txt", "changed\n")
    said = user.ok("diff")
    assert said.count("    modified: ") == 20
    assert "and 5 more (-v shows all)" in said
    assert "25 modified" in said
    assert user.ok("diff", "-v").count("    modified: ") == 25
    assert len(user.json("diff")["artifacts"][0]["changes"]) == 25


def test_a_renamed_folder_in_words(user: User) -> None:
    user.fill("data/raw/one", 3)
    user.ok("add", "data/raw")
    user.commit("first")
    user.path("data/raw/one").rename(user.path("data/raw/two"))
    said = user.ok("diff")
    assert "    renamed: one/ -> two/  3 files" in said
    assert "files: 3 renamed" in said


def test_a_clone_without_the_data_names_the_way_to_it(changed: User, tmp_path: Path) -> None:
    changed.fill("folder", 2)
    changed.ok("add", "folder")
    changed.commit("third")
    changed.write("folder/0000.txt", "changed\n")
    changed.ok("add", "folder")
    changed.commit("fourth")
    changed.git("clone", "--quiet", ".", str(tmp_path / "clone"))
    clone = User(tmp_path / "clone")
    done = clone.mlx("diff", "HEAD~1", "HEAD")
    assert "modified: folder (data:folder)  2 files, 34 B -> 2 files, 25 B" in done.stdout
    assert "which files differ is not known here" in done.stdout
    assert "mlx fetch --rev 'HEAD~1', mlx fetch --rev HEAD" in done.stderr
    assert clone.mlx("diff", "HEAD~1", "HEAD", "--exit-code").returncode == 1


def test_log_tells_versions_of_a_model_and_of_data(changed: User) -> None:
    first, second = changed.ok("log", "models/model.json").splitlines()
    assert "modified" in first
    assert "stage train" in first
    assert "error.mean" in first
    assert first.endswith("second")
    assert "added" in second
    said = changed.ok("log", "--max-count", "1")
    assert said.splitlines()[0].endswith("A Tester: second")
    assert "    modified: data/reviews.csv (data:reviews)  77 B" in said
    assert "added by hand" in said
    commits = changed.json("log", "evaluate", "--rev", "HEAD~1")["commits"]
    assert [commit["subject"] for commit in commits] == ["first"]
    assert commits[0]["changes"][0]["metrics"]["metrics.json"]["rows"] == 5


def test_log_before_anything_is_recorded(user: User) -> None:
    assert "no commit yet" in user.fails(3, "log")
    user.commit("first")
    assert user.ok("log") == "nothing is recorded yet\n"
    assert "nothing is recorded" in user.fails(2, "log", "nonsense")


# rows


@pytest.fixture
def keyed(user: User) -> User:
    """A table with a key, and the same with other rows in the workspace."""
    user.write("table.csv", "id,city,score\n1,paris,2.5\n2,rome,\n3,berlin,4\n")
    user.ok("add", "table.csv")
    declared = user.read("mlx.yaml").replace("path: table.csv", "path: table.csv\n    key: id")
    user.write("mlx.yaml", declared)
    user.commit("first")
    user.write("table.csv", "id,score,city\n3,4,bonn\n2,,rome\n4,1.0,oslo\n")
    return user


def test_rows_of_the_workspace_and_of_revisions(keyed: User) -> None:
    said = keyed.ok("diff", "--rows")
    assert "rows of table.csv by id: 1 added, 1 removed, 1 modified (1 cell)" in said
    assert "added: 4\n" in said
    assert "removed: 1\n" in said
    assert "modified: 3  city berlin -> bonn\n" in said
    keyed.ok("add", "-u")
    keyed.commit("second")
    keyed.path("table.csv").unlink()
    assert "1 added, 1 removed" in keyed.ok("diff", "HEAD~1", "HEAD", "--rows", "table.csv")
    assert "1 added, 1 removed" in keyed.ok("diff", "HEAD~1", "HEAD", "--rows", "--md")
    (table,) = keyed.json("diff", "HEAD~1", "HEAD", "--rows")["tables"]
    assert (table["path"], table["key"], table["error"]) == ("table.csv", ["id"], None)
    counts = {name: table["rows"][name] for name in ("added", "removed", "modified", "cells")}
    assert counts == {"added": 1, "removed": 1, "modified": 1, "cells": 1}


def test_markdown_lists_rows_cells_and_columns_within_bounds(keyed: User) -> None:
    many = "".join(f"{n},x,1,\n" for n in range(10, 60))
    keyed.write("table.csv", f"id,city,score,note\n2,a|b,,\n3,berlin,4.5,\n{many}")
    said = keyed.ok("diff", "--rows", "--md").splitlines()
    assert "| rows of table.csv | what | HEAD | workspace |" in said
    assert "|  | column note | - | empty |" in said
    assert "| 10 | added |  |  |" in said
    assert "| and 30 more | added |  |  |" in said
    assert "| 1 | removed |  |  |" in said
    assert "| 2 | city | rome | a\\|b |" in said
    assert "| 3 | score | 4 | 4.5 |" in said
    assert sum("| added |" in line for line in said) == 21


def test_long_cells_are_cut_where_they_begin_to_differ(keyed: User) -> None:
    keyed.write("table.csv", f"id,city,score\n1,{'x' * 300_000}old,2.5\n")
    keyed.ok("add", "-u")
    keyed.commit("long")
    keyed.write("table.csv", f"id,city,score\n1,{'x' * 300_000}new,3\n")
    (table,) = keyed.json("diff", "--rows")["tables"]
    city, score = table["rows"]["rows"][0]["cells"]
    assert score == {"column": "score", "old": 2.5, "new": 3}
    assert city["cut"] is True
    assert (city["old"][:2], city["old"][-5:]) == ("…x", "xxold")
    assert city["new"].endswith("xxnew")
    assert len(city["old"]) < 1100
    said = keyed.ok("diff", "--rows")
    assert "xxold -> …x" in said
    assert len(max(said.splitlines(), key=len)) < 400


def test_only_another_order_is_the_same_rows(keyed: User) -> None:
    keyed.write("table.csv", "id,city,score\n3,berlin,4\n1,paris,2.5\n2,rome,\n")
    assert "rows of table.csv by id: the same" in keyed.ok("diff", "--rows")


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("id,city\n1,a\n1,b\n", '"1" is there more than once'),
        ("number,city\n1,a\n", 'has no column "id"'),
        ("", "cannot be read as a table"),
    ],
)
def test_what_cannot_be_decided_is_3_with_the_place_of_the_key(
    keyed: User, table: str, said: str
) -> None:
    keyed.write("table.csv", table)
    done = keyed.mlx("diff", "--rows", "--exit-code")
    assert done.returncode == 3
    assert said in done.stderr
    assert done.stderr.startswith("mlx.yaml:")
    assert "modified: table.csv" in done.stdout, "what is known is told"
    (found,) = json.loads(keyed.mlx("diff", "--rows", "--json").stdout)["tables"]
    assert said in found["error"]["message"]


def test_a_table_without_a_key_says_where_to_put_one(user: User) -> None:
    user.write("table.csv", "id\n1\n")
    user.ok("add", "table.csv")
    user.commit("first")
    user.write("table.csv", "id\n2\n")
    said = user.fails(3, "diff", "--rows")
    assert "table.csv has no key" in said
    assert "key: id" in said


def test_a_key_of_the_wrong_type_is_refused_with_its_place(keyed: User) -> None:
    keyed.write("mlx.yaml", keyed.read("mlx.yaml").replace("key: id", "key: {id: 1}"))
    said = keyed.fails(2, "diff", "--rows")
    assert "mlx.yaml:" in said
    assert "key" in said


def test_features_by_entity_and_time_or_their_key_also_in_parts(user: User) -> None:
    user.write("parts/a.csv", "who,at,x\nana,1,5\nana,2,6\n")
    user.write("parts/b.csv", "who,at,x\nbo,1,7\n")
    user.declare("features:\n  seen: {path: parts, entity: who, time: at}\n")
    user.ok("add", "parts")
    user.commit("first")
    user.write("parts/a.csv", "who,at,x\nana,2,9\nana,1,5\n")
    said = user.ok("diff", "--rows")
    assert "rows of parts/a.csv by who, at: 1 modified (1 cell)" in said
    assert "modified: ana, 2  x 6 -> 9" in said
    user.write("mlx.yaml", user.read("mlx.yaml").replace("time: at}", "key: [at, who]}"))
    assert "rows of parts/a.csv by at, who: 1 modified" in user.ok("diff", "--rows")


def test_rows_of_an_earlier_commit_that_is_not_in_the_store(keyed: User) -> None:
    keyed.ok("add", "-u")
    keyed.commit("second")
    shutil.rmtree(keyed.path(".git/mlx"))
    done = keyed.mlx("diff", "HEAD~1", "--rows")
    assert done.returncode == 3
    assert "table.csv: blob" in done.stderr
    assert "mlx fetch --rev" in done.stderr


def test_a_word_that_is_nothing_may_have_been_meant_as_a_revision(tmp_path: Path) -> None:
    user = User.begin(tmp_path / "p")
    user.write("d.csv", "1\n")
    user.ok("add", "d.csv")
    user.commit()
    assert '"v1.0" is no revision that git knows' in user.fails(2, "diff", "v1.0", "HEAD")
    assert '"HEAD~30" is no revision that git knows' in user.fails(2, "diff", "HEAD~30")
    assert "did you mean d.csv?" in user.fails(2, "diff", "HEAD", "d.cvs")
