"""Settled stages: found up to date once, and nothing they touch was touched since.

For each such stage a memo in the stat cache keeps what the answer was made of: its declaration, its
record, and the stat of each file that it reads or writes. While all of it is the same, so is the
answer, and neither key nor oids have to be worked out. It is the stat cache's own rule, one level
up: stats come from rows that the racy rule let in, and on any doubt the long way is taken.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from mlxrepo.files import stat_of
from mlxrepo.hashing import fingerprint
from mlxrepo.paths import RepoPath, name_of
from mlxrepo.pipeline.inputs import Inputs
from mlxrepo.repo.lockfile import StageRecord
from mlxrepo.repo.repo import Repo
from mlxrepo.repo.stage import Stage
from mlxrepo.store.compare import same
from mlxrepo.store.statcache import single_key
from mlxrepo.store.tree import Entry

MEMO = "settled stages"

# A file: ["file", path, *stat]. What has to be looked at whole: ["dep" or "out", path, kind, oid].
Item = list[Any]


class Settled:
    """What is known of the stages in one look at the repository."""

    def __init__(self, repo: Repo, inputs: Inputs):
        self._repo = repo
        self._inputs = inputs
        self._rows = _load(repo)
        self._changed = False

    def holds(self, stage: Stage, record: StageRecord, environment: Mapping[str, Any]) -> bool:
        """Say whether a stage is up to date because nothing changed since it was found so."""
        row = self._rows.get(stage.address)
        if row is None or stage.always_changed or environment != record.environment:
            return False
        if row[0] != _print(stage, record):
            return False
        return all(map(self._is_still, row[1])) and row[2] == self._file_prints(stage)

    def note(
        self, stage: Stage, record: StageRecord, prints: Mapping[str, str] | None = None
    ) -> None:
        """Take note that a stage is up to date with its record.

        `prints` are those of its params files when their values were compared, if not now.
        """
        if {dep.path for dep in stage.deps} != {dep.path for dep in record.deps}:
            return  # a pattern: what it matches may change, and no file that it matched
        if {out[:3] for out in stage.outs} != {out[:3] for out in record.outs}:
            return  # they are to be recorded anew, in the roles they have now
        items = [self._item("dep", dep.path, dep.entry) for dep in record.deps]
        items += [self._item("out", out.path, out.entry) for out in record.outs]
        prints = self._file_prints(stage) if prints is None else dict(prints)
        row = [_print(stage, record), items, prints]
        if self._rows.get(stage.address) != row:
            self._rows[stage.address] = row
            self._changed = True

    def save(self) -> None:
        """Keep what was noted, of the stages that are still declared."""
        if self._changed:
            declared = self._repo.declared.stages
            rows = {address: row for address, row in self._rows.items() if address in declared}
            self._repo.cache.put_memo(MEMO, json.dumps(rows).encode())
            self._changed = False

    def _item(self, role: str, path: RepoPath, entry: Entry) -> Item:
        """Return what to compare next time: the stat under which the file was hashed, if it was."""
        row = self._repo.cache.get(single_key(path))
        seen = row.files.get(name_of(path)) if row else None
        if seen and same(seen.entry, entry) and os.path.realpath(full := self._full(path)) == full:
            return ["file", path, *seen.stat]
        return [role, path, entry.kind, entry.oid]

    def _is_still(self, item: Item) -> bool:
        role, path, *known = item
        if self._inputs.is_assumed(path):
            return False
        if role == "file":
            try:
                return list(stat_of(os.lstat(self._full(path)))) == known
            except OSError:
                return False
        look = self._inputs.entry if role == "dep" else self._inputs.scan.entry
        found = look(RepoPath(path))
        return found is not None and [found.kind, found.oid] == known

    def _file_prints(self, stage: Stage) -> dict[str, str]:
        """Return a fingerprint of each params file as it is now; "" where none is."""
        return {ref.file: self._inputs.params_print(ref.file) for ref in stage.params}

    def _full(self, path: str) -> str:
        return f"{self._repo.root}/{path}"


def _load(repo: Repo) -> dict[str, list[Any]]:
    body = repo.cache.memo(MEMO)
    rows: dict[str, list[Any]] = json.loads(body) if body else {}
    return rows


def _print(stage: Stage, record: StageRecord) -> str:
    """Fingerprint what a stage declares and what is recorded of it."""
    parts = (
        stage.cmd,
        stage.wdir,
        [dep.path for dep in stage.deps],
        [ref[:2] for ref in stage.params],
        [out[:3] for out in stage.outs],
        stage.shell,
        stage.env,
        record,
    )
    return fingerprint(repr(parts).encode("utf-8", "surrogateescape")).hex()
