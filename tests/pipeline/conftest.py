"""A project with a pipeline, run through the library."""

from __future__ import annotations

from pathlib import Path

import pytest
from pipeline_project import Pipeline
from sandbox import Project


@pytest.fixture
def pipe(tmp_path: Path) -> Pipeline:
    """Return a new project to declare stages in."""
    return Pipeline(Project.create(tmp_path / "project"))


@pytest.fixture
def chain(pipe: Pipeline) -> Pipeline:
    """Return a pipeline of two stages that has run."""
    return pipe.chain()
