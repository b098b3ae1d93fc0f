"""Recording what stages made: rows of the lockfile, at most once a second, and at every exit."""

from __future__ import annotations

import time

from mlxrepo.paths import RepoPath
from mlxrepo.pipeline.actioncache import Result
from mlxrepo.repo.declared import lock_path
from mlxrepo.repo.layout import LOCK_FILE
from mlxrepo.repo.lockfile import Records, StageRecord
from mlxrepo.repo.project import Stage
from mlxrepo.repo.repo import Repo

WRITE_EVERY_SECONDS = 1.0


class Recorder:
    """Collects records and writes them; the mutex is held for the write alone."""

    def __init__(self, repo: Repo):
        self._repo = repo
        self._rows: dict[RepoPath, Records] = {}
        self._written = time.monotonic()

    def note(self, stage: Stage, record: StageRecord) -> None:
        """Take a stage's record; it is on disk a second later at the latest if more follow."""
        self._rows.setdefault(lock_path(stage.file), {})[f"stage:{stage.name}"] = record
        if time.monotonic() - self._written > WRITE_EVERY_SECONDS:
            self.flush()

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
        }
        if outs:
            self._repo.update_placed(lambda placed: placed.update(outs))
        self._written = time.monotonic()


def by_history(repo: Repo, key: str, results: list[Result]) -> list[Result]:
    """Sort different results of one action: those named most recently in history come first."""
    for commit in repo.git.history(LOCK_FILE):
        for record in repo.observed_at(commit).stages().values():
            if record.key == key:
                return sorted(results, key=lambda result: result.outs != record.outs)
    return results
