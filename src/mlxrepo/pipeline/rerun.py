"""Running a stage again to see whether the same comes out: nothing is recorded, and outs stay."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

from mlxrepo.errors import Refused
from mlxrepo.paths import RepoPath
from mlxrepo.pipeline.actioncache import Result
from mlxrepo.pipeline.claiming import CLAIMED, StageClaims
from mlxrepo.pipeline.decide import Decision
from mlxrepo.pipeline.devices import Devices, Lease, holder
from mlxrepo.pipeline.executor import LocalExecutor
from mlxrepo.pipeline.hide import Hider
from mlxrepo.pipeline.job import Job, how_it_ended
from mlxrepo.pipeline.judge import Judge
from mlxrepo.pipeline.report import Event, Listener
from mlxrepo.pipeline.resources import demand, totals
from mlxrepo.repo.claims import LOOK_SECONDS, Held
from mlxrepo.repo.repo import Repo
from mlxrepo.repo.stage import Stage

CHECKED = "checked"  # the outcome: nothing was made that stays


@dataclass(frozen=True, slots=True)
class Rerun:
    """What came out this time; `left` says where each out lies that was made, by its path."""

    result: Result
    left: dict[RepoPath, str]


def rerun(judge: Judge, decision: Decision, run: str, listener: Listener) -> Rerun:
    """Run a stage with no cache; afterwards its outs are here as they were, the new ones aside.

    Raises:
        StageFailed: when it fails, or an input changes meanwhile.
        Refused: when records changed meanwhile.
    """
    claims = StageClaims(judge.inputs, run, "mlx verify")
    executor = LocalExecutor(1)
    try:
        _claim(claims, decision, listener)
        lease = _lease(judge.repo, decision.action.stage, listener)
        job = Job(judge.repo, judge.inputs, decision, run, lease)
        listener(Event("start", job.stage.address, decision.why, decision=decision))
        return _play(job, executor, judge, listener)
    finally:
        executor.close()
        claims.close()


def _play(job: Job, executor: LocalExecutor, judge: Judge, listener: Listener) -> Rerun:
    """Run the command and collect what it made; whatever happens, the outs are put back."""
    stage = job.stage

    def on_line(line: str) -> None:
        listener(Event("line", stage.address, line))

    try:
        Hider(judge.repo, [stage]).hide(stage)
        running = job.start(executor, on_line)
    except BaseException:
        job.release()
        raise
    try:
        finished = running.result()
        while not finished.is_good and job.may_retry:
            finished = job.again(executor, on_line, how_it_ended(finished, stage)).result()
        with judge.repo.store.batch() as batch:
            result = job.finish(finished, {}, batch)
    except BaseException:
        executor.stop()
        raise
    finally:
        job.give_up()
    listener(Event("end", stage.address, report=job.report(CHECKED, finished)))
    return Rerun(result, job.left)


def _claim(claims: StageClaims, decision: Decision, listener: Listener) -> None:
    told = ""
    while isinstance(found := claims.take(decision.action), Held):
        if str(found) != told:
            told = str(found)
            listener(Event("note", decision.action.stage.address, f"waits for {told}"))
        time.sleep(LOOK_SECONDS)
    if found is not CLAIMED or told:
        raise Refused(
            f"stage {decision.action.stage.address} was run by another mlx meanwhile",
            hint="again: then it is compared with what is recorded now",
        )


def _lease(repo: Repo, stage: Stage, listener: Listener) -> Lease | None:
    """Wait for the devices that a stage wants.

    Raises:
        InputError: when it asks for more than there are.
    """
    if not stage.resources.gpus:
        return None
    devices = Devices(os.environ)
    demand(stage, totals([stage], repo.settings, 1, len(devices.all)))
    listener(Event("note", stage.address, "takes its GPUs"))
    while (lease := devices.lease(stage.resources.gpus, holder(stage.address))) is None:
        time.sleep(LOOK_SECONDS)
    return lease
