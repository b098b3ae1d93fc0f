"""The real DVC, from PyPI, in an environment of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from both import CHAIN, Both

WANTED = "dvc>=3.67,<4"


@pytest.fixture(scope="session")
def dvc(pytestconfig: pytest.Config) -> Path:
    """Return DVC's program; pytest's cache keeps it between runs."""
    assert pytestconfig.cache is not None
    folder = pytestconfig.cache.mkdir("dvc") / "env"
    stamp = folder / "stamp"
    if not stamp.exists() or stamp.read_text() != WANTED:
        clean = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True, env=clean)
        subprocess.run([folder / "bin" / "pip", "install", "-q", WANTED], check=True, env=clean)
        stamp.write_text(WANTED)
    return folder / "bin" / "dvc"


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory, dvc: Path) -> Both:
    """Return two new projects, to be copied."""
    return Both.create(tmp_path_factory.mktemp("empty"), dvc)


@pytest.fixture(scope="session")
def ran(tmp_path_factory: pytest.TempPathFactory, empty: Both) -> Both:
    """Return two projects with three stages in a row and one beside them, to be copied."""
    both = empty.copied(tmp_path_factory.mktemp("ran"))
    both.write("in.txt", "one\n")
    both.declare(CHAIN)
    assert both.repro() == ["a", "b", "c", "other"]
    return both


@pytest.fixture
def both(tmp_path: Path, empty: Both) -> Both:
    """Return two new projects, one of each tool."""
    return empty.copied(tmp_path)


@pytest.fixture
def chain(tmp_path: Path, ran: Both) -> Both:
    """Return two projects of which all stages have run."""
    return ran.copied(tmp_path)
