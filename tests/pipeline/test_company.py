"""Several mlx at once in one worktree: real processes, which wait for each other or do not."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from pipeline_project import Pipeline, is_gone, until

from mlxrepo.commands.add import add

PYTHON = shlex.quote(sys.executable)

# Each stage notes that it ran; `slow` waits until it is let go on.
PIPELINE = """
stages:
  first:
    cmd: echo first >> "$RAN"; cp source.txt first.txt
    deps: [source.txt]
    outs: [first.txt]
  slow:
    cmd: echo slow >> "$RAN"; until [ -e "$GO" ]; do sleep 0.02; done; cat first.txt > slow.txt
    deps: [first.txt]
    outs: [slow.txt]
  last:
    cmd: echo last >> "$RAN"; cp slow.txt last.txt
    deps: [slow.txt]
    outs: [last.txt]
  other:
    cmd: |
      echo other >> "$RAN"; echo '{"auc": 0.5}' > other.json
    deps: [source.txt]
    metrics: [other.json]
"""


class Company:
    """A project whose stage `slow` runs until it is let go on; processes are started beside it."""

    def __init__(self, pipe: Pipeline, tmp_path: Path):
        self.pipe = pipe
        self._go = tmp_path / "go"
        self._ran = tmp_path / "ran"
        pipe.write("source.txt", "1\n")
        pipe.declare(PIPELINE)

    def start(self, *words: str, **env: str) -> subprocess.Popen[str]:
        return self.pipe.start(*words, GO=str(self._go), RAN=str(self._ran), **env)

    def slow(self, *words: str) -> subprocess.Popen[str]:
        """Start a run and wait until its stage `slow` is on its way."""
        process = self.start("repro", *words)
        until(lambda: "slow" in self.ran(), "the stage runs")
        return process

    def let_go(self) -> None:
        self._go.touch()

    def start_anew(self) -> None:
        """Forget what ran, and let `slow` wait again."""
        self._go.unlink()
        self._ran.unlink()

    def ran(self) -> list[str]:
        """Return the stages whose commands were started, in order."""
        return self._ran.read_text().split() if self._ran.exists() else []


@pytest.fixture
def company(pipe: Pipeline, tmp_path: Path) -> Company:
    return Company(pipe, tmp_path)


def said(process: subprocess.Popen[str]) -> str:
    """Read the next line of talk."""
    assert process.stderr is not None
    return process.stderr.readline()


def until_said(process: subprocess.Popen[str], text: str) -> str:
    """Read talk until a line has `text`."""
    while text not in (line := said(process)):
        assert line, f"it never said {text}"
    return line


def ended(process: subprocess.Popen[str]) -> str:
    """Wait for a good end and return what was printed as the result."""
    result, talk = process.communicate(timeout=60)
    assert process.returncode == 0, talk
    return result


def outcomes(process: subprocess.Popen[str]) -> dict[str, str]:
    """Wait for a good end of a run with --json and return what was done about each stage."""
    found = json.loads(ended(process).splitlines()[-1])["stages"]
    assert isinstance(found, dict)
    return found


def test_different_stages_run_side_by_side(company: Company) -> None:
    first = company.slow("slow")
    assert outcomes(company.start("--json", "repro", "other")) == {"other": "ran"}
    assert first.poll() is None
    company.let_go()
    ended(first)
    assert company.pipe.recorded() == {"stage:first", "stage:slow", "stage:other"}


def test_the_second_run_of_a_stage_waits_says_for_whom_and_finds_it_done(company: Company) -> None:
    first = company.slow()
    second = company.start("repro")
    line = until_said(second, "waits for")
    assert f"process {first.pid} (mlx repro, stage slow)" in line
    company.let_go()
    ended(first)
    assert "slow: ran" not in ended(second)
    assert sorted(company.ran()) == ["first", "last", "other", "slow"]


@pytest.mark.parametrize("count", [2, 4])
def test_overlapping_runs_do_everything_once_with_checkout_and_gc_between(
    company: Company, count: int
) -> None:
    targets = [(), ("last",), ("other", "slow"), ("first", "last")][:count]
    ended(company.start("repro", "other"))
    runs = [company.start("repro", *names, "-j", "2") for names in targets]
    until(lambda: "slow" in company.ran(), "the stage runs")
    checkout = company.start("checkout")
    assert company.pipe.project.mlx("gc", "--yes").returncode == 0
    for words in (("status",), ("dag",), ("metrics", "show"), ("ls",)):
        assert company.pipe.project.mlx(*words).returncode == 0
    company.let_go()
    for process in (*runs, checkout):
        ended(process)
    ended(company.start("repro"))
    assert sorted(company.ran()) == ["first", "last", "other", "slow"]
    assert company.pipe.read("last.txt") == "1\n"
    assert set(company.pipe.outcomes().values()) == {"up-to-date"}


def test_checkout_waits_for_a_stage_that_makes_what_it_would_write(company: Company) -> None:
    company.let_go()
    ended(company.start("repro"))
    company.pipe.write("source.txt", "2\n")
    company.start_anew()
    run = company.slow("slow")
    checkout = company.start("checkout", "slow.txt")
    assert f"process {run.pid} (mlx repro, stage slow)" in until_said(checkout, "waits for")
    company.let_go()
    ended(run)
    ended(checkout)
    assert company.pipe.read("slow.txt") == "2\n"


def test_what_a_running_stage_reads_is_not_made_anew_meanwhile(company: Company) -> None:
    run = company.slow("slow")
    company.pipe.write("source.txt", "2\n")
    second = company.start("repro", "first")
    assert "(mlx repro, stage slow)" in until_said(second, "waits for first.txt")
    assert company.pipe.read("first.txt") == "1\n"
    company.let_go()
    ended(run)
    ended(second)
    assert company.pipe.read("first.txt") == "2\n"


def test_who_waits_for_a_run_that_is_killed_does_its_work(company: Company) -> None:
    company.let_go()
    ended(company.start("repro"))
    company.start_anew()
    company.pipe.write("source.txt", "2\n")
    first = company.slow()
    second = company.start("repro")
    until_said(second, "waits for")
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    until(lambda: company.ran().count("slow") == 2, "the second runs it")
    company.let_go()
    ended(second)
    assert company.pipe.read("last.txt") == "2\n"
    assert sorted(company.ran()) == ["first", "last", "other", "slow", "slow"]
    assert not company.pipe.kept_by_runs()


def test_an_interrupt_ends_the_waiting(company: Company) -> None:
    first = company.slow()
    second = company.start("repro")
    until_said(second, "waits for")
    second.send_signal(signal.SIGINT)
    second.communicate(timeout=30)
    assert second.returncode == 130
    company.let_go()
    ended(first)


def test_a_stage_that_runs_itself_is_told_and_waits_for_nobody(pipe: Pipeline) -> None:
    pipe.one(f"{PYTHON} -m mlxrepo repro only && echo x > out", outs=["out"])
    process = pipe.start("repro")
    _, talk = process.communicate(timeout=60)
    assert process.returncode == 4
    assert "started this command and waits for it" in talk


def test_a_stage_may_bring_about_others(company: Company) -> None:
    company.pipe.declare(
        PIPELINE
        + f"  outer:\n    cmd: env {PYTHON} -m mlxrepo repro other\n    always_changed: true\n"
    )
    assert outcomes(company.start("--json", "repro", "outer")) == {"outer": "ran"}
    assert company.ran() == ["other"]


def test_a_run_of_a_stage_without_outs_is_left_alone_by_the_next(company: Company) -> None:
    company.pipe.declare(PIPELINE + NO_OUTS)
    first = company.start("repro", "check")
    until(lambda: "check" in company.ran(), "the stage runs")
    assert outcomes(company.start("--json", "repro", "other")) == {"other": "ran"}
    second = company.start("repro", "check")
    assert "(mlx repro, stage check)" in until_said(second, "waits for")
    company.let_go()
    ended(first)
    ended(second)
    assert company.ran().count("check") == 1


NO_OUTS = """
  check:
    cmd: echo check >> "$RAN"; until [ -e "$GO" ]; do sleep 0.02; done
    deps: [source.txt]
