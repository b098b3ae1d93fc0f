"""`mlx lock text`: what git shows of mlx.lock, through real `git diff`."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sandbox import Project

from mlxrepo.cli.locktext import lock_text
from mlxrepo.commands.add import add
from mlxrepo.commands.repro import repro
from mlxrepo.hashing import Oid
from mlxrepo.paths import RepoPath
from mlxrepo.repo.lockfile import (
    DataRecord,
    Input,
    Output,
    Records,
    StageRecord,
    encode_lock,
)
from mlxrepo.store.tree import Entry

A, B = Oid("a" * 64), Oid("b" * 64)
RECORDS: Records = {
    "data:reviews": DataRecord(RepoPath("data"), Entry("tree", A, 3 << 20, 1204)),
    "model:given": DataRecord(RepoPath('m/ü"\n.bin'), Entry("exec", B, 10)),
    "stage:train": StageRecord(
        key=B,
        cmd=("python train.py", "true"),
        wdir=RepoPath("sub"),
        deps=(
            Input(RepoPath("z.py"), Entry("file", A, 400)),
            Input(RepoPath("data"), Entry("tree", A, 3 << 20, 1204)),
        ),
        params={
            "params.yaml": {"lr": 0.1, "opt": "adam", "no": {"$yaml": {"1.1": False, "1.2": "NO"}}},
            "all.json": {"": {"depth": 3}},
        },
        environment={"interpreter": "cpython 3.11"},
        outs=(
            Output(RepoPath("model.pkl"), "out", True, Entry("file", B, 1 << 20)),
            Output(RepoPath("metrics.json"), "metric", False, Entry("file", A, 40)),
        ),
        metrics={"metrics.json": {"auc": 0.91, "loss": {"$float": "nan"}}},
        state={"accepted": {"by": "ana@example.org", "why": "reformatted"}},
    ),
}
TEXT = """\
dataset reviews
  at data: 1,204 files, 3.0 MiB (aaaaaaaaaaaa)
model given
  at m/ü"\\n.bin: 10 B, executable (bbbbbbbbbbbb)
stage train
  ran python train.py
  ran true
  in the folder sub
  read data: 1,204 files, 3.0 MiB (aaaaaaaaaaaa)
  read z.py: 400 B (aaaaaaaaaaaa)
  param all.json = {"depth": 3}
  param params.yaml lr = 0.1
  param params.yaml no = "NO" (read by YAML 1.1 as false)
  param params.yaml opt = "adam"
  environment interpreter = "cpython 3.11"
  measured metrics.json: 40 B (aaaaaaaaaaaa)
  wrote model.pkl: 1.0 MiB (bbbbbbbbbbbb)
  metric metrics.json auc = 0.91
  metric metrics.json loss = nan
  accepted: by ana@example.org: reformatted
  action bbbbbbbbbbbb
