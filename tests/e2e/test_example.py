"""The example, run as the README's first command runs it, against the installed `mlx`."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).resolve().parents[2] / "examples" / "digits" / "run.py"


def play(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(RUN), str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_the_main_job_ends_with_the_first_commit_back_byte_for_byte(tmp_path: Path) -> None:
    folder = tmp_path / "a folder" / "digits"
    done = play(folder)
    assert done.returncode == 0, done.stdout
    proof = re.findall(r"^  ([0-9a-f]{12})…  ([0-9a-f]{12})…  equal  (\S+)$", done.stdout, re.M)
    assert {path for _, _, path in proof} >= {"data/digits.csv", "models/forest.joblib"}
    assert all(recorded == found for recorded, found, _ in proof)
    assert re.search(r"^  accuracy +0\.9\d+ +0\.9\d+$", done.stdout, re.M)


def test_the_example_leaves_a_folder_alone_that_is_not_empty(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine\n")
    done = play(tmp_path)
    assert done.returncode == 1
    assert "is not an empty folder" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