"""


def test_a_stage_may_bring_about_others_while_it_has_outs_of_its_own(company: Company) -> None:
    company.pipe.declare(
        PIPELINE + f"  outer:\n    cmd: env {PYTHON} -m mlxrepo repro other && echo > outer.txt\n"
        "    outs: [outer.txt]\n"
    )
    assert outcomes(company.start("--json", "repro", "outer")) == {"outer": "ran"}
    assert company.ran() == ["other"]


def test_a_command_that_would_change_what_its_own_stage_reads_is_told(company: Company) -> None:
    """Also when another stage reads it too, and signed last."""
    company.pipe.declare(
        PIPELINE + "  self:\n"
        '    cmd: echo self >> "$RAN"; until [ -e "$GO" ]; do sleep 0.02; done;'
        f" echo x > source.txt; {PYTHON} -m mlxrepo checkout --force source.txt\n"
        "    deps: [source.txt]\n" + NO_OUTS.replace("check", "other2")
    )
    company.pipe.project.do(add, ["source.txt"])
    first = company.start("repro", "self")
    until(lambda: "self" in company.ran(), "the stage runs")
    company.start("repro", "other2")
    until(lambda: "other2" in company.ran(), "the other reads it too")
    company.let_go()
    _, talk = first.communicate(timeout=60)
    assert first.returncode == 4
    assert "which started this command and waits for it" in talk


def test_a_stage_that_is_run_alone_waits_for_what_another_is_making(company: Company) -> None:
    company.let_go()
    ended(company.start("repro"))
    company.pipe.write("source.txt", "2\n")
    company.start_anew()
    run = company.slow("slow")
    alone = company.start("repro", "--single", "last")
    assert "waits for slow.txt" in until_said(alone, "waits for")
    company.let_go()
    ended(run)
    ended(alone)
    assert company.pipe.read("last.txt") == "2\n"


def test_what_a_killed_run_half_made_is_put_back_before_it_is_read(company: Company) -> None:
    company.let_go()
    ended(company.start("repro"))
    company.start_anew()
    company.pipe.declare(PIPELINE.replace("until [", "echo half > slow.txt; until ["))
    run = company.slow("slow")
    until(lambda: company.pipe.path("slow.txt").exists(), "it is half made")
    alone = company.start("repro", "--single", "last", "--force")
    until_said(alone, "waits for")
    os.kill(run.pid, signal.SIGKILL)
    ended(alone)
    assert company.pipe.read("last.txt") == company.pipe.read("slow.txt") == "1\n"


def test_restored_stages_wait_for_nobody(company: Company) -> None:
    company.let_go()
    ended(company.start("repro"))
    for name in ("first.txt", "slow.txt", "last.txt"):
        company.pipe.path(name).unlink()
    process = company.start("repro")
    _, talk = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "waits for" not in talk
    assert company.pipe.read("last.txt") == "1\n"


def test_a_persistent_out_that_was_reported_is_not_made_twice(company: Company) -> None:
    more = """
  grow:
    cmd: echo x >> grown.txt
    outs: [{grown.txt: {persist: true}}]
