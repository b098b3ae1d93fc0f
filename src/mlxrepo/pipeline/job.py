"""One stage being run: outs set aside, the command, the outs collected or put back."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

from mlxrepo.errors import StageFailed
from mlxrepo.files import make_folder
from mlxrepo.paths import RepoPath, display
from mlxrepo.pipeline.action import Action
from mlxrepo.pipeline.actioncache import Result
from mlxrepo.pipeline.aside import Aside
from mlxrepo.pipeline.collect import collect
from mlxrepo.pipeline.decide import Decision
from mlxrepo.pipeline.executor import Finished, LocalExecutor, Task
from mlxrepo.pipeline.inputs import Inputs
from mlxrepo.pipeline.restore import bring_inputs
from mlxrepo.repo.git import clean_environment
from mlxrepo.repo.project import Stage
from mlxrepo.repo.repo import Repo
from mlxrepo.repo.trash import new_trash

LOG = "log"


@dataclass(slots=True)
class Job:
    """A stage on its way: what was decided, where its log and its old outs are."""

    stage: Stage
    action: Action
    decision: Decision
    folder: str
    aside: Aside
    unknown: list[RepoPath]
    future: Future[Finished]

    @property
    def log(self) -> str:
        """Return the path of the log."""
        return os.path.join(self.folder, LOG)


def start_job(
    repo: Repo,
    inputs: Inputs,
    executor: LocalExecutor,
    planned: tuple[Stage, Action, Decision],
    run: tuple[str, str],
    on_line: Callable[[str], None],
) -> Job:
    """Make room for a stage's outs and start its command; `run` is the run's id and the folder.

    Raises:
        MlxError: when an input cannot be brought here; nothing has been moved then.
    """
    stage, action, decision = planned
    run_id, folder = run
    bring_inputs(repo, [dep.path for dep in action.deps], inputs)
    paths = [out.path for out in stage.outs]
    unknown = _unknown(repo, inputs, paths)
    aside = Aside(repo, folder, paths)
    for path in paths:
        make_folder(os.path.dirname(repo.full(path)))
    task = Task(
        stage.cmd,
        repo.full(stage.wdir),
        _environment(stage, run_id),
        os.path.join(folder, LOG),
    )
    future = executor.submit(task, on_line)
    return Job(stage, action, decision, folder, aside, unknown, future)


def _unknown(repo: Repo, inputs: Inputs, paths: list[RepoPath]) -> list[RepoPath]:
    """Return those outs whose present content the store does not have as a whole."""
    found = [(path, inputs.scan.entry(path)) for path in paths]
    return [path for path, entry in found if entry is not None and not repo.store.is_whole(entry)]


def _environment(stage: Stage, run_id: str) -> dict[str, str]:
    """Return the environment of a command: the user's, not bound to a git repository."""
    found = clean_environment()
    # A fixed seed for str hashing makes sets and dicts of a run repeatable.
    found.setdefault("PYTHONHASHSEED", "0")
    found["MLXREPO_STAGE"] = stage.address
    found["MLXREPO_RUN"] = run_id
    return found


def finish_job(
    repo: Repo, inputs: Inputs, job: Job, finished: Finished, made: dict[str, str]
) -> Result:
    """Collect what a finished command made.

    Raises:
        StageFailed: when it failed, did not make an out, or an input changed while it ran.
    """
    if finished.code:
        raise StageFailed(
            f"stage {job.stage.address} failed: {_exit(finished.code)} from: {finished.command}",
            hint=f"the whole log is {job.log}",
            where=job.stage.where,
        )
    changed = inputs.changed(job.action, job.stage)
    if changed:
        raise StageFailed(
            f"{display(changed[0])} changed while stage {job.stage.address} was running, so it is "
            "not known what its outs were made from: nothing was recorded",
            hint=f"mlx repro {job.stage.address}; what it made is kept in {job.folder}",
            where=job.stage.where,
        )
    return collect(repo, job.stage, made)


def _exit(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit {code}"


def settle_job(repo: Repo, job: Job, error: BaseException | None) -> tuple[str, ...]:
    """Drop what was set aside, or put it back after an error; return notes for the user."""
    if error is not None:
        job.aside.put_back([out.path for out in job.stage.outs])
        return ()
    kept = job.aside.discard(job.unknown, new_trash(repo))
    return tuple(f"what was there before had no record: a copy is in {place}" for place in kept)
