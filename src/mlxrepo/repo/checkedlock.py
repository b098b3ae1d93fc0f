"""Lockfiles whose bytes were checked before: they are decoded without checking each value again.

A memo in the stat cache holds the fingerprint of a lockfile that could be read. While the file has
these bytes, they mean the same.
"""

from __future__ import annotations

import json
from typing import Any

from mlxrepo import __version__
from mlxrepo.hashing import fingerprint
from mlxrepo.paths import RepoPath
from mlxrepo.repo.lockfile import (
    DataRecord,
    Input,
    Output,
    Record,
    Records,
    StageRecord,
    parse_lock,
)
from mlxrepo.store.statcache import StatCache
from mlxrepo.store.tree import Entry


def read_records(data: bytes, path: RepoPath, cache: StatCache) -> Records:
    """Read a lockfile.

    Raises:
        InputError: as `parse_lock`.
    """
    # Another mlx may check more.
    name, mark = f"lock {path}", fingerprint(__version__.encode() + b"\n" + data)
    if cache.memo(name) == mark:
        return decode(data)
    records = parse_lock(data, path)
    cache.put_memo(name, mark)
    return records


def decode(data: bytes) -> Records:
    """Return the records of a lockfile that was checked with exactly these bytes."""
    lines = [line for line in data.split(b"\n") if line.strip()]
    values = json.loads(b"[%s]" % b",".join(lines[1:]))
    pairs = zip(values[::2], values[1::2], strict=True)
    return {name: _record(name, value) for name, value in pairs}


def _record(name: str, value: dict[str, Any]) -> Record:
    if not name.startswith("stage:"):
        return DataRecord(value["path"], _entry(value))
    get = value.get
    return StageRecord(
        value["key"],
        tuple(get("cmd", ())),
        get("wdir", ""),
        tuple([Input(dep["path"], _entry(dep)) for dep in get("deps", ())]),
        get("params", {}),
        get("environment", {}),
        tuple([Output(o["path"], o["role"], o["cache"], _entry(o)) for o in get("outs", ())]),
        get("metrics", {}),
        get("state"),
    )


def _entry(place: dict[str, Any]) -> Entry:
    return Entry(place["kind"], place["oid"], place["size"], place.get("files", 1))
