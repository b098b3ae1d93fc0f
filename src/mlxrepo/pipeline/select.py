"""Selection: which stages a run is about. Pure, on the graph."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from mlxrepo.errors import InputError
from mlxrepo.pipeline.graph import Graph


class Selection(NamedTuple):
    """What was asked for, as addresses of stages; no target means all."""

    targets: tuple[str, ...] = ()
    single: bool = False
    downstream: bool = False
    start: tuple[str, ...] = ()  # --from
    end: tuple[str, ...] = ()  # --until

    @property
    def is_all(self) -> bool:
        """Say whether nothing narrows the run."""
        return not (self.targets or self.start or self.end)


def select(graph: Graph, asked: Selection) -> list[str]:
    """Return the selected stages in order.

    A frozen stage has no upstream here: what it needs does not run for its sake, and no change
    comes down through it.

    Raises:
        InputError: when the parts of the selection contradict each other.
    """
    _check(asked)
    upstream = {a: () if graph.stages[a].frozen else needs for a, needs in graph.upstream.items()}
    if asked.single or not asked.targets:
        chosen = set(asked.targets or graph.order)
    elif asked.downstream:
        chosen = _reach(asked.targets, _turned(upstream))
    else:
        chosen = _reach(asked.targets, upstream)
    if asked.start:
        chosen &= _reach(asked.start, _turned(upstream))
    if asked.end:
        chosen &= _reach(asked.end, upstream)
    return [address for address in graph.order if address in chosen]


def _check(asked: Selection) -> None:
    if asked.downstream and not asked.targets:
        raise InputError(
            "--downstream starts from a stage, and none is named",
            hint="mlx repro --downstream STAGE; without it every stage is looked at",
        )
    narrowed = asked.downstream or asked.start or asked.end
    if asked.single and narrowed:
        raise InputError(
            "--single means the named stages alone, without --downstream, --from and --until",
            hint="leave one of them out",
        )


def _turned(upstream: Mapping[str, Collection[str]]) -> dict[str, list[str]]:
    downstream: dict[str, list[str]] = {address: [] for address in upstream}
    for address, needs in upstream.items():
        for need in needs:
            downstream[need].append(address)
    return downstream


def _reach(start: Iterable[str], edges: Mapping[str, Collection[str]]) -> set[str]:
    found: set[str] = set()
    queue = list(start)
    while queue:
        address = queue.pop()
        if address not in found:
            found.add(address)
            queue += edges[address]
    return found
