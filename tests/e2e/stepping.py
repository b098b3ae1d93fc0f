"""Commands as real processes, side by side, any of them stopped or killed at a step of its own.

A step is a moment before a process opens, lists, renames, links or removes something, locks a
file or starts a program: Python's audit events say when. So a place between two steps can be
found again, which a clock cannot do. One server, which has imported everything and done no work,
forks a child for each command: that is fast, and each child has its threads to itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

PATIENCE = 0.4  # seconds for the others while one is held: they may wait for what it has locked
EVENTS = {
    "fcntl.flock", "open", "os.chmod", "os.link", "os.listdir", "os.mkdir", "os.remove",
    "os.rename", "os.rmdir", "os.scandir", "os.utime", "subprocess.Popen",
}  # fmt: skip


@dataclass(frozen=True)
class Job:
    """A command line, and what happens to it: `how` is hold or kill, `at` a step of it.

    Or `how` is failpoint: it is killed at its durable step `at`, from 0, as mlx itself names them.

    With `after`, in milliseconds, it is killed then. A word list that starts with git is git's.
    """

    words: tuple[str, ...]
    folder: str
    at: int = 0
    how: str = ""
    after: float | None = None


@dataclass(frozen=True)
class Done:
    """What a command left: its exit code (negative: the signal), what it said, its steps."""

    job: Job
    code: int
    out: str
    err: str
    steps: int

    @property
    def killed(self) -> bool:
        return self.code == -signal.SIGKILL


class Stepper:
    """Runs commands side by side in processes of their own."""

    def __init__(self) -> None:
        self._server = subprocess.Popen(
            [sys.executable, str(Path(__file__).resolve())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, *jobs: Job) -> list[Done]:
        """Run jobs side by side to their end; while the first is held the others run."""
        assert self._server.stdin
        assert self._server.stdout
        print(json.dumps([asdict(job) for job in jobs]), file=self._server.stdin, flush=True)
        answers = json.loads(self._server.stdout.readline())
        return [Done(job, *answer) for job, answer in zip(jobs, answers, strict=True)]

    def close(self) -> None:
        """End the server."""
        assert self._server.stdin
        assert self._server.stdout
        self._server.stdin.close()
        self._server.wait()
        self._server.stdout.close()


def works_in(root: str) -> bool:
    """Say whether a process works in a folder: what a stage left when its mlx was killed."""
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/{name}/cwd") == root:
                return True
    return False


# the server


class _Child:
    """A forked command; it writes a byte when it is held and goes on when it reads one."""

    def __init__(self, job: dict[str, Any]):
        self.job = job
        self.said = [tempfile.TemporaryFile() for _ in range(3)]  # noqa: SIM115
        self.reached, reached = os.pipe()
        self._read_go, self._go = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self.reached)
            os.close(self._go)
            self._run(reached)
        os.close(reached)
        os.close(self._read_go)

    def _run(self, reached: int) -> None:
        code = 70
        try:
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(self.said[0].fileno(), 1)
            os.dup2(self.said[1].fileno(), 2)
            os.chdir(self.job["folder"])
            if self.job["words"][0] == "git":
                code = subprocess.call(self.job["words"])
                return
            code = self._mlx(reached)
        finally:
            os._exit(code)

    def _mlx(self, reached: int) -> int:
        from mlxrepo.__main__ import main

        steps = 0

        def step(event: str, args: tuple[Any, ...]) -> None:
            nonlocal steps
            if event not in EVENTS or not _is_work(event, args):
                return
            steps += 1
            if steps != self.job["at"] or self.job["how"] == "failpoint":
                return
            if self.job["how"] == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            os.write(reached, b"!")
            os.read(self._read_go, 1)

        sys.argv = self.job["words"]
        if self.job["how"] == "failpoint":
            _die_at_failpoint(self.job["at"])
        sys.addaudithook(step)
        try:
            main()
        except SystemExit as done:
            return int(done.code or 0)
        finally:
            os.write(self.said[2].fileno(), str(steps).encode())
            sys.stdout.flush()
            sys.stderr.flush()

    def wait_held(self) -> None:
        """Wait until it is at its step, or has ended."""
        os.read(self.reached, 1)

    def go_on(self) -> None:
        with contextlib.suppress(BrokenPipeError):  # it has ended
            os.write(self._go, b"!")

    def has_ended(self, seconds: float) -> bool:
        """Wait so long for the end: then nobody has the other side of the pipe any more."""
        ready, _, _ = select.select([self.reached], [], [], max(0.0, seconds))
        return bool(ready) and not os.read(self.reached, 1)

    def kill_later(self, since: float) -> None:
        after = self.job["after"]
        if after is not None and not self.has_ended(since + after / 1000 - time.monotonic()):
            os.kill(self.pid, signal.SIGKILL)

    def end(self) -> tuple[int, str, str, int]:
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        os.close(self.reached)
        os.close(self._go)
        out, err, steps = map(_text, self.said)
        return code, out, err, int(steps or 0)


def _die_at_failpoint(number: int) -> None:
    from mlxrepo import files

    left = iter(range(number))
    files.failpoint = lambda name: next(left, None) is None and os.kill(os.getpid(), 9)  # type: ignore[assignment]


def _is_work(event: str, args: tuple[Any, ...]) -> bool:
    """Say whether an event is about a project, and not about Python's own files or the system's."""
    name = args[0] if args else None
    if event == "fcntl.flock" or not isinstance(name, str | bytes):
        return event != "open"
    path = os.fsdecode(name)
    return event == "subprocess.Popen" or not path.startswith(_OTHERS)


_OTHERS = (sys.prefix, sys.base_prefix, "/usr", "/proc", "/etc", "/dev/null", "/sys")


def _text(stream: Any) -> str:
    with stream:
        stream.seek(0)
        return str(stream.read().decode("utf-8", "surrogateescape"))


def _run_all(jobs: Sequence[dict[str, Any]]) -> list[tuple[int, str, str, int]]:
    since = time.monotonic()
    first = _Child(jobs[0])
    if first.job["how"] == "hold":
        first.wait_held()
    others = [_Child(job) for job in jobs[1:]]
    if first.job["how"] == "hold":
        until = time.monotonic() + PATIENCE
        for other in others:
            other.has_ended(until - time.monotonic())
        first.go_on()
    for child in sorted((first, *others), key=lambda child: child.job["after"] or 0.0):
        child.kill_later(since)
    return [child.end() for child in (first, *others)]


def _serve() -> None:
    import pkgutil
    from importlib import import_module

    import mlxrepo

    for module in pkgutil.walk_packages(mlxrepo.__path__, "mlxrepo."):
        if not module.name.endswith("__main__"):
            import_module(module.name)
    for line in sys.stdin:
        print(json.dumps(_run_all(json.loads(line))), flush=True)


if __name__ == "__main__":
    _serve()
