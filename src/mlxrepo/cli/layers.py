"""Where the boxes of a drawn graph stand: layers, their order, and columns (Sugiyama's method).

An edge that passes over layers is cut into pieces through waypoints, so that afterwards every
edge joins neighbouring layers. Sugiyama, Tagawa, Toda: Methods for Visual Understanding of
Hierarchical System Structures, 1981.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from itertools import pairwise

Edge = tuple[str, str]

GAP = 3
SWEEPS = 8


@dataclass(slots=True)
class Item:
    """A box of the drawing, or a waypoint (`label` None) of an edge that passes through."""

    label: str | None
    layer: int
    width: int
    above: list[Item] = field(default_factory=list)
    below: list[Item] = field(default_factory=list)
    center: int = 0

    @property
    def left(self) -> int:
        """The first column of the box."""
        return self.center - self.width // 2

    @property
    def right(self) -> int:
        """The last column of the box."""
        return self.left + self.width - 1


def arrange(
    nodes: Sequence[str], edges: Sequence[Edge], widths: dict[str, int]
) -> list[list[Item]]:
    """Return the layers from top to bottom, each from left to right, with columns settled.

    `widths` holds the columns of each node's box. The graph has no cycle.
    """
    layers = _cut(nodes, edges, widths)
    _order(layers)
    _place(layers)
    return layers


def depths(nodes: Sequence[str], edges: Sequence[Edge]) -> dict[str, int]:
    """Return the layer of each node: one below the lowest that points to it.

    Raises:
        graphlib.CycleError: when the graph has a cycle.
    """
    sources: dict[str, list[str]] = {node: [] for node in nodes}
    for source, target in edges:
        sources[target].append(source)
    depth: dict[str, int] = {}
    for node in TopologicalSorter(sources).static_order():
        depth[node] = 1 + max((depth[source] for source in sources[node]), default=-1)
    return depth


def _cut(nodes: Sequence[str], edges: Sequence[Edge], widths: dict[str, int]) -> list[list[Item]]:
    depth = depths(nodes, edges)
    items = {node: Item(node, depth[node], widths[node]) for node in nodes}
    layers: list[list[Item]] = [[] for _ in range(max(depth.values()) + 1)]
    for node in nodes:
        layers[depth[node]].append(items[node])
    # One chain of waypoints serves all edges that leave a box, so they part as late as they can.
    chains: dict[str, list[Item]] = defaultdict(list)
    for source, target in edges:
        last = items[source]
        for layer in range(depth[source] + 1, depth[target]):
            last = _waypoint(last, layer, chains[source], layers)
        last.below.append(items[target])
        items[target].above.append(last)
    return layers


def _waypoint(last: Item, layer: int, chain: list[Item], layers: list[list[Item]]) -> Item:
    for known in chain:
        if known.layer == layer:
            return known
    item = Item(None, layer, 1, above=[last])
    last.below.append(item)
    chain.append(item)
    layers[layer].append(item)
    return item


def _order(layers: list[list[Item]]) -> None:
    """Sort each layer by the mean place of the neighbours, down and up; keep the best found."""
    best, fewest = [list(layer) for layer in layers], _crossings(layers)
    for sweep in range(SWEEPS):
        if fewest == 0:
            break
        down = sweep % 2 == 0
        ordered = layers[1:] if down else layers[-2::-1]
        for layer in ordered:
            _sort_layer(layer, layers[layer[0].layer + (-1 if down else 1)], down)
        crossings = _crossings(layers)
        if crossings < fewest:
            best, fewest = [list(layer) for layer in layers], crossings
    layers[:] = best


def _sort_layer(layer: list[Item], fixed: list[Item], down: bool) -> None:
    place = {id(item): i for i, item in enumerate(fixed)}
    now = {id(item): float(i) for i, item in enumerate(layer)}

    def mean(item: Item) -> float:
        near = item.above if down else item.below
        return sum(place[id(n)] for n in near) / len(near) if near else now[id(item)]

    layer.sort(key=mean)


def _crossings(layers: list[list[Item]]) -> int:
    total = 0
    for upper, lower in pairwise(layers):
        place = {id(item): i for i, item in enumerate(lower)}
        targets = [sorted(place[id(target)] for target in item.below) for item in upper]
        flat = [target for of_item in targets for target in of_item]
        total += sum(a > b for i, a in enumerate(flat) for b in flat[i + 1 :])
    return total


def _place(layers: list[list[Item]]) -> None:
    """Choose columns: each box as near the middle of its neighbours as its layer lets it be."""
    for layer in layers:
        _settle(layer, [0.0] * len(layer))
    for sweep in range(SWEEPS):
        down = sweep % 2 == 1
        for layer in layers if down else reversed(layers):
            _settle(layer, [_wanted(item, down) for item in layer])
    shift = min(item.left for layer in layers for item in layer)
    for item in (item for layer in layers for item in layer):
        item.center -= shift


def _wanted(item: Item, down: bool) -> float:
    near = item.above if down else item.below
    return sum(n.center for n in near) / len(near) if near else float(item.center)


def _settle(layer: list[Item], wanted: list[float]) -> None:
    """Place a layer with the least squared distance from `wanted` that its order permits.

    After the least distances between neighbours are taken off this is isotonic regression, which
    pooling adjacent violators solves.
    """
    offsets = [0]
    for left, right in pairwise(layer):
        needed = (left.width - 1 - left.width // 2) + GAP + 1 + right.width // 2
        offsets.append(offsets[-1] + needed)
    pools: list[tuple[float, int]] = []
    for want, offset in zip(wanted, offsets, strict=True):
        total, size = want - offset, 1
        while pools and pools[-1][0] / pools[-1][1] >= total / size:
            earlier_total, earlier_size = pools.pop()
            total, size = total + earlier_total, size + earlier_size
        pools.append((total, size))
    free = [round(total / size) for total, size in pools for _ in range(size)]
    for item, start, offset in zip(layer, free, offsets, strict=True):
        item.center = start + offset
