"""Keeping results reachable that a lockfile is about to name no longer."""

from __future__ import annotations

from collections.abc import Iterable

from mlxrepo.hashing import Oid
from mlxrepo.pipeline.actioncache import ActionCache, Result
from mlxrepo.pipeline.sound import describe_record, has_its_key
from mlxrepo.repo.lockfile import StageRecord


def keep_results(actions: ActionCache, records: Iterable[StageRecord]) -> int:
    """Put what records say came out of their actions into the action cache; return how many.

    Left out is what is no plain result of a run, and what a hand has changed: its key is not that
    of what it says, so it would be found as the result of something else.
    """
    kept = 0
    for record in records:
        if record.state or not has_its_key(record):
            continue
        result = Result(record.outs, record.metrics)
        actions.put(Oid(record.key), describe_record(record), result)
        kept += 1
    return kept
