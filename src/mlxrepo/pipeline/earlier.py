"""Earlier runs of a stage: which of them comes nearest to what it would do now."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from mlxrepo.errors import MlxError
from mlxrepo.hashing import Oid
from mlxrepo.paths import RepoPath, check_path
from mlxrepo.pipeline.action import Action
from mlxrepo.pipeline.actioncache import ActionCache
from mlxrepo.pipeline.decide import Reason, differences, sentence
from mlxrepo.pipeline.journal import StageRun, stage_runs
from mlxrepo.repo.lockfile import Input, Output, StageRecord
from mlxrepo.repo.repo import Repo
from mlxrepo.store.tree import Entry


@dataclass(frozen=True, slots=True)
class Earlier:
    """A run of a stage, and in what an action differs from what it did."""

    run: StageRun
    reasons: tuple[Reason, ...]

    def __str__(self) -> str:
        what = sentence(self.reasons) or "nothing that is declared"
        return f"nearest earlier run {self.run.run.id}: differs in {what}"


class EarlierRuns:
    """The runs of some stages that the journal knows; it is read once, when asked."""

    def __init__(self, repo: Repo, actions: ActionCache, stages: Collection[str]):
        self._repo = repo
        self._actions = actions
        self._stages = stages

    @cached_property
    def _runs(self) -> dict[str, list[StageRun]]:
        found: dict[str, list[StageRun]] = {}
        for one in stage_runs(self._repo, self._stages):
            found.setdefault(one.stage, []).append(one)
        return found

    def of_key(self, stage: str, key: str) -> StageRun | None:
        """Return the last run of a stage that did what a key says."""
        return next((one for one in self._runs.get(stage, ()) if one.key == key), None)

    def nearest(self, action: Action) -> Earlier | None:
        """Return the run that differs in the fewest things, of equal ones the last."""
        best: Earlier | None = None
        seen: set[str] = set()
        for one in self._runs.get(action.stage.address, ()):
            if one.key in seen:
                continue
            seen.add(one.key)
            known = self._actions.action(Oid(one.key))
            record = _as_record(one.key, known) if known else None
            if record is not None:
                found = Earlier(one, differences(action, record))
                if best is None or len(found.reasons) < len(best.reasons):
                    best = found
        return best


def _as_record(key: str, action: dict[str, Any]) -> StageRecord | None:
    """Return what would be recorded of an action; sizes are not known, and outs by name alone."""
    try:
        return StageRecord(
            key=key,
            cmd=tuple(action["cmd"]),
            wdir=RepoPath(action["wdir"]),
            deps=tuple(
                Input(check_path(path), Entry(kind, Oid(oid), 0, 0))
                for path, kind, oid in action["deps"]
            ),
            params=dict(action["params"]),
            environment=dict(action["environment"]),
            outs=tuple(
                Output(check_path(path), "out", True, Entry("file", Oid(""), 0, 0))
                for path in action["outs"]
            ),
            metrics={},
        )
    except (KeyError, TypeError, ValueError, MlxError):
        return None


def undeclared(old: dict[str, Any] | None, new: dict[str, Any] | None) -> tuple[Reason, ...]:
    """Name what differs between two environments of the journal: python and packages."""
    if old is None or new is None:
        return ()
    found = []
    for what in ("implementation", "version"):
        if old.get(what) != new.get(what):
            name = "python" if what == "version" else "the python"
            found.append(Reason("undeclared", name, old.get(what), new.get(what)))
    before, after = _packages(old), _packages(new)
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            found.append(Reason("undeclared", name, before.get(name), after.get(name)))
    return tuple(found)


def _packages(environment: dict[str, Any]) -> dict[str, str]:
    """Return the versions of packages by name."""
    listed = (package.partition("==") for package in environment.get("packages", ()))
    return {name: version for name, _, version in listed}
