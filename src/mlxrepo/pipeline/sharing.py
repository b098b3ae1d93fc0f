"""Which entries of the action cache go to a remote: those whose outs are all there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Set
from typing import NamedTuple

from mlxrepo.hashing import Oid
from mlxrepo.pipeline.actioncache import ActionCache
from mlxrepo.repo.lockfile import Output
from mlxrepo.store.tree import Entry


class Shareable(NamedTuple):
    """An entry, `<key>/<digest>`, its bytes, and the outs that it names."""

    name: str
    data: bytes
    outs: tuple[Output, ...]

    def is_whole(self, is_there: Callable[[Entry], bool]) -> bool:
        """Say whether all its outs are there."""
        return all(is_there(out.entry) for out in self.outs)


def candidates(
    actions: ActionCache, keys: Iterable[str], noted: Set[str], is_there: Callable[[Entry], bool]
) -> Iterator[Shareable]:
    """Yield the entries of some keys that are not noted, and whose outs are on the remote.

    Outs that git keeps do not count yet: they go along for the sake of the entry.
    """
    for key in sorted(keys):
        for name, data, result in actions.entries(Oid(key)):
            kept = [out for out in result.outs if out.cache]
            if f"{key}/{name}" not in noted and all(is_there(out.entry) for out in kept):
                yield Shareable(f"{key}/{name}", data, result.outs)
