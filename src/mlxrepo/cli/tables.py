"""Tables as text: aligned columns for a screen or a pipe, Markdown for a pull request."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

GAP = "  "

_ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


def cell_width(text: str) -> int:
    """Return how many columns a terminal needs for `text`; colours need none."""
    plain = _ESCAPES.sub("", text)
    if plain.isascii():
        return len(plain)
    return sum(character_width(c) for c in plain)


def character_width(character: str) -> int:
    """Return the columns of one character: 2 for East Asian wide ones, 0 for combining ones."""
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def table(rows: Sequence[Sequence[str]], headers: Sequence[str] = (), align: str = "") -> str:
    """Return rows as aligned columns, without a final newline.

    `align` has a letter for each column, l or r; columns beyond it are left-aligned. The text is
    the same on a terminal and in a pipe; cells may be painted.
    """
    lines = [list(headers), *map(list, rows)] if headers else [list(row) for row in rows]
    widths = [max(map(cell_width, column)) for column in zip(*lines, strict=True)]
    return "\n".join(_line(cells, widths, align) for cells in lines)


def markdown_table(rows: Sequence[Sequence[str]], headers: Sequence[str], align: str = "") -> str:
    """Return rows as a Markdown table, without a final newline; `align` as in `table`."""
    rule = ["---:" if _is_right(align, i) else "---" for i in range(len(headers))]
    lines = [_markdown_line(headers), "| " + " | ".join(rule) + " |"]
    return "\n".join(lines + [_markdown_line(row) for row in rows])


def _line(cells: Sequence[str], widths: Sequence[int], align: str) -> str:
    padded = []
    for i, (cell, width) in enumerate(zip(cells, widths, strict=True)):
        space = " " * (width - cell_width(cell))
        padded.append(space + cell if _is_right(align, i) else cell + space)
    return GAP.join(padded).rstrip()


def _is_right(align: str, column: int) -> bool:
    return align[column : column + 1] == "r"


def _markdown_line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(map(_markdown_cell, cells)) + " |"


def _markdown_cell(text: str) -> str:
    """Escape what would end the cell or be read as markup."""
    escaped = re.sub(r"([\\|*_`<>\[\]])", r"\\\1", text)
    return escaped.replace("\r\n", "<br>").replace("\n", "<br>")
