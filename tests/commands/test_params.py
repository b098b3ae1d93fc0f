"""mlx params diff: parameters that differ between revisions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pipeline_project import Pipeline
from sandbox import Project

from mlxrepo.commands.params import diff
from mlxrepo.errors import CannotDecide
from mlxrepo.values import Reading


@pytest.fixture
def pipe(tmp_path: Path) -> Pipeline:
    """Return a project whose stage has the params `lr` and those of `more.json`."""
    pipe = Pipeline(Project.create(tmp_path / "project"))
    pipe.one("true", params=["lr", {"more.json": None}])
    return pipe


def rows(pipe: Pipeline, *revs: str) -> dict[str, tuple[object, object]]:
    with pipe.project.repo() as repo:
        found = diff(repo, *revs).rows
    absent = "absent"
    return {
        f"{row.file}:{row.name}": (
            row.old if row.in_old else absent,
            row.new if row.in_new else absent,
        )
        for row in found
    }


def test_only_what_differs_is_told_with_what_is_on_one_side_alone(pipe: Pipeline) -> None:
    pipe.write("params.yaml", "lr: 1\nsame: x\nold: {deep: [1, 2]}\nempty: null\n")
    pipe.project.commit()
    pipe.write("params.yaml", "lr: 2\nsame: x\nempty: 0\nnew: null\n")
    pipe.write("more.json", '{"a": 1}')
    assert rows(pipe) == {
        "params.yaml:lr": (1, 2),
        "params.yaml:old.deep.0": (1, "absent"),
        "params.yaml:old.deep.1": (2, "absent"),
        "params.yaml:empty": (None, 0),
        "params.yaml:new": ("absent", None),
        "more.json:a": ("absent", 1),
    }


def test_equal_values_of_other_types_differ(pipe: Pipeline) -> None:
    pipe.write("params.yaml", "lr: 1\nflag: true\nword: NO\n")
    pipe.project.commit()
    pipe.write("params.yaml", 'lr: 1.0\nflag: 1\nword: "NO"\n')
    found = rows(pipe)
    assert list(found) == ["params.yaml:flag", "params.yaml:lr", "params.yaml:word"]
    assert isinstance(found["params.yaml:word"][0], Reading)
    assert found["params.yaml:word"][1] == "NO"


def test_revisions_are_compared_as_they_were_declared(pipe: Pipeline) -> None:
    pipe.write("params.yaml", "lr: 1\n")
    pipe.project.commit()
    pipe.one("true", params=[{"other.toml": ["lr"]}])
    pipe.write("other.toml", "lr = 2\n")
    pipe.project.commit()
    pipe.write("other.toml", "lr = 3\n")
    assert rows(pipe, "HEAD~1", "HEAD") == {
        "params.yaml:lr": (1, "absent"),
        "other.toml:lr": ("absent", 2),
    }
    assert rows(pipe) == {"other.toml:lr": (2, 3)}


def test_without_commits_or_params_it_says_so(pipe: Pipeline) -> None:
    with pytest.raises(CannotDecide, match="no commit yet"):
        rows(pipe)
    pipe.project.commit()
    with pytest.raises(CannotDecide, match="params file"):
        rows(pipe)


def test_the_screen(pipe: Pipeline) -> None:
    pipe.write("params.yaml", "lr: 1\nword: NO\n")
    pipe.project.commit()
    pipe.write("params.yaml", 'lr: 2\nword: "NO"\n')
    said = pipe.project.mlx("params", "diff").stdout
    assert "params.yaml  lr" in said
    assert "YAML 1.1: False" in said
    document = json.loads(pipe.project.mlx("--json", "params", "diff").stdout)
    assert [(row["param"], row["new"]) for row in document["params"]] == [("lr", 2), ("word", "NO")]
