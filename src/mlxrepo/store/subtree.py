"""Parts of trees: find what lies at a path below an entry, or put something else there."""

from __future__ import annotations

from collections.abc import Iterator

from mlxrepo.store.tree import Entry, PutTree, ReadTree, check_depth, write_tree


def find(read: ReadTree, entry: Entry | None, path: str) -> Entry | None:
    """Return what lies at `path` below `entry` ("" is itself), or None."""
    for name in path.split("/") if path else ():
        if entry is None or entry.kind != "tree":
            return None
        entry = read(entry.oid).get(name)
    return entry


def replace(
    read: ReadTree, put: PutTree, entry: Entry | None, path: str, new: Entry | None
) -> Entry | None:
    """Return `entry` with `new` at `path` below it (None: nothing), writing the trees above it.

    Taking away what is not there changes nothing.
    """
    if not path:
        return new
    if new is None and find(read, entry, path) is None:
        return entry
    name, _, rest = path.partition("/")
    tree = dict(read(entry.oid)) if entry is not None and entry.kind == "tree" else {}
    below = replace(read, put, tree.get(name), rest, new)
    if below is None:
        tree.pop(name, None)
    else:
        tree[name] = below
    return write_tree(tree, put)


def walk(read: ReadTree, entry: Entry, path: str = "") -> Iterator[tuple[str, Entry]]:
    """Yield every file and link at and below `entry`, in order, with its path below it."""
    if entry.kind != "tree":
        yield path, entry
        return
    check_depth(path)
    for name, child in read(entry.oid).items():
        yield from walk(read, child, f"{path}/{name}" if path else name)
