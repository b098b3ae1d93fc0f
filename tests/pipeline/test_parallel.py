"""Stages side by side: overlap, limits, whose line is whose, and the same record in the end."""

from __future__ import annotations

import os
import random
import re
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pipeline_project import Pipeline
from powercut import PowerCut
from sandbox import Project

from mlxrepo.commands.repro import Repro
from mlxrepo.errors import InputError
from mlxrepo.hashing import blob_oid
from mlxrepo.pipeline import engine, resources
from mlxrepo.repo.lockfile import StageRecord, parse_lock


def spans(done: Repro) -> dict[str, tuple[float, float]]:
    """Return when each stage that ran began and ended."""
    return {r.stage: (r.begun, r.ended) for r in done.stages if r.outcome == "ran"}


def overlap(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return one[0] < other[1] and other[0] < one[1]


def at_once(done: Repro) -> int:
    """Return how many stages ran at the same time at most."""
    edges = sorted(
        edge for begun, ended in spans(done).values() for edge in ((begun, 1), (ended, -1))
    )
    now = most = 0
    for _, step in edges:
        now += step
        most = max(most, now)
    return most


def sleepers(pipe: Pipeline, count: int, **keys: str) -> None:
    rows = [f"  s{n}: {{cmd: sleep 0.3, {keys.get(f's{n}', '')}}}" for n in range(count)]
    pipe.write("mlx.yaml", "stages:\n" + "\n".join(rows) + "\n")


def test_eight_stages_with_eight_jobs_all_overlap(pipe: Pipeline) -> None:
    pipe.write("mlx.yaml", "stages:\n" + "".join(f"  s{n}: {{cmd: sleep 1}}\n" for n in range(8)))
    assert at_once(pipe.repro(jobs=8)) == 8


def test_no_more_run_than_there_are_jobs(pipe: Pipeline) -> None:
    sleepers(pipe, 5)
    assert at_once(pipe.repro(jobs=2)) == 2
    assert at_once(pipe.repro(jobs=1, force=True)) == 1


def test_the_setting_says_how_many_and_the_cores_when_there_is_none(
    pipe: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    sleepers(pipe, 4)
    monkeypatch.setattr("mlxrepo.commands.repro.cores", lambda: 2)
    assert at_once(pipe.repro()) == 2
    pipe.project.git("config", "mlx.jobs", "3")
    assert at_once(pipe.repro(force=True)) == 3
    pipe.project.git("config", "mlx.jobs", "many")
    with pytest.raises(InputError, match=r"mlx\.jobs"):
        pipe.repro()


def test_stages_that_need_each_other_run_one_after_the_other(pipe: Pipeline) -> None:
    pipe.declare("""
        stages:
          a: {cmd: sleep 0.2; touch a.txt, outs: [a.txt]}
          b: {cmd: cp a.txt b.txt, deps: [a.txt], outs: [b.txt]}
          c: {cmd: sleep 0.2, outs: []}
        """)
    found = spans(pipe.repro(jobs=3))
    assert found["a"][1] <= found["b"][0]
    assert overlap(found["a"], found["c"])


# resources


def test_stages_that_share_a_mutex_run_apart(pipe: Pipeline) -> None:
    mutex = "resources: {mutex: [db]}"
    sleepers(pipe, 3, s0=mutex, s1=mutex)
    found = spans(pipe.repro(jobs=3))
    assert not overlap(found["s0"], found["s1"])
    assert overlap(found["s0"], found["s2"])


def test_a_counter_is_not_over_committed(pipe: Pipeline) -> None:
    pipe.project.git("config", "mlx.resource.db-conn", "4")
    two = "resources: {db_conn: 2}"
    sleepers(pipe, 4, s0=two, s1=two, s2=two, s3="resources: {db_conn: 4}")
    done = pipe.repro(jobs=4)
    found = spans(done)
    assert at_once(done) == 2
    assert not any(overlap(found["s3"], found[s]) for s in ("s0", "s1", "s2"))


def test_of_a_counter_nobody_set_there_is_what_the_largest_stage_takes(pipe: Pipeline) -> None:
    one, two = "resources: {seats: 1}", "resources: {seats: 2}"
    sleepers(pipe, 3, s0=two, s1=one, s2=one)
    found = spans(pipe.repro(jobs=3))
    assert not overlap(found["s0"], found["s1"])
    assert overlap(found["s1"], found["s2"])


def test_memory_and_cores_are_those_of_the_machine(
    pipe: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resources, "memory", lambda: 8e9)
    monkeypatch.setattr(resources, "cores", lambda: 4)
    half, most = "resources: {mem: 4GB, cpu: 2}", "resources: {cpu: 3}"
    sleepers(pipe, 4, s0=half, s1=half, s2=half, s3=most)
    done = pipe.repro(jobs=4)
    found = spans(done)
    assert at_once(done) == 2
    assert not overlap(found["s3"], found["s2"])
    assert overlap(found["s0"], found["s1"])


def test_a_stage_that_asks_for_more_than_there_is_runs_alone_and_says_so(pipe: Pipeline) -> None:
    pipe.project.git("config", "mlx.resource.mem", "2GiB")
    sleepers(pipe, 3, s1="resources: {mem: 64GB}")
    done = pipe.repro(jobs=3)
    found = spans(done)
    assert not overlap(found["s1"], found["s0"])
    assert not overlap(found["s1"], found["s2"])
    notes = [event.text for event in pipe.events if event.kind == "note"]
    assert notes == ["it asks for 59.6 GiB of mem and there is 2.0 GiB: it runs alone"]


def test_a_setting_that_is_no_amount_is_refused(pipe: Pipeline) -> None:
    pipe.project.git("config", "mlx.resource.mem", "much")
    sleepers(pipe, 1, s0="resources: {mem: 1GB}")
    with pytest.raises(InputError, match=r"mlx\.resource\.mem"):
        pipe.repro()


def test_cores_and_memory_are_found_and_not_more_than_the_machine_has() -> None:
    assert 1 <= resources.cores() <= (os.cpu_count() or 1)
    rows = Path("/proc/meminfo").read_text()
    machine = int(re.findall(r"MemTotal:\s+(\d+) kB", rows)[0]) * 1024
    assert 1 << 20 < resources.memory() <= machine * 1.01


@pytest.mark.parametrize(
    ("files", "memory", "cores"),
    [
        ({"/proc/self/cgroup": "0::/a/b\n", "/sys/fs/cgroup/a/memory.max": "1000000\n"}, 1e6, None),
        (
            {
                "/proc/self/cgroup": "4:memory:/x\n0::/\n",
                "/sys/fs/cgroup/memory/x/memory.limit_in_bytes": "3000000\n",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
            },
            3e6,
            None,
        ),
        ({"/proc/self/cgroup": "0::/a\n", "/sys/fs/cgroup/a/cpu.max": "50000 100000\n"}, None, 1),
        ({"/proc/self/cgroup": "0::/a\n", "/sys/fs/cgroup/a/cpu.max": "max 100000\n"}, None, None),
    ],
)
def test_the_limit_of_a_cgroup_counts_when_it_is_lower(
    files: dict[str, str],
    memory: float | None,
    cores: int | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(resources, "_read", lambda path: "")
    unlimited = resources.memory(), resources.cores()
    monkeypatch.setattr(resources, "_read", lambda path: files.get(path, ""))
    assert resources.memory() == (memory or unlimited[0])
    assert resources.cores() == (cores or unlimited[1])


# lines and ends


def test_each_line_bears_the_name_of_its_stage(pipe: Pipeline) -> None:
    talk = "for i in $(seq 200); do echo %s $i; done"
    rows = "".join(f"  s{n}: {{cmd: '{talk % f's{n}'}'}}\n" for n in range(4))
    pipe.write("mlx.yaml", "stages:\n" + rows)
    done = pipe.project.mlx("repro", "-j", "4")
    lines = [line for line in done.stderr.splitlines() if " | " in line]
    assert len(lines) == 800
    for stage in ("s0", "s1", "s2", "s3"):
        mine = [line for line in lines if line.startswith(f"{stage} | ")]
        assert mine == [f"{stage} | {stage} {number}" for number in range(1, 201)]


LATTICE = "stages:\n" + "".join(
    f"  s{layer}-{n}:\n"
    f"    cmd: cat {' '.join(deps)} > o{layer}-{n}; echo {n} >> o{layer}-{n}\n"
    f"    deps: [{', '.join(deps)}]\n"
    f"    outs: [o{layer}-{n}]\n"
    for layer in range(4)
    for n in range(4)
    for deps in [[f"o{layer - 1}-{n}", f"o{layer - 1}-{(n + 1) % 4}"] if layer else ["source"]]
)


def lattice(folder: Path) -> Pipeline:
    pipe = Pipeline(Project.create(folder))
    pipe.write("source", "1\n")
    pipe.write("mlx.yaml", LATTICE)
    return pipe


def test_parallel_and_serial_runs_leave_the_same_record(tmp_path: Path) -> None:
    serial, parallel = lattice(tmp_path / "serial"), lattice(tmp_path / "parallel")
    serial.repro(jobs=1)
    parallel.repro(jobs=8)
    for name in ("mlx.lock", ".gitignore"):
        assert serial.read(name) == parallel.read(name)
    assert len(parallel.recorded()) == 16
    assert set(parallel.outcomes(jobs=8).values()) == {"up-to-date"}


@pytest.mark.parametrize("seed", range(4))
def test_a_run_that_was_killed_goes_on_and_ends_in_the_same_state(
    tmp_path: Path, seed: int
) -> None:
    whole, broken = lattice(tmp_path / "whole"), lattice(tmp_path / "broken")
    whole.repro()
    chance = random.Random(seed)
    for _ in range(3):
        mlx = broken.start("repro", "-j", "4")
        time.sleep(chance.uniform(0.1, 0.6))
        os.killpg(mlx.pid, signal.SIGKILL)
        mlx.communicate()
    done = broken.repro(jobs=4)
    assert not [report.error for report in done.stages if report.error]
    assert broken.read("mlx.lock") == whole.read("mlx.lock")
    outs = {name for name in os.listdir(whole.root) if name.startswith("o")}
    assert {name: broken.read(name) for name in outs} == {name: whole.read(name) for name in outs}
    assert broken.project.mlx("fsck", "--data").returncode == 0
    assert not list(broken.path(".git/mlx/worktree/aside").iterdir())


def test_what_was_told_as_done_is_known_after_a_kill(tmp_path: Path) -> None:
    pipe = lattice(tmp_path / "project")
    mlx = pipe.start("repro", "-j", "2")
    assert mlx.stdout is not None
    told = {mlx.stdout.readline().partition(":")[0] for _ in range(6)}
    os.killpg(mlx.pid, signal.SIGKILL)
    mlx.communicate()
    done = {r.stage: r.outcome for r in pipe.repro().stages}
    assert {done[stage] for stage in told} <= {"up-to-date", "restored"}


@pytest.fixture
def interrupter() -> Iterator[threading.Event]:
    """Interrupt this process once as soon as the event is set."""
    begin = threading.Event()

    def interrupt() -> None:
        if begin.wait(30):
            os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    yield begin
    begin.set()
    thread.join()


def test_ctrl_c_between_a_flush_and_the_record_loses_no_finished_stage(
    pipe: Pipeline, interrupter: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe.one("echo x > out.txt", outs=["out.txt"])
    keep = engine.Engine._keep

    def slowly(self: engine.Engine, done: object) -> object:
        interrupter.set()
        time.sleep(0.3)
        return keep(self, done)  # type: ignore[arg-type]

    monkeypatch.setattr(engine.Engine, "_keep", slowly)
    with pytest.raises(KeyboardInterrupt):
        pipe.repro()
    monkeypatch.undo()
    assert pipe.outcomes() == {"only": "up-to-date"}


def test_a_record_that_a_power_cut_leaves_names_only_what_is_there(pipe: Pipeline) -> None:
    rows = (f"  s{n}: {{cmd: echo {n} > o{n}, outs: [o{n}]}}\n" for n in range(8))
    pipe.write("mlx.yaml", "stages:\n" + "".join(rows))
    pipe.project.git("status")
    found = set()

    def check(power: PowerCut) -> None:
        for left in (power.strict(), power.eager()):
            if not left.get("mlx.lock"):
                continue
            for name, record in parse_lock(left["mlx.lock"], "mlx.lock").items():
                assert isinstance(record, StageRecord)
                [out] = record.outs
                oid = out.entry.oid
                assert blob_oid(left[f".git/mlx/objects/{oid[:2]}/{oid[2:]}"]) == oid
                found.add(name)

    with PowerCut(pipe.root, check).watching():
        assert set(pipe.outcomes(jobs=2).values()) == {"ran"}
    assert len(found) == 8
