"""An action: a stage with its inputs resolved, and the key that names it (docs/formats.md)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

from mlxrepo.codec import canonical
from mlxrepo.hashing import ACTION_CONTEXT, Oid, keyed_oid
from mlxrepo.repo.lockfile import Input
from mlxrepo.repo.stage import Stage

FORMAT = 1


class _Fields(NamedTuple):
    stage: Stage
    deps: tuple[Input, ...]
    params: dict[str, dict[str, Any]]
    environment: dict[str, Any]


class Action(_Fields):
    """What a stage would do now: its command on exactly these inputs.

    `params` maps file to key to encoded value; the key "" stands for the whole file.
    """

    @cached_property
    def key(self) -> Oid:
        """The action key: a digest of everything that decides what comes out."""
        return key_of(self.describe())

    def describe(self) -> dict[str, Any]:
        """Return what the key is made of."""
        stage = self.stage
        outs = (out.path for out in stage.outs)
        return describe(stage.cmd, stage.wdir, self.deps, self.params, self.environment, outs)


def describe(
    cmd: Sequence[str],
    wdir: str,
    deps: Iterable[Input],
    params: Mapping[str, Any],
    environment: Mapping[str, Any],
    outs: Iterable[str],
) -> dict[str, Any]:
    """Return what an action key is made of; not the stage's name: renaming re-runs nothing."""
    return {
        "format": FORMAT,
        "cmd": list(cmd),
        "wdir": wdir,
        "deps": sorted([dep.path, dep.entry.kind, dep.entry.oid] for dep in deps),
        "params": params,
        "environment": environment,
        "outs": sorted(outs),
    }


def key_of(description: Mapping[str, Any]) -> Oid:
    """Return the action key of what `describe` gave."""
    return keyed_oid(ACTION_CONTEXT, canonical(description))
