"""Data and files. Each case yields rows; pipelines are measured in pipelines.py."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from contenders import Cost, Tool, run
from measure import Row, Setting, make_files, timed


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
    bare = [setting.python, "-c", "pass"]
    steps = (
        ("--version", "`--version`", "mlx <= 2.5x Python"),
        ("status", "`status` of a small clean project", "mlx <= 5x Python"),
    )
    for word, title, goal in steps:
        row = Row(title, goal)
        for _ in range(7 * setting.repeat):
            row.note("python", run(bare, project).seconds)
            for name, tool in setting.tools.items():
                row.note(name, run([tool.program, word], projects[name]).seconds)
        yield row


# --- many small files -----------------------------------------------------------------------------


def small(setting: Setting) -> Iterator[Row]:
    """Many small files."""
    source = setting.folder / "small-source"
    make_files(source, 1_000 if setting.quick else 50_000, 4096)
    rows = {
        "add": Row("add", "mlx <= dvc / 10, <= 2.5x hash+pack"),
        "status": Row("status, clean", "mlx <= 3x scandir+stat, <= dvc / 8"),
        "readd": Row("10 files changed: add again", "mlx < 1 s, <= dvc / 8"),
        "checkout": Row("checkout, nothing there", "mlx <= 2x copy"),
        "switch": Row("switch, 100 files differ", "mlx < 0.5 s"),
    }
    for turn in range(setting.repeat):
        for name, tool in setting.tools.items():
            _small_turn(setting.folder / f"small-{name}-{turn}", source, tool, rows)
        _small_floors(setting, setting.folder / f"small-floor-{turn}", source, rows)
    yield from rows.values()


def _small_turn(folder: Path, source: Path, tool: Tool, rows: dict[str, Row]) -> None:
    tool.init(folder)
    shutil.copytree(source, folder / "data")
    timed(rows["add"], tool.name, lambda: tool.add(folder, "data"))
    tool.commit(folder, "first")
    tool.status(folder)  # the first look after an add may still have racy files to read
    timed(rows["status"], tool.name, lambda: tool.status(folder))
    change(folder / "data", 10)
    timed(rows["readd"], tool.name, lambda: tool.add(folder, "data"))
    tool.commit(folder, "ten")
    change(folder / "data", 100)
    tool.add(folder, "data")
    tool.commit(folder, "hundred")
    timed(rows["switch"], tool.name, lambda: tool.switch(folder, "HEAD~1"))
    (folder / "data").rename(folder.with_suffix(".away"))
    timed(rows["checkout"], tool.name, lambda: tool.checkout(folder, "data"))


def _small_floors(setting: Setting, folder: Path, source: Path, rows: dict[str, Row]) -> None:
    folder.mkdir()
    timed(rows["add"], "floor", lambda: setting.floor("pack", source, folder / "pack"))
    timed(rows["status"], "floor", lambda: setting.floor("walk", source, folder))
    timed(rows["checkout"], "floor", lambda: setting.floor("copy", source, folder / "copy"))


def change(root: Path, number: int) -> None:
    """Append to files spread over the folders."""
    paths = sorted(p for p in root.rglob("*.bin"))
    for path in paths[:: max(1, len(paths) // number)][:number]:
        with path.open("ab") as stream:
            stream.write(b"x")


# --- a million files ------------------------------------------------------------------------------

_MILLION = (
    ("add", "add", "mlx <= 2.5x hash+pack"),
    ("status", "status, clean", "mlx <= 3x scandir+stat"),
    ("readd", "1 file changed: add again", "mlx <= 3x scandir+stat"),
    ("checkout", "checkout, nothing there", "mlx <= 2x copy"),
)


def million(setting: Setting) -> Iterator[Row]:
    """A million tiny files in 10,000 folders; time and memory of each step."""
    number = 10_000 if setting.quick else 1_000_000
    times = {key: Row(title, goal) for key, title, goal in _MILLION}
    peaks = {key: Row(f"{title}: peak memory", unit="bytes a file") for key, title, _ in _MILLION}
    for turn in range(setting.repeat):
        for name, tool in setting.tools.items():
            folder = setting.folder / f"million-{name}-{turn}"
            for key, cost in _million_turn(folder, number, tool):
                times[key].note(name, cost.seconds)
                peaks[key].note(name, cost.peak / number)
        _million_floors(setting, setting.folder / f"million-{turn}", number, times)
    yield from times.values()
    yield from peaks.values()


def _million_turn(folder: Path, number: int, tool: Tool) -> Iterator[tuple[str, Cost]]:
    scratch = Row("")  # settles the disk; the figures are noted by who asked
    data = folder / "data"
    tool.init(folder)
    make_files(data, number, 100)
    yield "add", timed(scratch, "", lambda: tool.add(folder, "data"))
    tool.commit(folder, "first")
    tool.status(folder)  # the first look after an add may still have racy files to read
    yield "status", timed(scratch, "", lambda: tool.status(folder))
    with (data / "00007" / "0000707.bin").open("ab") as stream:
        stream.write(b"x")
    yield "readd", timed(scratch, "", lambda: tool.add(folder, "data"))
    tool.commit(folder, "one")
    data.rename(folder.with_suffix(".away"))
    yield "checkout", timed(scratch, "", lambda: tool.checkout(folder, "data"))


def _million_floors(setting: Setting, folder: Path, number: int, rows: dict[str, Row]) -> None:
    source = folder / "source"
    make_files(source, number, 100)
    timed(rows["add"], "floor", lambda: setting.floor("pack", source, folder / "pack"))
    timed(rows["status"], "floor", lambda: setting.floor("walk", source, folder))
    timed(rows["readd"], "floor", lambda: setting.floor("walk", source, folder))
    timed(rows["checkout"], "floor", lambda: setting.floor("copy", source, folder / "copy"))


# --- one large file -------------------------------------------------------------------------------


class Way(NamedTuple):
    """A way to keep one large file: what mlx is set to, and a goal and a floor for each step."""

    title: str
    settings: dict[str, str]
    goals: tuple[str, str]
    floors: tuple[str, str | None]


_WAYS = (
    Way(
        "",
        {},
        ("mlx <= 1.3x hash+copy (flushed)", "mlx <= 1.3x copy_file_range"),
        ("hash_and_copy_flushed", "copy_range"),
    ),
    Way(
        ", `mlx.link hardlink`",
        {"link": "hardlink"},
        ("mlx <= 1.3x hash", ""),
        ("hash_large", None),
    ),
    Way(
        ", `mlx.fsync off`",
        {"fsync": "off"},
        ("mlx <= 1.3x hash+copy (not flushed)", "mlx <= 1.3x copy_file_range"),
        ("hash_and_copy", "copy_range"),
    ),
)


def large(setting: Setting) -> Iterator[Row]:
    """One large file: as it is by default, with links, and without flushing."""
    source = setting.folder / "large.bin"
    make_large(source, (64 << 20) if setting.quick else (2 << 30))
    for way in _WAYS:
        steps = ("add", "checkout, nothing there")
        rows = [Row(step + way.title, goal) for step, goal in zip(steps, way.goals, strict=True)]
        tools = {"mlx": setting.tools["mlx"]} if way.settings else setting.tools
        for turn in range(setting.repeat):
            for name, tool in tools.items():
                folder = setting.folder / f"large-{name}-{turn}"
                _large_turn(folder, source, tool, way.settings, rows)
            _large_floors(setting, source, way, rows)
        yield from rows


def _large_floors(setting: Setting, source: Path, way: Way, rows: list[Row]) -> None:
    target = setting.folder / "large-floor.bin"
    for row, floor in zip(rows, way.floors, strict=True):
        if floor:
            timed(row, "floor", partial(setting.floor, floor, source, target))
        target.unlink(missing_ok=True)


def _large_turn(
    folder: Path, source: Path, tool: Tool, settings: dict[str, str], rows: list[Row]
) -> None:
    tool.init(folder, **settings)
    shutil.copyfile(source, folder / "large.bin")
    timed(rows[0], tool.name, lambda: tool.add(folder, "large.bin"))
    (folder / "large.bin").unlink()
    timed(rows[1], tool.name, lambda: tool.checkout(folder, "large.bin"))
    shutil.rmtree(folder)


def make_large(path: Path, size: int) -> None:
    """Write a seeded random file of `size` bytes."""
    source = random.Random(2)
    with path.open("wb") as stream:
        for _ in range(size >> 20):
            stream.write(source.randbytes(1 << 20))
