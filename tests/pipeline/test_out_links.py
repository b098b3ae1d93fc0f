"""Outs and symbolic links that lead out of the repository: nothing outside is ever touched."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from pipeline_project import Pipeline
from sandbox import Project

from mlxrepo.commands.checkout import checkout
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


@pytest.mark.parametrize("link", ["out", "out/last", "out/deep/last"])
@pytest.mark.parametrize("target", ["outside", "outside/secret", "outside/new"])
@pytest.mark.parametrize("is_absolute", [False, True])
def test_a_link_to_outside_in_an_out_that_persists_is_refused_before_the_command_runs(
    pipe: Pipeline, link: str, target: str, is_absolute: bool
) -> None:
    full = pipe.path(link)
    full.parent.mkdir(parents=True, exist_ok=True)
    goal = pipe.root.parent / target
    full.symlink_to(goal if is_absolute else os.path.relpath(goal, full.parent))
    pipe.one(f"touch ran; echo x >> {link} || echo x > {link}/f", outs=[{"out": {"persist": True}}])

    with pytest.raises(InputError, match="the command would write through it") as caught:
        pipe.repro()
    assert isinstance(caught.value.where, Where)
    assert caught.value.message.startswith(f"{link} is a symbolic link")
    assert outside(pipe) == {"secret": "secret\n"}
    assert not pipe.path("ran").exists()


def test_an_out_that_persists_keeps_links_within_it_and_links_to_the_store(pipe: Pipeline) -> None:
    pipe.project.git("config", "mlx.link", "symlink")
    pipe.one(
        "mkdir -p out; echo x >> out/a; ln -sfn a out/same",
        outs=[{"out": {"persist": True}}],
        always_changed=True,
    )
    pipe.repro()
    shutil.rmtree(pipe.path("out"))
    pipe.project.do(checkout, force=True)
    assert os.path.isabs(os.readlink(pipe.path("out/a")))

    assert pipe.outcomes() == {"only": "ran"}
    assert pipe.read("out/a") == "x\nx\n"
    assert os.readlink(pipe.path("out/same")) == "a"
