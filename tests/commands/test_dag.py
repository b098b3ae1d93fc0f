"""mlx dag: the graph of stages and data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pipeline_project import Pipeline
from sandbox import Project

from mlxrepo.commands.dag import Dag, dag
from mlxrepo.errors import InputError

PROJECT = """
datasets:
  raw: {path: data}
stages:
  train: {cmd: x, deps: [clean, best.yaml], outs: [model]}
  clean: {cmd: x, deps: [data/raw.csv], outs: [clean]}
  tune: {cmd: x, outs: [best.yaml]}
  apart: {cmd: x}
"""


@pytest.fixture
def pipe(tmp_path: Path) -> Pipeline:
    pipe = Pipeline(Project.create(tmp_path / "project"))
    pipe.declare(PROJECT)
    return pipe


def graph(pipe: Pipeline, *targets: str) -> Dag:
    with pipe.project.repo() as repo:
        return dag(repo, targets)


def test_every_node_stands_behind_what_it_needs(pipe: Pipeline) -> None:
    found = graph(pipe)
    assert set(found.nodes) == {"data:raw", "clean", "tune", "train", "apart"}
    assert set(found.edges) == {("data:raw", "clean"), ("clean", "train"), ("tune", "train")}
    assert all(found.nodes.index(a) < found.nodes.index(b) for a, b in found.edges)


def test_a_target_shows_what_it_needs(pipe: Pipeline) -> None:
    assert graph(pipe, "clean").nodes == ("data:raw", "clean")
    assert set(graph(pipe, "model").nodes) == {"data:raw", "clean", "tune", "train"}


def test_a_circle_is_refused(pipe: Pipeline) -> None:
    pipe.declare(PROJECT.replace("tune: {cmd: x,", "tune: {cmd: x, deps: [model],"))
    with pytest.raises(InputError, match="train needs tune needs train"):
        graph(pipe)


def test_the_screen(pipe: Pipeline) -> None:
    assert "train" in pipe.project.mlx("dag").stdout
    assert pipe.project.mlx("dag", "--mermaid").stdout.startswith("flowchart")
    assert pipe.project.mlx("dag", "--dot").stdout.startswith("digraph")
    assert pipe.project.mlx("dag", "--dot", "--mermaid").returncode == 2
    document = json.loads(pipe.project.mlx("--json", "dag", "clean").stdout)
    assert document["edges"] == [["data:raw", "clean"]]