"""


def test_one_fact_a_line() -> None:
    assert lock_text(encode_lock(RECORDS)) == TEXT


def test_the_order_of_the_records_is_no_difference() -> None:
    header, *rest = encode_lock(RECORDS).split(b"\n\n")
    turned = b"\n\n".join([header, *(part.strip() for part in reversed(rest))]) + b"\n"
    assert lock_text(turned) == TEXT


def test_conflict_marks_stay_where_they_are_around_what_they_enclose() -> None:
    other = encode_lock({"data:reviews": DataRecord(RepoPath("data"), Entry("file", B, 5))})
    ours, theirs = (lock.split(b"\n\n")[1].strip() for lock in (encode_lock(RECORDS), other))
    merged = b"\n".join(
        [
            b'{"format":1,"oid":"blake3"}',
            b"<<<<<<< HEAD",
            ours,
            b"=======",
            theirs,
            b">>>>>>> b",
            b"",
        ]
    )
    assert lock_text(merged) == (
        "<<<<<<< HEAD\ndataset reviews\n  at data: 1,204 files, 3.0 MiB (aaaaaaaaaaaa)\n"
        "=======\ndataset reviews\n  at data: 5 B (bbbbbbbbbbbb)\n>>>>>>> b\n"
    )


def test_another_format_a_cut_off_record_and_unknown_keys_are_shown() -> None:
    text = lock_text(
        b'{"format":2,"oid":"sha9"}\n\n"data:x"\n'
        b'{"path":"x","kind":"file","oid":"abc","size":1,"new":[1]}\n\n"data:cut"\n'
    )
    assert text.splitlines() == [
        '"data:cut"', "dataset x", "  at x: 1 B (abc)", "  new [1]", '{"format":2,"oid":"sha9"}'
    ]  # fmt: skip


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_any_bytes_have_a_text(data: bytes) -> None:
    lock_text(data).encode("utf-8", "backslashreplace")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda below: (
        st.lists(below, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["path", "kind", "oid", "size", "cmd", "deps", "params", "$yaml", "outs"]
            ),
            below,
            max_size=4,
        )
    ),
    max_leaves=8,
)


@given(st.sampled_from(["data:x", "stage:x", "other:x", "x"]) | JSON, JSON)
@settings(max_examples=300, deadline=None)
def test_any_json_in_place_of_a_record_has_a_text(name: object, value: object) -> None:
    import json

    data = f"{json.dumps(name)}\n{json.dumps(value)}\n".encode()
    assert lock_text(data)


@pytest.mark.parametrize("fault", [b"", b"5", b'"$float"', b"[1e999]", b"[" * 100_000])
def test_a_record_that_is_cut_or_nested_without_end(fault: bytes) -> None:
    lock_text(b'"stage:x"\n{"params":{"a":{"b":' + fault)


def with_textconv(project: Project) -> None:
    command = f"{shlex.quote(sys.executable)} -m mlxrepo lock text"
    project.git("config", "diff.mlx.textconv", command)


@pytest.fixture
def trained(project: Project) -> Project:
    project.write("data.csv", "1\n")
    project.write("params.yaml", "lr: 1\n")
    project.do(add, ["data.csv"])
    stage = (
        "stages:\n  train: {cmd: cp data.csv out, deps: [data.csv], params: [lr], outs: [out]}\n"
    )
    project.write("mlx.yaml", project.read("mlx.yaml") + stage)
    project.do(repro)
    project.commit("first")
    with_textconv(project)
    return project


def changed_lines(text: str) -> list[str]:
    lines = [line for line in text.splitlines() if line[:1] in "+-"]
    return [line for line in lines if not line.startswith(("+++", "---"))]


def test_git_diff_reads_like_prose(trained: Project) -> None:
    trained.write("params.yaml", "lr: 2\n")
    trained.do(repro)
    said = trained.git("diff", "mlx.lock")
    assert " stage train" in said
    assert changed_lines(said)[:2] == [
        "-  param params.yaml lr = 1",
        "+  param params.yaml lr = 2",
    ]
    assert "{" not in said


def test_git_log_and_a_merge_in_progress(trained: Project) -> None:
    for name, text in (("ours", "2\n"), ("theirs", "3\n")):
        trained.git("checkout", "--quiet", "-B", name, "main")
        trained.write("data.csv", text * 3)
        trained.do(add, ["data.csv"])
        trained.commit(name)
    assert "+  at data.csv: 6 B (" in trained.git("log", "-p", "-1", "--", "mlx.lock")
    trained.git("merge", "ours", check=False)
    said = trained.git("diff", "HEAD", "--", "mlx.lock")
    assert "+<<<<<<< HEAD" in said
    assert "dataset dataset" in said


def test_it_loads_neither_click_nor_yaml_nor_the_store(trained: Project) -> None:
    code = (
        "import sys; from mlxrepo.__main__ import main; sys.argv = ['mlx', 'lock', 'text', "
        "'mlx.lock']\ntry:\n    main()\nfinally:\n    print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=trained.root, capture_output=True, text=True, check=True
    )
    modules = set(done.stderr.split())
    assert done.stdout.startswith("dataset dataset\n")
    assert not modules & {
        "click",
        "yaml",
        "subprocess",
        "mlxrepo.repo.repo",
        "mlxrepo.store.objects",
    }


def test_as_a_command_and_for_a_file_that_is_not_there(trained: Project, tmp_path: Path) -> None:
    done = trained.mlx("-C", ".", "lock", "text", "mlx.lock")
    assert done.stdout == trained.mlx("lock", "text", "mlx.lock").stdout
    gone = trained.mlx("lock", "text", str(tmp_path / "nothing"))
    assert (gone.returncode, gone.stdout) == (0, "(cannot be read: No such file or directory)\n")
    assert "text" not in trained.mlx("lock", "-h").stdout.partition("Commands")[2].split()
