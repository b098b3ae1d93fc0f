"""Patterns in deps and in keys of params: what fits decides, also what is new or gone."""

from __future__ import annotations

import pytest
from pipeline_project import Pipeline

from mlxrepo.commands.add import add
from mlxrepo.errors import InputError


@pytest.fixture
def tables(pipe: Pipeline) -> Pipeline:
    """A stage that reads two tables by a pattern, and ran."""
    pipe.write("in/a.csv", "1\n")
    pipe.write("in/b.csv", "2\n")
    pipe.write("in/notes.txt", "no table\n")
    pipe.write("in/.hidden.csv", "hidden\n")
    pipe.one("cat in/*.csv > all.csv", deps=["in/*.csv"], outs=["all.csv"])
    assert pipe.outcomes() == {"only": "ran"}
    return pipe


def test_what_fits_is_recorded_file_by_file(tables: Pipeline) -> None:
    assert [dep.path for dep in tables.record("only").deps] == ["in/a.csv", "in/b.csv"]
    assert tables.outcomes() == {"only": "up-to-date"}


def test_what_does_not_fit_does_not_matter(tables: Pipeline) -> None:
    tables.write("in/notes.txt", "edited\n")
    tables.write("in/.hidden.csv", "edited\n")
    tables.write("in/deep/c.csv", "3\n")
    assert tables.outcomes() == {"only": "up-to-date"}


def test_a_new_file_that_fits_is_seen_and_named(tables: Pipeline) -> None:
    tables.write("in/c.csv", "3\n")
    assert tables.whys() == {"only": "in/c.csv is a new dep"}
    assert tables.read("all.csv") == "1\n2\n3\n"


def test_a_file_that_is_gone_is_seen_and_what_was_known_comes_back(tables: Pipeline) -> None:
    tables.write("in/c.csv", "3\n")
    tables.outcomes()
    tables.path("in/c.csv").unlink()
    report = tables.repro().stages[0]
    assert (report.outcome, report.why) == ("restored", "in/c.csv is no longer a dep")
    assert tables.read("all.csv") == "1\n2\n"


def test_nothing_that_fits_is_an_error_with_its_place(tables: Pipeline) -> None:
    tables.one("true", deps=["in/*.parquet"], outs=[])
    with pytest.raises(InputError, match=r"nothing here fits .*in/\*\.parquet") as caught:
        tables.repro()
    assert str(caught.value.where).startswith("mlx.yaml:2:")


def test_a_file_that_comes_to_fit_during_the_run_is_noticed(tables: Pipeline) -> None:
    tables.one("touch in/c.csv; cat in/*.csv > all.csv", deps=["in/*.csv"], outs=["all.csv"])
    assert "in/c.csv changed while" in tables.error().message
    assert tables.read("all.csv") == "1\n2\n"


def test_a_pattern_waits_for_the_stages_that_make_what_fits(pipe: Pipeline) -> None:
    pipe.declare(
        """
        stages:
          all: {cmd: cat parts/*.txt deep/x/y.txt > all.txt, deps: ["parts/*.txt", "deep/**/y.txt"],
                outs: [all.txt]}
          part:
            foreach: [a, b]
            do: {cmd: "echo ${item} > parts/${item}.txt", outs: ["parts/${item}.txt"]}
          deep: {cmd: mkdir -p deep/x && echo y > deep/x/y.txt, outs: [deep/x]}
        """
    )
    expected = {"part@a": "ran", "part@b": "ran", "deep": "ran", "all": "ran"}
    assert pipe.outcomes() == expected
    assert pipe.read("all.txt") == "a\nb\ny\n"
    assert [dep.path for dep in pipe.record("all").deps] == [
        "deep/x/y.txt", "parts/a.txt", "parts/b.txt",
    ]  # fmt: skip
    assert set(pipe.outcomes().values()) == {"up-to-date"}


def test_a_stage_may_write_where_its_own_pattern_looks(pipe: Pipeline) -> None:
    pipe.write("work/a.txt", "a\n")
    pipe.one("cat work/a.txt > work/made/b.txt", deps=["work/**/*.txt"], outs=["work/made"])
    pipe.one(
        "mkdir work/made && cat work/a.txt > work/made/b.txt",
        deps=["work/**/*.txt"], outs=["work/made"],
    )  # fmt: skip
    assert pipe.outcomes() == {"only": "ran"}
    assert pipe.outcomes() == {"only": "up-to-date"}


def test_absent_files_of_a_dataset_fit_as_they_are_recorded(tables: Pipeline) -> None:
    with tables.project.repo() as repo:
        add(repo, ["in"])
    tables.outcomes()
    tables.path("in/b.csv").unlink()
    tables.path(".git/mlx/worktree/placed.json").unlink()  # as if it had never been here
    assert tables.outcomes() == {"only": "up-to-date"}
    tables.write("in/a.csv", "new\n")
    assert tables.outcomes() == {"only": "ran"}
    assert tables.read("all.csv") == "new\n2\n"


def test_a_file_spelled_as_a_pattern_is_that_file(pipe: Pipeline) -> None:
    pipe.write("a[1].csv", "1\n")
    pipe.write("a1.csv", "other\n")
    pipe.one("cat 'a[1].csv' > out.txt", deps=["a[1].csv"], outs=["out.txt"])
    pipe.outcomes()
    assert [dep.path for dep in pipe.record("only").deps] == ["a[1].csv"]


def test_keys_that_fit_a_pattern_are_params_each(pipe: Pipeline) -> None:
    pipe.write("params.yaml", "train: {lr: 1, depth: 2}\nother: 3\n")
    pipe.one("echo x > out.txt", params=["train.*"], outs=["out.txt"])
    pipe.outcomes()
    assert pipe.record("only").params == {"params.yaml": {"train.lr": 1, "train.depth": 2}}
    pipe.write("params.yaml", "train: {lr: 1, depth: 2}\nother: 4\n")
    assert pipe.outcomes() == {"only": "up-to-date"}
    pipe.write("params.yaml", "train: {lr: 1, depth: 2, new: 5}\nother: 4\n")
    assert pipe.whys() == {"only": "params.yaml:train.new is a new param"}
