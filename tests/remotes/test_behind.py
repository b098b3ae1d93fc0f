"""Data that git's lockfile has overtaken: after `git pull` what is here is older."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from pipeline_project import Pipeline
from places import Spot
from sandbox import Project

from mlxrepo.commands.accept import accept
from mlxrepo.commands.add import add
from mlxrepo.commands.push import push
from mlxrepo.errors import Refused

STAGES = """
stages:
  sum:
    cmd: cat data/x.csv > sum.txt
    deps: [data/x.csv]
    outs: [sum.txt]
  list:
    cmd: cat images/* > list.txt
    deps: [images]
    outs: [list.txt]
  other:
    cmd: cp code.py other.txt
    deps: [code.py]
    outs: [other.txt]
"""
IMAGES = {"a": "a1\n", "b": "b1\n", "c": "c1\n"}


@pytest.fixture
def one(project: Project, folder: Spot) -> Pipeline:
    """Everything has run, is committed and pushed."""
    project.write("data/x.csv", "1\n")
    for name, text in IMAGES.items():
        project.write(f"images/{name}", text)
    project.write("code.py", "print()\n")
    project.write("mlx.yaml", STAGES)
    project.do(add, ["data/x.csv", "images"])
    folder.configure(project)
    pipe = Pipeline(project)
    pipe.outcomes()
    share(pipe)
    return pipe


@pytest.fixture
def two(one: Pipeline, folder: Spot) -> Pipeline:
    """A clone of it with all its data."""
    path = one.root.parent / "two"
    one.project.git("clone", "--quiet", str(one.root), str(path))
    clone = Project(path)
    folder.configure(clone)
    assert clone.mlx("pull").returncode == 0
    return Pipeline(clone)


def share(pipe: Pipeline) -> None:
    pipe.project.commit()
    pipe.project.do(push)


def change(one: Pipeline) -> None:
    """Edit the file, and in the folder one, take out one and put in one; run and share it."""
    one.write("data/x.csv", "2\n")
    one.write("images/a", "a2\n")
    one.path("images/b").unlink()
    one.write("images/d", "d2\n")
    one.project.do(add, ["data/x.csv", "images"])
    one.outcomes()
    share(one)


@pytest.fixture
def pulled(one: Pipeline, two: Pipeline) -> Pipeline:
    """The clone after `git pull`: the lockfile is newer than the data."""
    change(one)
    two.project.git("pull", "--quiet")
    assert two.read("data/x.csv") == "1\n"
    return two


def images(pipe: Pipeline) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted(pipe.path("images").iterdir())}


def is_as_committed(pipe: Pipeline) -> bool:
    return not pipe.project.git("status", "--porcelain")


@pytest.mark.parametrize("words", [["repro"], ["repro", "-n"], ["repro", "--allow-missing"]])
def test_a_run_does_not_record_the_older_data(pulled: Pipeline, words: list[str]) -> None:
    done = pulled.project.mlx(*words)
    assert done.returncode == 1, done
    assert "images, data/x.csv are older than recorded" in done.stderr
    assert "mlx pull images data/x.csv" in done.stderr
    assert is_as_committed(pulled)
    assert (pulled.read("data/x.csv"), pulled.read("sum.txt")) == ("1\n", "1\n")


def test_the_command_that_it_names_leads_out(one: Pipeline, pulled: Pipeline) -> None:
    assert pulled.project.mlx("fetch").returncode == 0
    done = pulled.project.mlx("repro", "sum")
    assert done.returncode == 1
    assert "data/x.csv is older than recorded" in done.stderr
    assert "mlx checkout data/x.csv " in done.stderr
    assert pulled.project.mlx("checkout", "data/x.csv").returncode == 0
    pulled.outcomes("sum")
    assert pulled.read("sum.txt") == "2\n"
    assert is_as_committed(pulled)


def test_who_does_not_read_it_runs(pulled: Pipeline) -> None:
    pulled.write("code.py", "pass\n")
    assert pulled.outcomes("other") == {"other": "ran"}


def test_accept_does_not_take_it(pulled: Pipeline) -> None:
    for dry_run in (True, False):
        with pytest.raises(Refused, match=r"data/x.csv is older than recorded"):
            pulled.project.do(accept, ["sum"], "it is the same", dry_run=dry_run)
    assert is_as_committed(pulled)


def test_with_pull_the_recorded_version_is_placed(one: Pipeline, pulled: Pipeline) -> None:
    ahead = pulled.project.mlx("repro", "-n", "--pull")
    assert ahead.returncode == 0, ahead
    assert pulled.read("data/x.csv") == "1\n"
    assert "run" not in ahead.stdout.split()  # all of it was pushed
    done = pulled.project.mlx("repro", "--pull")
    assert done.returncode == 0, done
    assert "recorded first" not in done.stderr
    assert "placed as recorded: data/x.csv was older" in done.stderr
    assert pulled.read("data/x.csv") == "2\n"
    # What was never here stays away until a stage that reads it runs.
    assert images(pulled) == {"a": "a2\n", "c": "c1\n"}
    assert is_as_committed(pulled)
    assert pulled.project.mlx("repro", "--pull").stdout.startswith("nothing to do")
    assert pulled.read("sum.txt") == one.read("sum.txt")
    pulled.outcomes("list", force=True, single=True, pull=True)
    assert images(pulled) == images(one)
    assert pulled.read("list.txt") == "a2\nc1\nd2\n"
    assert is_as_committed(pulled)
    assert pulled.project.mlx("status", "--exit-code").returncode == 0


def test_pull_says_so_when_the_remote_has_not_got_it(pulled: Pipeline, folder: Spot) -> None:
    assert folder.folder is not None
    shutil.rmtree(folder.folder / "packs")
    done = pulled.project.mlx("repro", "--pull", "sum")
    assert done.returncode == 1, done
    assert "data/x.csv is older than recorded" in done.stderr
    assert "on the remote origin" in done.stderr
    assert pulled.read("data/x.csv") == "1\n"
    assert is_as_committed(pulled)


def test_of_a_part_of_a_folder_only_that_part_comes(one: Pipeline, folder: Spot) -> None:
    path = one.root.parent / "part"
    one.project.git("clone", "--quiet", str(one.root), str(path))
    part = Pipeline(Project(path))
    folder.configure(part.project)
    assert part.project.mlx("pull", "images/a").returncode == 0
    change(one)
    part.project.git("pull", "--quiet")
    assert part.project.mlx("repro", "--pull").returncode == 0
    assert images(part) == {"a": "a2\n"}
    assert is_as_committed(part)


def test_status_does_not_call_it_modified(pulled: Pipeline) -> None:
    def lines() -> list[str]:
        found = pulled.project.mlx("status").stdout.splitlines()
        return [line.strip() for line in found if "older" in line or "modified:" in line]

    assert lines() == [
        "older than recorded: images (data:images)  (mlx pull data:images)",
        "older than recorded: data/x.csv (data:x)  (mlx pull data:x)",
    ]
    assert pulled.project.mlx("status", "--exit-code").returncode == 1
    assert pulled.project.mlx("fetch").returncode == 0
    assert lines() == [
        "older than recorded: images (data:images)  (mlx checkout data:images)",
        "older than recorded: data/x.csv (data:x)  (mlx checkout data:x)",
    ]
    found = json.loads(pulled.project.mlx("status", "--json").stdout)
    assert {a["state"] for a in found["artifacts"]} == {"older than recorded"}


def test_add_takes_it_only_by_its_name(pulled: Pipeline) -> None:
    done = pulled.project.mlx("add", "-u")
    assert done.returncode == 0
    assert "data/x.csv is older than recorded" in done.stdout
    assert "mlx pull images data/x.csv" in done.stderr
    assert is_as_committed(pulled)
    assert json.loads(pulled.project.mlx("add", "-u", "--json").stdout)["behind"] == [
        "images",
        "data/x.csv",
    ]
    before = pulled.read("mlx.lock")
    assert pulled.project.mlx("add", "data/x.csv").returncode == 0
    assert pulled.read("mlx.lock") != before
    pulled.outcomes("sum")
    assert (pulled.read("data/x.csv"), pulled.read("sum.txt")) == ("1\n", "1\n")


def test_what_a_hand_has_edited_is_recorded_as_ever(pulled: Pipeline) -> None:
    pulled.write("data/x.csv", "3\n")
    done = pulled.project.mlx("repro", "sum")
    assert done.returncode == 0, done
    assert "recorded first: data/x.csv had changed" in done.stderr
    assert pulled.read("sum.txt") == "3\n"


def test_what_a_hand_has_brought_up_to_date_is_as_recorded(pulled: Pipeline) -> None:
    pulled.write("data/x.csv", "2\n")
    done = pulled.project.mlx("repro", "sum")
    assert (done.returncode, "recorded first" in done.stderr) == (0, False), done
    assert is_as_committed(pulled)


def test_another_branch_and_back(one: Pipeline) -> None:
    change(one)
    one.project.git("checkout", "--quiet", "-b", "before", "HEAD~1")
    assert one.project.mlx("repro").returncode == 1
    one.project.git("checkout", "--quiet", "main")
    assert one.project.mlx("repro").stdout.startswith("nothing to do")
    one.project.git("checkout", "--quiet", "before")
    assert one.project.mlx("checkout").returncode == 0
    assert one.project.mlx("repro").stdout.startswith("nothing to do")
    assert one.read("data/x.csv") == "1\n"


def test_a_worktree_without_data_has_nothing_older(one: Pipeline, tmp_path: Path) -> None:
    change(one)
    bare = Pipeline(one.project.worktree("bare"))
    assert set(bare.outcomes(allow_missing=True).values()) <= {"up-to-date", "restored"}
    bare.project.git("checkout", "--quiet", "--detach", "HEAD~1")
    assert "older" not in bare.project.mlx("status").stdout


def test_a_pull_during_a_run_is_not_undone(pulled: Pipeline, one: Pipeline) -> None:
    assert pulled.project.mlx("pull").returncode == 0
    pulled.declare(
        """
        stages:
          long:
            cmd: git checkout --quiet HEAD~1 -- mlx.lock && echo 1 > long.txt
            deps: [code.py]
            outs: [long.txt]
          reads:
            cmd: cat long.txt data/x.csv > reads.txt
            deps: [long.txt, data/x.csv]
            outs: [reads.txt]
        """
    )
    done = pulled.project.mlx("repro", "-j1")
    assert done.returncode == 1, done
    assert "data/x.csv is older than recorded" in done.stderr
    assert not pulled.path("reads.txt").exists()
