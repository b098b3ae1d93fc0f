"""Inputs as committed files tell of them: what the store keeps counts as recorded, wherever it is.

So that a clone without the data, and without mlx's store, can say what is stale.
"""

from __future__ import annotations

import os
from typing import Any

from mlxrepo.errors import CannotDecide, ObjectMissing
from mlxrepo.paths import RepoPath, display
from mlxrepo.pipeline.action import Action
from mlxrepo.pipeline.inputs import Inputs
from mlxrepo.repo.committed import RepoAt
from mlxrepo.repo.lockfile import StageRecord
from mlxrepo.repo.observed import Tracked
from mlxrepo.repo.placed import Placed
from mlxrepo.repo.repo import Repo
from mlxrepo.repo.stage import Stage
from mlxrepo.store.subtree import find
from mlxrepo.store.tree import Entry


class RecordedInputs(Inputs):
    """Looks at the workspace for what git keeps, and at the lockfile for what the store keeps.

    Interpreter and variables count as the stage's record has them: they are of one machine.
    """

    def __init__(self, repo: Repo):
        super().__init__(repo)
        self.placed: Placed = {}  # nothing counts as deleted
        self.interpreter = lambda: None  # type: ignore[assignment]

    def action(self, stage: Stage, record: StageRecord | None = None) -> Action:
        """Resolve every input of a stage.

        Raises:
            InputError: when a dependency or a parameter is nowhere.
            CannotDecide: when it lies in a folder whose listing is not in the store.
        """
        found = super().action(stage, record)
        known = record.environment if record else {}
        return found._replace(environment=_as_recorded(found.environment, known))

    def entry(self, path: RepoPath) -> Entry | None:
        """Return what counts at a path.

        Raises:
            CannotDecide: when that takes a listing that is not in the store.
        """
        _, path = self.follow(path)
        for tracked, part in self.parts(path):
            if tracked.cache and part == path:
                return self._counted(tracked, part)  # not even looked at in the workspace
        try:
            return super().entry(path)
        except ObjectMissing:
            raise _unknown(path) from None

    def _target(self, path: RepoPath) -> tuple[str, Entry | None]:
        tracked = self._tracked[self.top(path)]
        if not tracked.cache:
            return super()._target(path)
        entry = self._counted(tracked, path)
        if entry is None or entry.kind != "symlink":
            return "", None
        return os.fsdecode(self._read(path, entry)), entry

    def _counted(self, tracked: Tracked, path: RepoPath) -> Entry | None:
        if not tracked.cache:
            return self.scan.entry(path)
        try:
            return find(self.scan.tree, tracked.entry, path[len(tracked.path) + 1 :])
        except ObjectMissing:
            raise _unknown(path) from None

    def _bytes(self, path: RepoPath) -> bytes | None:
        for tracked, part in self.parts(path):
            if tracked.cache:
                entry = self._counted(tracked, part)
                return self._read(path, entry) if entry else None
        return super()._bytes(path)

    def _read(self, path: RepoPath, entry: Entry) -> bytes:
        try:
            return self.repo.store.read("blob", entry.oid)
        except ObjectMissing:
            raise _unknown(path) from None


class CommittedInputs(RecordedInputs):
    """The same for a commit: nothing is looked at in the workspace."""

    def __init__(self, repo: RepoAt):
        super().__init__(repo)
        self._commit = repo

    def _is_here(self, path: RepoPath) -> bool:
        return self._commit.item(path) is not None

    def _names(self, folder: RepoPath) -> list[tuple[str, bool]]:
        return self._commit.names(folder)

    def _target(self, path: RepoPath) -> tuple[str, Entry | None]:
        if self._tracked[self.top(path)].cache:
            return super()._target(path)
        return self._commit.link(path), None


def _unknown(path: RepoPath) -> CannotDecide:
    return CannotDecide(f"what {display(path)} holds is not in the store, and git does not tell it")


def _as_recorded(now: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    """Return what is declared now with the values that the record has."""
    found = dict(now)
    if "interpreter" in now:
        found["interpreter"] = known.get("interpreter")
    if "variables" in now:
        digests = known.get("variables", {})
        found["variables"] = {name: digests.get(name) for name in now["variables"]}
    return found
