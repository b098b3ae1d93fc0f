"""The real DVC, from PyPI, in an environment of its own."""

from __future__ import annotations

import fcntl
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
    cache = getattr(pytestconfig, "cache", None)
    assert cache is not None, "DVC is kept in pytest's cache: leave out -p no:cacheprovider"
    folder = cache.mkdir("dvc")
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two workers of xdist begin at once
        install(folder / "env")
    return Path(folder / "env" / "bin" / "dvc")


def install(folder: Path) -> None:
    """Make the environment, unless it is there and complete."""
    stamp = folder / "stamp"
    if stamp.exists() and stamp.read_text() == WANTED:
        return
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True, env=clean)
    subprocess.run([folder / "bin" / "pip", "install", "-q", WANTED], check=True, env=clean)
    stamp.write_text(WANTED)


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
