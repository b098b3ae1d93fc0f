"""One stage being run: outs set aside, the command, the outs collected or put back."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future

from mlxrepo.errors import InputError, MlxError, ObjectMissing, StageFailed
from mlxrepo.files import make_folder
from mlxrepo.paths import RepoPath, display
from mlxrepo.pipeline.actioncache import Result
from mlxrepo.pipeline.aside import Aside
from mlxrepo.pipeline.collect import collect
from mlxrepo.pipeline.decide import Decision
from mlxrepo.pipeline.devices import Lease
from mlxrepo.pipeline.executor import Finished, LocalExecutor, Task
from mlxrepo.pipeline.inputs import Inputs
from mlxrepo.pipeline.report import StageReport
from mlxrepo.pipeline.restore import bring_inputs
from mlxrepo.repo.claims import CHAIN_VARIABLE, RUN_VARIABLE
from mlxrepo.repo.layout import LOG_FILE, RUNS_FOLDER, stage_folder
from mlxrepo.repo.repo import Repo
from mlxrepo.repo.stage import Stage
from mlxrepo.repo.trash import new_trash
from mlxrepo.store.objects import Batch

OnLine = Callable[[str], None]


class Job:
    """A stage on its way, from `start` by `finish` or not to `succeed` or `give_up`."""

    def __init__(
        self, repo: Repo, inputs: Inputs, decision: Decision, run: str, lease: Lease | None = None
    ):
        self.stage = decision.action.stage
        self.decision = decision
        self.attempt = 1
        self._repo = repo
        self._inputs = inputs
        self._run = run
        self._lease = lease
        self._folder = stage_folder(self.stage.address)
        self._log = repo.shared(RUNS_FOLDER, run, self._folder, LOG_FILE)

    def start(self, executor: LocalExecutor, on_line: OnLine) -> Future[Finished]:
        """Make room for the outs and start the command.

        Raises:
            MlxError: when the command cannot be started here; everything is where it was then.
        """
        outs = [out.path for out in self.stage.outs]
        read = [dep.path for dep in self.decision.action.deps]
        if self._inputs.bring:  # else a params file is here, or could not be read
            read += [ref.file for ref in self.stage.params]
        bring_inputs(self._repo, read, self._inputs)
        self._refuse_missing()
        self._unknown = self._unknown_to_store(outs)
        # A log is no promise; what is set aside is, and flushes the folders it goes to.
        make_folder(os.path.dirname(self._log), flush=False)
        self._aside = Aside.take(
            self._repo,
            self._run,
            self._folder,
            outs,
            self._persistent(),
            stored=not self._unknown,
        )
        try:
            return self._submit(executor, on_line)
        except BaseException:
            self._aside.put_back()
            raise

    @property
    def may_retry(self) -> bool:
        """Say whether the command may be tried once more."""
        return self.attempt <= self.stage.retries

    def again(self, executor: LocalExecutor, on_line: OnLine, why: str) -> Future[Finished]:
        """Start a failed command again, the outs as they were at the first start."""
        self.attempt += 1
        with open(self._log, "a", encoding="utf-8") as log:
            log.write(f"\n--- mlx: attempt {self.attempt}, after {why} ---\n")
        self._aside.clear()
        self._aside.copy_back(self._persistent())
        return self._submit(executor, on_line)

    def _submit(self, executor: LocalExecutor, on_line: OnLine) -> Future[Finished]:
        for out in self.stage.outs:
            os.makedirs(os.path.dirname(self._repo.full(out.path)), exist_ok=True)
        return executor.submit(self._task(), on_line)

    def finish(self, finished: Finished, made: dict[str, str], batch: Batch) -> Result:
        """Collect what the finished command made.

        Raises:
            StageFailed: when it failed, did not make an out, or an input changed while it ran.
        """
        self.release()
        if not finished.is_good:
            raise self._failure(finished)
        changed = self._inputs.changed(self.decision.action)
        if changed:
            raise self._lost_input(changed[0])
        return collect(self._repo, batch, self.stage, made)

    def _failure(self, finished: Finished) -> StageFailed:
        attempts = f" (attempt {self.attempt} of {self.attempt})" if self.attempt > 1 else ""
        what = "failed: " + how_it_ended(finished, self.stage)
        return StageFailed(
            f"stage {self.stage.address} {what} from: {display(finished.command)}{attempts}",
            hint=f"the whole log is {self._log}",
            where=self.stage.where,
        )

    def _lost_input(self, name: str) -> StageFailed:
        """Return the error for an input that is not what it was when the command started."""
        again = f"what it made is in {self._aside.failed}"
        if os.path.lexists(self._repo.full(name)):
            what, hint = "changed", f"mlx repro {self.stage.address}; {again}"
        else:
            kept = any(True for _ in self._inputs.parts(RepoPath(name)))
            back = "mlx checkout" if kept else "git checkout --"
            what, hint = "disappeared", f"{back} {display(name)} brings it back; {again}"
        return StageFailed(
            f"{display(name)} {what} while stage {self.stage.address} was running, so it is not "
            "known what its outs were made from: nothing was recorded",
            hint=hint,
            where=self.stage.where,
        )

    def succeed(self) -> tuple[str, ...]:
        """Drop what was set aside; return notes for the user."""
        kept = self._aside.discard(self._unknown, new_trash(self._repo))
        return tuple(f"what was there before had no record: a copy is in {path}" for path in kept)

    def report(
        self,
        outcome: str,
        finished: Finished | None,
        *,
        error: MlxError | None = None,
        notes: tuple[str, ...] = (),
    ) -> StageReport:
        """Return the report of this stage; `finished` is None where no command ended."""
        done = finished or Finished(0, "", (), 0.0)
        return StageReport(
            self.stage.address,
            outcome,
            self.decision.reasons,
            self.decision.why,
            done.seconds,
            error,
            notes,
            done.tail if error else (),
            done.begun,
            done.ended,
            key=self.decision.action.key,
            exit_code=finished.code if finished else None,
            memory=done.memory,
            attempts=self.attempt,
        )

    @property
    def left(self) -> dict[RepoPath, str]:
        """Return where each out is that the command made, by its path, after `give_up`."""
        return self._aside.left

    def give_up(self) -> None:
        """Put back what was set aside."""
        self.release()
        self._aside.put_back()

    def release(self) -> None:
        """Give leased devices back."""
        lease, self._lease = self._lease, None
        if lease is not None:
            lease.release()

    def _persistent(self) -> list[RepoPath]:
        return [out.path for out in self.stage.outs if out.persist]

    def _refuse_missing(self) -> None:
        """Refuse to run on an input that only counted as unchanged because it is missing."""
        if not self._inputs.allow_missing:
            return
        for dep in self.decision.action.deps:
            if self._inputs.entry(dep.path) is None:
                raise ObjectMissing(
                    f"{display(dep.path)} is not here, and stage {self.stage.address} has to run: "
                    f"{self.decision.why}",
                    hint=f"bring {display(dep.path)} here first",
                    where=self.stage.where,
                )

    def _unknown_to_store(self, paths: list[RepoPath]) -> list[RepoPath]:
        """Return those outs whose present content the store does not have as a whole.

        What it has it keeps while the stage runs: the files go because of that.
        """
        found = [(path, self._inputs.scan.entry(path)) for path in paths]
        return [path for path, entry in found if entry and not self._repo.store.pin(entry)]

    def _task(self) -> Task:
        folder = self._repo.full(self.stage.wdir)
        if not os.path.isdir(folder):
            raise InputError(
                f'the working folder "{display(self.stage.wdir)}" of stage {self.stage.address} '
                "is not here, or was one of its outs",
                hint="a stage works in a folder that is there before it runs",
                where=self.stage.where,
            )
        return Task(
            self.stage.cmd,
            folder,
            _environment(self.stage, self._inputs.users_environment, self._run, self._lease),
            self._log,
            shell=self.stage.shell,
            timeout=self.stage.timeout,
            keep=self._lease.files if self._lease else (),
        )


def _environment(
    stage: Stage, users: dict[str, str], run: str, lease: Lease | None
) -> dict[str, str]:
    """Return the environment of a command: the user's, not bound to a git repository."""
    found = dict(users)
    # A fixed seed for str hashing makes sets and dicts of a run repeatable.
    found.setdefault("PYTHONHASHSEED", "0")
    # Python holds lines back when nobody seems to watch.
    found.setdefault("PYTHONUNBUFFERED", "1")
    found["MLXREPO_STAGE"] = stage.address
    found[RUN_VARIABLE] = run
    around = found.get(CHAIN_VARIABLE)
    found[CHAIN_VARIABLE] = (
        f"{around}:{run}/{stage.address}" if around else f"{run}/{stage.address}"
    )
    return found | (lease.environment if lease else {})


def how_it_ended(finished: Finished, stage: Stage) -> str:
    """Say how a command that failed ended."""
    if finished.timed_out:
        return f"timeout of {stage.timeout:g} s"
    return f"signal {-finished.code}" if finished.code < 0 else f"exit {finished.code}"
