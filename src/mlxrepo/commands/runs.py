"""mlx runs: what runs did, and what their stages printed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

from mlxrepo.errors import CannotDecide, InputError
from mlxrepo.nearest import nearest
from mlxrepo.paths import display
from mlxrepo.pipeline import journal
from mlxrepo.pipeline.decide import UP_TO_DATE
from mlxrepo.pipeline.journal import RUNNING, Run, StageRun
from mlxrepo.repo.repo import Repo
from mlxrepo.repo.targets import named_stages

LOOK_SECONDS = 0.2  # at the logs of a run that is followed
PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Shown:
    """One run with its stages, and the python that it had, if that is known."""

    run: Run
    stages: tuple[StageRun, ...]
    environment: dict[str, Any] | None


class Piece(NamedTuple):
    """What a stage printed, or a part of it."""

    stage: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Logs:
    """Logs of one run: which, whether they are those of one stage, and how to read them."""

    run: Run
    one: bool
    pieces: Callable[[], Iterator[Piece]]


def list_runs(repo: Repo, limit: int, stage: str | None = None) -> tuple[Run, ...]:
    """Return the last runs, newest first; with `stage` those that did something about it.

    Raises:
        InputError: when no stage has, or had, that name.
    """
    if stage is None:
        return tuple(islice(journal.runs(repo), limit))
    seen: set[str] = set()
    found: list[Run] = []
    for run in journal.runs(repo):
        done = _touched(repo, run)
        seen.update(done)
        if named_stages(stage, done):
            found.append(run)
        if len(found) == limit:
            break
    if not found and not named_stages(stage, repo.declared.stages):
        raise _no_stage(stage, seen | repo.declared.stages.keys())
    return tuple(found)


def show(repo: Repo, text: str | None = None) -> Shown:
    """Return a run by its id or an unambiguous part of it; default: the last.

    Raises:
        InputError: when there is no such run, or several.
        CannotDecide: when there is no run at all, or it cannot be read.
    """
    run = _find(repo, text) if text else _last(repo)
    found = journal.environment(repo, run.environment)
    return Shown(run, tuple(journal.stages(repo, run)), found)


def logs(repo: Repo, words: Sequence[str] = (), *, follow: bool = False) -> Logs:
    """Return the logs of RUN STAGE, of all stages of RUN, or of STAGE in the last run that ran it.

    Default: the last run, to be followed the last that goes on. With `follow` the pieces come as
    they are printed, until the stage, or the run, has ended.

    Raises:
        InputError: when there is no such run or stage.
        CannotDecide: when there is no run at all, or it cannot be read.
    """
    run, stage = _run_and_stage(repo, words, follow)
    wanted: frozenset[str] | None = None
    if stage is not None:
        done = _touched(repo, run)
        wanted = frozenset(named_stages(stage, done))
        if not wanted:
            raise _no_stage(stage, done, f" in the run {run.id}")
    one = wanted is not None and len(wanted) == 1
    return Logs(run, one, lambda: _pieces(repo, run, wanted, follow))


def _pieces(repo: Repo, run: Run, wanted: frozenset[str] | None, follow: bool) -> Iterator[Piece]:
    read: dict[str, int] = {}
    while True:
        # Asked before the logs are read: of what has ended they are whole then.
        now = journal.run(repo, run.id)
        if now is None:
            return  # it is over, and has made room for others
        stages = [s for s in journal.stages(repo, now) if wanted is None or s.stage in wanted]
        for one in stages:
            for data in _since(one.log, read.get(one.stage, 0)):
                read[one.stage] = read.get(one.stage, 0) + len(data)
                yield Piece(one.stage, data)
        goes_on = now.outcome == RUNNING
        if wanted is not None:
            goes_on = goes_on and any(one.outcome == RUNNING for one in stages)
        if not follow or not goes_on:
            return
        time.sleep(LOOK_SECONDS)


def _since(path: str, offset: int) -> Iterator[bytes]:
    """Yield what a log holds from `offset` on; a stage that started no command has none."""
    if not path:
        return
    try:
        with open(path, "rb") as stream:
            stream.seek(offset)
            while data := stream.read(PIECE):
                yield data
    except FileNotFoundError:
        return


def _run_and_stage(repo: Repo, words: Sequence[str], follow: bool) -> tuple[Run, str | None]:
    if not words:
        return _last(repo, prefer_running=follow), None
    if len(words) > 1 or _named(repo, words[0]):
        return _find(repo, words[0]), words[1] if len(words) > 1 else None
    seen: set[str] = set()
    for run in journal.runs(repo):
        done = _touched(repo, run)
        if named_stages(words[0], done):
            return run, words[0]
        seen.update(done)
    if named_stages(words[0], repo.declared.stages):
        raise CannotDecide(f"no run that is kept has run {display(words[0])}", hint="mlx runs list")
    near = nearest(words[0], [*seen, *repo.declared.stages, *journal.run_names(repo)])
    raise InputError(
        f'there is no run and no stage "{display(words[0])}"',
        hint=f"did you mean {display(near)}?" if near else "mlx runs list",
    )


def _touched(repo: Repo, run: Run) -> list[str]:
    return [one.stage for one in journal.stages(repo, run) if one.outcome != UP_TO_DATE]


def _last(repo: Repo, *, prefer_running: bool = False) -> Run:
    last: Run | None = None
    for run in journal.runs(repo):
        last = last or run
        if run.outcome == RUNNING or not prefer_running:
            return run
    if last is None:
        raise CannotDecide("no run is kept: none has had anything to do", hint="mlx repro")
    return last


def _named(repo: Repo, text: str) -> list[str]:
    """Return the runs that a text means: the beginning of an id, or of its last part."""
    names = journal.run_names(repo)
    return sorted(n for n in names if n.startswith(text) or n.rpartition("-")[2].startswith(text))


def _find(repo: Repo, text: str) -> Run:
    names = _named(repo, text)
    if not names:
        near = nearest(text, journal.run_names(repo))
        raise InputError(
            f'there is no run "{display(text)}"',
            hint=f"did you mean {near}?" if near else "mlx runs list",
        )
    if len(names) > 1:
        raise InputError(
            f'"{display(text)}" means several runs: {", ".join(names[-4:])}',
            hint="give more of the id",
        )
    found = journal.run(repo, names[0])
    if found is None:
        raise CannotDecide(
            f"what the run {names[0]} did is not known: it was killed at its very beginning, or "
            "is of another version of mlx",
            hint=f"its files: {journal.folder(repo, names[0])}",
        )
    return found


def _no_stage(text: str, known: Sequence[str] | set[str], where: str = "") -> InputError:
    near = nearest(text, known)
    return InputError(
        f'nothing was done about a stage "{display(text)}"{where}',
        hint=f"did you mean {display(near)}?" if near else "mlx runs show lists what was done",
    )
