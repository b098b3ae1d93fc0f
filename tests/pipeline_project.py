"""A project with stages, for tests of the pipeline: real shells, real files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

from sandbox import Project

from mlxrepo.commands.repro import Options, Repro, repro
from mlxrepo.errors import MlxError
from mlxrepo.pipeline.report import Event, StageReport
from mlxrepo.repo.lockfile import StageRecord, parse_lock

PATIENCE = 20.0  # seconds until a test says that what it waits for will not come

CHAIN = """
stages:
  first:
    cmd: head -c 1 data.txt > first.txt
    deps: [data.txt]
    outs: [first.txt]
  second:
    cmd: cat first.txt params.yaml > second.txt
    deps: [first.txt]
    params: [p]
    outs: [second.txt]
"""


class Pipeline:
    """A project whose stages are run and asked about; every run opens the repository anew."""

    def __init__(self, project: Project):
        self.project = project
        self.root = project.root
        self.write, self.read, self.path = project.write, project.read, project.path
        self.events: list[Event] = []

    def declare(self, text: str, name: str = "mlx.yaml") -> None:
        """Write an mlx.yaml."""
        self.write(name, dedent(text))

    def one(self, cmd: str, **keys: object) -> None:
        """Declare the one stage `only`; JSON is YAML too."""
        self.declare("stages:\n  only: " + json.dumps({"cmd": cmd, **keys}) + "\n")

    def chain(self) -> Pipeline:
        """Declare two stages, and run them."""
        self.write("data.txt", "abc\n")
        self.write("params.yaml", "p: 1\n")
        self.declare(CHAIN)
        assert self.outcomes() == {"first": "ran", "second": "ran"}
        return self

    def repro(self, *targets: str, dry_run: bool = False, **options: Any) -> Repro:
        """Run the pipeline and keep its events; the options are those of `Options`."""
        self.events = []
        with self.project.repo() as repo:
            return repro(
                repo, targets, Options(**options), dry_run=dry_run, listener=self.events.append
            )

    def outcomes(self, *targets: str, dry_run: bool = False, **options: Any) -> dict[str, str]:
        """Run the pipeline and return what was done about each stage."""
        done = self.repro(*targets, dry_run=dry_run, **options)
        for report in done.stages:
            assert report.error is None, report
        return {report.stage: report.outcome for report in done.stages}

    def failure(self) -> StageReport:
        """Run and return the report of the stage that failed."""
        [failed] = [report for report in self.repro().stages if report.error]
        return failed

    def error(self) -> MlxError:
        """Run and return the error of the stage that failed."""
        error = self.failure().error
        assert error is not None
        return error

    def whys(self, *targets: str, dry_run: bool = False) -> dict[str, str]:
        """Run the pipeline and return why something was done about each stage."""
        return {r.stage: r.why for r in self.repro(*targets, dry_run=dry_run).stages}

    def lines(self) -> list[str]:
        """Return what the stages of the last run printed."""
        return [event.text for event in self.events if event.kind == "line"]

    def record(self, stage: str, lock: str = "mlx.lock") -> StageRecord:
        """Return what the lockfile says about a stage."""
        found = parse_lock(self.path(lock).read_bytes(), lock)[f"stage:{stage}"]
        assert isinstance(found, StageRecord)
        return found

    def recorded(self) -> set[str]:
        """Return the names of the records in the lockfile."""
        if not self.path("mlx.lock").exists():
            return set()
        return set(parse_lock(self.path("mlx.lock").read_bytes(), "mlx.lock"))

    def start(self, *words: str, **env: str) -> subprocess.Popen[str]:
        """Start the command line in a process group of its own, and do not wait for it."""
        return subprocess.Popen(
            [sys.executable, "-m", "mlxrepo", *words],
            cwd=self.root,
            env={**os.environ, **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def kept_by_runs(self) -> dict[str, str]:
        """Return the outs that runs keep, by name: what failed stages left."""
        runs = self.path(".git/mlx/runs")
        kept = [*runs.glob("*/*/failed/**/*"), *runs.glob("*/*/aside/**/*")]
        return {path.name: path.read_text() for path in kept if path.is_file()}

    def trash(self) -> dict[str, str]:
        """Return the files in the trash, by name."""
        trash = self.path(".git/mlx/trash")
        return {path.name: path.read_text() for path in trash.rglob("*") if path.is_file()}


def until(holds: Callable[[], object], what: str) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        time.sleep(0.01)


def is_running(pid: int) -> bool:
    """Say whether a process is there and not only waited for."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def is_gone(pid: int) -> bool:
    """Say whether a process has ended; one that was killed a moment ago gets the time to."""
    until(lambda: not is_running(pid), f"process {pid} ends")
    return True


def kill(pid: int) -> None:
    """End a process for good."""
    os.kill(pid, signal.SIGKILL)
