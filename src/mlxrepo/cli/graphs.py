"""Drawings of a directed acyclic graph: boxes for a terminal, a tree, Mermaid, Graphviz."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from mlxrepo.cli.layers import GAP, Edge, Item, arrange, depths
from mlxrepo.cli.tables import cell_width, character_width
from mlxrepo.paths import display

# A drawing that is wider is read more easily as a tree.
WIDTH = 100
# Beyond this a drawing is a wall, not a picture.
MOST_BOXES = 200


class Net(NamedTuple):
    """The line that leaves one box: down from `start`, along, and down at each of `ends`."""

    start: int
    ends: tuple[int, ...]

    @property
    def left(self) -> int:
        """The leftmost column of the line."""
        return min(self.start, *self.ends)

    @property
    def right(self) -> int:
        """The rightmost column of the line."""
        return max(self.start, *self.ends)


class Canvas:
    """A grid of characters that grows as it is drawn on."""

    def __init__(self) -> None:
        self._rows: list[list[str]] = []

    def put(self, row: int, column: int, text: str) -> None:
        """Write `text` from a cell on; a wide character takes the cell after it too."""
        while len(self._rows) <= row:
            self._rows.append([])
        cells = self._rows[row]
        for character in text:
            width = character_width(character)
            cells.extend(" " * (column + max(width, 1) - len(cells)))
            if width == 0:
                cells[column - 1] += character
                continue
            cells[column] = character
            if width == 2:
                cells[column + 1] = ""
            column += width

    def lines(self) -> list[str]:
        """Return the rows without trailing spaces."""
        return ["".join(cells).rstrip() for cells in self._rows]


def ascii_dag(nodes: Sequence[str], edges: Sequence[Edge], *, width: int = WIDTH) -> str:
    """Draw the graph with boxes, sources above; as an indented tree when it is wider than `width`.

    Parts that nothing joins stand beside each other. The same graph gives the same text. Every
    end of an edge is one of `nodes`, which hold each name once.

    Raises:
        graphlib.CycleError: when the graph has a cycle.
    """
    edges = list(dict.fromkeys(edges))
    if len(nodes) > MOST_BOXES:
        return tree(nodes, edges)
    drawings = [_draw(part, inside) for part, inside in _parts(nodes, edges)]
    if any(cell_width(line) > width for drawing in drawings for line in drawing):
        return tree(nodes, edges)
    return "\n\n".join("\n".join(row) for row in _beside(drawings, width))


def tree(nodes: Sequence[str], edges: Sequence[Edge]) -> str:
    """Draw the graph as a tree; what several nodes lead to is unfolded once.

    Raises:
        graphlib.CycleError: when the graph has a cycle.
    """
    depth = depths(nodes, edges)
    targets: dict[str, list[str]] = defaultdict(list)
    for source, target in dict.fromkeys(edges):
        targets[source].append(target)
    lines: list[str] = []
    seen: set[str] = set()
    # What is still to be written, last first: the name, what stands before it, and before its own.
    todo = [(node, "", "") for node in reversed(nodes) if depth[node] == 0]
    while todo:
        node, lead, indent = todo.pop()
        below = targets[node]
        known = node in seen and bool(below)
        lines.append(f"{lead}{display(node)}{' (see above)' if known else ''}")
        if not known:
            todo += _branches(below, indent)
        seen.add(node)
    return "\n".join(lines)


def mermaid(nodes: Sequence[str], edges: Sequence[Edge]) -> str:
    """Return the graph as a Mermaid flowchart, which git hosts draw inside Markdown."""
    names = {node: f"n{i}" for i, node in enumerate(nodes)}
    lines = ["flowchart TD"]
    lines += [f'    {names[node]}["{_escaped(node, _mermaid_character)}"]' for node in nodes]
    lines += [f"    {names[a]} --> {names[b]}" for a, b in dict.fromkeys(edges)]
    return "\n".join(lines)


def dot(nodes: Sequence[str], edges: Sequence[Edge]) -> str:
    """Return the graph in Graphviz's language."""
    names = {node: f"n{i}" for i, node in enumerate(nodes)}
    lines = ["digraph mlx {", "    node [shape=box];"]
    lines += [f'    {names[node]} [label="{_escaped(node, _dot_character)}"];' for node in nodes]
    lines += [f"    {names[a]} -> {names[b]};" for a, b in dict.fromkeys(edges)]
    return "\n".join([*lines, "}"])


