"""Trees: the listing of one folder, in canonical bytes, nested as in git.

The format is in docs/formats.md. A folder of more than `SPLIT_ABOVE` entries is cut after the
names whose hash says so, so that one changed file rewrites one node, whatever the history was.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from mlxrepo.errors import Damaged
from mlxrepo.hashing import Oid, is_oid, split_hash, tree_oid
from mlxrepo.paths import bad_name, display, name_bytes

TREE_HEADER = b"mlx tree 1"
INDEX_HEADER = b"mlx index 1"

SPLIT_ABOVE = 4096
SPLIT_BITS = 10  # a node ends after a name whose hash has these bits zero: 1,024 entries on average
SIZE_MAX = 1 << 62

_LETTERS = {"file": "f", "exec": "x", "symlink": "l", "tree": "d"}
_KINDS = {letter: kind for kind, letter in _LETTERS.items()}


class Entry(NamedTuple):
    """One thing in a folder: kind file, exec, symlink or tree (then size and files are totals)."""

    kind: str
    oid: Oid
    size: int
    files: int = 1


Tree = dict[str, Entry]
ReadTree = Callable[[Oid], Tree]
PutTree = Callable[[bytes], Oid]


def is_tree(entry: Entry | None) -> bool:
    """Say whether `entry` is a folder."""
    return entry is not None and entry.kind == "tree"


def ordered(names: Iterable[str]) -> list[str]:
    """Sort names by their bytes."""
    listed = sorted(names)
    if all(map(str.isascii, listed)):
        return listed
    return sorted(listed, key=name_bytes)


def _line(name: str, entry: Entry) -> str:
    letter = _LETTERS[entry.kind]
    if letter == "d":
        return f"d {entry.oid} {entry.size} {entry.files} {json.dumps(name)}"
    return f"{letter} {entry.oid} {entry.size} {json.dumps(name)}"


def encode(entries: Iterable[tuple[str, Entry]]) -> bytes:
    """Return the canonical bytes of one tree node; entries come in byte order of their names."""
    lines = [TREE_HEADER.decode()]
    lines += [_line(name, entry) for name, entry in entries]
    return ("\n".join(lines) + "\n").encode("ascii")


def write_tree(tree: Tree, put: PutTree) -> Entry:
    """Store a folder through `put` and return its entry with the totals."""
    names = ordered(tree)
    size = sum(entry.size for entry in tree.values())
    count = sum(entry.files for entry in tree.values())
    if len(names) <= SPLIT_ABOVE:
        return Entry("tree", put(encode((name, tree[name]) for name in names)), size, count)
    level = [_Node(part[0], _put_leaf(part, tree, put), part) for part in _cut(names, 0)]
    rank = 1
    while len(level) > 1:
        by_first = {node.first: node for node in level}
        parts = (
            _cut([n.first for n in level], rank) if len(level) > SPLIT_ABOVE else [list(by_first)]
        )
        level = [_put_index([by_first[first] for first in part], put) for part in parts]
        rank += 1
    return Entry("tree", level[0].oid, size, count)


class _Node(NamedTuple):
    first: str
    oid: Oid
    names: list[str]


def _put_leaf(names: list[str], tree: Tree, put: PutTree) -> Oid:
    return put(encode((name, tree[name]) for name in names))


def _put_index(nodes: list[_Node], put: PutTree) -> _Node:
    lines = [INDEX_HEADER.decode()]
    lines += [f"{node.oid} {json.dumps(node.first)}" for node in nodes]
    data = ("\n".join(lines) + "\n").encode("ascii")
    return _Node(nodes[0].first, put(data), [])


def _cut(names: list[str], rank: int) -> list[list[str]]:
    """Cut sorted names after those whose hash has the bits of this rank zero."""
    mask = ((1 << SPLIT_BITS) - 1) << (SPLIT_BITS * rank)
    parts: list[list[str]] = [[]]
    for name in names:
        parts[-1].append(name)
        if split_hash(name_bytes(name)) & mask == 0:
            parts.append([])
    if not parts[-1]:
        parts.pop()
    return parts


def parse(data: bytes, oid: Oid, read: Callable[[Oid], bytes]) -> Tree:
    """Decode a tree; `read` fetches the nodes of a split one.

    Raises:
        Damaged: when anything in it is not canonical, so that nothing of it is used.
    """
    tree: Tree = {}
    for name, entry in _entries(data, oid, read, depth=0):
        if name in tree:
            raise _malformed(oid, f'the name "{display(name)}" is there twice')
        tree[name] = entry
    _check_order(tree, oid)
    return tree


def children(data: bytes, oid: Oid) -> list[Oid]:
    """Return the tree nodes that an index node names; empty for a plain tree."""
    lines = _lines(data, oid)
    if lines[0] != INDEX_HEADER:
        return []
    return [_index_child(line, oid) for line in lines[1:]]


def _lines(data: bytes, oid: Oid) -> list[bytes]:
    lines = data.split(b"\n")
    if lines.pop() != b"" or not lines or lines[0] not in (TREE_HEADER, INDEX_HEADER):
        raise _malformed(oid, "it has no header or no end")
    return lines


def _entries(
    data: bytes, oid: Oid, read: Callable[[Oid], bytes], depth: int
) -> Iterator[tuple[str, Entry]]:
    lines = _lines(data, oid)
    if lines[0] == TREE_HEADER:
        for line in lines[1:]:
            yield _parse_line(line, oid)
        return
    if depth > 8:
        raise _malformed(oid, "its index is nested too deep")
    for line in lines[1:]:
        child = _index_child(line, oid)
        yield from _entries(read(child), child, read, depth + 1)


def _index_child(line: bytes, oid: Oid) -> Oid:
    text = line[:64].decode("ascii", "replace")
    if not is_oid(text):
        raise _malformed(oid, "an index line has no oid")
    return Oid(text)


def _parse_line(line: bytes, oid: Oid) -> tuple[str, Entry]:
    try:
        head, quoted = line.decode("ascii").split(' "', 1)
        fields = head.split(" ")
        kind = _KINDS[fields[0]]
        numbers = [int(field) for field in fields[2:]]
        name = quoted[:-1] if "\\" not in quoted else json.loads('"' + quoted)
    except (ValueError, KeyError):
        raise _malformed(oid, "a line is not an entry") from None
    count = numbers[1] if kind == "tree" and len(numbers) == 2 else 1
    if len(numbers) != (2 if kind == "tree" else 1) or not is_oid(fields[1]):
        raise _malformed(oid, "a line has the wrong fields")
    if not quoted.endswith('"') or any(not 0 <= number < SIZE_MAX for number in numbers):
        raise _malformed(oid, "a size or a name is out of range")
    reason = bad_name(name)
    if reason:
        raise _malformed(oid, f'the name "{display(name)}" {reason}')
    return name, Entry(kind, Oid(fields[1]), numbers[0], count)


def _check_order(tree: Tree, oid: Oid) -> None:
    names = list(tree)
    if names != ordered(names):
        raise _malformed(oid, "its names are not in order")


def _malformed(oid: Oid, why: str) -> Damaged:
    return Damaged(f"tree {oid[:12]} is malformed: {why}; nothing of it was used")


def check_canonical(data: bytes, oid: Oid) -> None:
    """Check the name of a tree's bytes.

    Raises:
        Damaged: when they are other bytes.
    """
    if tree_oid(data) != oid:
        raise Damaged(f"tree {oid[:12]} holds other bytes than its name says")
