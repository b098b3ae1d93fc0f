"""`mlx cat`: the bytes of one recorded file, or none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from sandbox import Project

from mlxrepo.commands.add import add
from mlxrepo.commands.cat import cat
from mlxrepo.commands.repro import repro
from mlxrepo.errors import Damaged, InputError, ObjectMissing


@pytest.fixture
def kept(project: Project) -> Project:
    """A large file and a folder, recorded in two commits."""
    project.write("large.bin", os.urandom(3 << 20))
    project.write("data/x.txt", "first")
    project.do(add, ["large.bin", "data"])
    project.commit()
    project.write("data/x.txt", "second")
    project.do(add, ["data"])
    project.commit()
    return project


def said(project: Project, target: str, tmp_path: Path, rev: str | None = None) -> bytes:
    path = tmp_path / "said"
    with open(path, "wb") as stream:
        try:
            project.do(cat, target, stream.fileno(), rev=rev)
        finally:
            found = path.read_bytes()
    return found


def test_the_recorded_bytes_come_out_whatever_is_here(kept: Project, tmp_path: Path) -> None:
    large = kept.path("large.bin").read_bytes()
    kept.path("large.bin").write_text("edited")
    assert said(kept, "large.bin", tmp_path) == large
    assert said(kept, "data/x.txt", tmp_path) == b"second"
    assert said(kept, "data/x.txt", tmp_path, "HEAD~1") == b"first"
    assert said(kept, "data:large", tmp_path) == large


def test_folders_and_unknown_targets_are_errors(kept: Project, tmp_path: Path) -> None:
    for target in ("data", "data/y.txt", "nothing", ".", "data:nothing"):
        with pytest.raises(InputError):
            said(kept, target, tmp_path)


@pytest.mark.parametrize("target", ["large.bin", "data/x.txt"])
def test_damaged_or_lost_bytes_are_an_error_and_nothing_comes_out(
    kept: Project, tmp_path: Path, target: str
) -> None:
    with kept.repo() as repo:
        path = Path(repo.store.path("blob", repo.scan().entry(target).oid))  # type: ignore
    path.chmod(0o644)
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(Damaged):
        said(kept, target, tmp_path)
    assert (tmp_path / "said").read_bytes() == b""
    path.unlink()
    with pytest.raises(ObjectMissing):
        said(kept, target, tmp_path)


def test_a_file_that_git_keeps_is_asked_of_git(project: Project, tmp_path: Path) -> None:
    stage = "stages:\n  score:\n    cmd: echo '{\"auc\":1}' > m.json\n    metrics: [m.json]\n"
    project.write("mlx.yaml", stage)
    project.do(repro)
    with pytest.raises(InputError, match="git keeps") as caught:
        said(project, "m.json", tmp_path)
    assert caught.value.hint == "git show HEAD:m.json"
