"""Leases: what a living process reuses is kept, a dead one holds nothing and blocks nobody."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rig import as_nobody, scratch

from mlxrepo.errors import EnvironmentFailed
from mlxrepo.hashing import blob_oid
from mlxrepo.store import lease as module
from mlxrepo.store.lease import Lease, alone, binary_key, clock, held

ONE, TWO = blob_oid(b"one"), blob_oid(b"two")


@contextmanager
def another(root: Path, code: str) -> Iterator[subprocess.Popen[str]]:
    """Run Python that has a lease; it has done `code` when this yields, and waits."""
    script = (
        "import sys; from mlxrepo.store.lease import Lease, alone\n"
        f"lease = Lease(sys.argv[1]); oid = {ONE!r}\n{code}\nprint('ready', flush=True)\n"
        "sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stdin
    assert process.stdout.readline() == "ready\n"
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_what_a_living_process_reuses_is_seen_by_others(tmp_path: Path) -> None:
    with another(tmp_path, "lease.reuse('blob', oid); lease.reuse('tree', oid)") as process:
        (found,) = held(str(tmp_path))
        assert found.pid == str(process.pid)
        assert found.keys == {binary_key("blob", ONE), binary_key("tree", ONE)}


def test_a_killed_process_holds_nothing_and_leaves_nothing(tmp_path: Path) -> None:
    code = "lease.reuse('blob', oid); w = lease.writing(); w.__enter__()"
    with another(tmp_path, code) as process:
        process.kill()
        process.wait()
        assert held(str(tmp_path)) == []
        assert os.listdir(tmp_path / "leases") == []
        with alone(str(tmp_path)):
            pass


def test_what_is_reused_while_writing_is_noted_before_gc_comes_in(tmp_path: Path) -> None:
    lease = Lease(str(tmp_path))
    outer = lease.writing()
    with outer:
        with lease.writing():
            lease.reuse("blob", ONE)
        lease.reuse("blob", TWO)
    (found,) = held(str(tmp_path))
    assert found.keys == {binary_key("blob", ONE), binary_key("blob", TWO)}
    lease.close()
    assert held(str(tmp_path)) == []


def test_a_writer_without_reuse_tells_since_when_it_writes(tmp_path: Path) -> None:
    before = clock(str(tmp_path)) - 10**8
    lease = Lease(str(tmp_path))
    with lease.writing():
        (found,) = held(str(tmp_path))
        assert before < found.began <= time.time_ns()
        assert found.keys == frozenset()
    lease.close()


def test_gc_waits_for_writers_and_names_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WAIT_SECONDS", 0.1)
    with (
        another(tmp_path, "w = lease.writing(); w.__enter__()") as process,
        pytest.raises(EnvironmentFailed, match=f"process {process.pid}"),
        alone(str(tmp_path)),
    ):
        raise AssertionError("two at once")
    with alone(str(tmp_path)):
        pass


def test_writers_wait_for_gc_and_name_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAIT_SECONDS", 0.1)
    with another(tmp_path, "w = alone(sys.argv[1]); w.__enter__()") as process:
        lease = Lease(str(tmp_path))
        with pytest.raises(EnvironmentFailed, match=f"gc.*process {process.pid}"), lease.writing():
            raise AssertionError("two at once")
        lease.close()


def test_a_forked_child_that_ends_does_not_end_the_lease(tmp_path: Path) -> None:
    lease = Lease(str(tmp_path))
    lease.reuse("blob", ONE)
    child = os.fork()
    if child == 0:
        lease.close()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(held(str(tmp_path))) == 1
    lease.close()


def test_a_lease_that_is_taken_for_a_dead_one_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = module.fcntl.flock
    late = iter([lambda: held(str(tmp_path))])

    def slowly(fd: int, how: int) -> None:
        if how == module.fcntl.LOCK_EX:
            next(late, list)()
        lock(fd, how)

    monkeypatch.setattr(module.fcntl, "flock", slowly)
    lease = Lease(str(tmp_path))
    lease.reuse("blob", ONE)
    assert next(late, None) is None
    assert len(held(str(tmp_path))) == 1
    lease.close()


def test_a_lease_that_is_cut_off_in_the_middle_of_an_oid_counts_as_far_as_it_goes(
    tmp_path: Path,
) -> None:
    lease = Lease(str(tmp_path))
    lease.reuse("blob", ONE)
    (path,) = (tmp_path / "leases").iterdir()
    with path.open("ab") as stream:
        stream.write(b"\0half")
    (found,) = held(str(tmp_path))
    assert found.keys == {binary_key("blob", ONE)}
    lease.close()


def test_who_may_not_write_there_reads_without_a_lease() -> None:
    with scratch() as folder:
        folder.chmod(0o755)
        store = folder / "store"
        store.mkdir(mode=0o555)

        def action() -> None:
            lease = Lease(str(store))
            with lease.writing():
                lease.reuse("blob", ONE)
            lease.close()
            with pytest.raises(EnvironmentFailed, match="not writable"), alone(str(store)):
                raise AssertionError("gc in a store that it cannot change")

        as_nobody(action)
        assert os.listdir(store) == []
        store.chmod(0o755)
