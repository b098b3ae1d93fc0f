"""Checks before anything runs: every input is somewhere, and outs lie where they seem to."""

from __future__ import annotations

import os

from mlxrepo.errors import InputError
from mlxrepo.paths import RepoPath, ancestors, display, is_inside
from mlxrepo.pipeline.inputs import Inputs
from mlxrepo.repo.declared import Declared
from mlxrepo.repo.stage import Stage


def check(stage: Stage, inputs: Inputs, declared: Declared) -> None:
    """Look whether a stage could run once those it needs have; dependencies are not read.

    Raises:
        InputError: for the first thing that is wrong, with its place in mlx.yaml.
    """
    if stage.frozen:
        return
    for dep in stage.deps:
        if not (inputs.allow_missing or _is_coming(dep.path, inputs, declared)):
            inputs.dep(dep)
    for ref in stage.params:
        if declared.maker(ref.file) is None:
            inputs.param(ref, stage)
    if stage.wdir and not _is_coming(stage.wdir, inputs, declared):
        raise InputError(
            f'the working folder "{display(stage.wdir)}" of stage {stage.address} is not here',
            hint="create it; wdir is relative to the folder of mlx.yaml",
            where=stage.where,
        )
    _refuse_links(stage, inputs)


def _is_coming(path: RepoPath, inputs: Inputs, declared: Declared) -> bool:
    """Say whether a path is here, or will be when the stages that need not wait have run."""
    if os.path.exists(inputs.repo.full(path)) or declared.maker(path):
        return True
    return any(is_inside(out, path) for out in declared.outs)


def _refuse_links(stage: Stage, inputs: Inputs) -> None:
    """Refuse outs behind a link: what is replaced there might be anything, anywhere."""
    for out in stage.outs:
        for folder in ancestors(out.path):
            if os.path.islink(inputs.repo.full(folder)):
                raise InputError(
                    f'the out "{display(out.path)}" lies behind the symbolic link '
                    f'"{display(folder)}"',
                    hint="replace the link by a folder, or write the out somewhere else",
                    where=out.where,
                )
