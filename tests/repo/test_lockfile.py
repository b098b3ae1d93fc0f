"""mlx.lock: what is written is read back, and whatever a merge or a hand did to it is named."""

from __future__ import annotations

import contextlib
import json
import random
import string
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sandbox import Project

from mlxrepo.commands.add import add
from mlxrepo.commands.status import status
from mlxrepo.errors import InputError
from mlxrepo.hashing import Oid
from mlxrepo.paths import RepoPath, bad_name
from mlxrepo.repo import checkedlock
from mlxrepo.repo.lockfile import (
    DataRecord,
    Input,
    Output,
    Record,
    Records,
    StageRecord,
    encode_lock,
    parse_lock,
)
from mlxrepo.store.statcache import StatCache
from mlxrepo.store.tree import Entry

names = st.text(string.ascii_letters + string.digits + "_-.", min_size=1, max_size=8)
# Names of files are bytes: what is not UTF-8 comes as surrogates.
words = st.binary(min_size=1, max_size=12).map(
    lambda raw: raw.translate(None, b"/\0").decode("utf-8", "surrogateescape")
)
paths = (
    st.lists(words.filter(lambda word: bad_name(word) is None), min_size=1, max_size=3)
    .map("/".join)
    .map(RepoPath)
)
oids = st.binary(min_size=32, max_size=32).map(lambda raw: Oid(raw.hex()))
sizes = st.integers(0, (1 << 62) - 1)
entries = st.one_of(
    st.builds(Entry, st.sampled_from(["file", "exec"]), oids, sizes, st.just(1)),
    st.builds(Entry, st.just("tree"), oids, sizes, sizes),
)
texts = st.text(max_size=20).filter(lambda text: text.isprintable())
scalars = st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False), texts)
tables = st.dictionaries(texts, st.dictionaries(texts, scalars, min_size=1, max_size=3), max_size=2)
wrapped = st.sampled_from([{"$float": text} for text in ("nan", "inf", "-inf")])
metrics = st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False), wrapped)
measured = st.dictionaries(texts, st.dictionaries(texts, metrics, max_size=3), max_size=2)
stages = st.builds(
    StageRecord,
    key=oids,
    cmd=st.lists(texts, max_size=3).map(tuple),
    wdir=st.one_of(st.just(RepoPath("")), paths),
    deps=st.lists(st.builds(Input, paths, entries), max_size=3).map(tuple),
    params=tables,
    environment=st.dictionaries(texts, scalars, max_size=2),
    outs=st.lists(
        st.builds(
            Output, paths, st.sampled_from(["out", "metric", "plot"]), st.booleans(), entries
        ),
        max_size=3,
    ).map(tuple),
    metrics=measured,
    state=st.sampled_from(
        [None, {"unverified": True}, {"accepted": {"by": "a", "why": "b"}, "unverified": True}]
    ),
)
data = st.tuples(
    st.builds("{}:{}".format, st.sampled_from(["data", "feature", "model"]), names),
    st.builds(DataRecord, paths, entries),
)
locks = st.lists(st.one_of(data, st.tuples(names.map("stage:{}".format), stages)), max_size=8).map(
    lambda pairs: dict(pairs)
)


@given(records=locks)
@settings(max_examples=60, deadline=None)
def test_what_is_written_is_read_back(records: Records) -> None:
    assert parse_lock(encode_lock(records), "mlx.lock") == records


