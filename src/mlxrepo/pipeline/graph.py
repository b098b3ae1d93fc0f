"""The graph of stages: who needs whose outs, in which order, and what a target reaches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from mlxrepo.errors import InputError
from mlxrepo.globs import concerns, fixed_folder
from mlxrepo.paths import RepoPath, ancestors, display
from mlxrepo.repo.declared import Declared
from mlxrepo.repo.stage import Stage


class Graph(NamedTuple):
    """Stages in topological order, each with the stages it needs directly."""

    stages: Mapping[str, Stage]
    order: tuple[str, ...]
    upstream: Mapping[str, tuple[str, ...]]

    def needed(self, targets: Iterable[str]) -> list[str]:
        """Return the targets and everything they need, in order."""
        wanted: set[str] = set()
        queue = list(targets)
        while queue:
            address = queue.pop()
            if address not in wanted:
                wanted.add(address)
                queue += self.upstream[address]
        return [address for address in self.order if address in wanted]


def read_paths(stage: Stage) -> list[RepoPath]:
    """Return every path a stage reads: its deps and its params files."""
    return [dep.path for dep in stage.deps] + [param.file for param in stage.params]


def build_graph(declared: Declared) -> Graph:
    """Connect the stages.

    Raises:
        InputError: when stages need each other in a circle.
    """
    by_folder = _outs_by_folder(declared)
    upstream = {
        address: _upstream(stage, declared, by_folder) for address, stage in declared.stages.items()
    }
    return Graph(declared.stages, _order(declared.stages, upstream), upstream)


def _outs_by_folder(declared: Declared) -> dict[str, list[RepoPath]]:
    """Return the outs below each folder, the root included."""
    outs: dict[str, list[RepoPath]] = {}
    for path in declared.outs:
        for folder in ("", *ancestors(path)):
            outs.setdefault(folder, []).append(path)
    return outs


def _upstream(
    stage: Stage, declared: Declared, by_folder: Mapping[str, list[RepoPath]]
) -> tuple[str, ...]:
    found: list[str] = []
    for path in read_paths(stage):
        maker = declared.maker(path)
        outs = [] if maker else by_folder.get(path, [])
        found += [maker.address] if maker else [declared.outs[out][0].address for out in outs]
    for dep in stage.deps:
        if dep.glob:
            found += _makers_of(dep.path, declared, by_folder)
    return tuple(address for address in dict.fromkeys(found) if address != stage.address)


def _makers_of(
    pattern: str, declared: Declared, by_folder: Mapping[str, list[RepoPath]]
) -> list[str]:
    """Return the stages that make what fits a pattern, a folder it lies in, or something in it."""
    base = fixed_folder(pattern)
    maker = declared.maker(base) if base else None
    if maker:
        return [maker.address]
    return [
        declared.outs[out][0].address for out in by_folder.get(base, []) if concerns(out, pattern)
    ]


def _order(stages: Mapping[str, Stage], upstream: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    order: list[str] = []
    state: dict[str, int] = {}  # 1: on the way down, 2: placed
    for start in stages:
        stack = [(start, iter(upstream[start]))] if start not in state else []
        state.setdefault(start, 1)
        while stack:
            address, rest = stack[-1]
            below = next(rest, None)
            if below is None:
                state[address] = 2
                order.append(address)
                stack.pop()
            elif state.get(below) == 1:
                raise _cycle([name for name, _ in stack], below, stages)
            elif below not in state:
                state[below] = 1
                stack.append((below, iter(upstream[below])))
    return tuple(order)


def _cycle(stack: list[str], again: str, stages: Mapping[str, Stage]) -> InputError:
    circle = [*stack[stack.index(again) :], again]
    stage = stages[circle[0]]
    needs = " needs ".join(display(name) for name in circle)
    return InputError(
        f"the stages go round in a circle: {needs}",
        hint="take one of these deps out, or split a stage",
        where=stage.where,
    )
