"""kill -9 in the middle of push and pull, then again: the same result, and nothing sent twice."""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path

import pytest
from places import Spot
from sandbox import Killer, Project

from mlxrepo.commands.add import add
from mlxrepo.commands.gc import gc
from mlxrepo.commands.push import push
from mlxrepo.errors import EnvironmentFailed
from mlxrepo.store.folder import Folder

POINTS = ("write.before-rename", "push.sent", "push.sent:2", "push.sent:3", "push.before-index")
ARRIVALS = ("fetch.arrived", "fetch.arrived:2", "fetch.arrived:4", "publish.before-rename")


@pytest.fixture
def filled(project: Project, folder: Spot) -> Project:
    project.fill("data", 60)
    project.write("data/large.bin", os.urandom(17 << 20))
    project.do(add, ["data"])
    project.commit()
    folder.configure(project)
    return project


def die_at(point: str) -> dict[str, str]:
    return {"MLXREPO_FAILPOINT": point}


def pulled(project: Project, folder: Spot, name: str) -> Project:
    other = Project(project.root.parent / name)
    project.git("clone", "--quiet", str(project.root), str(other.root))
    folder.configure(other)
    return other


def packs(folder: Spot) -> dict[Path, int]:
    """Return when each pack was written; what a killed writer began is none."""
    return {path: path.stat().st_mtime_ns for path in folder.files if path.suffix == ".pack"}


@pytest.mark.parametrize("point", POINTS)
def test_a_push_that_was_killed_goes_on_where_it_was(
    filled: Project, folder: Spot, point: str
) -> None:
    assert filled.mlx("push", env=die_at(point)).returncode == -9
    # Nobody sees any of it yet.
    early = pulled(filled, folder, "early")
    done = early.mlx("pull")
    assert done.returncode == 1
    assert early.files("data") == {}
    before = packs(folder)
    done = filled.mlx("push")
    assert done.returncode == 0, done.stderr
    after = packs(folder)
    assert {path: after[path] for path in before} == before
    other = pulled(filled, folder, "other")
    assert other.mlx("pull").returncode == 0
    assert other.files("data") == filled.files("data")
    assert filled.mlx("push", "--verify").returncode == 0


@pytest.mark.parametrize("point", ARRIVALS)
def test_a_pull_that_was_killed_goes_on_where_it_was(
    filled: Project, folder: Spot, point: str
) -> None:
    filled.do(push)
    other = pulled(filled, folder, "other")
    assert other.mlx("pull", env=die_at(point)).returncode == -9
    assert other.files("data") == {}
    done = other.mlx("pull")
    assert done.returncode == 0, done.stderr
    assert other.files("data") == filled.files("data")
    assert other.mlx("fsck", "--data").returncode == 0


def test_parts_of_a_large_object_that_arrived_are_not_sent_again(
    filled: Project, folder: Spot, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlxrepo.commands.fetch import fetch

    filled.do(push)
    other = pulled(filled, folder, "other")
    # Two tree and pack reads, then parts of the large one.
    assert other.mlx("fetch", "-j1", env=die_at("fetch.arrived:4")).returncode == -9
    asked: list[str] = []
    real = Folder.read_range

    def counted(self: Folder, path: str, start: int, end: int) -> bytes:
        asked.append(path.split("/")[0])
        return real(self, path, start, end)

    monkeypatch.setattr(Folder, "read_range", counted)
    (done,) = other.do(fetch)
    assert (done.missing, done.damaged) == ((), ())
    assert asked == ["objects"]  # the third part of three


def test_a_pull_can_be_killed_at_any_durable_step(
    project: Project, folder: Spot, killer: Killer, tmp_path: Path
) -> None:
    project.fill("data", 20)
    project.do(add, ["data"])
    project.commit()
    folder.configure(project)
    project.do(push)
    fresh = pulled(project, folder, "fresh")
    for step in range(0, 60, 4):
        copy = Project(tmp_path / f"copy{step}")
        shutil.copytree(fresh.root, copy.root, symlinks=True)
        was_killed = killer.killed(step, copy, "pull")
        assert copy.mlx("pull").returncode == 0
        assert copy.files("data") == project.files("data")
        if not was_killed:
            break
    else:
        raise AssertionError("it never came to its end")
    assert step > 5


def test_a_full_remote_is_said_to_be_full_and_the_rest_goes_later(
    filled: Project, folder: Spot, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    real = Folder.send
    monkeypatch.setattr(
        "mlxrepo.store.folder.files.publish",
        lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "no space")),
    )
    with pytest.raises(EnvironmentFailed, match="has no space left"):
        filled.do(push)
    monkeypatch.undo()
    assert Folder.send is real
    (done,) = filled.do(push)
    assert (done.objects, done.resumed, done.missing) == (1, 61, ())


def test_what_did_not_arrive_whole_is_not_said_to_be_pushed(
    filled: Project, folder: Spot, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Folder.write
    monkeypatch.setattr(
        Folder, "write", lambda self, path, data: real(self, path, data[: len(data) // 2])
    )
    with pytest.raises(EnvironmentFailed, match="was sent to the remote origin, and has"):
        filled.do(push)
    assert not [path for path in folder.files if "indexes" in path.parts]


def test_gc_takes_downloads_that_were_cut_off_long_ago_and_nobody_goes_on_with(
    filled: Project, folder: Spot
) -> None:
    filled.do(push)
    other = pulled(filled, folder, "other")
    assert other.mlx("fetch", "-j1", env=die_at("fetch.arrived:4")).returncode == -9
    files = sorted(other.path(".git/mlx/incoming").iterdir())
    assert len(files) == 2
    assert other.do(gc, apply=True).abandoned.objects == 0  # young
    for file in files:
        os.utime(file, (1_600_000_000, 1_600_000_000))
    with open(files[1], "rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert other.do(gc, apply=True).abandoned.objects == 0
    found = other.do(gc).abandoned
    assert (found.objects, found.size >= 8 << 20) == (2, True)
    assert all(file.exists() for file in files)
    assert other.do(gc, apply=True).abandoned == found
    assert not any(file.exists() for file in files)
    assert other.mlx("pull").returncode == 0
    assert other.files("data") == filled.files("data")


@pytest.mark.parametrize("kind", ["rclone", "moto", "sftp"])
@pytest.mark.parametrize("point", ["push.sent:2", "push.before-index"])
def test_a_push_over_the_network_that_was_killed_goes_on(
    project: Project, kind: str, point: str, request: pytest.FixtureRequest
) -> None:
    found = request.getfixturevalue(kind)
    spot = found if isinstance(found, Spot) else found.spot()
    project.fill("data", 5)
    project.write("data/large.bin", os.urandom(9 << 20))
    project.do(add, ["data"])
    project.commit()
    spot.configure(project)
    assert project.mlx("push", env=die_at(point)).returncode == -9
    (done,) = project.do(push)
    assert done.missing == ()
    assert done.resumed == (7 if point == "push.before-index" else done.resumed)
    assert done.resumed > 0
    other = pulled(project, spot, "other")
    assert other.mlx("pull").returncode == 0
    assert other.files("data") == project.files("data")
