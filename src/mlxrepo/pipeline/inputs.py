"""Resolving inputs: what each dependency and parameter of a stage is right now."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any

from mlxrepo.codec import canonical
from mlxrepo.errors import InputError, MlxError, ObjectMissing, Where
from mlxrepo.globs import matches
from mlxrepo.hashing import fingerprint
from mlxrepo.nearest import nearest
from mlxrepo.paths import RepoPath, ancestors, bad_link, display, normalise, parent
from mlxrepo.pipeline.action import Action
from mlxrepo.pipeline.environment import INTERPRETERS, Interpreter, digests
from mlxrepo.pipeline.patterns import matching, names_in
from mlxrepo.progress import SILENT, Progress
from mlxrepo.repo.declared import SECTIONS, lock_path
from mlxrepo.repo.git import clean_environment, include
from mlxrepo.repo.lockfile import Input, Output, StageRecord
from mlxrepo.repo.observed import Tracked, counting
from mlxrepo.repo.placed import Placed
from mlxrepo.repo.repo import Repo
from mlxrepo.repo.stage import Dep, Environment, ParamRef, Stage
from mlxrepo.store.compare import presence, same
from mlxrepo.store.links import linked_oid
from mlxrepo.store.subtree import find, replace
from mlxrepo.store.tree import Entry

LINKS_MAX = 40  # as the kernel has it


class Inputs:
    """Looks at the workspace for one run; absent paths count as they are recorded.

    With `allow_missing` so do deleted ones.
    """

    def __init__(self, repo: Repo, *, progress: Progress = SILENT, allow_missing: bool = False):
        self.repo = repo
        self.progress = progress
        self.allow_missing = allow_missing
        self.interpreter = Interpreter(repo.worktree_file(INTERPRETERS), repo.root)
        self.scan = repo.scan(progress=progress)
        self.bring: Callable[[Iterable[RepoPath]], None] | None = None  # into the store
        self._below: dict[RepoPath, list[RepoPath]] = {}  # by folder: the tracked paths in it
        self._assumed: set[RepoPath] = set()
        self._values: dict[RepoPath, tuple[bytes, Any]] = {}

    @cached_property
    def placed(self) -> Placed:
        """What is noted as placed, kept up to date with what this run does."""
        # What was never placed here is absent by design, and not deleted.
        return {} if self.allow_missing else self.repo.placed

    @cached_property
    def users_environment(self) -> dict[str, str]:
        """The environment of the user's commands, not bound to a git repository."""
        return clean_environment()

    @cached_property
    def _environments(self) -> dict[RepoPath, Environment | None]:
        return {file.path: file.environment for file in self.repo.declared.files}

    @cached_property
    def _tracked(self) -> dict[RepoPath, Tracked]:
        known: dict[RepoPath, Tracked] = {}
        declared = self.repo.declared
        recorded = list(self.repo.observed.tracked())
        for tracked in counting(
            recorded, lambda: declared.stages.keys() | declared.artifacts.keys()
        ):
            self._track(tracked, known)
        return known

    def reload(self) -> None:
        """Read anew what is recorded and placed: others may have changed it."""
        self._below.clear()
        self.__dict__.pop("_tracked", None)
        self.__dict__.pop("placed", None)

    def note_outs(self, stage: Stage, outs: tuple[Output, ...]) -> None:
        """Take note that a stage's outs are recorded so from now on, here or absent."""
        for out in outs:
            lock = lock_path(stage.file)
            tracked = Tracked(out.path, out.entry, out.kind, stage.address, out.cache, lock)
            self._track(tracked, self._tracked)
            if os.path.lexists(self.repo.full(out.path)):
                self.placed[out.path] = out.entry

    def assume_outs(self, stage: Stage, outs: tuple[Output, ...]) -> None:
        """Count a stage's outs as if they were here, in a look ahead."""
        self.note_outs(stage, outs)
        self._assumed.update(out.path for out in outs)

    def assume(self, items: Iterable[Tracked]) -> None:
        """Count data as it is recorded, whatever is here, in a look ahead."""
        self._assumed.update(item.path for item in items)

    def environment(self, stage: Stage) -> dict[str, Any]:
        """Return what a stage depends on besides its deps and params, as digests.

        Raises:
            InputError: when a declared file is not here.
        """
        return digests(stage, self._environments.get(stage.file), self.entry, self.interpreter)

    def action(self, stage: Stage, record: StageRecord | None = None) -> Action:
        """Resolve every input of a stage; `record` says what a missing one was.

        Raises:
            InputError: when a dependency or a parameter is nowhere, with its place in mlx.yaml.
        """
        deps: dict[RepoPath, Input] = {}
        for dep in stage.deps:
            for path in self.paths(dep, stage, record):
                if path not in deps:
                    deps[path] = Input(path, self._dep(dep._replace(path=path), record))
        return Action(stage, tuple(deps.values()), self._params(stage), self.environment(stage))

    def paths(
        self, dep: Dep, stage: Stage, record: StageRecord | None = None
    ) -> Sequence[RepoPath]:
        """Return the paths that a dependency means: itself, or all that fit its pattern.

        Raises:
            InputError: when nothing fits it.
        """
        if not dep.glob or self._is_here(dep.path):
            return [dep.path]
        tracked = self._tracked.values()
        fit = matching(self._names, self.repo.rules, self.scan, tracked, dep.path, stage)
        found = [path for path in fit if self.entry(path) is not None]
        if self.allow_missing and record is not None and not found:
            found = [known.path for known in record.deps if matches(known.path, dep.path)]
        if not found:
            raise InputError(
                f'nothing here fits the dependency "{display(dep.path)}", and no stage makes it',
                hint="a pattern leaves out hidden files and what .mlxignore names",
                where=dep.where,
            )
        return found

    def _is_here(self, path: RepoPath) -> bool:
        return os.path.lexists(self.repo.full(path))

    def _names(self, folder: RepoPath) -> list[tuple[str, bool]]:
        return names_in(self.repo, folder)

    def _dep(self, dep: Dep, record: StageRecord | None) -> Entry:
        if self.allow_missing and record is not None and self.entry(dep.path) is None:
            for known in record.deps:
                if known.path == dep.path:
                    return known.entry
        return self.dep(dep)

    def changed(self, action: Action) -> list[str]:
        """Name the inputs that are no longer what `action` says they were."""
        names = [str(dep.path) for dep in action.deps if not same(self.entry(dep.path), dep.entry)]
        names += self._newly_fitting(action)
        try:
            now = self._params(action.stage)
        except MlxError:
            now = {}
        names += [
            file
            for file, values in action.params.items()
            if canonical(now.get(file)) != canonical(values)
        ]
        for file, oid in action.environment.get("files", {}).items():
            found = self.entry(file)
            if found is None or found.oid != oid:
                names.append(file)
        return names

    def _newly_fitting(self, action: Action) -> list[str]:
        """Name what fits a pattern of an action's stage now, and did not before."""
        before = {dep.path for dep in action.deps}
        found: set[RepoPath] = set()
        for dep in action.stage.deps:
            if dep.glob:
                with contextlib.suppress(InputError):
                    found.update(self.paths(dep, action.stage))
        return sorted(found - before)

    def edited(self, action: Action) -> list[Tracked]:
        """Return the tracked data that an action reads otherwise than it is recorded."""
        read, found = self.scan.tree, []
        for dep in action.deps:
            for tracked, part in self.parts(dep.path):
                if tracked.role not in SECTIONS:  # what a stage made may not be in the store yet
                    continue
                below = part[len(tracked.path) + 1 :], part[len(dep.path) + 1 :]
                recorded = find(read, tracked.entry, below[0])
                if not same(recorded, find(read, dep.entry, below[1])):
                    found.append(tracked)
        return found

    # dependencies

    def entry(self, path: RepoPath) -> Entry | None:
        """Return what counts at a path: what is here and, of tracked paths, what is absent.

        A link counts as what it leads to, for that is what a command reads.
        """
        _, path = self.follow(path)
        found = self.scan.entry(path)
        for tracked, part in self.parts(path):
            below = part[len(path) + 1 :]
            counts = self._counted(tracked, part)
            if not same(counts, find(self.scan.tree, found, below)):
                found = replace(self.scan.tree, self.scan.put_tree, found, below, counts)
        return found

    def follow(self, path: RepoPath) -> tuple[dict[RepoPath, Entry], RepoPath]:
        """Follow links that lie in tracked folders; return those that are absent, and the end."""
        absent: dict[RepoPath, Entry] = {}
        for _ in range(LINKS_MAX):
            top = self.top(path)
            target, entry = self._target(path) if path != top else ("", None)
            if not target or bad_link(path, target, top):
                break
            if entry:
                absent[path] = entry
            path = normalise(target, parent(path))
        return absent, path

    def _target(self, path: RepoPath) -> tuple[str, Entry | None]:
        """Return where a link leads, "" when it is none, and its entry when it is absent here."""
        full = self.repo.full(path)
        if os.path.islink(full):
            target = os.readlink(full)
            return ("", None) if linked_oid(self.repo.store, target) else (target, None)
        if os.path.lexists(full):
            return "", None
        entry = self._counted(self._tracked[self.top(path)], path)
        if entry is None or entry.kind != "symlink":
            return "", None
        return os.fsdecode(self.repo.store.read("blob", entry.oid)), entry

    def top(self, path: RepoPath) -> RepoPath:
        """Return the tracked path that `path` is or lies in; itself when there is none."""
        above = (path, *reversed(ancestors(path)))
        return next((folder for folder in above if folder in self._tracked), path)

    def parts(self, path: RepoPath) -> Iterator[tuple[Tracked, RepoPath]]:
        """Yield the tracked paths that hold `path` or lie in it, each with what both share."""
        for folder in (path, *reversed(ancestors(path))):
            if folder in self._tracked:
                yield self._tracked[folder], path
                return
        for part in self._below.get(path, ()):
            yield self._tracked[part], part

    def tracked(self) -> list[Tracked]:
        """Return everything that is recorded."""
        return list(self._tracked.values())

    def is_assumed(self, path: RepoPath) -> bool:
        """Say whether what counts at a path is an assumption of a look ahead."""
        return bool(self._assumed) and any(t.path in self._assumed for t, _ in self.parts(path))

    def _track(self, tracked: Tracked, known: dict[RepoPath, Tracked]) -> None:
        if tracked.path not in known:
            for folder in ancestors(tracked.path):
                self._below.setdefault(folder, []).append(tracked.path)
        known[tracked.path] = tracked

    def _counted(self, tracked: Tracked, path: RepoPath) -> Entry | None:
        below = path[len(tracked.path) + 1 :]
        if tracked.path in self._assumed:
            return find(self.scan.tree, tracked.entry, below)
        here = self.scan.entry(path)
        try:
            recorded = find(self.scan.tree, tracked.entry, below)
            placed = find(self.scan.tree, self.placed.get(tracked.path), below)
            return presence(self.scan.tree, self.scan.put_tree, here, placed, recorded).entry
        except ObjectMissing:
            # The recorded tree is not in this store: then only what is here can count.
            return here or (tracked.entry if not below and path not in self.placed else None)

    def dep(self, dep: Dep) -> Entry:
        """Return what a dependency is now.

        Raises:
            InputError: when it is nowhere.
        """
        entry = self.entry(dep.path)
        if entry is None:
            raise self._nowhere(dep)
        return entry

    def _nowhere(self, dep: Dep) -> InputError:
        known = [*self._tracked, *neighbours(self.repo, dep.path)]
        near = nearest(dep.path, known, 0.7)
        hint = f"did you mean {display(near)}?" if near else "create it, or let a stage make it"
        if any(True for _ in self.parts(dep.path)):
            hint = f"mlx checkout {display(dep.path)} brings it back"
        if self.repo.git.left_out([dep.path]):
            return InputError(
                f'the dependency "{display(dep.path)}" is outside of the sparse checkout',
                hint=include(dep.path),
                where=dep.where,
            )
        return InputError(
            f'the dependency "{display(dep.path)}" is not here, and no stage makes it',
            hint=hint,
            where=dep.where,
        )

    # parameters

    def _params(self, stage: Stage) -> dict[str, dict[str, Any]]:
        """Return the encoded values of a stage's parameters, by file and key."""
        found: dict[str, dict[str, Any]] = {}
        for ref in stage.params:
            found.setdefault(ref.file, {}).update(self.param(ref, stage))
        return found

    def param(self, ref: ParamRef, stage: Stage) -> dict[str, Any]:
        """Return the encoded values that a parameter means, by key; "" is the whole file.

        Raises:
            InputError: when there is no such file or key in it, or the file cannot be read.
        """
        from mlxrepo.values import encode, lookup, select

        values = self._read_values(ref.file, ref.where, stage)
        if ref.key is None:
            return {"": encode(values)}
        source = display(ref.file)
        try:
            if ref.glob:
                fit = select(values, ref.key, source=source)
                return {key: encode(value) for key, value in fit.items()}
            return {ref.key: encode(lookup(values, ref.key, source=source))}
        except MlxError as error:
            raise InputError(error.message, hint=error.hint, where=ref.where) from None

    def _read_values(self, path: RepoPath, where: Where, stage: Stage) -> Any:
        """Return the values of a params file; it is read each time, and parsed when it differs."""
        from mlxrepo.values import read_values

        data = self._bytes(path)
        if data is None:
            known = neighbours(self.repo, path)
            near = nearest(path, known, 0.7)
            hint = f"create {display(path)}; paths are relative to the folder of mlx.yaml"
            raise InputError(
                f'the params file "{display(path)}" of stage {stage.address} is not here',
                hint=f"did you mean {display(near)}?" if near else hint,
                where=where,
            )
        if path not in self._values or self._values[path][0] != data:
            self._values[path] = data, read_values(data, path)
        return self._values[path][1]

    def parsed_print(self, path: RepoPath) -> str:
        """Fingerprint a params file as it was when its values were taken last."""
        return fingerprint(self._values[path][0]).hex()

    def params_print(self, path: RepoPath) -> str:
        """Fingerprint a params file as it is now; "" when there is none."""
        data = self._bytes(path)
        return "" if data is None else fingerprint(data).hex()

    def _bytes(self, path: RepoPath) -> bytes | None:
        for tracked, _ in self.parts(path):
            is_away = self.bring is not None and not os.path.lexists(self.repo.full(path))
            if tracked.path in self._assumed or is_away:
                entry = self._counted(tracked, path)
                if entry and self.bring:
                    self.bring([path])
                return self.repo.store.read("blob", entry.oid) if entry else None
        return self.repo.file_at(path, None)


def neighbours(repo: Repo, path: RepoPath) -> list[str]:
    """Return the paths in the folder of `path`: what a wrong name may have meant."""
    folder = parent(path)
    try:
        names = os.listdir(repo.full(folder))
    except OSError:
        return []
    return [f"{folder}/{name}" if folder else name for name in names]
