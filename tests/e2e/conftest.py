"""Projects to play in, through the installed `mlx`."""

from __future__ import annotations

from pathlib import Path

import pytest
from user import MLX, User


@pytest.fixture(autouse=True, scope="session")
def _installed() -> None:
    assert MLX.exists(), f"no mlx beside this Python: {MLX} (pip install -e '.[dev]')"


@pytest.fixture
def user(tmp_path: Path) -> User:
    """A new project without data."""
    return User.begin(tmp_path / "project")


@pytest.fixture
def analyst(tmp_path: Path) -> User:
    """A project with data, scripts and four declared stages, none of which has run."""
    return User.with_pipeline(tmp_path / "project")
