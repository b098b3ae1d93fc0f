"""Taking files' bytes out of a store that are proven to be elsewhere; listings of folders stay.

So what is dropped can still be named, and a drop that was killed is ended by the same command.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Collection

from mlxrepo import files
from mlxrepo.errors import ObjectMissing
from mlxrepo.paths import join
from mlxrepo.store import gc
from mlxrepo.store.gc import NOTHING, Amount, Plan
from mlxrepo.store.lease import held
from mlxrepo.store.objects import Store
from mlxrepo.store.reach import key_of
from mlxrepo.store.tree import Entry, check_depth

WORTH = 0.05  # dead bytes for each byte of a pack that has to be copied


class _AllBut:
    """Every object but some."""

    def __init__(self, keys: Collection[bytes]):
        self._keys = keys

    def __contains__(self, key: object) -> bool:
        return key not in self._keys


def files_below(store: Store, entry: Entry, path: str, found: dict[bytes, tuple[int, str]]) -> None:
    """Note the size and the path of every file and link of an entry, as far as it is known here.

    What is in `found` already is left as it is.
    """
    if entry.kind != "tree":
        found.setdefault(key_of(entry), (entry.size, path))
        return
    check_depth(path)
    with contextlib.suppress(ObjectMissing):  # a folder that was never fetched has nothing here
        for name, child in store.tree(entry.oid).items():
            files_below(store, child, join(path, name), found)


def plan(root: str, keys: Collection[bytes], *, repack: bool) -> Plan:
    """Decide which files go so that `keys` do; what a running process may just have written stays.

    Raises:
        Damaged: when the table of a pack cannot be believed.
    """
    before = min([sys.maxsize, *(lease.began for lease in held(root))])
    live = _AllBut(keys)
    found = gc.loose(root), gc.shares(root, live)
    return gc.decide(*found, live, before=before, repack=repack, worth=WORTH)


def remove(
    root: str, plan: Plan, keys: Collection[bytes], again: Callable[[], set[bytes]]
) -> Amount:
    """Remove what a plan names, for good; return what went, without what packs keep.

    `again` says, when nobody writes any more, what turned out to be needed: that stays.

    Raises:
        EnvironmentFailed: when a writer does not end.
    """
    sizes = {item.file: Amount(1, item.size) for item in plan.loose}
    sizes |= {share.file: share.dead for share in (*plan.dead, *plan.half)}

    def unlink(root: str, gone: list[str]) -> Amount:
        total = NOTHING
        for file in gone:
            with contextlib.suppress(FileNotFoundError):  # a gc was here
                os.unlink(os.path.join(root, file))
                total = total.plus(sizes[file])
            files.failpoint("drop.removed")
        files.sync_folders({os.path.dirname(os.path.join(root, file)) for file in gone})
        return total

    return gc.take_out(root, plan, _AllBut(keys), again, unlink)
