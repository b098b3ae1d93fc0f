"""What `${…}` can name: `vars`, files of values, and the item of a foreach or matrix."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from mlxrepo.errors import InputError, Where
from mlxrepo.nearest import nearest
from mlxrepo.paths import RepoPath, display, join, parent
from mlxrepo.repo.interpolate import TemplateError, has_hole, spell
from mlxrepo.repo.layout import PARAMS_FILE
from mlxrepo.repo.nodes import value_file_of
from mlxrepo.repo.stage import Read
from mlxrepo.values import PARAMS_FORMATS, Reading, did_you_mean
from mlxrepo.yamlfile import Node, plain


class Layer(NamedTuple):
    """Names that came from one place."""

    source: str
    values: dict[str, Any]


class Variables(NamedTuple):
    """Everything that can be named in one place of a file; `local` goes before the rest."""

    values: dict[str, Any]
    layers: tuple[Layer, ...]
    local: dict[str, Any]

    @classmethod
    def none(cls) -> Variables:
        """Return those of a file that has none."""
        return cls({}, (), {})

    def find(self, path: tuple[str, ...]) -> Any:
        """Return what a name stands for.

        Raises:
            LookupFailed: when there is no such name, with the nearest one.
        """
        value: Any = self.local if path[0] in self.local else self.values
        for depth, word in enumerate(path):
            found = _child(value, word)
            if found is None:
                raise _unknown(path, depth, value, self)
            value = found[0]
        return value

    def plus(self, layer: Layer, where: Where) -> Variables:
        """Return these and those of another place.

        Raises:
            InputError: when a name is given by both.
        """
        taken = next(_clashes(self.values, layer.values, ()), None)
        if taken:
            owner = next(old for old in self.layers if any(_clashes(old.values, layer.values, ())))
            raise InputError(
                f'"{".".join(taken)}" of {layer.source} is given already, by {owner.source}',
                hint="one name has one value: take one of them out, or rename it",
                where=where,
            )
        return self._replace(
            values=_merged(self.values, layer.values), layers=(*self.layers, layer)
        )


class LookupFailed(Exception):
    """A name that nothing gives."""

    def __init__(self, message: str, hint: str):
        super().__init__(message)
        self.message = message
        self.hint = hint


def _unknown(path: tuple[str, ...], depth: int, owner: Any, variables: Variables) -> LookupFailed:
    """Say that `owner`, at which the name leads after `depth` words, has no such part."""
    word, above = path[depth], path[:depth]
    known: list[str] = []
    if isinstance(owner, dict):
        known = [*owner, *(variables.local if not depth else ())]
    elif isinstance(owner, list):
        known = [str(index) for index in range(len(owner))]
    message = f'no "{word}" in {spell(above)}' if above else f'nothing gives the name "{word}"'
    near = nearest(word, known)
    if near:
        return LookupFailed(message, f"did you mean {spell((*above, near, *path[depth + 1 :]))}?")
    if above:
        has = f"it has {', '.join(known[:10])}" if known else "it is a single value"
        return LookupFailed(message, has)
    return LookupFailed(
        message,
        f"give it in vars or in the {PARAMS_FILE} beside this file; "
        rf"for a variable of the shell write \{spell(path)}",
    )


def _child(value: Any, word: str) -> tuple[Any] | None:
    """Return a part of a map or a list; a 1-tuple, since None may be a value."""
    if isinstance(value, dict):
        return (value[word],) if word in value else None
    if isinstance(value, list):
        digits = word.removeprefix("-")
        if digits.isascii() and digits.isdigit() and len(digits) < 10:
            index = int(word)
            return (value[index],) if -len(value) <= index < len(value) else None
    return None


def _clashes(
    old: dict[str, Any], new: dict[str, Any], above: tuple[str, ...]
) -> Iterator[tuple[str, ...]]:
    """Yield the names that both give; maps are looked into."""
    for key, value in new.items():
        if key not in old:
            continue
        if isinstance(value, dict) and isinstance(old[key], dict):
            yield from _clashes(old[key], value, (*above, key))
        else:
            yield (*above, key)


def _merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    merged = dict(old)
    for key, value in new.items():
        known = merged.get(key)
        if isinstance(known, dict) and isinstance(value, dict):
            value = _merged(known, value)
        merged[key] = value
    return merged


# --- loading ------------------------------------------------------------------------------------


class Source:
    """Reads the files that the `vars` of one mlx.yaml name, each once; remembers which."""

    def __init__(self, file: RepoPath, read: Read):
        self.file = file
        self.paths: list[RepoPath] = []
        self._read = read
        self._values: dict[RepoPath, dict[str, Any] | None] = {}

    def default(self) -> Variables:
        """Return what the params.yaml beside the file gives; nothing when there is none."""
        path = join(parent(self.file), PARAMS_FILE)
        values = self._load(path, Where(path, 1))
        return (
            Variables.none().plus(Layer(path, values), Where(path, 1))
            if values
            else Variables.none()
        )

    def load(self, variables: Variables, node: Node | None, owner: str) -> Variables:
        """Add what a `vars` list gives.

        Raises:
            InputError: for a file that is not there, a name that is given twice, and what is no
                list of files and maps.
        """
        if node is None:
            return variables
        if node.kind != "list":
            raise InputError(
                f"{owner} must be a list of files and maps, not {_kind(node)}",
                hint='begin each line with "- "',
                where=node.where,
            )
        for item in node.value:
            _refuse_holes(item)
            if item.kind == "map":
                layer = Layer(f"{owner} in line {item.where.line}", plain(item))
            elif item.kind == "scalar" and isinstance(item.value, str):
                loaded = self._file_layer(item)
                if any(known.source == loaded.source for known in variables.layers):
                    continue  # the same file once more, as in DVC
                layer = loaded
            else:
                raise InputError(
                    f"an item of {owner} must be a file or a map, not {_kind(item)}",
                    where=item.where,
                )
            variables = variables.plus(layer, item.where)
        return variables

    def _file_layer(self, node: Node) -> Layer:
        """Read `file`, or `file:key,key`."""
        name, _, listed = node.text.partition(":")
        path = value_file_of(node._replace(text=name), parent(self.file), PARAMS_FORMATS)
        values = self._load(path, node.where)
        if values is None:
            raise InputError(
                f'there is no file "{display(path)}"',
                hint=f"paths are relative to the folder of {self.file}, whatever wdir is",
                where=node.where,
            )
        if not listed:
            return Layer(path, values)
        keys = [key.strip() for key in listed.split(",") if key.strip()]
        for key in keys:
            if key not in values:
                raise InputError(
                    f'no key "{key}" in {display(path)}',
                    hint=did_you_mean(key, values),
                    where=node.where,
                )
        return Layer(f"{path}:{','.join(keys)}", {key: values[key] for key in keys})

    def _load(self, path: RepoPath, where: Where) -> dict[str, Any] | None:
        if path not in self._values:
            self.paths.append(path)
            data = self._read(path)
            self._values[path] = None if data is None else _values(data, path, where)
        return self._values[path]


def _values(data: bytes, path: RepoPath, where: Where) -> dict[str, Any]:
    from mlxrepo.values import read_values

    values = _settled(read_values(data, path))
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise InputError(
            f"{display(path)} must be a map of names, not a {type(values).__name__}", where=where
        )
    return values


def _settled(value: Any) -> Any:
    """Return values with YAML read as 1.2, as mlx.yaml itself is, and times as text."""
    if isinstance(value, Reading):
        return value.yaml12
    if isinstance(value, dict):
        return {str(key): _settled(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_settled(item) for item in value]
    return str(value) if hasattr(value, "isoformat") else value


def _refuse_holes(node: Node) -> None:
    """Refuse `${…}` in `vars`: what a name stands for must not depend on the order of names."""
    if node.kind == "scalar":
        try:
            found = isinstance(node.value, str) and has_hole(node.text)
        except TemplateError:
            found = True
        if found:
            raise InputError(
                "${…} is not filled in inside vars",
                hint="write the value itself",
                where=node.where,
            )
    elif node.kind == "map":
        for key, value in node.value:
            _refuse_holes(key)
            _refuse_holes(value)
    else:
        for item in node.value:
            _refuse_holes(item)


def _kind(node: Node) -> str:
    if node.kind != "scalar":
        return f"a {node.kind}"
    return "empty" if node.value is None else node.text[:60]
