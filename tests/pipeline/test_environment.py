"""The declared environment: what it changes, how that is told, and that no value is written."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from pipeline_project import Pipeline

from mlxrepo.pipeline.environment import Interpreter

SECRET = "correct horse battery staple"


def declare(pipe: Pipeline, environment: str, **keys: object) -> None:
    stage = {"cmd": "echo x > out.txt", "outs": ["out.txt"], **keys}
    pipe.write("mlx.yaml", f"environment: {environment}\nstages: {{only: {json.dumps(stage)}}}\n")


@pytest.mark.parametrize("where", ["stage", "file"])
def test_a_declared_variable_is_an_input_and_its_value_is_nowhere(
    pipe: Pipeline, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.delenv("MODE", raising=False)
    if where == "stage":
        pipe.one("echo x > out.txt", outs=["out.txt"], env=["MODE"])
    else:
        declare(pipe, "{variables: [MODE]}")
    assert pipe.outcomes() == {"only": "ran"}
    monkeypatch.setenv("MODE", SECRET)
    assert pipe.whys(dry_run=True) == {"only": "the variable MODE is set now"}
    assert pipe.outcomes() == {"only": "ran"}
    assert pipe.outcomes() == {"only": "up-to-date"}
    monkeypatch.setenv("MODE", "other")
    assert pipe.whys() == {"only": "the variable MODE changed"}
    monkeypatch.delenv("MODE")
    assert pipe.whys(dry_run=True) == {"only": "the variable MODE is no longer set"}
    assert pipe.outcomes() == {"only": "restored"}  # as it was at first
    monkeypatch.setenv("MODE", "")
    assert pipe.whys(dry_run=True) == {"only": "the variable MODE is set now"}
    for path in pipe.root.rglob("*"):
        if path.is_file():
            assert SECRET.encode() not in path.read_bytes(), path


def test_a_variable_that_is_not_declared_changes_nothing(
    pipe: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe.one("echo x > out.txt", outs=["out.txt"], env=["MODE"])
    pipe.outcomes()
    monkeypatch.setenv("OTHER", "1")
    assert pipe.outcomes() == {"only": "up-to-date"}


def test_equal_values_of_two_variables_do_not_show(
    pipe: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONE", SECRET)
    monkeypatch.setenv("TWO", SECRET)
    pipe.one("true", env=["ONE", "TWO"])
    pipe.outcomes()
    found = pipe.record("only").environment["variables"]
    assert found["ONE"] != found["TWO"]


def test_a_declared_file_is_an_input_of_every_stage(pipe: Pipeline) -> None:
    declare(pipe, "{files: [uv.lock]}")
    error = pipe.error()
    assert '"uv.lock", which mlx.yaml lists under environment, is not here' in error.message
    pipe.write("uv.lock", "a==1\n")
    assert pipe.outcomes() == {"only": "ran"}
    assert pipe.outcomes() == {"only": "up-to-date"}
    pipe.write("uv.lock", "a==2\n")
    assert pipe.whys() == {"only": "uv.lock changed"}
    pipe.path("uv.lock").unlink()
    assert "uv.lock" in pipe.error().message
    assert pipe.project.mlx("status").returncode == 0
    pipe.write("uv.lock", "a==2\n")
    declare(pipe, "{}")
    assert pipe.whys() == {"only": "uv.lock is no longer in the environment"}


def test_a_declared_file_that_changes_during_the_run_is_noticed(pipe: Pipeline) -> None:
    pipe.write("uv.lock", "a==1\n")
    declare(pipe, "{files: [uv.lock]}", cmd="echo a==2 > uv.lock; echo x > out.txt")
    assert "uv.lock changed while stage only was running" in pipe.error().message
    assert pipe.recorded() == set()


class Pythons:
    """A folder with a `python` in it that answers as it is told, and counts how often."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch):
        self.folder = folder
        folder.mkdir()
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def put(self, answer: str) -> None:
        """Install a python of that answer, a script that counts how often it is asked."""
        path = self.folder / "python"
        path.unlink(missing_ok=True)
        path.write_text(f"#!/bin/sh\necho x >> {self.folder}/asked\necho {answer}\n")
        path.chmod(0o755)

    @property
    def asked(self) -> int:
        return len((self.folder / "asked").read_text().split())


def test_the_interpreter_on_the_path_is_an_input(
    pipe: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pythons = Pythons(tmp_path / "bin", monkeypatch)
    pythons.put("cpython 3.11")
    declare(pipe, "{interpreter: python}")
    assert pipe.outcomes() == {"only": "ran"}
    assert pipe.record("only").environment == {"interpreter": "cpython 3.11"}
    assert pipe.outcomes() == {"only": "up-to-date"}
    pythons.put("pypy 3.11")
    assert pipe.whys() == {"only": "the interpreter changed: cpython 3.11 -> pypy 3.11"}


def test_what_is_not_declared_is_noted_with_the_result_and_is_no_input(
    pipe: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pythons = Pythons(tmp_path / "bin", monkeypatch)
    pythons.put("cpython 3.11")
    pipe.one("echo x > out.txt", outs=["out.txt"])
    pipe.outcomes()
    [entry] = [path for path in pipe.path(".git/mlx/actions").rglob("*") if path.is_file()]
    made = json.loads(entry.read_text())["made"]
    assert made["interpreter"] == "cpython 3.11"
    assert made["platform"] == f"{os.uname().sysname} {os.uname().machine}"
    pythons.put("cpython 3.12")
    assert pipe.outcomes() == {"only": "up-to-date"}


def test_a_script_is_asked_in_each_run_and_a_program_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pythons = Pythons(tmp_path / "bin", monkeypatch)
    pythons.put("cpython 3.11")
    memory = str(tmp_path / "state/interpreters.json")
    for _ in range(2):
        assert Interpreter(memory, str(tmp_path))() == "cpython 3.11"
    assert pythons.asked == 2  # it may lead elsewhere tomorrow, as pyenv's do

    real = os.path.realpath(sys.executable)
    (pythons.folder / "python").unlink()
    (pythons.folder / "python").symlink_to(real)
    first = Interpreter(memory, str(tmp_path))()
    assert first is not None
    assert first.startswith("cpython 3.")
    text = Path(memory).read_text()
    Path(memory).write_text(text.replace(first, "cpython 9.9"))
    assert Interpreter(memory, str(tmp_path))() == "cpython 9.9"  # remembered, not asked
    known = json.loads(Path(memory).read_text())
    known["interpreters"][str(pythons.folder / "python")][1] += 1
    Path(memory).write_text(json.dumps(known))
    assert Interpreter(memory, str(tmp_path))() == first  # another file stands there now
    Path(memory).write_text("{")
    assert Interpreter(memory, str(tmp_path))() == first
    assert Path(memory).read_text() == text  # quietly made again


def test_no_interpreter_at_all_is_an_answer_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert Interpreter(str(tmp_path / "memory"), str(tmp_path))() is None


def test_a_nested_file_has_an_environment_of_its_own(
    pipe: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODE", "1")
    declare(pipe, "{variables: [MODE]}")
    pipe.write("sub/mlx.yaml", "stages: {inner: {cmd: echo y > y.txt, outs: [y.txt]}}\n")
    assert set(pipe.outcomes().values()) == {"ran"}
    monkeypatch.setenv("MODE", "2")
    assert pipe.outcomes() == {"only": "ran", "sub/mlx.yaml:inner": "up-to-date"}
