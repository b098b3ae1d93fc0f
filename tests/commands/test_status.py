"""What `mlx status` says, and that looking changes nothing."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from sandbox import Project, settle

from mlxrepo.commands.add import add
from mlxrepo.commands.checkout import checkout
from mlxrepo.commands.repro import repro
from mlxrepo.commands.status import Status, status
from mlxrepo.errors import InputError

STAGES = """\
datasets:
  raw:
    path: raw.csv
models:
  fraud:
    path: out/model
stages:
  train:
    cmd: mkdir -p out && cp raw.csv out/model
    deps: [raw.csv]
    outs: [out/model]
"""


def states(found: Status) -> dict[str, str]:
    return {path.address: path.state for path in found.paths}


@pytest.fixture
def trained(project: Project) -> Project:
    """A project with data and one stage that ran, committed."""
    project.write("mlx.yaml", STAGES)
    project.write("raw.csv", "1\n")
    project.do(add, ["raw.csv"])
    project.do(repro)
    project.commit()
    return project


def test_each_state_has_its_word(project: Project) -> None:
    for name in ("clean", "modified", "deleted"):
        project.write(f"{name}.csv", name)
    project.fill("folder", 4)
    project.do(add, ["clean.csv", "modified.csv", "deleted.csv", "folder"])
    text = project.read("mlx.yaml").replace("datasets:\n", "datasets:\n  new: {path: new.csv}\n")
    project.write("mlx.yaml", text)
    project.write("modified.csv", "edited")
    project.path("deleted.csv").unlink()
    project.path("folder/0000.txt").unlink()
    project.write("folder/0001.txt", "edited")
    project.write("folder/9999.txt", "added")
    found = project.do(status)
    assert states(found) == {
        "data:clean": "clean",
        "data:modified": "modified",
        "data:deleted": "deleted",
        "data:folder": "modified",
        "data:new": "not added",
    }
    folder = next(path for path in found.paths if path.address == "data:folder")
    assert [(change.path, change.word) for change in folder.changes] == [
        ("0000.txt", "deleted"),
        ("0001.txt", "modified"),
        ("9999.txt", "added"),
    ]
    assert not found.clean


def test_what_never_was_here_is_absent_and_that_is_clean(trained: Project) -> None:
    other = trained.worktree("other")
    found = other.do(status)
    assert states(found) == {"data:raw": "absent"}
    assert [(stage.stage, stage.state) for stage in found.stages] == [("train", "absent")]
    assert found.clean
    other.do(checkout, ["raw.csv"])
    other.path("raw.csv").unlink()
    assert states(other.do(status)) == {"data:raw": "deleted"}


def test_a_stage_is_stale_with_its_reason(trained: Project) -> None:
    assert trained.do(status).clean
    trained.write("raw.csv", "2\n")
    found = trained.do(status, ["train"])
    assert [(stage.stage, stage.state) for stage in found.stages] == [("train", "stale")]
    assert "raw.csv" in found.stages[0].why
    assert not found.paths
    assert not found.clean


@pytest.mark.parametrize(
    ("target", "paths", "stages"),
    [
        ("raw.csv", {"data:raw"}, set()),
        ("./raw.csv", {"data:raw"}, set()),
        ("data:raw", {"data:raw"}, set()),
        ("train", set(), {"train"}),
        ("mlx.yaml:train", set(), {"train"}),
        ("out/model", set(), {"train"}),
        ("out", set(), {"train"}),
        ("model:fraud", set(), {"train"}),
        (".", {"data:raw"}, {"train"}),
    ],
)
def test_targets_mean_what_the_grammar_says(
    trained: Project, target: str, paths: set[str], stages: set[str]
) -> None:
    found = trained.do(status, [target])
    assert {path.address for path in found.paths} == paths
    assert {stage.stage for stage in found.stages} == stages


@pytest.mark.parametrize(
    "target",
    ["nothing", "data:nothing", "model:raw", "sub/mlx.yaml:train", "../x", "", "model:fraud@v1"],
)
def test_an_unknown_target_is_an_error_and_never_clean(trained: Project, target: str) -> None:
    with pytest.raises(InputError):
        trained.do(status, [target])


def test_a_declared_path_that_is_not_added_is_a_target_too(project: Project) -> None:
    project.write("mlx.yaml", "datasets:\n  x: {path: x.csv}\n")
    assert states(project.do(status, ["x.csv"])) == {"data:x": "not added"}
    assert states(project.do(status, ["data:x"])) == {"data:x": "not added"}


def test_a_stage_of_a_nested_file_is_named_from_a_sub_folder(project: Project) -> None:
    project.write("sub/mlx.yaml", "stages:\n  make: {cmd: echo x > out, outs: [out]}\n")
    with project.repo("sub") as repo:
        found = status(repo, ["mlx.yaml:make"])
    assert [stage.stage for stage in found.stages] == ["sub/mlx.yaml:make"]


def test_a_record_that_nothing_declares_any_more_is_named(trained: Project) -> None:
    trained.write("mlx.yaml", "datasets: {}\n")
    found = trained.do(status)
    assert found.leftover == ("data:raw", "train")
    assert not found.clean


def test_a_second_look_reads_no_file(trained: Project) -> None:
    settle()
    trained.do(status)
    with trained.repo() as repo:
        scan = repo.scan()
        for item in repo.observed.tracked():
            scan.entry(item.path)
        assert scan.read_files == 0


def test_an_edit_that_keeps_size_and_mtime_is_seen(project: Project) -> None:
    full = project.write("a.csv", "aaaa")
    project.do(add, ["a.csv"])
    settle()
    assert project.do(status).clean
    before = os.stat(full)
    full.write_text("bbbb")
    os.utime(full, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert states(project.do(status)) == {"data:a": "modified"}


def test_it_works_where_nothing_can_be_written(trained: Project) -> None:
    other = trained.worktree("other")
    with other.repo() as repo:
        state = os.path.dirname(repo.worktree_file("x"))
    # A file in the place of the folder stops every writer, root too.
    os.makedirs(os.path.dirname(state), exist_ok=True)
    with open(state, "w"):
        pass
    other.write("raw.csv", "2\n")
    assert states(other.do(status)) == {"data:raw": "modified"}


def test_it_takes_no_lock(trained: Project) -> None:
    with trained.repo() as repo, repo.mutex("holding it"):
        done = trained.mlx("status", "--exit-code")
    assert done.returncode == 0, done.stderr


def test_variables_that_git_sets_for_hooks_do_not_mislead_it(
    trained: Project, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = Project.create(tmp_path_factory.mktemp("elsewhere"))
    env = {
        "GIT_DIR": str(elsewhere.path(".git")),
        "GIT_WORK_TREE": str(elsewhere.root),
        "GIT_INDEX_FILE": str(elsewhere.path(".git/index")),
        "GIT_LITERAL_PATHSPECS": "1",
        "GIT_PREFIX": "x/",
    }
    done = trained.mlx("status", env=env)
    assert done.stdout == "clean: 1 artifact, 1 stage\n", done.stderr


def test_it_works_inside_a_hook(trained: Project) -> None:
    hook = trained.path(".git/hooks/pre-commit")
    hook.write_text(f"#!/bin/sh\n'{sys.executable}' -m mlxrepo status --exit-code\n")
    hook.chmod(0o755)
    trained.write("README", "x")
    trained.git("add", "README")
    done = subprocess.run(
        ["git", "commit", "-m", "x"], cwd=trained.root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "clean: 1 artifact, 1 stage" in done.stdout + done.stderr
