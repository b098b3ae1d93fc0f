"""mlx metrics: numbers of the workspace and of revisions, and how they differ."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from pipeline_project import Pipeline
from sandbox import Project

from mlxrepo.commands.metrics import MetricChange, MetricsDiff, diff, show
from mlxrepo.errors import CannotDecide, InputError


@pytest.fixture
def pipe(tmp_path: Path) -> Pipeline:
    """Return a project whose one stage has its metrics from `given.json`."""
    pipe = Pipeline(Project.create(tmp_path / "project"))
    pipe.one("cp given.json m.json", deps=["given.json"], metrics=["m.json"])
    return pipe


def measure(pipe: Pipeline, values: str) -> None:
    pipe.write("given.json", values)
    pipe.outcomes()


def differences(pipe: Pipeline, *revs: str) -> MetricsDiff:
    with pipe.project.repo() as repo:
        return diff(repo, *revs)


def rows(pipe: Pipeline, *revs: str) -> dict[str, tuple[object, object, object]]:
    return {r.name: (r.old, r.new, r.change) for r in differences(pipe, *revs).rows}


def test_the_workspace_is_compared_with_head(pipe: Pipeline) -> None:
    measure(pipe, '{"auc": 0.5, "deep": {"n": 3}, "gone": 1}')
    pipe.project.commit()
    measure(pipe, '{"auc": 0.75, "deep": {"n": 5}, "new": 2}')
    assert rows(pipe) == {
        "auc": (0.5, 0.75, 0.25),
        "deep.n": (3, 5, 2),
        "gone": (1, None, None),
        "new": (None, 2, None),
    }


def test_revisions_are_compared_from_their_records_alone(pipe: Pipeline) -> None:
    measure(pipe, '{"auc": 1}')
    pipe.project.commit()
    measure(pipe, '{"auc": 2}')
    pipe.project.commit()
    measure(pipe, '{"auc": 3}')
    pipe.path("m.json").unlink()
    assert rows(pipe, "HEAD~1", "HEAD") == {"auc": (1, 2, 1)}
    assert rows(pipe, "HEAD~1") == {"auc": (1, 3, 2)}
    found = differences(pipe, "HEAD~1", "HEAD")
    assert (found.old, found.new) == ("HEAD~1", "HEAD")


def test_nan_infinity_and_truth_values(pipe: Pipeline) -> None:
    measure(pipe, '{"x": NaN, "up": Infinity, "yes": true, "text": "1"}')
    with pipe.project.repo() as repo:
        [shown] = show(repo)
    found = shown.files["m.json"].values
    assert math.isnan(found["x"])
    assert found["up"] == math.inf
    assert set(found) == {"x", "up"}


@pytest.mark.parametrize(
    ("old", "new", "change"),
    [(1.5, 10**400, math.inf), (10**400, 1.5, -math.inf), (10**400, 10**400 + 1, 1)],
)
def test_numbers_beyond_floats_have_a_change(old: float, new: float, change: float) -> None:
    assert MetricChange("m.json", "x", old, new).change == change


def test_a_repository_without_commits_cannot_be_compared(pipe: Pipeline) -> None:
    measure(pipe, '{"auc": 1}')
    with pytest.raises(CannotDecide, match="no commit yet"):
        differences(pipe)


def test_a_revision_without_a_lockfile_cannot_be_compared(pipe: Pipeline) -> None:
    pipe.project.commit()
    measure(pipe, '{"auc": 1}')
    with pytest.raises(CannotDecide, match=r"HEAD has no mlx\.lock"):
        differences(pipe)
    pipe.project.commit()
    with pytest.raises(CannotDecide, match=r"HEAD~1 has no mlx\.lock"):
        differences(pipe, "HEAD", "HEAD~1")


def test_an_unknown_revision_is_named(pipe: Pipeline) -> None:
    measure(pipe, '{"auc": 1}')
    pipe.project.commit()
    with pytest.raises(CannotDecide, match="nope"):
        differences(pipe, "nope")
    with pytest.raises(InputError):
        differences(pipe, "--all")


def test_the_files_that_no_stage_makes_are_read(pipe: Pipeline) -> None:
    measure(pipe, '{"auc": 1}')
    pipe.write("mlx.yaml", pipe.read("mlx.yaml") + "metrics: [by-hand.yaml]\n")
    pipe.write("by-hand.yaml", "loss: 2\n")
    pipe.project.commit()
    pipe.write("by-hand.yaml", "loss: 1\n")
    assert rows(pipe) == {"auc": (1, 1, 0), "loss": (2, 1, -1)}


def test_the_screen_shows_differences_only_and_json_knows_nan(pipe: Pipeline) -> None:
    measure(pipe, '{"auc": 0.5, "same": 1, "x": NaN}')
    pipe.project.commit()
    measure(pipe, '{"auc": 0.75, "same": 1, "x": NaN}')
    said = pipe.project.mlx("metrics", "diff", "--md").stdout
    assert "| m.json | auc | 0.5 | 0.75 | +0.25 |" in " ".join(said.split())
    assert "same" not in said
    assert "| x" not in said
    document = json.loads(pipe.project.mlx("--json", "metrics", "show").stdout)
    assert document["metrics"] == {"m.json": {"auc": 0.75, "same": 1, "x": "NaN"}}


def test_without_a_lockfile_the_exit_code_is_3(pipe: Pipeline) -> None:
    done = pipe.project.mlx("metrics", "diff")
    assert done.returncode == 3
    assert "there is no commit yet" in done.stderr
    done = pipe.project.mlx("metrics", "show")
    assert done.returncode == 3
    assert "mlx.lock" in done.stderr
