"""What is measured. Each case yields rows: (step, {contender: seconds}, the goal in words)."""

from __future__ import annotations

import os
import random
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from contenders import Tool, floor, run


@dataclass
class Row:
    """One step: seconds by contender, and what was wanted."""

    step: str
    seconds: dict[str, list[float]] = field(default_factory=dict)
    goal: str = ""

    def note(self, name: str, seconds: float) -> None:
        """Add one measurement."""
        self.seconds.setdefault(name, []).append(seconds)

    def median(self, name: str) -> float | None:
        """Return the median of a contender, or None."""
        return statistics.median(self.seconds[name]) if name in self.seconds else None


@dataclass(frozen=True)
class Setting:
    """Where and how much is measured."""

    folder: Path
    tools: dict[str, Tool]
    repeat: int
    small: int
    large: int


def settle() -> None:
    """Let the disk finish what earlier steps left to it."""
    os.sync()


def make_files(root: Path, number: int, size: int, per_folder: int = 100) -> None:
    """Write seeded random files, `per_folder` to a folder."""
    source = random.Random(1)
    for index in range(number):
        folder = root / f"{index // per_folder:05d}"
        if index % per_folder == 0:
            folder.mkdir(parents=True)
        (folder / f"{index:07d}.bin").write_bytes(source.randbytes(size))


def startup(setting: Setting) -> Iterator[Row]:
    """Start-up: whole processes, the median of many."""
    project = setting.folder / "startup"
    projects = {}
    for name in ("mlx", "dvc"):
        projects[name] = project / name
        setting.tools[name].init(projects[name])
        (projects[name] / "data.csv").write_text("id\n1\n")
        setting.tools[name].add(projects[name], "data.csv")
        setting.tools[name].commit(projects[name], "first")
    projects["git"] = projects["mlx"]
    bare = [sys.executable, "-c", "pass"]
    steps = (
        ("--version", "`--version`", "mlx <= 2.5x Python"),
        ("status", "`status` of a small clean project", "mlx <= 5x Python"),
    )
    for word, title, goal in steps:
        row = Row(title, goal=goal)
        for _ in range(7 * setting.repeat):
            row.note("python", run(bare, project))
            for name, tool in setting.tools.items():
                row.note(name, run([tool.program, word], projects[name]))
        yield row


def small(setting: Setting) -> Iterator[Row]:
    """Many small files."""
    source = setting.folder / "small-source"
    make_files(source, setting.small, 4096)
    rows = {
        "add": Row("add", goal="mlx <= dvc / 10, <= 2.5x hash+pack"),
        "status": Row("status, clean", goal="mlx <= 3x scandir+stat, <= dvc / 8"),
        "readd": Row("10 files changed: add again", goal="mlx < 1 s, <= dvc / 8"),
        "checkout": Row("checkout, nothing there", goal="mlx <= 2x copy"),
        "switch": Row("switch, 100 files differ", goal="mlx < 0.5 s"),
    }
    for turn in range(setting.repeat):
        for name, tool in setting.tools.items():
            _small_turn(setting.folder / f"small-{name}-{turn}", source, tool, rows)
        _small_floors(setting.folder / f"small-floor-{turn}", source, rows)
    yield from rows.values()


def _small_turn(folder: Path, source: Path, tool: Tool, rows: dict[str, Row]) -> None:
    tool.init(folder)
    shutil.copytree(source, folder / "data")
    _timed(rows["add"], tool.name, lambda: tool.add(folder, "data"))
    tool.commit(folder, "first")
    tool.status(folder)  # the first look after an add may still have racy files to read
    _timed(rows["status"], tool.name, lambda: tool.status(folder))
    _change(folder / "data", 10)
    _timed(rows["readd"], tool.name, lambda: tool.add(folder, "data"))
    tool.commit(folder, "ten")
    _change(folder / "data", 100)
    tool.add(folder, "data")
    tool.commit(folder, "hundred")
    _timed(rows["switch"], tool.name, lambda: tool.switch(folder, "HEAD~1"))
    (folder / "data").rename(folder.with_suffix(".away"))
    _timed(rows["checkout"], tool.name, lambda: tool.checkout(folder, "data"))


def _small_floors(folder: Path, source: Path, rows: dict[str, Row]) -> None:
    folder.mkdir()
    _timed(rows["add"], "floor", lambda: floor("pack", source, folder / "pack"))
    _timed(rows["status"], "floor", lambda: floor("walk", source, folder))
    _timed(rows["checkout"], "floor", lambda: floor("copy", source, folder / "copy"))


def _timed(row: Row, name: str, step: Callable[[], float]) -> None:
    settle()
    row.note(name, step())


def _change(root: Path, number: int) -> None:
    """Append to files spread over the folders."""
    paths = sorted(p for p in root.rglob("*.bin"))
    for path in paths[:: max(1, len(paths) // number)][:number]:
        with path.open("ab") as stream:
            stream.write(b"x")


def large(setting: Setting) -> Iterator[Row]:
    """One large file."""
    source = setting.folder / "large.bin"
    _make_large(source, setting.large)
    add = Row("add", goal="mlx <= 1.3x hash+copy (flushed)")
    checkout = Row("checkout, nothing there", goal="mlx <= 1.3x copy_file_range")
    for turn in range(setting.repeat):
        for name, tool in setting.tools.items():
            folder = setting.folder / f"large-{name}-{turn}"
            tool.init(folder)
            shutil.copyfile(source, folder / "large.bin")
            _timed(add, name, lambda f=folder, t=tool: t.add(f, "large.bin"))
            (folder / "large.bin").unlink()
            _timed(checkout, name, lambda f=folder, t=tool: t.checkout(f, "large.bin"))
            shutil.rmtree(folder)
        target = setting.folder / "large-floor.bin"
        for row, label, step in (
            (add, "floor", "hash_and_copy_flushed"),
            (add, "floor, not flushed", "hash_and_copy"),
            (add, "floor, hash only", "hash_large"),
            (checkout, "floor", "copy_range"),
        ):
            _timed(row, label, lambda s=step, t=target: floor(s, source, t))
            target.unlink(missing_ok=True)
    yield add
    yield checkout


def _make_large(path: Path, size: int) -> None:
    source = random.Random(2)
    with path.open("wb") as stream:
        for _ in range(size >> 20):
            stream.write(source.randbytes(1 << 20))


CASES = {"startup": startup, "small": small, "large": large}


def disk() -> str:
    """Name the file system that is measured."""
    out = subprocess.run(["df", "-T", "."], capture_output=True, text=True, check=False).stdout
    return out.splitlines()[-1].split()[1] if out else "unknown"