"""
    company.pipe.declare(PIPELINE + more)
    run = company.start("repro", "grow", "slow", "-j", "2")
    assert run.stdout is not None
    said = ""
    while "grow: ran" not in said:
        line = run.stdout.readline()
        assert line, f"it ended: {said}{run.communicate()[1]}"
        said += line
    os.kill(run.pid, signal.SIGKILL)
    run.communicate()
    company.let_go()
    ended(company.start("repro"))
    assert company.pipe.read("grown.txt") == "x\n"


def test_a_stage_that_reads_more_paths_than_files_may_be_open(company: Company) -> None:
    names = [f"part{number}.txt" for number in range(150)]
    makers = "".join(
        f"  make{number}:\n    cmd: echo > {name}\n    outs: [{name}]\n"
        for number, name in enumerate(names)
    )
    company.pipe.declare(f"stages:\n{makers}  all:\n    cmd: cat part* > all.txt\n"
                         f"    deps: [{', '.join(names)}]\n    outs: [all.txt]\n")  # fmt: skip
    words = [sys.executable, "-m", "mlxrepo", "repro", "-j", "2"]
    limit = f"ulimit -S -n 100; exec {shlex.join(words)}"
    done = subprocess.run(
        ["sh", "-c", limit], cwd=company.pipe.root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert len(company.pipe.read("all.txt")) == 150
    hard = limit.replace("-S -n", "-n").replace("repro", "repro --force --single all")
    done = subprocess.run(
        ["sh", "-c", hard], cwd=company.pipe.root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 5
    assert "too many open files\n\nhint: raise the limit with `ulimit -n`" in done.stderr
    assert "Traceback" not in done.stderr


def test_claims_leave_nothing_behind(company: Company) -> None:
    company.let_go()
    ended(company.start("repro"))
    assert not list(company.pipe.path(".git/mlx/worktree/claims").iterdir())
    killed = company.start("repro", "--force", "slow")
    until(lambda: company.ran().count("slow") == 2, "it runs")
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    assert is_gone(killed.pid)
    assert outcomes(company.start("--json", "repro"))["slow"] in ("up-to-date", "restored", "ran")
