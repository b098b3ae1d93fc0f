"""What `mlx verify` promises: it reads everything, and a rerun changes nothing."""

from __future__ import annotations

import gzip
import json
import os
import tarfile
import time
import zipfile
from pathlib import Path

import pytest
from pipeline_project import Pipeline
from sandbox import Project

from mlxrepo.commands.accept import accept
from mlxrepo.commands.status import status
from mlxrepo.commands.verify import Verified, verify
from mlxrepo.errors import CannotDecide, StageFailed
from mlxrepo.files import stat_of
from mlxrepo.pipeline import nondeterminism
from mlxrepo.pipeline.nondeterminism import cause
from mlxrepo.store.statcache import Folder, Seen, single_key

STAGES = """
stages:
  prepare:
    cmd: mkdir parts && cp data.txt parts/one && cp data.txt parts/two
    deps: [data.txt]
    outs: [parts]
  train:
    cmd: cat parts/one > model.txt; echo >> ran.txt
    deps: [parts]
    outs: [model.txt]
"""


@pytest.fixture
def pipe(project: Project) -> Pipeline:
    pipe = Pipeline(project)
    pipe.write("data.txt", "abc\n")
    pipe.declare(STAGES)
    pipe.outcomes()
    return pipe


def check(pipe: Pipeline, *targets: str, again: bool = False) -> list[Verified]:
    return list(pipe.project.do(verify, targets, again=again))


def differences(found: Verified) -> list[tuple[str, str, str]]:
    return [(item.word, item.role, item.path) for item in found.differences]


def test_what_is_as_recorded_is_the_same(pipe: Pipeline) -> None:
    assert [(one.stage, one.word, one.files) for one in check(pipe)] == [
        ("prepare", "same", 3),
        ("train", "same", 3),
    ]


def test_the_stat_cache_is_not_believed(pipe: Pipeline) -> None:
    """Here it says what is not so, as after a disk that lost a write."""
    key = single_key("model.txt")
    known = pipe.record("train").outs[0].entry
    with pipe.project.repo() as repo:
        pipe.write("model.txt", "abX\n")
        seen = Seen(stat_of(pipe.path("model.txt").lstat()), known)
        later = time.time_ns() + 10**9
        repo.cache.put(key, Folder(b"", known, {"model.txt": seen}), later)
    assert pipe.project.do(status).clean
    [found] = check(pipe, "train")
    assert differences(found) == [("modified", "out", "model.txt")]


def test_missing_and_added_files_are_named(pipe: Pipeline) -> None:
    pipe.path("parts/two").unlink()
    pipe.write("parts/three", "3\n")
    pipe.path("model.txt").unlink()
    [prepare, train] = check(pipe)
    assert sorted(differences(prepare)) == [
        ("added", "out", "parts/three"),
        ("deleted", "out", "parts/two"),
    ]
    assert ("missing", "out", "model.txt") in differences(train)


def test_a_changed_command_is_a_difference(pipe: Pipeline) -> None:
    pipe.declare(STAGES.replace("cat parts/one", "cat parts/two"))
    [found] = check(pipe, "train")
    assert found.word == "different"
    assert [str(reason) for reason in found.reasons] == ["the command changed"]


def test_what_was_never_recorded_cannot_be_decided(pipe: Pipeline) -> None:
    pipe.declare(STAGES + "  more:\n    cmd: echo > more.txt\n    outs: [more.txt]\n")
    with pytest.raises(CannotDecide, match="nothing is recorded of stage more"):
        check(pipe)


def test_a_rerun_runs_and_changes_nothing(pipe: Pipeline) -> None:
    before = pipe.read("mlx.lock"), pipe.path("model.txt").stat()
    [found] = check(pipe, "train", again=True)
    assert (found.word, found.left) == ("same", None)
    assert len(pipe.read("ran.txt")) == 2
    assert (pipe.read("mlx.lock"), pipe.path("model.txt").stat()) == before
    assert pipe.project.do(status).clean
    assert set(pipe.outcomes().values()) == {"up-to-date"}


def test_a_rerun_tells_what_differs_and_keeps_it(pipe: Pipeline) -> None:
    pipe.declare(STAGES.replace("cat parts/one", "date +%s.%N"))
    pipe.outcomes()
    first = pipe.read("model.txt")
    [found] = check(pipe, "train", again=True)
    assert found.word == "different"
    assert differences(found) == [("modified", "out", "model.txt")]
    assert found.differences[0].cause == nondeterminism.TIME
    assert pipe.read("model.txt") == first
    assert found.left is not None
    [left] = [path for path in Path(found.left).rglob("*") if path.is_file()]
    assert left.read_text() != first
    assert set(pipe.outcomes().values()) == {"up-to-date"}


