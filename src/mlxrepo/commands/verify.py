"""mlx verify: are the bytes here what the record says, and does a run make them again?"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from mlxrepo.errors import CannotDecide, MlxError, ObjectMissing
from mlxrepo.paths import RepoPath, display, join
from mlxrepo.pipeline.accepted import acceptance
from mlxrepo.pipeline.alive import new_run_id
from mlxrepo.pipeline.decide import RUN, Decision, Reason, differences, sentence
from mlxrepo.pipeline.graph import build_graph
from mlxrepo.pipeline.inputs import Inputs
from mlxrepo.pipeline.journaling import Journal
from mlxrepo.pipeline.judge import Judge
from mlxrepo.pipeline.nondeterminism import cause
from mlxrepo.pipeline.report import Listener
from mlxrepo.pipeline.rerun import Rerun, rerun
from mlxrepo.progress import SILENT, Progress
from mlxrepo.repo.layout import RUNS_FOLDER, STAT_CACHE, stage_folder
from mlxrepo.repo.lockfile import StageRecord
from mlxrepo.repo.repo import Repo
from mlxrepo.repo.stage import Stage
from mlxrepo.repo.targets import resolve_stages
from mlxrepo.store.compare import changes, same
from mlxrepo.store.snapshot import Scan
from mlxrepo.store.statcache import StatCache
from mlxrepo.store.tree import Entry

SAME, DIFFERENT = "same", "different"
CAUSES_MAX = 100  # files that are looked into for a cause


class Difference(NamedTuple):
    """A file that is not as recorded.

    `role` is dep or out; `word` says what happened to it: modified, added, deleted or missing;
    `cause` is the likely one where two runs made different bytes.
    """

    path: RepoPath
    role: str
    word: str
    cause: str = ""


@dataclass(frozen=True, slots=True)
class Verified:
    """A stage: `word` is same or different, `files` were compared.

    `reasons` are differences of command, params and the like, `accepted` is set where no run made
    what is recorded, and `left` is the folder that has what a rerun made, where it differs.
    """

    stage: str
    word: str
    files: int
    differences: tuple[Difference, ...]
    reasons: tuple[Reason, ...]
    accepted: Reason | None
    left: str | None = None


def verify(
    repo: Repo,
    targets: Sequence[str] = (),
    *,
    again: bool = False,
    listener: Listener = lambda event: None,
    words: Sequence[str] = (),
    progress: Progress = SILENT,
) -> tuple[Verified, ...]:
    """Hash what stages read and made afresh and compare it with their records (default: all).

    With `again` each is run once more, without any cache, and what comes out is compared; the
    workspace and the records stay as they are.

    Raises:
        InputError: for a target that is no stage and nothing that a stage makes.
        CannotDecide: for a stage that has no record, or, with `again`, is not up to date.
        StageFailed: when it fails this time.
    """
    chosen = set(resolve_stages(targets, repo.place, repo.declared))
    graph = build_graph(repo.declared)
    judge = Judge(repo, acts=again, progress=progress)
    records = judge.records
    stages = [graph.stages[a] for a in graph.order if a in chosen or not targets]
    for stage in stages:
        if stage.address not in records:
            raise CannotDecide(
                f"nothing is recorded of stage {stage.address}, so there is nothing to compare",
                hint=f"mlx repro {stage.address}",
                where=stage.where,
            )
    if again:
        return _run_again(judge, stages, listener, words)
    _refuse_running(repo, stages)
    with _afresh(repo, progress) as inputs:
        return tuple(_hash_again(inputs, stage, records[stage.address]) for stage in stages)


# hashing


def _refuse_running(repo: Repo, stages: list[Stage]) -> None:
    claims = repo.claims("mlx verify")
    for stage in stages:
        for out in stage.outs:
            if holder := claims.holder(out.path):
                raise CannotDecide(
                    f"{display(out.path)} is in use by {holder}: what it will be is not known",
                    hint="again, when that is done",
                )


@contextlib.contextmanager
def _afresh(repo: Repo, progress: Progress) -> Iterator[Inputs]:
    """Yield inputs that are all read and hashed: nothing is taken from the stat cache."""
    with tempfile.TemporaryDirectory() as folder, Repo.open(repo.cwd) as other:
        other.cache = StatCache(os.path.join(folder, STAT_CACHE))
        yield Inputs(other, progress=progress)


def _hash_again(inputs: Inputs, stage: Stage, record: StageRecord) -> Verified:
    files: list[Difference] = []
    for dep in record.deps:
        files += _differing(inputs.scan, "dep", dep.path, dep.entry, inputs.entry(dep.path))
    for out in record.outs:
        files += _differing(inputs.scan, "out", out.path, out.entry, inputs.scan.entry(out.path))
    try:
        reasons = differences(inputs.action(stage, record), record)
    except MlxError as error:
        raise CannotDecide(error.message, hint=error.hint, where=error.where) from None
    others = tuple(reason for reason in reasons if reason.what != "dep")
    return _verified(stage, record, files, others)


def _verified(
    stage: Stage,
    record: StageRecord,
    files: list[Difference],
    reasons: tuple[Reason, ...] = (),
    left: str | None = None,
) -> Verified:
    read = sum(entry.files for _, entry in record.deps)
    return Verified(
        stage.address,
        DIFFERENT if files or reasons else SAME,
        read + sum(out.entry.files for out in record.outs),
        tuple(files),
        reasons,
        acceptance(stage.address, record),
        left,
    )


def _differing(
    scan: Scan, role: str, path: RepoPath, recorded: Entry, found: Entry | None
) -> list[Difference]:
    """Return the files at and below a path that differ from what is recorded."""
    if same(recorded, found):
        return []
    if found is None:
        return [Difference(path, role, "missing")]
    if "tree" not in (recorded.kind, found.kind):
        return [Difference(path, role, "modified")]
    try:
        differ = [(c.path, c.word) for c in changes(scan.tree, recorded, found)]
    except ObjectMissing:  # the recorded listing is not in this store
        return [Difference(path, role, "modified")]
    return [
        Difference(join(path, *([below] if below else [])), role, word) for below, word in differ
    ]


# running


def _run_again(
    judge: Judge, stages: list[Stage], listener: Listener, words: Sequence[str]
) -> tuple[Verified, ...]:
    decisions = [_to_rerun(judge, stage) for stage in stages]  # all, before anything runs
    run = new_run_id()
    found = []
    with Journal(judge.repo, run, listener, words) as journal:
        for decision in decisions:
            stage = decision.action.stage
            made = rerun(judge, decision, run, journal.tell)
            found.append(_compare(judge, stage, made, run))
    return tuple(found)


def _to_rerun(judge: Judge, stage: Stage) -> Decision:
    """Return what is to be run again; only of a stage that is up to date is there a comparison."""
    if any(out.persist for out in stage.outs):
        raise CannotDecide(
            f"stage {stage.address} goes on from what an out has already: a run of it cannot be "
            "compared with the one before",
            where=stage.where,
        )
    record = judge.records[stage.address]
    action = judge.inputs.action(stage, record)
    reasons = differences(action, record)
    if reasons or record.is_unverified:
        why = sentence(reasons) or "a merge chose its record"
        raise CannotDecide(
            f"stage {stage.address} is not up to date ({why}), so a run now would be another one "
            "than what is recorded",
            hint=f"mlx repro {stage.address} first",
            where=stage.where,
        )
    return Decision(action, RUN, (Reason("forced"),))


def _compare(judge: Judge, stage: Stage, made: Rerun, run: str) -> Verified:
    """Compare what came out with the record, and look for causes where it differs."""
    record = judge.records[stage.address]
    scan, repo = judge.inputs.scan, judge.repo
    files: list[Difference] = []
    for out in made.result.outs:
        recorded = next(known.entry for known in record.outs if known.path == out.path)
        for item in _differing(scan, "out", out.path, recorded, out.entry):
            why = ""
            if item.word == "modified" and len(files) < CAUSES_MAX:
                below = item.path[len(out.path) :]
                why = cause(repo.full(item.path), made.left[out.path] + below)
            files.append(item._replace(cause=why))
    left = repo.shared(RUNS_FOLDER, run, stage_folder(stage.address), "failed")
    return _verified(stage, record, files, left=left if files else None)
