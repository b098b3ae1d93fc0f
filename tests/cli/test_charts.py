"""Figures in a terminal: the marks are where the values are, in any width, with any characters."""

from __future__ import annotations

import re

import pytest

from mlxrepo.cli.charts import Style, text
from mlxrepo.cli.tables import cell_width
from mlxrepo.plots.build import Content, figure
from mlxrepo.plots.model import Curve, Wanted

ASCII = Style(60, unicode=False)
PLAIN = Style(60)
COLORED = Style(60, color=True)


def drawn(
    contents: dict[str, str], style: Style = PLAIN, *, y: tuple[str | None, ...] = (None,),
    x: str | None = None, file: str = "a.csv", **keys: str,
) -> list[str]:  # fmt: skip
    """Return the lines for one file at some revisions."""
    wanted = Wanted(file, tuple(Curve(file, x, file, column) for column in y), dict(keys))
    found = figure(wanted, [Content(r, {file: d.encode()}) for r, d in contents.items()])
    return text(found, list(contents), style).split("\n")


def rising(factor: int = 1) -> str:
    return "y\n" + "".join(f"{i * factor}\n" for i in range(101))


def dots(lines: list[str]) -> set[tuple[int, int]]:
    """Return every braille dot of a chart as (column, row from the bottom), read back."""
    rows = [line.partition("│")[2] for line in lines if "│" in line]
    found = set()
    for r, row in enumerate(rows):
        for c, character in enumerate(row):
            bits = ord(character) - 0x2800 if character != " " else 0
            for y, pair in enumerate([(0, 3), (1, 4), (2, 5), (6, 7)]):
                for x, bit in enumerate(pair):
                    if bits >> bit & 1:
                        found.add((c * 2 + x, len(rows) * 4 - 1 - r * 4 - y))
    return found


def test_a_line_goes_through_its_points() -> None:
    lines = drawn({"HEAD": rising()})
    found = dots(lines)
    width, height = max(x for x, _ in found), max(y for _, y in found)
    assert (0, 0) in found
    assert (width, height) in found
    assert height == 47
    assert width > 80
    # A rising line: in every column dots, near the diagonal.
    assert {x for x, _ in found} == set(range(width + 1))
    assert all(abs(y / height - x / width) < 0.03 for x, y in found)


def test_the_axes_say_where_it_begins_and_ends() -> None:
    lines = drawn({"HEAD": rising(3)})
    assert lines[1].startswith("  300 │")
    assert lines[12].startswith("    0 │")
    assert re.fullmatch(r" +0 +index +100", lines[14])


def test_a_single_point_is_in_the_middle_of_its_axis() -> None:
    lines = drawn({"HEAD": "x,y\n0,5\n"}, x="x", y=("y",))
    assert re.fullmatch(r" +-1 +x +1", lines[14])
    lines = drawn({"HEAD": "x,y\n20,5\n20,6\n"}, x="x", y=("y",))
    assert re.fullmatch(r" +18 +x +22", lines[14])


def test_points_are_not_joined() -> None:
    found = dots(drawn({"HEAD": "y\n0\n0\n0\n9\n"}, template="scatter"))
    assert len(found) == 4


def test_a_gap_is_bridged_and_a_single_value_has_a_place() -> None:
    assert dots(drawn({"HEAD": "y\n1\n\n3\n"}))
    assert len(dots(drawn({"HEAD": "y\n5\n"}))) == 1


def test_two_revisions_without_colours_have_signs_of_their_own() -> None:
    lines = drawn({"v1": rising(), "v2": rising(2)})
    assert lines[-1] == "  * v1   o v2"
    chart = "".join(line.partition("│")[2] for line in lines if "│" in line)
    assert set(chart) == {"*", "o", " "}


