"""What runs leave, through the installed `mlx`: killed ones, followed ones, and no secret."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest
from pipeline_project import kill, until
from user import MLX, User

SLOW = """
stages:
  first:
    cmd: echo first; echo 1 > first.txt
    outs: [first.txt]
  slow:
    cmd: echo begun; echo $$ > "$PIDS"; until test -e go; do sleep 0.01; done; echo through
    deps: [first.txt]
"""


class Going:
    """A project whose stage `slow` is on its way."""

    def __init__(self, user: User, tmp_path: Path):
        self.user = user
        user.declare(SLOW)
        pids = tmp_path / "pids"
        self.mlx = self.start("repro", "slow", PIDS=str(pids))
        until(lambda: pids.exists() and pids.read_text().endswith("\n"), "the stage runs")
        self.shell = int(pids.read_text())

    def start(self, *words: str, **env: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(MLX), *words],
            cwd=self.user.root,
            env={**self.user.environment(), **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def outcomes(self) -> tuple[str, dict[str, str]]:
        """Return the outcome of the last run and of its stages."""
        shown = self.user.json("runs", "show")
        return shown["run"]["outcome"], {one["stage"]: one["outcome"] for one in shown["stages"]}


@pytest.fixture
def going(user: User, tmp_path: Path) -> Going:
    return Going(user, tmp_path)


def test_a_run_that_was_killed_is_listed_as_killed(going: Going) -> None:
    assert going.outcomes() == ("running", {"first": "ran", "slow": "running"})
    kill(going.mlx.pid)
    going.mlx.communicate()
    assert going.outcomes() == ("killed", {"first": "ran", "slow": "killed"})
    [run] = going.user.json("runs", "list")["runs"]
    assert (run["outcome"], run["seconds"], run["counts"]) == ("killed", None, {"ran": 1})
    assert run["command"] == ["mlx", "repro", "slow"]
    going.user.write("go")
    going.user.ok("repro")
    assert [r["outcome"] for r in going.user.json("runs", "list")["runs"]] == ["done", "killed"]
    assert going.user.ok("runs", "logs", run["id"], "slow").startswith("begun\n")


def test_an_interrupted_run_says_so(going: Going) -> None:
    going.mlx.send_signal(signal.SIGINT)
    going.mlx.communicate(timeout=30)
    assert going.outcomes() == ("interrupted", {"first": "ran", "slow": "interrupted"})
    assert going.user.json("runs", "show")["run"]["exit_code"] == going.mlx.returncode == 130


def test_logs_follow_a_run_until_it_ends(going: Going) -> None:
    follower = going.start("runs", "logs", "-f")
    assert follower.stdout is not None
    assert [follower.stdout.readline() for _ in range(2)] == ["first | first\n", "slow | begun\n"]
    one = going.start("runs", "logs", "--follow", "slow")
    assert one.stdout is not None
    assert one.stdout.readline() == "begun\n"
    assert follower.poll() is None
    assert one.poll() is None
    going.user.write("go")
    out, said = follower.communicate(timeout=30)
    assert (out, follower.returncode) == ("slow | through\n", 0)
    assert "done" in said
    assert one.communicate(timeout=30)[0] == "through\n"
    going.mlx.communicate()


def test_who_follows_a_killed_run_is_told(going: Going) -> None:
    follower = going.start("runs", "logs", "-f")
    assert follower.stdout is not None
    follower.stdout.readline()
    kill(going.mlx.pid)
    going.mlx.communicate()
    assert "killed" in follower.communicate(timeout=30)[1]
    kill(going.shell)


def test_no_value_of_a_variable_enters_the_journal(user: User) -> None:
    secret = "hunter2-is-a-secret"
    user.declare(
        "environment:\n  variables: [API_TOKEN]\n  interpreter: python\n"
        "stages:\n  quiet:\n    cmd: test -n \"$API_TOKEN\" && test -n \"$OTHER\"; echo ok\n"
        "    env: [OTHER]\n    outs: []\n"
        "  fails:\n    cmd: exit 1\n    env: [OTHER]\n"
    )  # fmt: skip
    for value in (secret, f"{secret}2"):
        env = {"API_TOKEN": value, "OTHER": value, "UNDECLARED": value, "PYTHONPATH": f"/{value}"}
        assert user.mlx("repro", "--keep-going", env=env).returncode == 4
    stages = {one["stage"]: one for one in user.json("runs", "show")["stages"]}
    assert {reason["name"] for reason in stages["quiet"]["reasons"]} == {"API_TOKEN", "OTHER"}
    assert set(stages["quiet"]["declared"]["variables"]) == {"API_TOKEN", "OTHER"}
    runs = user.path(".git/mlx/runs")
    files = [path for path in runs.rglob("*") if path.is_file()]
    assert len(files) > 5
    for path in files:
        assert secret.encode() not in path.read_bytes(), path
        assert secret not in path.name


def test_a_run_with_nothing_to_do_loads_nothing_of_the_journal(user: User) -> None:
    user.declare("stages:\n  one:\n    cmd: echo 1 > one.txt\n    outs: [one.txt]\n")
    user.ok("repro")
    before = sorted(os.listdir(user.path(".git/mlx/runs")))
    program = (
        "import sys; from mlxrepo.__main__ import main\n"
        "sys.argv = ['mlx', 'repro']\n"
        "try:\n    main()\nfinally:\n    print(*sys.modules, file=sys.stderr)"
    )
    done = user.shell("python", "-c", program)
    modules = set(done.stderr.split())
    assert "mlxrepo.pipeline.engine" in modules
    rooms = ("packages", "pruning", "journal")
    assert not modules & {"resource", *(f"mlxrepo.pipeline.{room}" for room in rooms)}
    assert sorted(os.listdir(user.path(".git/mlx/runs"))) == before
