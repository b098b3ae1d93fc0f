"""A project file that is remembered says the same as one that is parsed."""

from __future__ import annotations

import os

import pytest
from sandbox import Project

from mlxrepo.errors import InputError
from mlxrepo.paths import RepoPath
from mlxrepo.repo import parsed
from mlxrepo.repo.project import parse_project
from mlxrepo.repo.stage import ProjectFile

FILE = RepoPath("sub/mlx.yaml")
EVERYTHING = b"""\
vars: [values.yaml, {lr: 0.1}]
datasets:
  reviews: {path: data/reviews.csv, desc: all, key: [id, day]}
models:
  fraud: {path: model.pkl, approvals: 2, tolerance: .nan}
environment: {files: [uv.lock], interpreter: python, variables: [LANG]}
shell: bash
params: [serve.yaml]
metrics: [manual.json]
goals: {auc: {better: higher}, "a/manual.json:p99": {better: lower, tolerance: 0.5}}
plots: [{cost: {x: costs.csv, y: {costs.csv: price}}}]
stages:
  train:
    foreach: ${names}
    do:
      cmd: ["make ${item}", "echo ${lr}"]
      wdir: work
      desc: trains
      deps: [train.py, "data/*.csv"]
      params: [train.lr, {other.toml: [a, b]}, {all.json: }]
      outs: ["${item}.pkl", {"${item}.log": {cache: false, persist: true, push: false, desc: x}}]
      metrics: ["${item}.json"]
      plots: [{"${item}.png": {cache: true, title: roc}}]
      env: [CUDA_HOME]
      frozen: true
      always_changed: true
      timeout: 2h
      retries: 3
      resources: {mem: 8GB, license: 2, mutex: [db], gpu: 1}
      meta: {owner: [me, {and: you}]}
"""


def read(path: RepoPath) -> bytes | None:
    return b'names: [a, "b"]\n' if path == "sub/values.yaml" else None


def parse() -> ProjectFile:
    return parse_project(EVERYTHING, FILE, read)


def test_everything_that_is_declared_comes_back() -> None:
    project = parse()
    assert len(project.stages) == 2
    assert len(project.goals) == 2
    again = parsed.load(parsed.dump(project, EVERYTHING, read), FILE, EVERYTHING, read)
    assert repr(again) == repr(project)  # a NaN does not equal itself


def test_a_place_in_another_file_comes_back() -> None:
    stage = parse().stages[0]
    there = stage.where._replace(file="sub/values.yaml")
    project = ProjectFile(FILE, (), (type(stage)("s", FILE, (), RepoPath(""), (), (), (), None,
                          there),), (), (), ())  # fmt: skip
    again = parsed.load(parsed.dump(project, b"", read), FILE, b"", read)
    assert again == project


@pytest.mark.parametrize(
    ("data", "values"),
    [(EVERYTHING + b"#", read(RepoPath("sub/values.yaml"))), (EVERYTHING, b"names: [a]\n"),
     (EVERYTHING, None)],
)  # fmt: skip
def test_another_text_or_another_file_that_it_asks_for_is_parsed(
    data: bytes, values: bytes | None
) -> None:
    memo = parsed.dump(parse(), EVERYTHING, read)

    def now(path: RepoPath) -> bytes | None:
        return values if path == "sub/values.yaml" else None

    assert parsed.load(memo, FILE, data, now) is None


@pytest.mark.parametrize("memo", [b"", b"{}", b"[]", b"[1,2,3]", b'["", [["x"]], []]', b"\xff"])
def test_a_memo_that_makes_no_sense_is_no_memo(memo: bytes) -> None:
    assert parsed.load(memo, FILE, b"", read) is None


def test_a_memo_of_another_shape_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    memo = parsed.dump(parse(), EVERYTHING, read)
    monkeypatch.setattr(parsed, "SHAPE", "another")
    assert parsed.load(memo, FILE, EVERYTHING, read) is None


def test_a_repository_remembers_and_notices_edits(project: Project) -> None:
    project.write("mlx.yaml", "vars: [v.yaml]\nstages: {s: {cmd: 'echo ${x}'}}\n")
    for value in ("1", "2", "2", "1"):
        project.write("v.yaml", f"x: {value}\n")
        with project.repo() as repo:
            assert repo.declared.stages["s"].cmd == (f"echo {value}",)
    with project.repo() as repo:
        assert repo.cache.memo("parsed mlx.yaml")
    project.write("mlx.yaml", "stages: {s: {cmt: echo}}\n")
    with project.repo() as repo, pytest.raises(InputError, match="cmt"):
        _ = repo.declared


@pytest.mark.parametrize("target", ["/dev/zero", "pipe", "huge"])
def test_a_values_file_that_would_never_end_is_refused(project: Project, target: str) -> None:
    if target == "pipe":
        os.mkfifo(project.path("pipe"))
    elif target == "huge":
        with open(project.path("huge"), "wb") as stream:
            stream.truncate(1 << 40)
    project.path("v.yaml").symlink_to(target)
    project.write("mlx.yaml", "vars: [v.yaml]\nstages: {s: {cmd: 'echo ${x}'}}\n")
    with project.repo() as repo, pytest.raises(InputError, match=r"v\.yaml is (no file|too large)"):
        _ = repo.declared
