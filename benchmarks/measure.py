"""What every case needs: rows of figures, the setting, and floors."""

from __future__ import annotations

import os
import random
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from contenders import HERE, Cost, Tool, run


@dataclass
class Row:
    """One step: figures by contender (seconds, or another unit), and what was wanted.

    `ran` is how many stages each contender ran, where that is part of the answer.
    """

    step: str
    goal: str = ""
    unit: str = "s"
    figures: dict[str, list[float]] = field(default_factory=dict)
    ran: dict[str, int] = field(default_factory=dict)

    def note(self, name: str, figure: float) -> None:
        """Add one measurement."""
        self.figures.setdefault(name, []).append(figure)

    def median(self, name: str) -> float | None:
        """Return the median of a contender, or None."""
        return statistics.median(self.figures[name]) if name in self.figures else None


@dataclass(frozen=True)
class Setting:
    """Where and how much is measured."""

    folder: Path
    tools: dict[str, Tool]
    repeat: int
    quick: bool

    @property
    def python(self) -> str:
        """The Python that mlx is installed for."""
        return str(Path(self.tools["mlx"].program).with_name("python"))

    def floor(self, step: str, source: Path, target: Path) -> Cost:
        """Run a floor in a process of its own; its start and its imports are not counted."""
        seconds = self.folder / "seconds"
        words = [self.python, str(HERE / "floors.py"), step, str(source), str(target), str(seconds)]
        cost = run(words, self.folder)
        return Cost(float(seconds.read_text()), cost.peak)


def timed(row: Row, name: str, step: Callable[[], Cost]) -> Cost:
    """Let the disk finish what earlier steps left to it, then measure a step."""
    os.sync()
    cost = step()
    row.note(name, cost.seconds)
    return cost


def make_files(root: Path, number: int, size: int, per_folder: int = 100) -> None:
    """Write seeded random files, `per_folder` to a folder."""
    source = random.Random(1)
    for index in range(number):
        folder = root / f"{index // per_folder:05d}"
        if index % per_folder == 0:
            folder.mkdir(parents=True)
        (folder / f"{index:07d}.bin").write_bytes(source.randbytes(size))
