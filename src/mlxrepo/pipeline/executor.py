"""The executor: carries out commands. It knows no repository, no graph and no lockfile.

Anything with `submit`, `stop` and `close` can stand in for `LocalExecutor`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from mlxrepo.errors import EnvironmentFailed

TAIL_LINES = 20
GRACE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Task:
    """Commands to run one after the other, each in a shell of its own."""

    commands: tuple[str, ...]
    folder: str
    environment: dict[str, str]
    log: str


@dataclass(frozen=True, slots=True)
class Finished:
    """How a task ended: exit code (negative: signal), the failing command, last lines, seconds."""

    code: int
    command: str
    tail: tuple[str, ...]
    seconds: float


class LocalExecutor:
    """Runs tasks as processes on this machine, `jobs` at a time."""

    def __init__(self, jobs: int):
        self._pool = ThreadPoolExecutor(jobs, thread_name_prefix="stage")
        self._running: set[subprocess.Popen[bytes]] = set()
        self._mutex = threading.Lock()
        self._stopped = False

    def submit(self, task: Task, on_line: Callable[[str], None]) -> Future[Finished]:
        """Start a task; every line of its output goes to `on_line` and to its log."""
        return self._pool.submit(self._execute, task, on_line)

    def stop(self) -> None:
        """Stop every task and everything it started."""
        with self._mutex:
            self._stopped = True
            running = list(self._running)
        for process in running:
            stop_group(process)

    def close(self) -> None:
        """Wait for what is left."""
        self._pool.shutdown()

    def _execute(self, task: Task, on_line: Callable[[str], None]) -> Finished:
        started = time.monotonic()
        tail: deque[str] = deque(maxlen=TAIL_LINES)
        code, command = 0, ""
        with open(task.log, "ab", buffering=0) as log:
            for command in task.commands:
                process = self._start(command, task)
                _stream(process, log.write, tail, on_line)
                # What the command left running must not write to outs that are being recorded. It
                # is killed before the command is waited for: until then nobody else gets its id.
                _signal(process.pid, signal.SIGKILL)
                code = process.wait()
                with self._mutex:
                    self._running.discard(process)
                if code or self._stopped:
                    break
        return Finished(code, command, tuple(tail), time.monotonic() - started)

    def _start(self, command: str, task: Task) -> subprocess.Popen[bytes]:
        shell = task.environment.get("SHELL") or "/bin/sh"
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
                hint="check $SHELL and the stage's wdir",
            ) from None
        with self._mutex:
            self._running.add(process)
        if self._stopped:
            stop_group(process)
        return process


def _stream(
    process: subprocess.Popen[bytes],
    log: Callable[[bytes], object],
    tail: deque[str],
    on_line: Callable[[str], None],
) -> None:
    """Pass output on line by line until the command ends, also when its children live on."""
    assert process.stdout is not None
    fd = process.stdout.fileno()
    os.set_blocking(fd, False)
    rest = b""
    with process.stdout:
        while True:
            ended = _has_ended(process)
            data = _read_some(fd, 0.05)
            rest += data or b""
            *lines, rest = rest.split(b"\n")
            if (data == b"" or (ended and data is None)) and rest:
                lines.append(rest)
            for raw in lines:
                log(raw + b"\n")
                line = raw.decode("utf-8", "backslashreplace").rstrip("\r")
                tail.append(line)
                on_line(line)
            if data == b"" or (ended and data is None):
                return


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Say whether the command has ended, without taking its exit status."""
    flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
    return process.returncode is not None or os.waitid(os.P_PID, process.pid, flags) is not None


def _read_some(fd: int, seconds: float) -> bytes | None:
    """Return what there is to read, b"" at the end, None when nothing came in time."""
    import select

    poll = select.poll()
    poll.register(fd, select.POLLIN | select.POLLHUP)
    if not poll.poll(seconds * 1000):
        return None
    try:
        return os.read(fd, 1 << 16)
    except BlockingIOError:
        return None


def stop_group(process: subprocess.Popen[bytes]) -> None:
    """Stop a command and everything it started: ask, wait, then kill the group."""
    for sign in (signal.SIGINT, signal.SIGTERM):
        if not _signal(process.pid, sign):
            return
        try:
            process.wait(GRACE_SECONDS)
            break
        except subprocess.TimeoutExpired:
            continue
    _signal(process.pid, signal.SIGKILL)
    process.wait()


def _signal(group: int, sign: signal.Signals) -> bool:
    try:
        os.killpg(group, sign)
    except (ProcessLookupError, PermissionError):
        return False
    return True
