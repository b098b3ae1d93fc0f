"""`mlx.link` and `mlx checkout --relink` as a user meets them."""

from __future__ import annotations

import os

import pytest
from sandbox import Project

from mlxrepo.commands.add import add
from mlxrepo.commands.checkout import checkout
from mlxrepo.commands.relink import relink
from mlxrepo.commands.status import status
from mlxrepo.errors import InputError


def inodes(project: Project) -> set[int]:
    return {os.stat(path).st_ino for path in (project.root / "data").iterdir()}


def objects(project: Project) -> set[int]:
    return {path.stat().st_ino for path in (project.root / ".git/mlx/objects").rglob("*")}


def test_relink_turns_copies_into_links_and_back(project: Project) -> None:
    project.git("config", "mlx.link", "hardlink")
    for number in range(30):
        project.write(f"data/{number}", f"{number}")
    project.do(add, ["data"])
    assert inodes(project) <= objects(project)
    project.git("config", "mlx.link", "copy")
    assert project.do(relink).files == 30
    assert not inodes(project) & objects(project)
    project.git("config", "mlx.link", "hardlink")
    project.write("data/7", "edited")
    done = project.do(relink)
    assert (done.files, done.modified) == (29, ("data/7",))
    assert (project.root / "data/7").read_text() == "edited"
    assert len(inodes(project) & objects(project)) == 29


def test_symlinks_are_made_by_checkout_and_count_as_the_files(project: Project) -> None:
    project.write("data/a", "a")
    project.write("data/b", "b")
    project.git("config", "mlx.link", "symlink")
    project.do(add, ["data"])
    for name in ("a", "b"):
        (project.root / "data" / name).unlink()
    project.do(checkout)
    assert (project.root / "data/a").is_symlink()
    assert (project.root / "data/a").read_text() == "a"
    assert project.do(status).clean


def test_another_word_is_refused(project: Project) -> None:
    project.git("config", "mlx.link", "hard")
    with pytest.raises(InputError, match="not one of copy, hardlink, symlink"):
        project.do(status)
