"""Whatever happens to a project, nothing is called up to date that a run would not make.

Code, data, params and stages are edited, at any moment also of a run; runs are killed or meet;
branches are merged by plain git. After each move everything that mlx claims is checked by running
the stages' commands again, on what is here and without any cache: see truth.py.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from claims import Claims
from stepping import Stepper
from story import Story
from truth import Truth

TRUTH = Truth()  # what it has found out once is so in all stories


@pytest.fixture(scope="module")
def stepper() -> Iterator[Stepper]:
    stepper = Stepper()
    yield stepper
    stepper.close()


@pytest.fixture
def folder() -> Iterator[Path]:
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    path = Path(tempfile.mkdtemp(dir=memory))
    yield path
    shutil.rmtree(path, ignore_errors=True)


def tell(folder: Path, stepper: Stepper, number: int, moves: int) -> None:
    before = Claims.count
    Story(folder, number, TRUTH, stepper).go_on(moves)
    assert Claims.count > before + moves  # or nothing was looked at


@pytest.mark.parametrize("number", range(12))
def test_a_story_has_no_false_up_to_date(folder: Path, stepper: Stepper, number: int) -> None:
    tell(folder, stepper, number, 20)


@pytest.mark.nightly
@pytest.mark.timeout(0)
def test_many_stories_have_no_false_up_to_date(folder: Path, stepper: Stepper) -> None:
    for number in range(1000, 1400):
        tell(folder / str(number), stepper, number, 40)
