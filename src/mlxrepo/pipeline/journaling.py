"""Writing the journal: what a run did, and why, line by line in the folder of the run.

A run that had nothing to do leaves nothing. The journal is no promise: it is never flushed, and
what cannot be written, as on a full disk, is missing and fails no run. Values of environment
variables do not enter it; what commands print goes to their logs as it is.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any

from mlxrepo import __version__
from mlxrepo.codec import canonical
from mlxrepo.errors import MlxError, StageFailed
from mlxrepo.pipeline.decide import BLOCKED, UP_TO_DATE
from mlxrepo.pipeline.maker import email_of
from mlxrepo.pipeline.report import Event, Listener, StageReport
from mlxrepo.repo.layout import JOURNAL_FILE, RUNS_FOLDER, stage_folder
from mlxrepo.repo.repo import Repo

if TYPE_CHECKING:
    from mlxrepo.pipeline.packages import Packages

FORMAT = 1
SETTING = "journal"
KEPT_BYTES = 1 << 30
INTERRUPTED = 130  # the exit code of a command that Ctrl-C ended

_QUIET = (BLOCKED, "skipped", UP_TO_DATE)  # nothing is done about such a stage


class Journal:
    """Listens to one run, writes down what it does, and passes every event on.

    `words` is the command line. Use it as a context around the run.

    Raises:
        InputError: at the beginning, when the setting of its size is no size.
    """

    def __init__(self, repo: Repo, run: str, listener: Listener, words: Sequence[str] = ()):
        self._repo = repo
        self.run = run
        self._listener = listener
        self._words = words
        self._begun = time.time()
        self._bound = repo.settings.amount(SETTING, "1GiB")
        self._fd: int | None = None
        self._holds = ExitStack()
        self._is_open = False
        self._is_torn = False
        self._packages: Packages | None = None
        self._environment: str | None = None
        self._idle: list[str] = []
        self._counts: dict[str, int] = {}
        self._errors: list[MlxError] = []

    def tell(self, event: Event) -> None:
        """Take an event of the run, and pass it on."""
        if event.kind == "start" and event.decision is not None:
            self._start(event)
        elif event.report is not None:
            self._end(event.report)
        self._listener(event)

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._is_open:
            return
        with self._holds:
            self._close(error)
        from mlxrepo.pipeline.pruning import prune

        with contextlib.suppress(OSError, MlxError):
            prune(self._repo, self.run, int(self._bound or KEPT_BYTES))

    def _start(self, event: Event) -> None:
        assert event.decision is not None
        self._open()
        action = event.decision.action
        self._write(
            {
                "event": "start",
                "stage": event.stage,
                "folder": stage_folder(event.stage),
                "begun": round(time.time(), 3),
                "reasons": [list(reason) for reason in event.decision.reasons],
                "key": action.key,
                "declared": action.environment,
            }
        )

    def _end(self, report: StageReport) -> None:
        self._counts[report.outcome] = self._counts.get(report.outcome, 0) + 1
        if report.error is not None:
            self._errors.append(report.error)
        if report.outcome == UP_TO_DATE and not (self._is_open and report.reasons):
            self._idle.append(report.stage)
            return
        if report.outcome not in _QUIET:
            self._open()
        if not self._is_open:
            return
        if self._packages is not None and self._packages.is_known:
            self._keep_environment()
        self._write({"event": "end", **_line(report)})

    def _open(self) -> None:
        """Begin to write: something is going to be done."""
        if self._is_open:
            return
        self._is_open = True
        # Only runs that do something need them.
        from mlxrepo.pipeline.alive import hold, is_alive
        from mlxrepo.pipeline.packages import Packages

        with contextlib.suppress(OSError):
            if not is_alive(self._repo, self.run):  # else whoever began the run holds it
                self._holds.enter_context(hold(self._repo, self.run))
            path = self._repo.shared(RUNS_FOLDER, self.run, JOURNAL_FILE)
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self._fd = os.open(path, flags, 0o644)
            self._holds.callback(os.close, self._fd)
        if self._fd is None:
            return
        self._write(self._head())
        self._packages = Packages(self._repo, dict(os.environ))
        self._packages.begin()

    def _head(self) -> dict[str, Any]:
        commit = _ask(self._repo, "rev-parse", "--verify", "--quiet", "HEAD")
        ident = _ask(self._repo, "var", "GIT_AUTHOR_IDENT")
        status = _ask(self._repo, "--no-optional-locks", "status", "--porcelain", "-uno")
        return {
            "format": FORMAT,
            "event": "begin",
            "mlx": __version__,
            "run": self.run,
            "words": list(self._words),
            "cwd": self._repo.cwd,
            "root": self._repo.root,
            "host": os.uname().nodename,
            "pid": os.getpid(),
            "begun": round(self._begun, 3),
            "commit": commit(),
            "by": email_of(ident()),
            "dirty": bool(status()),
        }

    def _close(self, error: BaseException | None) -> None:
        """Write what became of the run."""
        if error is None or (self._packages is not None and self._packages.is_known):
            self._keep_environment()  # who is interrupted does not wait for it
        if self._idle:
            self._write({"event": UP_TO_DATE, "stages": self._idle})
        outcome, code = self._outcome(error)
        self._write(
            {
                "event": "done",
                "outcome": outcome,
                "exit": code,
                "seconds": round(time.time() - self._begun, 3),
                "counts": self._counts,
                "environment": self._environment,
            }
        )

    def _outcome(self, error: BaseException | None) -> tuple[str, int | None]:
        """Return what to call the end of the run, and its exit code where it is known."""
        if isinstance(error, KeyboardInterrupt):
            return "interrupted", INTERRUPTED
        if isinstance(error, MlxError):
            return "failed", error.exit_code
        if error is not None:  # such as a reader of the output who left
            return "interrupted", None
        if not self._errors:
            return "done", 0
        stages = [error for error in self._errors if isinstance(error, StageFailed)]
        return "failed", (stages or self._errors)[0].exit_code

    def _keep_environment(self) -> None:
        packages, self._packages = self._packages, None
        if packages is not None:
            with contextlib.suppress(OSError, MlxError):
                self._environment = packages.keep()
                self._write({"event": "environment", "digest": self._environment})

    def _write(self, line: dict[str, Any]) -> None:
        """Append a line; what a full disk cut short is ended by the next one."""
        if self._fd is None:
            return
        data = canonical(line) + b"\n"
        if self._is_torn:
            data = b"\n" + data
        try:
            self._is_torn = os.write(self._fd, data) != len(data)
        except OSError:
            self._is_torn = True


def _line(report: StageReport) -> dict[str, Any]:
    """Return the end of a stage as data."""
    return {
        "stage": report.stage,
        "outcome": report.outcome,
        "reasons": [list(reason) for reason in report.reasons],
        "key": report.key,
        "exit": report.exit_code,
        "begun": round(report.begun or time.time(), 3),
        "seconds": round(report.seconds, 3),
        "memory": report.memory,
        "attempts": report.attempts,
        "error": report.error.message if report.error else "",
    }


def _ask(repo: Repo, *words: str) -> Callable[[], str]:
    """Start git, and return what waits for its answer: "" when it has none."""
    try:
        answer = repo.git.start(*words, accept=range(256))
    except MlxError:
        return str

    def text() -> str:
        with contextlib.suppress(MlxError):
            status, out = answer()
            return "" if status else out.decode("utf-8", "replace").strip()
        return ""

    return text
