"""Measure mlx beside DVC, git and the floor; print ratios; write docs/performance.md's tables."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sys
import tempfile
from pathlib import Path

from cases import CASES, Row, Setting, disk
from contenders import peers

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- measured: {} -->", "<!-- end: {} -->"


def table(rows: list[Row]) -> str:
    """Return rows as a Markdown table: seconds, and mlx as a multiple of the others."""
    names = list(dict.fromkeys(name for row in rows for name in row.seconds))
    lines = ["| step | " + " | ".join(names) + " | mlx / others | wanted |"]
    lines.append("|---|" + "---:|" * len(names) + "---|---|")
    for row in rows:
        cells = [_seconds(row.median(name)) for name in names]
        lines.append(f"| {row.step} | {' | '.join(cells)} | {_ratios(row)} | {row.goal} |")
    return "\n".join(lines)


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}" if value < 1 else f"{value:.2f}"


def _ratios(row: Row) -> str:
    mine = row.median("mlx")
    if mine is None:
        return ""
    others = [(name, row.median(name)) for name in row.seconds if name != "mlx"]
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
        f"{versions}; Python {platform.python_version()}; {os.cpu_count()} cores, {disk()}; "
        f"median of {setting.repeat}; seconds."
    )


def main() -> None:
    """Run the cases that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="small sizes; writes no page")
    parser.add_argument(
        "--folder", type=Path, help="where to measure (default: a temporary folder)"
    )
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="mlx-bench-", dir=options.folder))
    small, large = (1_000, 64 << 20) if options.quick else (50_000, 2 << 30)
    tools = peers(Path(tempfile.gettempdir()) / "mlx-bench-peers")
    os.chdir(folder)
    try:
        for case in options.cases.split(","):
            setting = Setting(folder, tools, options.repeat, small, large)
            rows = list(CASES[case](setting))
            text = f"{table(rows)}\n\n{conditions(setting)}"
            print(f"\n## {case}\n\n{text}", flush=True)
            if not options.quick:
                write_page(case, text)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
