"""Finished stages on their way into the store, flushed together.

A flush takes as long as a short command does, so stages that end within moments of each other
share one. Until then none of them counts as done for the user: what is reported is safe.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import NamedTuple

from mlxrepo.pipeline.actioncache import Result
from mlxrepo.pipeline.executor import Finished
from mlxrepo.pipeline.job import Job
from mlxrepo.repo.lockfile import StageRecord
from mlxrepo.repo.repo import Repo
from mlxrepo.store.objects import Batch

IDLE_SECONDS = 0.02  # nothing else ended for so long: nobody shares this flush
LATE_SECONDS = 0.2  # from one flush to the next, however much ends
MANY = 64


class Done(NamedTuple):
    """A stage whose command ended well, with what came out of it."""

    job: Job
    finished: Finished
    result: Result
    record: StageRecord


class Pending:
    """The batch that outs of finished stages go to, and the stages that wait for its flush."""

    def __init__(self, repo: Repo):
        self._repo = repo
        self._stack = ExitStack()
        self._batch: Batch | None = None
        self._published = -LATE_SECONDS
        self._waiting: list[Done] = []

    def batch(self) -> Batch:
        """Return the batch that is open; gc waits while it is."""
        if self._batch is None:
            self._batch = self._stack.enter_context(self._repo.store.batch())
        return self._batch

    def add(self, done: Done) -> None:
        """Take a stage whose outs are in the batch."""
        self._waiting.append(done)

    @property
    def is_open(self) -> bool:
        """Say whether something waits."""
        return self._batch is not None

    @property
    def is_due(self) -> bool:
        """Say whether it should wait for no others: the last flush was long ago."""
        late = time.monotonic() - self._published >= LATE_SECONDS
        return self.is_open and (late or len(self._waiting) >= MANY)

    def publish(self) -> list[Done]:
        """Flush what is in the batch and return the stages that waited for it.

        On an error they get their last outs back.
        """
        stack, self._stack, self._batch = self._stack, ExitStack(), None
        done, self._waiting = self._waiting, []
        self._published = time.monotonic()
        try:
            stack.close()
        except BaseException:
            for item in done:
                item.job.give_up()
            raise
        return done