def _escaped(text: str, escape: Callable[[str], str]) -> str:
    return "".join(map(escape, display(text)))


def _mermaid_character(character: str) -> str:
    """Write what Mermaid could read as syntax or Markdown as its `#code;`."""
    plain = character.isalnum() or character in " ._-/:@=+,"
    return character if plain else f"#{ord(character)};"


def _dot_character(character: str) -> str:
    return {"\\": "\\\\", '"': '\\"', "&": "&amp;", "<": "&lt;", ">": "&gt;"}.get(
        character, character
    )


def _branches(below: Sequence[str], indent: str) -> list[tuple[str, str, str]]:
    """Return the entries of a node's targets, last first."""
    entries = []
    for i, node in enumerate(below):
        last = i == len(below) - 1
        lead, rest = ("`-- ", "    ") if last else ("|-- ", "|   ")
        entries.append((node, indent + lead, indent + rest))
    return entries[::-1]


def _parts(nodes: Sequence[str], edges: Sequence[Edge]) -> list[tuple[list[str], list[Edge]]]:
    """Split the graph into what hangs together, in the order of the first node of each part."""
    near: dict[str, list[str]] = {node: [] for node in nodes}
    for source, target in edges:
        near[source].append(target)
        near[target].append(source)
    part: dict[str, int] = {}
    for number, start in enumerate(nodes):
        todo = [start]
        while todo:
            node = todo.pop()
            if node not in part:
                part[node] = number
                todo += near[node]
    found: dict[int, tuple[list[str], list[Edge]]] = {}
    for node in nodes:
        found.setdefault(part[node], ([], []))[0].append(node)
    for edge in edges:
        found[part[edge[0]]][1].append(edge)
    return list(found.values())


def _beside(drawings: Iterable[list[str]], width: int) -> list[list[str]]:
    """Set drawings beside each other in rows of at most `width` columns."""
    rows: list[list[str]] = []
    for drawing in drawings:
        joined = _joined(rows[-1], drawing) if rows else drawing
        if rows and max(map(cell_width, joined)) <= width:
            rows[-1] = joined
        else:
            rows.append(drawing)
    return rows


def _joined(left: list[str], right: list[str]) -> list[str]:
    column = max(map(cell_width, left)) + GAP
    height = max(len(left), len(right))
    lines = []
    for a, b in zip(_filled(left, height), _filled(right, height), strict=True):
        lines.append((a + " " * (column - cell_width(a)) + b).rstrip())
    return lines


def _filled(lines: list[str], height: int) -> list[str]:
    return lines + [""] * (height - len(lines))


def _draw(nodes: list[str], edges: list[Edge]) -> list[str]:
    """Draw one part of the graph."""
    labels = {node: display(node) for node in nodes}
    arrows = {node: sum(target == node for _, target in edges) for node in nodes}
    widths = {node: _box_width(labels[node], arrows[node]) for node in nodes}
    layers = arrange(nodes, edges, widths)
    canvas, row = Canvas(), 0
    for number, layer in enumerate(layers):
        nets, entries = _nets(layers[number - 1] if number else [])
        row = _draw_nets(canvas, row, nets, {c for c, item in entries if item.label is not None})
        for item in layer:
            _draw_item(canvas, row, item, labels)
        row += 3
    return canvas.lines()


def _box_width(label: str, arrows: int) -> int:
    """Return an odd width with room for the label and for every arrow beside all lines above."""
    return max(cell_width(label) + 4, 4 * arrows + 1) | 1


