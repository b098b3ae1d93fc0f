"""Stages that nothing touched are up to date at first sight, and only those."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import pytest
from pipeline_project import CHAIN, Pipeline

from mlxrepo.commands.add import add
from mlxrepo.pipeline.judge import Judge

OLD_ENOUGH = 0.05  # seconds: two racy windows of the stat cache


def settled(pipe: Pipeline) -> set[str]:
    """Return the stages that are up to date at first sight."""
    with pipe.project.repo() as repo:
        judge = Judge(repo)
        return {name for name, s in repo.declared.stages.items() if judge.is_settled(s)}


@pytest.fixture
def calm(chain: Pipeline) -> Pipeline:
    """A chain that was found up to date once its files were old enough to be believed."""
    time.sleep(OLD_ENOUGH)
    assert chain.outcomes() == {"first": "up-to-date", "second": "up-to-date"}
    assert settled(chain) == {"first", "second"}
    return chain


def test_stages_that_just_ran_are_settled_but_the_times_of_their_files_prove_nothing(
    chain: Pipeline,
) -> None:
    for number in range(5):
        chain.write("data.txt", f"{number}bc\n")
        chain.outcomes()
        chain.write("first.txt", "x")  # as long as before, within a tick of the clock
        assert settled(chain) == set()
        chain.outcomes()
        assert settled(chain) == {"first", "second"}


def test_a_params_file_that_changes_behind_the_stage_that_read_it_unsettles_it(
    chain: Pipeline,
) -> None:
    """The values count that were compared, not those that are there when the run ends."""
    more = "  last:\n    cmd: 'echo \"p: 2\" > params.yaml'\n    deps: [second.txt]\n"
    chain.declare(CHAIN + more)
    chain.outcomes()
    assert "second" not in settled(chain)
    assert chain.outcomes()["second"] == "ran"


def test_an_edit_that_keeps_size_and_time_is_noticed(calm: Pipeline) -> None:
    path = calm.path("data.txt")
    before = path.stat()
    path.write_text("xyz\n")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert settled(calm) == {"second"}
    assert calm.outcomes() == {"first": "ran", "second": "ran"}


@pytest.mark.parametrize(
    ("change", "left"),
    [
        (lambda pipe: pipe.write("first.txt", "b"), set()),
        (lambda pipe: pipe.path("second.txt").unlink(), {"first"}),
        (lambda pipe: pipe.write("params.yaml", "p: 2\n"), {"first"}),
        (lambda pipe: pipe.path("params.yaml").unlink(), {"first"}),
        (lambda pipe: pipe.declare(CHAIN.replace("head -c 1", "head -c 2")), {"second"}),
        (lambda pipe: pipe.declare(CHAIN.replace("[p]", "[p, q]")), {"first"}),
        (lambda pipe: pipe.declare(CHAIN.replace("[second.txt]", "[{second.txt: {cache: false}}]")),
         {"first"}),
        (lambda pipe: pipe.path("mlx.lock").unlink(), set()),
    ],
)  # fmt: skip
def test_whatever_decides_unsettles(
    calm: Pipeline, change: Callable[[Pipeline], object], left: set[str]
) -> None:
    change(calm)
    assert settled(calm) == left


def test_a_record_of_another_result_unsettles(calm: Pipeline) -> None:
    lock = calm.path("mlx.lock").read_bytes()
    calm.write("data.txt", "z\n")
    calm.outcomes()
    time.sleep(OLD_ENOUGH)
    calm.outcomes()
    assert settled(calm) == {"first", "second"}
    calm.path("mlx.lock").write_bytes(lock)
    assert settled(calm) == set()


def test_a_look_ahead_does_not_believe_files_that_are_going_to_be_replaced(calm: Pipeline) -> None:
    calm.write("data.txt", "z\n")
    assert calm.outcomes() == {"first": "ran", "second": "ran"}
    time.sleep(OLD_ENOUGH)
    assert calm.outcomes() == {"first": "up-to-date", "second": "up-to-date"}
    calm.write("data.txt", "abc\n")
    assert calm.outcomes(dry_run=True) == {"first": "restore", "second": "restore"}
    assert calm.outcomes() == {"first": "restored", "second": "restored"}
    assert calm.read("second.txt") == "ap: 1\n"


def test_a_file_that_appears_in_a_folder_unsettles_what_reads_the_folder(pipe: Pipeline) -> None:
    pipe.write("in/a", "1")
    pipe.one("ls in > out.txt", deps=["in"], outs=["out.txt"])
    pipe.outcomes()
    time.sleep(OLD_ENOUGH)
    pipe.outcomes()
    assert settled(pipe) == {"only"}
    pipe.write("in/b", "2")
    assert settled(pipe) == set()
    assert pipe.outcomes() == {"only": "ran"}


def test_a_dependency_that_turns_into_a_link_unsettles(calm: Pipeline) -> None:
    calm.path("data.txt").rename(calm.path("moved.txt"))
    calm.path("data.txt").symlink_to("moved.txt")
    assert "first" not in settled(calm)


def test_absent_data_is_looked_at_the_long_way(calm: Pipeline) -> None:
    with calm.project.repo() as repo:
        add(repo, ["data.txt"])
    calm.path("data.txt").unlink()
    assert "first" not in settled(calm)
