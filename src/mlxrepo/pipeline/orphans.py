"""Orphans: commands that outlive an mlx that was killed."""

from __future__ import annotations

import os
import signal
import time

from mlxrepo.errors import EnvironmentFailed
from mlxrepo.repo.claims import RUN_VARIABLE

WAIT_SECONDS = 10.0


def end_orphans(run: str) -> None:
    """Kill what a dead run left running, so that it cannot write to outs of the next one.

    They bear the run's id in their environment: process groups and parents are left by daemons,
    and numbers of processes are used again. Where there is no /proc nothing is found.

    Raises:
        EnvironmentFailed: when one of them does not go.
    """
    deadline = time.monotonic() + WAIT_SECONDS
    mark = f"{RUN_VARIABLE}={run}".encode()
    while found := [pid for pid in _processes() if _has_mark(pid, mark)]:
        if time.monotonic() > deadline:
            raise EnvironmentFailed(
                f"process {found[0]}, left by an mlx that was killed, cannot be ended",
                hint=f"end it, then again: kill -9 {found[0]}",
            )
        for pid in found:
            _kill(pid)
        time.sleep(0.01)


def _processes() -> list[int]:
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except FileNotFoundError:
        return []


def _has_mark(pid: int, mark: bytes) -> bool:
    """Look into the environment of a process; a dead one that nobody waited for has none."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as stream:
            return pid != os.getpid() and mark in stream.read().split(b"\0")
    except OSError:
        return False


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass
