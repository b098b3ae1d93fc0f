"""mlx.yaml as values, and every way in which it can be wrong."""

from __future__ import annotations

import pytest

from mlxrepo.errors import InputError, Where
from mlxrepo.paths import RepoPath
from mlxrepo.repo.project import parse_project
from mlxrepo.repo.stage import Artifact, Dep, Out, ParamRef, ProjectFile, Stage
from mlxrepo.repo.stagenodes import split_commands


def parse(text: str, path: str = "mlx.yaml") -> ProjectFile:
    return parse_project(text.encode(), RepoPath(path), lambda path: None)


def stage_of(body: str, path: str = "mlx.yaml") -> Stage:
    return parse(f"stages:\n  s: {{cmd: run, {body}}}\n", path).stages[0]


def at(line: int, col: int, path: str = "mlx.yaml") -> Where:
    return Where(path, line, col)


def test_an_empty_file_declares_nothing() -> None:
    nothing = ProjectFile(RepoPath("mlx.yaml"), (), (), (), (), ())

    assert parse("") == parse("# a comment\n") == parse("datasets:\nstages: {}\n") == nothing


def test_a_whole_project() -> None:
    project = parse(
        """\
datasets:
  reviews: {path: ./data/reviews.csv, desc: all, key: [id, day]}
models:
  fraud: {path: model.pkl, approvals: 2}
stages:
  train:
    cmd: python train.py
    desc: trains
    deps: [train.py, data/reviews.csv]
    params: [train.lr, {other.toml: [a, b]}, {all.json: }]
    outs: [model.pkl, {log: {cache: false}}]
    metrics: [m.json]
    plots: [{p.png: {cache: true}}]
params: [serve.yaml]
metrics: [manual.json]
plots: [cost.csv]
"""
    )

    path = RepoPath
    assert project.artifacts == (
        Artifact(
            "data", "reviews", path("data/reviews.csv"), "all", (("key", ["id", "day"]),), at(2, 3)
        ),
        Artifact("model", "fraud", path("model.pkl"), None, (("approvals", 2),), at(4, 3)),
    )
    assert project.stages == (
        Stage(
            name="train",
            file=path("mlx.yaml"),
            cmd=("python train.py",),
            wdir=path(""),
            deps=(Dep(path("train.py"), at(9, 12)), Dep(path("data/reviews.csv"), at(9, 22))),
            params=(
                ParamRef(path("params.yaml"), "train.lr", at(10, 14)),
                ParamRef(path("other.toml"), "a", at(10, 38)),
                ParamRef(path("other.toml"), "b", at(10, 41)),
                ParamRef(path("all.json"), None, at(10, 47)),
            ),
            outs=(
                Out(path("model.pkl"), "out", True, at(11, 12)),
                Out(path("log"), "out", False, at(11, 24)),
                Out(path("m.json"), "metric", False, at(12, 15)),
                Out(path("p.png"), "plot", True, at(13, 14)),
            ),
            desc="trains",
            where=at(6, 3),
        ),
    )
    assert (project.params, project.metrics, project.plots) == (
        ("serve.yaml",),
        ("manual.json",),
        ("cost.csv",),
    )


def test_paths_are_relative_to_the_folder_of_the_file() -> None:
    stage = stage_of("deps: [../lib/a.py], params: [lr], outs: [m/], wdir: src", "sub/mlx.yaml")

    assert [dep.path for dep in stage.deps] == ["lib/a.py"]
    assert [ref.file for ref in stage.params] == ["sub/params.yaml"]
    assert [out.path for out in stage.outs] == ["sub/m"]
    assert stage.wdir == "sub/src"
    assert stage_of("desc: x", "sub/mlx.yaml").wdir == "sub"


def test_a_stage_of_a_nested_file_is_addressed_with_it() -> None:
    assert stage_of("desc: x").address == "s"
    assert stage_of("desc: x", "sub/mlx.yaml").address == "sub/mlx.yaml:s"


def test_yaml_12_keeps_doubtful_names_as_text() -> None:
    project = parse("stages:\n  no: {cmd: on, deps: [off]}\n  012: {cmd: x}\n")

    assert [stage.name for stage in project.stages] == ["no", "012"]
    assert (project.stages[0].cmd, project.stages[0].deps[0].path) == (("on",), "off")


def test_anchors_and_merge_keys_share_what_stages_have_in_common() -> None:
    project = parse(
        "stages:\n  a: &a {cmd: x, deps: [d]}\n  b:\n    <<: *a\n    cmd: y\n    outs: [o]\n"
    )

    assert [(stage.cmd, stage.deps[0].path) for stage in project.stages] == [
        (("x",), "d"),
        (("y",), "d"),
    ]


