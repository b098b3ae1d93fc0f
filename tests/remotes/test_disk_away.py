"""A remote on a disk that is not mounted: its mount point is an empty folder, and no new remote."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from sandbox import Project

from mlxrepo.commands.add import add


@pytest.mark.parametrize("below", ["", "/os"])
def test_nothing_is_made_where_a_remote_was(project: Project, tmp_path: Path, below: str) -> None:
    disk = tmp_path / "mnt"
    disk.mkdir()
    place = str(disk) + below
    project.write("data/a.txt", "a\n")
    project.do(add, ["data"])
    project.commit()
    assert project.mlx("remote", "add", "disk", place).returncode == 0
    assert project.mlx("push").returncode == 0  # the first makes it
    away = disk.rename(tmp_path / "mnt.off")
    disk.mkdir()
    for words in (["push"], ["fetch"], ["add", "--to-remote", str(project.root / "mlx.yaml"), "x"]):
        done = project.mlx(*words)
        assert (done.returncode, list(disk.iterdir())) == (5, []), done.stderr
        assert "is its disk mounted?" in done.stderr
    disk.rmdir()
    away.rename(disk)
    assert project.mlx("push").returncode == 0
    shutil.rmtree(disk)
    disk.mkdir()
    hint = project.mlx("push").stderr.partition("begin it anew: ")[2].strip()
    assert hint == f"mkdir -p {place}/indexes"
    Path(place, "indexes").mkdir(parents=True)
    assert project.mlx("push").returncode == 0
    assert Path(place, "mlx.json").exists()
    other = tmp_path / "other"  # of the same name, and in a place that was none
    project.git("config", "mlx.remote.disk.url", str(other))
    assert project.mlx("push").returncode == 0
    assert (other / "mlx.json").exists()
