"""Collecting what a command made: outs into the store, metrics as numbers."""

from __future__ import annotations

from typing import Any

from mlxrepo.errors import MlxError, StageFailed
from mlxrepo.nearest import nearest
from mlxrepo.paths import RepoPath, display
from mlxrepo.pipeline.actioncache import Result
from mlxrepo.pipeline.inputs import neighbours
from mlxrepo.repo.lockfile import Output
from mlxrepo.repo.repo import Repo
from mlxrepo.repo.stage import Out, Stage
from mlxrepo.store.objects import Batch
from mlxrepo.store.snapshot import Scan


def collect(repo: Repo, batch: Batch, stage: Stage, made: dict[str, str]) -> Result:
    """Put the outs of a stage that just ran into a batch; they are stored when it is published.

    Raises:
        StageFailed: when an out is missing, or is nothing that can be kept.
    """
    scan = repo.scan(batch=batch)
    outs = tuple(_collect_one(repo, scan, stage, out) for out in stage.outs)
    metrics: dict[str, dict[str, Any]] = {
        out.path: read_numbers(repo, out.path)
        for out in outs
        if out.kind == "metric" and out.entry.kind != "tree"
    }
    return Result(outs, metrics, made)


def _collect_one(repo: Repo, scan: Scan, stage: Stage, out: Out) -> Output:
    try:
        entry = scan.entry(out.path)
    except MlxError as error:
        raise StageFailed(
            f"stage {stage.address} made what cannot be kept: {error.message}",
            hint=error.hint,
            where=out.where,
        ) from None
    if entry is None:
        near = nearest(out.path, neighbours(repo, out.path), 0.7)
        raise StageFailed(
            f'stage {stage.address} ended well but did not make "{display(out.path)}"',
            hint=f"there is {display(near)}: did you mean that?"
            if near
            else "let the command write it, or take it out of the stage; paths are relative to "
            "the folder of mlx.yaml",
            where=out.where,
        )
    return Output(out.path, out.kind, out.cache, entry)


def read_numbers(repo: Repo, path: RepoPath) -> dict[str, Any]:
    """Return the numbers of a metrics file by dotted name, fit for the lockfile.

    Raises:
        StageFailed: when the file cannot be read as JSON, YAML or TOML.
    """
    try:
        return numbers_of(repo.read(path), path)
    except MlxError as error:
        raise StageFailed(
            f"the metrics file {display(path)} cannot be read: {error.message}",
            hint=error.hint,
            where=error.where,
        ) from None


def numbers_of(data: bytes, path: RepoPath) -> dict[str, Any]:
    """Return the numbers of what a metrics file holds, fit for the lockfile.

    Raises:
        InputError: when it is not JSON, YAML or TOML, as `path` says.
    """
    from mlxrepo.values import encode, numbers, read_values

    return {name: encode(value) for name, value in numbers(read_values(data, path)).items()}
