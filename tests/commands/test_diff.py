"""`mlx diff`: real commits, real trees, the workspace as it is."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from sandbox import Project

from mlxrepo.commands.add import add
from mlxrepo.commands.checkout import checkout
from mlxrepo.commands.diff import ArtifactDiff, Diff, diff
from mlxrepo.commands.mv import mv
from mlxrepo.commands.repro import repro
from mlxrepo.commands.rm import rm
from mlxrepo.errors import CannotDecide, InputError

STAGE = """
stages:
  train:
    cmd: cat data/a.txt > model.bin && echo '{"auc":' $(wc -l < data/a.txt)'}' > metrics.json
    deps: [data/a.txt]
    params: [lr]
    outs: [model.bin]
    metrics: [metrics.json]
models:
  clever: {path: model.bin}
"""


@pytest.fixture
def images(project: Project) -> Project:
    """A folder of twelve files in two folders, committed."""
    project.fill("images/cats", 10)
    project.write("images/dogs/rex.txt", "rex\n")
    project.write("images/odd.txt", "odd\n")
    project.do(add, ["images"])
    project.commit("first")
    return project


@pytest.fixture
def trained(project: Project) -> Project:
    """A stage that has run on a file of a tracked folder, committed."""
    project.write("data/a.txt", "1\n")
    project.write("params.yaml", "lr: 1\n")
    project.do(add, ["data"])
    project.write("mlx.yaml", project.read("mlx.yaml") + STAGE)
    project.do(repro)
    project.commit("first")
    return project


def found(project: Project, *words: str, paths: list[str] | None = None) -> Diff:
    return project.do(diff, words, paths)


def only(done: Diff) -> ArtifactDiff:
    assert len(done.artifacts) == 1
    return done.artifacts[0]


def rows(item: ArtifactDiff) -> list[tuple[str, str]]:
    return [
        (c.word, f"{c.old_path} -> {c.path}" if c.old_path is not None else c.path)
        for c in item.changes
    ]


def test_nothing_differs_from_itself(images: Project) -> None:
    assert found(images).is_empty
    assert found(images, "HEAD", "HEAD").is_empty


def test_the_workspace_counts_as_it_is_added_or_not(images: Project) -> None:
    images.write("images/new.txt", "new\n")
    images.write("images/odd.txt", "changed\n")
    images.path("images/cats/0003.txt").unlink()
    images.path("images/dogs/rex.txt").rename(images.path("images/dogs/max.txt"))
    expected = [
        ("deleted", "cats/0003.txt"),
        ("renamed", "dogs/rex.txt -> dogs/max.txt"),
        ("added", "new.txt"),
        ("modified", "odd.txt"),
    ]
    done = found(images)
    assert (done.old, done.new) == ("HEAD", "workspace")
    item = only(done)
    assert (item.path, item.name, item.word) == ("images", "data:images", "modified")
    assert rows(item) == expected
    images.do(add, ["images"])
    assert rows(only(found(images))) == expected
    images.commit("second")
    assert found(images).is_empty
    assert rows(only(found(images, "HEAD~1", "HEAD"))) == expected
    assert rows(only(found(images, "HEAD~1"))) == expected


def test_a_renamed_folder_is_one_rename(images: Project) -> None:
    images.path("images/cats").rename(images.path("images/felines"))
    item = only(found(images))
    assert rows(item) == [("renamed", "cats -> felines")]
    assert item.changes[0].new
    assert item.changes[0].new.files == 10


def test_modes_links_and_kinds_that_change(images: Project) -> None:
    images.path("images/odd.txt").chmod(0o755)
    images.path("images/dogs/rex.txt").unlink()
    images.path("images/dogs/rex.txt").symlink_to("../odd.txt")
    shutil.rmtree(images.path("images/cats"))
    images.write("images/cats", "a file now\n")
    done = rows(only(found(images)))
    assert ("modified", "odd.txt") in done
    assert ("modified", "dogs/rex.txt") in done
    assert ("added", "cats") in done
    assert ("deleted", "cats/0000.txt") in done


def test_only_empty_folders_differ(images: Project) -> None:
    images.path("images/empty").mkdir()
    item = only(found(images))
    assert (item.word, item.changes, item.unknown) == ("modified", (), ())


def test_names_with_line_ends_quotes_and_unicode(images: Project) -> None:
    odd = ["new\nline.txt", 'quo"te.txt', "ünï.txt", "tab\t", "-dash", os.fsdecode(b"\xff\xfe")]
    for name in odd:
        images.write(f"images/{name}", name.encode("utf-8", "surrogateescape"))
    assert {c.path for c in only(found(images)).changes} == set(odd)
    images.do(add, ["images"])
    images.commit()
    assert {c.path for c in only(found(images, "HEAD~1", "HEAD")).changes} == set(odd)
    assert found(images, "HEAD~1", "HEAD", paths=["images/ünï.txt"]).artifacts[0].changes[0].new


def test_artifacts_come_go_and_move(images: Project) -> None:
    images.write("table.csv", "id\n1\n")
    images.do(add, ["table.csv"])
    images.commit("second")
    done = found(images, "HEAD~1", "HEAD")
    assert [(a.word, a.path, rows(a)) for a in done.artifacts] == [
        ("added", "table.csv", [("added", "")])
    ]
    images.do(mv, "table.csv", "tables/rows.csv")
    item = only(found(images))
    assert (item.word, item.old_path, item.path) == ("renamed", "table.csv", "tables/rows.csv")
    assert item.changes == ()
    images.do(rm, ["tables/rows.csv"])
    item = only(found(images))
    assert (item.word, item.path, item.new) == ("deleted", "table.csv", None)


def test_a_moved_artifact_whose_files_changed_too(images: Project) -> None:
    images.do(mv, "images", "pictures")
    images.write("pictures/odd.txt", "changed\n")
    item = only(found(images))
    assert (item.word, item.old_path, item.path) == ("modified", "images", "pictures")
    assert rows(item) == [("modified", "odd.txt")]


def test_the_workspace_without_a_file_that_was_here_and_one_that_never_was(
    images: Project, tmp_path: Path
) -> None:
    shutil.rmtree(images.path("images"))
    assert only(found(images)).word == "deleted"
    images.do(checkout)
    other = images.worktree("other")
    assert found(other).is_empty, "never here is absent by design"
    other.do(checkout, ["images/cats"])
    assert found(other).is_empty
    other.path("images/cats/0001.txt").unlink()
    assert rows(only(found(other))) == [("deleted", "cats/0001.txt")]


def test_stages_and_what_they_make(trained: Project) -> None:
    trained.write("data/a.txt", "1\n2\n")
    trained.write("params.yaml", "lr: 2\n")
    trained.do(repro)
    trained.commit("second")
    done = found(trained, "HEAD~1", "HEAD")
    assert [(a.path, a.name, a.stage, a.word) for a in done.artifacts] == [
        ("data", "data:dataset", "", "modified"),
        ("model.bin", "model:clever", "train", "modified"),
    ]
    (stage,) = done.stages
    facts = {(fact.what, fact.name): (fact.old, fact.new) for fact in stage.facts}
    assert (stage.stage, stage.word) == ("train", "modified")
    assert facts["param", "params.yaml:lr"] == (1, 2)
    assert facts["metric", "metrics.json:auc"] == (1, 2)
    assert facts["dep", "data/a.txt"][1].size == 4
    assert {("out", "model.bin"), ("out", "metrics.json")} <= facts.keys()
    assert ("cmd", "") not in facts


def test_a_stage_that_is_new_or_gone(trained: Project) -> None:
    text = trained.read("mlx.yaml")
    trained.write("mlx.yaml", text.replace("  train:", "  learn:"))
    trained.do(repro)
    done = found(trained)
    assert [(s.stage, s.word) for s in done.stages] == [("learn", "added"), ("train", "deleted")]
    assert not done.artifacts


def test_an_out_that_is_edited_in_the_workspace(trained: Project) -> None:
    trained.write("model.bin", "edited\n")
    done = found(trained)
    assert [(a.path, a.word) for a in done.artifacts] == [("model.bin", "modified")]
    assert not done.stages, "what is recorded of the stage is the same"


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (["images/cats"], ["cats/0001.txt"]),
        (["images/cats/0001.txt"], ["cats/0001.txt"]),
        (["images"], ["cats/0001.txt", "odd.txt"]),
        (["images/*/*.txt"], ["cats/0001.txt"]),
        (["data:images"], ["cats/0001.txt", "odd.txt"]),
        (["other.csv"], []),
        (["."], ["", "cats/0001.txt", "odd.txt"]),
        (["images/dogs"], []),
    ],
)
def test_paths_filter(images: Project, asked: list[str], expected: list[str]) -> None:
    images.write("other.csv", "1\n")
    images.do(add, ["other.csv"])
    images.commit("with another")
    images.write("images/odd.txt", "changed\n")
    images.write("images/cats/0001.txt", "changed\n")
    images.write("third.csv", "1\n")
    images.do(add, ["third.csv"])
    done = found(images, paths=asked)
    assert [c.path for a in done.artifacts for c in a.changes if a.path != "third.csv"] == [
        path for path in expected if path
    ]
    assert ("third.csv" in [a.path for a in done.artifacts]) is ("" in expected)


def test_a_stage_filters_and_brings_its_outs(trained: Project) -> None:
    trained.write("data/a.txt", "1\n2\n")
    trained.do(repro)
    for asked in ("train", "model.bin", "model:clever", "clever"):
        done = found(trained, paths=[asked])
        assert [a.path for a in done.artifacts] == ["model.bin"], asked
        assert [s.stage for s in done.stages] == ["train"], asked
    assert not found(trained, paths=["data"]).stages


def test_paths_without_the_dashes_and_bare_names(images: Project) -> None:
    images.write("images/odd.txt", "changed\n")
    with images.repo("images") as repo:
        assert rows(only(diff(repo, ["odd.txt"]))) == [("modified", "odd.txt")]
        assert rows(only(diff(repo, ["HEAD", "odd.txt"]))) == [("modified", "odd.txt")]
        assert rows(only(diff(repo, ["data:images"]))) == [("modified", "odd.txt")]
        assert diff(repo, ["cats"]).is_empty
    with pytest.raises(InputError, match="nothing is recorded"):
        found(images, "nonsense")
    with pytest.raises(CannotDecide, match="no revision"):
        found(images, "nonsense", paths=[])
    with pytest.raises(InputError, match="too many"):
        found(images, "HEAD", "HEAD", "HEAD", paths=[])


def test_a_word_that_is_a_revision_and_a_path_is_refused(images: Project) -> None:
    images.git("branch", "images")
    with pytest.raises(InputError, match="a revision and a path") as error:
        found(images, "images")
    assert "mlx diff -- images" in str(error.value.hint)
    assert found(images, "images", paths=[]).is_empty
    assert found(images, paths=["images"]).is_empty


def test_revisions_as_git_names_them(images: Project) -> None:
    images.git("tag", "--annotate", "--message=one", "v1")
    images.git("checkout", "--quiet", "-b", "side")
    images.write("images/side.txt", "side\n")
    images.do(add, ["images"])
    images.commit("side")
    images.git("checkout", "--quiet", "main")
    images.do(checkout)
    images.write("images/main.txt", "main\n")
    images.do(add, ["images"])
    images.commit("main")
    both = [("deleted", "main.txt"), ("added", "side.txt")]
    assert rows(only(found(images, "main", "side"))) == both
    assert rows(only(found(images, "main..side"))) == both
    assert rows(only(found(images, "..side"))) == both
    assert rows(only(found(images, "main...side"))) == [("added", "side.txt")]
    assert rows(only(found(images, "v1"))) == [("added", "main.txt")]
    assert rows(only(found(images, "v1", "HEAD^{commit}"))) == [("added", "main.txt")]
    commit = images.git("rev-parse", "HEAD").strip()
    assert found(images, commit[:8]).is_empty


def test_before_the_first_commit(project: Project) -> None:
    with pytest.raises(CannotDecide, match="no commit yet"):
        found(project)


def test_against_a_commit_from_before_mlx(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "late")
    shutil.move(project.path("mlx.yaml"), tmp_path / "mlx.yaml")
    project.commit("before")
    shutil.move(tmp_path / "mlx.yaml", project.path("mlx.yaml"))
    project.write("data.csv", "1\n")
    project.do(add, ["data.csv"])
    assert only(found(project)).word == "added"


def clone_of(project: Project, folder: Path, *options: str) -> Project:
    url = f"file://{project.root}"
    subprocess.run(["git", "clone", "-q", *options, url, folder], check=True)
    return Project(folder)


def test_a_clone_without_data_says_what_is_known(images: Project, tmp_path: Path) -> None:
    images.write("images/odd.txt", "changed\n")
    images.write("new/a.txt", "a\n")
    images.write("single.bin", "1\n")
    images.do(add, ["images", "new", "single.bin"])
    images.commit("second")
    clone = clone_of(images, tmp_path / "clone")
    assert found(clone).is_empty
    done = found(clone, "HEAD~1", "HEAD")
    assert [(a.path, a.word, rows(a)) for a in done.artifacts] == [
        ("images", "modified", []),
        ("new", "added", []),
        ("single.bin", "added", [("added", "")]),
    ]
    item = done.artifacts[0]
    assert [change.path for change in item.unknown] == [""]
    assert item.old
    assert item.new
    assert (item.old.files, item.new.files) == (12, 12)
    assert item.new.size - item.old.size == 4


def test_a_shallow_clone(images: Project, tmp_path: Path) -> None:
    images.write("images/odd.txt", "changed\n")
    images.do(add, ["images"])
    images.commit("second")
    clone = clone_of(images, tmp_path / "clone", "--depth=1")
    assert found(clone).is_empty
    with pytest.raises(CannotDecide, match="no revision"):
        found(clone, "HEAD~1", paths=[])


def test_a_split_folder(project: Project) -> None:
    for number in range(4_500):
        project.write(f"many/{number:05}", f"{number}\n")
    project.do(add, ["many"])
    project.commit("first")
    project.write("many/01234", "changed\n")
    project.path("many/04000").unlink()
    project.path("many/00007").rename(project.path("many/99999"))
    expected = [("modified", "01234"), ("deleted", "04000"), ("renamed", "00007 -> 99999")]
    assert rows(only(found(project))) == expected
    project.do(add, ["many"])
    project.commit("second")
    assert rows(only(found(project, "HEAD~1", "HEAD"))) == expected


def test_a_nested_project_file(images: Project) -> None:
    images.write("sub/mlx.yaml", "stages:\n  make: {cmd: echo hi > out.txt, outs: [out.txt]}\n")
    images.do(repro)
    done = found(images)
    assert [(a.path, a.stage) for a in done.artifacts] == [("sub/out.txt", "sub/mlx.yaml:make")]
    assert [s.stage for s in done.stages] == ["sub/mlx.yaml:make"]


def test_a_lockfile_with_conflict_marks_is_named(images: Project) -> None:
    images.write("mlx.lock", "<<<<<<< ours\n" + images.read("mlx.lock"))
    with pytest.raises(InputError, match="merge conflict"):
        found(images)


def test_while_an_out_is_set_aside_it_is_not_told_as_deleted(trained: Project) -> None:
    manifests = trained.path(".git/mlx/aside")
    with trained.repo() as repo:
        folder = Path(repo.worktree_file("")) / "manifests"
        assert not repo.has_manifests
        from mlxrepo.repo import layout

        folder = Path(repo.worktree_file(layout.MANIFESTS_FOLDER))
    trained.path("model.bin").unlink()
    assert only(found(trained)).word == "deleted"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text("{}")
    assert not manifests.exists()
    assert found(trained).is_empty
