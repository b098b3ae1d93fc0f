"""Constants of a Python file as values: parsed, never executed.

What counts is what DVC documents: assignments of literals at the top of the module, in classes
(`class Train: lr = 0.1` is `Train.lr`) and to `self` in their `__init__`.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator
from typing import Any

from mlxrepo.errors import InputError, Where


def read_constants(data: bytes, path: str) -> dict[str, Any]:
    """Return the constants of a Python file by name, those of a class in a map of its name.

    Raises:
        InputError: when it is not Python.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a doubtful escape in the user's file is not our word
            tree = ast.parse(data, path)
    except (RecursionError, MemoryError):
        raise InputError("too deeply nested for Python to read", where=Where(path, 1)) from None
    except SyntaxError as error:
        where = Where(path, error.lineno or 1, error.offset or 1)
        raise InputError(f"not Python: {error.msg}", where=where) from None
    except ValueError as error:  # a NUL, a number of too many digits
        raise InputError(f"not Python: {error}", where=Where(path, 1)) from None
    return _constants(tree.body)


def _constants(body: list[ast.stmt]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for statement in body:
        if isinstance(statement, ast.ClassDef):
            found[statement.name] = _constants(statement.body)
        elif isinstance(statement, ast.FunctionDef) and statement.name == "__init__":
            found.update(_assigned(statement.body, of_self=True))
        else:
            found.update(_assigned([statement], of_self=False))
    return found


def _assigned(body: list[ast.stmt], *, of_self: bool) -> Iterator[tuple[str, Any]]:
    for statement in body:
        targets: list[ast.expr] = []
        if isinstance(statement, ast.Assign):
            targets = statement.targets
        elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
            targets = [statement.target]
        names = [name for target in targets if (name := _name(target, of_self))]
        if not names:
            continue
        assert isinstance(statement, ast.Assign | ast.AnnAssign)
        assert statement.value is not None
        try:
            value = _plain(ast.literal_eval(statement.value))
        except (ValueError, TypeError, RecursionError, MemoryError):  # computed: no constant
            continue
        yield from ((name, value) for name in names)


def _name(target: ast.expr, of_self: bool) -> str | None:
    if not of_self:
        return target.id if isinstance(target, ast.Name) else None
    if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
        return target.attr if target.value.id == "self" else None
    return None


def _plain(value: Any) -> Any:
    """Return a literal with what params can hold: tuples and sets become lists."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        return sorted((_plain(item) for item in value), key=repr)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ValueError(f"{value!r} is no value of a param")
