"""A folder of 2,000 small files as one dataset: whole, in part, and in a second worktree."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from sandbox import settle
from user import User
from watching import reads

COUNT = 2000


@pytest.fixture
def curator(user: User) -> User:
    """A user whose 2,000 scans are added and committed."""
    user.fill("data/scans", COUNT)
    user.ok("add", "data/scans")
    user.commit("scans")
    return user


def second_worktree(user: User) -> User:
    """Type `git worktree add ../second`; mlx has put nothing there yet."""
    user.git("worktree", "add", "--quiet", "-b", "second", "../second")
    return User(user.root.parent / "second")


def scans(user: User) -> dict[str, bytes]:
    return user.files("data/scans")


def test_a_change_a_deletion_and_a_new_file_are_named_recorded_and_undone(curator: User) -> None:
    before = scans(curator)
    assert len(before) == COUNT
    assert curator.git("ls-files", "data") == "data/.gitignore\n"
    curator.write("data/scans/0007.txt", "changed\n")
    curator.write("data/scans/new/a.txt", "new\n")
    curator.path("data/scans/1999.txt").unlink()
    changes = curator.json("status")["artifacts"][0]["changes"]
    assert {change["path"]: change["change"] for change in changes} == {
        "0007.txt": "modified",
        "1999.txt": "deleted",
        "new/a.txt": "added",
    }
    curator.ok("add", "-u")
    assert curator.records()["data:scans"]["files"] == COUNT
    curator.commit("three changes")
    assert curator.is_clean()
    after = scans(curator)

    curator.git("checkout", "--quiet", "HEAD~1")
    curator.ok("checkout")
    assert scans(curator) == before
    assert not curator.path("data/scans/new").exists()
    assert curator.is_clean()
    curator.git("checkout", "--quiet", "main")
    curator.ok("checkout")
    assert scans(curator) == after


def test_a_file_of_an_earlier_commit_is_printed_from_the_store(curator: User) -> None:
    curator.write("data/scans/0007.txt", "changed\n")
    curator.ok("add", "data/scans/0007.txt")
    curator.commit("changed")
    assert curator.ok("cat", "data/scans/0007.txt") == "changed\n"
    assert curator.ok("cat", "--rev", "HEAD~1", "data/scans/0007.txt") == "file 7 of data/scans\n"
    assert len(curator.ok("ls", "-R", "data/scans").splitlines()) == COUNT


def test_a_second_worktree_finds_every_object_and_hashes_nothing_again(curator: User) -> None:
    settle()
    second = second_worktree(curator)
    stored = stored_files(curator)
    second.path("data/scans").mkdir()
    with reads(second.path("data/scans")) as again:
        second.ok("checkout")
    assert scans(second) == scans(curator)
    assert again == set()
    with reads(curator.path("data/scans")) as again:
        assert curator.is_clean()
    assert again == set()
    with reads(second.path("data/scans")) as again:
        assert second.is_clean()
    assert again == set()
    assert stored_files(curator) == stored


def test_one_file_of_many_can_be_had_edited_and_added_and_the_rest_stays_recorded(
    curator: User,
) -> None:
    second = second_worktree(curator)
    second.ok("checkout", "data/scans/0042.txt")
    assert list(scans(second)) == ["data/scans/0042.txt"]
    state = second.json("status")["artifacts"][0]
    assert (state["state"], state["absent"], state["changes"]) == ("clean", COUNT - 1, [])

    second.write("data/scans/0042.txt", "better\n")
    said = second.mlx("add", "data/scans")
    assert said.returncode == 0
    assert f"{COUNT - 1:,}" in said.stdout + said.stderr  # how many are absent and kept is told
    assert second.records()["data:scans"]["files"] == COUNT
    second.commit("a better scan")
    assert not second.git("status", "--porcelain")

    curator.git("merge", "--quiet", "second")
    curator.ok("checkout")
    assert curator.is_clean()
    assert scans(curator) == {**scans(curator), "data/scans/0042.txt": b"better\n"}
    assert len(scans(curator)) == COUNT


def test_a_file_deleted_where_the_rest_is_absent_is_recorded_as_deleted(curator: User) -> None:
    second = second_worktree(curator)
    second.ok("checkout", "data/scans/0042.txt", "data/scans/0043.txt")
    second.path("data/scans/0042.txt").unlink()
    said = second.mlx("add", "data/scans")
    assert said.returncode == 0
    assert "0042.txt" in said.stdout + said.stderr
    assert second.records()["data:scans"]["files"] == COUNT - 1
    second.commit("one less")
    curator.git("merge", "--quiet", "second")
    curator.ok("checkout")
    assert len(scans(curator)) == COUNT - 1


def test_an_edited_file_is_not_lost_when_a_part_is_checked_out(curator: User) -> None:
    curator.write("data/scans/0007.txt", "my only copy\n")
    assert "0007.txt" in curator.fails(1, "checkout", "data/scans")
    assert curator.read("data/scans/0007.txt") == "my only copy\n"
    curator.ok("checkout", "data/scans/0008.txt")
    assert curator.read("data/scans/0007.txt") == "my only copy\n"


def stored_files(user: User) -> set[Path]:
    """Return the objects of the store, loose or packed, by path."""
    store = user.path(".git/mlx")
    return {
        Path(here, name)
        for part in ("objects", "trees", "packs")
        for here, _, names in os.walk(store / part)
        for name in names
    }
