"""What entries reach: the objects below them, by their binary keys (kind byte and oid).

Trees are not parsed, only searched for the oids they name: that is several times faster, finds
the nodes of split folders too, and their bytes have been hashed anyhow.
"""

from __future__ import annotations

import os
import re
from binascii import unhexlify
from collections.abc import Iterable

from mlxrepo.errors import Damaged
from mlxrepo.hashing import Oid
from mlxrepo.store.inventory import PACK_FOLDER, list_folder, loose_file, open_pack
from mlxrepo.store.inventory import Key as NamedKey
from mlxrepo.store.lease import binary_key
from mlxrepo.store.objects import Store
from mlxrepo.store.pack import KINDS
from mlxrepo.store.quarantine import FOLDER as QUARANTINE
from mlxrepo.store.tree import Entry

_NAMED = re.compile(rb"^(?:([fxld]) )?([0-9a-f]{64}) ", re.MULTILINE)
_BLOB, _TREE = (bytes((number,)) for number in range(len(KINDS)))
_KEY = {b"f": _BLOB, b"x": _BLOB, b"l": _BLOB, b"d": _TREE, b"": _TREE}  # "": of an index node


def key_of(entry: Entry) -> bytes:
    """Return the binary key of the object that an entry names."""
    return binary_key("tree" if entry.kind == "tree" else "blob", entry.oid)


def is_tree_key(key: bytes) -> bool:
    """Say whether a key is that of a tree or of a node of one."""
    return key[:1] == _TREE


def named(data: bytes) -> list[bytes]:
    """Return the keys of all objects that the bytes of a tree or of an index node name."""
    return [_KEY[letter] + unhexlify(oid) for letter, oid in _NAMED.findall(data)]


def children(store: Store, key: bytes) -> list[bytes] | None:
    """Return the keys that the tree of a key names; None when it is not in the store.

    Raises:
        Damaged: when it holds other bytes than its name says.
    """
    oid = Oid(key[1:].hex())
    return named(store.read("tree", oid)) if store.has("tree", oid) else None


def mark(store: Store, keys: Iterable[bytes], live: set[bytes]) -> tuple[set[bytes], set[bytes]]:
    """Add to `live` all that `keys` reach; return what was new in it, and trees not in the store.

    Raises:
        Damaged: when a tree holds other bytes than its name says: what it names is not known.
    """
    fresh: set[bytes] = set()
    missing: set[bytes] = set()
    queue = list(keys)
    while queue:
        key = queue.pop()
        if key in live:
            continue
        live.add(key)
        fresh.add(key)
        if is_tree_key(key):
            below = children(store, key)
            if below is None:
                missing.add(key)
                live.discard(key)  # it may be on its way: the next marking looks again
            else:
                queue += below
    return fresh, missing


def any_quarantined(root: str, keys: set[bytes]) -> bool:
    """Say whether one of these objects may lie in the quarantine of a store."""
    folder = os.path.join(root, QUARANTINE)
    return bool(keys) and any(
        _may_hold(os.path.join(folder, stamp), keys) for stamp in list_folder(folder)
    )


def _may_hold(folder: str, keys: set[bytes]) -> bool:
    named = (NamedKey(KINDS[key[0]], Oid(key[1:].hex())) for key in keys)
    if any(os.path.lexists(os.path.join(folder, loose_file(key))) for key in named):
        return True
    for name in list_folder(os.path.join(folder, PACK_FOLDER)):
        try:
            pack = open_pack(folder, f"{PACK_FOLDER}/{name}")
        except (Damaged, FileNotFoundError):
            return True  # what was in it is not known any more
        if any(key in keys for _, key in pack.rows_by_key()):
            return True
    return False
