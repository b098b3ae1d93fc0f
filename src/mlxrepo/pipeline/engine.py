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
from mlxrepo.pipeline.accepted import Standing
from mlxrepo.pipeline.claiming import CHANGED, CLAIMED, StageClaims
from mlxrepo.pipeline.decide import BLOCKED, RESTORE, RUN, UP_TO_DATE, Decision
from mlxrepo.pipeline.devices import Devices, Lease, holder
from mlxrepo.pipeline.executor import Finished, LocalExecutor
from mlxrepo.pipeline.graph import Graph
from mlxrepo.pipeline.hide import Hider
from mlxrepo.pipeline.interrupts import uninterrupted
from mlxrepo.pipeline.job import Job, OnLine, how_it_ended
from mlxrepo.pipeline.judge import Judge
from mlxrepo.pipeline.maker import maker
from mlxrepo.pipeline.pending import IDLE_SECONDS, Done, Pending
from mlxrepo.pipeline.recording import Recorder, make_record
from mlxrepo.pipeline.report import Event, Listener, StageReport, with_standing
from mlxrepo.pipeline.resources import GPU, demand, totals
from mlxrepo.pipeline.restore import restore_outs
from mlxrepo.pipeline.schedule import Schedule
from mlxrepo.repo.claims import LOOK_SECONDS
from mlxrepo.repo.lockfile import StageRecord
from mlxrepo.repo.stage import Stage


