"""The loop: for each ready stage decide, then do nothing, restore or run, and record.

Scheduling (schedule.py), deciding (decide.py) and doing (executor.py) know nothing of each other;
they meet here.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from functools import cached_property

from mlxrepo.errors import MlxError
from mlxrepo.pipeline.actioncache import Result
from mlxrepo.pipeline.decide import BLOCKED, RESTORE, RUN, UP_TO_DATE, Decision
from mlxrepo.pipeline.executor import Finished, LocalExecutor
from mlxrepo.pipeline.graph import Graph
from mlxrepo.pipeline.hide import Hider
from mlxrepo.pipeline.job import Job
from mlxrepo.pipeline.judge import Judge
from mlxrepo.pipeline.recording import Recorder, make_record
from mlxrepo.pipeline.report import Event, Listener, StageReport
from mlxrepo.pipeline.restore import restore_outs
from mlxrepo.pipeline.schedule import Schedule


class Engine:
    """One run: brings stages up to date and tells the listener."""

    def __init__(self, judge: Judge, graph: Graph, listener: Listener, *, jobs: int = 1):
        self.judge = judge
        self.repo = judge.repo
        self.graph = graph
        self.listener = listener
        self.run_id = time.strftime("%Y%m%d-%H%M%S-") + os.urandom(3).hex()
        self.reports: list[StageReport] = []
        self._recorder = Recorder(self.repo)
        self._jobs = jobs
        self._executor = LocalExecutor(jobs)
        self._running: dict[Future[Finished], Job] = {}

    def run(self, addresses: Iterable[str]) -> list[StageReport]:
        """Bring the stages up to date, in order; they include all they need.

        A failed stage blocks what needs it; the others are not started any more.
        """
        addresses = list(addresses)
        self._hider = Hider(self.repo, [self.graph.stages[address] for address in addresses])
        schedule = Schedule(addresses, self.graph.upstream)
        with self._clean_end():
            while True:
                while len(self._running) < self._jobs and not self._failed:
                    address = schedule.take()
                    if address is None:
                        break
                    self._settle(address, schedule)
                if not self._running:
                    break
                for future in self._wait():
                    self._finish(self._running[future], future, schedule)
        self._report_rest(addresses, schedule)
        return self.reports

    @property
    def _failed(self) -> str | None:
        return next((report.stage for report in self.reports if report.error), None)

    @contextlib.contextmanager
    def _clean_end(self) -> Iterator[None]:
        """Whatever happens: stop what runs, put outs back, write what is known."""
        try:
            yield
        except BaseException:
            self._executor.stop()
            wait(self._running)
            for job in self._running.values():
                job.give_up()
            raise
        finally:
            self._executor.close()
            self._recorder.flush()

    def _settle(self, address: str, schedule: Schedule) -> None:
        """Decide about a stage and do what was decided; a run goes on in the background."""
        stage = self.graph.stages[address]
        try:
            decision = self.judge.decide(stage)
            if decision.word == RUN:
                self._start(decision)
                return
            notes = self._restore(decision) if decision.word == RESTORE else ()
            self._record(decision, decision.result)
        except MlxError as error:
            schedule.failed(address)
            self._end(StageReport(address, "failed", error=error))
            return
        outcome = "restored" if decision.word == RESTORE else UP_TO_DATE
        schedule.done(address)
        self._end(StageReport(address, outcome, decision.reasons, decision.why, notes=notes))

    def _restore(self, decision: Decision) -> tuple[str, ...]:
        assert decision.result is not None
        self._hider.hide(decision.action.stage)
        return restore_outs(self.repo, decision.result.outs, self.judge.inputs)

    def _start(self, decision: Decision) -> None:
        stage = decision.action.stage
        self._hider.hide(stage)
        self.listener(Event("start", stage.address, decision.why))
        job = Job(self.repo, self.judge.inputs, decision, self.run_id)
        future = job.start(
            self._executor, lambda line: self.listener(Event("line", stage.address, line))
        )
        self._running[future] = job

    def _wait(self) -> set[Future[Finished]]:
        """Wait for a stage to end; meanwhile what is known is written when it is due."""
        done, _ = wait(self._running, self._recorder.due_in(), FIRST_COMPLETED)
        self._recorder.flush_if_due()
        return done or wait(self._running, return_when=FIRST_COMPLETED)[0]

    def _finish(self, job: Job, future: Future[Finished], schedule: Schedule) -> None:
        address, decision = job.stage.address, job.decision
        tail: tuple[str, ...] = ()
        try:
            finished = future.result()
            tail = finished.tail
            result = job.finish(finished, self._maker)
        except MlxError as error:
            job.give_up()
            del self._running[future]
            schedule.failed(address)
            why = decision.why
            self._end(StageReport(address, "failed", decision.reasons, why, error=error, tail=tail))
            return
        self.judge.actions.put(decision.action.key, decision.action.describe(), result)
        self._record(decision, result)
        del self._running[future]
        notes = job.succeed()
        schedule.done(address)
        seconds = finished.seconds
        self._end(StageReport(address, "ran", decision.reasons, decision.why, seconds, notes=notes))

    def _record(self, decision: Decision, result: Result | None) -> None:
        """Note what came out of a stage, in the roles it has now, unless that is on record."""
        stage = decision.action.stage
        known = self.judge.records.get(stage.address)
        assert result is not None
        same_roles = {out[:3] for out in result.outs} == {out[:3] for out in stage.outs}
        if decision.word == UP_TO_DATE and same_roles:
            return
        if known is not None:
            self._hider.show(stage, {out.path for out in known.outs if out.cache})
        if not same_roles:
            self._hider.hide(stage)
        record = make_record(self.repo, decision.action, result)
        self.judge.note(stage, record)
        self._recorder.note(stage, record)

    @cached_property
    def _maker(self) -> dict[str, str]:
        """Who makes results in this run, where, and at which commit."""
        git = self.repo.git
        commit = git.run("rev-parse", "--verify", "--quiet", "HEAD", accept=(0, 1, 128))[1]
        email = git.run("config", "user.email", accept=(0, 1))[1]
        return {
            "by": email.decode("utf-8", "replace").strip(),
            "host": os.uname().nodename,
            "commit": commit.decode().strip(),
            "run": self.run_id,
        }

    def _report_rest(self, addresses: list[str], schedule: Schedule) -> None:
        """Report the stages that were not looked at: something failed before their turn."""
        told = {report.stage for report in self.reports}
        why = f"{self._failed} failed"
        for address in addresses:
            if address not in told:
                blocked = address in schedule.blocked
                self._end(StageReport(address, BLOCKED if blocked else "skipped", why=why))

    def _end(self, report: StageReport) -> None:
        self.reports.append(report)
        self.listener(Event("end", report.stage, report=report))
