"""The executor: carries out commands. It knows no repository, no graph and no lockfile.

Anything with `submit`, `stop` and `close` can stand in for `LocalExecutor`.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass

from mlxrepo.errors import EnvironmentFailed
from mlxrepo.pipeline.lines import Lines

TAIL_LINES = 20
GRACE_SECONDS = 5.0  # to tidy up, after each of SIGINT and SIGTERM
LINGER_SECONDS = 1.0  # for children that tidy up when their shell is gone already
READ = 1 << 16
PIPE_MAX = 1 << 20  # what a pipe can hold at most


@dataclass(frozen=True, slots=True)
class Task:
    """Commands to run one after the other, each in a shell of its own."""

    commands: tuple[str, ...]
    folder: str
    environment: dict[str, str]
    log: str


@dataclass(frozen=True, slots=True)
class Finished:
    """How a task ended: exit code (negative: signal), the last command, last lines, seconds."""

    code: int
    command: str
    tail: tuple[str, ...]
    seconds: float


class LocalExecutor:
    """Runs tasks as processes on this machine, `jobs` at a time."""

    def __init__(self, jobs: int):
        self._pool = ThreadPoolExecutor(jobs, thread_name_prefix="stage")
        self._running: set[subprocess.Popen[bytes]] = set()
        self._changed = threading.Condition()  # guards the three around it
        self._stopped = False
        self._patient = False

    def submit(self, task: Task, on_line: Callable[[str], None]) -> Future[Finished]:
        """Start a task; every line of its output goes to `on_line`, every byte to its log."""
        return self._pool.submit(self._execute, task, on_line)

    def stop(self) -> None:
        """Stop every task and everything it started: ask, wait, then kill.

        An exception on the way, such as a second Ctrl-C, ends the waiting.
        """
        with self._changed:
            self._stopped = self._patient = True
        try:
            for sign in (signal.SIGINT, signal.SIGTERM):
                self._signal_all(sign)
                with self._changed:
                    if self._changed.wait_for(lambda: not self._running, GRACE_SECONDS):
                        return
        finally:
            self._patient = False
            self._signal_all(signal.SIGKILL)

    def close(self) -> None:
        """Wait for what is left."""
        self._pool.shutdown()

    def _signal_all(self, sign: signal.Signals) -> None:
        with self._changed:
            for process in self._running:
                _signal_group(process, sign)

    def _execute(self, task: Task, on_line: Callable[[str], None]) -> Finished:
        started = time.monotonic()
        tail: deque[str] = deque(maxlen=TAIL_LINES)
        lines = Lines(tail.append, on_line)
        code, command = 0, ""
        with open(task.log, "ab", buffering=0) as log:

            def take(data: bytes) -> None:
                log.write(data)
                lines.take(data)

            for command in task.commands:
                process = self._start(command, task)
                try:
                    self._follow(process, take)
                finally:
                    code = self._end(process)
                lines.end()
                if code or self._stopped:
                    break
        return Finished(code, command, tuple(tail), time.monotonic() - started)

    def _start(self, command: str, task: Task) -> subprocess.Popen[bytes]:
        shell = task.environment.get("SHELL") or "/bin/sh"
        with self._changed:
            if self._stopped:
                raise CancelledError
            try:
                process = subprocess.Popen(
                    [shell, "-c", command],
                    cwd=task.folder,
                    env=task.environment,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            except OSError as error:
                raise EnvironmentFailed(
                    f"cannot start {shell} in {task.folder}: {error.strerror}",
                    hint="check $SHELL and the length of the command",
                ) from None
            self._running.add(process)
            return process

    def _end(self, process: subprocess.Popen[bytes]) -> int:
        """Kill what is left of a command's group and take its exit status.

        In this order: the group keeps its number from being used again until it is waited for.
        """
        with self._changed:
            _signal_group(process, signal.SIGKILL)
            code = process.wait()
            self._running.discard(process)
            self._changed.notify_all()
        return code

    def _follow(self, process: subprocess.Popen[bytes], take: Callable[[bytes], None]) -> None:
        """Pass output on until the command ends, also when it closes its output, or leaves it open.

        What the command left running is killed: it must not write to outs that are recorded next.
        """
        assert process.stdout is not None
        with process.stdout as pipe:
            fd = pipe.fileno()
            poll = select.poll()
            poll.register(fd, select.POLLIN)
            linger_until: float | None = None
            while linger_until is None or time.monotonic() < linger_until:
                if linger_until is None and _has_ended(process):
                    linger_until = time.monotonic() + (LINGER_SECONDS if self._patient else 0)
                elif poll.poll(50):
                    data = os.read(fd, READ)
                    if not data:
                        _wait_for_end(process)
                        break
                    take(data)
            _signal_group(process, signal.SIGKILL)
            _drain(fd, poll, take)


def _drain(fd: int, poll: select.poll, take: Callable[[bytes], None]) -> None:
    """Read what a pipe holds; not more, since a process that left its group may write for ever."""
    for _ in range(PIPE_MAX // READ):
        data = os.read(fd, READ) if poll.poll(100) else b""
        if not data:
            return
        take(data)


# Neither takes the exit status, so the process keeps its number.


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _wait_for_end(process: subprocess.Popen[bytes]) -> None:
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)


def _signal_group(process: subprocess.Popen[bytes], sign: signal.Signals) -> None:
    try:
        os.killpg(process.pid, sign)
    except (ProcessLookupError, PermissionError):
        pass
