"""Whether a record can be believed: its key is that of what it says, its metrics are the file's."""

from __future__ import annotations

from typing import Any

from mlxrepo.codec import canonical
from mlxrepo.errors import MlxError
from mlxrepo.pipeline.action import describe, key_of
from mlxrepo.repo.lockfile import Output, StageRecord
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
    """Say whether the recorded numbers are those of the recorded files, as far as they are here.

    A file that only the store keeps is read there, if it has it. Numbers of what is no metrics
    file of the record are nobody's.
    """
    outs = [out for out in record.outs if out.kind == "metric" and out.entry.kind != "tree"]
    if not record.metrics.keys() <= {out.path for out in outs}:
        return False
    # With the parsers of all kinds of files, which a stage without metrics does without.
    for out in outs:
        from mlxrepo.pipeline.collect import numbers_of

        try:
            data = _recorded_bytes(out, repo, scan)
            known = record.metrics.get(out.path, {})
            if data is not None and canonical(numbers_of(data, out.path)) != canonical(known):
                return False
        except MlxError:
            continue  # it was not read when it was recorded, either
    return True


def are_seen(record: StageRecord, path: str, repo: Repo) -> bool:
    """Say whether the recorded numbers of a file can be compared with what it held.

    What git keeps is its own; of what only the store keeps the bytes have to be somewhere here.
    """
    out = next(out for out in record.outs if out.path == path)
    return not out.cache or _recorded_bytes(out, repo, repo.scan()) is not None


def _recorded_bytes(out: Output, repo: Repo, scan: Scan) -> bytes | None:
    if same(scan.entry(out.path), out.entry):
        return repo.read(out.path)
    if out.cache and repo.store.has_entry(out.entry):
        return repo.store.read("blob", out.entry.oid)
    return None