def _draw_item(canvas: Canvas, row: int, item: Item, labels: dict[str, str]) -> None:
    if item.label is None:
        for i in range(3):
            canvas.put(row + i, item.center, "|")
        return
    label = labels[item.label]
    edge = "+" + "-" * (item.width - 2) + "+"
    space = item.width - 2 - cell_width(label)
    canvas.put(row, item.left, edge)
    canvas.put(row + 1, item.left, "|" + " " * (space // 2) + label)
    canvas.put(row + 1, item.right, "|")
    canvas.put(row + 2, item.left, edge)


def _nets(upper: list[Item]) -> tuple[list[Net], list[tuple[int, Item]]]:
    """Route the lines between a layer and the next: where each leaves, and where it arrives.

    No two lines share a column unless one goes straight down, so lines cross but never merge.
    """
    taken = {item.center for item in upper if item.below}
    lower = {id(item): item for source in upper for item in source.below}.values()
    ends: dict[int, list[int]] = defaultdict(list)
    entries = []
    for item in lower:
        for source, column in _entries(item, taken):
            ends[id(source)].append(column)
            entries.append((column, item))
    nets = [Net(item.center, tuple(ends[id(item)])) for item in upper if item.below]
    return nets, entries


def _entries(item: Item, taken: set[int]) -> list[tuple[Item, int]]:
    """Choose the column of a box's top, or of a waypoint, at which each line arrives."""
    sources = sorted(item.above, key=lambda source: source.center)
    if item.label is None:
        # A waypoint yields a column to a line that passes; boxes keep their distance from it.
        own = item.center == sources[0].center
        item.center += 0 if own or item.center not in taken else 1
        return [(sources[0], item.center)]
    inside = range(item.left + 1, item.right)
    straight = {source.center for source in sources if source.center in inside}
    leftmost, rightmost = (min(straight), max(straight)) if straight else (item.center,) * 2
    before = [source for source in sources if source.center < inside.start]
    after = [source for source in sources if source.center >= inside.stop]
    used = set(straight)
    to_left = _columns(item, len(before), used, taken, range(inside.start, leftmost + 1))
    to_right = _columns(item, len(after), used, taken, range(rightmost, inside.stop))
    entries = [(source, source.center) for source in sources if source.center in inside]
    return [*entries, *zip(before, to_left, strict=True), *zip(after, to_right, strict=True)]


def _columns(item: Item, number: int, used: set[int], taken: set[int], side: range) -> list[int]:
    """Choose free columns of a box's top, near its middle, on one side and apart if possible."""
    free = set(range(item.left + 1, item.right)) - taken

    def worth(column: int) -> tuple[bool, bool, int, int]:
        crowded = bool(used & {column - 1, column + 1})
        return column not in side, crowded, abs(column - item.center), column

    chosen = []
    for _ in range(number):
        column = min(free - used, key=worth)
        chosen.append(column)
        used.add(column)
    return sorted(chosen)


def _draw_nets(canvas: Canvas, row: int, nets: list[Net], arrows: set[int]) -> int:
    """Draw the lines below a layer from `row` on; return the row of the next layer."""
    if not nets:
        return row
    tracks = _tracks(nets)
    height = 1 + max((track + 1 for track in tracks.values()), default=0)
    for net in nets:
        track = row + 1 + tracks[net] if net in tracks else row
        for i in range(row, track):
            canvas.put(i, net.start, "|")
        for end in net.ends:
            for i in range(track, row + height):
                canvas.put(i, end, "|")
    for net, track in tracks.items():
        _draw_along(canvas, row + 1 + track, net, nets, tracks)
    for column in (end for net in nets for end in net.ends):
        canvas.put(row + height, column, "v" if column in arrows else "|")
    return row + height + 1


def _draw_along(
    canvas: Canvas, row: int, net: Net, nets: list[Net], tracks: dict[Net, int]
) -> None:
    """Draw the level part of a line, under the upright ones that cross it."""
    own = {net.start, *net.ends}
    crossed = {c for other in nets if other != net for c in _upright(other, tracks[net], tracks)}
    for column in range(net.left, net.right + 1):
        canvas.put(row, column, "+" if column in own else "|" if column in crossed else "-")


def _upright(net: Net, track: int, tracks: dict[Net, int]) -> list[int]:
    """Return the columns in which `net` goes down through `track`."""
    if net not in tracks:
        return [net.start]
    return [net.start] if track < tracks[net] else list(net.ends)


def _tracks(nets: list[Net]) -> dict[Net, int]:
    """Give each line that bends a row for its level part, so that neighbours do not cross.

    Of lines that go right the rightmost turns first, of lines that go left the leftmost.
    """
    bent = [net for net in nets if net.left != net.right]
    rightwards = [net for net in bent if net.right > net.start]
    leftwards = [net for net in bent if net.right == net.start]
    tracks: dict[Net, int] = {}
    for net in sorted(rightwards, key=lambda n: -n.start) + sorted(leftwards):
        near = [t for other, t in tracks.items() if _touch(net, other)]
        tracks[net] = 1 + max(near, default=-1)
    return tracks


def _touch(a: Net, b: Net) -> bool:
    return a.left <= b.right + 3 and b.left <= a.right + 3
