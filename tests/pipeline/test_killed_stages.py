"""kill -9 of mlx, of a stage's shell and of whole process groups, at each of five stages."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
from pipeline_project import Pipeline, is_gone, kill, until
from sandbox import Project

from mlxrepo.commands.checkout import checkout
from mlxrepo.commands.status import status
from mlxrepo.errors import Refused

STAGES = ("one", "two", "three", "four", "five")
VICTIMS = ("mlx", "shell", "groups")

# Each stage writes half of its out first; the one that is named in $STOP waits there.
COMMAND = (
    'echo {name} >> "$RAN"; echo half > {name}.txt; '
    'if [ "$STOP" = {name} ]; then sleep 300 & echo $$ $! > "$PIDS"; wait; fi; '
    "(cat {dep}; echo {name}) > {name}.txt"
)


def made(source: str) -> dict[str, str]:
    """Return what each stage makes of a source."""
    return {
        name: "".join(f"{row}\n" for row in (source, *STAGES[: number + 1]))
        for number, name in enumerate(STAGES)
    }


class Chain:
    """Five stages in a row that ran on source 1; then the source is 2."""

    def __init__(self, pipe: Pipeline, folder: Path):
        self.pipe = pipe
        self._ran, self._pids = folder / "ran", folder / "pids"
        rows = ["stages:"]
        for number, name in enumerate(STAGES):
            dep = f"{STAGES[number - 1]}.txt" if number else "source.txt"
            cmd = COMMAND.format(name=name, dep=dep)
            rows += [f"  {name}:", f"    deps: [{dep}]", f"    outs: [{name}.txt]"]
            rows += ["    cmd: |", f"      {cmd}"]
        pipe.declare("\n".join(rows) + "\n")
        pipe.write("source.txt", "1\n")
        self.repro()
        assert self.ran() == list(STAGES)
        pipe.write("source.txt", "2\n")

    def repro(self) -> None:
        assert set(self.pipe.outcomes().values()) <= {"ran", "restored", "up-to-date"}

    def killed(self, stage: str, victim: str) -> None:
        """Run until a stage is half-way, and kill; what the kill leaves alive ends by itself."""
        mlx = self.pipe.start("--json", "repro", STOP=stage, PIDS=str(self._pids))
        until(lambda: self._pids.exists() and self._pids.read_text().endswith("\n"), "it runs")
        self._until_told(mlx, STAGES[: STAGES.index(stage)])
        self.shell, self.child = map(int, self._pids.read_text().split())
        if victim == "shell":
            kill(self.shell)
        elif victim == "mlx":
            kill(mlx.pid)
        else:
            for group in (mlx.pid, os.getpgid(self.shell)):
                os.killpg(group, signal.SIGKILL)
        _, said = mlx.communicate(timeout=30)
        assert mlx.returncode == (4 if victim == "shell" else -signal.SIGKILL), said

    def _until_told(self, mlx: subprocess.Popen[str], stages: tuple[str, ...]) -> None:
        """Read events until these stages were reported as done: from then on they are known."""
        assert mlx.stdout is not None
        told: set[str] = set()
        while not told.issuperset(stages):
            event = json.loads(mlx.stdout.readline())
            if event.get("event") == "end":
                told.add(event["stage"])

    def ran(self) -> list[str]:
        """Return the stages whose commands were started since last asked."""
        names = self._ran.read_text().split() if self._ran.exists() else []
        self._ran.unlink(missing_ok=True)
        return names

    def outs(self) -> dict[str, str]:
        return {
            name: self.pipe.read(f"{name}.txt")
            for name in STAGES
            if self.pipe.path(f"{name}.txt").exists()
        }


@pytest.fixture
def five(pipe: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Chain:
    monkeypatch.setenv("RAN", str(tmp_path / "ran"))
    return Chain(pipe, tmp_path)


@pytest.mark.parametrize("victim", VICTIMS)
@pytest.mark.parametrize("stage", STAGES)
def test_the_next_run_does_only_what_was_not_finished(five: Chain, stage: str, victim: str) -> None:
    at = STAGES.index(stage)
    five.killed(stage, victim)
    assert five.ran() == list(STAGES[: at + 1])

    # What was not being rewritten can be read: new where it is made, and as it was behind that.
    now = {**made("1"), **{name: made("2")[name] for name in STAGES[:at]}}
    if victim != "shell":
        now[stage] = "half\n"
    assert five.outs() == now
    found = {item.stage: item.state for item in five.pipe.project.do(status).stages}
    assert "up-to-date" not in {found[name] for name in STAGES[at:]}

    five.repro()
    assert five.ran() == list(STAGES[at:])
    assert five.outs() == made("2")
    assert is_gone(five.shell)
    assert is_gone(five.child)
    assert set(five.pipe.outcomes().values()) == {"up-to-date"}


@pytest.mark.parametrize("stage", STAGES)
def test_the_last_good_outs_are_not_lost_whatever_follows_the_kill(five: Chain, stage: str) -> None:
    mine = "by hand, and nowhere else\n"
    five.pipe.path(f"{stage}.txt").unlink()
    five.pipe.write(f"{stage}.txt", mine)
    five.killed(stage, "mlx")
    project = five.pipe.project
    project.do(status)
    with pytest.raises(Refused):  # what the command left half-way is nowhere else
        project.do(checkout)
    project.do(checkout, force=True)
    assert five.outs()[stage] == made("1")[stage]
    five.pipe.write("source.txt", "1\n")
    five.ran()
    five.repro()
    assert five.ran() == []
    assert five.outs() == made("1")
    assert mine in kept(project)


def kept(project: Project) -> list[str]:
    """Return the texts of everything that mlx keeps aside for its user."""
    folders = (project.path(".git/mlx/trash"), project.path(".git/mlx/runs"))
    return [path.read_text() for top in folders for path in top.rglob("*") if path.is_file()]
