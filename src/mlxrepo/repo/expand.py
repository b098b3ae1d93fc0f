"""Filling in the templates of an mlx.yaml: nodes in, nodes out, before anything is checked.

`${…}` is looked up, each `foreach` and `matrix` becomes its stages, `vars` goes. What holds no
template stays the very node that it was, so the stages of a matrix share what they have in common.
A node that was filled in has the style "$", the name of a stage that was made the style "@"; both
keep the place of the template.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, NoReturn

from mlxrepo.errors import InputError, Where
from mlxrepo.paths import RepoPath
from mlxrepo.repo.grammar import ENTRIES, check_name
from mlxrepo.repo.interpolate import OPEN, TemplateError, fill, parts_of, to_text
from mlxrepo.repo.items import (
    ITEM,
    KEY,
    Item,
    axes_of,
    combinations,
    foreach_items,
    made_name,
    matrix_items,
    refuse_twice,
)
from mlxrepo.repo.nodes import FILLED, MADE, fields_of, pairs_of
from mlxrepo.repo.stage import Read
from mlxrepo.repo.variables import LookupFailed, Source, Variables
from mlxrepo.yamlfile import Node

MAX_STAGES = 50_000
MAX_NODES = 5_000_000
MAX_TEXT = 64 << 20  # characters that templates may fill in

_COMMANDS = ("cmd", "predict")
_KEPT = ("meta", "matrix", "foreach")  # a list in a list of these stays one item


class Expanded(NamedTuple):
    """An mlx.yaml without templates, and the files that were asked for on the way."""

    root: Node | None
    read: tuple[RepoPath, ...]


def expand(root: Node | None, file: RepoPath, read: Read) -> Expanded:
    """Fill in every template of the mlx.yaml `file`; `read` gives the files of its `vars`.

    What is no map, or else wrong in a way that has nothing to do with templates, stays as it is.

    Raises:
        InputError: for the first template that cannot be filled in, with its place.
    """
    if root is None or root.kind != "map":
        return Expanded(root, ())
    expander = _Expander(file, read)
    return Expanded(expander.root(root), tuple(expander.source.paths))


class _Expander:
    """Fills in the templates of one file, within bounds."""

    def __init__(self, file: RepoPath, read: Read):
        self.source = Source(file, read)
        # By id, with the node itself so that no other one gets the id.
        self._sizes: dict[int, tuple[Node, int]] = {}
        self._nodes = 0
        self._text = 0
        self._stages = 0
        self._at = Where(file, 1)
        self._inside = ""

    def root(self, root: Node) -> Node:
        """Fill in the sections."""
        given = fields_of(root).get("vars")
        if given is None and not self._holds_template(root):
            variables = Variables.none()  # nothing to look up: no file is read
        else:
            variables = self.source.load(self.source.default(), given, '"vars"')
        pairs = []
        for key, value in root.value:
            if key.text in ("vars", "format"):
                pass
            elif key.text == "stages":
                value = self._all_stages(value, variables)
            elif key.text in ENTRIES:
                value = self._entries(value, variables)
            else:
                value = self.node(value, variables)
            pairs.append((key, value))
        return root._replace(value=pairs)

    def _entries(self, node: Node, variables: Variables) -> Node:
        """Fill in the entries of a section; their names stay."""
        pairs = [(name, self.node(body, variables)) for name, body in pairs_of(node)]
        return node._replace(value=pairs) if node.kind == "map" else node

    # stages

    def _all_stages(self, node: Node, variables: Variables) -> Node:
        if node.kind != "map":
            return node
        pairs: list[tuple[Node, Node]] = []
        for name, body in node.value:
            keys = fields_of(body)
            if "foreach" in keys or "do" in keys:
                check_name(name.text, "stage", name.where)
                pairs += self._foreach(name, body, variables)
            elif "matrix" in keys:
                check_name(name.text, "stage", name.where)
                pairs += self._matrix(name, body, variables)
            else:
                pairs.append((name, self._body(name, body, variables)))
        return node._replace(value=pairs)

    def _body(self, name: Node, body: Node, variables: Variables) -> Node:
        """Fill in one stage that is written out."""
        given = fields_of(body).get("vars")
        if given is not None:
            variables = self.source.load(variables, given, f'"vars" of stage "{name.text}"')
            body = _without(body, "vars")
        return self.node(body, variables)

    def _foreach(self, name: Node, body: Node, variables: Variables) -> Iterator[tuple[Node, Node]]:
        keys = fields_of(body)
        for key, other in (("foreach", "do"), ("do", "foreach")):
            if other not in keys:
                raise InputError(
                    f'stage "{name.text}" has "{key}" and no "{other}"',
                    hint="write foreach: with the items, and do: with the stage that each becomes",
                    where=name.where,
                )
        for key_node, _ in body.value:
            if key_node.text not in ("foreach", "do"):
                raise InputError(
                    f'"{key_node.text}" of stage "{name.text}" stands beside "foreach"',
                    hint="put it into do:",
                    where=key_node.where,
                )
        data, do = self.node(keys["foreach"], variables, key="foreach"), keys["do"]
        if do.kind != "map":
            raise InputError(f'"do" of stage "{name.text}" must be a map of keys', where=do.where)
        for key_node, _ in do.value:
            if key_node.text in ("foreach", "do", "matrix"):
                raise InputError(
                    f'"{key_node.text}" cannot stand inside "do"',
                    hint="matrix goes through several lists at once",
                    where=key_node.where,
                )
        items = foreach_items(name, data)
        self._count(len(items), name, data)
        return self._made(name, do, items, variables)

    def _matrix(self, name: Node, body: Node, variables: Variables) -> Iterator[tuple[Node, Node]]:
        matrix = self.node(fields_of(body)["matrix"], variables, key="matrix")
        axes = axes_of(name, matrix)
        self._count(combinations(axes), name, matrix)
        return self._made(name, _without(body, "matrix"), matrix_items(axes), variables)

    def _made(
        self, name: Node, body: Node, items: Iterable[Item], variables: Variables
    ) -> Iterator[tuple[Node, Node]]:
        """Yield the stages of a foreach or matrix."""
        given = fields_of(body).get("vars")
        if given is not None:
            above = len(variables.layers)
            variables = self.source.load(variables, given, f'"vars" of stage "{name.text}"')
            for layer in variables.layers[above:]:
                _refuse_reserved(layer.source, layer.values, given)
            body = _without(body, "vars")
        taken: dict[str, str] = {}
        for item in items:
            made = made_name(name, item.name)
            if made in taken:
                refuse_twice(name, made, taken[made], item.name)
            taken[made] = item.name
            self._inside = made
            filled = self.node(body, variables._replace(local=item.local))
            yield name._replace(value=made, text=made, style=MADE), filled
        self._inside = ""

    def _count(self, more: int, name: Node, at: Node) -> None:
        self._stages += more
        if self._stages > MAX_STAGES:
            raise InputError(
                f'stage "{name.text}" makes {more:,} stages; an mlx.yaml may have {MAX_STAGES:,}',
                hint="let one stage go through many items itself",
                where=at.where,
            )

    # nodes

    def node(self, node: Node, variables: Variables, *, key: str = "") -> Node:
        """Fill in what is below a node; one without templates is returned itself."""
        size = self._size(node)
        if size > 0:
            self._spend_nodes(size)
            return node
        self._spend_nodes(1)
        if node.kind == "scalar":
            return self._scalar(node, variables, key in _COMMANDS)
        if node.kind == "map":
            return node._replace(value=self._pairs(node, variables, key))
        items: list[Node] = []
        for item in node.value:
            filled = self.node(item, variables, key=key)
            spliced = item.kind == "scalar" and filled.kind == "list" and key not in _KEPT
            items += filled.value if spliced else [filled]
        return node._replace(value=items)

    def _pairs(self, node: Node, variables: Variables, above: str) -> list[tuple[Node, Node]]:
        pairs: list[tuple[Node, Node]] = []
        seen: set[str] = set()
        for key, value in node.value:
            if OPEN in key.text:
                filled = self._scalar(key, variables, False)
                if filled.kind != "scalar":
                    raise InputError(
                        f"{key.text} is a {filled.kind}; a key has to be text", where=key.where
                    )
                key = filled._replace(value=filled.text)
            if key.text in seen:
                raise InputError(f'the key "{key.text}" is given twice', where=key.where)
            seen.add(key.text)
            inner = above if above in _KEPT else key.text
            pairs.append((key, self.node(value, variables, key=inner)))
        return pairs

    def _scalar(self, node: Node, variables: Variables, command: bool) -> Node:
        self._at = node.where
        try:
            value = fill(node.text, variables.find, self._spend_text, command=command)
        except LookupFailed as error:
            offset = self._offset_of_failure(node, variables)
            self._refuse(node, offset, error.message, error.hint)
        except TemplateError as error:
            self._refuse(node, error.offset, error.message, error.hint)
        return self._built(value, node)

    def _offset_of_failure(self, node: Node, variables: Variables) -> int:
        for part in parts_of(node.text):
            if not isinstance(part, str):
                try:
                    variables.find(part.path)
                except LookupFailed:
                    return part.offset
        return 0

    def _refuse(self, node: Node, offset: int, message: str, hint: str | None) -> NoReturn:
        inside = f', in stage "{self._inside}"' if self._inside else ""
        raise InputError(message + inside, hint=hint, where=_place(node, offset)) from None

    def _built(self, value: Any, at: Node) -> Node:
        """Return a value as nodes at the place of the template that names it."""
        self._spend_nodes(1)
        if isinstance(value, dict):
            pairs = [(self._built(str(k), at), self._built(v, at)) for k, v in value.items()]
            return Node("map", pairs, "", FILLED, at.where, at.start, at.end)
        if isinstance(value, list):
            items = [self._built(item, at) for item in value]
            return Node("list", items, "", FILLED, at.where, at.start, at.end)
        return Node("scalar", value, to_text(value), FILLED, at.where, at.start, at.end)

    def _holds_template(self, node: Node) -> bool:
        return self._size(node) < 0

    def _size(self, node: Node) -> int:
        """Return how many nodes there are, as a negative number when one holds a template."""
        known = self._sizes.get(id(node))
        if known is not None:
            return known[1]
        if node.kind == "scalar":
            held = isinstance(node.value, str) and OPEN in node.text
            size = -1 if held else 1
        else:
            children = [
                child for item in node.value for child in (item if node.kind == "map" else (item,))
            ]
            sizes = [self._size(child) for child in children]
            total = 1 + sum(map(abs, sizes))
            size = -total if any(one < 0 for one in sizes) else total
        self._sizes[id(node)] = node, size
        return size

    def _spend_nodes(self, count: int) -> None:
        self._nodes += count
        if self._nodes > MAX_NODES:
            self._refuse_size(f"more than {MAX_NODES:,} values")

    def _spend_text(self, count: int) -> None:
        self._text += count
        if self._text > MAX_TEXT:
            self._refuse_size(f"more than {MAX_TEXT >> 20} MiB of text")

    def _refuse_size(self, told: str) -> NoReturn:
        raise InputError(
            f"the templates of this file fill in {told}",
            hint="name fewer or smaller values; a command can read a params file itself",
            where=self._at,
        )


def _without(node: Node, key: str) -> Node:
    return node._replace(value=[pair for pair in node.value if pair[0].text != key])


def _refuse_reserved(source: str, values: Iterable[str], at: Node) -> None:
    for word in (ITEM, KEY):
        if word in values:
            raise InputError(
                f'"{word}" of {source} is what the items themselves are called here',
                hint="give it another name",
                where=at.where,
            )


def _place(node: Node, offset: int) -> Where:
    """Return where in the file a character of a text stands; where it begins, if in doubt."""
    file, line, col = node.where
    if node.style == "|":
        return Where(file, line + 1 + node.text.count("\n", 0, offset))
    quotes = 1 if node.style in ("'", '"') else 0
    if node.end - node.start == len(node.text) + 2 * quotes:  # one line, nothing escaped
        return Where(file, line, col + quotes + offset)
    return node.where
