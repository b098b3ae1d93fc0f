"""Checks before anything runs: every input is somewhere, and outs lie where they seem to."""

from __future__ import annotations

import os
from collections.abc import Iterator

from mlxrepo.errors import InputError
from mlxrepo.globs import concerns
from mlxrepo.paths import RepoPath, ancestors, bad_link, display, is_inside
from mlxrepo.pipeline.inputs import Inputs
from mlxrepo.repo.declared import Declared
from mlxrepo.repo.stage import Dep, Out, Stage
from mlxrepo.store.links import linked_oid


def check(stage: Stage, inputs: Inputs, declared: Declared) -> None:
    """Look whether a stage could run once those it needs have; dependencies are not read.

    Raises:
        InputError: for the first thing that is wrong, with its place in mlx.yaml.
    """
    if stage.frozen:
        return
    for dep in stage.deps:
        if not (inputs.allow_missing or _is_coming(dep, inputs, declared)):
            for path in inputs.paths(dep, stage):
                inputs.dep(dep._replace(path=path))
    for ref in stage.params:
        if declared.maker(ref.file) is None:
            inputs.param(ref, stage)
    if stage.wdir and not _is_made(stage.wdir, inputs, declared):
        raise InputError(
            f'the working folder "{display(stage.wdir)}" of stage {stage.address} is not here',
            hint="create it; wdir is relative to the folder of mlx.yaml",
            where=stage.where,
        )
    _refuse_links(stage, inputs)


def _is_coming(dep: Dep, inputs: Inputs, declared: Declared) -> bool:
    """Say whether a dependency is here, or will be when the stages that make it have run."""
    if not dep.glob:
        return _is_made(dep.path, inputs, declared)
    return any(concerns(out, dep.path) for out in declared.outs)


def _is_made(path: RepoPath, inputs: Inputs, declared: Declared) -> bool:
    if os.path.exists(inputs.repo.full(path)) or declared.maker(path):
        return True
    return any(is_inside(out, path) for out in declared.outs)


def _refuse_links(stage: Stage, inputs: Inputs) -> None:
    """Refuse outs behind a link: what is replaced there might be anything, anywhere.

    An out that is a link itself is set aside, but for one that persists: the command would write
    through it, and through any link in it.
    """
    for out in stage.outs:
        for folder in ancestors(out.path):
            if os.path.islink(inputs.repo.full(folder)):
                raise InputError(
                    f'the out "{display(out.path)}" lies behind the symbolic link '
                    f'"{display(folder)}"',
                    hint="replace the link by a folder, or write the out somewhere else",
                    where=out.where,
                )
        if out.persist:
            _refuse_persisting(out, inputs)


def _refuse_persisting(out: Out, inputs: Inputs) -> None:
    for path in _links(inputs.repo.full(out.path), out.path):
        target = os.readlink(inputs.repo.full(path))
        if linked_oid(inputs.repo.store, target):  # copied before the command can write to it
            continue
        reason = bad_link(path, target, out.path)
        if reason:
            raise InputError(
                f'{display(path)} is a symbolic link to "{display(target)}", which {reason}; as '
                f'"{display(out.path)}" persists, the command would write through it',
                hint="replace the link by a copy of what it leads to",
                where=out.where,
            )


def _links(full: str, path: RepoPath) -> Iterator[RepoPath]:
    """Yield the symbolic links at and below a path."""
    if os.path.islink(full):
        yield path
    elif os.path.isdir(full):
        with os.scandir(full) as items:
            found = [item.name for item in items if item.is_symlink() or item.is_dir()]
        for name in found:
            yield from _links(os.path.join(full, name), RepoPath(f"{path}/{name}"))
