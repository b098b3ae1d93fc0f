"""How a stage says it is to be run: frozen, always_changed, persist, timeout, retries, shell."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pipeline_project import CHAIN, Pipeline, is_gone, kill, until

from mlxrepo.errors import EnvironmentFailed
from mlxrepo.pipeline import executor

# frozen

FROZEN = CHAIN.replace("    outs: [second.txt]", "    outs: [second.txt]\n    frozen: true")


def test_a_frozen_stage_does_not_run_whatever_changed(chain: Pipeline) -> None:
    chain.declare(FROZEN.replace("cat first.txt", "cat  first.txt"))
    chain.write("data.txt", "xyz\n")
    chain.write("params.yaml", "p: 2\n")
    assert chain.outcomes(dry_run=True) == {"first": "run", "second": "up-to-date"}
    assert chain.outcomes("second", force=True) == {"second": "up-to-date"}
    assert chain.outcomes() == {"first": "ran", "second": "up-to-date"}
    assert chain.outcomes(dry_run=True) == {"first": "up-to-date", "second": "up-to-date"}
    assert chain.whys()["second"] == "it is frozen"
    assert chain.read("second.txt") == "ap: 1\n"
    key = chain.record("second").key
    chain.declare(CHAIN)
    assert chain.outcomes()["second"] == "ran"
    assert chain.record("second").key != key


def test_what_a_frozen_stage_needs_does_not_run_for_its_sake(chain: Pipeline) -> None:
    chain.declare(FROZEN)
    chain.write("data.txt", "xyz\n")
    assert chain.outcomes("second") == {"second": "up-to-date"}
    assert chain.outcomes("first", downstream=True) == {"first": "ran"}


def test_the_outs_of_a_frozen_stage_are_brought_back(chain: Pipeline) -> None:
    chain.declare(FROZEN)
    chain.path("second.txt").unlink()
    assert chain.outcomes("second") == {"second": "restored"}
    assert chain.read("second.txt") == "ap: 1\n"


def test_a_frozen_stage_that_never_ran_uses_what_is_here_and_records_nothing(
    pipe: Pipeline,
) -> None:
    pipe.one("false", outs=["out.txt"], deps=["nowhere.txt"], frozen=True)
    assert "is frozen, and its out out.txt is neither here" in pipe.error().message
    pipe.write("out.txt")
    assert pipe.outcomes() == {"only": "up-to-date"}
    assert pipe.recorded() == set()


def test_a_frozen_stage_keeps_what_was_recorded_also_when_other_outs_are_declared(
    chain: Pipeline,
) -> None:
    chain.declare(FROZEN.replace("outs: [second.txt]", "outs: [other.txt]"))
    assert chain.outcomes("second") == {"second": "up-to-date"}
    chain.path("second.txt").unlink()
    assert chain.outcomes("second") == {"second": "restored"}
    assert chain.outcomes("second") == {"second": "up-to-date"}


# always_changed


def test_an_always_changed_stage_runs_each_time_and_equal_outs_end_it_there(
    chain: Pipeline,
) -> None:
    chain.declare(
        CHAIN.replace("    deps: [data.txt]", "    deps: [data.txt]\n    always_changed: true")
    )
    for _ in range(2):
        assert chain.outcomes() == {"first": "ran", "second": "up-to-date"}
    assert chain.whys()["first"] == "it always runs"
    chain.path("first.txt").unlink()
    assert chain.outcomes()["first"] == "ran"  # and is not restored
    assert chain.outcomes(dry_run=True) == {"first": "run", "second": "may-run"}


# persist


def test_a_persisting_out_is_there_for_the_command_to_go_on_with(pipe: Pipeline) -> None:
    pipe.write("n.txt", "1\n")
    keys = {"deps": ["n.txt"], "outs": [{"log.txt": {"persist": True}}, {"d": {"persist": True}}]}
    pipe.one("cat n.txt >> log.txt; mkdir -p d; cp n.txt d/$(cat n.txt)", **keys)
    pipe.outcomes()
    pipe.write("n.txt", "2\n")
    assert pipe.outcomes() == {"only": "ran"}
    assert pipe.read("log.txt") == "1\n2\n"
    assert sorted(os.listdir(pipe.path("d"))) == ["1", "2"]
    # What it makes depends on what was there, so an earlier result is not taken for it.
    pipe.write("n.txt", "1\n")
    assert pipe.outcomes() == {"only": "ran"}
    assert pipe.read("log.txt") == "1\n2\n1\n"
    pipe.path("log.txt").unlink()
    assert pipe.outcomes() == {"only": "restored"}  # that one is on record


def test_a_failure_takes_nothing_from_a_persisting_out(pipe: Pipeline) -> None:
    pipe.one("echo 1 >> log.txt", outs=[{"log.txt": {"persist": True}}])
    pipe.outcomes()
    pipe.one("echo 2 >> log.txt; exit 1", outs=[{"log.txt": {"persist": True}}])
    assert "exit 1" in pipe.error().message
    assert pipe.read("log.txt") == "1\n"
    assert pipe.kept_by_runs()["log.txt"] == "1\n2\n"


def test_a_persisting_out_that_is_linked_to_the_store_does_not_write_into_it(
    pipe: Pipeline,
) -> None:
    for link in ("hardlink", "symlink"):
        pipe.project.git("config", "mlx.link", link)
        pipe.one("echo 1 >> log.txt", outs=[{"log.txt": {"persist": True}}])
        pipe.outcomes(force=True)
        pipe.path("log.txt").unlink()
        pipe.outcomes()
        pipe.one("echo 2 >> log.txt", outs=[{"log.txt": {"persist": True}}])
        assert pipe.outcomes() == {"only": "ran"}
        assert pipe.read("log.txt").endswith("1\n2\n")
        assert pipe.project.mlx("fsck", "--data").returncode == 0


def test_a_killed_mlx_takes_nothing_from_a_persisting_out(pipe: Pipeline) -> None:
    keys = {"outs": [{"log.txt": {"persist": True}}]}
    pipe.one("echo 1 >> log.txt", **keys)
    pipe.outcomes()
    pipe.one("echo 2 >> log.txt; touch begun; sleep 300", **keys)
    mlx = pipe.start("repro")
    until(pipe.path("begun").exists, "the stage runs")
    kill(mlx.pid)
    mlx.communicate()
    pipe.one("echo 1 >> log.txt", **keys)
    done = pipe.repro()
    assert "log.txt" in done.recovered
    assert pipe.read("log.txt") == "1\n"
    assert [report.outcome for report in done.stages] == ["up-to-date"]


# timeout


def test_a_command_that_takes_too_long_is_stopped_with_its_children(
    pipe: Pipeline, tmp_path: Path
) -> None:
    pipe.one(
        f"echo half > out.txt; sleep 300 & echo $! > {tmp_path}/pid; wait",
        outs=["out.txt"],
        timeout=0.3,
    )
    error = pipe.error()
    assert error.exit_code == 4
    assert "timeout of 0.3 s" in error.message
    assert is_gone(int((tmp_path / "pid").read_text()))
    assert not pipe.path("out.txt").exists()


def test_a_command_may_tidy_up_when_its_time_is_up_and_a_deaf_one_is_killed(
    pipe: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe.one("trap 'echo tidy > tidy.txt; exit 0' INT; while :; do sleep 0.01; done", timeout=0.2)
    assert "timeout" in pipe.error().message  # though it ended with 0
    assert pipe.read("tidy.txt") == "tidy\n"
    monkeypatch.setattr(executor, "GRACE_SECONDS", 0.1)
    pipe.one("trap '' INT TERM; echo deaf; while :; do sleep 0.01; done", timeout=0.2)
    assert "timeout" in pipe.error().message
    assert pipe.lines() == ["deaf"]


def test_the_time_is_that_of_all_commands_together(pipe: Pipeline) -> None:
    pipe.declare("stages: {only: {cmd: [sleep 0.4, sleep 0.4, touch end], timeout: 0.6}}")
    assert "timeout" in pipe.error().message
    assert not pipe.path("end").exists()
    pipe.one("sleep 0.1; echo quick", timeout=60)
    assert pipe.outcomes() == {"only": "ran"}


# retries


def test_a_failed_command_is_tried_again_from_the_same_state(pipe: Pipeline) -> None:
    pipe.write("tries")
    pipe.one(
        "ls out.txt; echo try >> tries; wc -l < tries >> out.txt; test $(wc -l < tries) = 4",
        outs=["out.txt"],
        retries=2,
    )
    pipe.path("tries").write_text("try\n")
    done = pipe.repro()
    assert [report.outcome for report in done.stages] == ["ran"]
    assert pipe.read("out.txt") == "4\n"  # nothing is left of the attempts before
    notes = [event.text for event in pipe.events if event.kind == "note"]
    assert notes == ["attempt 2 of 3, after exit 1", "attempt 3 of 3, after exit 1"]
    [log] = pipe.path(".git/mlx/runs").rglob("log")
    assert log.read_text().count("No such file") == 3
    assert "--- mlx: attempt 3, after exit 1 ---" in log.read_text()


def test_when_every_attempt_failed_the_last_good_outs_are_back(pipe: Pipeline) -> None:
    pipe.one("echo good > out.txt", outs=["out.txt"])
    pipe.outcomes()
    pipe.one("echo bad >> out.txt; exit 7", outs=["out.txt"], retries=1)
    error = pipe.error()
    assert "exit 7" in error.message
    assert "attempt 2 of 2" in error.message
    assert pipe.read("out.txt") == "good\n"
    assert pipe.kept_by_runs()["out.txt"] == "bad\n"  # what the last attempt left


def test_a_command_that_ran_out_of_time_is_tried_again(pipe: Pipeline) -> None:
    pipe.one("test -e second || { touch second; sleep 300; }", timeout=0.5, retries=1)
    assert pipe.outcomes() == {"only": "ran"}


def test_an_attempt_has_a_persisting_out_as_it_was_at_first(pipe: Pipeline) -> None:
    keys = {"outs": [{"log.txt": {"persist": True}}]}
    pipe.one("echo 1 >> log.txt", **keys)
    pipe.outcomes()
    pipe.one("echo 2 >> log.txt; test -e again || { touch again; exit 1; }", retries=1, **keys)
    assert pipe.outcomes() == {"only": "ran"}
    assert pipe.read("log.txt") == "1\n2\n"


# shell

WHICH = "echo $(ps -o comm= -p $$) > out.txt"


def test_a_pinned_shell_runs_the_command_and_is_part_of_the_action(
    pipe: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHELL", "/bin/sh")
    pipe.one(WHICH, outs=["out.txt"])
    pipe.outcomes()
    assert pipe.read("out.txt") == "sh\n"
    pipe.one(WHICH, outs=["out.txt"], shell="bash")
    assert pipe.whys() == {"only": "the shell is pinned now: bash"}
    assert pipe.read("out.txt") == "bash\n"
    pipe.one(WHICH, outs=["out.txt"], shell="/bin/sh")
    assert pipe.whys() == {"only": "the shell changed: bash -> /bin/sh"}


def test_the_users_own_shell_is_no_part_of_the_action(
    pipe: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHELL", "/bin/sh")
    pipe.one("echo x > out.txt", outs=["out.txt"])
    pipe.outcomes()
    monkeypatch.setenv("SHELL", "/bin/bash")
    assert pipe.outcomes() == {"only": "up-to-date"}


def test_a_pinned_shell_that_is_not_installed_is_named(pipe: Pipeline) -> None:
    pipe.one("true", shell="no-such-shell")
    error = pipe.error()
    assert isinstance(error, EnvironmentFailed)
    assert "cannot start no-such-shell" in error.message


# what commands do


def test_a_command_that_deletes_its_input_says_how_it_comes_back(pipe: Pipeline) -> None:
    pipe.write("data.csv", "1\n")
    pipe.project.mlx("add", "data.csv")
    pipe.one("mv data.csv out.csv", deps=["data.csv"], outs=["out.csv"])
    error = pipe.error()
    assert "data.csv disappeared while stage only was running" in error.message
    assert error.hint is not None
    assert error.hint.startswith("mlx checkout data.csv brings it back")
    assert pipe.project.mlx("checkout", "data.csv").returncode == 0
    assert pipe.read("data.csv") == "1\n"
    pipe.project.mlx("rm", "--cached", "data.csv")
    pipe.project.commit()
    assert "git checkout -- data.csv" in str(pipe.error().hint)


def test_a_run_that_ends_soon_after_a_stage_has_it_on_record(pipe: Pipeline) -> None:
    pipe.declare("""
        stages:
          quick: {cmd: echo 1 > a.txt, outs: [a.txt]}
          slow: {cmd: "cat a.txt; touch begun; sleep 300", deps: [a.txt]}
        """)
    mlx = pipe.start("repro")
    until(pipe.path("begun").exists, "the second stage runs")
    kill(mlx.pid)
    mlx.communicate()
    assert pipe.outcomes("quick")["quick"] == "restored"  # by the action cache
