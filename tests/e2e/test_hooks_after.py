"""Hooks after git has changed the files: the data comes along, and nothing is lost."""

from __future__ import annotations

from pathlib import Path

from clones import Clone

from mlxrepo.repo.claims import Claims


def test_switching_branches_brings_the_data_along(tmp_path: Path) -> None:
    clone = Clone.with_data(tmp_path / "p")
    clone.branch_with("two", "data/c.txt", "c of two\n")
    said = clone.run("checkout", "--quiet", "main")
    assert said == "mlx: 0 files written, 1 removed\n"
    assert set(clone.files("data")) == {"data/a.txt", "data/b.txt"}
    assert "1 file written" in clone.run("switch", "--quiet", "two")
    assert clone.read("data/c.txt") == "c of two\n"
    assert clone.is_clean()


def test_nothing_is_said_or_started_where_no_lockfile_changes(tmp_path: Path) -> None:
    clone = Clone.with_data(tmp_path / "p")
    clone.run("checkout", "--quiet", "-b", "code")
    clone.write("code.py", "print()\n")
    clone.commit("code")
    # Whatever starts mlx is told: there is another one on PATH.
    spy = tmp_path / "bin/mlx"
    spy.parent.mkdir()
    spy.write_text("#!/bin/sh\necho started >&2\n")
    spy.chmod(0o755)
    env = {"PATH": f"{spy.parent}:{clone.environment()['PATH']}"}
    assert clone.run("checkout", "--quiet", "main", env=env) == ""
    assert clone.run("checkout", "--quiet", "-b", "here", env=env) == ""
    clone.run("checkout", "--quiet", "main", env=env)
    assert clone.run("merge", "--quiet", "code", env=env) == ""
    assert clone.run("checkout", "--quiet", "HEAD~1", "--", "mlx.yaml", env=env) == ""
    assert clone.run("commit", "--quiet", "--amend", "-m", "x", "--no-verify", env=env) == ""
    clone.git("init", "--quiet", "--bare", str(tmp_path / "bare.git"))
    clone.git("-C", str(tmp_path / "bare.git"), "config", "receive.denyDeleteCurrent", "ignore")
    clone.git("remote", "add", "origin", str(tmp_path / "bare.git"))
    assert "started" in clone.run("push", "--quiet", "origin", "main", env=env)
    clone.write("code.py", "print(1)\n")
    clone.git("commit", "--quiet", "--no-verify", "-am", "more code")
    assert clone.run("push", "--quiet", "origin", "main", env=env) == ""
    assert clone.run("push", "--quiet", "origin", ":main", env=env) == ""
    clone.run("checkout", "--quiet", "-b", "side", "HEAD~1", env=env)
    clone.write("more.py", "print(2)\n")
    clone.git("add", "more.py")
    clone.git("commit", "--quiet", "--no-verify", "-m", "more")
    assert clone.run("rebase", "--quiet", "main", env=env) == ""
    assert clone.path("code.py").exists()


def test_a_repository_without_mlx_is_left_alone(tmp_path: Path) -> None:
    clone = Clone(tmp_path / "p")
    clone.root.mkdir()
    clone.git("init", "--quiet", "--initial-branch=main")
    clone.ok("install")
    clone.write("a.txt")
    assert clone.run("commit", "--quiet", "--allow-empty", "-m", "one") == ""
    clone.git("add", "a.txt")
    assert clone.run("commit", "--quiet", "-m", "two") == ""
    assert clone.run("checkout", "--quiet", "HEAD~1") == ""
    assert clone.run("worktree", "add", "--quiet", str(tmp_path / "side")) == ""


