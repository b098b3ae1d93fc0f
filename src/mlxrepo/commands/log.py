"""mlx log: the commits in which something changed, what it became, and who made it so."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from mlxrepo.errors import MlxError, ObjectMissing
from mlxrepo.globs import is_glob, matches
from mlxrepo.paths import RepoPath, is_inside
from mlxrepo.repo.lockfile import DataRecord, Record, StageRecord
from mlxrepo.repo.locklog import Commit, LockLog, RecordChange
from mlxrepo.repo.observed import stage_address
from mlxrepo.repo.repo import Repo
from mlxrepo.repo.targets import Target, named_stages, not_recorded, parse_target
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
    shallow = os.path.join(repo.common_dir, "shallow")
    complete = not (os.path.isfile(shallow) and os.path.getsize(shallow))
    entries = []
    history = LockLog(repo.git, commit)
    select = _selector(repo, target, history) if target is not None else _Everything()
    for logged in history:
        changes = tuple(c for change in logged.changes for c in select.of(change, history))
        if changes:
            entries.append(LogEntry(logged.commit, changes))
        if len(entries) == max_count:
            break
    return Log(tuple(entries), complete)


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


def _selector(repo: Repo, text: str, history: LockLog) -> _Everything:
    known = {stage for logged in history for c in logged.changes if (stage := _stage(c))}
    target = parse_target(text, repo.place, known)
    if target.kind == "stage":
        return _OfStages(target.name)
    for wanted in _readings(repo, target):
        seen = (c for logged in history for change in logged.changes for c in _changes(change))
        if any(wanted(change) is not None for change in seen):
            return _OfPaths(wanted, repo)
    if repo.observed.at(target.name):  # recorded, and not committed yet
        return _OfPaths(lambda change: None, repo)
    raise not_recorded(text, target, repo.place, list(repo.observed.tracked()), repo.declared)


def _readings(repo: Repo, target: Target) -> Iterator[Callable[[Change], str | None]]:
    """Yield what a target may mean: a path; else, with its prefix or without, an artifact."""
    if target.kind == "path":
        yield lambda change: _below(change.path, target.name)
    kinds = KINDS if target.kind == "path" else (target.kind,)
    names = {f"{kind}:{target.name}" for kind in kinds}
    yield lambda change: "" if change.name in names else None
    try:
        declared = [a.path for address, a in repo.declared.artifacts.items() if address in names]
    except MlxError:
        declared = []
    for path in declared:
        yield lambda change, path=path: _below(change.path, path)  # type: ignore[misc]


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
