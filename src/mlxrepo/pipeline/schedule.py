"""The scheduler: which stages are ready. Pure; it starts nothing and looks at nothing."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping


class Schedule:
    """Hands out stages whose upstream is done; a failed stage takes what needs it along."""

    def __init__(self, order: Iterable[str], upstream: Mapping[str, tuple[str, ...]]):
        self._order = list(order)
        self._rank = {address: rank for rank, address in enumerate(self._order)}
        self._waits = {a: {u for u in upstream[a] if u in self._rank} for a in self._order}
        self._needed_by: dict[str, list[str]] = {a: [] for a in self._order}
        for address, needs in self._waits.items():
            for need in needs:
                self._needed_by[need].append(address)
        self._ready = [rank for rank, a in enumerate(self._order) if not self._waits[a]]
        self.blocked: set[str] = set()  # will not be handed out: one they need failed

    def take(self) -> str | None:
        """Return the first ready stage in order, or None when all wait or are out."""
        return self._order[heapq.heappop(self._ready)] if self._ready else None

    def done(self, address: str) -> None:
        """Say that a stage is finished; those that only waited for it become ready."""
        for below in self._needed_by[address]:
            waits = self._waits[below]
            waits.discard(address)
            if not waits and below not in self.blocked:
                heapq.heappush(self._ready, self._rank[below])

    def failed(self, address: str) -> None:
        """Say that a stage failed; everything that needs it is blocked."""
        queue = [address]
        while queue:
            for below in self._needed_by[queue.pop()]:
                if below not in self.blocked:
                    self.blocked.add(below)
                    queue.append(below)
