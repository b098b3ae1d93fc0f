"""mlx stage: what is written into mlx.yaml, and what is listed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sandbox import Project

from mlxrepo.commands.stage import NewStage, Written, add, command_text, stages
from mlxrepo.errors import InputError

START = """\
# about the project
stages:
  # cleans
  zero:
    cmd: touch zero   # quickly
    outs: [zero]
"""


@pytest.fixture
def place(tmp_path: Path) -> Project:
    project = Project.create(tmp_path / "project")
    project.write("mlx.yaml", START)
    project.write("params.yaml", "lr: 1\n")
    return project


def written(place: Project, new: NewStage, folder: str = "", *, force: bool = False) -> Written:
    with place.repo(folder) as repo:
        return add(repo, new, force=force)


def told(place: Project, new: NewStage, folder: str = "") -> InputError:
    """Return the error, after a look that nothing was written."""
    before = place.files()
    with pytest.raises(InputError) as caught:
        written(place, new, folder)
    assert place.files() == before
    return caught.value


def test_everything_that_can_be_said(place: Project) -> None:
    new = NewStage(
        "train",
        ("python", "train.py", "--lr", "${lr}", "a b"),
        deps=("train.py", "./data/"),
        params=("lr,depth", "conf.toml:a", "conf.toml:b", "all.json:", "params.yaml:seed"),
        outs=("model",),
        outs_no_cache=("log",),
        outs_persist=("keep",),
        outs_persist_no_cache=("both",),
        metrics=("m.json",),
        plots=("p.csv",),
        desc="trains",
        always_changed=True,
    )
    done = written(place, new)

    assert (
        place.read("mlx.yaml")
        == START
        + """\
  train:
    cmd: python train.py --lr ${lr} 'a b'
    desc: trains
    deps:
      - train.py
      - data
    params:
      - lr
      - depth
      - seed
      - conf.toml:
          - a
          - b
      - all.json:
    outs:
      - model
      - log:
          cache: false
      - keep:
          persist: true
      - both:
          cache: false
          persist: true
    metrics:
      - m.json
    plots:
      - p.csv
    always_changed: true
"""
    )
    assert (done.address, done.replaced) == ("train", False)
    assert done.to_commit == ("mlx.yaml", ".gitignore")
    assert place.read(".gitignore") == "/keep\n/model\n"


def test_from_a_folder_below_paths_are_meant_from_there(place: Project) -> None:
    place.path("sub").mkdir()
    written(place, NewStage("s", ("x",), deps=("a", "../b"), params=("c.json:k",)), "sub")
    [_, stage] = place.do(stages)

    assert [dep.path for dep in stage.deps] == ["sub/a", "b"]
    assert (stage.wdir, stage.params[0].file) == ("sub", "sub/c.json")


def test_the_nearest_mlx_yaml_takes_the_stage(place: Project) -> None:
    place.write("sub/mlx.yaml", "stages:\n")
    place.path("sub/deep").mkdir()
    done = written(place, NewStage("s", ("x",), outs=("o",), wdir=".."), "sub/deep")

    assert (done.address, done.file) == ("sub/mlx.yaml:s", "sub/mlx.yaml")
    assert "wdir" not in place.read("sub/mlx.yaml")
    assert place.read("mlx.yaml") == START
    assert [s.address for s in place.do(stages, ["sub/mlx.yaml:s"])] == ["sub/mlx.yaml:s"]


def test_a_stage_of_that_name_stays_unless_forced(place: Project) -> None:
    new = NewStage("zero", ("other",))
    error = told(place, new)
    assert error.hint == "--force puts this one in its place"

    assert written(place, new, force=True).replaced
    assert place.read("mlx.yaml") == "# about the project\n\nstages:\n  zero:\n    cmd: other\n"


def test_a_foreach_of_that_name_stays_unless_forced(place: Project) -> None:
    place.write("mlx.yaml", "stages:\n  g:\n    foreach: [a]\n    do: {cmd: x}\n  h: {cmd: y}\n")
    assert "has a stage g already" in told(place, NewStage("g", ("z",))).message
    assert written(place, NewStage("g", ("z",)), force=True).replaced
    assert [stage.name for stage in place.do(stages)] == ["h", "g"]


def test_a_dry_run_writes_nothing(place: Project) -> None:
    before = place.files()
    with place.repo() as repo:
        done = add(repo, NewStage("s", ("x",), outs=("o",)), dry_run=True)

    assert "\n".join(done.lines) == "  s:\n    cmd: x\n    outs:\n      - o"
    assert place.files() == before


@pytest.mark.parametrize(
    ("new", "message"),
    [
        (NewStage("a b", ("x",)), '"a b" cannot be the name of a stage'),
        (NewStage("s", ()), "there is no command"),
        (NewStage("s", (" ",)), "there is no command"),
        (NewStage("s", ("x",), params=("",)), "-p names no param"),
        (NewStage("s", ("x",), params=("f.csv:a",)), '"f.csv" cannot hold params'),
        (NewStage("s", ("x",), deps=("../a",)), "lies outside the repository"),
        (NewStage("s", ("x",), outs=("zero",)), 'is also the out of stage "zero"'),
        (NewStage("s", ("x",), outs=("o*",)), "is a pattern"),
        (NewStage("s", ("x ${none}",)), 'nothing gives the name "none"'),
        (NewStage("s", ("x",), outs=("a",), deps=("a",)), "its own out"),
    ],
)
def test_what_cannot_be_a_stage_is_not_written(place: Project, new: NewStage, message: str) -> None:
    error = told(place, new)
    assert message in error.message
    assert error.where is None


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("a; b > c",), "a; b > c"),
        (("a", "b c", ""), "a 'b c' ''"),
        (("a", ";", "$HOME"), "a ';' '$HOME'"),
        (("a", "${x}", "--o=${y.z}", "${x} y"), "a ${x} --o=${y.z} '${x} y'"),
    ],
)
def test_words_of_a_command(words: tuple[str, ...], text: str) -> None:
    assert command_text(words) == text


# --- targets, the screen --------------------------------------------------------------------------

GROUPS = """\
stages:
  one: {cmd: x, outs: [one.pkl]}
  train: {foreach: [us, eu/n], do: {cmd: 'x ${item}', outs: ['${item}.csv']}}
  trial: {matrix: {a: [1, 2], b: [x]}, cmd: y, deps: ['us.csv']}
