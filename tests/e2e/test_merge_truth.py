"""Random work on two branches, merged by plain git and `lock merge`: nothing false is called fresh.

What a stage makes is worked out here from the recorded data and the files that git has, without
running anything: whatever `lock check` calls fresh has to be that.
"""

from __future__ import annotations

import random

import pytest
from pipeline_project import Pipeline
from sandbox import Project

from mlxrepo.commands.add import add
from mlxrepo.commands.checkout import checkout
from mlxrepo.commands.lock_check import lock_check
from mlxrepo.commands.lock_merge import lock_merge
from mlxrepo.commands.repro import repro
from mlxrepo.commands.status import status
from mlxrepo.hashing import blob_oid

PIPELINE = """
datasets:
  files: {path: files}
stages:
  first:
    cmd: cat files/* head.txt > first.txt
    deps: [files, head.txt]
    outs: [first.txt]
  second:
    cmd: cat first.txt params.yaml > second.txt
    deps: [first.txt]
    params: [p]
    outs: [second.txt]
"""
SEEDS = [*range(5), *(pytest.param(seed, marks=pytest.mark.nightly) for seed in range(5, 60))]


def work(project: Project, rng: random.Random) -> None:
    """Do some things that people do between two commits."""
    for _ in range(rng.randint(1, 3)):
        kind = rng.choice(["data", "data", "head", "param", "run", "run", "gone"])
        if kind == "data":
            project.write(f"files/{rng.randint(0, 5)}.txt", f"{rng.randint(0, 2)}\n")
        elif kind == "gone":
            present = sorted(project.path("files").iterdir())
            if len(present) > 1:
                rng.choice(present).unlink()
        elif kind == "head":
            project.write("head.txt", f"head {rng.randint(0, 2)}\n")
        elif kind == "param":
            project.write("params.yaml", f"p: {rng.randint(0, 2)}\n")
        else:
            project.do(repro)
    project.do(add, ["files"])
    if rng.random() < 0.7:
        project.do(repro)


def expected(project: Project) -> dict[str, str]:
    """Return the oid of each stage's out as the merged inputs make it."""
    with project.repo() as repo:
        [files] = [item for item in repo.observed.tracked() if item.path == "files"]
        listed = sorted(repo.store.tree(files.entry.oid).items())
        data = b"".join(repo.store.read("blob", entry.oid) for _, entry in listed)
    first = data + project.path("head.txt").read_bytes()
    second = first + project.path("params.yaml").read_bytes()
    return {"first": blob_oid(first), "second": blob_oid(second)}


def recorded(project: Project) -> dict[str, str]:
    with project.repo() as repo:
        stages = repo.observed.stages()
    return {name: record.outs[0].entry.oid for name, record in stages.items()}


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_called_fresh_is_what_the_merged_inputs_make(project: Project, seed: int) -> None:
    rng = random.Random(seed)
    project.fill("files", 3)
    project.write("head.txt", "head\n")
    project.write("params.yaml", "p: 1\n")
    Pipeline(project).declare(PIPELINE)
    project.do(add, ["files"])
    project.do(repro)
    project.commit("base")
    for _ in range(2):
        _branch_and_merge(project, rng)
        fresh = {item.stage for item in project.do(lock_check) if item.state == "fresh"}
        truth, found = expected(project), recorded(project)
        assert {name: found[name] for name in fresh} == {name: truth[name] for name in fresh}
        if rng.random() < 0.7:
            project.do(checkout, force=True)
            project.do(repro)
            assert recorded(project) == expected(project)
            assert "stale" not in {item.state for item in project.do(lock_check)}
            assert project.do(status).clean
            project.commit("reproduced")


def _branch_and_merge(project: Project, rng: random.Random) -> None:
    """Work on two branches off where we are, merge them, and commit what comes out."""
    start = project.git("rev-parse", "HEAD").strip()
    for name in ("one", "two"):
        project.git("checkout", "--quiet", "--force", "-B", name, start)
        project.do(checkout, force=True)
        work(project, rng)
        project.commit(name)
    project.git("merge", "--no-edit", "one", check=False)
    side = rng.choice(["ours", "theirs"])
    assert project.do(lock_merge, **{side: ["."]}).settled
    for path in project.git("diff", "--name-only", "--diff-filter=U").split():
        if path != "mlx.lock":
            project.git("checkout", f"--{rng.choice(['ours', 'theirs'])}", "--", path)
    project.commit("merged")
