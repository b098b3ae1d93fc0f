"""The journal: what a run leaves about itself, what it never leaves, and how it stays bounded."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from pipeline_project import Pipeline, until

from mlxrepo.commands import repro as repro_module
from mlxrepo.commands.repro import repro
from mlxrepo.errors import InputError
from mlxrepo.pipeline import journal, packages, pruning
from mlxrepo.pipeline.alive import hold, is_alive
from mlxrepo.pipeline.journal import Run, StageRun
from mlxrepo.repo.layout import MANIFESTS_FOLDER

KIB = 1024


def last(pipe: Pipeline) -> tuple[Run, dict[str, StageRun]]:
    """Return the newest run and what it did about each stage."""
    with pipe.project.repo() as repo:
        run = next(journal.runs(repo))
        return run, {one.stage: one for one in journal.stages(repo, run)}


def ids(pipe: Pipeline) -> list[str]:
    with pipe.project.repo() as repo:
        return [run.id for run in journal.runs(repo)]


def file_of(pipe: Pipeline, run: str) -> Path:
    return pipe.path(f".git/mlx/runs/{run}/run.jsonl")


# what is kept


def test_a_run_keeps_who_where_on_what_and_what_became_of_it(chain: Pipeline) -> None:
    commit = chain.project.commit()
    chain.write("params.yaml", "p: 2\n")
    before = time.time()
    with chain.project.repo() as repo:
        repro(repo, words=["mlx", "repro", "--a word"])
    run, _ = last(chain)
    assert run.words == ("mlx", "repro", "--a word")
    assert (run.by, run.commit, run.dirty) == ("tester@example.org", commit, True)
    assert (run.root, run.host, run.pid) == (str(chain.root), os.uname().nodename, os.getpid())
    assert before - 1 < run.begun < time.time()
    assert (run.outcome, run.exit_code) == ("done", 0)
    assert run.counts == {"up-to-date": 1, "ran": 1}
    assert run.seconds is not None
    assert run.seconds > 0


def test_of_each_stage_it_keeps_the_decision_its_reasons_and_its_key(chain: Pipeline) -> None:
    chain.write("params.yaml", "p: 2\n")
    reports = {report.stage: report for report in chain.repro().stages}
    _, stages = last(chain)
    assert stages["first"].outcome == "up-to-date"
    second = stages["second"]
    assert second.outcome == "ran"
    assert second.reasons == reports["second"].reasons
    assert [(r.what, r.name, r.old, r.new) for r in second.reasons] == [
        ("param", "params.yaml:p", 1, 2)
    ]
    assert second.key == chain.record("second").key
    assert (second.exit_code, second.attempts, second.error) == (0, 1, "")


def test_a_known_result_is_kept_as_restored(chain: Pipeline) -> None:
    key = chain.record("second").key
    chain.path("second.txt").unlink()
    assert chain.outcomes()["second"] == "restored"
    run, stages = last(chain)
    assert run.counts == {"up-to-date": 1, "restored": 1}
    assert (stages["second"].outcome, stages["second"].key) == ("restored", key)
    assert [reason.what for reason in stages["second"].reasons] == ["out"]


def test_a_failure_is_kept_with_its_exit_code_and_what_it_blocked(chain: Pipeline) -> None:
    text = chain.read("mlx.yaml").replace("head -c 1 data.txt >", "exit 3; echo >")
    chain.write("mlx.yaml", text)
    chain.repro()
    run, stages = last(chain)
    assert (run.outcome, run.exit_code) == ("failed", 4)
    assert (stages["first"].outcome, stages["first"].exit_code) == ("failed", 3)
    assert "exit 3" in stages["first"].error
    assert stages["second"].outcome == "blocked"


def test_each_attempt_counts_and_the_log_has_all_of_them(pipe: Pipeline) -> None:
    pipe.one("echo once more; test -e seen || { touch seen; exit 1; }", retries=2)
    pipe.outcomes()
    _, stages = last(pipe)
    assert (stages["only"].outcome, stages["only"].attempts) == ("ran", 2)
    assert Path(stages["only"].log).read_text().count("once more") == 2


def test_peak_memory_is_that_of_the_largest_process(pipe: Pipeline) -> None:
    grow = f"{shlex.quote(sys.executable)} -c 'print(len(bytearray(300 << 20)))'"
    pipe.one(f"({grow}); true", outs=[])
    # The process of the tests is large itself, and who is started by it inherits its peak: a shell
    # stands between them.
    words = f"{shlex.quote(sys.executable)} -m mlxrepo repro; exit $?"
    subprocess.run(["sh", "-c", words], cwd=pipe.root, capture_output=True, check=True)
    memory = last(pipe)[1]["only"].memory
    assert memory is not None
    assert 300 << 20 < memory < 400 << 20


def test_a_process_smaller_than_mlx_is_not_given_the_memory_of_mlx(pipe: Pipeline) -> None:
    pipe.one("true")
    pipe.outcomes()
    assert last(pipe)[1]["only"].memory is None


def test_a_run_with_nothing_to_do_leaves_nothing(chain: Pipeline) -> None:
    before = sorted(chain.path(".git/mlx/runs").iterdir())
    assert set(chain.outcomes().values()) == {"up-to-date"}
    assert sorted(chain.path(".git/mlx/runs").iterdir()) == before


def test_of_a_run_that_did_something_the_idle_stages_are_kept_too(chain: Pipeline) -> None:
    chain.write("mlx.yaml", chain.read("mlx.yaml") + "  third:\n    cmd: echo 3\n")
    chain.outcomes()
    outcomes = {name: one.outcome for name, one in last(chain)[1].items()}
    assert outcomes == {"third": "ran", "first": "up-to-date", "second": "up-to-date"}


# reading


def test_runs_come_newest_first_also_within_a_second(pipe: Pipeline) -> None:
    seen: list[str] = []
    for number in range(5):
        pipe.one(f"echo {number}")
        pipe.outcomes()
        seen[:0] = [run for run in ids(pipe) if run not in seen]
    assert len(seen) == 5
    assert ids(pipe) == seen


def test_runs_of_a_stage_are_those_that_ended_well(chain: Pipeline) -> None:
    for value in (2, 3):
        chain.write("params.yaml", f"p: {value}\n")
        chain.outcomes()
    chain.write("params.yaml", "p: 1\n")
    assert chain.outcomes()["second"] == "restored"
    chain.declare(chain.read("mlx.yaml").replace("cat first.txt params.yaml >", "exit 1; echo >"))
    assert chain.failure().stage == "second"
    with chain.project.repo() as repo:
        found = list(journal.stage_runs(repo, ["second"]))
        assert [one.reasons[0].new for one in found] == [3, 2, None]
        assert len({one.key for one in found}) == 3
        assert len(list(journal.stage_runs(repo, ["first"]))) == 1
        assert list(journal.stage_runs(repo, ["fir"])) == []


@pytest.mark.parametrize("rest", [b"", b"\0\0\0", b'{"event":"end","stage":"fir', b"[]\n12\n"])
def test_what_is_torn_counts_as_not_written(chain: Pipeline, rest: bytes) -> None:
    [run] = ids(chain)
    data = file_of(chain, run).read_bytes()
    *lines, done = data.splitlines(keepends=True)
    assert b'"done"' in done
    file_of(chain, run).write_bytes(b"".join(lines) + rest)
    known, stages = last(chain)
    assert known.outcome == "killed"
    assert known.counts == {"ran": 2}
    assert {name: one.outcome for name, one in stages.items()} == {"first": "ran", "second": "ran"}


def test_a_run_of_a_newer_format_or_without_a_head_is_passed_over(chain: Pipeline) -> None:
    [run] = ids(chain)
    data = file_of(chain, run).read_bytes()
    for other in (data.replace(b'"format":1', b'"format":2'), data[20:], b""):
        file_of(chain, run).write_bytes(other)
        assert ids(chain) == []
        with chain.project.repo() as repo:
            assert list(journal.stage_runs(repo, ["first"])) == []


def test_worktrees_share_the_journal(chain: Pipeline) -> None:
    chain.project.commit()
    other = Pipeline(chain.project.worktree("other"))
    other.write("params.yaml", "p: 7\n")
    other.outcomes()
    assert last(chain)[0].root == str(other.root)
    assert len(ids(chain)) == 2


# who is alive


def test_a_run_is_alive_as_long_as_its_process(pipe: Pipeline) -> None:
    program = (
        "import sys, time; from mlxrepo.repo.repo import Repo; from mlxrepo.pipeline.alive import *"
        "\nwith hold(Repo.find(), 'r'):\n    print(1, flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=pipe.root,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert other.stdout is not None
    assert other.stdin is not None
    other.stdout.readline()
    with pipe.project.repo() as repo:
        assert is_alive(repo, "r")
        other.kill()
        other.wait()
        assert not is_alive(repo, "r")
        with hold(repo, "r"):
            assert is_alive(repo, "r")
        assert not is_alive(repo, "r")
        assert not Path(repo.shared("runs", "r")).exists()
    other.stdin.close()
    other.stdout.close()


# what is around a run


def environment(pipe: Pipeline) -> dict[str, Any]:
    with pipe.project.repo() as repo:
        found = journal.environment(repo, last(pipe)[0].environment)
    assert found is not None
    return found


def test_the_environment_names_the_python_and_what_is_installed(pipe: Pipeline) -> None:
    pipe.one("true")
    pipe.outcomes()
    found = environment(pipe)
    asked = "import sys, click; from importlib.metadata import version; import json; "
    asked += "print(json.dumps([sys.implementation.name, sys.version.split()[0], sys.executable]))"
    done = subprocess.run(["python", "-c", asked], capture_output=True, text=True, check=True)
    assert [found["implementation"], found["version"], found["path"]] == json.loads(done.stdout)
    version = "from importlib.metadata import version; print(version('click'))"
    done = subprocess.run(["python", "-c", version], capture_output=True, text=True, check=True)
    assert f"click=={done.stdout.strip()}" in found["packages"]


def test_equal_environments_are_kept_once_and_asked_for_once(
    pipe: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe.one("echo 1")
    pipe.outcomes()
    digest = last(pipe)[0].environment
    monkeypatch.setattr(packages, "_ask", lambda path, folder: pytest.fail("asked again"))
    pipe.one("echo 2")
    pipe.outcomes()
    assert last(pipe)[0].environment == digest
    assert len(list(pipe.path(".git/mlx/runs/environments").iterdir())) == 1


def test_packages_on_the_python_path_count_and_its_value_is_not_written(
    pipe: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "s3cret" / "Some_Thing-1.2.3.dist-info").mkdir(parents=True)
    os.utime(tmp_path / "s3cret", (0, 0))  # long enough ago to be remembered
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "s3cret"))
    pipe.one("true")
    pipe.outcomes()
    assert "some-thing==1.2.3" in environment(pipe)["packages"]
    for path in pipe.path(".git/mlx").rglob("*"):
        assert not path.is_file() or b"s3cret" not in path.read_bytes(), path


def test_without_a_python_there_is_no_environment(
    pipe: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("git", "sh"):
        found = subprocess.run(["which", name], capture_output=True, text=True, check=True).stdout
        (tmp_path / name).symlink_to(found.strip())
    monkeypatch.setenv("PATH", str(tmp_path))
    pipe.one("true", shell="sh")
    pipe.outcomes()
    assert last(pipe)[0].environment is None


# the journal is no promise


def test_a_full_disk_fails_no_run(chain: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "20261120-101112-abcdef"
    monkeypatch.setattr(repro_module, "new_run_id", lambda: name)
    file_of(chain, name).parent.mkdir()
    file_of(chain, name).symlink_to("/dev/full")
    chain.write("params.yaml", "p: 2\n")
    assert chain.outcomes()["second"] == "ran"
    assert set(chain.outcomes().values()) == {"up-to-date"}


@pytest.mark.parametrize("name", ["environments", "prune.lock", "sizes.json"])
def test_what_cannot_be_written_there_fails_no_run(pipe: Pipeline, name: str) -> None:
    place = pipe.path(f".git/mlx/runs/{name}")
    place.parent.mkdir(parents=True)
    if name == "environments":
        place.write_text("in the way")
    else:
        (place / "in the way").mkdir(parents=True)
    pipe.one("true")
    assert pipe.outcomes() == {"only": "ran"}
    assert last(pipe)[0].outcome == "done"


def test_the_run_folder_in_the_way_of_its_own_lock_fails_no_run(
    chain: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "20261120-101112-abcdef"
    monkeypatch.setattr(repro_module, "new_run_id", lambda: name)
    (file_of(chain, name).parent / "alive").mkdir(parents=True)
    chain.write("params.yaml", "p: 2\n")
    assert chain.outcomes()["second"] == "ran"


# it stays bounded


class Shelf:
    """Runs of about 40 KiB each, with a bound of 100 KiB."""

    def __init__(self, pipe: Pipeline):
        self.pipe = pipe
        self._number = count()
        pipe.project.git("config", "mlx.journal", "100KiB")

    def run(self, *, fail: bool = False) -> str:
        """Run once, which leaves a log or, of a stage that fails, an out of 40 KiB."""
        number = next(self._number)
        if fail:
            self.pipe.one(f"head -c 40960 /dev/zero > out; exit 1; {number}", outs=["out"])
            self.pipe.failure()
        else:
            self.pipe.one(f"head -c 40960 /dev/zero; : {number}")
            self.pipe.outcomes()
        return ids(self.pipe)[0]

    def size(self) -> int:
        runs = self.pipe.path(".git/mlx/runs")
        return sum(p.stat().st_size for p in runs.glob("2*/**/*") if p.is_file())


@pytest.fixture
def shelf(pipe: Pipeline) -> Shelf:
    return Shelf(pipe)


def test_the_oldest_runs_make_room(shelf: Shelf) -> None:
    made = [shelf.run() for _ in range(6)]
    assert ids(shelf.pipe) == [made[5], made[4]]
    assert shelf.size() <= 100 * KIB


def test_failed_outs_go_before_logs(shelf: Shelf) -> None:
    log, failed, later = shelf.run(), shelf.run(fail=True), shelf.run()
    assert ids(shelf.pipe) == [later, failed, log]
    runs = shelf.pipe.path(".git/mlx/runs")
    assert not list(runs.glob("*/*/failed"))
    assert (runs / log / "only" / "log").stat().st_size == 40960
    assert (runs / failed / "only" / "log").exists()


def test_the_last_run_stays_whole_however_large(shelf: Shelf) -> None:
    shelf.pipe.project.git("config", "mlx.journal", "1KiB")
    shelf.run()
    made = shelf.run(fail=True)
    assert ids(shelf.pipe) == [made]
    assert len(shelf.pipe.kept_by_runs()["out"]) == 40960


def test_no_run_that_is_alive_goes_nor_one_whose_outs_wait(shelf: Shelf) -> None:
    alive, waiting = shelf.run(), shelf.run()
    pipe = shelf.pipe
    pipe.project.commit()
    other = pipe.project.worktree("other")
    with other.repo() as repo:
        manifest = Path(repo.worktree_file(MANIFESTS_FOLDER), f"{waiting}.only")
    manifest.parent.mkdir(parents=True)
    manifest.write_bytes(b"{}")
    pipe.path(".git/mlx/runs/sizes.json").unlink()  # as if they had never ended
    with pipe.project.repo() as repo, hold(repo, alive):
        made = [shelf.run() for _ in range(4)]
        assert set(ids(pipe)) == {made[3], made[2], waiting, alive}
    manifest.unlink()
    made += [shelf.run()]
    assert ids(pipe) == [made[4], made[3]]


def test_the_number_of_runs_is_bounded(pipe: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "KEPT_RUNS", 3)
    for number in range(5):
        pipe.one(f"echo {number}")
        pipe.outcomes()
    with pipe.project.repo() as repo:
        kept = [journal.stages(repo, run)[0] for run in journal.runs(repo)]
    assert [Path(one.log).read_text() for one in kept] == ["4\n", "3\n", "2\n"]


def test_an_environment_goes_with_the_last_run_that_had_it(shelf: Shelf) -> None:
    shelf.run()
    folder = shelf.pipe.path(".git/mlx/runs/environments")
    [kept] = folder.iterdir()
    old = folder / ("0" * 64 + ".json")
    old.write_bytes(b"{}")
    os.utime(old, (0, 0))
    shelf.run()
    assert old.exists()
    shelf.run()
    assert list(folder.iterdir()) == [kept]


def test_a_wrong_size_is_told_before_anything_runs(pipe: Pipeline) -> None:
    pipe.one("touch ran")
    pipe.project.git("config", "mlx.journal", "much")
    with pytest.raises(InputError, match=r'mlx\.journal is "much"') as caught:
        pipe.repro()
    assert caught.value.hint == "git config mlx.journal 1GiB"
    assert not pipe.path("ran").exists()


def test_a_run_is_followed_by_a_reader_while_it_goes_on(pipe: Pipeline) -> None:
    pipe.one("echo begun; until test -e go; do sleep 0.01; done")
    mlx = pipe.start("repro")
    until(lambda: ids(pipe) and last(pipe)[1], "the stage is in the journal")
    run, stages = last(pipe)
    assert (run.outcome, stages["only"].outcome) == ("running", "running")
    assert (run.seconds, stages["only"].seconds) == (None, None)
    pipe.write("go")
    mlx.communicate()
    run, stages = last(pipe)
    assert (run.outcome, stages["only"].outcome) == ("done", "ran")
