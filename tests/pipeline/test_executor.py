"""The executor: output, ends, and what must not live on."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pipeline_project import is_gone, until

from mlxrepo.errors import EnvironmentFailed
from mlxrepo.pipeline import executor as module
from mlxrepo.pipeline.executor import Finished, LocalExecutor, Task
from mlxrepo.pipeline.lines import LINE_MAX, Lines


class Bench:
    """An executor with a folder; it keeps the lines that commands print."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.executor = LocalExecutor(1)
        self.lines: list[str] = []

    def task(self, *commands: str) -> Task:
        environment = {"PATH": os.environ["PATH"]}
        return Task(commands, str(self.folder), environment, str(self.folder / "log"))

    def run(self, *commands: str) -> Finished:
        return self.executor.submit(self.task(*commands), self.lines.append).result(30)

    def log(self) -> bytes:
        return (self.folder / "log").read_bytes()

    def pid(self, name: str) -> int:
        """Wait until a command has written its number into a file."""
        path = self.folder / name
        until(lambda: path.exists() and path.read_text().endswith("\n"), f"{name} appears")
        return int(path.read_text())


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.executor.stop()
    bench.executor.close()


def test_lines_are_told_in_order_and_the_log_has_the_very_bytes(bench: Bench) -> None:
    finished = bench.run("printf 'a\\nb'; printf 'c\\n' >&2; printf 'last'")
    assert finished.code == 0
    assert bench.lines == ["a", "bc", "last"]
    assert bench.log() == b"a\nbc\nlast"
    assert finished.tail == ("a", "bc", "last")


def test_each_command_has_its_own_shell_and_the_first_failure_stops(bench: Bench) -> None:
    finished = bench.run("x=1; cd /", 'echo "[$x]"; pwd', "exit 3", "echo never")
    assert bench.lines == ["[]", str(bench.folder)]
    assert (finished.code, finished.command) == (3, "exit 3")


def test_the_last_line_without_a_break_does_not_run_into_the_next_command(bench: Bench) -> None:
    bench.run("printf one", "printf two")
    assert bench.lines == ["one", "two"]


def test_a_command_that_reads_its_input_finds_it_empty(bench: Bench) -> None:
    assert bench.run("cat").code == 0


def test_a_shell_that_is_killed_is_told_as_its_signal(bench: Bench) -> None:
    assert bench.run("kill -9 $$").code == -9


def test_binary_output_comes_as_printable_lines(bench: Bench) -> None:
    bench.run("printf '\\377\\000\\007\\033[1mok\\n'")
    assert bench.lines == ["\\xff\\x00\\x07\x1b[1mok"]
    assert bench.log() == b"\xff\x00\x07\x1b[1mok\n"


def test_a_progress_bar_shows_what_it_wrote_last(bench: Bench) -> None:
    bench.run("printf '10%%\\r50%%\\r100%%\\r\\n'")
    assert bench.lines == ["100%"]


def test_many_lines_all_arrive(bench: Bench) -> None:
    finished = bench.run("seq 100000")
    assert bench.lines == [str(n) for n in range(1, 100001)]
    assert len(finished.tail) == module.TAIL_LINES


def test_an_endless_line_is_passed_on_in_pieces_and_nothing_is_lost(bench: Bench) -> None:
    bench.run("head -c 5000000 /dev/zero | tr '\\0' x")
    assert "".join(bench.lines) == "x" * 5_000_000
    assert max(map(len, bench.lines)) <= LINE_MAX + module.READ


def test_pieces_give_the_same_lines_wherever_they_are_cut() -> None:
    text = "eins\nzwei äö\n\nvier".encode()
    for at in range(len(text) + 1):
        heard: list[str] = []
        lines = Lines(heard.append)
        lines.take(text[:at])
        lines.take(text[at:])
        lines.end()
        assert heard == ["eins", "zwei äö", "", "vier"]


def test_a_background_child_is_ended_with_its_command(bench: Bench) -> None:
    finished = bench.run("sleep 300 & echo $! > pid; echo done")
    assert finished.code == 0
    assert bench.lines == ["done"]
    assert is_gone(bench.pid("pid"))


