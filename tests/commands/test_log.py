"""`mlx log`: real histories, with merges, broken lockfiles and clones that are cut off."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from sandbox import Project

from mlxrepo.commands.accept import accept
from mlxrepo.commands.add import add
from mlxrepo.commands.log import Change, Log, log
from mlxrepo.commands.mv import mv
from mlxrepo.commands.repro import repro
from mlxrepo.commands.rm import rm
from mlxrepo.errors import CannotDecide, InputError
from mlxrepo.hashing import blob_oid
from mlxrepo.repo.locklog import parse_commit

STAGES = """
stages:
  train:
    cmd: cat data/a.txt > model.bin
    deps: [data/a.txt]
    params: [lr]
    outs: [model.bin]
  measure:
    cmd: echo '{"size":' $(wc -c < model.bin)'}' > metrics.json
    deps: [model.bin]
    metrics: [metrics.json]
models:
  clever: {path: model.bin}
"""


@pytest.fixture
def trained(project: Project) -> Project:
    """Three commits: data, a pipeline that ran, and that again on other data."""
    project.write("data/a.txt", "1\n")
    project.write("data/b.txt", "b\n")
    project.do(add, ["data"])
    project.commit("data")
    project.write("params.yaml", "lr: 1\n")
    project.write("mlx.yaml", project.read("mlx.yaml") + STAGES)
    project.do(repro)
    project.commit("train")
    project.write("readme.txt")
    project.commit("nothing of ours")
    project.write("data/a.txt", "1\n2\n")
    project.do(repro)
    project.commit("more data")
    return project


def subjects(done: Log) -> list[str]:
    return [entry.commit.subject for entry in done.entries]


def told(done: Log) -> list[tuple[str, str, str]]:
    return [(c.word, c.path or c.stage, c.stage) for e in done.entries for c in e.changes]


def changes(done: Log) -> list[Change]:
    return [change for entry in done.entries for change in entry.changes]


def test_without_a_target_everything_by_commit(trained: Project) -> None:
    done = trained.do(log)
    assert subjects(done) == ["more data", "train", "data"]
    assert told(done) == [
        ("modified", "data", ""),
        ("modified", "measure", "measure"),
        ("modified", "model.bin", "train"),
        ("added", "measure", "measure"),
        ("added", "model.bin", "train"),
        ("added", "data", ""),
    ]
    commit = done.entries[0].commit
    assert (commit.author, commit.email) == ("A Tester", "tester@example.org")
    assert commit.oid == trained.git("rev-parse", "HEAD").strip()
    assert commit.date == trained.git("log", "-1", "--format=%aI").strip()
    assert done.complete


@pytest.mark.parametrize("target", ["model.bin", "model:clever", "clever", "train"])
def test_a_model_with_its_metrics(trained: Project, target: str) -> None:
    done = trained.do(log, target)
    assert told(done) == [("modified", "model.bin", "train"), ("added", "model.bin", "train")]
    new, old = changes(done)
    assert new.new
    assert new.old == old.new
    if target != "train":
        assert new.metrics == {"metrics.json": {"size": 4}}
        assert old.metrics == {"metrics.json": {"size": 2}}


@pytest.mark.parametrize("target", ["data", "data:dataset", "dataset"])
def test_data_that_somebody_added(trained: Project, target: str) -> None:
    done = trained.do(log, target)
    assert subjects(done) == ["more data", "data"]
    assert {change.stage for change in changes(done)} == {""}


def test_one_file_of_a_folder(trained: Project) -> None:
    assert subjects(trained.do(log, "data/a.txt")) == ["more data", "data"]
    done = trained.do(log, "data/b.txt")
    assert subjects(done) == ["data"]
    assert changes(done)[0].new
    with trained.repo("data") as repo:
        assert subjects(log(repo, "b.txt")) == ["data"]


def test_one_file_of_a_folder_whose_listings_are_not_here(trained: Project, tmp_path: Path) -> None:
    subprocess.run(["git", "clone", "-q", trained.root, tmp_path / "clone"], check=True)
    done = Project(tmp_path / "clone").do(log, "data/b.txt")
    assert subjects(done) == ["more data", "data"]
    assert not any(change.known for change in changes(done))


def test_a_stage_whose_record_alone_changed(trained: Project) -> None:
    trained.write("params.yaml", "lr: 2\n")
    trained.do(repro)
    trained.commit("same model")
    done = trained.do(log, "train", max_count=1)
    assert subjects(done) == ["same model"]
    assert told(done) == [("modified", "train", "train")]
    assert subjects(trained.do(log, "model.bin", max_count=1)) == ["more data"]


def test_a_result_that_was_accepted_says_by_whom(trained: Project) -> None:
    trained.write("model.bin", "by hand\n")
    trained.do(accept, ["train"], why="it is good")
    trained.commit("accepted")
    (change,) = changes(trained.do(log, "model.bin", max_count=1))
    assert change.accepted == "tester@example.org"


def test_what_was_removed_is_still_found(trained: Project) -> None:
    trained.write("table.csv", "1\n")
    trained.do(add, ["table.csv"])
    trained.commit("table")
    trained.do(rm, ["table.csv"])
    trained.commit("gone")
    for target in ("table.csv", "data:table", "table"):
        done = trained.do(log, target)
        assert subjects(done) == ["gone", "table"], target
        assert [change.word for change in changes(done)] == ["deleted", "added"]


def test_what_was_moved(trained: Project) -> None:
    trained.do(mv, "data", "raw")
    trained.commit("moved")
    assert "moved" in subjects(trained.do(log, "raw"))
    done = trained.do(log, "data:dataset")
    assert subjects(done) == ["moved", "more data", "data"]
    assert {c.path for c in changes(done)} == {"data", "raw"}


def test_a_revision_and_a_bound(trained: Project) -> None:
    assert subjects(trained.do(log, rev="HEAD~1")) == ["train", "data"]
    assert subjects(trained.do(log, max_count=2)) == ["more data", "train"]


def test_no_commit_and_nothing_of_that_name(project: Project) -> None:
    with pytest.raises(CannotDecide, match="no commit yet"):
        project.do(log)
    project.commit()
    assert project.do(log).entries == ()
    with pytest.raises(InputError, match="nothing is recorded"):
        project.do(log, "nonsense")
    project.write("new.csv")
    project.do(add, ["new.csv"])
    for target in ("new.csv", "data:new", "new"):
        assert project.do(log, target).entries == (), "recorded, and not committed"


def on_branch(project: Project, name: str) -> None:
    project.git("checkout", "--quiet", "-B", name, "main")
    project.write(f"{name}.csv", name)
    project.do(add, [f"{name}.csv"])
    project.commit(name)


def test_a_merge_tells_of_what_it_made_itself_alone(project: Project, tmp_path: Path) -> None:
    project.commit("begin")
    on_branch(project, "ours")
    on_branch(project, "theirs")
    project.git("checkout", "--quiet", "ours")
    project.git("merge", "--quiet", "--no-edit", "theirs", check=False)
    lock = "".join(
        line
        for line in project.read("mlx.lock").splitlines(keepends=True)
        if not line.startswith(("<<<<<<<", "=======", ">>>>>>>"))
    )
    project.write("mlx.lock", lock)
    project.commit("merged")
    assert sorted(subjects(project.do(log))) == ["ours", "theirs"]
    # What a merge changes against both sides is its own doing.
    project.git("reset", "--quiet", "--hard", "HEAD")
    project.write("mlx.lock", lock.replace(blob_oid(b"ours"), blob_oid(b"both")))
    project.git("commit", "--quiet", "--amend", "--no-edit", "mlx.lock")
    done = project.do(log)
    assert subjects(done)[0] == "merged"
    assert [change.path for change in done.entries[0].changes] == ["ours.csv"]
    # Where a shallow clone ends nothing of its parents is known.
    url = f"file://{project.root}"
    subprocess.run(["git", "clone", "-q", "--depth=1", url, tmp_path / "clone"], check=True)
    assert subjects(Project(tmp_path / "clone").do(log)) == ["merged"]


def test_a_lockfile_that_was_committed_broken(trained: Project) -> None:
    good = trained.read("mlx.lock")
    trained.write("mlx.lock", f"<<<<<<< ours\n{good}=======\n>>>>>>> theirs\n")
    trained.commit("broken")
    trained.write("mlx.lock", good.replace('"stage:measure"', '"nonsense'))
    trained.commit("more broken")
    trained.write("mlx.lock", good)
    trained.commit("mended")
    assert subjects(trained.do(log, "data")) == ["more data", "data"]
    assert subjects(trained.do(log))[-3:] == ["more data", "train", "data"]


def test_a_shallow_clone_says_that_it_is_cut_off(trained: Project, tmp_path: Path) -> None:
    url = f"file://{trained.root}"
    subprocess.run(["git", "clone", "-q", "--depth=1", url, tmp_path / "clone"], check=True)
    done = Project(tmp_path / "clone").do(log)
    assert subjects(done) == ["more data"]
    assert not done.complete


def test_nested_lockfiles_and_groups_of_stages(project: Project) -> None:
    project.write(
        "sub/mlx.yaml",
        "stages:\n  make:\n    foreach: [a, b]\n    do:\n"
        "      {cmd: 'echo ${item} > ${item}.txt', outs: ['${item}.txt']}\n",
    )
    project.do(repro)
    project.commit("made")
    expected = [("added", f"sub/{i}.txt", f"sub/mlx.yaml:make@{i}") for i in "ab"]
    for target in ("sub/mlx.yaml:make", "sub", None):
        assert told(project.do(log, target)) == expected, target
    assert told(project.do(log, "sub/mlx.yaml:make@b")) == expected[1:]


def test_authors_dates_and_messages_of_any_kind(project: Project) -> None:
    project.write("a.csv")
    project.do(add, ["a.csv"])
    project.git("add", "--all")
    project.git(
        "-c", "i18n.commitEncoding=ISO-8859-1", "commit", "--quiet",
        "--author=Zoë <z@example.org>", "--date=2020-02-29T23:59:59-0330",
        "--message=été\n\nbody",
    )  # fmt: skip
    commit = project.do(log).entries[0].commit
    assert commit.author.startswith("Zo")
    assert commit.date == "2020-02-29T23:59:59-03:30"


@pytest.mark.parametrize("person", [b"author nobody", b"author a <b> x y", b"author <> 9 +9"])
def test_a_commit_object_that_is_not_as_git_writes_it(person: bytes) -> None:
    head = b"tree 1\nparent 2\n" + person + b"\nencoding no-such-encoding"
    commit = parse_commit("0", head + b"\n\nwords\xff\nmore\n")
    assert commit.parents == 1
    assert commit.date == ""
    assert commit.subject.startswith("words")


def test_without_a_store_it_answers_from_git(trained: Project) -> None:
    shutil.rmtree(trained.path(".git/mlx"))
    assert subjects(trained.do(log, "model.bin")) == ["more data", "train"]
