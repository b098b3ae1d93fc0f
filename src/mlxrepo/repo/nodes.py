"""Reading the nodes of an mlx.yaml that was found right: maps, lists, texts and paths."""

from __future__ import annotations

import functools

from mlxrepo.errors import InputError
from mlxrepo.paths import ROOT, RepoPath, relative
from mlxrepo.values import FORMATS, check_extension
from mlxrepo.yamlfile import Node

# Styles of nodes that nobody wrote: filled in from a template; the name of a stage that was made.
FILLED, MADE = "$", "@"


def fields_of(node: Node | None) -> dict[str, Node]:
    """Return the values of a map by key; of anything else none."""
    return {key.text: value for key, value in pairs_of(node)}


def pairs_of(node: Node | None) -> list[tuple[Node, Node]]:
    """Return the keys and values of a map; of anything else none."""
    return node.value if node and node.kind == "map" else []


def items_of(node: Node | None) -> list[Node]:
    """Return the items of a list; a single value is a list of one, nothing is an empty one."""
    if node is None or node.value is None:
        return []
    return node.value if node.kind == "list" else [node]


def text_of(node: Node | None) -> str | None:
    """Return a text; a number that a template filled in counts as its text."""
    return node.text if node else None


def is_empty(node: Node) -> bool:
    """Say whether nothing is given here."""
    return node.kind == "scalar" and node.value is None


def folder_of(node: Node, folder: RepoPath) -> RepoPath:
    """Return the path that a node names, which may be the whole repository.

    Raises:
        InputError: when it is empty or leaves the repository.
    """
    if not node.text:
        raise InputError("an empty path", where=node.where)
    try:
        return _relative(node.text, folder)
    except InputError as error:
        raise InputError(error.message, hint=error.hint, where=node.where) from None


def path_of(node: Node, folder: RepoPath) -> RepoPath:
    """Return the path that a node names.

    Raises:
        InputError: when it is empty, leaves the repository, or is all of it.
    """
    path = folder_of(node, folder)
    if path == ROOT:
        raise InputError(f'"{node.text}" is the whole repository', where=node.where)
    return path


def value_file_of(node: Node, folder: RepoPath, formats: tuple[str, ...] = FORMATS) -> RepoPath:
    """Return the path of a file that holds values.

    Raises:
        InputError: when it is no path, or ends in none of `formats`.
    """
    path = path_of(node, folder)
    check_extension(path, node.where, formats=formats)
    return path


# The stages of a matrix name the same few paths again and again.
_relative = functools.lru_cache(maxsize=65536)(relative)
