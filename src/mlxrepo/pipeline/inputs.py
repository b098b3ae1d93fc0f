"""Resolving inputs: what each dependency and parameter of a stage is right now."""

from __future__ import annotations

import difflib
import os
from typing import Any

from mlxrepo.errors import InputError, MlxError, ObjectMissing, Where
from mlxrepo.paths import RepoPath, display, is_inside, parent
from mlxrepo.pipeline.action import Action
from mlxrepo.progress import SILENT, Progress
from mlxrepo.repo.declared import Declared, lock_path
from mlxrepo.repo.lockfile import Input, Output
from mlxrepo.repo.observed import Observed, Tracked
from mlxrepo.repo.project import Dep, ParamRef, Stage
from mlxrepo.repo.repo import Repo
from mlxrepo.store.compare import presence
from mlxrepo.store.subtree import find
from mlxrepo.store.tree import Entry


class Inputs:
    """Looks at the workspace for one run; absent paths count as they are recorded."""

    def __init__(self, repo: Repo, observed: Observed, *, progress: Progress = SILENT):
        self.repo = repo
        self.scan = repo.scan(progress=progress)
        self.placed = repo.placed
        self._tracked: dict[RepoPath, Tracked] = {item.path: item for item in observed.tracked()}
        self._values: dict[RepoPath, Any] = {}
        self._assumed: dict[RepoPath, Entry] = {}

    def note_outs(self, stage: Stage, outs: tuple[Output, ...]) -> None:
        """Take note that a stage's outs are recorded so from now on."""
        for out in outs:
            self._tracked[out.path] = Tracked(
                out.path, out.entry, out.kind, stage.address, out.cache, lock_path(stage.file)
            )
            self.placed[out.path] = out.entry
        self._values.clear()

    def assume(self, outs: tuple[Output, ...]) -> None:
        """Count outs as if they were here, in a dry run."""
        self._assumed.update((out.path, out.entry) for out in outs)

    def action(self, stage: Stage) -> Action:
        """Resolve every input of a stage.

        Raises:
            InputError: when a dependency or a parameter is nowhere, with its place in mlx.yaml.
        """
        return Action(
            stage=stage.address,
            cmd=stage.cmd,
            wdir=stage.wdir,
            deps=tuple(Input(dep.path, self.dep(dep)) for dep in stage.deps),
            params=self.params(stage),
            environment={},
            outs=stage.outs,
        )

    # dependencies

    def dep(self, dep: Dep) -> Entry:
        """Return what a dependency is now: what is here, filled with what is absent by design."""
        entry = self.entry(dep.path)
        if entry is None:
            raise self._nowhere(dep)
        return entry

    def check(self, stage: Stage, declared: Declared) -> None:
        """Look whether every input of a stage is somewhere, without reading it.

        Raises:
            InputError: for the first that is neither here, nor recorded, nor made by a stage.
        """
        for dep in stage.deps:
            if os.path.lexists(self.repo.full(dep.path)) or declared.maker(dep.path):
                continue
            if any(is_inside(out, dep.path) for out in declared.outs):
                continue
            if self.entry(dep.path) is None:
                raise self._nowhere(dep)
        for ref in stage.params:
            if declared.maker(ref.file) is None:
                self._read_values(ref.file, ref.where, stage)

    def entry(self, path: RepoPath) -> Entry | None:
        """Return what counts at a path: what is here and, of tracked paths, what is absent."""
        tracked = self._holder(path)
        if tracked is not None and tracked.path in self._assumed:
            assumed = self._assumed[tracked.path]
            return find(self.scan.tree, assumed, path[len(tracked.path) + 1 :])
        here = self.scan.entry(path)
        if tracked is None:
            return here
        below = path[len(tracked.path) + 1 :]
        try:
            recorded = find(self.scan.tree, tracked.entry, below)
            placed = find(self.scan.tree, self.placed.get(tracked.path), below)
            merged = presence(self.scan.tree, self.scan.put_tree, here, placed, recorded)
        except ObjectMissing:
            # The recorded tree is not in this store: then only what is here can count.
            return here or (tracked.entry if not below and path not in self.placed else None)
        return merged.entry

    def _holder(self, path: RepoPath) -> Tracked | None:
        folder: str = path
        while folder:
            if RepoPath(folder) in self._tracked:
                return self._tracked[RepoPath(folder)]
            folder = parent(folder)
        return None

    def _nowhere(self, dep: Dep) -> InputError:
        known = [*self._tracked, *self._neighbours(dep.path)]
        near = difflib.get_close_matches(dep.path, known, 1, 0.7)
        hint = f"did you mean {near[0]}?" if near else "create it, or make it an out of a stage"
        tracked = self._holder(dep.path)
        if tracked is not None:
            hint = f"mlx checkout {display(dep.path)} brings it back"
        return InputError(
            f'the dependency "{display(dep.path)}" is not here, and no stage makes it',
            hint=hint,
            where=dep.where,
        )

    def _neighbours(self, path: RepoPath) -> list[str]:
        folder = parent(path)
        try:
            names = os.listdir(self.repo.full(folder))
        except OSError:
            return []
        return [f"{folder}/{name}" if folder else name for name in names]

    # parameters

    def params(self, stage: Stage) -> dict[str, dict[str, Any]]:
        """Return the encoded values of a stage's parameters, by file and key."""
        found: dict[str, dict[str, Any]] = {}
        for ref in stage.params:
            found.setdefault(ref.file, {})[ref.key or ""] = self._param(ref, stage)
        return found

    def _param(self, ref: ParamRef, stage: Stage) -> Any:
        from mlxrepo.values import encode, lookup

        values = self._read_values(ref.file, ref.where, stage)
        if ref.key is None:
            return encode(values)
        try:
            return encode(lookup(values, ref.key))
        except MlxError as error:
            raise InputError(
                f"{display(ref.file)}: {error.message}", hint=error.hint, where=ref.where
            ) from None

    def _read_values(self, path: RepoPath, where: Where, stage: Stage) -> Any:
        from mlxrepo.values import read_values

        if path not in self._values:
            try:
                data = self.repo.read(path)
            except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
                raise InputError(
                    f'the params file "{display(path)}" of stage {stage.address} is not here',
                    hint=f"create {display(path)}; paths are relative to the folder of mlx.yaml",
                    where=where,
                ) from None
            self._values[path] = read_values(data, path)
        return self._values[path]

    def changed(self, action: Action, stage: Stage) -> list[str]:
        """Name the inputs that are no longer what `action` says they were."""
        self._values.clear()
        names = [
            dep.path
            for dep in action.deps
            if (found := self.entry(dep.path)) is None or found[:2] != dep.entry[:2]
        ]
        try:
            now = self.params(stage)
        except MlxError:
            now = {}
        return names + [file for file, values in action.params.items() if now.get(file) != values]
