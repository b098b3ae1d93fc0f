"""The scheduler: which stages are ready, and which of them may start. Pure.

It starts nothing and looks at nothing: it knows who needs whom, how much there is of each counter,
and how much of it those that run have taken.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

JOBS = "-j"  # the counter of which every stage takes one; no user's counter can be so named


class Demand(NamedTuple):
    """What a stage takes of each counter while it runs, sorted by name."""

    amounts: tuple[tuple[str, float], ...]


ONE_JOB = Demand(((JOBS, 1),))


class Schedule:
    """Hands out stages whose upstream is done, then the right to start to those that are to run.

    A stage that waits for a counter keeps later ones from taking of it, so its turn comes. A failed
    stage takes what needs it along.
    """

    def __init__(
        self,
        order: Iterable[str],
        upstream: Mapping[str, tuple[str, ...]],
        totals: Mapping[str, float],
    ):
        self._order = list(order)
        self._rank = {address: rank for rank, address in enumerate(self._order)}
        self._waits = {a: {u for u in upstream[a] if u in self._rank} for a in self._order}
        self._needed_by: dict[str, list[str]] = {a: [] for a in self._order}
        for address, needs in self._waits.items():
            for need in needs:
                self._needed_by[need].append(address)
        self._ready = [rank for rank, a in enumerate(self._order) if not self._waits[a]]
        self._free = dict(totals)
        self._taken: dict[str, Demand] = {}
        # Stages with equal demands can start or cannot together: only the first of each is asked.
        self._queues: dict[Demand, deque[tuple[int, str]]] = {}
        self._asked = 0
        self._redone: set[str] = set()  # handed out once more, and not done yet
        self.blocked: dict[str, str] = {}  # will not be handed out: the one they need that failed

    @property
    def waiting(self) -> int:
        """Return how many stages wait for their turn to start."""
        return sum(map(len, self._queues.values()))

    @property
    def has_room(self) -> bool:
        """Say whether one more stage could run, if it wants nothing but to run."""
        return self._free[JOBS] >= 1

    def take(self) -> str | None:
        """Return the first ready stage in order, or None when all wait or are out."""
        return self._order[heapq.heappop(self._ready)] if self._ready else None

    def want(self, address: str, demand: Demand) -> None:
        """Say that a stage is to run: it waits for its turn.

        Raises:
            ValueError: when it asks for more than there is in all.
        """
        for name, amount in demand.amounts:
            if amount > self._free[name] + self._in_use(name):
                raise ValueError(f"{address} can never start: {name}")
        self._queues.setdefault(demand, deque()).append((self._asked, address))
        self._asked += 1

    def start(self, closed: Collection[str] = ()) -> str | None:
        """Return a waiting stage that may start now, its demand taken; first come, first served.

        Nothing is to be had of the `closed` counters for the moment.
        """
        short = set(closed)
        for demand in sorted(self._queues, key=lambda demand: self._queues[demand][0]):
            lacking = {n for n, amount in demand.amounts if n in short or amount > self._free[n]}
            if not lacking:
                return self._start(demand)
            short |= lacking
            if JOBS in lacking:
                return None
        return None

    def _start(self, demand: Demand) -> str:
        queue = self._queues[demand]
        _, address = queue.popleft()
        if not queue:
            del self._queues[demand]
        for name, amount in demand.amounts:
            self._free[name] -= amount
        self._taken[address] = demand
        return address

    def put_back(self, address: str) -> None:
        """Let a stage that was about to start wait again, before all that asked after it."""
        demand = self._taken[address]
        self._release(address)
        self._queues.setdefault(demand, deque()).appendleft((-1, address))

    def again(self, address: str) -> None:
        """Hand a stage out once more: it has to be decided about anew."""
        self._release(address)
        heapq.heappush(self._ready, self._rank[address])

    def later(self, address: str) -> None:
        """Let a stage go that was handed out, until `again`; what it took is free meanwhile."""
        self._release(address)

    def redo(self, makers: Iterable[str], address: str) -> set[str]:
        """Hand out stages that were done once more; one that was handed out waits for them.

        Return which of them that is: not all are of this run.
        """
        known = {maker for maker in makers if maker in self._rank}
        if known:
            self._release(address)
            self._waits[address] |= known
            for maker in known - self._redone:  # else another one waits for it already
                heapq.heappush(self._ready, self._rank[maker])
            self._redone |= known
        return known

    def done(self, address: str) -> None:
        """Say that a stage is finished; those that only waited for it become ready."""
        self._release(address)
        self._redone.discard(address)
        for below in self._needed_by[address]:
            waits = self._waits[below]
            if address not in waits:  # it was done before
                continue
            waits.remove(address)
            if not waits and below not in self.blocked:
                heapq.heappush(self._ready, self._rank[below])

    def failed(self, address: str) -> None:
        """Say that a stage failed; everything that needs it is blocked."""
        self._release(address)
        self._redone.discard(address)
        queue = [address]
        while queue:
            for below in self._needed_by[queue.pop()]:
                if below not in self.blocked:
                    self.blocked[below] = address
                    queue.append(below)

    def _release(self, address: str) -> None:
        for name, amount in self._taken.pop(address, Demand(())).amounts:
            self._free[name] += amount

    def _in_use(self, name: str) -> float:
        return sum(dict(demand.amounts).get(name, 0) for demand in self._taken.values())
