"""Outs: last good ones stay, nothing of the user is lost, git sees what it is to keep."""

from __future__ import annotations

import os

import pytest
from pipeline_project import CHAIN, Pipeline

from mlxrepo.errors import InputError, StageFailed
from mlxrepo.hashing import blob_oid


def test_a_failing_stage_leaves_the_last_good_outs(chain: Pipeline) -> None:
    chain.declare(CHAIN.replace("> first.txt", "> first.txt; echo half > first.txt; exit 3"))
    report = chain.failure()
    assert isinstance(report.error, StageFailed)
    assert "exit 3" in report.error.message
    assert report.error.where is not None
    assert report.error.where.file == "mlx.yaml"
    assert chain.read("first.txt") == "a"
    assert chain.kept_by_runs() == {"first.txt": "half\n"}
    assert chain.record("first").cmd == ("head -c 1 data.txt > first.txt",)


def test_what_a_failure_leaves_undone_is_told(pipe: Pipeline) -> None:
    pipe.declare("""
        stages:
          bad: {cmd: echo oh no; exit 1, outs: [a]}
          needs: {cmd: cp a b, deps: [a], outs: [b]}
          apart: {cmd: touch c, outs: [c]}
        """)
    done = pipe.repro(jobs=1)
    told = {r.stage: (r.outcome, r.why) for r in done.stages if r.stage != "bad"}
    assert told == {"needs": ("blocked", "bad failed"), "apart": ("skipped", "bad failed")}
    assert done.stages[0].tail == ("oh no",)


def test_a_missing_out_is_named_with_its_place_and_its_neighbour(pipe: Pipeline) -> None:
    pipe.declare("""
        stages:
          only:
            cmd: touch modles.txt
            outs: [models.txt]
        """)
    error = pipe.error()
    assert isinstance(error, StageFailed)
    assert str(error.where) == "mlx.yaml:5:12"
    assert '"models.txt"' in error.message
    assert error.hint is not None
    assert "modles.txt" in error.hint


@pytest.mark.parametrize(
    ("cmd", "says"),
    [
        ("ln -s /etc/hostname out", "symbolic link"),
        ("mkfifo out", "FIFO"),
        ("mkdir out && mkfifo out/pipe", "FIFO"),
    ],
)
def test_an_out_that_cannot_be_kept_fails_the_stage(pipe: Pipeline, cmd: str, says: str) -> None:
    pipe.write("out", "good\n")
    pipe.one(cmd, outs=["out"])
    error = pipe.error()
    assert isinstance(error, StageFailed)
    assert says in error.message
    assert error.where is not None
    assert pipe.read("out") == "good\n"


def test_a_hand_edited_out_is_kept_in_the_trash_when_its_stage_runs(chain: Pipeline) -> None:
    chain.write("first.txt", "mine\n")
    chain.write("data.txt", "x\n")
    report = chain.repro().stages[0]
    assert report.outcome == "ran"
    assert ".git/mlx/trash" in report.notes[0]
    assert chain.trash() == {"first.txt": "mine\n"}


def test_a_hand_edited_out_is_kept_in_the_trash_when_the_recorded_one_is_restored(
    chain: Pipeline,
) -> None:
    chain.write("first.txt", "mine\n")
    report = chain.repro().stages[0]
    assert (report.outcome, report.why) == ("restored", "first.txt was changed")
    assert ".git/mlx/trash" in report.notes[0]
    assert chain.read("first.txt") == "a"
    assert chain.trash() == {"first.txt": "mine\n"}


def test_files_that_somebody_put_into_an_out_are_kept_in_the_trash(pipe: Pipeline) -> None:
    pipe.one("mkdir out && touch out/a", outs=["out"])
    pipe.outcomes()
    pipe.write("out/notes.txt", "mine\n")
    assert pipe.outcomes() == {"only": "restored"}
    assert pipe.trash() == {"notes.txt": "mine\n"}
    assert os.listdir(pipe.path("out")) == ["a"]