def test_a_merge_brings_the_data_of_both_sides(tmp_path: Path) -> None:
    clone = Clone.with_data(tmp_path / "p")
    clone.branch_with("two", "data/a.txt", "a of two\n")
    clone.run("checkout", "--quiet", "main")
    assert "1 file written" in clone.run("merge", "--quiet", "two")  # a fast-forward
    assert clone.read("data/a.txt") == "a of two\n"
    clone.branch_with("three", "data/b.txt", "b of three\n")
    clone.run("checkout", "--quiet", "main")
    clone.branch_with("four", "data/a.txt", "a of four\n")
    clone.run("merge", "--quiet", "--no-edit", "three")
    assert (clone.read("data/a.txt"), clone.read("data/b.txt")) == ("a of four\n", "b of three\n")
    assert clone.is_clean()
    clone.run("checkout", "--quiet", "main")
    clone.run("merge", "--quiet", "--squash", "four")
    assert clone.read("data/a.txt") == "a of four\n"


def test_a_rebase_ends_with_the_data_of_what_it_made(tmp_path: Path) -> None:
    clone = Clone.with_data(tmp_path / "p")
    clone.branch_with("two", "data/a.txt", "a of two\n")
    clone.run("checkout", "--quiet", "main")
    clone.branch_with("three", "data/b.txt", "b of three\n")
    clone.run("rebase", "--quiet", "two")
    assert (clone.read("data/a.txt"), clone.read("data/b.txt")) == ("a of two\n", "b of three\n")
    assert clone.is_clean()
    clone.run("checkout", "--quiet", "main")
    clone.run("rebase", "--quiet", "three")  # a fast-forward: nothing is rewritten
    assert clone.read("data/b.txt") == "b of three\n"
    assert clone.is_clean()


def test_a_rebase_of_code_onto_data_and_of_data_onto_code(tmp_path: Path) -> None:
    clone = Clone.with_data(tmp_path / "p")
    clone.branch_with("data-first", "data/a.txt", "a\n")
    clone.run("checkout", "--quiet", "-b", "code", "main")
    clone.write("code.py", "1\n")
    clone.commit("code")
    clone.run("rebase", "--quiet", "data-first")
    assert clone.read("data/a.txt") == "a\n"
    clone.run("checkout", "--quiet", "data-first")
    clone.run("checkout", "--quiet", "-b", "other", "main")
    clone.write("more.py", "1\n")
    clone.commit("more")
    clone.run("checkout", "--quiet", "data-first")
    clone.run("rebase", "--quiet", "other")
    assert clone.read("data/a.txt") == "a\n"
    assert clone.is_clean()


def test_a_conflict_is_said_and_stops_no_data(tmp_path: Path) -> None:
    clone = Clone.with_data(tmp_path / "p")
    clone.branch_with("two", "data/a.txt", "a of two\n")
    clone.run("checkout", "--quiet", "main")
    clone.branch_with("three", "data/a.txt", "a of three\n")
    clone.run("merge", "two", code=1)
    assert clone.read("data/a.txt") == "a of three\n"
    done = clone.shell("mlx", "hook", "post-merge", "0")
    assert (done.returncode, done.stderr) == (
        0, "mlx: mlx.lock is in conflict, so the data stays: mlx lock merge settles it\n"
    )  # fmt: skip
    assert clone.read("data/a.txt") == "a of three\n"
    clone.ok("lock", "merge", "--theirs", "data/a.txt")
    clone.run("commit", "--quiet", "-am", "merged")
    clone.ok("checkout")
    assert clone.read("data/a.txt") == "a of two\n"


def test_amending_changes_no_file(tmp_path: Path) -> None:
    clone = Clone.with_data(tmp_path / "p")
    clone.write("data/a.txt", "a, newly\n")
    clone.ok("add", "data")
    clone.run("commit", "--quiet", "--amend", "--no-edit", "-a")
    assert clone.read("data/a.txt") == "a, newly\n"
    assert clone.is_clean()


