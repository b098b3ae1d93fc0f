"""What one mlx.yaml declares, as values; pure: text in, `ProjectFile` out, no file is touched."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

from mlxrepo.errors import InputError, Where
from mlxrepo.paths import ROOT, RepoPath, is_inside, join, name_of, parent, relative
from mlxrepo.repo.schema import check_name as check_name
from mlxrepo.repo.validate import validate
from mlxrepo.values import check_extension
from mlxrepo.yamlfile import Node, plain, read

PROJECT_FILE = "mlx.yaml"
PARAMS_FILE = "params.yaml"
# What git and mlx read to know the repository: no stage may write it.
OWN_FILES = (PROJECT_FILE, "mlx.lock", ".mlxignore", ".gitignore", ".gitattributes")
KINDS = {"datasets": "data", "features": "feature", "models": "model"}
NOUNS = {"data": "dataset", "feature": "feature set", "model": "model"}


@dataclass(frozen=True, slots=True)
class Artifact:
    """An entry of `datasets`, `features` or `models`; `kind` is data, feature or model."""

    kind: str
    name: str
    path: RepoPath
    desc: str | None
    keys: tuple[tuple[str, Any], ...]  # the other keys, as given
    where: Where


class ParamRef(NamedTuple):
    """A value that a stage reads: `key` of `file`, or the whole file when `key` is None."""

    file: RepoPath
    key: str | None
    where: Where


class Dep(NamedTuple):
    """A path that a stage reads."""

    path: RepoPath
    where: Where


class Out(NamedTuple):
    """A path that a stage writes; `kind` is out, metric or plot; `cache`: git ignores it.

    `persist`: what is there before a run stays in place for the command to go on with.
    """

    path: RepoPath
    kind: str
    cache: bool
    where: Where
    persist: bool = False
    push: bool = True
    remote: str | None = None
    keys: tuple[tuple[str, Any], ...] = ()  # desc, type, labels, meta: as given


class Resources(NamedTuple):
    """What a stage takes while it runs; `counters` by name, in units (bytes for `mem`).

    `gpus` is how many of the caller's devices it gets for itself.
    """

    counters: tuple[tuple[str, float], ...] = ()
    mutexes: tuple[str, ...] = ()
    gpus: int = 0


@dataclass(frozen=True, slots=True)
class Stage:
    """A declared command with what it reads and writes."""

    name: str
    file: RepoPath  # the mlx.yaml that declares it
    cmd: tuple[str, ...]
    wdir: RepoPath
    deps: tuple[Dep, ...]
    params: tuple[ParamRef, ...]
    outs: tuple[Out, ...]  # outs, metrics and plots together
    desc: str | None
    where: Where
    base: str = ""  # the name without `@item`, when the stage is one of a foreach or matrix
    shell: str | None = None  # the program that runs the commands; None: the user's $SHELL
    env: tuple[str, ...] = ()  # names of environment variables that are inputs
    frozen: bool = False
    always_changed: bool = False
    timeout: float | None = None  # seconds
    retries: int = 0
    resources: Resources = Resources()
    meta: Any = None

    @property
    def address(self) -> str:
        """How the stage is named in the whole repository: `train`, or `sub/mlx.yaml:train`."""
        return self.name if self.file == PROJECT_FILE else f"{self.file}:{self.name}"


class Environment(NamedTuple):
    """What every stage of a file depends on besides its own inputs."""

    files: tuple[RepoPath, ...] = ()  # lock files such as uv.lock
    interpreter: bool = False  # the implementation and major.minor of the `python` on the PATH
    variables: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ProjectFile:
    """All that one mlx.yaml declares."""

    path: RepoPath
    artifacts: tuple[Artifact, ...]
    stages: tuple[Stage, ...]
    params: tuple[RepoPath, ...]
    metrics: tuple[RepoPath, ...]
    plots: tuple[RepoPath, ...]
    environment: Environment | None = None


def parse_project(data: bytes, path: RepoPath) -> ProjectFile:
    """Parse the mlx.yaml that lies at `path`, strictly.

    Raises:
        InputError: for the first thing that is wrong in it, with file, line and column.
    """
    root = read(data, path)
    validate(root, path)
    sections = _map(root)
    folder = parent(path)
    artifacts = tuple(_artifacts(sections, folder))
    stages = tuple(_stage(key, _map(body), path) for key, body in _entries(sections.get("stages")))
    _refuse_same_artifacts(artifacts)
    _refuse_overlaps([(stage, out) for stage in stages for out in stage.outs])
    return ProjectFile(
        path,
        artifacts,
        stages,
        params=_value_files(sections.get("params"), folder),
        metrics=_value_files(sections.get("metrics"), folder),
        plots=tuple(_path(node, folder) for node in _list(sections.get("plots"))),
    )


# --- artifacts ----------------------------------------------------------------------------------


def _artifacts(sections: dict[str, Node], folder: RepoPath) -> Iterator[Artifact]:
    for section, kind in KINDS.items():
        for key, body in _entries(sections.get(section)):
            fields = _map(body)
            path = _path(fields.pop("path"), folder)
            desc = _text(fields.pop("desc", None))
            others = tuple((name, plain(node)) for name, node in fields.items())
            yield Artifact(kind, key.text, path, desc, others, key.where)


def _refuse_same_artifacts(artifacts: Iterable[Artifact]) -> None:
    names: dict[str, Artifact] = {}
    paths: dict[RepoPath, Artifact] = {}
    for artifact in artifacts:
        first = names.setdefault(artifact.name, artifact)
        if first is not artifact:
            raise InputError(
                f'the name "{artifact.name}" is given twice: to a {NOUNS[first.kind]} in line '
                f"{first.where.line} and to a {NOUNS[artifact.kind]}",
                hint="names of datasets, features and models are unique together",
                where=artifact.where,
            )
        first = paths.setdefault(artifact.path, artifact)
        if first is not artifact:
            raise InputError(
                f'"{artifact.name}" and "{first.name}" (line {first.where.line}) are both at '
                f'"{artifact.path}"',
                hint="remove one of the two",
                where=artifact.where,
            )


# --- stages -------------------------------------------------------------------------------------


def _stage(key: Node, fields: dict[str, Node], file: RepoPath) -> Stage:
    folder = parent(file)
    stage = Stage(
        name=key.text,
        file=file,
        cmd=_commands(key, fields["cmd"]),
        wdir=_resolve(fields["wdir"], folder) if "wdir" in fields else folder,
        deps=tuple(Dep(_path(node, folder), node.where) for node in _list(fields.get("deps"))),
        params=tuple(_params(fields.get("params"), folder)),
        outs=tuple(_outs(fields, folder)),
        desc=_text(fields.get("desc")),
        where=key.where,
    )
    _check_stage(stage)
    return stage


def _check_stage(stage: Stage) -> None:
    _refuse_twice(((dep.path, dep.where) for dep in stage.deps), "dep")
    _refuse_twice(
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
            if is_inside(dep.path, out.path) or is_inside(out.path, dep.path):
                _refuse_own_dep(stage, dep, out)


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


def _refuse_twice(items: Iterable[tuple[str, Where]], noun: str) -> None:
    seen: dict[str, Where] = {}
    for name, where in items:
        first = seen.setdefault(name, where)
        if first is not where:
            raise InputError(
                f'the {noun} "{name}" is listed twice; first in line {first.line}', where=where
            )


def _refuse_overlaps(outs: list[tuple[Stage, Out]]) -> None:
    """Refuse an out that is given twice or lies inside another.

    Sorted by parts, a folder stands directly before what lies in it.
    """
    ordered = sorted(outs, key=lambda pair: pair[1].path.split("/"))
    for (outer_stage, outer), (stage, out) in pairwise(ordered):
        if not is_inside(out.path, outer.path):
            continue
        relation = "is also" if out.path == outer.path else f'lies inside "{outer.path}",'
        raise InputError(
            f'the {out.kind} "{out.path}" of stage "{stage.name}" {relation} '
            f'the {outer.kind} of stage "{outer_stage.name}" (line {outer.where.line})',
            hint="one path is written by one stage, once: remove one of the two",
            where=out.where,
        )


# --- commands, params, outs ---------------------------------------------------------------------


def _commands(key: Node, node: Node) -> tuple[str, ...]:
    items = _list(node)
    for item in items:
        if not split_commands(item.value):
            raise InputError(
                f'stage "{key.text}" has an empty cmd',
                hint="write the command that the stage runs",
                where=item.where,
            )
    return tuple(command for item in items for command in split_commands(item.value))


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
    for item in _list(node):
        if item.kind == "scalar":
            yield ParamRef(join(folder, PARAMS_FILE), _param_key(item), item.where)
            continue
        file, keys = item.value[0]
        path = _value_file(file, folder)
        if keys.value is None:
            yield ParamRef(path, None, file.where)
        yield from (ParamRef(path, _param_key(key), key.where) for key in _list(keys))


def _param_key(node: Node) -> str:
    if not node.text:
        raise InputError("an empty param key", where=node.where)
    return node.text


def _outs(fields: dict[str, Node], folder: RepoPath) -> Iterator[Out]:
    for section, kind in (("outs", "out"), ("metrics", "metric"), ("plots", "plot")):
        for item in _list(fields.get(section)):
            name, options = item.value[0] if item.kind == "map" else (item, None)
            path = _path(name, folder) if kind != "metric" else _value_file(name, folder)
            cache = _map(options).get("cache")
            yield Out(path, kind, cache.value if cache else kind == "out", name.where)


# --- from nodes to values -----------------------------------------------------------------------


def _map(node: Node | None) -> dict[str, Node]:
    return {key.text: value for key, value in _entries(node)}


def _entries(node: Node | None) -> list[tuple[Node, Node]]:
    return node.value if node and node.kind == "map" else []


def _list(node: Node | None) -> list[Node]:
    """Return the items of a list; a single value is a list of one, nothing is an empty one."""
    if node is None or node.value is None:
        return []
    return node.value if node.kind == "list" else [node]


def _text(node: Node | None) -> str | None:
    return node.value if node else None


def _resolve(node: Node, folder: RepoPath) -> RepoPath:
    if not node.text:
        raise InputError("an empty path", where=node.where)
    try:
        return relative(node.text, folder)
    except InputError as error:
        raise InputError(error.message, hint=error.hint, where=node.where) from None


def _path(node: Node, folder: RepoPath) -> RepoPath:
    path = _resolve(node, folder)
    if path == ROOT:
        raise InputError(f'"{node.text}" is the whole repository', where=node.where)
    return path


def _value_file(node: Node, folder: RepoPath) -> RepoPath:
    path = _path(node, folder)
    check_extension(path, node.where)
    return path


def _value_files(node: Node | None, folder: RepoPath) -> tuple[RepoPath, ...]:
    return tuple(_value_file(item, folder) for item in _list(node))