"""


@pytest.mark.parametrize(
    ("target", "names"),
    [
        ("one", ["one"]),
        ("train", ["train@us", "train@eu_n"]),
        ("train@us", ["train@us"]),
        ("train@eu_n", ["train@eu_n"]),
        ("train@eu/n", ["train@eu_n"]),
        ("train@*", ["train@us", "train@eu_n"]),
        ("*@?-x", ["trial@1-x", "trial@2-x"]),
        ("tr[a]in*", ["train@us", "train@eu_n"]),
        ("mlx.yaml:trial", ["trial@1-x", "trial@2-x"]),
        ("sub/mlx.yaml:train", ["sub/mlx.yaml:train@v"]),
        ("sub/mlx.yaml:tr*", ["sub/mlx.yaml:train@v"]),
        ("*/mlx.yaml:*", ["sub/mlx.yaml:train@v"]),
        ("eu/n.csv", ["train@eu_n"]),
        ("eu", ["train@eu_n"]),
        ("*.csv", ["train@us"]),
        ("**/*.csv", ["train@us", "train@eu_n"]),
        ("./one.pkl", ["one"]),
    ],
)
def test_targets(place: Project, target: str, names: list[str]) -> None:
    place.write("mlx.yaml", GROUPS)
    place.write("sub/mlx.yaml", "stages:\n  train: {foreach: [v], do: {cmd: z}}\n")

    assert [stage.address for stage in place.do(stages, [target])] == names


def test_a_pattern_of_paths_is_none_of_stages(place: Project) -> None:
    place.write("sub/mlx.yaml", "stages:\n  s: {cmd: z}\n  t: {cmd: z, outs: [t.csv]}\n")

    assert [stage.address for stage in place.do(stages, ["sub/*"])] == ["sub/mlx.yaml:t"]


def test_an_unknown_target_names_its_neighbour(place: Project) -> None:
    place.write("mlx.yaml", GROUPS)
    for typed, hint in (("train@uss", "did you mean train@us?"), ("onee", "did you mean one?")):
        with pytest.raises(InputError) as caught:
            place.do(stages, [typed])
        assert caught.value.hint == hint


def test_the_screen(place: Project) -> None:
    place.write("mlx.yaml", GROUPS)
    place.write("sub/mlx.yaml", "stages:\n  s: {cmd: z, desc: sleeps}\n  t: {cmd: z, deps: [d]}\n")
    lines = place.mlx("stage", "list").stdout.splitlines()

    assert [line.split(maxsplit=1) for line in lines] == [
        ["one", "Outputs one.pkl"],
        ["train@us", "Outputs us.csv"],
        ["train@eu_n", "Outputs eu/n.csv"],
        ["trial@1-x", "Depends on us.csv"],
        ["trial@2-x", "Depends on us.csv"],
        ["sub/mlx.yaml:s", "sleeps"],
        ["sub/mlx.yaml:t", "Depends on sub/d"],
    ]
    assert place.mlx("stage", "list", "--name-only", "train").stdout == "train@us\ntrain@eu_n\n"
    [found] = json.loads(place.mlx("stage", "list", "--json", "train@us").stdout)["stages"]
    assert (found["group"], found["cmd"], found["outs"][0]["path"]) == ("train", ["x us"], "us.csv")


def test_adding_on_the_screen(place: Project) -> None:
    said = place.mlx("stage", "add", "--name", "s", "-o", "o", "--run", "cp", "-r", "mlx.yaml", "o")
    assert said.returncode == 0, said.stderr
    assert said.stdout.splitlines()[0] == "added stage s in mlx.yaml"
    assert place.path("o").exists()
    assert not place.path("zero").exists()  # only the new stage ran

    said = place.mlx("stage", "add", "-n", "train", "python", "x.py")
    assert (said.returncode, "--name NAME; -n is --dry-run" in said.stderr) == (2, True)
    said = place.mlx("stage", "add", "--name", "t", "-M", "m.json", "--plots", "p", "-n", "x", "-n")
    assert "cmd: x -n" in said.stdout
    assert "- m.json" in said.stdout
    assert "mlx add" in place.mlx("stage", "data.csv").stderr  # git's word


def test_a_stage_that_was_added_runs_and_is_found_up_to_date(place: Project) -> None:
    place.write("conf.py", "class Train:\n    depth = 3\n")
    add_words = ["stage", "add", "--name", "s", "-o", "o.txt", "-p", "conf.py:Train.depth"]
    assert place.mlx(*add_words, "echo hello > o.txt").returncode == 0
    assert place.mlx("repro", "s").returncode == 0
    assert place.read("o.txt") == "hello\n"
    assert "up to date" in place.mlx("repro", "s").stdout
