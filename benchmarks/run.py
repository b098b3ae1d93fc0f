"""Measure mlx beside its peers and the floor; print ratios; write docs/performance.md's tables."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from cases import large, million, small, startup
from compare import compare
from contenders import ROOT, find
from history import history
from measure import Row, Setting
from pipelines import pipeline
from remotes import remotes

PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- measured: {} -->", "<!-- end: {} -->"


class Case(NamedTuple):
    """What is measured, and whom of."""

    measure: Callable[[Setting], Iterator[Row]]
    tools: tuple[str, ...]


CASES = {
    "startup": Case(startup, ("mlx", "dvc", "git")),
    "small": Case(small, ("mlx", "dvc", "git")),
    "large": Case(large, ("mlx", "dvc", "git")),
    "compare": Case(compare, ("mlx", "dvc", "git")),
    "million": Case(million, ("mlx", "git")),
    "remotes": Case(remotes, ("mlx", "dvc", "rclone")),
    "pipeline": Case(pipeline, ("mlx", "dvc", "snakemake", "doit", "make")),
    "history": Case(history, ("mlx", "dvc")),
}


def table(rows: list[Row]) -> str:
    """Return rows as a Markdown table: figures, and mlx as a multiple of the others."""
    names = list(dict.fromkeys(name for row in rows for name in row.figures))
    lines = ["| step | " + " | ".join(names) + " | mlx / others | wanted |"]
    lines.append("|---|" + "---:|" * len(names) + "---|---|")
    for row in rows:
        title = row.step if row.unit == "s" else f"{row.step}, {row.unit}"
        cells = [_figure(row, name) for name in names]
        lines.append(f"| {title} | {' | '.join(cells)} | {_ratios(row)} | {row.goal} |")
    return "\n".join(lines)


def _figure(row: Row, name: str) -> str:
    value = row.median(name)
    if value is None:
        return ""
    digits = 0 if row.unit != "s" else 3 if value < 1 else 2
    ran = f" ({row.ran[name]})" if name in row.ran else ""
    return f"{value:.{digits}f}{ran}"


def _ratios(row: Row) -> str:
    mine = row.median("mlx")
    if mine is None:
        return ""
    others = [(name, row.median(name)) for name in row.figures if name != "mlx"]
    return ", ".join(f"{name} {mine / value:.2f}" for name, value in others if value)


def write_page(case: str, text: str) -> None:
    """Put a table between its marks in docs/performance.md."""
    begin, end = BEGIN.format(case), END.format(case)
    page = PAGE.read_text(encoding="utf-8")
    head, _, rest = page.partition(begin)
    _, found, tail = rest.partition(end)
    if not found:
        raise SystemExit(f"docs/performance.md has no place for {case}")
    PAGE.write_text(f"{head}{begin}\n{text}\n{end}{tail}", encoding="utf-8")


def conditions(setting: Setting) -> str:
    """Say what was measured on."""
    versions = ", ".join(f"{tool.name} {tool.version}" for tool in setting.tools.values())
    return (
        f"{versions}; Python {platform.python_version()}; {os.cpu_count()} cores, {_disk()}; "
        f"median of {setting.repeat}; seconds where no other unit is named."
    )


def _disk() -> str:
    out = subprocess.run(["df", "-T", "."], capture_output=True, text=True, check=False).stdout
    return out.splitlines()[-1].split()[1] if out else "unknown"


def main() -> None:
    """Run the cases that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", default=",".join(CASES), help="some of: " + ", ".join(CASES))
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="small sizes; writes no page")
    parser.add_argument(
        "--folder", type=Path, help="where to measure (default: a temporary folder)"
    )
    options = parser.parse_args()
    wanted = options.cases.split(",")
    if unknown := [case for case in wanted if case not in CASES]:
        parser.error(f"no such case: {', '.join(unknown)}; there are {', '.join(CASES)}")
    tools = find(dict.fromkeys(name for case in wanted for name in CASES[case].tools))
    folder = Path(tempfile.mkdtemp(prefix="mlx-bench-", dir=options.folder)).resolve()
    os.chdir(folder)
    try:
        for case in wanted:
            theirs = {name: tools[name] for name in CASES[case].tools if name in tools}
            setting = Setting(folder, theirs, options.repeat, options.quick)
            rows = []
            for row in CASES[case].measure(setting):
                rows.append(row)
                figures = ", ".join(f"{name} {_figure(row, name)}" for name in row.figures)
                print(f"{row.step}: {figures}", file=sys.stderr, flush=True)
            text = f"{table(rows)}\n\n{conditions(setting)}"
            print(f"\n## {case}\n\n{text}", flush=True)
            if not options.quick:
                write_page(case, text)
    finally:
        os.chdir(ROOT)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
