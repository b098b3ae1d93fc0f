"""What `mlx why` says: the decision, the exact cause, and what else there is to know."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from pipeline_project import Pipeline
from sandbox import Project

from mlxrepo.commands.accept import accept
from mlxrepo.commands.why import Why, why
from mlxrepo.errors import InputError

STAGES = """
stages:
  prepare:
    cmd: mkdir -p parts && cp data.txt parts/one && cp data.txt parts/two
    deps: [data.txt]
    outs: [parts]
  train:
    cmd: cat parts/one train.sh > model.txt
    deps: [parts, train.sh]
    params: [lr, depth]
    env: [SEED]
    outs: [model.txt]
"""


@pytest.fixture
def pipe(project: Project) -> Pipeline:
    pipe = Pipeline(project)
    pipe.write("data.txt", "abc\n")
    pipe.write("train.sh", "train\n")
    pipe.write("params.yaml", "lr: 0.1\ndepth: 3\n")
    pipe.declare(STAGES)
    pipe.outcomes()
    return pipe


def ask(pipe: Pipeline, stage: str) -> Why:
    [found] = pipe.project.do(why, [stage])
    return found


def causes(found: Why) -> list[str]:
    return [str(cause.reason) for cause in found.causes]


def test_a_stage_that_nothing_touched(pipe: Pipeline) -> None:
    found = ask(pipe, "train")
    assert (found.word, found.causes, found.upstream, found.nearest) == ("up-to-date", (), (), None)
    assert found.recorded is not None
    assert found.recorded.run.by == "tester@example.org"


def test_every_kind_of_cause_with_its_old_and_new_value(
    pipe: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe.write("train.sh", "train more\n")
    pipe.write("params.yaml", "lr: 0.2\ndepth: 3\n")
    monkeypatch.setenv("SEED", "7")
    pipe.declare(STAGES.replace("cat parts/one", "cat parts/two"))
    found = ask(pipe, "model.txt")
    assert found.word == "run"
    by_kind = {cause.reason.what: cause.reason for cause in found.causes}
    assert by_kind.keys() == {"command", "dep", "param", "variable"}
    assert by_kind["command"].old == ["cat parts/one train.sh > model.txt"]
    assert by_kind["command"].new == ["cat parts/two train.sh > model.txt"]
    assert (by_kind["param"].name, by_kind["param"].old) == ("params.yaml:lr", 0.1)
    assert by_kind["param"].new == 0.2
    assert by_kind["dep"].old != by_kind["dep"].new
    assert "7" not in str(by_kind["variable"])


def test_files_that_changed_in_a_folder_are_named(pipe: Pipeline) -> None:
    pipe.write("parts/two", "edited\n")
    found = ask(pipe, "prepare")
    assert found.word == "restore"
    assert causes(found) == ["parts was changed"]
    assert [(c.word, c.path) for c in found.causes[0].changes] == [("modified", "two")]


def test_a_stage_behind_one_that_runs_tells_both(pipe: Pipeline) -> None:
    pipe.write("data.txt", "abcd\n")
    pipe.write("params.yaml", "lr: 0.1\ndepth: 4\n")
    found = ask(pipe, "train")
    assert found.word == "may-run"
    assert causes(found) == ["prepare may run first", "params.yaml:depth 3 -> 4"]
    assert [(r.stage, r.outcome, r.why) for r in found.upstream] == [
        ("prepare", "run", "data.txt changed")
    ]


def test_the_run_that_comes_nearest_is_named(pipe: Pipeline) -> None:
    pipe.write("params.yaml", "lr: 0.2\ndepth: 3\n")
    pipe.outcomes()
    pipe.write("params.yaml", "lr: 0.2\ndepth: 9\n")
    pipe.outcomes()
    pipe.write("params.yaml", "lr: 0.1\ndepth: 3\n")
    pipe.write("train.sh", "train more\n")
    found = ask(pipe, "train")
    assert causes(found)[1:] == ["params.yaml:depth 9 -> 3", "params.yaml:lr 0.2 -> 0.1"]
    assert found.nearest is not None
    assert [str(reason) for reason in found.nearest.reasons] == ["train.sh changed"]
    report = next(r for r in pipe.repro(dry_run=True).stages if r.stage == "train")
    assert report.notes == (
        f"nearest earlier run {found.nearest.run.run.id}: differs in train.sh changed",
    )


def test_what_is_blocked_says_where_and_what(pipe: Pipeline) -> None:
    pipe.path("train.sh").unlink()
    found = ask(pipe, "train")
    assert found.word == "blocked"
    assert found.error is not None
    assert 'the dependency "train.sh" is not here' in found.error.message


def test_an_accepted_record_says_so(pipe: Pipeline) -> None:
    pipe.write("train.sh", "train # the same\n")
    pipe.project.do(accept, ["train"], "only a comment")
    found = ask(pipe, "train")
    assert found.word == "up-to-date"
    assert causes(found) == ["accepted by tester@example.org: only a comment"]
    assert found.recorded is None  # no run did that


def test_what_was_not_declared_is_told_apart(
    pipe: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "more"
    (folder / "addition-1.2.dist-info").mkdir(parents=True)
    monkeypatch.setenv("PYTHONPATH", f"{folder}:{Path(__file__).parent}")
    found = ask(pipe, "train")
    assert found.word == "up-to-date"
    assert [str(reason) for reason in found.undeclared] == ["addition none -> 1.2"]


def test_a_stage_that_runs_names_who_runs_it(pipe: Pipeline) -> None:
    with (
        pipe.project.repo() as repo,
        repo.claims("mlx repro, stage train").wait(["model.txt"], print),  # type: ignore[list-item]
    ):
        assert "(mlx repro, stage train)" in ask(pipe, "train").running


def test_it_writes_nothing_that_git_or_others_see(pipe: Pipeline) -> None:
    pipe.write("data.txt", "abcd\n")
    before = pipe.read("mlx.lock"), sorted(pipe.path(".git/mlx/runs").rglob("*"))
    ask(pipe, "train")
    assert (pipe.read("mlx.lock"), sorted(pipe.path(".git/mlx/runs").rglob("*"))) == before


def test_a_target_that_is_no_stage(pipe: Pipeline) -> None:
    with pytest.raises(InputError, match="is no stage"):
        ask(pipe, "data.txt")


def test_on_the_command_line(pipe: Pipeline) -> None:
    pipe.write("train.sh", "train more\n")
    pipe.declare(STAGES.replace("cat parts/one", "cat parts/two"))
    shown = pipe.project.mlx("why", "train").stdout
    assert shown.startswith("train: run\n")
    assert "    - cat parts/one train.sh > model.txt\n    + cat parts/two" in shown
    assert "  train.sh changed  " in shown
    [stage] = json.loads(pipe.project.mlx("--json", "why", "train").stdout)["stages"]
    assert stage["decision"] == "run"
    assert [cause["what"] for cause in stage["causes"]] == ["command", "dep"]
    assert stage["recorded"]["by"] == "tester@example.org"
    assert sys.executable not in shown