def test_changed_files_stay_and_the_rest_comes_along(tmp_path: Path) -> None:
    clone = Clone.with_data(tmp_path / "p")
    clone.write("more/x.txt", "x of main\n")
    clone.ok("add", "more")
    clone.commit("more")
    clone.run("checkout", "--quiet", "-b", "two")
    for path in ("data/a.txt", "more/x.txt"):
        clone.write(path, "of two\n")
    clone.ok("add", "data", "more")
    clone.commit("two")
    clone.write("data/a.txt", "nobody else has this\n")
    said = clone.run("checkout", "--quiet", "main")
    assert "left as they are: data/a.txt" in said
    assert clone.read("data/a.txt") == "nobody else has this\n"
    assert clone.read("more/x.txt") == "x of main\n"
    said = clone.run("checkout", "--quiet", "two")  # what is placed is what is recorded again
    assert "data/a.txt" not in said
    assert clone.read("data/a.txt") == "nobody else has this\n"
    assert clone.read("more/x.txt") == "of two\n"


def test_changes_of_what_is_the_same_on_both_sides_come_along_as_in_git(tmp_path: Path) -> None:
    clone = Clone.with_data(tmp_path / "p")
    clone.run("checkout", "--quiet", "-b", "two")
    clone.write("more/x.txt", "x\n")
    clone.ok("add", "more")
    clone.commit("two")
    clone.write("data/a.txt", "not recorded yet\n")
    assert "left" not in clone.run("checkout", "--quiet", "main")
    assert clone.read("data/a.txt") == "not recorded yet\n"
    assert not clone.path("more/x.txt").exists()


def test_what_is_not_here_is_counted(tmp_path: Path) -> None:
    origin = Clone.with_data(tmp_path / "p")
    origin.branch_with("two", "data/a.txt", "a of two\n")
    clone = origin.clone(tmp_path / "clone")
    said = clone.run("checkout", "--quiet", "main")
    assert said == "mlx: 2 files, 12 B not here: mlx pull\n"


def test_data_of_a_branch_goes_where_there_is_no_project(tmp_path: Path) -> None:
    clone = Clone.with_data(tmp_path / "p")
    clone.run("checkout", "--quiet", "--orphan", "docs")
    clone.run("rm", "-rfq", ".")
    clone.run("commit", "--quiet", "--allow-empty", "-m", "docs")
    clone.run("checkout", "--quiet", "main")
    assert clone.read("data/a.txt") == "a of main\n"
    assert "2 removed" in clone.run("checkout", "--quiet", "docs")
    clone.run("checkout", "--quiet", "main")
    assert clone.read("data/a.txt") == "a of main\n"


def test_a_run_that_is_on_its_way_is_not_waited_for(tmp_path: Path) -> None:
    clone = Clone.with_data(tmp_path / "p")
    clone.branch_with("two", "data/a.txt", "a of two\n")
    claims = Claims(str(clone.root / ".git/mlx/worktree/claims"), "the stage train")
    with claims.take(["data"]):  # type: ignore[list-item, union-attr]
        said = clone.run("checkout", "--quiet", "main")
    assert "in use by process" in said
    assert "(the stage train)" in said
    assert clone.read("data/a.txt") == "a of two\n"
    clone.ok("checkout")
    assert clone.read("data/a.txt") == "a of main\n"


def test_in_a_linked_worktree_they_work_on_its_own_files(tmp_path: Path) -> None:
    """In its hooks GIT_DIR leaks: git would answer for the wrong worktree."""
    clone = Clone.with_data(tmp_path / "p")
    clone.branch_with("two", "data/a.txt", "a of two\n")
    clone.run("worktree", "add", "--quiet", str(tmp_path / "side"), "main")
    side = Clone(tmp_path / "side")
    assert side.read("data/a.txt") == "a of main\n"
    side.branch_with("three", "data/b.txt", "b of three\n")
    assert side.is_clean()
    said = side.run("merge", "--quiet", "--no-edit", "two", folder="data")
    assert "1 file written" in said
    assert side.read("data/a.txt") == "a of two\n"
    assert clone.read("data/b.txt") == "b\n"
    assert clone.is_clean()
