"""From the text of one mlx.yaml to what it declares; pure: text in, `ProjectFile` out.

The one thing that is asked for on the way are the files that its templates name.
"""

from __future__ import annotations

import contextlib
import gc
import math
from collections.abc import Iterable, Iterator
from itertools import pairwise

from mlxrepo.errors import InputError
from mlxrepo.paths import RepoPath, display, is_inside, parent
from mlxrepo.repo.expand import expand
from mlxrepo.repo.nodes import fields_of, items_of, pairs_of, path_of, text_of, value_file_of
from mlxrepo.repo.stage import (
    KINDS,
    NOUNS,
    Artifact,
    DeclaredRemote,
    Drawn,
    Environment,
    Goal,
    Out,
    ProjectFile,
    Read,
    Stage,
)
from mlxrepo.repo.stagenodes import given, names_of, refuse_twice, shell_of, stage_of
from mlxrepo.repo.validate import validate
from mlxrepo.values import PARAMS_FORMATS
from mlxrepo.yamlfile import Node, read


def parse_project(data: bytes, path: RepoPath, read_file: Read) -> ProjectFile:
    """Parse the mlx.yaml that lies at `path`, strictly; `read_file` gives the files it names.

    Raises:
        InputError: for the first thing that is wrong in it, with file, line and column.
    """
    with _without_collection():
        return _parse(data, path, read_file)


@contextlib.contextmanager
def _without_collection() -> Iterator[None]:
    """Keep Python from looking for garbage among a million values of which none is.

    It would look again each time that there are a quarter more: a third of the time.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _parse(data: bytes, path: RepoPath, read_file: Read) -> ProjectFile:
    root, asked = expand(read(data, path), path, read_file)
    validate(root, path)
    sections = fields_of(root)
    folder = parent(path)
    shell = shell_of(sections.get("shell"))
    artifacts = tuple(_artifacts(sections, folder))
    stages = tuple(
        stage_of(key, fields_of(body), path, shell)
        for key, body in pairs_of(sections.get("stages"))
    )
    _refuse_same_artifacts(artifacts)
    _refuse_overlaps([(stage, out) for stage in stages for out in stage.outs])
    plots, drawn = _plots(sections.get("plots"), folder)
    return ProjectFile(
        path,
        artifacts,
        stages,
        params=tuple(
            value_file_of(node, folder, PARAMS_FORMATS) for node in items_of(sections.get("params"))
        ),
        metrics=tuple(value_file_of(node, folder) for node in items_of(sections.get("metrics"))),
        plots=plots,
        environment=_environment(sections.get("environment"), folder),
        read=asked,
        drawn=drawn,
        remotes=tuple(
            DeclaredRemote(key.text, given(fields_of(body)), key.where)
            for key, body in pairs_of(sections.get("remotes"))
        ),
        goals=tuple(_goals(sections.get("goals"), folder)),
    )


# --- artifacts ----------------------------------------------------------------------------------


def _artifacts(sections: dict[str, Node], folder: RepoPath) -> Iterator[Artifact]:
    for section, kind in KINDS.items():
        for key, body in pairs_of(sections.get(section)):
            fields = fields_of(body)
            path = path_of(fields.pop("path"), folder)
            desc = text_of(fields.pop("desc", None))
            yield Artifact(kind, key.text, path, desc, given(fields), key.where)


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


def _refuse_overlaps(outs: list[tuple[Stage, Out]]) -> None:
    """Refuse an out that is given twice or lies inside another.

    Sorted by parts, a folder stands directly before what lies in it.
    """
    ordered = sorted(outs, key=lambda pair: pair[1].path.split("/"))
    for (outer_stage, outer), (stage, out) in pairwise(ordered):
        if not is_inside(out.path, outer.path):
            continue
        relation = "is also" if out.path == outer.path else f'lies inside "{outer.path}",'
        same = bool(stage.base) and stage.base == outer_stage.base
        raise InputError(
            f'the {out.kind} "{out.path}" of stage "{stage.name}" {relation} '
            f'the {outer.kind} of stage "{outer_stage.name}" (line {outer.where.line})',
            hint="give each item a path of its own, such as models/${item}.pkl"
            if same
            else "one path is written by one stage, once: remove one of the two",
            where=out.where,
        )


# --- plots, goals, environment --------------------------------------------------------------------


def _plots(node: Node | None, folder: RepoPath) -> tuple[tuple[RepoPath, ...], tuple[Drawn, ...]]:
    """Return the files that plots are drawn from, and the plots."""
    paths: list[RepoPath] = []
    drawn: list[Drawn] = []
    for item in items_of(node):
        for name, body in pairs_of(item) if item.kind == "map" else [(item, None)]:
            fields = fields_of(body)
            named = [file for key in ("x", "y") for file, _ in pairs_of(fields.get(key))]
            paths += [path_of(file, folder) for file in named or [name]]
            drawn.append(Drawn(name.text, given(fields), name.where))
    return tuple(dict.fromkeys(paths)), tuple(drawn)


def _goals(node: Node | None, folder: RepoPath) -> Iterator[Goal]:
    for key, body in pairs_of(node):
        fields = fields_of(body)
        if "better" not in fields:
            raise InputError(
                f'the goal "{display(key.text)}" does not say which way is better',
                hint="add better: higher, or better: lower",
                where=key.where,
            )
        file, _, name = key.text.rpartition(":")
        path = value_file_of(key._replace(text=file), folder) if file else None
        tolerance = fields["tolerance"].value if "tolerance" in fields else 0
        if not name or not math.isfinite(tolerance):
            reason = "names no metric" if not name else "has a tolerance that is no amount"
            raise InputError(f'the goal "{display(key.text)}" {reason}', where=key.where)
        yield Goal(name, path, fields["better"].text, tolerance, key.where)


def _environment(node: Node | None, folder: RepoPath) -> Environment | None:
    if node is None:
        return None
    fields = fields_of(node)
    files = [(path_of(item, folder), item.where) for item in items_of(fields.get("files"))]
    refuse_twice(((display(path), where) for path, where in files), "file")
    return Environment(
        tuple(path for path, _ in files),
        "interpreter" in fields,
        names_of(fields.get("variables"), "variable"),
    )
