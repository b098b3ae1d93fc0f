"""The pre-commit hook: it judges what is staged, and refuses what nobody could check out."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from clones import Clone


def forget_objects(clone: Clone) -> None:
    """Lose the bytes that were stored since the last commit, as a disk or a copied lock does."""
    shutil.rmtree(clone.root / ".git/mlx/packs", ignore_errors=True)
    shutil.rmtree(clone.root / ".git/mlx/objects", ignore_errors=True)


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone.with_data(tmp_path / "p")


def head(clone: Clone) -> str:
    return clone.git("rev-parse", "HEAD")


def test_marks_of_a_conflict_are_refused(clone: Clone) -> None:
    before = head(clone)
    lock = clone.read("mlx.lock")
    clone.write("mlx.lock", lock + "<<<<<<< ours\n=======\n>>>>>>> theirs\n")
    said = clone.run("commit", "-qam", "marks", code=1)
    assert "mlx.lock:5" in said
    assert "mlx lock merge" in said
    assert head(clone) == before
    clone.git("checkout", "mlx.lock")
    clone.git("reset", "-q", "--hard")
    clone.write("README", "other\n")
    clone.write("mlx.lock", lock + "<<<<<<< ours\n")  # not staged: no part of the commit
    clone.run("add", "README")
    clone.run("commit", "-qm", "without marks")


def test_a_row_without_its_object_is_refused_and_no_verify_commits_it(clone: Clone) -> None:
    before = head(clone)
    clone.write("data/c.txt", "nobody has this\n")
    clone.write("more.txt", "nor this\n")
    clone.ok("add", "data", "more.txt")
    forget_objects(clone)
    said = clone.run("commit", "-qam", "lost", code=1)
    assert "data (data:dataset)" in said or "data/c.txt" in said
    assert "more.txt (data:more)" in said
    assert "--no-verify" in said
    assert head(clone) == before
    clone.run("commit", "-qam", "lost", "--no-verify")
    assert head(clone) != before
    clone.write("README", "what HEAD records is nothing that this commit adds\n")
    clone.run("add", "README")
    clone.run("commit", "-qm", "later")
    clone.run("commit", "-q", "--amend", "-m", "amended")


def test_one_lost_file_of_a_folder_is_named(clone: Clone) -> None:
    for name in "cd":
        clone.write(f"data/{name}.txt", f"new {name}\n" * 400_000)  # large: an object of its own
    clone.ok("add", "data")
    large = [
        p for p in (clone.root / ".git/mlx").rglob("*") if p.is_file() and p.stat().st_size > 1e6
    ]
    assert len(large) == 2
    large[0].chmod(0o644)
    large[0].unlink()
    said = clone.run("commit", "-qam", "lost", code=1)
    assert said.count("error: ") == 1
    assert "data/c.txt" in said or "data/d.txt" in said


def test_what_a_remote_had_counts_without_asking_it(clone: Clone, tmp_path: Path) -> None:
    clone.write("data/c.txt", "c\n")
    clone.ok("add", "data")
    clone.ok("remote", "add", "store", str(tmp_path / "remote"))
    clone.ok("push")
    forget_objects(clone)
    shutil.rmtree(tmp_path / "remote")  # it is not asked
    clone.run("commit", "-qam", "on the remote")


def test_rows_of_the_other_side_of_a_merge_count(clone: Clone, tmp_path: Path) -> None:
    """Their objects were never here; they are what another commit records."""
    other = clone.clone(tmp_path / "other")
    other.write("theirs.txt", "theirs\n")
    other.ok("add", "theirs.txt")
    other.write("README", "theirs\n")
    other.commit("theirs")
    clone.write("README", "ours\n")
    clone.commit("ours")
    clone.run("pull", "--quiet", "--no-rebase", str(other.root), "main", code=1)
    clone.write("README", "both\n")
    clone.run("commit", "-qam", "merged")
    clone.run("reset", "--quiet", "--hard", "HEAD~1")
    clone.run("fetch", "--quiet", str(other.root), "main")
    clone.run("cherry-pick", "FETCH_HEAD", code=1)
    clone.write("README", "both\n")
    clone.run("commit", "-qam", "picked")


def test_a_partial_commit_is_judged_by_what_goes_into_it(clone: Clone) -> None:
    clone.write("more.txt", "lost\n")
    clone.ok("add", "more.txt")
    forget_objects(clone)
    clone.run("add", "-A")
    clone.write("README", "docs\n")
    clone.run("add", "README")
    clone.run("commit", "-qm", "docs only", "--", "README")  # the bad row is staged, and stays so
    assert "mlx.lock" in clone.git("diff", "--cached", "--name-only")
    clone.run("commit", "-qm", "the lock only", "--", "mlx.lock", code=1)
    clone.run("commit", "-qm", "all", code=1)


def test_data_that_was_changed_and_not_added_is_warned_of(clone: Clone) -> None:
    clone.write("data/a.txt", "changed\n")
    clone.write("README", "docs\n")
    clone.run("add", "README")
    said = clone.run("commit", "-qm", "docs")
    assert said.startswith("warning: not as this commit records it: data (")
    clone.git("config", "mlx.precommit", "block")
    before = head(clone)
    said = clone.run("commit", "-q", "--allow-empty", "-m", "again", code=1)
    assert "mlx.precommit is block" in said
    assert head(clone) == before
    clone.ok("add", "data")
    said = clone.run("commit", "-q", "--allow-empty", "-m", "the lock is not staged", code=1)
    assert "git add mlx.lock" in said
    assert clone.run("commit", "-qam", "recorded") == ""


def test_data_that_is_older_than_recorded_is_nothing_to_warn_of(clone: Clone) -> None:
    clone.write("data/a.txt", "changed\n")
    clone.ok("add", "data")
    assert clone.run("commit", "-qam", "changed") == ""
    clone.git("config", "mlx.precommit", "block")
    clone.git("checkout", "HEAD~1", "--", "mlx.lock")  # data stays as the later lock has it
    assert clone.run("commit", "-qm", "back") == ""


def test_a_lock_that_is_stale_in_the_index_is_warned_of(tmp_path: Path) -> None:
    clone = Clone.with_pipeline(tmp_path / "p")
    assert isinstance(clone, Clone)
    clone.ok("install")
    clone.ok("repro")
    assert clone.run("add", "-A") == ""
    assert clone.run("commit", "-qm", "all of it") == ""
    clone.write("params.yaml", "train:\n  rounds: 3\n")
    said = clone.run("commit", "-qam", "params alone")
    assert "stale in this commit: train, evaluate" in said
    clone.ok("repro")
    clone.run("add", "params.yaml", "metrics.json")
    said = clone.run("commit", "-q", "--allow-empty", "-m", "the new lock stays behind")
    assert "stale in this commit: train" in said
    assert clone.run("commit", "-qam", "with the lock") == ""
    # The workspace is not what is committed: staged code is judged, and what is not staged is not.
    script = clone.read("src/train.py")
    clone.write("src/train.py", script + "# staged\n")
    clone.run("add", "src/train.py")
    clone.write("src/train.py", script)
    assert clone.ok("lock", "check").startswith("fresh")
    assert "stale in this commit: train" in clone.run("commit", "-qm", "staged code")
    clone.git("reset", "-q", "--hard", "HEAD~1")
    clone.write("src/train.py", script + "# in the workspace\n")
    clone.write("README", "docs\n")
    clone.run("add", "README")
    assert clone.run("commit", "-qm", "docs") == ""
    clone.git("config", "mlx.precommit", "block")
    clone.run("commit", "-qam", "stale", code=1)


def test_what_differs_from_the_workspace_is_read_without_filters(tmp_path: Path) -> None:
    """As those of LFS, which would download; what is staged as it lies there counts as it lies."""
    clone = Clone.begin(tmp_path / "p")
    assert isinstance(clone, Clone)
    clone.ok("install")
    note = tmp_path / "smudged"
    clone.git("config", "filter.spy.clean", "tr b a")
    clone.git("config", "filter.spy.smudge", f"touch '{note}'; tr a b")
    clone.write(".gitattributes", clone.read(".gitattributes") + "*.big filter=spy\n")
    clone.write("in/x.big", "bbb\n")
    clone.declare("stages:\n  s:\n    cmd: cat in/* p > n\n    deps: [in, p]\n    outs: [n]\n")
    clone.write("p", "1\n")
    clone.ok("repro")
    assert clone.commit("first")
    clone.write("p", "2\n")
    assert clone.run("commit", "-q", "--allow-empty", "-m", "unstaged") == ""
    clone.run("add", "p")
    clone.write("p", "1\n")
    said = clone.run("commit", "-qm", "staged")
    assert said.startswith("warning: stale in this commit: s (")
    assert not note.exists()


def test_a_merge_is_judged_too(clone: Clone) -> None:
    """Git calls another hook for it, before it notes what it merges."""
    clone.declare("stages:\n  s:\n    cmd: cat p q > n\n    deps: [p, q]\n    outs: [n]\n")
    for name in "pq":
        clone.write(name, "1\n")
    clone.ok("repro")
    clone.commit("a stage")
    clone.git("branch", "side")
    for branch, changed in (("side", "p"), ("main", "pq")):
        clone.run("checkout", "-q", branch)
        for name in changed:
            clone.write(name, "2\n")
        clone.write("data/a.txt" if branch == "side" else "README", "new\n")
        clone.ok("add", "data")
        clone.ok("repro")
        clone.commit(f"ran on {branch}")
    forget_objects(clone)  # what the other side records is known, though it is nowhere
    clone.git("config", "mlx.precommit", "block")
    clone.run("merge", "-q", "--no-edit", "side", code=1)
    clone.run("merge", "--abort")
    clone.git("config", "mlx.precommit", "warn")
    said = clone.run("merge", "-q", "--no-edit", "side")
    assert "not known to be fresh in this commit: s: it is unverified" in said
    assert "is recorded, and its object" not in said


def test_what_cannot_be_judged_is_said_and_stops_nothing_unless_it_shall(clone: Clone) -> None:
    clone.write("mlx.yaml", clone.read("mlx.yaml") + "stages: 3\n")
    said = clone.run("commit", "-qam", "broken mlx.yaml")
    assert "whether mlx.lock is stale is not known: mlx.yaml:" in said
    clone.write("mlx.yaml", clone.read("mlx.yaml") + "<<<<<<< ours\n=======\n>>>>>>> theirs\n")
    said = clone.run("commit", "-qam", "marks", code=1)
    assert "mlx.yaml is staged with the marks of a conflict" in said
    clone.git("reset", "-q", "--hard")
    clone.git("config", "mlx.precommit", "block")
    said = clone.run("commit", "-q", "--allow-empty", "-m", "broken still", code=1)
    assert "mlx.precommit is block" in said
    clone.git("config", "mlx.precommit", "wran")
    clone.write("README", "x\n")
    clone.run("add", "-A")
    said = clone.run("commit", "-qm", "a setting of no meaning", code=1)
    assert "not one of warn, block" in said


def test_the_first_commit_is_judged_too(tmp_path: Path) -> None:
    clone = Clone.begin(tmp_path / "p")
    assert isinstance(clone, Clone)
    clone.ok("install")
    clone.write("data.txt", "lost\n")
    clone.ok("add", "data.txt")
    clone.run("add", "-A")
    forget_objects(clone)
    said = clone.run("commit", "-qm", "first", code=1)
    assert "data.txt (data:dataset)" in said
    clone.ok("add", "data.txt")
    clone.run("commit", "-qm", "first")


def test_in_a_linked_worktree_its_own_index_is_judged(clone: Clone, tmp_path: Path) -> None:
    clone.run("worktree", "add", "--quiet", str(tmp_path / "side"))
    side = Clone(tmp_path / "side")
    lock = side.read("mlx.lock")
    side.write("mlx.lock", lock + ">>>>>>> theirs\n")
    side.run("commit", "-qam", "marks", code=1)
    clone.run("commit", "-q", "--allow-empty", "-m", "beside it")


def test_a_lock_that_is_only_meant_to_be_added_is_no_part_of_the_commit(tmp_path: Path) -> None:
    """After `git add -N` the index holds it empty, and `git checkout -- mlx.lock` would wipe it."""
    clone = Clone.begin(tmp_path / "p")
    assert isinstance(clone, Clone)
    clone.ok("install")
    clone.write("data.txt", "here\n")
    clone.ok("add", "data.txt")
    lock = clone.read("mlx.lock")
    clone.write("README", "docs\n")
    clone.run("add", "README", "mlx.yaml")
    clone.run("add", "-N", "mlx.lock", ".gitignore")
    assert clone.run("commit", "-qm", "docs") == ""
    assert "mlx.lock" not in clone.git("ls-tree", "--name-only", "HEAD")
    clone.git("reset", "-q")
    clone.write("mlx.lock", "")  # this one is staged as it is, and mended meanwhile
    clone.run("add", "mlx.lock")
    clone.write("mlx.lock", lock)
    said = clone.run("commit", "-qm", "empty", code=1)
    assert "git add mlx.lock" in said
    assert "git checkout" not in said
