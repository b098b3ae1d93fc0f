"""The ids of .pre-commit-hooks.yaml, run by the real pre-commit framework, offline."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from clones import Clone, hook, without_mlx
from user import User

ROOT = Path(__file__).parents[2]
IDS = ("pre-commit", "pre-push", "post-checkout", "post-merge", "post-rewrite")
TYPES = ("pre-merge-commit", *IDS)


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clone:
    """Return a project whose hooks are pre-commit's."""
    monkeypatch.setenv("PRE_COMMIT_HOME", str(tmp_path / "home of pre-commit"))
    source = User(tmp_path / "mlx")
    source.root.mkdir()
    source.git("init", "--quiet", "--initial-branch=main")
    shutil.copy(ROOT / ".pre-commit-hooks.yaml", source.root)
    commit = source.commit("the ids")
    clone = Clone.with_data(tmp_path / "p")
    clone.ok("uninstall")
    ids = "".join(f"      - id: mlx-{name}\n" for name in IDS)
    clone.write(
        ".pre-commit-config.yaml",
        f"default_install_hook_types: [{', '.join(TYPES)}]\n"
        f"repos:\n  - repo: {source.root}\n    rev: {commit}\n    hooks:\n{ids}",
    )
    pre_commit(clone, "install")
    clone.commit("hooks of pre-commit")
    return clone


def pre_commit(clone: Clone, *words: str) -> str:
    done = clone.shell(sys.executable, "-m", "pre_commit", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_data_comes_along_and_is_sent(clone: Clone, tmp_path: Path) -> None:
    clone.branch_with("two", "data/a.txt", "a of two\n")
    clone.run("checkout", "--quiet", "main")
    assert clone.read("data/a.txt") == "a of main\n"
    clone.run("merge", "--quiet", "two")
    assert clone.read("data/a.txt") == "a of two\n"
    clone.git("init", "--quiet", "--bare", str(tmp_path / "bare.git"))
    clone.git("remote", "add", "origin", str(tmp_path / "bare.git"))
    clone.ok("remote", "add", "store", str(tmp_path / "remote"))
    clone.run("push", "--quiet", "origin", "main")
    assert list((tmp_path / "remote/indexes").iterdir())
    clone.run("checkout", "--quiet", "-b", "code", "HEAD~1")
    clone.write("code.py", "1\n")
    clone.commit("code")
    clone.run("rebase", "--quiet", "main")
    assert clone.read("data/a.txt") == "a of two\n"
    clone.run("checkout", "--quiet", "main")
    done = clone.shell("git", "merge", "--no-ff", "--no-edit", "code")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "mlx pre-commit" in done.stdout + done.stderr  # of a merge, too


def test_what_nobody_has_is_refused_unless_mlx_is_not_on_path(clone: Clone, tmp_path: Path) -> None:
    clone.write("lost.txt", "lost\n")
    clone.ok("add", "lost.txt")
    shutil.rmtree(clone.root / ".git/mlx/packs", ignore_errors=True)
    shutil.rmtree(clone.root / ".git/mlx/objects", ignore_errors=True)
    done = clone.shell("git", "commit", "-qam", "lost")
    assert done.returncode == 1
    assert "neither in the store" in done.stdout + done.stderr
    few = {"PATH": f"{without_mlx(tmp_path)['PATH']}:/usr/bin:/bin"}
    done = clone.shell("git", "commit", "-qam", "lost", env=few)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "mlx is not on PATH: its pre-commit hook did nothing" in done.stdout + done.stderr


def test_its_hooks_and_those_of_install_live_together(clone: Clone) -> None:
    """Pre-commit runs what it found as `.legacy`; mlx what it found in `hooks.before-mlx`."""
    pre_commit(clone, "uninstall")
    folder = clone.root / ".git/hooks"
    mine = hook(folder / "pre-commit", "#!/bin/sh\necho mine ran >&2\n")
    clone.ok("install")
    pre_commit(clone, "install")
    assert (folder / "pre-commit.legacy").exists()
    done = clone.shell("git", "commit", "--allow-empty", "-qm", "all three")
    assert done.returncode == 0
    assert "mine ran" in done.stdout + done.stderr
    assert "mlx pre-commit" in done.stdout + done.stderr
    assert clone.json("install")["hooks"] == []
    clone.ok("uninstall")
    assert (folder / "pre-commit.legacy").read_bytes() == mine
    pre_commit(clone, "uninstall")
    assert (folder / "pre-commit").read_bytes() == mine


def test_pre_commit_that_is_installed_once_more_runs_once(clone: Clone) -> None:
    """It is what mlx found, and it found mlx: each would run the other."""
    clone.ok("install")
    pre_commit(clone, "install")
    folder = clone.root / ".git/hooks"
    theirs = (folder / "pre-commit").read_bytes()
    for is_settled in (False, True):
        done = clone.shell("git", "commit", "--allow-empty", "-m", "both")
        assert done.returncode == 0, done.stdout + done.stderr
        assert (done.stdout + done.stderr).count("mlx pre-commit") == 1
        assert ("without the hooks" not in clone.mlx("doctor").stdout) == is_settled
        assert ("nothing to do" in clone.ok("install")) == is_settled
    clone.ok("uninstall")
    assert (folder / "pre-commit").read_bytes() == theirs
    assert not (folder / "pre-commit.legacy").exists()
    clone.shell("git", "commit", "--allow-empty", "-m", "theirs")
    assert clone.git("log", "-1", "--format=%s") == "theirs\n"
