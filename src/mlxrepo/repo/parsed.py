"""Project files as they were parsed last, so that an unchanged mlx.yaml is not parsed again.

A memo in the stat cache holds what the file declares, under a fingerprint of its bytes and of the
files that its templates asked for. It is JSON, positional, and thrown away on any doubt.
"""

from __future__ import annotations

import json
from typing import Any

from mlxrepo import __version__
from mlxrepo.errors import Where
from mlxrepo.hashing import fingerprint
from mlxrepo.paths import RepoPath
from mlxrepo.repo.stage import (
    Artifact,
    DeclaredRemote,
    Dep,
    Drawn,
    Environment,
    Goal,
    Out,
    ParamRef,
    ProjectFile,
    Read,
    Resources,
    Stage,
)

# Another mlx may read the same text in another way, or have other fields.
SHAPE = "\n".join(
    [__version__]
    + [name for kind in (Stage, ProjectFile, Artifact, Out, Drawn) for name in kind._fields]
)

Row = list[Any]


def dump(project: ProjectFile, data: bytes, read: Read) -> bytes:
    """Return the memo of a project file that was parsed from `data`."""
    value = [
        _print(data),
        [[path, _print(read(path))] for path in project.read],
        _from_project(project),
    ]
    return json.dumps(value, separators=(",", ":")).encode()


def load(memo: bytes, path: RepoPath, data: bytes, read: Read) -> ProjectFile | None:
    """Return what `data`, the project file at `path`, declares; None when the memo is of another.

    `read` gives the files that its templates name, as they are now.
    """
    try:
        print_, asked, row = json.loads(memo)
        if print_ != _print(data) or any(_print(read(RepoPath(p))) != was for p, was in asked):
            return None
        return _to_project(row, path)
    except (ValueError, TypeError, IndexError):
        return None


def _print(data: bytes | None) -> str:
    return "" if data is None else fingerprint(SHAPE.encode() + data).hex()


# to rows


def _from_project(project: ProjectFile) -> Row:
    return [
        [_from_artifact(artifact, project.path) for artifact in project.artifacts],
        [_from_stage(stage, project.path) for stage in project.stages],
        project.params,
        project.metrics,
        project.plots,
        project.environment,
        project.read,
        [[d.name, d.keys, _place(d.where, project.path)] for d in project.drawn],
        [[r.name, r.keys, _place(r.where, project.path)] for r in project.remotes],
        [[*goal[:-1], _place(goal.where, project.path)] for goal in project.goals],
    ]


def _from_artifact(item: Artifact, file: RepoPath) -> Row:
    return [item.kind, item.name, item.path, item.desc, item.keys, _place(item.where, file)]


def _from_stage(stage: Stage, file: RepoPath) -> Row:
    return [
        stage.name,
        stage.cmd,
        stage.wdir,
        [[dep.path, _place(dep.where, file)] for dep in stage.deps],
        [[ref.file, ref.key, _place(ref.where, file)] for ref in stage.params],
        [[*out[:3], _place(out.where, file), *out[4:]] for out in stage.outs],
        stage.desc,
        _place(stage.where, file),
        stage.base,
        stage.shell,
        stage.env,
        stage.frozen,
        stage.always_changed,
        stage.timeout,
        stage.retries,
        stage.resources,
        stage.meta,
    ]


def _place(where: Where, file: RepoPath) -> Row:
    """Return a place; the file is named only where a template took the text from another one."""
    return [where.line, where.col] if where.file == file else [where.line, where.col, where.file]


# from rows


def _to_project(row: Row, path: RepoPath) -> ProjectFile:
    artifacts, stages, params, metrics, plots, environment, read, drawn, remotes, goals = row
    return ProjectFile(
        path,
        tuple(_to_artifact(item, path) for item in artifacts),
        tuple(_to_stage(item, path) for item in stages),
        tuple(params),
        tuple(metrics),
        tuple(plots),
        _to_environment(environment) if environment else None,
        tuple(read),
        tuple(Drawn(name, _pairs(keys), _where(at, path)) for name, keys, at in drawn),
        tuple(DeclaredRemote(name, _pairs(keys), _where(at, path)) for name, keys, at in remotes),
        tuple(Goal(n, f, b, t, _where(at, path)) for n, f, b, t, at in goals),
    )


def _to_artifact(row: Row, file: RepoPath) -> Artifact:
    kind, name, path, desc, keys, place = row
    return Artifact(kind, name, path, desc, _pairs(keys), _where(place, file))


def _to_stage(row: Row, file: RepoPath) -> Stage:
    name, cmd, wdir, deps, params, outs, desc, place, base, shell, env, *rest = row
    frozen, always_changed, timeout, retries, resources, meta = rest
    counters, mutexes, gpus = resources
    return Stage(
        name,
        file,
        tuple(cmd),
        wdir,
        tuple([Dep(path, _where(at, file)) for path, at in deps]),
        tuple([ParamRef(values, key, _where(at, file)) for values, key, at in params]),
        tuple([_to_out(item, file) for item in outs]),
        desc,
        _where(place, file),
        base,
        shell,
        tuple(env),
        frozen,
        always_changed,
        timeout,
        retries,
        Resources(_pairs(counters), tuple(mutexes), gpus),
        meta,
    )


def _to_out(row: Row, file: RepoPath) -> Out:
    path, kind, cache, place, persist, push, remote, keys = row
    return Out(path, kind, cache, _where(place, file), persist, push, remote, _pairs(keys))


def _to_environment(row: Row) -> Environment:
    files, interpreter, variables = row
    return Environment(tuple(files), interpreter, tuple(variables))


def _pairs(rows: list[Row]) -> tuple[tuple[Any, Any], ...]:
    return tuple([(name, value) for name, value in rows])


def _where(place: Row, file: RepoPath) -> Where:
    line, col, *other = place
    return Where(other[0] if other else file, line, col)
