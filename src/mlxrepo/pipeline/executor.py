"""The executor: carries out commands. It knows no repository, no graph and no lockfile.

Anything with `submit`, `stop` and `close` can stand in for `LocalExecutor`.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from mlxrepo.errors import EnvironmentFailed
from mlxrepo.pipeline.lines import Lines

TAIL_LINES = 20
GRACE_SECONDS = 5.0  # to tidy up, after each of SIGINT and SIGTERM
LINGER_SECONDS = 1.0  # for children that tidy up when their shell is gone already
LOOK_SECONDS = 0.05  # where the system does not tell when a process ends
READ = 1 << 16
PIPE_MAX = 1 << 20  # what a pipe can hold at most


@dataclass(frozen=True, slots=True)
class Task:
    """Commands to run one after the other, each in a new `shell` (default: the user's $SHELL).

    After `timeout` seconds in all they are stopped. They inherit the open files in `keep`.
    """

    commands: tuple[str, ...]
    folder: str
    environment: dict[str, str]
    log: str
    shell: str | None = None
    timeout: float | None = None
    keep: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Finished:
    """How a task ended: exit code (negative: signal), the last command, last lines, seconds.

    `begun` and `ended` are seconds since the epoch; `timed_out`: it was stopped for its time.
    `memory` is the most bytes that one process of it held at a time, of those that were waited
    for; None where that is not known.
    """

    code: int
    command: str
    tail: tuple[str, ...]
    seconds: float
    begun: float = 0.0
    ended: float = 0.0
    timed_out: bool = False
    memory: int | None = None

    @property
    def is_good(self) -> bool:
        """Say whether every command ended well and in time."""
        return self.code == 0 and not self.timed_out


@dataclass(slots=True)
class _Clock:
    """When a task is to be stopped, and how far that has got."""

    until: float | None
    signals: Iterator[signal.Signals] = field(
        default_factory=lambda: iter((signal.SIGINT, signal.SIGTERM))
    )
    rang: bool = False

    def left(self) -> float | None:
        return None if self.until is None else max(0.0, self.until - time.monotonic())

    def heed(self, process: subprocess.Popen[bytes]) -> None:
        """Ask a command whose time is up to end, then again, then kill it."""
        if self.left() == 0.0:
            self.rang = True
            _signal_group(process, next(self.signals, signal.SIGKILL))
            self.until = time.monotonic() + GRACE_SECONDS


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
        started, begun = time.monotonic(), time.time()
        clock = _Clock(None if task.timeout is None else started + task.timeout)
        tail: deque[str] = deque(maxlen=TAIL_LINES)
        lines = Lines(tail.append, on_line)
        code, command, memory = 0, "", 0
        with open(task.log, "ab", buffering=0) as log:

            def take(data: bytes) -> None:
                log.write(data)
                lines.take(data)

            for command in task.commands:
                process = self._start(command, task)
                try:
                    self._follow(process, take, clock)
                finally:
                    code, peak = self._end(process)
                    memory = max(memory, peak)
                lines.end()
                if code or clock.rang or self._stopped:
                    break
        seconds = time.monotonic() - started
        return Finished(
            code, command, tuple(tail), seconds, begun, time.time(), clock.rang, memory or None
        )

    def _start(self, command: str, task: Task) -> subprocess.Popen[bytes]:
        shell = task.shell or task.environment.get("SHELL") or "/bin/sh"
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
                    pass_fds=task.keep,
                )
            except OSError as error:
                raise EnvironmentFailed(
                    f"cannot start {shell} in {task.folder}: {error.strerror}",
                    hint="install the shell that mlx.yaml names, or name another"
                    if task.shell
                    else "check $SHELL and the length of the command",
                ) from None
            self._running.add(process)
            return process

    def _end(self, process: subprocess.Popen[bytes]) -> tuple[int, int]:
        """Kill what is left of a command's group; take its exit status and its peak memory.

        In this order: the group keeps its number from being used again until it is waited for.
        """
        with self._changed:
            _signal_group(process, signal.SIGKILL)
            code, peak = _take_end(process)
            self._running.discard(process)
            self._changed.notify_all()
        return code, peak

    def _follow(
        self, process: subprocess.Popen[bytes], take: Callable[[bytes], None], clock: _Clock
    ) -> None:
        """Pass output on until the command ends, also when it closes its output, or leaves it open.

        What the command left running is killed: it must not write to outs that are recorded next.
        """
        assert process.stdout is not None
        with process.stdout as pipe, _Watch(process, pipe.fileno()) as watch:
            linger_until: float | None = None
            while linger_until is None or time.monotonic() < linger_until:
                clock.heed(process)
                if linger_until is None and _has_ended(process):
                    watch.ended()
                    linger_until = time.monotonic() + (LINGER_SECONDS if self._patient else 0)
                elif watch.wait(LOOK_SECONDS if linger_until else clock.left()):
                    data = os.read(pipe.fileno(), READ)
                    if data:
                        take(data)
                    else:
                        watch.closed()
            _signal_group(process, signal.SIGKILL)
            watch.drain(take)


class _Watch:
    """Waits for output of a command, or for its end."""

    def __init__(self, process: subprocess.Popen[bytes], pipe: int):
        self._pipe = pipe
        self._poll = select.poll()
        self._poll.register(pipe, select.POLLIN)
        self._end = _end_of(process)
        if self._end is not None:
            self._poll.register(self._end, select.POLLIN)
        self._is_closed = False

    def __enter__(self) -> _Watch:
        return self

    def __exit__(self, *_: object) -> None:
        if self._end is not None:
            os.close(self._end)

    def wait(self, seconds: float | None) -> bool:
        """Wait for output, the end, or some time; say whether the pipe is to be read."""
        if self._end is None:
            seconds = min(LOOK_SECONDS, LOOK_SECONDS if seconds is None else seconds)
        found = self._poll.poll(None if seconds is None else seconds * 1000 + 1)
        return any(fd == self._pipe for fd, _ in found)

    def closed(self) -> None:
        """Look at the pipe no more: the command has closed its output, and may go on."""
        self._poll.unregister(self._pipe)
        self._is_closed = True

    def ended(self) -> None:
        """Look for the end no more: it has come."""
        if self._end is not None:
            self._poll.unregister(self._end)

    def drain(self, take: Callable[[bytes], None]) -> None:
        """Read what the pipe holds; not more: a process that left its group may write for ever."""
        if self._is_closed:
            return
        for _ in range(PIPE_MAX // READ):
            data = os.read(self._pipe, READ) if self._poll.poll(100) else b""
            if not data:
                return
            take(data)


def _end_of(process: subprocess.Popen[bytes]) -> int | None:
    """Open what becomes readable when a process ends; None where the system has no such thing."""
    try:
        return os.pidfd_open(process.pid)
    except (AttributeError, OSError):
        return None


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Say whether a process has ended; it keeps its number, for its status is not taken."""
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _take_end(process: subprocess.Popen[bytes]) -> tuple[int, int]:
    """Wait for a process; return its exit status and the peak memory of what it waited for.

    The system counts from before the exec, when the process was a copy of mlx: what is not more
    than mlx itself ever held, in bytes, may be that, and is given as 0.
    """
    import resource  # only where something runs

    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    unit = 1 if sys.platform == "darwin" else 1024
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return process.returncode, used.ru_maxrss * unit if used.ru_maxrss > own else 0


def _signal_group(process: subprocess.Popen[bytes], sign: signal.Signals) -> None:
    try:
        os.killpg(process.pid, sign)
    except (ProcessLookupError, PermissionError):
        pass