@pytest.mark.parametrize(
    ("text", "commands"),
    [
        ("python a.py", ["python a.py"]),
        ("python a.py\n\n  # why\npython b.py\n", ["python a.py", "python b.py"]),
        ("python a.py \\\n  --lr 1\nnext", ["python a.py \\\n  --lr 1", "next"]),
        ("echo \\\\\nnext", ["echo \\\\", "next"]),
        ("a \\\n# no comment", ["a \\\n# no comment"]),
        ("# only\n\n", []),
    ],
)
def test_each_line_of_a_block_is_a_command(text: str, commands: list[str]) -> None:
    assert split_commands(text) == commands


def test_a_list_of_commands_may_hold_blocks() -> None:
    project = parse("stages:\n  s:\n    cmd:\n      - one\n      - |\n        two\n        three\n")

    assert project.stages[0].cmd == ("one", "two", "three")


BAD = [
    # unknown keys
    ("dataset: {}", (1, 1), 'unknown key "dataset" in mlx.yaml', 'did you mean "datasets"?'),
    ("stages:\n  s: {cmd: x, dep: [a]}", (2, 15), '"dep" in stage "s"', '"deps"'),
    ("datasets:\n  r: {pth: x}", (2, 7), '"pth" in dataset "r"', '"path"'),
    (
        "stages:\n  s: {cmd: x, outs: [{m: {cash: true}}]}",
        (2, 27),
        'unknown key "cash" in "outs" of stage "s"',
        'did you mean "cache"?',
    ),
    ("stages:\n  s: {cmd: x, zzz: 1}", (2, 15), 'unknown key "zzz"', "its keys are cmd, desc"),
    # wrong types
    (
        "stages:\n  s: {cmd: x, deps: 3}",
        (2, 21),
        '"deps" of stage "s" must be a list of paths, not a number: 3',
        None,
    ),
    ("stages:\n  s: {cmd: x, deps: a.py}", (2, 21), "not text: a.py", "write a list: [a.py]"),
    ("stages:\n  s: {cmd: x, deps: [a, 3]}", (2, 25), "one item is a number: 3", '"3"'),
    ("stages:\n  s: {cmd: x, deps: [[a]]}", (2, 22), "one item is a list", None),
    ("stages:\n  s: {cmd: x, deps: }", (2, 21), "not empty", "give it a value, or remove it"),
    ("stages:\n  s: {cmd: 3}", (2, 12), '"cmd" of stage "s" must be a command', '"3"'),
    ("stages:\n  s: {cmd: []}", (2, 12), "a list of commands, not an empty list", None),
    ("stages:\n  s: {cmd: x, outs: [{a: {cache: no}}]}", (2, 34), "one item is text: no", None),
    ("stages:\n  s: {cmd: x, outs: [{a: {}, b: }]}", (2, 33), "one item is empty", None),
    ("stages:\n  s: {cmd: x, params: [{f.yaml: []}]}", (2, 33), "one item is an empty list", None),
    ("stages:\n  s: {cmd: x, params: [0.1]}", (2, 24), "one item is a number: 0.1", '"0.1"'),
    ("stages: [a]", (1, 9), '"stages" must be a map of stage names, not a list', "write stages:"),
    ("stages:\n  s: python x", (2, 6), 'stage "s" must be a map of keys, not text', None),
    ("- a", (1, 1), "mlx.yaml must be a map of sections, not a list", None),
    ("models:\n  m: {path: x, approvals: -1}", (2, 27), "0 or more, not a number: -1", None),
    ("models:\n  m: {path: x, approvals: 1.5}", (2, 27), "not a number: 1.5", None),
    ("models:\n  m: {path: x, tolerance: low}", (2, 27), "a number, not text: low", None),
    ("datasets:\n  r: {path: 2024}", (2, 13), "a path, not a number: 2024", '"2024"'),
    ("datasets:\n  r: {path: x, desc: true}", (2, 22), "not a truth value: true", '"true"'),
    # absent, empty
    ("datasets:\n  r:\n", (2, 3), 'dataset "r" has no "path"', "path: data/reviews.csv"),
    ("stages:\n  s: {deps: [a]}", (2, 3), 'stage "s" has no "cmd"', "cmd: python src/train.py"),
    ("stages:\n  s: {cmd: '# x'}", (2, 12), 'stage "s" has an empty cmd', "write the command"),
    ("stages:\n  s: {cmd: [a, '']}", (2, 16), "empty cmd", "write the command"),
    ("stages:\n  s: {cmd: x, params: ['']}", (2, 24), "an empty param key", None),
    ("datasets:\n  r: {path: ''}", (2, 13), "an empty path", None),
    # formats
    ("format: 2\nnews: 1", (1, 9), "mlx.yaml has format 2; this mlx reads format 1", "upgrade"),
    ("format: 0", (1, 9), "has format 0", "write format: 1"),
    ("format: one", (1, 9), '"format" must be a whole number, not text: one', None),
    # names
    ("stages:\n  a b: {cmd: x}", (2, 3), '"a b" cannot be the name of a stage', None),
    ("stages:\n  a@b: {cmd: x}", (2, 3), '"a@b"', None),
    ("stages:\n  a/b: {cmd: x}", (2, 3), '"a/b"', None),
    ("stages:\n  -a: {cmd: x}", (2, 3), '"-a"', None),
    ("models:\n  é: {path: x}", (2, 3), '"é" cannot be the name of a model', None),
    ("stages:\n  model: {cmd: x}", (2, 3), "are prefixes of targets", None),
    ("models:\n  m.lock: {path: x}", (2, 3), "git refuses names", None),
    # given twice
    ("stages: {}\nstages: {}", (2, 1), 'the key "stages" is given twice; first in line 1', None),
    ("stages:\n  s: {cmd: x}\n  s: {cmd: y}", (3, 3), 'the key "s" is given twice', None),
    (
        "datasets:\n  a: {path: x}\nmodels:\n  a: {path: y}",
        (4, 3),
        'the name "a" is given twice: to a dataset in line 2 and to a model',
        "unique together",
    ),
    (
        "datasets:\n  a: {path: x}\n  b: {path: ./x/}",
        (3, 3),
        '"b" and "a" (line 2) are both at "x"',
        "remove one",
    ),
    ("stages:\n  s: {cmd: x, deps: [a, ./a]}", (2, 25), 'the dep "a" is listed twice', None),
    (
        "stages:\n  s: {cmd: x, params: [a, {params.yaml: [a]}]}",
        (2, 42),
        'the param "params.yaml:a" is listed twice; first in line 2',
        None,
    ),
    # outs against outs and deps
    (
        "stages:\n  s: {cmd: x, outs: [m]}\n  t: {cmd: x, outs: [./m]}",
        (3, 22),
        'the out "m" of stage "t" is also the out of stage "s" (line 2)',
        "one path is written by one stage",
    ),
    (
        "stages:\n  s: {cmd: x, outs: [m], metrics: [m/a.json]}",
        (2, 36),
        'the metric "m/a.json" of stage "s" lies inside "m", the out of stage "s" (line 2)',
        "remove one",
    ),
    (
        "stages:\n  s: {cmd: x, outs: [m/b/c]}\n  t: {cmd: x, outs: [m, m-1]}",
        (2, 22),
        '"m/b/c" of stage "s" lies inside "m", the out of stage "t" (line 3)',
        None,
    ),
    (
        "stages:\n  s: {cmd: x, deps: [m], outs: [m]}",
        (2, 22),
        'the dep "m" of stage "s" is its own out (line 2)',
        "a stage cannot read what it writes",
    ),
    ("stages:\n  s: {cmd: x, deps: [m/a], outs: [m]}", (2, 22), 'lies in its own out "m"', None),
    ("stages:\n  s: {cmd: x, deps: [d], outs: [d/m]}", (2, 22), 'holds its own out "d/m"', None),
    # paths
    ("stages:\n  s: {cmd: x, deps: [../a]}", (2, 22), '"../a" lies outside the repository', None),
    ("stages:\n  s: {cmd: x, outs: [/tmp/a]}", (2, 22), '"/tmp/a" is an absolute path', None),
    ("stages:\n  s: {cmd: x, wdir: a/../..}", (2, 21), "outside the repository", None),
    ("datasets:\n  r: {path: .git/x}", (2, 13), "is reserved for the repository", None),
    ("datasets:\n  r: {path: .}", (2, 13), '"." is the whole repository', None),
    ("stages:\n  s: {cmd: x, outs: [mlx.yaml]}", (2, 22), "would replace mlx.yaml", None),
    ("params: [p.txt]", (1, 10), '"p.txt" cannot hold params or metrics', ".toml, .py files"),
    ("metrics: [p.py]", (1, 11), '"p.py" cannot hold params or metrics', ".json, .toml files"),
    ("stages:\n  s: {cmd: x, metrics: [m.csv]}", (2, 25), '"m.csv" cannot hold params', None),
    # not YAML
    ("stages:\n\ts: 1", (2, 1), "a tab", "replace the tab"),
]


@pytest.mark.parametrize(("text", "place", "told", "hint"), BAD, ids=[bad[2] for bad in BAD])
def test_what_is_wrong_is_told_with_its_place_and_a_way_out(
    text: str, place: tuple[int, int], told: str, hint: str | None
) -> None:
    with pytest.raises(InputError) as caught:
        parse(text)

    assert told in caught.value.message
    assert caught.value.where == at(*place)
    assert (hint or "") in (caught.value.hint or "")


def test_an_error_in_a_nested_file_names_that_file() -> None:
    with pytest.raises(InputError) as caught:
        parse("stage: {}", "sub/mlx.yaml")

    assert str(caught.value).startswith("sub/mlx.yaml:1:1: unknown key")


def test_names_that_only_begin_alike_are_not_inside() -> None:
    project = parse("stages:\n  s: {cmd: x, outs: [m, m-1, m.json]}\n  t: {cmd: x, outs: [mm/m]}")

    assert len(project.stages) == 2
