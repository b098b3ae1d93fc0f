"""Whether a record can be believed: its key is that of what it says, its metrics are the file's."""

from __future__ import annotations

from typing import Any

from mlxrepo.codec import canonical
from mlxrepo.errors import MlxError
from mlxrepo.pipeline.action import describe, key_of
from mlxrepo.repo.lockfile import StageRecord
from mlxrepo.repo.repo import Repo
from mlxrepo.store.compare import same
from mlxrepo.store.snapshot import Scan


def describe_record(record: StageRecord) -> dict[str, Any]:
    """Return what the key of a record was made of."""
    outs = (out.path for out in record.outs)
    return describe(record.cmd, record.wdir, record.deps, record.params, record.environment, outs)


def has_its_key(record: StageRecord) -> bool:
    """Say whether a record has the key of what it says; else a hand has changed it."""
    return key_of(describe_record(record)) == record.key


def has_its_metrics(record: StageRecord, repo: Repo, scan: Scan) -> bool:
    """Say whether the recorded numbers are those of the recorded files, as far as they are here."""
    # With the parsers of all kinds of files, which a stage without metrics does without.
    from mlxrepo.pipeline.collect import read_numbers

    for out in record.outs:
        if out.kind != "metric" or out.entry.kind == "tree":
            continue
        try:
            if same(scan.entry(out.path), out.entry):
                known = record.metrics.get(out.path, {})
                if canonical(read_numbers(repo, out.path)) != canonical(known):
                    return False
        except MlxError:
            continue  # it was not read when it was recorded, either
    return True
