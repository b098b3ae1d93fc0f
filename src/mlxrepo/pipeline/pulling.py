"""A judge that also knows what remotes have: results of others, and data that is not here.

What it decides to restore it brings into the store first, but for outs that nobody here needs:
those stay absent, and only their record is written.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from functools import cached_property

from mlxrepo.errors import EnvironmentFailed, MlxError, ObjectMissing
from mlxrepo.globs import concerns
from mlxrepo.paths import RepoPath, display
from mlxrepo.pipeline.action import Action
from mlxrepo.pipeline.actioncache import Result
from mlxrepo.pipeline.decide import DEFAULT, RESTORE, Decision, Rules
from mlxrepo.pipeline.judge import Judge, Present, by_history
from mlxrepo.pipeline.latest import bring_recorded
from mlxrepo.pipeline.remoteresults import RemoteResults, taken
from mlxrepo.pipeline.supply import Supply
from mlxrepo.progress import SILENT, Progress
from mlxrepo.repo.declared import SECTIONS
from mlxrepo.repo.lockfile import Output, StageRecord
from mlxrepo.repo.observed import Tracked
from mlxrepo.repo.repo import Repo
from mlxrepo.repo.stage import Stage
from mlxrepo.repo.wanted import Wanted
from mlxrepo.store.compare import same
from mlxrepo.store.subtree import find
from mlxrepo.store.tree import Entry


class PullingJudge(Judge):
    """Decides as a judge does, with what a supply has as well as with what is here."""

    def __init__(
        self,
        repo: Repo,
        supply: Supply,
        *,
        rules: Rules = DEFAULT,
        acts: bool = False,
        progress: Progress = SILENT,
    ):
        super().__init__(repo, rules=rules, acts=acts, progress=progress)
        self._supply = supply
        self._acts = acts
        self._is_here = self._is_stored
        self._is_stored = self._can_have
        self._paths: dict[str, str] = {}
        self._notes: list[str] = []
        self.inputs.bring = self._bring_inputs

    @cached_property
    def _results(self) -> RemoteResults:
        return RemoteResults(self.repo, self._supply)

    def decide(self, stage: Stage) -> Decision:
        """Resolve a stage's inputs and decide about it; what is to be restored is in the store.

        Raises:
            InputError: as `Judge.decide`.
            EnvironmentFailed: when a remote cannot be asked.
        """
        self.reach(stage)
        notes: dict[str, None] = {}
        while True:
            self._notes = []
            decision = super().decide(stage)
            notes.update(dict.fromkeys(self._notes))
            result = decision.result if decision.word == RESTORE else None
            if result is None or not self._acts:
                break
            outs = self.to_place(decision)
            if not self._supply.bring(Wanted(out.path, out.entry) for out in outs):
                break  # else one cannot be had after all, and that is known now
        if result is not None and result.remote:
            notes[taken(result)] = None
            if self._acts:
                self.actions.put(decision.action.key, decision.action.describe(), result)
        return decision._replace(notes=tuple(notes))

    def _known(self, action: Action) -> Iterator[Result]:
        for result in super()._known(action):
            self._name(result.outs)
            yield result
        found = self._results.of(action)
        self._notes += found.notes
        results = list(found.results)
        if len({result.content for result in results}) > 1:
            results = by_history(self.repo, action.key, results)
        for result in results:
            self._name(result.outs)
            yield result

    # what is not here

    def _present(self, stage: Stage, record: StageRecord | None, action: Action) -> Present:
        """Return what lies at each out; what was never here of it counts, if it can be had."""
        present = super()._present(stage, record, action)
        if record is None or not (stage.frozen or record.key == action.key):
            return present
        self._name(record.outs)
        for out in record.outs:
            if not out.cache or same(present.get(out.path), out.entry):
                continue
            # What the store has anyway is brought back, as it is without a remote.
            is_away = self._is_absent(out) and not self._is_here(out.entry)
            if is_away and self._can_have(out.entry):
                present[out.path] = out.entry
        return present

    def to_place(self, decision: Decision) -> list[Output]:
        """Return those of the outs to restore that belong into the workspace now.

        Git keeps some, others were here, or cost nothing; what is left waits until it is needed.
        """
        kept_by_git = {out.path for out in decision.action.stage.outs if not out.cache}
        outs = super().to_place(decision)
        return [out for out in outs if out.path in kept_by_git or not self._stays_away(out)]

    def _is_absent(self, out: Output) -> bool:
        """Say whether an out is as recorded, but for what was never here."""
        if os.path.islink(self.repo.full(out.path)):
            return False
        return same(self.inputs.entry(out.path), out.entry)

    def _stays_away(self, out: Output) -> bool:
        return (
            not self._is_at(out.path)
            and out.path not in self.inputs.placed
            and not self._is_here(out.entry)
        )

    def _name(self, outs: Iterable[Output]) -> None:
        self._paths.update((out.entry.oid, out.path) for out in outs)

    def _can_have(self, entry: Entry) -> bool:
        if self._is_here(entry):
            return True
        path = self._paths.get(entry.oid, "")
        if self._supply.has(entry, path):
            return True
        self._notes.append(f"{display(path)} is {self._supply.why_not(entry.oid)}")
        return False

    # inputs

    def catch_up(self, items: list[Tracked]) -> None:
        """Place what is recorded of data that is older; a look ahead counts it as placed.

        Raises:
            Refused: when it cannot be had.
            EnvironmentFailed: when a remote cannot be asked.
        """
        self._supply.list(Wanted(item.path, item.entry) for item in items)
        if not self._acts:
            self.inputs.assume(items)
            return
        bring_recorded(self.repo, self._supply, items, self.inputs.progress)
        self.reload()

    def reach(self, stage: Stage) -> None:
        """Get the listings of absent folders that a stage's dependencies lie in or look through."""
        wanted = []
        for dep in stage.deps:
            for tracked, part in self.inputs.parts(dep.path):
                if part != tracked.path and not self._is_at(part):
                    below = part[len(tracked.path) + 1 :]
                    wanted.append(Wanted(tracked.path, tracked.entry, below))
            if dep.glob:
                fit = (t for t in self.inputs.tracked() if concerns(t.path, dep.path))
                fit = (t for t in fit if not self._is_at(t.path))
                wanted += [Wanted(t.path, t.entry) for t in fit]
        self._supply.list(wanted)

    def _is_at(self, path: RepoPath) -> bool:
        return os.path.lexists(self.repo.full(path))

    def _bring_inputs(self, paths: Iterable[RepoPath]) -> None:
        """Get what is recorded at paths into the store, also behind links."""
        for path in paths:
            self._supply.bring(self._recorded(path))
            _, end = self.inputs.follow(path)
            self._supply.bring(self._recorded(end) if end != path else ())

    def _recorded(self, path: RepoPath) -> Iterator[Wanted]:
        for tracked, part in self.inputs.parts(path):
            below = part[len(tracked.path) + 1 :]
            with contextlib.suppress(ObjectMissing):
                recorded = find(self.repo.store.tree, tracked.entry, below)
                if same(self.inputs.scan.entry(part), recorded):
                    continue
            yield Wanted(tracked.path, tracked.entry, below)

    def lost_makers(self, stage: Stage) -> list[str]:
        """Name the stages that made what this one needs, and what cannot be had from anywhere."""
        paths = [ref.file for ref in stage.params]
        for dep in stage.deps:
            with contextlib.suppress(MlxError):
                paths += self.inputs.paths(dep, stage)
        made = {
            tracked.path: tracked
            for path in paths
            for tracked, _ in self.inputs.parts(path)
            if tracked.role not in SECTIONS and not self._is_at(tracked.path)
        }
        try:
            return sorted({t.address for t in made.values() if not self._can_have(t.entry)})
        except EnvironmentFailed:  # what went wrong is told already
            return []
