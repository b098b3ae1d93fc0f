"""What `mlx accept` promises: no run, and never shown as one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pipeline_project import Pipeline
from sandbox import Project

from mlxrepo.commands.accept import accept
from mlxrepo.commands.status import status
from mlxrepo.errors import EnvironmentFailed, InputError

STAGES = """
stages:
  train:
    cmd: sh train.sh
    deps: [train.sh, data.txt]
    outs: [model.txt]
  evaluate:
    cmd: wc -c < model.txt > size.txt
    deps: [model.txt]
    outs: [size.txt]
"""


@pytest.fixture
def pipe(project: Project) -> Pipeline:
    """Two stages, run once; the script of the first was reformatted since."""
    pipe = Pipeline(project)
    pipe.write("train.sh", "cat data.txt > model.txt; echo >> ran.txt\n")
    pipe.write("data.txt", "abc\n")
    pipe.declare(STAGES)
    pipe.outcomes()
    pipe.write("train.sh", "# the same\ncat data.txt > model.txt; echo >> ran.txt\n")
    return pipe


def runs(pipe: Pipeline) -> int:
    return len(pipe.read("ran.txt"))


def test_a_cosmetic_edit_costs_no_run(pipe: Pipeline) -> None:
    before = pipe.record("train")
    done = pipe.project.do(accept, ["train"], "only reformatted")
    assert [(item.stage, [str(r) for r in item.reasons]) for item in done.stages] == [
        ("train", ["train.sh changed"])
    ]
    after = pipe.record("train")
    assert after.outs == before.outs
    assert after.key != before.key
    assert after.state == {"accepted": {"by": "tester@example.org", "why": "only reformatted"}}
    assert set(pipe.outcomes().values()) == {"up-to-date"}
    assert runs(pipe) == 1


def test_the_stage_and_all_downstream_say_so_every_time(pipe: Pipeline) -> None:
    pipe.project.do(accept, ["train"], "only reformatted")
    told = {
        "train": "accepted by tester@example.org: only reformatted",
        "evaluate": "rests on train, which was accepted",
    }
    for _ in range(3):  # also by what is remembered of stages that nothing touched
        assert {s.stage: s.why for s in pipe.project.do(status).stages} == told
        assert pipe.whys() == told
    assert pipe.project.do(status).clean
    pipe.declare(STAGES.replace("wc -c", "wc -w"))
    [note] = next(r for r in pipe.repro().stages if r.outcome == "ran").notes
    assert note == "rests on train, which was accepted"


def test_an_accepted_result_is_no_result_of_a_run(pipe: Pipeline) -> None:
    """Whoever asks the action cache, or another stage with the same key, has to run."""
    pipe.project.do(accept, ["train"], "only reformatted")
    lines = pipe.read("mlx.lock")
    pipe.write("mlx.lock", lines.split("\n\n")[0] + "\n")
    assert pipe.outcomes()["train"] == "ran"
    pipe.write("mlx.lock", lines)
    pipe.declare(STAGES.replace("train:", "renamed:"))
    pipe.path("model.txt").unlink()
    assert pipe.record("train").state
    assert pipe.outcomes("renamed") == {"renamed": "restored"}  # from the run just made
    assert pipe.record("renamed").state is None


def test_it_stays_accepted_when_it_is_restored_and_not_when_it_ran(pipe: Pipeline) -> None:
    pipe.project.do(accept, ["train"], "only reformatted")
    pipe.path("model.txt").unlink()
    assert pipe.outcomes()["train"] == "restored"
    assert (pipe.record("train").state or {}).keys() == {"accepted"}
    assert pipe.outcomes("train", force=True) == {"train": "ran"}
    assert pipe.record("train").state is None


def test_edited_outs_are_taken_into_the_store(pipe: Pipeline) -> None:
    pipe.write("model.txt", "by hand\n")
    done = pipe.project.do(accept, ["model.txt"], "trained on another machine")
    assert [str(r) for r in done.stages[0].reasons] == ["train.sh changed", "model.txt was changed"]
    pipe.path("model.txt").unlink()
    pipe.outcomes("train")
    assert pipe.read("model.txt") == "by hand\n"


def test_edited_data_is_recorded_first(pipe: Pipeline) -> None:
    assert pipe.project.mlx("add", "data.txt").returncode == 0
    pipe.outcomes()
    pipe.write("data.txt", "abc\n\n")
    done = pipe.project.do(accept, ["train"], "an empty line")
    assert [updated.path for updated in done.updated] == ["data.txt"]
    assert set(pipe.outcomes().values()) == {"up-to-date"}


def test_what_is_up_to_date_stays_a_run(pipe: Pipeline) -> None:
    done = pipe.project.do(accept, ["train", "evaluate"], "fine")
    assert done.fresh == ("evaluate",)
    assert pipe.record("evaluate").state is None
    assert pipe.project.do(accept, ["train"], "again").fresh == ("train",)
    assert (pipe.record("train").state or {})["accepted"]["why"] == "fine"


def test_a_dry_run_writes_nothing(pipe: Pipeline) -> None:
    before = pipe.read("mlx.lock")
    assert not pipe.project.do(accept, ["train"], "fine", dry_run=True).applied
    assert pipe.read("mlx.lock") == before


@pytest.mark.parametrize("why", ["", "  "])
def test_a_reason_is_needed(pipe: Pipeline, why: str) -> None:
    with pytest.raises(InputError, match="reason"):
        pipe.project.do(accept, ["train"], why)


def test_what_cannot_be_accepted_is_told(pipe: Pipeline) -> None:
    before = pipe.read("mlx.lock")
    pipe.path("model.txt").unlink()
    with pytest.raises(InputError, match=r"model.txt, an out of stage train, is not here"):
        pipe.project.do(accept, ["train"], "fine")
    pipe.declare(STAGES.replace("cmd: sh", "always_changed: true\n    cmd: sh"))
    with pytest.raises(InputError, match="always runs"):
        pipe.project.do(accept, ["train"], "fine")
    with pytest.raises(InputError, match="is no stage"):
        pipe.project.do(accept, ["data.txt"], "fine")
    assert pipe.read("mlx.lock") == before


def test_a_stage_that_runs_is_not_accepted(pipe: Pipeline) -> None:
    with (
        pipe.project.repo() as repo,
        repo.claims("mlx repro, stage train").wait(["model.txt"], print),  # type: ignore[list-item]
        pytest.raises(EnvironmentFailed, match=r"in use by process \d+ \(mlx repro, stage train"),
    ):
        pipe.project.do(accept, ["train"], "fine")


def test_on_the_command_line(pipe: Pipeline, tmp_path: Path) -> None:
    done = pipe.project.mlx("accept", "train", "-m", "only reformatted")
    assert done.returncode == 0, done.stderr
    assert "train: accepted  (train.sh changed)" in done.stdout
    assert "git add mlx.lock" in done.stderr
    shown = json.loads(pipe.project.mlx("--json", "status").stdout)
    assert shown["clean"]
    assert shown["stages"][0]["why"] == "accepted by tester@example.org: only reformatted"
    assert pipe.project.mlx("accept", "train").returncode == 2


def test_several_stages_are_accepted_together_or_not_at_all(pipe: Pipeline) -> None:
    pipe.write("model.txt", "by hand\n")
    pipe.declare(STAGES.replace("wc -c", "wc  -c"))
    done = pipe.project.do(accept, ["train", "evaluate"], "fine")
    assert [item.stage for item in done.stages] == ["train", "evaluate"]
    assert set(pipe.outcomes().values()) == {"up-to-date"}
    before = pipe.read("mlx.lock")
    pipe.write("train.sh", "# once more\ncat data.txt > model.txt\n")
    pipe.declare(STAGES.replace("wc -c", "wc   -c"))
    pipe.path("size.txt").unlink()
    with pytest.raises(InputError, match=r"size.txt, an out of stage evaluate, is not here"):
        pipe.project.do(accept, ["train", "evaluate"], "fine")
    assert pipe.read("mlx.lock") == before