@given(records=locks, seed=st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_any_order_is_read_and_one_order_is_written(records: Records, seed: random.Random) -> None:
    header, *lines = [line for line in encode_lock(records).split(b"\n") if line]
    pairs = list(zip(lines[::2], lines[1::2], strict=True))
    assert [json.loads(name) for name, _ in pairs] == sorted(records)
    seed.shuffle(pairs)
    shuffled = b"\n".join([header, *(line for pair in pairs for line in pair)]) + b"\n"
    found = parse_lock(shuffled, "mlx.lock")
    assert found == checkedlock.decode(shuffled) == records
    assert encode_lock(found) == encode_lock(records)


@given(records=locks, cut=st.integers(0, 400), junk=st.binary(max_size=12))
@settings(max_examples=150, deadline=None)
def test_damage_is_an_error_with_its_place_or_reads_as_whole_records(
    records: Records, cut: int, junk: bytes
) -> None:
    text = encode_lock(records)
    at = cut % (len(text) + 1)
    with contextlib.suppress(InputError):
        found = parse_lock(text[:at] + junk, "mlx.lock")
        assert all(records[name] == record for name, record in found.items())
        assert checkedlock.decode(text[:at] + junk) == found


def record(letter: str) -> Record:
    return DataRecord(RepoPath(f"{letter}.csv"), Entry("file", Oid(letter * 64), 1))


TEXT = encode_lock({"data:a": record("a"), "data:b": record("b"), "data:c": record("c")}).decode()
LINES = [line for line in TEXT.splitlines(keepends=True) if line.strip()]
HEADER, A_NAME, A, B_NAME, B = LINES[:5]


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("", 1, "empty"),
        ("\n \n", 1, "empty"),
        ("hello\n", 1, "not JSON"),
        (A_NAME + A, 1, "no header"),
        ('{"oid":"blake3"}\n', 1, "no header"),
        (HEADER.replace("1", "2"), 1, "another mlx"),
        (HEADER.replace("blake3", "sha512"), 1, "another mlx"),
        (HEADER + A_NAME + A + B_NAME, 4, "cut off"),
        (HEADER + A_NAME + A + B_NAME + B[:20], 5, "not JSON"),
        (HEADER + A_NAME + A + A_NAME + A, 4, "twice (first on line 2)"),
        (HEADER + A, 2, "name of a record"),
        (HEADER + '"dta:a"\n' + A, 2, "name of a record"),
        (HEADER + '"data:"\n' + A, 2, "name of a record"),
        (HEADER + A_NAME + "<<<<<<< HEAD\n" + A + "=======\n" + B + ">>>>>>> x\n", 3, "conflict"),
        (HEADER + A_NAME + A.replace("a.csv", "../a.csv"), 3, "not a path inside"),
        (HEADER + A_NAME + A.replace("a.csv", "/a.csv"), 3, "not a path inside"),
        (HEADER + A_NAME + A.replace("a.csv", ".git/hooks/x"), 3, "not a path inside"),
        (HEADER + A_NAME + A.replace("aaaa", "AAAA"), 3, "oid"),
        (HEADER + A_NAME + A.replace('"size":1', '"size":-1'), 3, "size"),
        (HEADER + A_NAME + A.replace('"size":1', '"size":1.5'), 3, "size"),
        (HEADER + A_NAME + A.replace('"size":1', '"sise":1'), 3, "unknown key sise"),
        (HEADER + A_NAME + A.replace('"size":1,', "").replace(',"size":1', ""), 3, "'size'"),
        (HEADER + A_NAME + A.replace("file", "pipe"), 3, "kind"),
        (HEADER + A_NAME + "[]\n", 3, "not an object"),
        (HEADER + A_NAME + '{"path":"a","path":"b"}\n', 3, "given twice"),
        (HEADER + '"stage:a"\n{"key":1}\n', 3, "oid"),
        (HEADER + '"stage:a"\n{"key":"' + "a" * 64 + '","cmd":"rm"}\n', 3, "not what belongs"),
        (HEADER + '"stage:a"\n{"key":"' + "a" * 64 + '","deps":["x"]}\n', 3, "not what belongs"),
        (HEADER + '"stage:a"\n{"key":"' + "a" * 64 + '","metrics":{"m":1}}\n', 3, "belongs"),
        (HEADER + '"stage:a"\n{"key":"' + "a" * 64 + '","wdir":3}\n', 3, "belongs"),
        (HEADER + '"stage:a"\n{"key":"' + "a" * 64 + '","state":"ok"}\n', 3, "belongs"),
        (HEADER + '"stage:a"\n' + "[" * 9000 + "\n", 3, "not JSON"),
    ],
)
def test_each_fault_is_named_with_its_line_and_a_way_out(
    text: str, line: int, message: str
) -> None:
    with pytest.raises(InputError) as caught:
        parse_lock(text.encode(), "sub/mlx.lock")
    assert message in caught.value.message
    assert caught.value.hint
    assert caught.value.where is not None
    assert (caught.value.where.file, caught.value.where.line) == ("sub/mlx.lock", line)


def test_blank_lines_and_line_ends_of_another_system_change_nothing() -> None:
    plain = parse_lock(TEXT.encode(), "mlx.lock")
    assert parse_lock(TEXT.replace("\n", "\n\n").encode(), "mlx.lock") == plain
    assert parse_lock(TEXT.replace("\n", "\r\n").encode(), "mlx.lock") == plain
    assert parse_lock(TEXT.rstrip().encode(), "mlx.lock") == plain


def test_a_conflict_from_a_real_merge_is_named_and_choosing_one_side_settles_it(
    project: Project,
) -> None:
    project.write("a.csv", "base")
    project.do(add, ["a.csv"])
    project.commit()
    for branch in ("one", "two"):
        project.git("checkout", "-q", "-b", branch, "main")
        project.write("a.csv", branch)
        project.do(add, ["a.csv"])
        project.commit()
    project.git("merge", "one", check=False)
    with pytest.raises(InputError, match="conflict") as caught:
        project.do(status)
    assert caught.value.where is not None
    assert project.read("mlx.lock").splitlines()[caught.value.where.line - 1].startswith("<<<<<<<")
    project.git("checkout", "--ours", "mlx.lock")
    assert project.do(status).clean


def test_branches_that_change_different_records_merge_in_plain_git(project: Project) -> None:
    letters = "abcdefgh"
    for letter in letters:
        project.write(f"{letter}.csv", f"base {letter}")
    project.do(add, [f"{letter}.csv" for letter in letters])
    project.commit()
    for branch, mine in (("even", letters[::2]), ("odd", letters[1::2])):
        project.git("checkout", "-q", "-b", branch, "main")
        for letter in mine:
            project.write(f"{letter}.csv", f"{branch} {letter}")
        project.do(add, [f"{letter}.csv" for letter in mine])
        project.commit()
    project.git("merge", "-q", "--no-edit", "even")
    with project.repo() as repo:
        sizes = {item.path: item.entry.size for item in repo.observed.tracked()}
    assert sizes == {
        f"{letter}.csv": len(f"{'odd' if n % 2 else 'even'} {letter}")
        for n, letter in enumerate(letters)
    }


def test_a_lock_that_was_read_once_is_checked_again_when_it_changed(tmp_path: Path) -> None:
    cache = StatCache(str(tmp_path / "stat"))
    good = HEADER.encode() + b"\n"
    assert checkedlock.read_records(good, RepoPath("mlx.lock"), cache) == {}
    bad = good + b'\n"stage:x"\n{}\n'
    for _ in range(2):
        with pytest.raises(InputError, match="it has no 'key'"):
            checkedlock.read_records(bad, RepoPath("mlx.lock"), cache)
    assert checkedlock.read_records(good, RepoPath("mlx.lock"), cache) == {}
