"""What rests on an accepted record: a stage, and everything downstream of it."""

from __future__ import annotations

from mlxrepo.pipeline.decide import Reason
from mlxrepo.pipeline.graph import Graph
from mlxrepo.pipeline.judge import Judge
from mlxrepo.repo.lockfile import StageRecord


def acceptance(address: str, record: StageRecord | None) -> Reason | None:
    """Return by whom and why what is recorded of a stage was accepted; None where it ran."""
    accepted = record.accepted if record is not None else None
    if accepted is None:
        return None
    return Reason("accepted", address, str(accepted.get("by", "")), str(accepted.get("why", "")))


class Standing:
    """Says of stages what they rest on; ask in the order of the graph, when records are final."""

    def __init__(self, graph: Graph, judge: Judge):
        self._graph = graph
        self._judge = judge
        self._is_plain = not any(record.state for record in judge.records.values())
        self._roots: dict[str, frozenset[str]] = {}  # by stage: those accepted, itself included

    def of(self, address: str) -> tuple[Reason, ...]:
        """Return why the outs of a stage are not simply what a run made."""
        if self._is_plain:
            return ()
        # Upstream first, without recursion: a chain may be longer than Python's stack.
        if any(need not in self._roots for need in self._graph.upstream[address]):
            for stage in self._graph.needed([address]):
                self._note(stage)
        own = self._note(address)
        rests = [Reason("rests-on", root) for root in sorted(self._roots[address] - {address})]
        return (own, *rests) if own else tuple(rests)

    def _note(self, address: str) -> Reason | None:
        above = [self._roots.get(need, frozenset()) for need in self._graph.upstream[address]]
        own = acceptance(address, self._judge.records.get(address))
        self._roots[address] = frozenset([address] if own else ()).union(*above)
        return own
