"""The items of a foreach or matrix, and what the stage of each is called; as DVC names them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any, NamedTuple

from mlxrepo.errors import InputError
from mlxrepo.repo.interpolate import to_text
from mlxrepo.repo.stage import SIGN, fit_item
from mlxrepo.yamlfile import Node, plain

ITEM, KEY = "item", "key"
MAX_NAME = 200


class Item(NamedTuple):
    """One stage to be made: its name after the `@` as given, and what it can name."""

    name: str
    local: dict[str, Any]


def foreach_items(name: Node, data: Node) -> list[Item]:
    """Return the items of a `foreach`: of a list by value, or by index when one is no single value.

    Raises:
        InputError: when it is no list and no map, or empty.
    """
    value = plain(data)
    if not isinstance(value, list | dict) or not value:
        raise InputError(
            f'"foreach" of stage "{name.text}" must be a list or a map with something in it, '
            f"not {_named(value)}",
            hint="write foreach: [a, b], or remove the stage",
            where=data.where,
        )
    if isinstance(value, dict):
        return [Item(key, {ITEM: item, KEY: key}) for key, item in value.items()]
    if any(isinstance(item, dict | list) for item in value):
        return [Item(str(index), {ITEM: item}) for index, item in enumerate(value)]
    return [Item(to_text(item), {ITEM: item}) for item in value]


def axes_of(name: Node, matrix: Node) -> dict[str, list[Any]]:
    """Return the values of each axis of a `matrix`.

    Raises:
        InputError: when it is no map, or an axis is no list or an empty one.
    """
    if matrix.kind != "map" or not matrix.value:
        raise InputError(
            f'"matrix" of stage "{name.text}" must be a map of axes, not {_named(plain(matrix))}',
            hint="write matrix: {model: [cnn, mlp], seed: [1, 2]}",
            where=matrix.where,
        )
    axes: dict[str, list[Any]] = {}
    for axis, node in matrix.value:
        value = plain(node)
        if not isinstance(value, list) or not value:
            raise InputError(
                f'the axis "{axis.text}" of stage "{name.text}" must be a list with something in '
                f"it, not {_named(value)}",
                hint="give it a value, or take the axis out",
                where=node.where,
            )
        axes[axis.text] = value
    return axes


def combinations(axes: Mapping[str, list[Any]]) -> int:
    """Return how many stages a matrix makes."""
    return math.prod(len(values) for values in axes.values())


def matrix_items(axes: Mapping[str, list[Any]]) -> Iterator[Item]:
    """Yield every combination of a matrix; the last axis turns fastest."""
    words = [
        [
            f"{axis}{index}" if isinstance(value, dict | list) else to_text(value)
            for index, value in enumerate(values)
        ]
        for axis, values in axes.items()
    ]
    for texts, values in zip(product(*words), product(*axes.values()), strict=True):
        key = "-".join(texts)
        yield Item(key, {ITEM: dict(zip(axes, values, strict=True)), KEY: key})


def made_name(name: Node, item: str) -> str:
    """Return the name of the stage that an item makes, with `_` for what no name can hold.

    Raises:
        InputError: when the item is empty or too long for a name.
    """
    fit = fit_item(item)
    if not fit or len(fit) > MAX_NAME:
        what = "an empty item" if not fit else f'an item that begins with "{fit[:20]}"'
        raise InputError(
            f'stage "{name.text}" has {what}, which gives no name to its stage',
            hint="write foreach as a map: its keys are the names",
            where=name.where,
        )
    return f"{name.text}{SIGN}{fit}"


def refuse_twice(name: Node, made: str, first: str, second: str) -> None:
    """Raise the error for two items whose stages would have one name.

    Raises:
        InputError: always.
    """
    told = f'"{first}" twice' if first == second else f'"{first}" and "{second}"'
    raise InputError(
        f'the items {told} of stage "{name.text}" would both be {made}',
        hint="take one out, or write foreach as a map: its keys are the names",
        where=name.where,
    )


def _named(value: Any) -> str:
    if isinstance(value, dict | list):
        return f"an empty {'map' if isinstance(value, dict) else 'list'}" if not value else "a list"
    return "nothing" if value is None else f'"{to_text(value)[:60]}"'
