"""git merge, rebase and a driver at a shell: what `mlx lock merge` makes of them and what stops."""

from __future__ import annotations

import shlex
from collections.abc import Callable

import pytest
from user import MLX, User


@pytest.fixture
def shared(analyst: User) -> User:
    """A project that has run, with a folder of images, committed on `main`; no driver is set up."""
    analyst.fill("images", 5)
    analyst.ok("add", "images")
    analyst.ok("repro")
    analyst.commit("first")
    analyst.ran()
    return analyst


def with_driver(user: User) -> None:
    """Set up the driver by hand, as `mlx lock merge -h` says."""
    user.git("config", "merge.mlx.driver", f"{shlex.quote(str(MLX))} lock merge %O %A %B %P")


def on_branch(user: User, name: str, rounds: int, *add: str, **files: str) -> None:
    """Make a branch off main with other params and files, the pipeline run, all committed."""
    user.git("checkout", "--quiet", "--force", "-b", name, "main")
    user.ok("checkout")
    user.write("params.yaml", f"train:\n  rounds: {rounds}\n")
    for path, text in files.items():
        user.write(path.replace("_", "/"), text)
    user.ok("add", "images", *add)
    user.ok("repro")
    user.commit(name)


def settle_params(user: User, rounds: int) -> None:
    """Settle by hand what is the user's own: the params file, and the metrics that git keeps."""
    user.write("params.yaml", f"train:\n  rounds: {rounds}\n")


@pytest.mark.parametrize("driver", [True, False])
def test_both_ran_the_pipeline_and_added_data(shared: User, driver: bool) -> None:
    if driver:
        with_driver(shared)
    on_branch(shared, "seven", 7, "seven", images_a="a", seven="7")
    on_branch(shared, "eight", 8, "zwei", images_b="b", zwei="8")
    shared.ran()
    shared.git("merge", "--no-edit", "seven", check=False)
    unmerged = shared.git("diff", "--name-only", "--diff-filter=U").split()
    assert ("mlx.lock" in unmerged) is not driver

    settle_params(shared, 7)
    said = shared.ok("lock", "merge")
    if not driver:
        assert "images: path by path, 1 file from ours, 1 from theirs" in said
        assert "unverified: stage train, which both sides ran" in said
    shared.git("add", "--all")
    shared.ok("checkout")
    assert [stage["state"] for stage in shared.json("status")["stages"]] == [
        "up-to-date", "up-to-date", "stale", "stale"
    ]  # fmt: skip
    assert shared.mlx("lock", "check").returncode in (1, 3)
    shared.ok("repro")
    assert shared.ran() == []  # one side's inputs: its results are known
    assert "state" not in shared.records()["stage:train"]
    shared.git("add", "--all")
    shared.git("commit", "--no-edit")
    assert shared.is_clean()
    assert shared.ok("lock", "check") == "fresh: 4 stages\n"
    assert {"a", "b"} < {path.name for path in shared.path("images").iterdir()}
    assert shared.read("seven") + shared.read("zwei") == "78"
    assert "rounds: 7" in shared.read("params.yaml")


def test_what_asks_is_answered_after_the_driver(shared: User) -> None:
    with_driver(shared)
    on_branch(shared, "seven", 1, images_a="7", images_x="x")
    on_branch(shared, "eight", 1, images_a="8", images_y="y")
    shared.git("merge", "--no-edit", "seven", check=False)
    line = shared.read("mlx.lock").split("<<<<<<<")[0].count("\n") + 1
    said = shared.fails(2, "status")
    assert f"mlx.lock:{line}:1" in said
    assert "mlx lock merge" in said

    done = shared.mlx("lock", "merge")
    assert done.returncode == 1
    assert "asks: images/a (data:images): both changed it" in done.stdout
    assert (
        "next: git add mlx.lock && mlx checkout && mlx repro"
        in shared.mlx("lock", "merge", "--theirs", "a", folder="images").stderr
    )
    shared.git("add", "mlx.lock")
    shared.git("commit", "--quiet", "--no-edit")
    shared.ok("checkout")
    assert [shared.read(f"images/{name}") for name in "axy"] == ["7", "x", "y"]
    assert shared.is_clean()


