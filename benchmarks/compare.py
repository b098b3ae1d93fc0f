"""Comparing: two versions of many files, of many rows, and a long history."""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

from cases import change
from contenders import Tool, environment, run
from measure import Row, Setting, make_files, timed

COMMITS, RECORDED = 2_000, 200  # all commits, and those that change mlx.lock
LOG = ("mlx log", "mlx log of one path")


def compare(setting: Setting) -> Iterator[Row]:
    """`mlx diff` of files and rows, `mlx log`."""
    yield from _files(setting)
    yield from _rows(setting)
    yield from _history(setting)


# --- 100 of 50,000 files --------------------------------------------------------------------------


def _files(setting: Setting) -> Iterator[Row]:
    row = Row("`diff HEAD~1 HEAD`, 100 of 50,000 files differ", "mlx <= dvc / 8")
    source = setting.folder / "compare-source"
    make_files(source, 1_000 if setting.quick else 50_000, 100)
    folders = {}
    for name, tool in setting.tools.items():
        folder = folders[name] = setting.folder / f"compare-{name}"
        tool.init(folder)
        subprocess.run(["cp", "-r", source, folder / "data"], check=True)
        tool.add(folder, "data")
        tool.commit(folder, "first")
        change(folder / "data", 100)
        tool.add(folder, "data")
        tool.commit(folder, "hundred")
    for _ in range(setting.repeat):
        for name, tool in setting.tools.items():
            words = [tool.program, "diff", *(["--raw"] if name == "git" else []), "HEAD~1", "HEAD"]
            timed(row, name, lambda words=words, name=name: run(words, folders[name]))
    yield row


# --- a million rows -------------------------------------------------------------------------------


def _rows(setting: Setting) -> Iterator[Row]:
    """Every thousandth of a million rows differs; they come in another order."""
    row = Row("`diff --rows`, a CSV file of 1,000,000 rows", "mlx about 1 s beside loading pandas")
    mlx, folder = setting.tools["mlx"], setting.folder / "compare-rows"
    mlx.init(folder)
    lines = list(_table(10_000 if setting.quick else 1_000_000))
    _write_table(folder / "table.csv", lines)
    mlx.add(folder, "table.csv")
    project = folder / "mlx.yaml"
    text = project.read_text()
    project.write_text(text.replace("path: table.csv", "path: table.csv\n    key: id"))
    mlx.commit(folder, "first")
    lines[::1000] = [line.replace(",city-", ",town-") for line in lines[::1000]]
    random.Random(4).shuffle(lines)
    _write_table(folder / "table.csv", lines)
    mlx.add(folder, "table.csv")
    mlx.commit(folder, "rows")
    load = [setting.python, "-c", "import pandas"]
    for _ in range(setting.repeat):
        row.note("import pandas", run(load, folder).seconds)
        words = [mlx.program, "diff", "HEAD~1", "HEAD", "--rows"]
        timed(row, "mlx", lambda words=words: run(words, folder))
    yield row


def _table(number: int) -> Iterator[str]:
    chance = random.Random(3)
    for index in range(number):
        city = f"city-{chance.randrange(1000)}"
        yield f"{index},{chance.random():.4f},{chance.randrange(100)},{city},{chance.random():.6f}"


def _write_table(path: Path, lines: list[str]) -> None:
    path.write_text("\n".join(["id,price,count,city,score", *lines]) + "\n")


# --- a long history -------------------------------------------------------------------------------


def _history(setting: Setting) -> Iterator[Row]:
    mlx, folder = setting.tools["mlx"], setting.folder / "compare-history"
    mlx.init(folder)
    make_history(folder, mlx, COMMITS // 20 if setting.quick else COMMITS)
    where = f"{COMMITS:,} commits, {RECORDED} change `mlx.lock`"
    for title, words in ((LOG[0], ["log"]), (LOG[1], ["log", "models/model.pkl"])):
        row = Row(f"`{title}`, {where}", "mlx < 0.5 s")
        for _ in range(setting.repeat):
            timed(row, "mlx", lambda words=words: run([mlx.program, *words], folder))
        yield row


def make_history(folder: Path, mlx: Tool, commits: int) -> None:
    """Make commits on `main` by `git fast-import`, each tenth with other metrics in mlx.lock."""
    chance = random.Random(5)
    stream = bytearray()
    for number in range(commits):
        message = f"commit {number}".encode()
        stream += b"commit refs/heads/main\n"
        stream += b"committer bench <bench@example.org> %d +0000\n" % (1_700_000_000 + number * 60)
        stream += b"data %d\n%s\n" % (len(message), message)
        files = {"src/train.py": b"# version %d\n" % number}
        if number == 0:
            files["mlx.yaml"] = (folder / "mlx.yaml").read_bytes()
        if number % (COMMITS // RECORDED) == 0:
            files["mlx.lock"] = _lockfile(chance)
        for path, data in files.items():
            stream += b"M 100644 inline %s\ndata %d\n%s\n" % (path.encode(), len(data), data)
    words = ["git", "fast-import", "--quiet", "--force"]
    subprocess.run(words, cwd=folder, input=bytes(stream), check=True, env=environment())
    run(["git", "checkout", "-q", "-f", "main"], folder)


def _lockfile(chance: random.Random) -> bytes:
    """Return a lockfile with thirty artifacts and a stage, whose model and metrics are new."""
    fixed = random.Random(6)
    records: dict[str, dict[str, object]] = {
        f"data:set{number}": _file(f"data/set{number}", fixed) for number in range(30)
    }
    records["stage:train"] = {
        "key": _oid(chance),
        "cmd": ["python src/train.py"],
        "params": {"params.yaml": {"lr": chance.random()}},
        "outs": [
            {**_file("models/model.pkl", chance), "role": "out", "cache": True},
            {**_file("metrics.json", chance), "role": "metric", "cache": False},
        ],
        "metrics": {"metrics.json": {"auc": chance.random(), "f1": chance.random()}},
    }
    lines = [_line({"format": 1, "oid": "blake3"})]
    for name in sorted(records):
        lines += ["", _line(name), _line(records[name])]
    return ("\n".join(lines) + "\n").encode()


def _line(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _file(path: str, chance: random.Random) -> dict[str, object]:
    return {"path": path, "kind": "file", "oid": _oid(chance), "size": chance.randrange(1 << 20)}


def _oid(chance: random.Random) -> str:
    return f"{chance.getrandbits(256):064x}"
