"""mlx dag: the pipeline as a graph of data and stages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mlxrepo.paths import is_inside
from mlxrepo.pipeline.graph import build_graph
from mlxrepo.repo.repo import Repo
from mlxrepo.repo.targets import resolve_stages


@dataclass(frozen=True, slots=True)
class Dag:
    """Nodes in topological order and edges (from, to): data by address, stages by theirs."""

    nodes: tuple[str, ...]
    edges: tuple[tuple[str, str], ...]


def dag(repo: Repo, targets: Sequence[str] = ()) -> Dag:
    """Return the graph of the targets and what they need (default: all stages).

    Raises:
        InputError: for an unknown target or a circle.
    """
    graph = build_graph(repo.declared)
    chosen = graph.needed(resolve_stages(targets, repo.place, repo.declared) or graph.order)
    data = [a for a in repo.declared.artifacts.values() if repo.declared.maker(a.path) is None]
    edges: list[tuple[str, str]] = []
    for address in chosen:
        for dep in graph.stages[address].deps:
            edges += [
                (f"{a.kind}:{a.name}", address)
                for a in data
                if is_inside(dep.path, a.path) or is_inside(a.path, dep.path)
            ]
        edges += [(above, address) for above in graph.upstream[address]]
    sources = [name for name, _ in edges if name not in chosen]
    return Dag(tuple(dict.fromkeys([*sources, *chosen])), tuple(dict.fromkeys(edges)))
