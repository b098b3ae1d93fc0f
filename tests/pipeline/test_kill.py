"""mlx, or the shell of a stage, killed or interrupted in the middle of a stage."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from pathlib import Path

import pytest
from pipeline_project import CHAIN, Pipeline, is_gone, is_running, kill, until
from sandbox import Killer, copies

from mlxrepo.commands.checkout import checkout

# The stage writes half of its out, tells its numbers, and waits to be disturbed.
SLOW = """
stages:
  before:
    cmd: cp source.txt before.txt
    deps: [source.txt]
    outs: [before.txt]
  slow:
    cmd: |
      echo half > out.txt; echo more > new.txt; sleep 300 & echo $$ $! > "$PIDS"; wait
    deps: [before.txt]
    outs: [out.txt, new.txt]
"""
GOOD = SLOW.replace('sleep 300 & echo $$ $! > "$PIDS"; wait', "echo good > out.txt").replace(
    "echo more > new.txt;", ": > new.txt;"
)


class Disturbed:
    """A project with good outs, whose changed stage is on its way."""

    def __init__(self, pipe: Pipeline, pids: Path):
        self.pipe = pipe
        pipe.write("source.txt", "1\n")
        pipe.declare(GOOD)
        pipe.outcomes()
        pipe.declare(SLOW)
        pipe.write("source.txt", "2\n")
        self.mlx = pipe.start("repro", PIDS=str(pids))
        until(lambda: pids.exists() and pids.read_text().endswith("\n"), "the stage runs")
        self.shell, self.child = map(int, pids.read_text().split())

    def end(self) -> tuple[int, str]:
        """Wait for mlx; return its exit code and what it said."""
        _, said = self.mlx.communicate(timeout=30)
        return self.mlx.returncode, said

    def outs(self) -> tuple[str, str]:
        return self.pipe.read("out.txt"), self.pipe.read("new.txt")


GOOD_OUTS = ("good\n", "")


@pytest.fixture
def disturbed(pipe: Pipeline, tmp_path: Path) -> Disturbed:
    return Disturbed(pipe, tmp_path / "pids")


@pytest.mark.parametrize("to", ["mlx", "group"])
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_stage_leaves_the_last_outs_and_no_process(
    disturbed: Disturbed, sign: signal.Signals, to: str
) -> None:
    if to == "mlx":
        disturbed.mlx.send_signal(sign)
    else:
        os.killpg(disturbed.mlx.pid, sign)
    code, said = disturbed.end()
    assert code == 130, said
    assert is_gone(disturbed.shell)
    assert is_gone(disturbed.child)
    assert disturbed.outs() == GOOD_OUTS
    assert disturbed.pipe.kept_by_runs()["out.txt"] == "half\n"
    # What was finished before is on record.
    assert disturbed.pipe.outcomes("before") == {"before": "up-to-date"}


def test_impatience_does_not_lose_outs(pipe: Pipeline, tmp_path: Path) -> None:
    deaf = SLOW.replace("echo half", "trap '' INT TERM; echo half").replace("wait", "sleep 300")
    pids = tmp_path / "pids"
    pipe.write("source.txt", "1\n")
    pipe.declare(GOOD)
    pipe.outcomes()
    pipe.declare(deaf)
    mlx = pipe.start("repro", PIDS=str(pids))
    until(lambda: pids.exists() and pids.read_text().endswith("\n"), "the stage runs")
    while mlx.poll() is None:
        mlx.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            mlx.wait(0.05)
    assert all(is_gone(int(pid)) for pid in pids.read_text().split())
    pipe.declare(GOOD)
    assert pipe.outcomes()["slow"] in ("up-to-date", "restored")
    assert pipe.read("out.txt") == "good\n"


def test_after_a_kill_of_mlx_the_next_run_puts_back_and_ends_what_was_left(
    disturbed: Disturbed,
) -> None:
    kill(disturbed.mlx.pid)
    disturbed.end()
    assert is_running(disturbed.child)
    pipe = disturbed.pipe
    pipe.declare(GOOD)
    pipe.write("source.txt", "1\n")
    done = pipe.repro()
    assert set(done.recovered) == {"out.txt", "new.txt"}
    assert is_gone(disturbed.child)
    assert is_gone(disturbed.shell)
    assert {r.stage: r.outcome for r in done.stages}["slow"] == "up-to-date"
    assert disturbed.outs() == GOOD_OUTS
    assert pipe.kept_by_runs()["out.txt"] == "half\n"
    assert pipe.trash() == {}


def test_after_a_kill_of_mlx_the_stage_runs_again_and_is_recorded(disturbed: Disturbed) -> None:
    kill(disturbed.mlx.pid)
    disturbed.end()
    disturbed.pipe.declare(GOOD)
    assert disturbed.pipe.outcomes()["slow"] == "ran"
    assert set(disturbed.pipe.outcomes().values()) == {"up-to-date"}
    assert disturbed.outs() == GOOD_OUTS


def test_a_killed_shell_fails_the_stage_and_its_child_goes_too(disturbed: Disturbed) -> None:
    kill(disturbed.shell)
    code, said = disturbed.end()
    assert code == 4
    assert "signal 9" in said
    assert is_gone(disturbed.child)
    assert disturbed.outs() == GOOD_OUTS


def test_a_reader_that_leaves_stops_the_run_and_outs_are_put_back(
    pipe: Pipeline, tmp_path: Path
) -> None:
    pipe.write("source.txt", "1\n")
    pipe.declare(GOOD)
    pipe.outcomes()
    pipe.declare(SLOW.replace("wait", "while :; do echo talk; done"))
    pids = tmp_path / "pids"
    mlx = pipe.start("--json", "repro", PIDS=str(pids))
    assert mlx.stdout is not None
    while '"talk"' not in mlx.stdout.readline():
        pass
    mlx.stdout.close()
    mlx.wait(30)
    assert mlx.returncode == 141
    assert all(is_gone(int(pid)) for pid in pids.read_text().split())
    assert pipe.read("out.txt") == "good\n"


def test_a_kill_before_the_manifest_is_there_leaves_nothing_to_put_back(pipe: Pipeline) -> None:
    pipe.chain()
    pipe.write("data.txt", "new\n")
    left = pipe.path(".git/mlx/worktree/aside")
    for hit in range(1, 20):
        mlx = pipe.start("repro", MLXREPO_FAILPOINT=f"write.before-rename:{hit}")
        mlx.communicate(timeout=30)
        assert mlx.returncode == -signal.SIGKILL
        if list(left.iterdir()):
            break
    else:
        raise AssertionError("it was never killed there")
    done = pipe.repro()
    assert done.recovered == ()
    assert [report.outcome for report in done.stages] == ["ran", "ran"]
    assert pipe.read("first.txt") == "n"
    assert set(pipe.outcomes().values()) == {"up-to-date"}


def test_a_kill_while_a_stage_is_forgotten_leaves_its_outs_where_they_are(
    pipe: Pipeline, killer: Killer, tmp_path: Path
) -> None:
    pipe.chain()
    pipe.declare(CHAIN.split("  second:")[0])
    for step, project in copies(pipe.project, tmp_path):
        was_killed = killer.killed(step, project, "repro")
        project.do(checkout)
        assert project.read("second.txt") == "ap: 1\n"
        if not was_killed:
            break
