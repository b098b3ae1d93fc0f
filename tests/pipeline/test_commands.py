"""Commands: where they run, in which shell, with which environment."""

from __future__ import annotations

import pytest
from pipeline_project import Pipeline

from mlxrepo.errors import InputError


def test_wdir_is_where_the_command_runs_and_paths_stay_those_of_the_file(pipe: Pipeline) -> None:
    pipe.write("src/in.txt", "x\n")
    pipe.one("cp in.txt ../out.txt", wdir="src", deps=["src/in.txt"], outs=["out.txt"])
    assert pipe.outcomes() == {"only": "ran"}
    assert pipe.read("out.txt") == "x\n"


def test_a_missing_wdir_is_named_before_anything_runs(pipe: Pipeline) -> None:
    pipe.write("out", "good\n")
    pipe.one("true", wdir="nowhere", outs=["out"])
    with pytest.raises(InputError, match="nowhere"):
        pipe.repro()
    assert pipe.read("out") == "good\n"


def test_a_wdir_that_is_an_own_out_is_an_error_and_the_out_stays(pipe: Pipeline) -> None:
    pipe.write("out/a", "good\n")
    pipe.one("true", wdir="out", outs=["out"])
    assert isinstance(pipe.error(), InputError)
    assert pipe.read("out/a") == "good\n"


def test_commands_in_a_list_and_in_a_block_each_have_a_shell(pipe: Pipeline) -> None:
    pipe.one("x=1\necho [$x]\n# a comment\n\ncd /\npwd\n", desc="a block")
    pipe.outcomes()
    assert pipe.lines() == ["[]", str(pipe.root)]
    pipe.declare("stages: {only: {cmd: [x=1, 'echo [$x]', 'false', echo never]}}")
    assert "false" in pipe.error().message
    assert pipe.lines() == ["[]"]


def test_the_environment_of_a_command(pipe: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_DIR", "/elsewhere")
    monkeypatch.setenv("GIT_INDEX_FILE", "/elsewhere/index")
    monkeypatch.setenv("MINE", "kept")
    monkeypatch.delenv("PYTHONHASHSEED", raising=False)
    pipe.one('echo "$MLXREPO_STAGE $PYTHONHASHSEED $MINE [$GIT_DIR$GIT_INDEX_FILE]"')
    pipe.outcomes()
    assert pipe.lines() == ["only 0 kept []"]
    monkeypatch.setenv("PYTHONHASHSEED", "7")
    pipe.outcomes(force=True)
    assert pipe.lines() == ["only 7 kept []"]


def test_a_stage_of_a_nested_file_runs_in_its_folder_and_has_its_own_lock(pipe: Pipeline) -> None:
    pipe.declare("stages: {top: {cmd: cp sub/a b, deps: [sub/a], outs: [b]}}")
    pipe.declare("stages: {make: {cmd: pwd > a, outs: [a]}}", "sub/mlx.yaml")
    assert pipe.outcomes() == {"sub/mlx.yaml:make": "ran", "top": "ran"}
    assert pipe.read("b") == f"{pipe.root}/sub\n"
    assert pipe.record("make", "sub/mlx.lock").outs[0].path == "sub/a"
    assert pipe.recorded() == {"stage:top"}
