"""One stage being run: outs set aside, the command, the outs collected or put back."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future

from mlxrepo.errors import InputError, StageFailed
from mlxrepo.files import make_folder
from mlxrepo.paths import RepoPath, display
from mlxrepo.pipeline.actioncache import Result
from mlxrepo.pipeline.aside import Aside
from mlxrepo.pipeline.collect import collect
from mlxrepo.pipeline.decide import Decision
from mlxrepo.pipeline.executor import Finished, LocalExecutor, Task
from mlxrepo.pipeline.inputs import Inputs
from mlxrepo.pipeline.orphans import RUN_VARIABLE
from mlxrepo.pipeline.restore import bring_inputs
from mlxrepo.repo.git import clean_environment
from mlxrepo.repo.layout import RUNS_FOLDER
from mlxrepo.repo.project import Stage
from mlxrepo.repo.repo import Repo
from mlxrepo.repo.trash import new_trash

LOG = "log"


class Job:
    """A stage on its way, from `start` by `finish` or not to `succeed` or `give_up`."""

    def __init__(self, repo: Repo, inputs: Inputs, decision: Decision, run: str):
        self.stage = decision.action.stage
        self.decision = decision
        self._repo = repo
        self._inputs = inputs
        self._run = run
        self._folder = self.stage.address.replace("/", "__").replace(":", "__")
        self._log = repo.shared(RUNS_FOLDER, run, self._folder, LOG)

    def start(self, executor: LocalExecutor, on_line: Callable[[str], None]) -> Future[Finished]:
        """Make room for the outs and start the command.

        Raises:
            MlxError: when the command cannot be started here; everything is where it was then.
        """
        outs = [out.path for out in self.stage.outs]
        bring_inputs(self._repo, [dep.path for dep in self.stage.deps], self._inputs)
        self._unknown = self._unknown_to_store(outs)
        make_folder(os.path.dirname(self._log))
        self._aside = Aside.take(self._repo, self._run, self._folder, outs)
        try:
            for path in outs:
                make_folder(os.path.dirname(self._repo.full(path)))
            return executor.submit(self._task(), on_line)
        except BaseException:
            self._aside.put_back()
            raise

    def finish(self, finished: Finished, made: dict[str, str]) -> Result:
        """Collect what the finished command made.

        Raises:
            StageFailed: when it failed, did not make an out, or an input changed while it ran.
        """
        if finished.code:
            raise StageFailed(
                f"stage {self.stage.address} failed: {_exit(finished.code)} from: "
                f"{display(finished.command)}",
                hint=f"the whole log is {self._log}",
                where=self.stage.where,
            )
        changed = self._inputs.changed(self.decision.action)
        if changed:
            raise StageFailed(
                f"{display(changed[0])} changed while stage {self.stage.address} was running, so "
                "it is not known what its outs were made from: nothing was recorded",
                hint=f"mlx repro {self.stage.address}; what it made is in {self._aside.failed}",
                where=self.stage.where,
            )
        return collect(self._repo, self.stage, made)

    def succeed(self) -> tuple[str, ...]:
        """Drop what was set aside; return notes for the user."""
        kept = self._aside.discard(self._unknown, new_trash(self._repo))
        return tuple(f"what was there before had no record: a copy is in {path}" for path in kept)

    def give_up(self) -> None:
        """Put back what was set aside."""
        self._aside.put_back()

    def _unknown_to_store(self, paths: list[RepoPath]) -> list[RepoPath]:
        """Return those outs whose present content the store does not have as a whole."""
        found = [(path, self._inputs.scan.entry(path)) for path in paths]
        return [path for path, entry in found if entry and not self._repo.store.is_whole(entry)]

    def _task(self) -> Task:
        folder = self._repo.full(self.stage.wdir)
        if not os.path.isdir(folder):
            raise InputError(
                f'the working folder "{display(self.stage.wdir)}" of stage {self.stage.address} '
                "is not here, or was one of its outs",
                hint="a stage works in a folder that is there before it runs",
                where=self.stage.where,
            )
        return Task(self.stage.cmd, folder, _environment(self.stage, self._run), self._log)


def _environment(stage: Stage, run: str) -> dict[str, str]:
    """Return the environment of a command: the user's, not bound to a git repository."""
    found = clean_environment()
    # A fixed seed for str hashing makes sets and dicts of a run repeatable.
    found.setdefault("PYTHONHASHSEED", "0")
    # Python holds lines back when nobody seems to watch.
    found.setdefault("PYTHONUNBUFFERED", "1")
    found["MLXREPO_STAGE"] = stage.address
    found[RUN_VARIABLE] = run
    return found


def _exit(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit {code}"
