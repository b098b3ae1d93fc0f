"""Paths that follow something that was moved, in an mlx.yaml: at the parser's marks."""

from __future__ import annotations

import os
from collections.abc import Iterator

from mlxrepo.errors import InputError
from mlxrepo.paths import RepoPath, is_inside, parent, relative
from mlxrepo.repo.grammar import DRAWN, OUTS, PARAMS, PATH, PATHS, PLOTS, TABLE, Key
from mlxrepo.yamlfile import Node, read

_NAMES_PATHS = (PATH, PATHS, OUTS, PLOTS, DRAWN, PARAMS)


def relocated(path: RepoPath, old: RepoPath, new: RepoPath) -> RepoPath:
    """Return where `path` is after `old` was moved to `new`."""
    return RepoPath(new + path[len(old) :]) if is_inside(path, old) else path


def rewrite_paths(text: str, file: RepoPath, old: RepoPath, new: RepoPath) -> str:
    """Return the text of the mlx.yaml at `file` with every path at or below `old` moved to `new`.

    Everything else stays as it is written. Done twice it changes nothing more.

    Raises:
        InputError: when one of the paths is written so that it cannot be edited in place.
    """
    from mlxrepo.yamledit import replace_scalars

    changed = replace_scalars(text, lambda root: _moved(root, file, old, new), file)
    left = next(_moved(read(changed.encode(), file), file, old, new), None)
    if left is not None:
        raise InputError(
            f'"{left[0].text}" comes from an anchor here, so mlx cannot edit it in place',
            hint=f"write the path out in {file}, then again",
            where=left[0].where,
        )
    return changed


def _moved(
    root: Node | None, file: RepoPath, old: RepoPath, new: RepoPath
) -> Iterator[tuple[Node, str]]:
    """Yield the nodes that name `old` or something in it, each with what it should say."""
    folder = parent(file)
    for node in _path_nodes(root):
        try:
            path = relative(node.text, folder)
        except InputError:  # no path after all: the keys of later commands are not checked here
            continue
        if is_inside(path, old):
            yield node, written(relocated(path, old, new), folder)


def written(path: RepoPath, folder: RepoPath) -> str:
    """Return `path` as an mlx.yaml in `folder` names it."""
    text = os.path.relpath(path, folder or ".")
    return f"./{text}" if text.startswith("~") else text


def _path_nodes(root: Node | None) -> Iterator[Node]:
    """Yield every node that names a path, as the schema says where those are."""
    for item in TABLE:
        value = _child(root, item.name)
        if isinstance(item, Key):
            yield from _paths(item, value)
            continue
        for _, body in value.value if value and value.kind == "map" else ():
            for part in (body, _child(body, "do")):
                for key in item.keys:
                    yield from _paths(key, _child(part, key.name))


def _paths(key: Key, value: Node | None) -> Iterator[Node]:
    """Yield the paths of one key's value: alone, in a list, or with options."""
    if value is None or not any(key.shape is shape for shape in _NAMES_PATHS):
        return
    for item in value.value if value.kind == "list" else [value]:
        if item.kind == "map":
            yield from (name for name, _ in item.value)
        elif key.shape is not PARAMS:
            yield item


def _child(node: Node | None, name: str) -> Node | None:
    pairs = node.value if node and node.kind == "map" else ()
    return next((value for key, value in pairs if key.text == name), None)
