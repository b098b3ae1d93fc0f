"""mlx fsck beside remotes: what was never here is no damage, what is damaged comes from there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from places import Spot
from sandbox import Project
from storage import store_of

from mlxrepo.commands.add import add
from mlxrepo.commands.checkout import checkout
from mlxrepo.commands.fetch import fetch
from mlxrepo.commands.fsck import Checked, fsck
from mlxrepo.commands.push import push


@pytest.fixture
def shared(project: Project, spot: Spot) -> Project:
    return prepared(project, spot)


def prepared(project: Project, spot: Spot) -> Project:
    for number in range(30):
        project.write(f"data/a/{number}.bin", os.urandom(500))
    project.write("data/large.bin", os.urandom(2 << 20))
    project.write("model.bin", os.urandom(2 << 20))
    project.do(add, ["data", "model.bin"])
    project.commit()
    spot.configure(project)
    project.do(push)
    return project


def clone(project: Project, spot: Spot, *targets: str) -> Project:
    """A clone that fetched some targets, and has no files in its workspace."""
    path = project.root.parent / "clone"
    project.git("clone", "--quiet", str(project.root), str(path))
    found = Project(path)
    spot.configure(found)
    found.do(fetch, targets)
    return found


def objects(project: Project, folder: str) -> list[Path]:
    return sorted(path for path in (store_of(project) / folder).rglob("*") if path.is_file())


def flip(path: Path, at: int = 100) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)


def mended(project: Project) -> Checked:
    return project.do(fsck, data=True, repair=True)


def sources(found: Checked) -> set[str]:
    return {item.source for item in found.findings if item.kind != "pack"}


def test_damage_is_mended_from_the_remote(shared: Project, spot: Spot) -> None:
    other = clone(shared, spot)
    for path in objects(other, "objects"):
        flip(path)
    (pack,) = [p for p in objects(other, "packs") if p.stat().st_size > 10_000]
    flip(pack)
    found = mended(other)
    assert (found.sound, found.unreached) == (True, ())
    assert sources(found) == {"the remote origin"}
    assert len(found.findings) >= 3
    other.do(checkout)
    assert other.files("data") == shared.files("data")
    assert other.do(fsck, data=True).findings == ()


def test_a_pack_without_its_table_is_mended_too(project: Project, folder: Spot) -> None:
    other = clone(prepared(project, folder), folder)
    for pack in objects(other, "packs"):
        flip(pack, pack.stat().st_size - 60)
    found = mended(other)
    assert found.sound
    other.do(checkout)
    assert other.files("data") == project.files("data")


def test_a_clone_that_fetched_a_part_is_sound(project: Project, folder: Spot) -> None:
    other = clone(prepared(project, folder), folder, "data/a/3.bin")
    done = other.mlx("fsck", "--data")
    assert done.returncode == 0, done.stdout
    assert "31 objects not here (never fetched or dropped)" in done.stdout
    # Mending brings what is damaged, and nothing else.
    flip(objects(other, "objects")[0])
    found = mended(other)
    assert (len(found.findings), sources(found)) == (1, {"the remote origin"})
    assert other.do(fsck, data=True).absent == 31


def test_a_large_file_alone_is_a_part_too(project: Project, folder: Spot) -> None:
    other = clone(prepared(project, folder), folder, "model.bin")
    found = other.do(fsck)
    assert (found.findings, found.absent) == ((), 1)  # the folder: what lies in it is not known


def test_what_was_put_here_and_is_gone_is_missing(project: Project, folder: Spot) -> None:
    other = clone(prepared(project, folder), folder)
    other.do(checkout)
    before = other.files("data")
    for path in objects(other, "objects"):
        path.unlink()
    for path in (other.path("data/large.bin"), other.path("model.bin")):
        path.unlink()
    found = other.do(fsck)
    assert [item.state for item in found.findings] == ["missing", "missing"]
    assert sources(mended(other)) == {"the remote origin"}
    other.do(checkout)
    assert other.files("data") == before


def test_a_remote_out_of_reach_is_told_and_the_next_one_asked(
    project: Project, folder: Spot
) -> None:
    other = clone(prepared(project, folder), folder)
    other.git("config", "mlx.remote.away.url", "s3://bucket/away")
    other.git("config", "mlx.remote.away.endpoint", "http://127.0.0.1:9")
    other.git("config", "mlx.remote", "away")
    flip(objects(other, "objects")[0])
    plain = other.mlx("fsck", "--data")
    assert (plain.returncode, "away" in plain.stderr) == (1, False)  # it asks nobody
    done = other.mlx("fsck", "--data", "--repair")
    assert done.returncode == 0, done.stderr
    assert "a remote could not be asked: away" in done.stderr
    assert "from the remote origin" in done.stdout


def test_a_copy_that_is_wrong_there_mends_nothing(project: Project, folder: Spot) -> None:
    other = clone(prepared(project, folder), folder)
    for path in folder.files:
        if path.parent.parent.name == "objects":
            flip(path)
    (damaged, _) = objects(other, "objects")
    flip(damaged)
    done = other.mlx("fsck", "--data", "--repair")
    assert done.returncode == 1
    assert "no good copy is at hand" in done.stdout
