"""The journal: what runs did, when, why and with what; read back from what `journaling` wrote.

    runs/<run id>/run.jsonl               one line for each thing that happened
    runs/<run id>/<stage>/log             what the stage printed
    runs/environments/<digest>.json       the python of a run and what was installed

A line that is no JSON, as a kill or a full disk leaves one, counts as not written.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from mlxrepo.hashing import is_oid
from mlxrepo.pipeline.alive import is_alive
from mlxrepo.pipeline.decide import UP_TO_DATE, Reason
from mlxrepo.repo.layout import ENVIRONMENTS_FOLDER, JOURNAL_FILE, LOG_FILE, RUNS_FOLDER
from mlxrepo.repo.repo import Repo

FORMAT = 1

RUNNING, KILLED, INTERRUPTED = "running", "killed", "interrupted"

_NAME = re.compile(r"\d{8}-\d{6}-[0-9a-f]+")


@dataclass(frozen=True, slots=True)
class Run:
    """One run: who began it where, and what became of it.

    `outcome` is done, failed, interrupted, running or killed; `exit_code` None where it is not
    known. `words` is the command line, `root` the worktree, `begun` in seconds since the epoch,
    `seconds` None for a run that has not ended, or was killed. `counts`: how many stages had
    which outcome. `environment` is a digest for `environment`, or None.
    """

    id: str
    words: tuple[str, ...]
    cwd: str
    root: str
    by: str
    host: str
    pid: int
    commit: str
    dirty: bool
    begun: float
    outcome: str
    exit_code: int | None = None
    seconds: float | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    environment: str | None = None


@dataclass(frozen=True, slots=True)
class StageRun:
    """What a run did about one stage, and why.

    Outcome is as in a report, or running, interrupted or killed. `key` is the action key ("": not
    known), `exit_code` that of the last command (None: none ended), `memory` the peak in bytes
    (None: not known), `seconds` None where it did not end. `declared` is the declared environment
    as in an action; of variables it holds digests. `log` is the full path of its log, which is
    there only if a command was started.
    """

    run: Run
    stage: str
    outcome: str
    reasons: tuple[Reason, ...] = ()
    key: str = ""
    exit_code: int | None = None
    begun: float = 0.0
    seconds: float | None = None
    memory: int | None = None
    attempts: int = 0
    error: str = ""
    declared: Mapping[str, Any] = field(default_factory=dict)
    log: str = ""


def run_names(repo: Repo) -> list[str]:
    """Return the ids of all runs that have a folder, in no order."""
    try:
        names = os.listdir(repo.shared(RUNS_FOLDER))
    except FileNotFoundError:
        return []
    return [name for name in names if _NAME.fullmatch(name)]


def folder(repo: Repo, name: str) -> str:
    """Return the folder of a run by its id."""
    return repo.shared(RUNS_FOLDER, name)


def runs(repo: Repo) -> Iterator[Run]:
    """Yield the runs of all worktrees, newest first, each read when it is its turn."""
    for name in sorted(run_names(repo), reverse=True):
        known = run(repo, name)
        if known is not None:
            yield known


def run(repo: Repo, name: str) -> Run | None:
    """Return a run by its id; None when nothing, or nothing that can be read, is known of it."""
    story = _Story(repo, name)
    return story.run if story.head else None


def stages(repo: Repo, run: Run) -> list[StageRun]:
    """Return what a run did about its stages: in the order of their start, then the idle ones."""
    return list(_Story(repo, run.id).stages().values())


def stage_runs(repo: Repo, addresses: Collection[str]) -> Iterator[StageRun]:
    """Yield each time that one of some stages was run to a good end, newest first."""
    marks = [json.dumps(stage, ensure_ascii=False) for stage in addresses]
    wanted = [mark.encode("utf-8", "backslashreplace") for mark in marks]
    for name in sorted(run_names(repo), reverse=True):
        story = _Story(repo, name)
        if any(mark in story.data for mark in wanted) and story.head:
            found = story.stages()
            yield from (
                found[stage]
                for stage in addresses
                if stage in found and found[stage].outcome == "ran"
            )


def environment(repo: Repo, digest: str | None) -> dict[str, Any] | None:
    """Return an environment by its digest; None when it is not known (any more).

    Keys: `implementation`, `version`, `path`, and `packages`, a list of `name==version`.
    """
    if not is_oid(digest):
        return None
    try:
        with open(repo.shared(RUNS_FOLDER, ENVIRONMENTS_FOLDER, f"{digest}.json"), "rb") as stream:
            value = json.loads(stream.read())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) and value.get("format") == FORMAT else None


class _Story:
    """The lines of one run, read once."""

    def __init__(self, repo: Repo, name: str):
        self._repo = repo
        self._name = name
        self._path = repo.shared(RUNS_FOLDER, name, JOURNAL_FILE)
        # Asked before the reading: a run that ends in between has its last line.
        self._is_alive = is_alive(repo, name)

    @cached_property
    def data(self) -> bytes:
        try:
            with open(self._path, "rb") as stream:
                return stream.read()
        except OSError:
            return b""

    @cached_property
    def head(self) -> dict[str, Any] | None:
        """The first line; None when it is not there, or in a format of a newer mlx."""
        found = _parse(self.data.partition(b"\n")[0])
        return found if found and found.get("format") == FORMAT else None

    @cached_property
    def lines(self) -> list[dict[str, Any]]:
        return [line for raw in self.data.split(b"\n")[1:] if (line := _parse(raw))]

    @cached_property
    def run(self) -> Run:
        head, last = self.head or {}, _parse(self.data.rstrip(b"\n").rpartition(b"\n")[2]) or {}
        known = Run(
            id=self._name,
            words=tuple(head.get("words", ())),
            cwd=head.get("cwd", ""),
            root=head.get("root", ""),
            by=head.get("by", ""),
            host=head.get("host", ""),
            pid=head.get("pid", 0),
            commit=head.get("commit", ""),
            dirty=head.get("dirty", False),
            begun=head.get("begun", 0.0),
            outcome=RUNNING if self._is_alive else KILLED,
        )
        if last.get("event") == "done":
            return replace(
                known,
                outcome=last["outcome"],
                exit_code=last["exit"],
                seconds=last["seconds"],
                counts=last["counts"],
                environment=last["environment"],
            )
        digests = [line["digest"] for line in self.lines if line.get("event") == "environment"]
        ends = [line["outcome"] for line in self.lines if line.get("event") == "end"]
        return replace(known, counts=Counter(ends), environment=digests[0] if digests else None)

    def stages(self) -> dict[str, StageRun]:
        """Return what was done about each stage; what began and did not end ended as the run."""
        run = self.run
        open_ends = INTERRUPTED if run.seconds is not None else run.outcome
        found: dict[str, StageRun] = {}
        for line in self.lines:
            if line.get("event") == "start":
                log = self._repo.shared(RUNS_FOLDER, self._name, line["folder"], LOG_FILE)
                one = StageRun(run, line["stage"], open_ends, declared=line["declared"], log=log)
            elif line.get("event") == "end":
                one = found.get(line["stage"]) or StageRun(run, line["stage"], "")
                one = replace(
                    one,
                    outcome=line["outcome"],
                    exit_code=line["exit"],
                    seconds=line["seconds"],
                    memory=line["memory"],
                    attempts=line["attempts"],
                    error=line["error"],
                )
            else:
                continue
            reasons = tuple(Reason(*reason) for reason in line["reasons"])
            key = line["key"] or one.key
            found[one.stage] = replace(one, reasons=reasons, key=key, begun=line["begun"])
        idle = [s for line in self.lines if line.get("event") == UP_TO_DATE for s in line["stages"]]
        return found | {stage: StageRun(run, stage, UP_TO_DATE) for stage in idle}


def _parse(raw: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(raw)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
