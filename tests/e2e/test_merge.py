"""Two branches in plain git, without mlx's merge driver: what git's own merge makes of it."""

from __future__ import annotations

import pytest
from user import STAGES, User


@pytest.fixture
def shared(analyst: User) -> User:
    """A project that has run, with a second dataset, committed on `main`; no driver is set up."""
    analyst.write("data/holdout.csv", "1,5\n")
    analyst.ok("add", "data/holdout.csv")
    analyst.ok("repro")
    analyst.commit("first")
    analyst.ran()
    assert "mlx.driver" not in analyst.git("config", "--list")
    return analyst


def on_branch(user: User, name: str, edits: dict[str, str]) -> None:
    """Make a branch off main with these files edited, the pipeline run, and all recorded."""
    user.git("checkout", "--quiet", "-b", name, "main")
    user.ok("checkout")
    for path, text in edits.items():
        user.write(path, text)
    user.ok("add", "-u")
    user.ok("repro")
    user.commit(name)


def test_other_stages_and_other_datasets_merge_and_status_tells_the_truth(shared: User) -> None:
    on_branch(shared, "params", {"params.yaml": "train:\n  rounds: 7\n"})
    comment = "# a remark\n" + shared.read("src/prepare.py")
    on_branch(shared, "data", {"data/holdout.csv": "2,1\n", "src/prepare.py": comment})
    shared.ran()

    shared.git("merge", "--quiet", "--no-edit", "params")
    assert "<<<" not in shared.read("mlx.lock")
    shared.ok("checkout")
    assert shared.is_clean()
    assert shared.read("data/holdout.csv") == "2,1\n"
    assert "nothing to do" in shared.ok("repro")
    assert shared.ran() == []
    assert shared.json("metrics", "diff", "params", "HEAD")["metrics"] == []


def test_what_neither_branch_has_run_is_stale_after_the_merge(shared: User) -> None:
    on_branch(shared, "params", {"params.yaml": "train:\n  rounds: 7\n"})
    scale = shared.read("src/featurize.py").replace(".count('!')", ".count('!') * 2")
    on_branch(shared, "features", {"src/featurize.py": scale})
    shared.ran()

    shared.git("merge", "--no-edit", "params", check=False)
    if "<<<" in shared.read("mlx.lock"):  # both have recorded `train`
        said = shared.fails(2, "status")
        assert "mlx.lock:" in said
        shared.git("checkout", "--ours", "mlx.lock", "metrics.json")
    states = {stage["stage"]: stage["state"] for stage in shared.json("status")["stages"]}
    assert states["train"] != "up-to-date"
    assert states["prepare"] == "up-to-date"
    shared.ok("repro")
    assert shared.ran() == ["train", "evaluate"]
    shared.commit("merged")
    assert shared.is_clean()


def test_a_conflict_in_the_lockfile_stops_every_command_with_its_place(shared: User) -> None:
    on_branch(shared, "seven", {"params.yaml": "train:\n  rounds: 7\n"})
    on_branch(shared, "eight", {"params.yaml": "train:\n  rounds: 8\n"})
    shared.git("merge", "--no-edit", "seven", check=False)
    lock = shared.read("mlx.lock")
    line = lock[: lock.index("<<<<<<<")].count("\n") + 1
    for words in (["status"], ["repro"], ["checkout"], ["add", "-u"]):
        said = shared.fails(2, *words)
        assert f"mlx.lock:{line}:" in said
        assert "hint: " in said
    assert shared.read("mlx.lock") == lock
    assert shared.ran() == [stage for stage in STAGES if stage in ("train", "evaluate")] * 2