def test_a_rerun_that_fails_leaves_the_last_good_outs(pipe: Pipeline) -> None:
    pipe.declare(STAGES.replace("cat parts/one", "if [ -e bad ]; then exit 3; fi; cat parts/one"))
    pipe.outcomes()
    pipe.write("bad", "")
    with pytest.raises(StageFailed, match="exit 3"):
        check(pipe, "train", again=True)
    assert pipe.read("model.txt") == "abc\n"
    assert set(pipe.outcomes().values()) == {"up-to-date"}


def test_only_what_is_up_to_date_is_run_again(pipe: Pipeline) -> None:
    pipe.write("data.txt", "abcd\n")
    with pytest.raises(CannotDecide, match="prepare is not up to date"):
        check(pipe, again=True)
    assert len(pipe.read("ran.txt")) == 1
    pipe.declare(STAGES.replace("[model.txt]", "[{model.txt: {persist: true}}]"))
    pipe.outcomes()
    with pytest.raises(CannotDecide, match="goes on from what an out has"):
        check(pipe, "train", again=True)


def test_an_accepted_record_can_be_proved_and_says_so(pipe: Pipeline) -> None:
    pipe.declare(STAGES.replace("cat parts/one", "cat  parts/one"))
    pipe.project.do(accept, ["train"], "a blank")
    [found] = check(pipe, "train", again=True)
    assert found.word == "same"
    assert str(found.accepted) == "accepted by tester@example.org: a blank"


def test_a_rerun_is_in_the_journal(pipe: Pipeline) -> None:
    assert pipe.project.mlx("verify", "--rerun", "train").returncode == 0
    [run] = json.loads(pipe.project.mlx("--json", "runs", "list", "--limit", "1").stdout)["runs"]
    assert run["command"][1:] == ["verify", "--rerun", "train"]


def test_on_the_command_line(pipe: Pipeline) -> None:
    done = pipe.project.mlx("verify")
    assert done.returncode == 0, done.stderr
    assert "train: same  3 files as recorded" in done.stdout
    pipe.write("model.txt", "other\n")
    done = pipe.project.mlx("verify", "train")
    assert done.returncode == 1
    assert "  modified out: model.txt" in done.stdout
    [stage] = json.loads(pipe.project.mlx("--json", "verify", "train").stdout)["stages"]
    assert stage["result"] == "different"


# causes


def zipped(path: Path, year: int, content: str) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(zipfile.ZipInfo("a.txt", (year, 1, 1, 0, 0, 0)), content)


def tarred(path: Path, clock: int, content: str) -> None:
    source = path.with_suffix(".source")
    source.write_text(content)
    os.utime(source, (clock, clock))
    with tarfile.open(path, "w") as archive:
        archive.add(source, "a.txt")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("at 2026-01-02 03:04:05 x\n", "at 2026-11-12 13:14:15 x\n", nondeterminism.TIME),
        ("b\na\nc\n", "a\nb\nc\n", nondeterminism.ORDER),
        ('{"auc": 0.91234567891}', '{"auc": 0.91234567892}', nondeterminism.NUMBERS),
        ('{"auc": 0.91}', '{"auc": 0.92}', nondeterminism.UNKNOWN),
        ("\0\1\2", "\0\1\3", nondeterminism.UNKNOWN),
    ],
)
def test_the_cause_is_told_from_the_bytes(
    tmp_path: Path, old: str, new: str, expected: str
) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_text(old)
    other.write_text(new)
    assert cause(str(one), str(other)) == expected
    for path, text, clock in ((one, old, 1), (other, new, 2)):
        path.write_bytes(gzip.compress(text.encode(), mtime=clock))
    assert cause(str(one), str(other)) == expected


def test_times_in_archives_are_known_causes(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for path, clock in ((one, 1), (other, 2)):
        path.write_bytes(gzip.compress(b"the same", mtime=clock))
    assert cause(str(one), str(other)) == nondeterminism.TIME_IN_GZIP
    for write in (zipped, tarred):
        write(one, 2001, "the same")
        write(other, 2002, "the same")
        assert cause(str(one), str(other)) == nondeterminism.TIMES_IN_ARCHIVE
        write(other, 2002, "another")
        assert cause(str(one), str(other)) == nondeterminism.UNKNOWN


@pytest.mark.parametrize("head", [b"\x1f\x8b", b"PK\x03\x04", b"\0" * 257 + b"ustar"])
def test_broken_archives_are_no_error(tmp_path: Path, head: bytes) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_bytes(head + b"1")
    other.write_bytes(head + b"2")
    assert cause(str(one), str(other)) == nondeterminism.UNKNOWN
    assert cause(str(one), str(tmp_path / "none")) == nondeterminism.UNKNOWN
