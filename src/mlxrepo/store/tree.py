"""Trees: the listing of one folder, in canonical bytes, nested as in git.

The format is in docs/formats.md. A folder of more than `SPLIT_ABOVE` entries is cut after the
names whose hash says so, so that one changed file rewrites one node, whatever the history was.
One folder has one spelling: what is read is refused unless mlx would have written the same bytes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from mlxrepo.errors import Damaged, InputError
from mlxrepo.hashing import Oid, split_hash, tree_oid
from mlxrepo.paths import bad_name, display, name_bytes

TREE_HEADER = "mlx tree 1"
INDEX_HEADER = "mlx index 1"

SPLIT_ABOVE = 4096
SPLIT_BITS = 10  # a node ends after a name whose hash has these bits zero: 1,024 entries on average
RANK_MAX = 32  # index levels; names whose hashes never cut or always cut need no more either
SIZE_MAX = 1 << 62
DEPTH_MAX = 256  # folders in folders; walks are recursive, and nobody keeps data so deep

_LETTERS = {"file": "f", "exec": "x", "symlink": "l", "tree": "d"}
_KINDS = {letter: kind for kind, letter in _LETTERS.items()}

_OID = "([0-9a-f]{64})"
_NUMBER = "(0|[1-9][0-9]{0,18})"
_QUOTED = r'("(?:[ !#-\[\]-~]|\\.)*")'
_ENTRY = re.compile(f"(?:([fxl]) {_OID} {_NUMBER}|(d) {_OID} {_NUMBER} {_NUMBER}) {_QUOTED}")
# Most listings have such lines alone. No name that these letters can spell is refused.
_PLAIN = re.compile(
    r"^([fxld]) ([0-9a-f]{64}) (0|[1-9][0-9]{0,15}) "
    r'(0 |[1-9][0-9]{0,15} |)"([A-Za-z0-9_-][A-Za-z0-9_.-]{0,254})"$',
    re.MULTILINE,
)
_CHILD = re.compile(f"{_OID} {_QUOTED}")
_PLAIN_START = f"{TREE_HEADER}\n".encode()


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


def check_depth(path: str) -> None:
    """Check that a folder does not lie too deep.

    Raises:
        InputError: when more than `DEPTH_MAX` folders are above it.
    """
    if path.count("/") > DEPTH_MAX:
        raise InputError(
            f"{display(path[:60])}... is nested deeper than {DEPTH_MAX} folders",
            hint="pack what lies so deep into an archive",
        )


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
    lines = [TREE_HEADER]
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
    lines = [INDEX_HEADER]
    lines += [f"{node.oid} {json.dumps(node.first)}" for node in nodes]
    data = ("\n".join(lines) + "\n").encode("ascii")
    return _Node(nodes[0].first, put(data), [])


def _cut(names: list[str], rank: int) -> list[list[str]]:
    """Cut sorted names after those whose hash has the bits of this rank zero.

    A part holds two names or more, but for the last, so that every rank has fewer nodes than the
    one below it, also when the names were chosen to be cut everywhere.
    """
    mask = ((1 << SPLIT_BITS) - 1) << (SPLIT_BITS * rank)
    parts: list[list[str]] = [[]]
    for name in names:
        parts[-1].append(name)
        if len(parts[-1]) > 1 and split_hash(name_bytes(name)) & mask == 0:
            parts.append([])
    if not parts[-1]:
        parts.pop()
    return parts


def parse(data: bytes, oid: Oid, read: Callable[[Oid], bytes]) -> Tree:
    """Decode a tree; `read` fetches the nodes of a split one.

    Raises:
        Damaged: when it is not exactly what mlx would write, so that nothing of it is used.
    """
    plain = _parse_plain(data)
    if plain is not None:
        return plain
    tree: Tree = {}
    last = b""
    for name, entry in _entries(data, oid, read, 0):
        raw = name_bytes(name)
        if raw <= last:
            raise _malformed(oid, f'the name "{display(name)}" is out of order or there twice')
        last = raw
        tree[name] = entry
    is_split = data.startswith(INDEX_HEADER.encode())
    if (is_split or len(tree) > SPLIT_ABOVE) and write_tree(tree, tree_oid).oid != oid:
        raise _malformed(oid, "it is not split where it should be")
    return tree


def _parse_plain(data: bytes) -> Tree | None:
    """Decode a tree of plain lines in one go; None for any other, also for one that is wrong."""
    if not data.startswith(_PLAIN_START) or not data.endswith(b"\n") or not data.isascii():
        return None
    body = data[len(_PLAIN_START) : -1].decode("ascii")
    rows = _PLAIN.findall(body)
    if len(rows) != body.count("\n") + 1 or len(rows) > SPLIT_ABOVE:
        return None
    tree = {
        name: Entry(_KINDS[letter], oid, int(size), int(files) if files else 1)
        for letter, oid, size, files, name in rows
        if (letter == "d") is bool(files)
    }
    names = [row[4] for row in rows]
    # One after the other in order, and none twice: a dict keeps the first place of a name.
    return tree if list(tree) == names == sorted(names) else None


def differing(old: Oid, new: Oid, read: Callable[[Oid], bytes]) -> tuple[Tree, Tree]:
    """Decode two trees without the entries of the nodes that both have, which are not read.

    Raises:
        Damaged: as `parse`; that a folder is split where it should be is not looked at.
    """
    trees: tuple[Tree, Tree] = ({}, {})
    level = ({old}, {new})
    for _ in range(RANK_MAX + 2):
        below: tuple[set[Oid], set[Oid]] = (set(), set())
        for tree, nodes, found in zip(
            trees, (level[0] - level[1], level[1] - level[0]), below, strict=True
        ):
            for oid in nodes:
                data = read(oid)
                found.update(children(data, oid))
                if not data.startswith(INDEX_HEADER.encode()):
                    tree.update(_parse_plain(data) or dict(_entries(data, oid, read, 0)))
        level = below
        if not any(level):
            return trees
    raise _malformed(old, "its index has too many levels")


def children(data: bytes, oid: Oid) -> list[Oid]:
    """Return the tree nodes that an index node names; empty for a plain tree.

    Raises:
        Damaged: when it is neither.
    """
    header, lines = _lines(data, oid)
    return [_child(line, oid) for line in lines] if header == INDEX_HEADER else []


def _lines(data: bytes, oid: Oid) -> tuple[str, list[str]]:
    try:
        header, *lines, end = data.decode("ascii").split("\n")
    except ValueError:  # also when there is no line end at all
        raise _malformed(oid, "it has no header, no end, or bytes that are not ASCII") from None
    if end or header not in (TREE_HEADER, INDEX_HEADER):
        raise _malformed(oid, "it has no header or no end")
    return header, lines


def _entries(
    data: bytes, oid: Oid, read: Callable[[Oid], bytes], rank: int
) -> Iterator[tuple[str, Entry]]:
    header, lines = _lines(data, oid)
    # Every node below an index holds something: so the work is bounded by the entries.
    if (rank and not lines) or rank > RANK_MAX:
        raise _malformed(oid, "its index holds an empty node, or too many levels")
    for line in lines:
        if header == TREE_HEADER:
            yield _parse_line(line, oid)
        else:
            child = _child(line, oid)
            yield from _entries(read(child), child, read, rank + 1)


def _child(line: str, oid: Oid) -> Oid:
    match = _CHILD.fullmatch(line)
    if not match:
        raise _malformed(oid, "a line of its index names no node")
    return Oid(match[1])


def _parse_line(line: str, oid: Oid) -> tuple[str, Entry]:
    match = _ENTRY.fullmatch(line)
    if not match:
        raise _malformed(oid, "a line is not an entry")
    letter, name_of_blob, length, folder, name_of_tree, total, files, quoted = match.groups()
    if folder:
        entry = Entry("tree", Oid(name_of_tree), int(total), int(files))
    else:
        entry = Entry(_KINDS[letter], Oid(name_of_blob), int(length))
    if entry.size >= SIZE_MAX or entry.files >= SIZE_MAX:
        raise _malformed(oid, "a size is out of range")
    name = _unquoted(quoted)
    if name is None:
        raise _malformed(oid, "a name is not spelled in the one way there is")
    reason = bad_name(name)
    if reason:
        raise _malformed(oid, f'the name "{display(name)}" {reason}')
    return name, entry


def _unquoted(quoted: str) -> str | None:
    if "\\" not in quoted:
        return quoted[1:-1]
    try:
        name = json.loads(quoted)
    except ValueError:
        return None
    return name if json.dumps(name) == quoted else None


def _malformed(oid: Oid, why: str) -> Damaged:
    return Damaged(f"tree {oid[:12]} is malformed: {why}; nothing of it was used")
