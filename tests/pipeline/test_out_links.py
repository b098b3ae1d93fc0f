"""Outs and symbolic links that lead out of the repository: nothing outside is ever touched."""

from __future__ import annotations

from pathlib import Path

import pytest
from pipeline_project import Pipeline
from sandbox import Project

from mlxrepo.errors import InputError, Where


@pytest.fixture
def pipe(tmp_path: Path) -> Pipeline:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("secret\n")
    return Pipeline(Project.create(tmp_path / "project"))


def outside(pipe: Pipeline) -> dict[str, str]:
    folder = pipe.root.parent / "outside"
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_an_out_that_is_a_link_to_outside_is_set_aside(pipe: Pipeline) -> None:
    pipe.path("out.txt").symlink_to("../outside/secret")
    pipe.path("folder").symlink_to("../outside")
    pipe.one("echo x > out.txt; mkdir folder; echo y > folder/f", outs=["out.txt", "folder"])

    assert pipe.outcomes() == {"only": "ran"}
    assert not pipe.path("out.txt").is_symlink()
    assert not pipe.path("folder").is_symlink()
    assert outside(pipe) == {"secret": "secret\n"}


def test_an_out_behind_a_link_to_outside_is_refused_with_its_place(pipe: Pipeline) -> None:
    pipe.path("folder").symlink_to("../outside")
    pipe.one("echo x > folder/f", outs=["folder/f"])

    with pytest.raises(InputError, match='lies behind the symbolic link "folder"') as caught:
        pipe.repro()
    assert isinstance(caught.value.where, Where)
    assert caught.value.where.file == "mlx.yaml"
    assert outside(pipe) == {"secret": "secret\n"}


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside/secret"])
def test_a_command_that_makes_a_link_to_outside_fails(pipe: Pipeline, target: str) -> None:
    pipe.one(f"ln -s {target} out.txt", outs=["out.txt"])

    assert "made what cannot be kept: out.txt is a symbolic link" in pipe.error().message
    assert outside(pipe) == {"secret": "secret\n"}
