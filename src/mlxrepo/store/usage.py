"""Who uses how much: every object belongs to the one thing that needs it, or to several.

Things are numbered, and each belongs to a group: an object that two things of a group share is
the group's own, one that two groups share is nobody's. Each object changes hands twice at most,
so this takes the time of a walk, however many things there are.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

from mlxrepo.store.gc import loose, packed, packs
from mlxrepo.store.objects import Store
from mlxrepo.store.reach import children, is_tree_key

_SHARED = (-1, -1)  # between groups


class Usage:
    """Sizes of what a store holds, shared out among things; `groups` has the group of each."""

    def __init__(self, store: Store, groups: Sequence[int]):
        self._groups = groups
        self._owners: dict[bytes, tuple[int, int]] = {}  # group and thing, -1: several
        self._below: dict[bytes, int] = {}
        self._children = lru_cache(maxsize=4096)(lambda key: children(store, key) or [])
        self.loose = sum(item.size for item in loose(store.root))
        self.sizes = {item.key: item.size for item in loose(store.root)}
        self.packed = 0
        for file, pack in packs(store.root):
            self.packed += os.stat(os.path.join(store.root, file)).st_size
            self.sizes.update(packed(pack))

    def claim(self, key: bytes, thing: int) -> None:
        """Let a thing need an object and all below it."""
        mine = (self._groups[thing], thing)
        queue = [key]
        while queue:
            key = queue.pop()
            old = self._owners.get(key)
            new = mine if old is None else _meet(old, mine)
            if new != old:
                self._owners[key] = new
                if is_tree_key(key):
                    queue += self._children(key)

    def unique(self) -> Counter[tuple[int, int]]:
        """Return the bytes of each (group, thing); thing -1 has what several of a group share."""
        total: Counter[tuple[int, int]] = Counter()
        for key, owner in self._owners.items():
            total[owner] += self.sizes.get(key, 0)
        return total

    def below(self, key: bytes) -> int:
        """Return the bytes of an object and of all below it, as far as they are in the store."""
        queue = [key]
        while queue:
            top = queue[-1]
            named = self._children(top) if is_tree_key(top) else []
            unknown = [k for k in named if is_tree_key(k) and k not in self._below]
            if unknown:
                queue += unknown
                continue
            size = sum(self._below.get(k) or self.sizes.get(k, 0) for k in named)
            self._below[top] = self.sizes.get(top, 0) + size
            queue.pop()
        return self._below[key]


def _meet(one: tuple[int, int], other: tuple[int, int]) -> tuple[int, int]:
    """Return whose an object is that both need."""
    if one == other:
        return one
    return (one[0], -1) if one[0] == other[0] else _SHARED
