"""Recording what stages made: rows of the lockfile, at most once a second, and at every exit."""

from __future__ import annotations

import os
import time

from mlxrepo.paths import RepoPath
from mlxrepo.pipeline.action import Action
from mlxrepo.pipeline.actioncache import Result
from mlxrepo.pipeline.collect import read_numbers
from mlxrepo.repo.declared import lock_path
from mlxrepo.repo.lockfile import ACCEPTED, Output, Records, StageRecord
from mlxrepo.repo.repo import Repo
from mlxrepo.repo.stage import Stage

WRITE_EVERY_SECONDS = 1.0


class Recorder:
    """Collects records and writes them; the mutex is held for the write alone."""

    def __init__(self, repo: Repo):
        self._repo = repo
        self._rows: dict[RepoPath, Records] = {}
        self._written = time.monotonic()

    def note(self, stage: Stage, record: StageRecord) -> None:
        """Take a stage's record; `due_in` says when it should be on disk."""
        self._rows.setdefault(lock_path(stage.file), {})[f"stage:{stage.name}"] = record

    def due_in(self) -> float | None:
        """Return after how many seconds what is noted should be on disk; None: nothing is."""
        if not self._rows:
            return None
        return max(0.0, self._written + WRITE_EVERY_SECONDS - time.monotonic())

    def flush(self) -> None:
        """Write what is noted: the rows are replaced in the lockfile as it is now."""
        rows, self._rows = self._rows, {}
        for path, records in rows.items():
            self._repo.update_lock(path, lambda now, new=records: now.update(new))  # type: ignore[misc]
        outs = {
            out.path: out.entry
            for records in rows.values()
            for record in records.values()
            if isinstance(record, StageRecord)
            for out in record.outs
            if os.path.lexists(self._repo.full(out.path))  # else it is absent, and not deleted
        }
        if outs:
            self._repo.update_placed(lambda placed: placed.update(outs))
        self._written = time.monotonic()


def make_record(repo: Repo, action: Action, result: Result) -> StageRecord:
    """Return the record of an action with its result, whose outs are in the workspace.

    What comes out is the result's; which of it is a metric, and who keeps it, is declared.

    Raises:
        StageFailed: when a metrics file cannot be read.
    """
    entries = {out.path: out.entry for out in result.outs}
    metrics = {
        # Read again, for a known result may be of a record whose numbers a hand has changed.
        out.path: read_numbers(repo, out.path)
        if os.path.exists(repo.full(out.path))
        else dict(result.metrics.get(out.path, {}))
        for out in action.stage.outs
        if out.kind == "metric" and entries[out.path].kind != "tree"
    }
    return StageRecord(
        key=action.key,
        cmd=action.stage.cmd,
        wdir=action.stage.wdir,
        # Sorted, as in the key: the order in mlx.yaml is no input.
        deps=tuple(sorted(action.deps)),
        params=action.params,
        environment=action.environment,
        outs=tuple(
            Output(out.path, out.kind, out.cache, entries[out.path])
            for out in sorted(action.stage.outs)
        ),
        metrics={file: values for file, values in metrics.items() if values},
        state={ACCEPTED: dict(result.accepted)} if result.accepted else None,
    )
