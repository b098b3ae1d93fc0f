"""What `mlx unprotect` promises: a file of one's own in the place of each link."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from sandbox import Project

from mlxrepo.commands.add import add
from mlxrepo.commands.checkout import checkout
from mlxrepo.commands.status import status
from mlxrepo.commands.unprotect import unprotect
from mlxrepo.errors import InputError, Refused
from mlxrepo.files import SMALL

LINKS = ("hardlink", "symlink")


@pytest.fixture(params=LINKS)
def linked(project: Project, request: pytest.FixtureRequest) -> Project:
    """A project whose workspace files are links to objects."""
    project.git("config", "mlx.link", request.param)
    project.fill("data", 3)
    project.write("data/sub/large.bin", b"l" * (SMALL + 1))
    project.write("one.csv", "one")
    project.do(add, ["data", "one.csv"])
    for path in (*project.files("data"), "one.csv"):
        project.path(path).unlink()
    project.do(checkout)
    assert is_link(project.path("data/0001.txt"))
    return project


def is_link(path: Path) -> bool:
    return path.is_symlink() or path.lstat().st_nlink > 1


def objects(project: Project) -> dict[str, bytes]:
    with project.repo() as repo:
        root = Path(repo.store.root, "objects")
    return {str(path): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_files_are_private_and_writable_and_the_objects_stay_as_they_are(linked: Project) -> None:
    kept = objects(linked)
    assert linked.do(unprotect, ["data"]).size > SMALL
    for number in range(3):
        path = linked.path(f"data/{number:04}.txt")
        assert not is_link(path)
        assert path.stat().st_mode & 0o200
        assert path.read_text() == f"file {number} of data\n"
    assert linked.do(status).clean
    linked.write("data/0001.txt", "edited")
    linked.write("data/sub/large.bin", "edited")
    assert objects(linked) == kept
    assert is_link(linked.path("one.csv"))


def test_times_stay_and_twice_changes_nothing(linked: Project) -> None:
    before = linked.path("data/0001.txt").stat().st_mtime_ns
    paths = linked.do(unprotect, ["data/0001.txt"]).paths
    assert paths == ("data/0001.txt",)
    assert linked.path("data/0001.txt").stat().st_mtime_ns == before
    assert is_link(linked.path("data/0002.txt"))
    inode = linked.path("data/0001.txt").stat().st_ino
    assert linked.do(unprotect, ["data/0001.txt"]).paths == ()
    assert linked.path("data/0001.txt").stat().st_ino == inode


def test_executable_and_read_only_files(project: Project) -> None:
    project.write("data/run.sh", "#!/bin/sh\n").chmod(0o555)
    project.write("data/plain.txt").chmod(0o444)
    os.link(project.path("data/run.sh"), project.path("data/again.sh"))
    project.do(add, ["data"])
    done = project.do(unprotect, ["data"])
    assert sorted(done.paths) == ["data/again.sh", "data/plain.txt", "data/run.sh"] or sorted(
        done.paths
    ) == ["data/again.sh", "data/plain.txt"]
    modes = {p.name: p.stat().st_mode & 0o300 for p in project.path("data").iterdir()}
    assert modes == {"again.sh": 0o300, "plain.txt": 0o200, "run.sh": 0o300}
    assert not is_link(project.path("data/run.sh"))


def test_links_of_the_users_own_stay(project: Project) -> None:
    project.write("data/a.txt", "a")
    project.path("data/b.txt").symlink_to("a.txt")
    project.do(add, ["data"])
    assert project.do(unprotect, ["data"]).paths == ()
    assert os.readlink(project.path("data/b.txt")) == "a.txt"


def test_only_what_is_tracked_and_never_through_a_link(project: Project, tmp_path: Path) -> None:
    project.write("data/a.txt", "a")
    project.write("mine.txt").chmod(0o444)
    project.do(add, ["data/a.txt"])
    for targets in ([], ["mine.txt"], ["nothing"]):
        with pytest.raises(InputError):
            project.do(unprotect, targets)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a.txt").write_text("not mine")
    (outside / "a.txt").chmod(0o444)
    project.path("data/a.txt").unlink()
    project.path("data/.gitignore").unlink()
    project.path("data").rmdir()
    project.path("data").symlink_to(outside)
    with pytest.raises(Refused):
        project.do(unprotect, ["data:a"])
    assert (outside / "a.txt").stat().st_mode & 0o222 == 0
