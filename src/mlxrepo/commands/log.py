"""mlx log: the commits in which something changed, what it became, and who made it so."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

from mlxrepo.errors import InputError, MlxError, ObjectMissing
from mlxrepo.globs import is_glob, matches
from mlxrepo.paths import RepoPath, display, is_inside
from mlxrepo.repo.lockfile import DataRecord, Record, StageRecord
from mlxrepo.repo.locklog import Commit, LockLog, RecordChange
from mlxrepo.repo.observed import stage_address
from mlxrepo.repo.pathfilter import path_filter
from mlxrepo.repo.repo import Repo
from mlxrepo.repo.targets import named_stages, parse_target
from mlxrepo.store.compare import same
from mlxrepo.store.subtree import find
from mlxrepo.store.tree import Entry

KINDS = ("data", "feature", "model")
Metrics = dict[str, dict[str, Any]]  # values by file and name, as the lockfile has them


class Change(NamedTuple):
    """What a commit changed: a path, or (`path` "") a stage whose outs stayed as they were.

    `name` is the artifact's address, "" for an out; `stage` made it, "" when a person added it;
    `accepted` who took it for what the stage makes. `known` is false for a part of a folder whose
    listing is not in the store: it may have changed.
    """

    path: RepoPath
    name: str
    stage: str
    old: Entry | None
    new: Entry | None
    metrics: Metrics
    accepted: str = ""
    known: bool = True
    record: str = ""  # what became of the record of a stage without a path

    @property
    def word(self) -> str:
        """Return added, modified or deleted."""
        if self.record or (self.old and self.new):
            return self.record or "modified"
        return "added" if self.new else "deleted"


class LogEntry(NamedTuple):
    """A commit and what it changed."""

    commit: Commit
    changes: tuple[Change, ...]


class Log(NamedTuple):
    """Commits, newest first; `complete` unless the history was cut off by a shallow clone."""

    entries: tuple[LogEntry, ...]
    complete: bool


def log(
    repo: Repo, target: str | None = None, *, rev: str = "HEAD", max_count: int | None = None
) -> Log:
    """Return the commits up to `rev` in which a target, or anything recorded, changed.

    Reads git alone; for a path inside a tracked folder the trees too.

    Raises:
        InputError: when the target means nothing that was ever recorded.
        CannotDecide: when there is no commit yet.
    """
    commit = repo.git.commit(rev)
    cut = _cut(repo)
    history = LockLog(repo.git, commit, cut)
    readings = _readings(repo, target) if target is not None else [_Everything()]
    found: list[list[LogEntry]] = [[] for _ in readings]
    for logged in history:
        for reading, entries in zip(readings, found, strict=True):
            changes = tuple(c for change in logged.changes for c in reading.of(change, history))
            if changes and len(entries) != max_count:
                entries.append(LogEntry(logged.commit, changes))
        if len(found[0]) == max_count:
            break
    entries = next((entries for entries in found if entries), [])
    if not entries and target is not None:
        _check_recorded(repo, target)
    return Log(tuple(entries), not cut)


def _cut(repo: Repo) -> frozenset[str]:
    """Return the commits at which a shallow clone ends."""
    try:
        with open(os.path.join(repo.common_dir, "shallow"), encoding="ascii") as stream:
            return frozenset(stream.read().split())
    except OSError:
        return frozenset()


def _check_recorded(repo: Repo, text: str) -> None:
    """Refuse a target that is not recorded in the workspace either: a slip, not a new thing."""
    tracked = list(repo.observed.tracked())
    stages = repo.observed.stages().keys() | repo.declared.stages.keys()
    path_filter([text], repo.place, tracked, stages, lambda: repo.declared)


# what was asked for


class _Everything:
    def of(self, change: RecordChange, history: LockLog) -> Iterator[Change]:
        """Yield what a change of a record is: its paths, or the stage alone."""
        found = [c for c in _changes(change) if not same(c.old, c.new)]
        stage = _stage(change)
        yield from found or ([_bare(change)] if stage else [])


class _OfStages(_Everything):
    """Stages by address, or all of a group or a pattern."""

    def __init__(self, name: str):
        self.name = name

    def of(self, change: RecordChange, history: LockLog) -> Iterator[Change]:
        """Yield what a stage that was asked for changed."""
        if (stage := _stage(change)) and named_stages(self.name, [stage]):
            yield from super().of(change, history)


class _OfPaths(_Everything):
    """Paths, with all below them and the artifact around them; records by name."""

    def __init__(self, wanted: Callable[[Change], str | None], repo: Repo):
        self.wanted = wanted
        self.repo = repo

    def of(self, change: RecordChange, history: LockLog) -> Iterator[Change]:
        """Yield the paths that were asked for, with metrics of who read them."""
        for found in _changes(change):
            below = self.wanted(found)
            if below is None:
                continue
            part = self._part(found, below) if below else found
            if not same(part.old, part.new) or not part.known:
                yield part._replace(metrics=_metrics(part, change, history))

    def _part(self, change: Change, below: str) -> Change:
        path = RepoPath(f"{change.path}/{below}")
        try:
            old, new = (find(self.repo.store.tree, e, below) for e in (change.old, change.new))
        except ObjectMissing:
            known = same(change.old, change.new)
            return change._replace(path=path, old=None, new=None, known=known)
        return change._replace(path=path, old=old, new=new)


def _readings(repo: Repo, text: str) -> list[_Everything]:
    """Return what a target may mean, best first: a stage, a path, an artifact without prefix."""
    target = parse_target(text, repo.place, ())
    if target.version:
        raise InputError(f'"{display(text)}" names a version, and this mlx keeps none')
    found: list[_Everything] = []
    if target.kind in ("stage", "path"):
        found.append(_OfStages(target.name if target.kind == "stage" else text))
    if target.kind == "path":
        found.append(_OfPaths(lambda change: _below(change.path, target.name), repo))
    kinds = KINDS if target.kind == "path" else (target.kind,)
    names = {f"{kind}:{target.name}" for kind in kinds}
    found.append(_OfPaths(lambda change: "" if change.name in names else None, repo))
    try:
        declared = [a.path for address, a in repo.declared.artifacts.items() if address in names]
    except MlxError:
        declared = []
    for path in declared:
        found.append(_OfPaths(partial(_below_declared, path), repo))
    return found


def _below_declared(wanted: str, change: Change) -> str | None:
    return _below(change.path, wanted)


def _below(path: str, wanted: str) -> str | None:
    """Return what of `path` is wanted, "" for all of it, None for nothing."""
    if is_inside(path, wanted) or (is_glob(wanted) and matches(path, wanted)):
        return ""
    return wanted[len(path) + 1 :] if is_inside(wanted, path) else None


# changes of records


def _stage(change: RecordChange) -> str:
    kind, _, name = change.name.partition(":")
    return stage_address(change.lock, name) if kind == "stage" else ""


def _changes(change: RecordChange) -> Iterator[Change]:
    """Yield every path that a record names, changed or not."""
    old, new = _places(change.old), _places(change.new)
    stage = _stage(change)
    record = change.new if isinstance(change.new, StageRecord) else None
    for path in [*new, *(path for path in old if path not in new)]:
        yield Change(
            path,
            "" if stage else change.name,
            stage,
            old.get(path),
            new.get(path),
            record.metrics if record else {},
            _accepted(record),
        )


def _bare(change: RecordChange) -> Change:
    record = change.new if isinstance(change.new, StageRecord) else None
    metrics = record.metrics if record else {}
    word = "added" if change.old is None else "modified" if change.new else "deleted"
    accepted = _accepted(record)
    return Change(RepoPath(""), "", _stage(change), None, None, metrics, accepted, record=word)


def _places(record: Record | None) -> dict[RepoPath, Entry]:
    if isinstance(record, DataRecord):
        return {record.path: record.entry}
    return {out.path: out.entry for out in record.outs if out.cache} if record else {}


def _accepted(record: StageRecord | None) -> str:
    return str((record.accepted or {}).get("by", "")) if record else ""


def _metrics(part: Change, change: RecordChange, history: LockLog) -> Metrics:
    """Return the metrics of who made it, or else of stages that read exactly these bytes of it."""
    measured = part.stage or part.name.startswith("model:")
    if part.metrics or part.new is None or not measured:
        return part.metrics
    found: Metrics = {}
    needle = part.new.oid.encode()
    for name, line in change.lines.items():
        record = history.record(name, line) if needle in line else None
        if isinstance(record, StageRecord) and any(
            d.entry.oid == part.new.oid for d in record.deps
        ):
            found |= record.metrics
    return found
