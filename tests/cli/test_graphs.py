"""Drawings of a graph: what is drawn is traced back to the edges that went in."""

from __future__ import annotations

import random
from graphlib import CycleError
from itertools import pairwise

import pytest

from mlxrepo.cli.graphs import ascii_dag, dot, mermaid, tree
from mlxrepo.cli.tables import cell_width

UNLIMITED = 10**6


def test_a_chain_is_a_straight_line() -> None:
    assert ascii_dag(["prepare", "train"], [("prepare", "train")]) == (
        "+---------+\n| prepare |\n+---------+\n     |\n     v\n +-------+\n | train |\n +-------+"
    )


def test_an_edge_over_a_layer_passes_beside_its_boxes() -> None:
    drawing = ascii_dag(["a", "b", "c"], [("a", "b"), ("b", "c"), ("a", "c")])
    assert edges_of(drawing) == {("a", "b"), ("b", "c"), ("a", "c")}


@pytest.mark.parametrize("seed", range(120))
def test_every_drawing_shows_exactly_the_edges_of_its_graph(seed: int) -> None:
    nodes, edges = random_graph(random.Random(seed))
    assert edges_of(ascii_dag(nodes, edges, width=UNLIMITED)) == set(edges)


def test_the_same_graph_is_drawn_the_same_way_however_its_edges_are_ordered() -> None:
    nodes = ["a", "b", "c"]
    edges = [("a", "c"), ("b", "c")]
    assert ascii_dag(nodes, edges) == ascii_dag(nodes, [*edges[::-1], edges[0]])


def test_parts_that_nothing_joins_stand_beside_each_other_within_the_width() -> None:
    drawing = ascii_dag([f"stage{i}" for i in range(12)], [], width=60)
    lines = drawing.split("\n")
    assert max(map(len, lines)) <= 60
    assert len(lines) == 3 * 3 + 2


def test_a_wide_graph_becomes_a_tree_that_unfolds_each_node_once() -> None:
    middle = [f"m{i}" for i in range(30)]
    nodes = ["root", *middle, "end", "report"]
    edges = [("root", m) for m in middle] + [(m, "end") for m in middle] + [("end", "report")]
    lines = ascii_dag(nodes, edges).split("\n")
    assert lines[:5] == [
        "root",
        "|-- m0",
        "|   `-- end",
        "|       `-- report",
        "|-- m1",
    ]
    assert lines[5] == "|   `-- end (see above)"
    assert lines[-1] == "    `-- end (see above)"
    assert sum("report" in line for line in lines) == 1


def test_a_long_chain_does_not_exhaust_the_stack() -> None:
    nodes = [f"n{i}" for i in range(3000)]
    edges = list(pairwise(nodes))
    assert tree(nodes, edges).count("\n") == 2999
    assert "n2999" in ascii_dag(nodes, edges)


def test_wide_characters_keep_the_boxes_closed() -> None:
    lines = ascii_dag(["数据", "é\u0301"], [("数据", "é\u0301")]).split("\n")
    assert cell_width(lines[0]) == cell_width(lines[1]) == cell_width(lines[2])


def test_a_name_with_control_characters_cannot_reach_the_terminal() -> None:
    for text in (ascii_dag(["a\x1b[31m"], []), mermaid(["a\x1b[31m"], []), dot(["a\nb"], [])):
        assert "\x1b" not in text
        assert "a\nb" not in text


def test_a_cycle_is_refused_instead_of_drawn_for_ever() -> None:
    with pytest.raises(CycleError):
        ascii_dag(["a", "b"], [("a", "b"), ("b", "a")])


def test_an_empty_graph_is_an_empty_drawing() -> None:
    assert ascii_dag([], []) == ""


def test_mermaid_names_nodes_by_number_and_escapes_labels() -> None:
    assert mermaid(['a"b', "sub/mlx.yaml:c"], [('a"b', "sub/mlx.yaml:c")]) == (
        'flowchart TD\n    n0["a#34;b"]\n    n1["sub/mlx.yaml:c"]\n    n0 --> n1'
    )


def test_mermaid_escapes_what_would_be_markdown_or_an_entity() -> None:
    assert '["#96;x#96; #35;1; #60;b#62;"]' in mermaid(["`x` #1; <b>"], []).replace("#59;", ";")


def test_dot_escapes_quotes_backslashes_and_entities() -> None:
    text = dot(["a", 'x"\\N&lt;'], [("a", 'x"\\N&lt;')])
    assert '    n1 [label="x\\"\\\\N&amp;lt;"];' in text.split("\n")
    assert "    n0 -> n1;" in text.split("\n")


def random_graph(source: random.Random) -> tuple[list[str], list[tuple[str, str]]]:
    nodes = [f"s{i}" for i in range(source.randint(1, 40))]
    density = source.choice([0.5, 1.0, 2.0, 4.0]) / len(nodes)
    edges = [
        (a, b) for i, a in enumerate(nodes) for b in nodes[i + 1 :] if source.random() < density
    ]
    return nodes, edges


def edges_of(drawing: str) -> set[tuple[str, str]]:
    """Follow the lines of a drawing with the eyes of a reader."""
    lines = drawing.split("\n")
    grid = [line.ljust(max(map(len, lines)) + 1) for line in lines] + [""]
    boxes = _boxes(grid)
    found = set()
    for (row, column), name in boxes.items():
        below = row + 2
        if below < len(lines) and grid[below][column] == "|":
            found |= {(name, boxes[end]) for end in _follow(grid, below, column, boxes)}
    return found


def _boxes(grid: list[str]) -> dict[tuple[int, int], str]:
    """Map each cell of each box's label row to its label."""
    cells = {}
    for row, line in enumerate(grid):
        for start, letter in enumerate(line):
            if letter == "s" or letter in "abc":
                left = line.rindex("|", 0, start)
                right = line.index("|", start)
                name = line[left + 1 : right].strip()
                cells.update({(row, column): name for column in range(left, right + 1)})
    return cells


def _follow(
    grid: list[str], row: int, column: int, boxes: dict[tuple[int, int], str]
) -> set[tuple[int, int]]:
    """Go down from a cell of a line; return the cells of the boxes where it ends."""
    while grid[row][column] == "|":
        row += 1
    if grid[row][column] == "v":
        assert (row + 2, column) in boxes
        return {(row + 2, column)}
    assert grid[row][column] == "+", f"a line ends in the air in row {row}, column {column}"
    ends = set()
    for corner in _level(grid[row], column):
        if grid[row + 1][corner] in "|v":
            ends |= _follow(grid, row + 1, corner, boxes)
    return ends


def _level(line: str, column: int) -> list[int]:
    """Return the columns of the corners that a level line joins to `column`."""
    left = column
    while line[left - 1] in "-+|" and left > 0:
        left -= 1
    right = column
    while line[right + 1] in "-+|":
        right += 1
    return [c for c in range(left, right + 1) if line[c] == "+"]