def test_a_background_child_that_never_stops_talking_does_not_hold_the_command(
    bench: Bench,
) -> None:
    finished = bench.run("yes & echo $! > pid")
    assert finished.code == 0
    assert is_gone(bench.pid("pid"))


def test_a_daemon_that_left_the_group_and_talks_does_not_hold_the_command(bench: Bench) -> None:
    assert bench.run("setsid sh -c 'echo $$ > pid; exec yes' & sleep 0.2").code == 0
    os.kill(bench.pid("pid"), 9)


def test_a_command_that_closes_its_output_is_waited_for(bench: Bench) -> None:
    finished = bench.run("exec > own.log 2>&1; sleep 0.3; echo end; echo made > made.txt; exit 4")
    assert finished.code == 4
    assert (bench.folder / "made.txt").read_text() == "made\n"


def test_a_listener_that_fails_ends_the_command(bench: Bench) -> None:
    def refuse(line: str) -> None:
        raise BrokenPipeError

    future = bench.executor.submit(bench.task("echo $$ > pid; echo hello; sleep 300"), refuse)
    with pytest.raises(BrokenPipeError):
        future.result(30)
    assert is_gone(bench.pid("pid"))


@pytest.mark.parametrize(
    "command",
    [
        "sleep 300 & echo $! > child; echo $$ > shell; wait",
        "sh -c 'sleep 300 & echo $! > child; wait' & echo $$ > shell; wait",
    ],
    ids=["child", "grandchild"],
)
def test_stop_ends_a_command_and_its_children(bench: Bench, command: str) -> None:
    future = bench.executor.submit(bench.task(command, "touch never"), bench.lines.append)
    pids = [bench.pid("shell"), bench.pid("child")]
    bench.executor.stop()
    assert future.result(30).code != 0
    assert all(map(is_gone, pids))
    assert not (bench.folder / "never").exists()


def test_stop_lets_a_child_tidy_up_after_its_shell_is_gone(bench: Bench) -> None:
    child = "trap 'sleep 0.2; echo tidy > tidy; exit 1' INT; echo $$ > pid; while :; do :; done"
    (bench.folder / "child.sh").write_text(child)
    future = bench.executor.submit(bench.task("sh child.sh; true"), bench.lines.append)
    bench.pid("pid")
    bench.executor.stop()
    future.result(30)
    assert (bench.folder / "tidy").read_text() == "tidy\n"


def test_stop_kills_what_does_not_listen(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GRACE_SECONDS", 0.05)
    deaf = "trap '' INT TERM; echo $$ > pid; while :; do sleep 0.01; done"
    future = bench.executor.submit(bench.task(deaf), bench.lines.append)
    pid = bench.pid("pid")
    bench.executor.stop()
    assert future.result(30).code == -9
    assert is_gone(pid)


def test_an_interruption_of_stop_kills_at_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    deaf = "trap '' INT TERM; echo $$ > pid; while :; do sleep 0.01; done"
    future = bench.executor.submit(bench.task(deaf), bench.lines.append)
    pid = bench.pid("pid")

    def impatient(self: threading.Condition, holds: object, seconds: float) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Condition, "wait_for", impatient)
    with pytest.raises(KeyboardInterrupt):
        bench.executor.stop()
    assert future.result(30).code == -9
    assert is_gone(pid)


def test_nothing_is_started_after_a_stop(bench: Bench) -> None:
    bench.executor.stop()
    future = bench.executor.submit(bench.task("touch never"), bench.lines.append)
    assert future.exception(30) is not None
    assert not (bench.folder / "never").exists()


def test_a_shell_that_is_not_there_is_the_environments_fault(bench: Bench) -> None:
    task = bench.task("true")
    task.environment["SHELL"] = "/no/such/shell"
    with pytest.raises(EnvironmentFailed, match="/no/such/shell"):
        bench.executor.submit(task, bench.lines.append).result(30)
