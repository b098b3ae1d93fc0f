"""Keeping results reachable that a lockfile is about to name no longer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mlxrepo.codec import canonical
from mlxrepo.hashing import ACTION_CONTEXT, Oid, keyed_oid
from mlxrepo.pipeline.action import FORMAT
from mlxrepo.pipeline.actioncache import ActionCache, Result
from mlxrepo.repo.lockfile import StageRecord


def describe_record(record: StageRecord) -> dict[str, Any]:
    """Return what the key of a record was made of, as `Action.describe` gives it."""
    return {
        "format": FORMAT,
        "cmd": list(record.cmd),
        "wdir": record.wdir,
        "deps": sorted([dep.path, dep.entry.kind, dep.entry.oid] for dep in record.deps),
        "params": record.params,
        "environment": record.environment,
        "outs": sorted(out.path for out in record.outs),
    }


def keep_results(actions: ActionCache, records: Iterable[StageRecord]) -> int:
    """Put what records say came out of their actions into the action cache; return how many.

    Left out is what is no plain result of a run, and what a hand has changed: its key is not that
    of what it says, so it would be found as the result of something else.
    """
    kept = 0
    for record in records:
        action = describe_record(record)
        if record.state or keyed_oid(ACTION_CONTEXT, canonical(action)) != record.key:
            continue
        actions.put(Oid(record.key), action, Result(record.outs, record.metrics))
        kept += 1
    return kept
