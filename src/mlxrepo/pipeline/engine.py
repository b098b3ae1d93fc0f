"""The loop: for each ready stage decide, then do nothing, restore or run, and record.

Scheduling (schedule.py), deciding (decide.py) and doing (executor.py) know nothing of each other;
they meet here.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, wait
from dataclasses import dataclass, field

from mlxrepo.errors import MlxError
from mlxrepo.paths import RepoPath
from mlxrepo.pipeline.action import Action
from mlxrepo.pipeline.actioncache import ActionCache, Result
from mlxrepo.pipeline.aside import RunFolder, recover
from mlxrepo.pipeline.decide import RESTORE, RUN, UP_TO_DATE, Decision, Reason, decide
from mlxrepo.pipeline.executor import LocalExecutor
from mlxrepo.pipeline.graph import Graph
from mlxrepo.pipeline.inputs import Inputs
from mlxrepo.pipeline.job import Job, finish_job, settle_job, start_job
from mlxrepo.pipeline.recording import Recorder, by_history
from mlxrepo.pipeline.restore import restore_outs
from mlxrepo.pipeline.schedule import Schedule
from mlxrepo.progress import SILENT, Progress
from mlxrepo.repo import gitignore
from mlxrepo.repo.lockfile import StageRecord
from mlxrepo.repo.project import Stage
from mlxrepo.repo.repo import Repo


@dataclass(frozen=True, slots=True)
class StageReport:
    """What was done about one stage.

    Outcome is up-to-date, restored, ran, failed or blocked; in a dry run the decision's word.
    """

    stage: str
    outcome: str
    reasons: tuple[Reason, ...] = ()
    why: str = ""
    seconds: float = 0.0
    error: MlxError | None = None
    notes: tuple[str, ...] = ()
    tail: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Event:
    """Something a listener may show: kind is start, line or end."""

    kind: str
    stage: str
    text: str = ""
    report: StageReport | None = None


Listener = Callable[[Event], None]


class Judge:
    """Decides about stages of one look at the repository; changes nothing."""

    def __init__(
        self,
        repo: Repo,
        *,
        force: frozenset[str] = frozenset(),
        use_cache: bool = True,
        progress: Progress = SILENT,
    ):
        self.repo = repo
        self.records: dict[str, StageRecord] = repo.observed.stages()
        self.inputs = Inputs(repo, repo.observed, progress=progress)
        self.actions = ActionCache(repo.shared("actions"))
        self._force = force
        self._use_cache = use_cache

    def decide(self, stage: Stage) -> tuple[Action, Decision]:
        """Resolve a stage's inputs and decide about it.

        Raises:
            InputError: when an input is nowhere.
        """
        action = self.inputs.action(stage)
        decision = decide(
            action,
            self.records.get(stage.address),
            {out.path: self.inputs.scan.entry(out.path) for out in stage.outs},
            lambda: self._cached(action),
            self.repo.store.is_whole,
            force=stage.address in self._force,
        )
        return action, decision

    def _cached(self, action: Action) -> list[Result]:
        if not self._use_cache:
            return []
        results = self.actions.get(action.key)
        if len({result.outs for result in results}) > 1:
            return by_history(self.repo, action.key, results)
        return results

    def note(self, stage: Stage, record: StageRecord) -> None:
        """Count a stage as recorded so, for those that need it."""
        self.records[stage.address] = record
        self.inputs.note_outs(stage, record.outs)


def make_record(action: Action, result: Result) -> StageRecord:
    """Return the record of an action with its result."""
    return StageRecord(
        key=action.key,
        cmd=action.cmd,
        wdir=action.wdir,
        deps=action.deps,
        params=action.params,
        environment=action.environment,
        outs=result.outs,
        metrics={file: dict(values) for file, values in result.metrics.items() if values},
    )


class Engine:
    """One run: brings stages up to date and tells the listener."""

    def __init__(self, judge: Judge, graph: Graph, listener: Listener, *, jobs: int = 1):
        self.judge = judge
        self.repo = judge.repo
        self.graph = graph
        self.listener = listener
        self.run_id = time.strftime("%Y%m%d-%H%M%S-") + secrets.token_hex(3)
        self.reports: list[StageReport] = []
        self._recorder = Recorder(self.repo)
        self._jobs = jobs
        self._executor = LocalExecutor(jobs)
        self._running: dict[str, Job] = {}
        self._folder: RunFolder | None = None
        self._made: dict[str, str] | None = None
        self._visible: set[RepoPath] | None = None

    def run(self, addresses: Iterable[str]) -> list[StageReport]:
        """Bring the stages up to date, in order; they include all they need.

        A failed stage blocks what needs it; the others are not started any more.
        """
        schedule = Schedule(addresses, self.graph.upstream)
        recover(self.repo)
        with self._clean_end():
            while True:
                failed = any(report.error for report in self.reports)
                while len(self._running) < self._jobs and not failed:
                    address = schedule.take()
                    if address is None:
                        break
                    failed = not self._settle(address, schedule)
                if not self._running:
                    break
                self._wait(schedule)
        for address in schedule.blocked:
            self._end(StageReport(address, "blocked"))
        return self.reports

    @contextlib.contextmanager
    def _clean_end(self) -> Iterator[None]:
        """Whatever happens: stop what runs, put outs back, write what is known."""
        try:
            yield
        except BaseException as error:
            self._executor.stop()
            for job in self._running.values():
                with contextlib.suppress(Exception):
                    job.future.result()
                settle_job(self.repo, job, error)
            raise
        finally:
            self._executor.close()
            self._recorder.flush()
            if self._folder:
                self._folder.close()

    def _settle(self, address: str, schedule: Schedule) -> bool:
        """Decide about a stage and do what was decided; say whether the run may go on."""
        stage = self.graph.stages[address]
        try:
            action, decision = self.judge.decide(stage)
            if decision.word == RUN:
                self._start(stage, action, decision)
                return True
            notes = self._restore(stage, action, decision) if decision.word == RESTORE else ()
        except MlxError as error:
            schedule.failed(address)
            self._end(StageReport(address, "failed", error=error))
            return False
        outcome = "restored" if decision.word == RESTORE else UP_TO_DATE
        self._end(StageReport(address, outcome, decision.reasons, decision.why, notes=notes))
        schedule.done(address)
        return True

    def _restore(self, stage: Stage, action: Action, decision: Decision) -> tuple[str, ...]:
        assert decision.result is not None
        self._hide(stage)
        notes = restore_outs(self.repo, decision.result.outs, self.judge.inputs)
        self._record(stage, action, decision.result)
        return notes

    def _start(self, stage: Stage, action: Action, decision: Decision) -> None:
        self._hide(stage)
        if self._folder is None:
            self._folder = RunFolder(self.repo, self.run_id)
        self.listener(Event("start", stage.address, decision.why))
        self._running[stage.address] = start_job(
            self.repo,
            self.judge.inputs,
            self._executor,
            (stage, action, decision),
            (self.run_id, self._folder.stage(stage.address)),
            lambda line: self.listener(Event("line", stage.address, line)),
        )

    def _hide(self, stage: Stage) -> None:
        """Let git ignore a stage's outs before they exist."""
        if self._visible is None:
            paths = [path for path, (_, out) in self.repo.declared.outs.items() if out.cache]
            self._visible = set(paths) - {RepoPath(p) for p in self.repo.git.ignored(paths)}
        mine = [out.path for out in stage.outs if out.path in self._visible]
        gitignore.add_lines(self.repo.root, mine)
        self._visible.difference_update(mine)

    def _wait(self, schedule: Schedule) -> None:
        self._recorder.flush()
        futures = {job.future: address for address, job in self._running.items()}
        done, _ = wait(futures, return_when=FIRST_COMPLETED)
        for future in done:
            address = futures[future]
            self._finish(self._running[address], schedule)

    def _finish(self, job: Job, schedule: Schedule) -> None:
        address = job.stage.address
        finished = None
        try:
            finished = job.future.result()
            result = finish_job(self.repo, self.judge.inputs, job, finished, self._maker())
        except MlxError as error:
            settle_job(self.repo, job, error)
            del self._running[address]
            schedule.failed(address)
            self._end(_failure(job, error, finished.tail if finished else ()))
            return
        self.judge.actions.put(job.action.key, job.action.describe(), result)
        self._record(job.stage, job.action, result)
        del self._running[address]
        notes = settle_job(self.repo, job, None)
        decision = job.decision
        self._end(
            StageReport(
                address, "ran", decision.reasons, decision.why, finished.seconds, notes=notes
            )
        )
        schedule.done(address)

    def _record(self, stage: Stage, action: Action, result: Result) -> None:
        record = make_record(action, result)
        self.judge.note(stage, record)
        self._recorder.note(stage, record)

    def _maker(self) -> dict[str, str]:
        """Return who makes results in this run, where, and at which commit."""
        if self._made is None:
            git = self.repo.git
            commit = git.run("rev-parse", "--verify", "--quiet", "HEAD", accept=(0, 1, 128))[1]
            email = git.run("config", "user.email", accept=(0, 1))[1]
            self._made = {
                "by": email.decode("utf-8", "replace").strip(),
                "host": os.uname().nodename,
                "commit": commit.decode().strip(),
                "run": self.run_id,
            }
        return self._made

    def _end(self, report: StageReport) -> None:
        self.reports.append(report)
        self.listener(Event("end", report.stage, report=report))


def _failure(job: Job, error: MlxError, tail: tuple[str, ...]) -> StageReport:
    decision = job.decision
    return StageReport(
        job.stage.address, "failed", decision.reasons, decision.why, error=error, tail=tail
    )
