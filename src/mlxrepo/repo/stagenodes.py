"""From the nodes of a stage, filled in and found right, to its value."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from typing import Any

from mlxrepo.errors import InputError, Where
from mlxrepo.globs import matches
from mlxrepo.paths import RepoPath, display, is_inside, join, name_of, parent
from mlxrepo.repo.layout import PARAMS_FILE
from mlxrepo.repo.nodes import (
    fields_of,
    folder_of,
    is_empty,
    items_of,
    pairs_of,
    path_of,
    text_of,
    value_file_of,
)
from mlxrepo.repo.stage import NOTHING, SIGN, Dep, Out, ParamRef, Resources, Stage
from mlxrepo.values import PARAMS_FORMATS
from mlxrepo.yamlfile import Node, plain

# What git and mlx read to know the repository: no stage may write it.
OWN_FILES = ("mlx.yaml", "mlx.lock", ".mlxignore", ".gitignore", ".gitattributes")

_SECTIONS = (("outs", "out"), ("metrics", "metric"), ("plots", "plot"))
_KEEPING = ("cache", "persist", "push", "remote")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def stage_of(key: Node, fields: dict[str, Node], file: RepoPath, shell: str | None) -> Stage:
    """Return the stage that `key` names; `shell` is the one of its file.

    Raises:
        InputError: for what the table of keys cannot tell: paths, amounts, contradictions.
    """
    folder = parent(file)
    base, made, _ = key.text.partition(SIGN)
    stage = Stage(
        name=key.text,
        file=file,
        cmd=_commands(key, fields["cmd"]),
        wdir=folder_of(fields["wdir"], folder) if "wdir" in fields else folder,
        deps=tuple(Dep(path_of(node, folder), node.where) for node in items_of(fields.get("deps"))),
        params=tuple(_params(fields.get("params"), folder)),
        outs=tuple(_outs(fields, folder)),
        desc=text_of(fields.get("desc")),
        where=key.where,
        base=base if made else "",
        shell=_shell(fields.get("shell")) or shell,
        env=names_of(fields.get("env"), "environment variable"),
        frozen=_flag(fields, "frozen", False),
        always_changed=_flag(fields, "always_changed", False),
        timeout=_seconds(fields.get("timeout")),
        retries=fields["retries"].value if "retries" in fields else 0,
        resources=_resources(fields["resources"]) if "resources" in fields else NOTHING,
        meta=plain(fields.get("meta")),
    )
    _check(stage)
    return stage


def shell_of(node: Node | None) -> str | None:
    """Return the name or path of a shell.

    Raises:
        InputError: when it is empty, or a command with arguments.
    """
    return _shell(node)


def _shell(node: Node | None) -> str | None:
    text = text_of(node)
    if node is not None and text is not None and (not text or text != text.strip() or " " in text):
        raise InputError(
            f'"{text}" is no shell',
            hint="write its name or its path, such as bash or /bin/zsh, without arguments",
            where=node.where,
        )
    return text


def names_of(node: Node | None, noun: str) -> tuple[str, ...]:
    """Return a list of names, each given once.

    Raises:
        InputError: for the first that is given twice.
    """
    items = items_of(node)
    refuse_twice(((item.text, item.where) for item in items), noun)
    return tuple(item.text for item in items)


def refuse_twice(items: Iterable[tuple[str, Where]], noun: str) -> None:
    """Refuse a name that is listed twice.

    Raises:
        InputError: for the first one.
    """
    seen: dict[str, Where] = {}
    for name, where in items:
        first = seen.setdefault(name, where)
        if first is not where:
            raise InputError(
                f'the {noun} "{name}" is listed twice; first in line {first.line}', where=where
            )


# --- checks ---------------------------------------------------------------------------------------


def _check(stage: Stage) -> None:
    refuse_twice(((dep.path, dep.where) for dep in stage.deps), "dep")
    refuse_twice(
        ((f"{ref.file}:{ref.key}" if ref.key else ref.file, ref.where) for ref in stage.params),
        "param",
    )
    for out in stage.outs:
        own = stage.file if is_inside(stage.file, out.path) else out.path
        if name_of(own) in OWN_FILES:
            raise InputError(
                f'the out "{out.path}" would replace {own}',
                hint="let the stage write somewhere else",
                where=out.where,
            )
        for dep in stage.deps:
            if _touches(dep, out):
                _refuse_own_dep(stage, dep, out)


def _touches(dep: Dep, out: Out) -> bool:
    if dep.glob and matches(out.path, dep.path):
        return True
    return is_inside(dep.path, out.path) or is_inside(out.path, dep.path)


def _refuse_own_dep(stage: Stage, dep: Dep, out: Out) -> None:
    same = dep.path == out.path
    relation = "is" if same else ("lies in" if is_inside(dep.path, out.path) else "holds")
    raise InputError(
        f'the dep "{dep.path}" of stage "{stage.name}" {relation} its own out'
        + ("" if same else f' "{out.path}"')
        + f" (line {out.where.line})",
        hint="a stage cannot read what it writes: name deps and outs that lie apart",
        where=dep.where,
    )


# --- commands, params, outs ---------------------------------------------------------------------


def _commands(key: Node, node: Node) -> tuple[str, ...]:
    items = items_of(node)
    for item in items:
        if not split_commands(item.text):
            raise InputError(
                f'stage "{key.text}" has an empty cmd',
                hint="write the command that the stage runs",
                where=item.where,
            )
    return tuple(command for item in items for command in split_commands(item.text))


def split_commands(text: str) -> list[str]:
    """Return the commands of a `cmd` text: one a line, without empty and `#` lines.

    A line that ends in a backslash goes on in the next; the shell gets both.
    """
    commands: list[str] = []
    continued = False
    for line in text.split("\n"):
        if continued:
            commands[-1] += "\n" + line
        elif line.strip() and not line.lstrip().startswith("#"):
            commands.append(line.strip())
        else:
            continue
        backslashes = len(line) - len(line.rstrip("\\"))
        continued = backslashes % 2 == 1  # two of them are one that is escaped
    return commands


def _params(node: Node | None, folder: RepoPath) -> Iterator[ParamRef]:
    for item in items_of(node):
        if item.kind == "scalar":
            yield ParamRef(join(folder, PARAMS_FILE), _param_key(item), item.where)
        for file, keys in pairs_of(item):
            path = value_file_of(file, folder, PARAMS_FORMATS)
            if is_empty(keys):
                yield ParamRef(path, None, file.where)
            yield from (ParamRef(path, _param_key(key), key.where) for key in items_of(keys))


def _param_key(node: Node) -> str:
    if not node.text:
        raise InputError("an empty param key", where=node.where)
    return node.text


def _outs(fields: dict[str, Node], folder: RepoPath) -> Iterator[Out]:
    for section, kind in _SECTIONS:
        for item in items_of(fields.get(section)):
            pairs = pairs_of(item) if item.kind == "map" else [(item, None)]
            for name, options in pairs:
                yield _out(name, fields_of(options), kind, folder)


def _out(name: Node, options: dict[str, Node], kind: str, folder: RepoPath) -> Out:
    path = value_file_of(name, folder) if kind == "metric" else path_of(name, folder)
    if "*" in path or "?" in path:
        raise InputError(
            f'the {kind} "{display(path)}" is a pattern; what a stage writes has to have a name',
            hint="name the files one by one, or the folder that holds them",
            where=name.where,
        )
    keys = [(key, plain(node)) for key, node in options.items() if key not in _KEEPING]
    return Out(
        path,
        kind,
        _flag(options, "cache", kind == "out"),
        name.where,
        _flag(options, "persist", False),
        _flag(options, "push", True),
        text_of(options.get("remote")),
        tuple(keys),
    )


def _flag(fields: dict[str, Node], key: str, default: bool) -> bool:
    return fields[key].value if key in fields else default


# --- amounts --------------------------------------------------------------------------------------


def _seconds(node: Node | None) -> float | None:
    if node is None:
        return None
    if isinstance(node.value, str):
        seconds = float(node.text[:-1]) * _SECONDS[node.text[-1]]
    else:
        seconds = float(node.value)
    if not 0 < seconds < math.inf:
        raise InputError(
            f"a timeout of {node.text} would stop every run",
            hint="give it more than 0 seconds, or take it out",
            where=node.where,
        )
    return seconds


def _resources(node: Node) -> Resources:
    counters: list[tuple[str, float]] = []
    mutexes: tuple[str, ...] = ()
    gpus = 0
    for key, value in pairs_of(node):
        if key.text == "mutex":
            mutexes = names_of(value, "mutex")
        elif key.text == "gpu":
            gpus = value.value
        else:
            amount = _bytes(value) if isinstance(value.value, str) else value.value
            if not math.isfinite(amount):
                raise InputError(f"{value.text} of {key.text} is no amount", where=value.where)
            counters.append((key.text, amount))
    return Resources(tuple(sorted(counters)), tuple(sorted(mutexes)), gpus)


def _bytes(node: Node) -> float:
    """Return a size in bytes: `8GB` is 8 * 1000**3, `8GiB` is 8 * 1024**3."""
    number, unit = re.fullmatch(r"([\d.]+) ?(.*)", node.text).groups()  # type: ignore[union-attr]
    thousand = 1024 if "i" in unit else 1000
    return float(float(number) * thousand ** _POWERS[unit[:1].lower().strip("b")])


def given(fields: dict[str, Node]) -> tuple[tuple[str, Any], ...]:
    """Return keys and values as they are given."""
    return tuple((name, plain(node)) for name, node in fields.items())
