"""What every test may use: an environment of its own, and a real project in a temporary folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from sandbox import Killer, Project

_IDENTITY = {
    "GIT_AUTHOR_NAME": "A Tester",
    "GIT_AUTHOR_EMAIL": "tester@example.org",
    "GIT_COMMITTER_NAME": "A Tester",
    "GIT_COMMITTER_EMAIL": "tester@example.org",
}


# What tells a program who watches it: a CI job sets these, a terminal does not.
_WATCHERS = {
    *("CI", "TERM", "COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE"),
    *("TTY_COMPATIBLE", "TTY_INTERACTIVE", "CUDA_VISIBLE_DEVICES"),
}


@pytest.fixture(autouse=True, scope="session")
def _own_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the settings of git, mlx, hooks, a terminal or a CI job out of every test."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(("GIT_", "MLXREPO_")) or name in _WATCHERS:
                patch.delenv(name)
        patch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)  # else every mlx compiles itself
        patch.delenv("PYTHONUNBUFFERED", raising=False)  # it would hide what is written late
        patch.setenv("HOME", str(home))
        patch.setenv("XDG_CONFIG_HOME", str(home / ".config"))
        patch.setenv("GIT_CONFIG_GLOBAL", str(home / ".gitconfig"))
        patch.setenv("GIT_CONFIG_NOSYSTEM", "1")
        for name, value in _IDENTITY.items():
            patch.setenv(name, value)
        yield


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Return a new mlx project, without a commit."""
    return Project.create(tmp_path / "project")


@pytest.fixture
def killer() -> Iterator[Killer]:
    """Return what runs commands and kills them half-way."""
    killer = Killer()
    yield killer
    killer.close()
