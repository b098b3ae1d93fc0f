"""Outs set aside: back after a failure, after an error on the way, after a kill at any point."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pipeline_project import Pipeline
from powercut import PowerCut
from sandbox import Project

from mlxrepo.files import make_folder
from mlxrepo.paths import RepoPath
from mlxrepo.pipeline import aside as module
from mlxrepo.pipeline.aside import Aside, recover
from mlxrepo.repo.repo import Repo

OUTS = [RepoPath("one.txt"), RepoPath("box"), RepoPath("deep/new.txt")]


STAGES = """
stages:
  train: {cmd: "true", outs: [one.txt, box, deep/new.txt]}
"""


@pytest.fixture
def repo(pipe: Pipeline) -> Repo:
    """A project with a file and a folder that are outs; the third out is not there yet."""
    pipe.write("mlx.yaml", "stages: {}\n")
    pipe.write("one.txt", "good\n")
    pipe.write("box/a.txt", "a\n")
    os.makedirs(pipe.path(".git/mlx/runs/r1/train"))
    return pipe.project.repo()


def take(repo: Repo) -> Aside:
    return Aside.take(repo, "r1", "train", OUTS)


def spoil(pipe: Pipeline) -> None:
    """Leave what a failing stage leaves."""
    pipe.write("one.txt", "half\n")
    pipe.write("box/b.txt", "b\n")
    pipe.write("deep/new.txt", "new\n")


def is_good(pipe: Pipeline) -> bool:
    files = {name: data for name, data in pipe.project.files().items() if name[0] != "."}
    return files == {"mlx.yaml": b"stages: {}\n", "one.txt": b"good\n", "box/a.txt": b"a\n"}


def test_outs_are_away_while_a_stage_runs(pipe: Pipeline, repo: Repo) -> None:
    take(repo)
    assert not pipe.path("one.txt").exists()
    assert not pipe.path("box").exists()


def test_a_failure_brings_the_last_outs_back_and_keeps_what_failed(
    pipe: Pipeline, repo: Repo
) -> None:
    aside = take(repo)
    spoil(pipe)
    assert set(aside.put_back()) == set(OUTS)
    assert is_good(pipe)
    assert pipe.kept_by_runs() == {"one.txt": "half\n", "b.txt": "b\n", "new.txt": "new\n"}
    assert recover(repo, repo.claims("mlx repro")) == []


def test_a_success_leaves_nothing_aside(pipe: Pipeline, repo: Repo, tmp_path: Path) -> None:
    aside = take(repo)
    spoil(pipe)
    kept = aside.discard([RepoPath("one.txt")], str(tmp_path / "trash"))
    assert kept == [str(tmp_path / "trash/one.txt")]
    assert Path(kept[0]).read_text() == "good\n"
    assert pipe.kept_by_runs() == {}
    assert recover(repo, repo.claims("mlx repro")) == []
    assert pipe.read("one.txt") == "half\n"


class Killed(BaseException):
    """Stands for a kill: nothing tidies up after it."""


@pytest.mark.parametrize("step", range(1, 5))
def test_a_kill_between_any_two_moves_is_mended_by_the_next_run(
    pipe: Pipeline, repo: Repo, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    steps = iter(range(1, 100))
    true_move = module.move

    def move(source: str, target: str, *, flush: bool = True) -> None:
        if next(steps) == step:
            raise Killed
        true_move(source, target, flush=flush)

    aside = take(repo)
    spoil(pipe)
    monkeypatch.setattr(module, "move", move)
    with pytest.raises(Killed):
        aside.put_back()
    monkeypatch.undo()
    recover(repo, repo.claims("mlx repro"))
    pipe.write("mlx.yaml", "stages: {}\n")
    assert is_good(pipe)
    assert pipe.kept_by_runs() == {"one.txt": "half\n", "b.txt": "b\n", "new.txt": "new\n"}


def test_an_error_on_the_way_puts_back_what_was_moved(
    pipe: Pipeline, repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_move = module.move

    def move(source: str, target: str, *, flush: bool = True) -> None:
        if source.endswith("/box"):
            raise PermissionError
        true_move(source, target, flush=flush)

    monkeypatch.setattr(module, "move", move)
    with pytest.raises(PermissionError):
        take(repo)
    assert is_good(pipe)
    assert recover(repo, repo.claims("mlx repro")) == []


def test_what_was_set_aside_is_found_after_the_project_was_moved(
    pipe: Pipeline, repo: Repo, tmp_path: Path
) -> None:
    take(repo)
    pipe.root.rename(tmp_path / "elsewhere")
    moved = Project(tmp_path / "elsewhere")
    assert recover(moved.repo(), moved.repo().claims("mlx repro")) == OUTS[:2]
    assert (tmp_path / "elsewhere/one.txt").read_text() == "good\n"


def test_worktrees_recover_their_own_outs_only(pipe: Pipeline, repo: Repo) -> None:
    pipe.write("mlx.yaml", STAGES)
    pipe.project.commit()
    other = pipe.project.worktree("other")
    (other.root / "one.txt").write_text("other\n")
    take(repo)
    assert recover(other.repo(), other.repo().claims("mlx repro")) == []
    assert other.read("one.txt") == "other\n"
    assert not pipe.path("one.txt").exists()
    recover(repo, repo.claims("mlx repro"))
    pipe.write("mlx.yaml", "stages: {}\n")
    assert is_good(pipe)


def test_a_file_of_git_s_is_not_replaced_by_an_out_of_a_stage_that_is_gone(
    pipe: Pipeline, repo: Repo
) -> None:
    take(repo)
    pipe.write("one.txt", "of git\n")
    pipe.project.commit()
    said: list[str] = []
    assert recover(repo, repo.claims("mlx repro"), said.append) == [OUTS[1]]
    assert pipe.read("one.txt") == "of git\n"
    assert pipe.trash() == {"one.txt": "good\n"}
    assert "git has a file there now: the last out is in " in said[0]


def test_what_made_room_is_told(pipe: Pipeline, repo: Repo) -> None:
    take(repo)
    pipe.write("one.txt", "by hand\n")
    said: list[str] = []
    recover(repo, repo.claims("mlx repro"), said.append)
    [place] = [text.rpartition(" ")[2] for text in said if "what lay there is" in text]
    assert Path(place).read_text() == "by hand\n"


def test_outs_on_another_disk_than_the_git_dir_wait_beside_them(tmp_path: Path) -> None:
    root = tmp_path / "project"
    root.mkdir()
    far = Path("/dev/shm" if os.stat("/dev/shm").st_dev != os.stat(root).st_dev else "/var/tmp")
    git_dir = far / f"mlx-test-{os.getpid()}"
    Project(root).git("init", "--quiet", f"--separate-git-dir={git_dir}")
    try:
        pipe = Pipeline(Project.create(root))
        pipe.write("mlx.yaml", "stages: {}\n")
        pipe.write("one.txt", "good\n")
        repo = pipe.project.repo()
        os.makedirs(repo.shared("runs", "r1", "train"))
        inode = pipe.path("one.txt").stat().st_ino
        aside = Aside.take(repo, "r1", "train", [RepoPath("one.txt")])
        assert not [name for name in pipe.project.untracked() if name.startswith(".mlx/")]
        pipe.write("one.txt", "half\n")
        aside.put_back()
        assert pipe.read("one.txt") == "good\n"
        assert pipe.path("one.txt").stat().st_ino == inode  # renamed, not copied
    finally:
        module.remove_any(str(git_dir))


def test_what_only_the_workspace_has_survives_a_power_cut_at_any_point(
    pipe: Pipeline, repo: Repo
) -> None:
    steps = 0

    def check(power: PowerCut) -> None:
        nonlocal steps
        left, steps = power.strict(), steps + 1
        if left.get("one.txt") != b"good\n":
            assert left[".git/mlx/runs/r2/train/aside/0"] == b"good\n"
            assert b'"one.txt"' in left[".git/mlx/worktree/aside/r2.train"]

    with PowerCut(pipe.root, check).watching():
        make_folder(str(pipe.path(".git/mlx/runs/r2/train")), flush=False)
        aside = Aside.take(repo, "r2", "train", OUTS)
        spoil(pipe)
        aside.put_back()
    assert steps > 20
    assert is_good(pipe)


def test_what_the_store_has_is_set_aside_without_a_flush(pipe: Pipeline, repo: Repo) -> None:
    make_folder(repo.worktree_file(module.MANIFESTS_FOLDER))
    with PowerCut(pipe.root).watching() as power:
        before = power.strict()
        Aside.take(repo, "r1", "train", OUTS, stored=True).put_back()
        assert power.strict() == before
