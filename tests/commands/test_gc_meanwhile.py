"""What a command relies on stays while it works, though a gc without any grace runs meanwhile."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pipeline_project import until
from sandbox import Project
from storage import age, contents

from mlxrepo.commands.add import add
from mlxrepo.commands.checkout import checkout
from mlxrepo.commands.gc import Collected, gc
from mlxrepo.commands.repro import repro
from mlxrepo.commands.status import status

# The command stops where it begins to write to the workspace, says so, and goes on when told.
_HELD = """
import sys
from mlxrepo.cli.main import run
from mlxrepo.store.materialize import Workspace
apply = Workspace.apply
def held(self, plan):
    if plan.write or plan.remove:
        Workspace.apply = apply
        print("ready", flush=True)
        sys.stdin.readline()
    apply(self, plan)
Workspace.apply = held
sys.exit(run(sys.argv[1:]))
"""


@contextmanager
def held(project: Project, *words: str) -> Iterator[None]:
    """Run a command and hold it before it writes; at the end it has to succeed."""
    process = subprocess.Popen(
        [sys.executable, "-c", _HELD, *words],
        cwd=project.root,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout
        assert process.stdout.readline() == "ready\n", process.communicate()
        yield
        said = process.communicate("go\n")
        assert process.returncode == 0, said
    finally:
        process.kill()
        process.communicate()


def collect(project: Project) -> Collected:
    """Run a gc without grace, in a process of its own; return what another one would still take."""
    age(project)
    done = project.mlx("gc", "--yes", "--grace", "0")
    assert done.returncode == 0, done.stderr
    return project.do(gc, grace=0)


@pytest.fixture
def base(project: Project) -> Project:
    """Return a project with a folder in its only commit, and a second version that nobody names."""
    project.fill("data", 3)
    project.do(add, ["data"])
    project.commit("base")
    return project


def forgotten(project: Project) -> str:
    """Commit another version of the data and let every ref forget the commit; return it."""
    project.fill("data", 5)
    project.write("data/0000.txt", "second version")
    project.do(add, ["data"])
    commit = project.commit("second")
    project.git("reset", "--quiet", "--hard", "HEAD~1")
    project.git("update-ref", "-d", "ORIG_HEAD")
    project.git("reflog", "expire", "--expire=now", "--all")
    project.do(checkout)
    return commit


def trashed(project: Project) -> list[Path]:
    return [p for p in project.path(".git/mlx/trash").rglob("*") if p.is_file()]


def test_a_checkout_of_what_nothing_names_gets_all_of_it(base: Project) -> None:
    commit = forgotten(base)
    with held(base, "checkout", "--rev", commit):
        assert collect(base).unneeded.objects == 0
        assert not trashed(base)
    assert base.read("data/0000.txt") == "second version"
    assert base.path("data/0004.txt").exists()


def test_without_the_checkout_it_goes(base: Project) -> None:
    """The test above would pass if gc took nothing in any case."""
    forgotten(base)
    collect(base)
    assert trashed(base)


def test_a_lock_row_that_changes_while_it_is_checked_out_stays_to_the_end(base: Project) -> None:
    lock = base.path("mlx.lock")
    base.write("data/0000.txt", "second version")
    base.do(add, ["data"])
    second = lock.read_bytes()
    base.git("restore", "mlx.lock")
    base.do(checkout)
    first = lock.read_bytes()
    lock.write_bytes(second)
    with held(base, "checkout"):
        lock.write_bytes(first)
        collect(base)
    assert base.read("data/0000.txt") == "second version"


@pytest.mark.parametrize("words", [("rm", "data"), ("checkout",)])
def test_what_goes_because_it_is_stored_stays_stored(base: Project, words: tuple[str]) -> None:
    base.write("data/0000.txt", "stored once, and named by nothing")
    base.do(add, ["data"])
    base.git("restore", "mlx.lock")
    base.do(checkout)
    base.write("data/0000.txt", "stored once, and named by nothing")
    with held(base, *words):
        collect(base)
        kept = contents(base).values()
        assert any(b"stored once, and named by nothing" in data for data in kept)
    assert not base.path("data/0000.txt").exists() or base.do(status).clean


@pytest.fixture
def piped(project: Project) -> Project:
    """Return a pipeline that ran twice; only the action cache knows the first result."""
    project.write("mlx.yaml", _STAGES)
    for value in (1, 2):
        project.write("params.yaml", f"p: {value}\n")
        project.do(repro)
    project.write("params.yaml", "p: 1\n")
    return project


_STAGES = """
stages:
  only:
    cmd: cat params.yaml params.yaml > out.txt
    params: [p]
    outs: [out.txt]
"""


def test_a_result_of_the_action_cache_is_there_until_it_is_restored(piped: Project) -> None:
    with held(piped, "repro"):
        assert collect(piped).unneeded.objects == 0
        assert not trashed(piped)
    assert piped.read("out.txt") == "p: 1\np: 1\n"


def unnamed(project: Project) -> bytes:
    """Let the out be what the store has and nothing names; return its bytes."""
    lock = project.path("mlx.lock").read_bytes()
    project.write("params.yaml", "p: 3\n")
    project.do(repro)
    stored = project.read("out.txt")
    project.path("mlx.lock").write_bytes(lock)
    project.do(checkout, force=True)
    project.write("out.txt", stored)
    return stored.encode()


def test_an_out_that_makes_room_because_it_is_stored_stays_stored(piped: Project) -> None:
    stored = unnamed(piped)
    piped.write("params.yaml", "p: 1\n")
    with held(piped, "repro"):
        collect(piped)
        assert stored in contents(piped).values()


def test_an_out_that_a_run_replaces_because_it_is_stored_stays_stored(piped: Project) -> None:
    stored = unnamed(piped)
    waits = "touch began; while [ ! -e go ]; do sleep 0.02; done; echo > out.txt"
    piped.write("mlx.yaml", f"stages:\n  only:\n    cmd: {waits}\n    outs: [out.txt]\n")
    run = subprocess.Popen([sys.executable, "-m", "mlxrepo", "-q", "repro"], cwd=piped.root)
    try:
        until(piped.path("began").exists, "the stage begins")
        collect(piped)
        assert stored in contents(piped).values()
    finally:
        piped.write("go", "")
        assert run.wait() == 0


def test_an_input_that_is_brought_stays_though_its_row_goes(base: Project) -> None:
    base.write("mlx.yaml", base.read("mlx.yaml") + _READER)
    base.write("data/0000.txt", "second version")
    base.do(add, ["data"])
    shutil.rmtree(base.path("data"))
    base.path(".git/mlx/worktree/placed.json").unlink()
    with held(base, "repro"):
        base.git("restore", "mlx.lock")
        collect(base)
    assert "second version" in base.read("out.txt")


_READER = """
stages:
  only:
    cmd: cat data/* > out.txt
    deps: [data]
    outs: [out.txt]
"""