def test_a_rebase_goes_through_the_driver(shared: User) -> None:
    with_driver(shared)
    on_branch(shared, "one", 1, images_a="a")
    on_branch(shared, "two", 1, images_b="b")
    shared.git("rebase", "one")
    shared.ok("checkout")
    assert shared.is_clean()
    assert {"a", "b"} < {path.name for path in shared.path("images").iterdir()}


def test_branches_that_merged_each_other_have_an_ancestor_in_conflict(shared: User) -> None:
    """Git then merges the common ancestors itself, with our driver, and hands us the result."""
    with_driver(shared)
    on_branch(shared, "one", 1, images_a="1")
    on_branch(shared, "two", 1, images_a="2")
    for name, other in (("one", "two"), ("two", "one")):
        shared.git("checkout", "--quiet", "--force", name)
        shared.git("merge", "--no-edit", f"{other}~0", check=False)
        shared.ok("lock", "merge", "--ours", ".")
        shared.git("add", "mlx.lock")
        shared.git("commit", "--quiet", "--no-edit")
        shared.git("branch", f"{name}-merged")
        shared.git("reset", "--quiet", "--hard", f"{name}~1")
    shared.git("checkout", "--quiet", "--force", "one-merged")
    shared.git("merge", "--no-edit", "two-merged", check=False)
    assert shared.json("lock", "merge", "--theirs", "images/a")["settled"]
    shared.git("add", "mlx.lock")
    shared.ok("checkout")
    assert shared.read("images/a") == "2"


def test_a_lock_of_a_nested_project_merges_too(shared: User) -> None:
    shared.write("sub/mlx.yaml", "")
    shared.fill("sub/pictures", 3)
    shared.ok("add", "sub/pictures")
    shared.commit("nested")
    for name in ("one", "two"):
        shared.git("checkout", "--quiet", "--force", "-b", name, "main")
        shared.ok("checkout")
        shared.write(f"sub/pictures/{name}", name)
        shared.ok("add", "sub/pictures")
        shared.commit(name)
    shared.git("merge", "--no-edit", "one", check=False)
    found = shared.json("lock", "merge")
    assert found["files"] == ["sub/mlx.lock"]
    assert found["folders"][0]["path"] == "sub/pictures"


# every command and every kind of damage


def _marked(text: str) -> tuple[str, int]:
    lines = text.splitlines(keepends=True)
    return "".join([*lines[:3], "<<<<<<< ours\n", *lines[3:], ">>>>>>> theirs\n"]), 4


def _doubled(text: str) -> tuple[str, int]:
    lines = text.splitlines(keepends=True)
    return text + "\n" + "".join(lines[2:4]), len(lines) + 2


def _newer(text: str) -> tuple[str, int]:
    return text.replace('"format":1', '"format":2'), 1


def _truncated(text: str) -> tuple[str, int]:
    return text[:-20], text.count("\n")


def _by_hand(text: str) -> tuple[str, int]:
    at = text.index('"size":')
    return f'{text[:at]}"length":{text[at + 7 :]}', text[:at].count("\n") + 1


COMMANDS = [
    ["status"], ["repro"], ["repro", "--dry-run"], ["checkout"], ["add", "images"], ["add", "-u"],
    ["rm", "images"], ["mv", "images", "pictures"], ["ls"], ["cat", "data/reviews.csv"],
    ["metrics", "show"], ["metrics", "diff"], ["gc"], ["lock", "check"],
]  # fmt: skip


@pytest.mark.parametrize("damage", [_marked, _doubled, _newer, _truncated, _by_hand])
def test_every_command_names_a_bad_lock_with_its_line_and_the_way_out(
    shared: User, damage: Callable[[str], tuple[str, int]]
) -> None:
    text, line = damage(shared.read("mlx.lock"))
    shared.write("mlx.lock", text)
    before = shared.files()
    for words in COMMANDS:
        done = shared.mlx(*words)
        said = f"{words}: {done.stdout}{done.stderr}"
        assert done.returncode == (3 if words[0] == "lock" else done.returncode) != 0, said
        assert f"mlx.lock:{line}:" in done.stderr, said
        assert "hint: " in done.stderr, said
        assert "Traceback" not in done.stderr, said
    assert shared.files() == before
    assert shared.ran() == []
