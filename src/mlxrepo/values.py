"""Values of params and metrics files: read, look up, flatten, make fit for canonical JSON."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from mlxrepo import codec, yamlfile
from mlxrepo.errors import InputError, Where
from mlxrepo.nearest import nearest
from mlxrepo.yamlfile import MAX_BYTES, MAX_DEPTH
from mlxrepo.yamlfile import Reading as Reading

if TYPE_CHECKING:
    from mlxrepo.yamlfile import Time

FORMATS = (".yaml", ".yml", ".json", ".toml")
PARAMS_FORMATS = (*FORMATS, ".py")


def read_values(data: bytes, path: str) -> Any:
    """Read the values of a params or metrics file by the extension of `path`.

    Of a `.py` file these are its constants; nothing is executed.

    Raises:
        InputError: for another extension, and for a file that its format refuses.
    """
    check_extension(path, formats=PARAMS_FORMATS)
    extension = path.rpartition(".")[2]
    if extension in ("yaml", "yml"):
        return yamlfile.dual(yamlfile.read(data, path))
    if len(data) > MAX_BYTES:
        raise InputError("the file is larger than 16 MiB", where=Where(path, 1))
    values = _READERS[extension](data, path)
    _check_depth(values, path)
    return values


def check_extension(
    path: str, where: Where | None = None, *, formats: tuple[str, ...] = FORMATS
) -> None:
    """Refuse a file that cannot hold values.

    Raises:
        InputError: when `path` ends in none of `formats`.
    """
    if not path.endswith(formats):
        raise InputError(
            f'"{path}" cannot hold params or metrics',
            hint=f"values are read from {', '.join(formats)} files",
            where=where,
        )


def lookup(values: Any, key: str, *, source: str = "the file") -> Any:
    """Return what `key`, such as `train.lr` or `layers.0`, names; an exact key goes first.

    Raises:
        InputError: when there is no such key, with the nearest one.
    """
    found = _find(values, key)
    if found:
        return found[0]
    hint = did_you_mean(key, [name for name, _ in _named(values)])
    raise InputError(f'no key "{key}" in {source}', hint=hint)


def select(values: Any, pattern: str, *, source: str = "the file") -> dict[str, Any]:
    """Return the values whose dotted names fit `pattern`, such as `train.*`, by name.

    `*`, `?` and `[…]` stand inside one key. A key spelled as the pattern itself goes first.

    Raises:
        InputError: when none fits.
    """
    if exact := _find(values, pattern):
        return {pattern: exact[0]}
    found = dict(_selected(values, pattern.split(".")))
    if not found:
        raise InputError(f'no key of {source} fits "{pattern}"')
    return found


def _selected(values: Any, parts: list[str], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in _children(values):
        if not fnmatchcase(key, parts[0]):
            continue
        if len(parts) == 1:
            yield prefix + key, value
        else:
            yield from _selected(value, parts[1:], f"{prefix}{key}.")


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """Return a hint with the known name that is nearest to `name`, or None when none is near."""
    near = nearest(name, known)
    return f'did you mean "{near}"?' if near else None


def flatten(values: Any) -> dict[str, Any]:
    """Return the scalars of `values`, and its empty maps and lists, by dotted name."""
    return {name: value for name, value in _named(values) if not _is_branch(value)}


def numbers(values: Any) -> dict[str, int | float]:
    """Return the numbers of `values` by dotted name; a bool is none, YAML counts as 1.2.

    Raises:
        InputError: when two of them have one name: `a.b`, and `b` in `a`.
    """
    found: dict[str, int | float] = {}
    for name, given in _named(values):
        value = given.yaml12 if isinstance(given, Reading) else given
        if isinstance(value, int | float) and not isinstance(value, bool):
            if name in found:
                raise InputError(f'"{name}" is there twice, as one key and as keys in each other')
            found[name] = value
    return found


def encode(value: Any) -> Any:
    """Return `value` with only what canonical JSON can hold; `decode` turns it back.

    A float that JSON lacks, a time and a double reading become maps of one key that begins with
    `$`; a user's key that begins with `$` gets one more.
    """
    if isinstance(value, Reading):
        return {"$yaml": {"1.1": encode(value.yaml11), "1.2": encode(value.yaml12)}}
    if isinstance(value, dict):
        return {_escape(str(key)): encode(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [encode(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return {"$float": str(value)}
    if hasattr(value, "isoformat"):
        return {"$time": value.isoformat()}
    return value


def decode(value: Any) -> Any:
    """Return the value that `encode` was given; lists come back as lists, keys as text."""
    if isinstance(value, list):
        return [decode(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "$yaml" in value:
        both = value["$yaml"]
        return Reading(yaml12=decode(both["1.2"]), yaml11=decode(both["1.1"]))
    if "$float" in value:
        return float(value["$float"])
    if "$time" in value:
        return _read_time(value["$time"])
    return {key[key.startswith("$") :]: decode(item) for key, item in value.items()}


def _escape(key: str) -> str:
    return "$" + key if key.startswith("$") else key


def _read_time(iso: str) -> Time:
    import datetime

    if "T" in iso:
        return datetime.datetime.fromisoformat(iso)
    if ":" in iso:
        return datetime.time.fromisoformat(iso)
    return datetime.date.fromisoformat(iso)


def _is_branch(value: Any) -> bool:
    return isinstance(value, dict | list) and bool(value)


def _children(values: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(values, dict):
        yield from ((str(key), value) for key, value in values.items())
    elif isinstance(values, list):
        yield from ((str(index), value) for index, value in enumerate(values))


def _named(values: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every value below `values` with its dotted name, a branch before its leaves."""
    for key, value in _children(values):
        yield prefix + key, value
        yield from _named(value, f"{prefix}{key}.")


def _find(values: Any, key: str) -> tuple[Any] | None:
    """Look `key` up, the longest literal key first; a 1-tuple, since None may be a value."""
    children = dict(_children(values))
    if key in children:
        return (children[key],)
    heads = [name for name in children if key.startswith(name + ".")]
    for head in sorted(heads, key=len, reverse=True):
        if found := _find(children[head], key[len(head) + 1 :]):
            return found
    return None


def _read_python(data: bytes, path: str) -> Any:
    from mlxrepo.pyconstants import read_constants  # `ast` is needed for these files only

    return read_constants(data, path)


def _read_json(data: bytes, path: str) -> Any:
    return codec.parse_json(data.removeprefix(b"\xef\xbb\xbf"), source=path)


def _read_toml(data: bytes, path: str) -> Any:
    import tomllib

    try:
        return tomllib.loads(data.decode("utf-8"))
    except RecursionError:
        raise InputError(f"more than {MAX_DEPTH} levels of nesting", where=Where(path, 1)) from None
    except ValueError as error:  # also tomllib's own error, and bytes that are not UTF-8
        place = re.search(r" \(at line (\d+), column (\d+)\)", str(error))
        where = Where(path, int(place[1]), int(place[2])) if place else Where(path, 1)
        reason = str(error).replace(place[0], "") if place else str(error)
        raise InputError(f"not TOML: {reason}", where=where) from None


_READERS: dict[str, Callable[[bytes, str], Any]] = {
    "json": _read_json,
    "toml": _read_toml,
    "py": _read_python,
}


def _check_depth(values: Any, path: str) -> None:
    """Refuse what later, recursive readers could not walk."""
    level = [values]
    for _ in range(MAX_DEPTH + 1):
        level = [child for value in level for _, child in _children(value)]
        if not level:
            return
    raise InputError(f"more than {MAX_DEPTH} levels of nesting", where=Where(path, 1))