def test_two_revisions_in_colours_are_told_apart_by_them() -> None:
    chart = "\n".join(drawn({"v1": rising(), "v2": rising(2)}, COLORED))
    assert "\x1b[38;5;32m● " not in chart
    assert "\x1b[38;5;32m●\x1b[0m v1   \x1b[38;5;214m●\x1b[0m v2" in chart
    assert re.search("\x1b\\[38;5;32m[\u2801-\u28ff]+\x1b", chart)
    assert re.search("\x1b\\[38;5;214m[\u2801-\u28ff]+\x1b", chart)


def test_columns_of_several_revisions_are_charts_of_their_own() -> None:
    table = "a,b\n1,2\n3,4\n"
    lines = drawn({"v1": table, "v2": table}, y=("a", "b"))
    assert [line for line in lines if line in ("a:", "b:")] == ["a:", "b:"]


BARS = "name,n\nlong one,8\nshort,-2\nno,x\n"
MATRIX = "was,said\na,a\na,b\nb,b\nb,b\n"


@pytest.mark.parametrize("style", [PLAIN, ASCII])
def test_bars_are_as_long_as_their_values(style: Style) -> None:
    lines = drawn({"HEAD": BARS}, style, x="name", y=("n",))
    sign = "#" if style is ASCII else "█"
    long, short = (line.count(sign) for line in lines[1:3])
    assert long >= 40
    assert abs(short - long / 4) <= 1
    assert lines[1].endswith(" 8")
    assert lines[2].endswith(" -2")
    assert lines[3] == "  HEAD: n: 1 of 3 values are no numbers"


def test_bars_of_revisions_stand_below_each_other() -> None:
    lines = drawn({"v1": "k,n\na,1\nb,2\n", "v2": "k,n\na,4\n"}, ASCII, x="k", y=("n",))
    assert [(line[0], line.count("#")) for line in lines[1:4]] == [
        ("a", 13), (" ", 52), ("b", 26),
    ]  # fmt: skip
    assert lines[4] == "  * v1   o v2"


def test_a_matrix_is_a_table() -> None:
    assert drawn({"v1": MATRIX}, x="was", y=("said",), template="confusion")[1:] == [
        "said \\ was  a  b",
        "a           1  0",
        "b           1  2",
    ]
    share = drawn({"v1": MATRIX}, x="was", y=("said",), template="confusion_normalized")
    assert share[3].split() == ["b", "0.33", "0.67"]


def test_a_matrix_that_is_too_wide_names_its_worst_cells() -> None:
    rows = "".join(f"class {i},class {i}\n" for i in range(20))
    lines = drawn(
        {"v1": "was,said\n" + rows + "class 3,class 4\n" * 7}, x="was", y=("said",),
        template="confusion",
    )  # fmt: skip
    assert lines[-1].split() == ["class", "4", "class", "3", "7"]


def test_an_image_is_named() -> None:
    lines = drawn({"v1": "<svg/>"}, file="a.svg")
    assert lines[1] == "  v1: image/svg+xml, 6 bytes"


@pytest.mark.parametrize("width", [20, 33, 80, 300])
@pytest.mark.parametrize("keys", [{}, {"template": "histogram"}, {"template": "bar"}])
def test_nothing_is_wider_than_the_terminal(width: int, keys: dict[str, str]) -> None:
    style = Style(width)
    lines = drawn({"v1": rising(), "v2": rising(7)}, style, **keys)
    assert max(cell_width(line) for line in lines if not line.startswith("  ")) <= width


@pytest.mark.parametrize("keys", [{}, {"template": "histogram"}, {"template": "bar"}])
def test_in_ascii_all_is_ascii(keys: dict[str, str]) -> None:
    assert "\n".join(drawn({"v1": rising(), "v2": rising(7)}, ASCII, **keys)).isascii()


def test_names_cannot_move_the_cursor() -> None:
    found = drawn({"v\x1b[2J": "k\x1b[1A,n\n\x1b[31mred,1\n"}, x="k\x1b[1A", y=("n",), title="\x07")
    assert "\x1b" not in "\n".join(found)
    assert "\x07" not in "\n".join(found)