def test_an_out_that_was_a_folder_is_restored_as_a_file(chain: Pipeline) -> None:
    chain.path("first.txt").unlink()
    chain.write("first.txt/mine.txt", "mine\n")
    assert chain.outcomes()["first"] == "restored"
    assert chain.read("first.txt") == "a"
    assert chain.trash() == {"mine.txt": "mine\n"}


def test_outs_are_ignored_by_git_before_the_stage_runs_and_metrics_are_not(pipe: Pipeline) -> None:
    pipe.one(
        "git check-ignore model box/big.bin s.json; touch model box/big.bin; echo 1 > s.json",
        outs=["model", "box/big.bin"],
        metrics=["s.json"],
    )
    pipe.outcomes()
    assert pipe.lines() == ["model", "box/big.bin"]
    assert not pipe.project.untracked() & {"model", "box/big.bin"}
    assert "s.json" in pipe.project.untracked()


def test_an_out_that_git_tracks_is_refused_before_the_stage_runs(pipe: Pipeline) -> None:
    pipe.write("model", "in git\n")
    pipe.project.commit()
    pipe.one("touch model", outs=["model"])
    error = pipe.error()
    assert isinstance(error, InputError)
    assert error.hint is not None
    assert "git rm -r --cached model" in error.hint
    assert pipe.read("model") == "in git\n"
    pipe.one("echo new > model", outs=[{"model": {"cache": False}}])
    assert pipe.outcomes() == {"only": "ran"}


def test_a_new_role_of_an_out_is_recorded_without_a_run(pipe: Pipeline) -> None:
    cmd = "echo '{\"auc\": 0.5}' > score.json"
    pipe.one(cmd, outs=["score.json"])
    pipe.outcomes()
    assert "score.json" not in pipe.project.untracked()
    pipe.one(cmd, metrics=["score.json"])
    assert pipe.outcomes() == {"only": "up-to-date"}
    assert pipe.record("only").metrics == {"score.json": {"auc": 0.5}}
    assert "score.json" in pipe.project.untracked()
    pipe.one(cmd, outs=["score.json"])
    assert pipe.outcomes() == {"only": "up-to-date"}
    assert pipe.record("only").metrics == {}
    assert "score.json" not in pipe.project.untracked()


def test_a_stage_without_deps_and_outs_runs_once(pipe: Pipeline) -> None:
    pipe.one("echo hello")
    assert pipe.outcomes() == {"only": "ran"}
    assert pipe.lines() == ["hello"]
    assert pipe.outcomes() == {"only": "up-to-date"}


def test_metrics_of_every_kind_of_number(pipe: Pipeline) -> None:
    values = '{"nan": NaN, "low": -Infinity, "deep": {"list": [1, 2.5]}, "yes": true, "word": "x"}'
    pipe.one(f"echo '{values}' > m.json", metrics=["m.json"])
    pipe.outcomes()
    assert pipe.record("only").metrics["m.json"] == {
        "nan": {"$float": "nan"},
        "low": {"$float": "-inf"},
        "deep.list.0": 1,
        "deep.list.1": 2.5,
    }


def test_a_metrics_file_that_cannot_be_read_fails_the_stage(pipe: Pipeline) -> None:
    pipe.one("echo '{' > m.json", metrics=["m.json"])
    error = pipe.error()
    assert isinstance(error, StageFailed)
    assert "m.json" in error.message


def test_an_error_of_the_disk_leaves_the_last_good_outs(chain: Pipeline) -> None:
    # A file stands where the new object's folder has to be: the store cannot be written.
    chain.write("data.txt", "z\n")
    folder = chain.path(f".git/mlx/objects/{blob_oid(b'z')[:2]}")
    folder.write_text("in the way\n")
    with pytest.raises(OSError, match=folder.name):
        chain.repro()
    assert chain.read("first.txt") == "a"
    assert chain.kept_by_runs() == {"first.txt": "z"}
    folder.unlink()
    assert chain.outcomes()["first"] == "ran"
