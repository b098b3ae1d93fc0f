"""Every state that git can be in: mlx works, or says why not and what to do, in one sentence."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from clones import Clone
from user import User

VERBS = ("init", "status", "add data", "checkout", "repro", "push", "install")


def shared_store(clone: User, other: User) -> None:
    """Let a clone take its data from the store of another one."""
    clone.git("config", "mlx.store", str(other.root / ".git/mlx"))


@pytest.fixture
def origin(tmp_path: Path) -> Clone:
    """Return a project of two commits with different data, a stage, and a remote that has it."""
    clone = Clone.with_data(tmp_path / "origin")
    clone.declare("stages:\n  count:\n    cmd: wc -l data/* > n\n    deps: [data]\n    outs: [n]\n")
    clone.write("data/a.txt", "a of the second commit\n")
    clone.ok("add", "data")
    clone.ok("repro")
    clone.commit("second")
    clone.ok("remote", "add", "store", str(tmp_path / "remote"))
    clone.ok("push")
    clone.git("config", "uploadpack.allowFilter", "true")
    return clone


def cloned(origin: Clone, place: Path, *options: str) -> Clone:
    url = f"file://{origin.root}"
    words = ["git", "clone", "--quiet", *options, url, str(place)]
    subprocess.run(words, check=True, env=origin.environment())
    clone = Clone(place)
    clone.ok("install")
    clone.ok("remote", "add", "store", str(place.parent / "remote"))
    return clone


def test_without_a_commit(tmp_path: Path) -> None:
    user = Clone(tmp_path / "p")
    user.root.mkdir()
    user.git("init", "--quiet", "--initial-branch=main")
    assert "mlx init" in user.fails(2, "status")
    user.ok("init")
    user.ok("install")
    user.write("data/a.txt", "a\n")
    user.ok("add", "data")
    user.declare("stages:\n  count:\n    cmd: wc -l data/* > n\n    deps: [data]\n    outs: [n]\n")
    user.ok("repro")
    user.ok("checkout")
    assert user.ok("status").startswith("clean")
    user.ok("remote", "add", "store", str(tmp_path / "remote"))
    user.ok("push")
    assert "there is no commit yet" in user.fails(3, "checkout", "--rev", "HEAD")
    user.run("add", "--all")
    user.run("commit", "--quiet", "-m", "first")


def test_on_a_detached_head(origin: Clone, tmp_path: Path) -> None:
    origin.run("checkout", "--quiet", "--detach", "HEAD~1")
    assert origin.read("data/a.txt") == "a of main\n"
    origin.write("data/c.txt", "c\n")
    for verb in VERBS:
        origin.ok(*verb.split())
    origin.commit("detached")
    origin.git("init", "--quiet", "--bare", str(tmp_path / "bare.git"))
    said = origin.run("push", "--quiet", str(tmp_path / "bare.git"), "HEAD:refs/heads/new")
    assert said == ""  # mlx push was one of the verbs
    assert origin.is_clean()


def test_in_a_shallow_clone(origin: Clone, tmp_path: Path) -> None:
    clone = cloned(origin, tmp_path / "shallow", "--depth=1")
    clone.ok("pull")
    for verb in VERBS:
        clone.ok(*verb.split())
    clone.write("data/c.txt", "c\n")
    clone.ok("add", "data")
    clone.ok("repro")
    assert clone.commit("in a shallow clone")
    assert "sent" in clone.run("push", "--quiet", "origin", "HEAD:refs/heads/new")
    assert "git fetch --unshallow" in clone.fails(3, "gc")
    for words in (["metrics", "diff", "HEAD~2"], ["checkout", "--rev", "HEAD~2"]):
        said = clone.fails(3, *words)
        assert "the history of this shallow clone is cut off" in said
        assert "git fetch --deepen" in said


def test_in_a_partial_clone_nothing_is_fetched_but_by_push(origin: Clone, tmp_path: Path) -> None:
    clone = cloned(origin, tmp_path / "partial", "--filter=blob:none")
    away = origin.root.rename(tmp_path / "away")
    clone.ok("pull")
    for verb in VERBS:
        if verb != "push":
            clone.ok(*verb.split())
    clone.write("data/c.txt", "c\n")
    clone.ok("add", "data")
    clone.ok("repro")
    assert clone.commit("in a partial clone")
    said = clone.fails(3, "checkout", "--rev", "HEAD~2")
    assert "git fetch --refetch --no-filter" in said
    away.rename(origin.root)
    assert "partial clone" in clone.fails(3, "checkout", "--rev", "HEAD~2")  # reachable, not asked
    assert "sent" in clone.run("push", "--quiet", "origin", "HEAD:refs/heads/new")
    clone.ok("push")  # of the whole history: git gets the lockfiles
    clone.git("fetch", "--quiet", "--refetch", "--no-filter")
    assert clone.mlx("checkout", "--rev", "HEAD~2").returncode == 1  # that data is not here


def test_in_a_linked_worktree(origin: Clone, tmp_path: Path) -> None:
    origin.run("worktree", "add", "--quiet", "-b", "side", str(tmp_path / "side"), "HEAD~1")
    side = Clone(tmp_path / "side")
    assert side.read("data/a.txt") == "a of main\n"
    for verb in VERBS:
        side.ok(*verb.split())
    # git sets these in the hooks of a linked worktree; another repository is meant then.
    leaked = {"GIT_DIR": str(origin.root / ".git/worktrees/side"), "GIT_INDEX_FILE": "/nowhere"}
    done = origin.mlx("ls", "--json", env=leaked)
    assert done.stdout == origin.ok("ls", "--json")


def test_in_a_submodule(origin: Clone, tmp_path: Path) -> None:
    outer = Clone.begin(tmp_path / "outer")
    local = ("-c", "protocol.file.allow=always")
    outer.run(*local, "submodule", "--quiet", "add", str(origin.root), "sub")
    inner = Clone(outer.root / "sub")
    inner.ok("remote", "add", "store", str(tmp_path / "remote"))
    inner.ok("pull")
    for verb in VERBS:
        inner.ok(*verb.split())
    assert inner.read("data/a.txt") == "a of the second commit\n"
    assert "not here: mlx pull" in inner.run("checkout", "--quiet", "HEAD~1")
    outer.run("add", "sub")
    outer.run("commit", "--quiet", "-m", "the submodule")
    assert outer.ok("status").startswith("clean")
    assert "a git repository of its own" in outer.fails(2, "add", "sub/data/a.txt")


def test_in_a_sparse_checkout(origin: Clone, tmp_path: Path) -> None:
    origin.write("deep/d.txt", "d\n")
    origin.ok("add", "deep/d.txt")
    origin.write("deep/.gitignore", "*.tmp\n" + origin.read("deep/.gitignore"))
    origin.write("code/run.py", "print()\n")
    origin.write("keep/k", "k\n")
    origin.declare(
        "  code:\n    cmd: cat code/run.py > c\n    deps: [code/run.py]\n    outs: [c]\n"
    )
    origin.ok("repro")
    origin.commit("more")
    clone = cloned(origin, tmp_path / "sparse", "--sparse")
    shared_store(clone, origin)
    clone.run("sparse-checkout", "set", "keep")
    assert not clone.path("deep/.gitignore").exists()
    clone.ok("checkout")
    assert clone.read("deep/d.txt") == "d\n"
    assert clone.read("deep/.gitignore").startswith("*.tmp\n")  # not written anew
    assert clone.git("status", "--porcelain") == ""
    said = clone.fails(2, "repro", "code")
    assert '"code/run.py" is outside of the sparse checkout' in said
    assert "git sparse-checkout add code" in said
    clone.ok("repro", "count")
    clone.run("checkout", "--quiet", "HEAD~1")
    assert clone.git("status", "--porcelain") == ""
    clone.run("sparse-checkout", "set", "--no-cone", "/keep/")
    for verb in VERBS:
        if verb != "install":
            assert "mlx.yaml is outside of the sparse" in clone.fails(2, *verb.split())
    clone.ok("install")
    assert clone.run("checkout", "--quiet", "main") == ""
    assert clone.read("data/a.txt") == "a of the second commit\n"  # what is here stays


def test_a_project_file_that_was_deleted(origin: Clone) -> None:
    origin.path("mlx.yaml").unlink()
    assert "git checkout -- mlx.yaml" in origin.fails(2, "status")
    assert "git checkout -- mlx.yaml" in origin.fails(2, "init")


@pytest.mark.parametrize("way", ["merge", "rebase", "cherry-pick"])
def test_while_git_waits_for_a_conflict_to_be_settled(origin: Clone, way: str) -> None:
    origin.branch_with("two", "data/a.txt", "a of two\n")
    origin.run("checkout", "--quiet", "main")
    origin.write("data/a.txt", "a of main, too\n")
    origin.ok("add", "data")
    origin.commit("third")
    origin.run(way, "two", code=1)
    for verb in ("status", "add data", "checkout", "repro", "push"):
        said = origin.fails(2, *verb.split())
        assert "mlx.lock:3" in said
        assert "mlx lock merge" in said
    origin.ok("init")
    origin.ok("install")
    origin.ok("lock", "merge", "--theirs", "data/a.txt")
    origin.run("add", "mlx.lock")
    if way == "merge":
        origin.run("commit", "--quiet", "--no-edit")
    else:
        origin.run("-c", "core.editor=true", way, "--continue")
    origin.ok("checkout")
    theirs = "a of main, too\n" if way == "rebase" else "a of two\n"
    assert origin.read("data/a.txt") == theirs
    origin.ok("repro")
    assert origin.ok("status").startswith("clean")


def test_a_stash_keeps_the_lockfile_and_gc_its_data(origin: Clone) -> None:
    origin.write("data/a.txt", "stashed\n")
    origin.ok("add", "data")
    origin.run("stash", "--quiet")
    origin.ok("checkout")
    assert origin.read("data/a.txt") == "a of the second commit\n"
    origin.git("config", "mlx.gcGrace", "1")
    origin.ok("gc", "-y")
    for verb in VERBS:
        origin.ok(*verb.split())
    origin.run("stash", "pop", "--quiet")
    origin.ok("checkout")
    assert origin.read("data/a.txt") == "stashed\n"


def test_in_a_bare_repository(origin: Clone, tmp_path: Path) -> None:
    origin.git("clone", "--quiet", "--bare", str(origin.root), str(tmp_path / "bare.git"))
    bare = Clone(tmp_path / "bare.git")
    for verb in VERBS:
        said = bare.fails(2, *verb.split())
        assert "is a bare repository" in said
        assert "git worktree add" in said
    top = Clone(tmp_path / "top")  # for worktrees in it
    top.root.mkdir()
    (top.root / ".git").write_text("gitdir: ../bare.git\n")
    assert "is a bare repository" in top.fails(2, "status")
    for path in (origin.root / ".git/hooks").iterdir():
        (bare.root / "hooks" / path.name).write_bytes(path.read_bytes())
        (bare.root / "hooks" / path.name).chmod(0o755)
    bare.git("init", "--quiet", "--bare", str(tmp_path / "other.git"))
    assert "hook did nothing" in bare.run("push", "--quiet", str(tmp_path / "other.git"), "main")
    bare.run("worktree", "add", "--quiet", str(tmp_path / "of bare"), "main")
    work = Clone(tmp_path / "of bare")
    work.ok("install")
    work.ok("remote", "add", "store", str(tmp_path / "remote"))
    work.ok("pull")
    for verb in VERBS:
        work.ok(*verb.split())


def test_in_a_repository_of_somebody_else(origin: Clone) -> None:
    """Git then leaves out the repository's settings without a word, mlx.store among them."""
    foreign = {"GIT_TEST_ASSUME_DIFFERENT_OWNER": "1"}  # of git's own tests
    before = origin.files(), origin.git("status", "--porcelain")
    for verb in (*VERBS, "uninstall", "gc", "du", "lock merge", "ls"):
        done = origin.mlx(*verb.split(), env=foreign)
        assert done.returncode == 5, verb
        assert "belongs to another user" in done.stderr
        assert "git config --global --add safe.directory" in done.stderr
    assert (origin.files(), origin.git("status", "--porcelain")) == before
    done = origin.mlx("doctor", env=foreign)
    assert done.returncode == 1
    assert "safe.directory" in done.stdout
