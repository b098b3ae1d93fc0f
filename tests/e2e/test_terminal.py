"""At a real terminal: colours, and Ctrl-C in the middle of a stage."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from user import MLX, User

SLOW = """
stages:
  slow:
    cmd: |
      echo new > out.txt
      sleep 300 & echo $! > "$PIDS"; echo begun; sleep 300
    outs: [out.txt]
"""


class Terminal:
    """One command at a terminal of its own."""

    def __init__(self, user: User, *words: str, env: dict[str, str] | None = None):
        neutral = {k: v for k, v in user.environment().items() if k != "NO_COLOR"}
        env = {**neutral, "TERM": "xterm-256color", **(env or {})}
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            os.chdir(user.root)
            os.execve(MLX, [str(MLX), *words], env)
        self.said = ""

    def until(self, text: str) -> None:
        """Read until `text` has appeared."""
        for _ in self._read():
            if text in self.said:
                return
        raise AssertionError(f"{text!r} has not appeared: {self.said}")

    def type(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self._fd, keys)

    def end(self) -> int:
        """Read to the end and return the exit status."""
        for _ in self._read():
            pass
        os.close(self._fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def _read(self) -> Iterator[None]:
        while select.select([self._fd], [], [], 30)[0]:
            try:
                data = os.read(self._fd, 1 << 16)
            except OSError:  # how Linux tells that the other side is closed
                return
            if not data:
                return
            self.said += data.decode("utf-8", "replace")
            yield


@pytest.fixture
def patient(user: User, tmp_path: Path) -> User:
    """A user with a good `out.txt`, whose stage is changed now into one that takes long."""
    project = user.read("mlx.yaml")
    user.write("mlx.yaml", project + SLOW.replace("sleep 300", "true"))
    assert user.mlx("repro", env={"PIDS": str(tmp_path / "pids")}).returncode == 0
    user.commit("good")
    user.write("mlx.yaml", project + SLOW.replace("echo new", "echo newer"))
    return user


def is_alive(pid: int) -> bool:
    """Say whether a process runs (a zombie does not)."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def wait_for_end(pids: list[int]) -> None:
    until = time.monotonic() + 10
    while any(is_alive(pid) for pid in pids):
        assert time.monotonic() < until, "children of the stage are still running"
        time.sleep(0.02)


@pytest.mark.parametrize("stop", ["Ctrl-C", "SIGTERM", "SIGHUP"])
def test_a_stopped_stage_leaves_no_process_and_the_last_good_outs(
    patient: User, tmp_path: Path, stop: str
) -> None:
    pids = tmp_path / "pids"
    pids.unlink()
    terminal = Terminal(patient, "repro", env={"PIDS": str(pids)})
    terminal.until("begun")
    if stop == "Ctrl-C":
        terminal.type(b"\x03")
    else:
        os.kill(terminal.pid, signal.Signals[stop])
    code = terminal.end()
    assert code == 130, terminal.said
    assert "interrupted" in terminal.said
    assert "Traceback" not in terminal.said
    wait_for_end([int(pid) for pid in pids.read_text().split()])
    assert patient.read("out.txt") == "new\n"
    assert patient.git("status", "--porcelain") == " M mlx.yaml\n"
    assert "stale: stage slow" in patient.ok("status")
    patient.git("checkout", "mlx.yaml")
    assert patient.is_clean()


def test_a_killed_mlx_leaves_a_project_that_goes_on(patient: User, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    pids.unlink()
    terminal = Terminal(patient, "repro", env={"PIDS": str(pids)})
    terminal.until("begun")
    os.kill(terminal.pid, signal.SIGKILL)
    terminal.end()
    children = [int(pid) for pid in pids.read_text().split()]
    try:
        patient.git("checkout", "mlx.yaml")
        patient.ok("repro")  # restored: what this action gave is known
        assert patient.read("out.txt") == "new\n"
        assert patient.is_clean()
    finally:
        for pid in children:
            if is_alive(pid):
                os.kill(pid, signal.SIGKILL)


def test_colours_are_for_terminals_and_can_be_turned_off(user: User) -> None:
    user.write("data.csv", "a\n")
    user.ok("add", "data.csv")
    user.write("data.csv", "b\n")
    escape = re.compile("\x1b\\[")
    with_colours = Terminal(user, "status")
    assert with_colours.end() == 0
    assert escape.search(with_colours.said)
    for words, env in (
        (["status", "--no-color"], {}),
        (["status"], {"NO_COLOR": "1"}),
        (["status"], {"TERM": "dumb"}),
    ):
        plain = Terminal(user, *words, env=env)
        assert plain.end() == 0
        assert not escape.search(plain.said), (words, env)
    assert not escape.search(user.ok("status"))


def test_a_large_add_shows_how_far_it_is_and_clears_it_away(user: User) -> None:
    user.fill("many", 3000)
    terminal = Terminal(user, "add", "many")
    assert terminal.end() == 0
    last = terminal.said.rpartition("\x1b[2K")[2]
    assert "added many (data:many): 3,000 files" in last
    assert "hashing" not in last