class Engine:
    """One run: brings stages up to date and tells the listener."""

    def __init__(
        self,
        judge: Judge,
        graph: Graph,
        listener: Listener,
        *,
        jobs: int = 1,
        keep_going: bool = False,
        run_id: str,
    ):
        self.judge = judge
        self.repo = judge.repo
        self.graph = graph
        self.listener = listener
        self.run_id = run_id
        self.reports: list[StageReport] = []
        self._jobs = jobs
        self._keep_going = keep_going
        self._first_failed = ""
        self._executor = LocalExecutor(jobs)
        self._recorder = Recorder(self.repo)
        self._pending = Pending(self.repo)
        self._running: dict[Future[Finished], Job] = {}
        self._decided: dict[str, Decision] = {}  # to run, when their turn comes
        self._no_device_until = 0.0
        self._claimed = StageClaims(judge.inputs, self.run_id)
        self._told: dict[str, str] = {}

    def run(self, addresses: Iterable[str]) -> list[StageReport]:
        """Bring the stages up to date and return a report of each, in their order.

        A failed stage blocks what needs it; the others are started if the run is to keep going.
        """
        addresses = list(addresses)
        self._standing = Standing(self.graph, self.judge)
        self.listener(Event("begin", "", str(len(addresses))))
        if all(self.judge.is_settled(self.graph.stages[address]) for address in addresses):
            for address in addresses:
                self._end(StageReport(address, UP_TO_DATE))
            return self.reports
        stages = [self.graph.stages[address] for address in addresses]
        self._hider = Hider(self.repo, stages)
        gpus = any(stage.resources.gpus for stage in stages)
        self._devices = Devices(os.environ) if gpus else None
        there = len(self._devices.all) if self._devices else 0
        self._totals = totals(stages, self.repo.settings, self._jobs, there)
        upstream = {s.address: () if s.frozen else self.graph.upstream[s.address] for s in stages}
        self._schedule = Schedule(addresses, upstream, self._totals)
        with self._clean_end():
            while self._step():
                pass
        self._report_rest(addresses)
        last = {report.stage: report for report in self.reports}  # of one that was redone
        return [last[address] for address in addresses]

    def _step(self) -> bool:
        """Do the next thing there is to do; say whether there was one."""
        if self._pending.is_due:
            self._commit()
        if self._claimed.is_many:
            self._flush()
        if self._goes_on:
            self._look_again()
            if self._start_next():
                return True
            address = self._schedule.take() if self._schedule.has_room else None
            if address is not None:
                self._settle(self.graph.stages[address])
                return True
        if self._running:
            for future in self._wait():
                self._finish(self._running.pop(future), future)
            return True
        self._commit()
        others = self._claimed.is_waiting or self._schedule.waiting
        if self._goes_on and others:
            self._flush()
            time.sleep(LOOK_SECONDS)
            return True
        return False

    @property
    def _goes_on(self) -> bool:
        return self._keep_going or not self._first_failed

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
            try:
                self._commit()
            finally:
                self._flush()
                self._claimed.close()
                self.judge.save()

    def _flush(self) -> None:
        """Write what is to be recorded; others may have it then."""
        self._recorder.flush()
        self._claimed.release_recorded()

    # company

    def _claim(self, decision: Decision) -> bool:
        """Claim what a stage writes and reads; if that fails decide about it anew, now or soon."""
        address = decision.action.stage.address
        found = self._claimed.take(decision.action)
        if found is CLAIMED:
            return True
        if found is CHANGED:
            self._reload()
            self._schedule.again(address)
            return False
        self._tell_wait(address, str(found))
        self._schedule.later(address)
        return False

    def _look_again(self) -> None:
        """Decide anew about stages that others had."""
        held = self._claimed.due()
        if held:
            self._reload()
            for address in held:
                self._schedule.again(address)

    def _tell_wait(self, address: str, what: str) -> None:
        if self._told.get(address) != what:
            self._told[address] = what
            self.listener(Event("note", address, f"waits for {what}"))

    def _reload(self) -> None:
        self._commit()
        self._flush()
        if not self.repo.is_observed_now:
            self.repo.forget_observed()  # what is declared stays as the run began
        self.judge.reload()

    # deciding

    def _settle(self, stage: Stage) -> None:
        """Decide about a stage and do what was decided; one that is to run waits for its turn."""
        if self.judge.is_settled(stage):
            self._schedule.done(stage.address)
            self._end(StageReport(stage.address, UP_TO_DATE))
            return
        try:
            decision = self.judge.decide(stage)
            if decision.word == RESTORE and not self._claim(decision):
                return
            if decision.word == RUN:
                wanted, notes = demand(stage, self._totals)
                self._schedule.want(stage.address, wanted)
                self._decided[stage.address] = decision
                for note in (*decision.notes, *notes):
                    self.listener(Event("note", stage.address, note))
                return
            notes = self._restore(decision) if decision.word == RESTORE else ()
            self._note_known(decision)
        except MlxError as error:
            self._claimed.release(stage.address)
            held = self._claimed.maker_at_work(stage)
            if held is not None:
                self._tell_wait(stage.address, str(held))
                self._claimed.wait_for(stage.address, held)
                return
            self._give_up(stage, error)
            return
        outcome = "restored" if decision.word == RESTORE else UP_TO_DATE
        self._schedule.done(stage.address)
        why, key = decision.why, decision.action.key
        self._end(StageReport(stage.address, outcome, decision.reasons, why, notes=notes, key=key))

    def _restore(self, decision: Decision) -> tuple[str, ...]:
        self._hider.hide(decision.action.stage)
        outs = self.judge.to_place(decision)
        return (*decision.notes, *restore_outs(self.repo, outs, self.judge.inputs))

    def _note_known(self, decision: Decision) -> None:
        """Note what is known to come out of a stage, unless it is on record in the same roles."""
        stage, result = decision.action.stage, decision.result
        if result is None:  # frozen, and nothing is known but what is here
            return
        same_roles = {out[:3] for out in result.outs} == {out[:3] for out in stage.outs}
        if decision.word == UP_TO_DATE and (same_roles or stage.frozen):
            return
        known = self.judge.records.get(stage.address) if stage.frozen else None
        record = known or make_record(self.repo, decision.action, result)
        self._claimed.share(stage.address)
        self._note(stage, record, same_roles=same_roles)
        if not stage.frozen:
            self.judge.settle(stage, record)
        self._recorder.note(stage, record)
        self._claimed.recorded(stage.address)

    def _note(self, stage: Stage, record: StageRecord, *, same_roles: bool) -> None:
        """Count a stage as recorded so, for those that need it."""
        known = self.judge.records.get(stage.address)
        if known is not None:
            self._hider.show(stage, {out.path for out in known.outs if out.cache})
        if not same_roles:
            self._hider.hide(stage)
        self.judge.note(stage, record)

    # running

    def _start_next(self) -> bool:
        """Start a stage that waits and may start now; say whether there was one."""
        closed = (GPU,) if time.monotonic() < self._no_device_until else ()
        address = self._schedule.start(closed)
        if address is None:
            return False
        stage = self.graph.stages[address]
        try:
            if not self._claim(self._decided[address]):
                return True
            lease = self._lease(stage)
            if stage.resources.gpus and lease is None:
                self._claimed.release(address)
                self._schedule.put_back(address)
                self._no_device_until = time.monotonic() + LOOK_SECONDS
                return True
            self._start(self._decided.pop(address), lease)
        except MlxError as error:
            self._claimed.release(address)
            self._give_up(stage, error)
        return True

    def _lease(self, stage: Stage) -> Lease | None:
        """Take the devices that a stage wants; None where it wants none or must wait for them."""
        if self._devices is None or not stage.resources.gpus:
            return None
        lease = self._devices.lease(stage.resources.gpus, holder(stage.address))
        if lease is None:
            held = "; ".join(self._devices.holders())
            if held:
                self._tell_wait(stage.address, f"a GPU: {held}")
        return lease

    def _start(self, decision: Decision, lease: Lease | None) -> None:
        stage = decision.action.stage
        self.judge.inputs.interpreter.begin()
        self.judge.look_again()
        job = Job(self.repo, self.judge.inputs, decision, self.run_id, lease)
        try:
            self._hider.hide(stage)
            self.listener(Event("start", stage.address, decision.why, decision=decision))
            self._running[job.start(self._executor, self._on_line(stage))] = job
        except BaseException:
            job.release()
            raise

    def _on_line(self, stage: Stage) -> OnLine:
        return lambda line: self.listener(Event("line", stage.address, line))

    def _wait(self) -> set[Future[Finished]]:
        """Wait for stages to end; what is known is written when nothing else is to be done."""
        waits = [self._recorder.due_in(), IDLE_SECONDS if self._pending.is_open else None]
        no_device = self._schedule.waiting and self._no_device_until
        if self._goes_on and (no_device or self._claimed.is_waiting):
            waits.append(LOOK_SECONDS)
        timeout = min((seconds for seconds in waits if seconds is not None), default=None)
        done, _ = wait(self._running, timeout, FIRST_COMPLETED)
        if not done:
            self._commit()
        if self._recorder.due_in() == 0.0:
            self._flush()
        return done

    def _finish(self, job: Job, future: Future[Finished]) -> None:
        """Take what came out of a command; those that need it may start, the user is told later."""
        stage, decision = job.stage, job.decision
        finished: Finished | None = None
        try:
            finished = future.result()
            if not finished.is_good and job.may_retry:
                self._retry(job, finished)
                return
            result = job.finish(finished, self._maker, self._pending.batch())
            record = make_record(self.repo, decision.action, result)
        except MlxError as error:
            job.give_up()
            self._claimed.release(stage.address)
            self._fail(job.report("failed", finished, error=error))
            return
        except BaseException:
            job.give_up()
            raise
        self._claimed.share(stage.address)
        self._note(stage, record, same_roles=True)
        self.judge.settle(stage, record)
        self._pending.add(Done(job, finished, result, record))
        self._schedule.done(stage.address)

    def _retry(self, job: Job, finished: Finished) -> None:
        how = how_it_ended(finished, job.stage)
        future = job.again(self._executor, self._on_line(job.stage), how)
        self._running[future] = job
        left = f"attempt {job.attempt} of {job.stage.retries + 1}, after {how}"
        self.listener(Event("note", job.stage.address, left))

    def _commit(self) -> None:
        """Put on disk what finished stages made, then on record, and tell that they are done."""
        with uninterrupted():
            reports = [self._keep(done) for done in self._pending.publish()]
        for report in reports:
            self._end(report)

    def _keep(self, done: Done) -> StageReport:
        decision, stage = done.job.decision, done.job.stage
        self._recorder.note(stage, done.record)
        if not stage.always_changed and not any(out.persist for out in stage.outs):
            action = decision.action
            self.judge.actions.put(action.key, action.describe(), done.result)
        else:  # only the record will know that it ran
            self._recorder.flush()
        self._claimed.recorded(stage.address)
        return done.job.report("ran", done.finished, notes=done.job.succeed())

    @cached_property
    def _maker(self) -> dict[str, str]:
        """Who makes results in this run, where, with what, and at which commit."""
        python = self.judge.inputs.interpreter() or ""
        return {**maker(self.repo.git), "run": self.run_id, "interpreter": python}

    # telling

    def _report_rest(self, addresses: list[str]) -> None:
        """Report the stages that were not looked at: something failed before their turn."""
        told = {report.stage for report in self.reports}
        for address in addresses:
            if address in told:
                continue
            failed = self._schedule.blocked.get(address)
            outcome, cause = (BLOCKED, failed) if failed else ("skipped", self._first_failed)
            self._end(StageReport(address, outcome, why=f"{cause} failed"))

    def _give_up(self, stage: Stage, error: MlxError) -> None:
        """Fail a stage that cannot start, unless what it lacks can be made anew."""
        if not self._schedule.redo(self.judge.lost_makers(stage), stage.address):
            self._fail(StageReport(stage.address, "failed", error=error))

    def _fail(self, report: StageReport) -> None:
        self._first_failed = self._first_failed or report.stage
        self._schedule.failed(report.stage)
        self._end(report)

    def _end(self, report: StageReport) -> None:
        report = with_standing(report, self._standing.of(report.stage))
        self.reports.append(report)
        self.listener(Event("end", report.stage, report=report))
