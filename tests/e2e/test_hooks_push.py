"""The pre-push hook: the data of the commits goes first, or the commits do not go."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from clones import Clone


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    """Return a repository with a git remote, and a remote of mlx."""
    clone = Clone.with_data(tmp_path / "p")
    clone.git("init", "--quiet", "--bare", "--initial-branch=main", str(tmp_path / "bare.git"))
    clone.git("remote", "add", "origin", str(tmp_path / "bare.git"))
    clone.ok("remote", "add", "store", str(tmp_path / "remote"))
    return clone


def on_git(clone: Clone, name: str) -> str:
    return clone.git("ls-remote", "origin", f"refs/heads/{name}")


def test_a_colleague_gets_everything_with_clone_install_and_pull(
    clone: Clone, tmp_path: Path
) -> None:
    clone.branch_with("two", "data/a.txt", "a of two\n")
    clone.run("checkout", "--quiet", "main")
    said = clone.run("push", "--quiet", "origin", "main", "two")
    assert "mlx: sent 5 objects" in said
    shutil.rmtree(clone.root / ".git/mlx")
    place = tmp_path / "colleague"
    subprocess.run(["git", "clone", "-q", str(tmp_path / "bare.git"), str(place)], check=True)
    other = Clone(place)
    other.ok("install")
    other.ok("remote", "add", "store", str(tmp_path / "remote"))
    other.ok("pull")
    assert other.read("data/a.txt") == "a of main\n"
    assert "2 files, 11 B not here: mlx pull" in other.run("checkout", "--quiet", "two")
    other.ok("pull")
    assert other.read("data/a.txt") == "a of two\n"
    assert other.is_clean()


def test_only_commits_that_git_sends_send_data(clone: Clone) -> None:
    clone.run("push", "--quiet", "origin", "main")
    clone.branch_with("two", "data/a.txt", "a of two\n")
    clone.run("checkout", "--quiet", "main")
    clone.branch_with("three", "data/b.txt", "b of three\n")
    clone.write("later.txt", "in the workspace alone\n")
    clone.ok("add", "later.txt")
    assert "sent 2 objects" in clone.run("push", "--quiet", "origin", "two")
    clone.git("tag", "-a", "-m", "a tag", "v3", "three")
    assert "sent 2 objects" in clone.run("push", "--quiet", "origin", "v3")
    assert clone.run("push", "--quiet", "origin", "three") == ""
    assert clone.run("push", "--quiet", "origin", ":two") == ""
    assert on_git(clone, "two") == ""


def test_data_that_came_and_went_between_two_pushes_is_sent(clone: Clone) -> None:
    clone.run("push", "--quiet", "origin", "main")
    clone.run("checkout", "--quiet", "-b", "side")
    clone.write("data/a.txt", "for one commit only\n")
    clone.ok("add", "data")
    clone.commit("there")
    clone.run("revert", "--no-edit", "HEAD")
    assert "sent 2 objects" in clone.run("push", "--quiet", "origin", "side")


def test_when_the_data_cannot_be_sent_git_does_not_push(clone: Clone, tmp_path: Path) -> None:
    (tmp_path / "remote").write_text("a file is in its place\n")
    said = clone.run("push", "origin", "main", code=1)
    assert "error: the data was not sent, so git does not push: " in said
    assert "git push --no-verify" in said
    assert on_git(clone, "main") == ""
    clone.run("push", "--quiet", "--no-verify", "origin", "main")
    assert on_git(clone, "main")


def test_data_that_nobody_has_stops_the_push(clone: Clone) -> None:
    shutil.rmtree(clone.root / ".git/mlx/packs", ignore_errors=True)
    shutil.rmtree(clone.root / ".git/mlx/objects", ignore_errors=True)
    said = clone.run("push", "origin", "main", code=1)
    assert "neither here nor on the remote" in said
    assert "--no-verify" in said
    assert on_git(clone, "main") == ""


def test_without_a_remote_of_mlx_git_pushes_and_nothing_is_said(clone: Clone) -> None:
    clone.ok("remote", "rm", "store")
    assert clone.run("push", "--quiet", "origin", "main") == ""
    assert on_git(clone, "main")


def test_a_remote_that_only_the_pushed_commits_declare_counts(clone: Clone) -> None:
    clone.ok("remote", "rm", "store")
    clone.declare("remotes:\n  store:\n    url: http://nothing.invalid/x\n")
    clone.commit("a remote")
    clone.run("switch", "--quiet", "--orphan", "pages")
    clone.write("index.html", "without mlx\n")
    clone.commit("pages")
    assert clone.run("push", "--quiet", "origin", "pages") == ""
    said = clone.run("push", "origin", "main", code=1)
    assert "the data was not sent, so git does not push" in said
    assert on_git(clone, "main") == ""


def test_several_remotes_and_no_default_ask_for_one(clone: Clone, tmp_path: Path) -> None:
    clone.ok("remote", "add", "backup", str(tmp_path / "backup"))
    said = clone.run("push", "origin", "main", code=1)
    assert "mlx remote default NAME" in said
    assert "-r NAME" not in said  # of git push there is no such option
    clone.ok("remote", "default", "store")
    clone.run("push", "--quiet", "origin", "main")
    assert not (tmp_path / "backup").exists()


def test_a_push_from_a_linked_worktree_sends_its_commits(clone: Clone, tmp_path: Path) -> None:
    clone.run("push", "--quiet", "origin", "main")
    clone.run("worktree", "add", "--quiet", "-b", "side", str(tmp_path / "side"))
    side = Clone(tmp_path / "side")
    side.write("data/a.txt", "a of side\n")
    side.ok("add", "data")
    side.commit("side")
    assert "sent 2 objects" in side.run("push", "--quiet", "origin", "side", folder="data")


def test_a_push_to_a_url_and_a_force_push(clone: Clone, tmp_path: Path) -> None:
    url = str(tmp_path / "bare.git")
    assert "sent 3 objects" in clone.run("push", "--quiet", url, "main")
    clone.write("data/a.txt", "amended\n")
    clone.ok("add", "data")
    clone.run("commit", "--quiet", "--amend", "--no-edit", "-a")
    assert "sent 2 objects" in clone.run("push", "--quiet", "--force", url, "main")
