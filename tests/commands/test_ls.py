"""`mlx ls`: what is recorded, whatever is here."""

from __future__ import annotations

import shutil

import pytest
from sandbox import Project

from mlxrepo.commands.add import add
from mlxrepo.commands.ls import ls
from mlxrepo.commands.repro import repro
from mlxrepo.errors import InputError


@pytest.fixture
def listed(project: Project) -> Project:
    """A folder with a sub-folder and a stage's out, recorded, and the folder not here."""
    project.write("data/b/deep/x.txt", "xx")
    project.write("data/a.txt", "a")
    project.do(add, ["data"])
    text = "stages:\n  make: {cmd: echo hi > out.txt, outs: [out.txt]}\n"
    project.write("mlx.yaml", project.read("mlx.yaml") + text)
    project.do(repro)
    project.commit()
    shutil.rmtree(project.path("data/b"))
    return project


def paths(project: Project, *args: str | None, **options: object) -> list[str]:
    return [row.path for row in project.do(ls, *args, **options)]


def test_without_a_target_every_tracked_path(listed: Project) -> None:
    rows = listed.do(ls)
    assert [(row.path, row.role, row.address) for row in rows] == [
        ("data", "data", "data:dataset"),
        ("out.txt", "out", "make"),
    ]
    assert rows[0].entry.files == 2


def test_a_folder_shows_what_is_in_it(listed: Project) -> None:
    assert paths(listed, "data") == ["data/a.txt", "data/b"]
    assert paths(listed, "data", recursive=True) == ["data/a.txt", "data/b/deep/x.txt"]
    assert paths(listed, "data/b") == ["data/b/deep"]
    assert paths(listed, "data/b/deep/x.txt") == ["data/b/deep/x.txt"]
    assert paths(listed, "data:dataset") == ["data/a.txt", "data/b"]
    assert paths(listed, "make") == ["out.txt"]


def test_an_earlier_commit_is_listed_as_it_was(listed: Project) -> None:
    listed.write("data/new.txt", "new")
    listed.do(add, ["data/new.txt"])
    listed.commit()
    assert "data/new.txt" in paths(listed, "data")
    assert paths(listed, "data", rev="HEAD~1") == ["data/a.txt", "data/b"]


def test_what_is_not_recorded_is_an_error(listed: Project) -> None:
    for target in ("nothing", "data/nothing", "data:nothing", "../x", ""):
        with pytest.raises(InputError):
            listed.do(ls, target)
