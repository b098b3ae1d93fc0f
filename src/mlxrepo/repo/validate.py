"""Check the nodes of an mlx.yaml against the table of `mlxrepo.repo.schema`."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple, NoReturn

from mlxrepo.errors import InputError
from mlxrepo.repo.grammar import FORMAT, TABLE, Key, Section, check_name
from mlxrepo.repo.nodes import FILLED, MADE, is_empty
from mlxrepo.values import did_you_mean
from mlxrepo.yamlfile import Node


def validate(root: Node | None, source: str) -> None:
    """Check the nodes of an mlx.yaml, with its templates filled in, against the table.

    Raises:
        InputError: for the first thing that is wrong, with its place and the nearest right key.
    """
    if root is None:
        return
    if root.kind != "map":
        raise InputError(
            f"{source} must be a map of sections, not {_named(root)}", where=root.where
        )
    _check_format(root)
    table = {item.name: item for item in TABLE}
    for key, value in root.value:
        item = table.get(key.text)
        if item is None:
            _refuse_key(key, tuple(table), source)
        elif isinstance(item, Section):
            _check_section(value, item)
        else:
            _check_value(value, item, f'"{item.name}"')


def _check_format(root: Node) -> None:
    """Refuse a newer format first: whatever else looks wrong may be right there."""
    for key, value in root.value:
        if key.text == "format" and type(value.value) is int and value.value != FORMAT:
            raise InputError(
                f"mlx.yaml has format {value.value}; this mlx reads format {FORMAT}",
                hint="upgrade mlx" if value.value > FORMAT else f"write format: {FORMAT}",
                where=value.where,
            )


def _check_section(node: Node, section: Section) -> None:
    if is_empty(node):
        return
    if node.kind != "map":
        raise InputError(
            f'"{section.name}" must be a map of {section.noun} names, not {_named(node)}',
            hint=f"write {section.name}: {{{section.entry}: {{…}}}}",
            where=node.where,
        )
    checked: set[tuple[int, str]] = set()
    for name, body in node.value:
        if name.style != MADE:
            check_name(name.text, section.noun, name.where)
        _check_entry(name, body, section, checked)


def _check_entry(name: Node, body: Node, section: Section, checked: set[tuple[int, str]]) -> None:
    """Check one entry; `checked` are the values, by id, that entries share and that were right."""
    owner = f'{section.noun} "{name.text}"'
    if body.kind != "map" and not is_empty(body):
        raise InputError(f"{owner} must be a map of keys, not {_named(body)}", where=body.where)
    given = () if is_empty(body) else body.value
    keys = {key.name: key for key in section.keys}
    for key, value in given:
        if key.text not in keys:
            _refuse_key(key, tuple(keys), owner)
        if (id(value), key.text) not in checked:
            _check_value(value, keys[key.text], f'"{key.text}" of {owner}')
            checked.add((id(value), key.text))
    for required in (key for key in section.keys if key.required):
        if required.name not in (key.text for key, _ in given):
            raise InputError(
                f'{owner} has no "{required.name}"',
                hint=f"add, for example, {required.name}: {required.example}",
                where=name.where,
            )


def _check_value(node: Node, key: Key, owner: str) -> None:
    problem = _mismatch(node, key.shape.schema)
    if problem is None:
        return
    bad = problem.node
    if problem.known:
        _refuse_key(bad, problem.known, owner)
    told = f", not {_named(bad)}" if bad is node else f"; one item is {_named(bad)}"
    raise InputError(
        f"{owner} must be {key.shape.phrase}{told}",
        hint=_way_out(problem),
        where=bad.where,
    )


def _refuse_key(key: Node, known: tuple[str, ...], owner: str) -> NoReturn:
    hint = did_you_mean(key.text, known) or f"its keys are {', '.join(known)}"
    raise InputError(f'unknown key "{key.text}" in {owner}', hint=hint, where=key.where)


def _named(node: Node) -> str:
    if node.kind != "scalar":
        return f"a {node.kind}" if node.value else f"an empty {node.kind}"
    if node.value is None:
        return "empty"
    kinds = {bool: "a truth value", int: "a number", float: "a number", str: "text"}
    return f"{kinds[type(node.value)]}: {node.text[:60]}"


class _Problem(NamedTuple):
    """A node that does not fit `schema`; `known` are the right keys when it is a wrong one."""

    node: Node
    schema: dict[str, Any]
    known: tuple[str, ...] = ()


def _mismatch(node: Node, schema: dict[str, Any]) -> _Problem | None:
    """Interpret the part of JSON Schema that the table uses; return the first misfit."""
    if not schema:
        return None
    if "anyOf" in schema:
        found = [_mismatch(node, choice) for choice in schema["anyOf"]]
        if None in found:
            return None
        # The choice that fits furthest is the one that was meant.
        deepest = max((p for p in found if p), key=lambda problem: problem.node.start)
        return _Problem(node, schema) if deepest.node is node else deepest
    if not _fits(node, schema):
        return _Problem(node, schema)
    children = _children(node, schema)
    return next((problem for problem in children if problem), None)


def _children(node: Node, schema: dict[str, Any]) -> Iterator[_Problem | None]:
    if node.kind == "list":
        yield from (_mismatch(item, schema.get("items", {})) for item in node.value)
    elif node.kind == "map":
        known = schema.get("properties", {})
        rest = schema.get("additionalProperties", {})
        for key, value in node.value:
            wanted = known.get(key.text, rest)
            fits = wanted is not False
            yield _mismatch(value, wanted) if fits else _Problem(key, schema, tuple(known))


_PYTHON: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "null": (type(None),),
}


def _fits(node: Node, schema: dict[str, Any]) -> bool:
    wanted: str = schema["type"]
    if node.kind == "list":
        return wanted == "array" and len(node.value) >= int(schema.get("minItems", 0))
    if node.kind == "map":
        return wanted == "object" and len(node.value) in _sizes(schema)
    if wanted == "string" and node.style == FILLED and type(node.value) in (int, float):
        return "pattern" not in schema  # a number where text belongs counts as its text
    if type(node.value) not in _PYTHON.get(wanted, ()):
        return False
    if "pattern" in schema and not re.fullmatch(schema["pattern"], node.text):
        return False
    return "minimum" not in schema or bool(node.value >= schema["minimum"])


def _sizes(schema: dict[str, Any]) -> range:
    return range(schema.get("minProperties", 0), schema.get("maxProperties", sys.maxsize - 1) + 1)


def _way_out(problem: _Problem) -> str | None:
    """Try the usual mends on the node, and name the one after which it would fit."""
    node, schema, _ = problem
    if is_empty(node):
        return "give it a value, or remove it"
    if node.kind == "scalar" and node.style != FILLED:
        text = node._replace(value=node.text, style='"')
        if _mismatch(text, schema) is None:
            return f'put it in quotes: "{node.text}"'
        if _mismatch(node._replace(kind="list", value=[node]), schema) is None:
            return f"write a list: [{node.text}]"
    return None
