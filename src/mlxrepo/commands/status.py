"""mlx status: what differs between the workspace, the lockfile and the declarations."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from mlxrepo.errors import ObjectMissing
from mlxrepo.paths import RepoPath, is_inside
from mlxrepo.progress import SILENT, Progress
from mlxrepo.repo.declared import SECTIONS
from mlxrepo.repo.dropped import FILE as DROPPED_FILE
from mlxrepo.repo.dropped import read_dropped
from mlxrepo.repo.observed import Tracked
from mlxrepo.repo.placed import Placed
from mlxrepo.repo.repo import Repo
from mlxrepo.repo.targets import not_recorded, parse_target, resolve_stages
from mlxrepo.store.compare import Change, changes, presence, same
from mlxrepo.store.snapshot import Scan
from mlxrepo.store.subtree import find
from mlxrepo.store.tree import Entry

if TYPE_CHECKING:
    from mlxrepo.pipeline.report import StageReport

CLEAN = "clean"
MODIFIED = "modified"
BEHIND = "older than recorded"
DELETED = "deleted"
ABSENT = "absent"
UNRECORDED = "not added"
STALE = "stale"
RUNNING = "running"
FETCHED = "in the store"
DROPPED = "dropped here"
NEVER = "never fetched here"
UP_TO_DATE = "up-to-date"  # as in mlxrepo.pipeline.decide


class PathStatus(NamedTuple):
    """A tracked path. State is clean, modified, deleted, absent, "not added" or BEHIND.

    BEHIND is as mlx placed it, and the lockfile has changed since.
    `absent` counts recorded files that are not in this worktree by design; `origin` says why, and
    what brings them, or the newer ones: FETCHED (in the store), DROPPED or NEVER ("" elsewhere).
    """

    path: RepoPath
    address: str
    state: str
    changes: tuple[Change, ...] = ()
    absent: int = 0
    origin: str = ""


class StageStatus(NamedTuple):
    """A stage. State is up-to-date, stale, running or absent (recorded, its outs never here)."""

    stage: str
    state: str
    word: str
    why: str


class Status(NamedTuple):
    """Everything looked at; `leftover` are recorded, but no longer declared.

    `aside` are outs that a run which was killed has set aside; `checkout` puts them back.
    """

    paths: tuple[PathStatus, ...]
    stages: tuple[StageStatus, ...]
    leftover: tuple[str, ...]
    aside: tuple[RepoPath, ...] = ()

    @property
    def clean(self) -> bool:
        """Say whether there is nothing to do: absent counts as clean."""
        fine = all(path.state in (CLEAN, ABSENT) for path in self.paths)
        settled = all(stage.state not in (STALE, RUNNING) for stage in self.stages)
        return fine and settled and not self.leftover and not self.aside


def status(repo: Repo, targets: Sequence[str] = (), *, progress: Progress = SILENT) -> Status:
    """Compare the workspace with what is recorded and declared; takes no lock, runs nothing.

    Raises:
        InputError: for a target that is neither recorded nor declared.
    """
    wanted = _wanted(repo, targets) if targets else None
    data = [item for item in repo.observed.tracked() if item.role in SECTIONS]
    scan = repo.scan(progress=progress)
    placed = repo.placed
    paths = [
        _with_origin(repo, item, _path(scan, item, placed.get(item.path)))
        for item in data
        if wanted is None or wanted.holds(item.path)
    ]
    paths += [new for new in _unrecorded(repo) if wanted is None or wanted.holds(new.path)]
    stages = _stages(repo, wanted, progress) if repo.declared.stages else []
    leftover = {item.address for item in data} - repo.declared.artifacts.keys()
    leftover |= repo.observed.stages().keys() - repo.declared.stages.keys()
    left = () if wanted else tuple(sorted(leftover))
    return Status(tuple(paths), tuple(stages), left, _aside(repo))


def _aside(repo: Repo) -> tuple[RepoPath, ...]:
    if not repo.has_manifests:
        return ()
    from mlxrepo.pipeline.aside import left_behind

    return tuple(path for aside in left_behind(repo) for path in aside.paths)


class _Wanted(NamedTuple):
    """What targets mean: paths with all in them and above them, and stages."""

    paths: list[RepoPath]
    stages: list[str]

    def holds(self, path: RepoPath) -> bool:
        return any(_touch(path, target) for target in self.paths)


def _touch(one: RepoPath, other: RepoPath) -> bool:
    return is_inside(one, other) or is_inside(other, one)


def _wanted(repo: Repo, targets: Sequence[str]) -> _Wanted:
    declared, tracked = repo.declared, list(repo.observed.tracked())
    known = {item.path: item.address for item in tracked}
    known |= {artifact.path: address for address, artifact in declared.artifacts.items()}
    wanted = _Wanted([], [])
    for text in targets:
        target = parse_target(text, repo.place, declared.stages)
        if target.kind == "stage":
            wanted.stages.extend(resolve_stages([text], repo.place, declared))
            continue
        path = RepoPath(target.name)
        if target.kind != "path":
            address = f"{target.kind}:{target.name}"
            found = [path for path, name in known.items() if name == address]
        else:
            found = [path] if any(_touch(path, p) for p in (*known, *declared.outs)) else []
        if not found or target.version:
            raise not_recorded(text, target, repo.place, tracked, declared)
        wanted.paths.extend(found)
    wanted.stages.extend(
        stage.address for out, (stage, _) in declared.outs.items() if wanted.holds(out)
    )
    return wanted


def _path(scan: Scan, item: Tracked, before: Entry | None) -> PathStatus:
    here = scan.entry(item.path)
    if same(here, item.entry):
        return PathStatus(item.path, item.address, CLEAN)
    if here is None:
        if before is None:
            return PathStatus(item.path, item.address, ABSENT, absent=item.entry.files)
        return PathStatus(item.path, item.address, DELETED)
    state = BEHIND if same(here, before) else MODIFIED
    try:
        merged = presence(scan.tree, scan.put_tree, here, before, item.entry)
    except ObjectMissing:
        return PathStatus(item.path, item.address, state)
    if same(merged.entry, item.entry):
        return PathStatus(item.path, item.address, CLEAN, absent=merged.absent)
    if state == BEHIND:  # what its files are does not matter: nobody has edited one
        return PathStatus(item.path, item.address, BEHIND)
    differ = tuple(changes(scan.tree, item.entry, merged.entry))
    return PathStatus(item.path, item.address, MODIFIED, differ, merged.absent)


def _with_origin(repo: Repo, item: Tracked, found: PathStatus) -> PathStatus:
    """Say why files are absent, or older; the first that is not in the store decides."""
    if not found.absent and found.state != BEHIND:
        return found
    if repo.store.is_whole(item.entry):
        return found._replace(origin=FETCHED)
    for path, oid in read_dropped(repo.worktree_file(DROPPED_FILE)).items():
        if is_inside(path, item.path):
            with suppress(ObjectMissing):
                part = find(repo.store.tree, item.entry, path[len(item.path) + 1 :])
                if part is not None and part.oid == oid:
                    return found._replace(origin=DROPPED)
    return found._replace(origin=NEVER)


def _unrecorded(repo: Repo) -> list[PathStatus]:
    recorded = {item.path for item in repo.observed.tracked()}
    return [
        PathStatus(artifact.path, address, UNRECORDED)
        for address, artifact in repo.declared.artifacts.items()
        if artifact.path not in recorded and repo.declared.maker(artifact.path) is None
    ]


def _stages(repo: Repo, wanted: _Wanted | None, progress: Progress) -> list[StageStatus]:
    # A third of the start-up, which a project of data alone does without.
    from mlxrepo.pipeline.graph import build_graph
    from mlxrepo.pipeline.judge import Judge
    from mlxrepo.pipeline.preview import preview

    graph = build_graph(repo.declared)
    chosen = set(wanted.stages) if wanted else graph.stages.keys()
    # A stage is judged behind those it needs, shown only when asked for.
    judge = Judge(repo, progress=progress)
    reports = preview(judge, graph, graph.needed(chosen))
    judge.save()
    placed = repo.placed
    dropped = read_dropped(repo.worktree_file(DROPPED_FILE)).keys() - placed.keys()
    away = {
        stage.address
        for path, (stage, _) in repo.declared.outs.items()
        if path in dropped and not os.path.lexists(repo.full(path))
    }
    found = [
        _stage(report, placed, report.stage in away) for report in reports if report.stage in chosen
    ]
    return [_unless_running(repo, stage) for stage in found]


def _unless_running(repo: Repo, stage: StageStatus) -> StageStatus:
    """Say of a stage that is not up to date if it is on its way: its outs are not here then."""
    if stage.state == UP_TO_DATE:
        return stage
    claims = repo.claims("mlx status")
    for out in repo.declared.stages[stage.stage].outs:
        if holder := claims.holder(out.path):
            return StageStatus(stage.stage, RUNNING, stage.word, f"by {holder}")
    return stage


def _stage(report: StageReport, placed: Placed, is_away: bool) -> StageStatus:
    if report.outcome == UP_TO_DATE and is_away:
        why = "its outs were dropped here; mlx pull brings them"
        return StageStatus(report.stage, ABSENT, report.outcome, why)
    if report.outcome == UP_TO_DATE:
        return StageStatus(report.stage, UP_TO_DATE, report.outcome, report.why)
    never_here = [
        reason.what == "out" and reason.new == "is missing" and reason.name not in placed
        for reason in report.reasons
    ]
    if never_here and all(never_here):
        return StageStatus(report.stage, ABSENT, report.outcome, "its outs are not here")
    return StageStatus(report.stage, STALE, report.outcome, report.why)
