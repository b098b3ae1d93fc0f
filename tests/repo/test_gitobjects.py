"""Many objects of git through one process: what is asked for comes back, however much it is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sandbox import Project

from mlxrepo.errors import CannotDecide, InputError
from mlxrepo.repo.git import Git
from mlxrepo.repo.gitobjects import GitObjects


@pytest.fixture
def objects(project: Project) -> Iterator[GitObjects]:
    project.write("big", b"x" * 300_000)
    project.write("a folder/ü/mlx.yaml", "deep: 1\n")
    project.path("run").write_text("#!/bin/sh\n")
    project.path("run").chmod(0o755)
    project.path("link").symlink_to("big")
    project.commit()
    found = GitObjects(Git(str(project.root)))
    yield found
    found.close()


def test_trees_and_files_are_those_of_git(project: Project, objects: GitObjects) -> None:
    commit, tree = objects.commit("HEAD")
    assert commit == project.git("rev-parse", "HEAD").strip()
    listed = project.git("ls-tree", "-z", tree).split("\0")[:-1]
    ours = objects.tree(tree)
    assert [row.split("\t")[1] for row in listed] == list(ours)
    assert {row.split(" ")[0].lstrip("0") for row in listed} == {i.mode for i in ours.values()}
    paths = [path for path, _ in objects.files(tree, frozenset({"mlx.yaml"}))]
    assert sorted(paths) == ["a folder/ü/mlx.yaml", "mlx.yaml"]
    item = objects.find(tree, "a folder/ü/mlx.yaml")
    assert item is not None
    assert objects.read(item.oid) == b"deep: 1\n"
    assert objects.find(tree, "big/below") is None
    assert objects.find(tree, "nothing") is None


def test_very_many_long_names_and_large_answers_do_not_block(
    project: Project, objects: GitObjects
) -> None:
    """Both pipes would be full at once, if all were asked before anything is read."""
    commit, tree = objects.commit("HEAD")
    revs = [f"{commit}~" + "0" * count for count in range(1, 1500)]
    objects.read_ahead(revs, frozenset({"big", "run"}))
    assert {objects.commit(rev) for rev in revs} == {(commit, tree)}
    big = objects.find(tree, "big")
    assert big is not None
    assert list(map(len, objects.contents([big.oid] * 120))) == [300_000] * 120


def test_what_is_no_revision_is_refused_and_the_next_question_answered(
    project: Project, objects: GitObjects
) -> None:
    for rev in ("nope", "HEAD:big", "HEAD~5", "a b c", "commit 5"):
        with pytest.raises(CannotDecide, match="knows no revision"):
            objects.commit(rev)
    for rev in ("", "--all", "HEAD\nHEAD"):
        with pytest.raises(InputError, match="not a revision"):
            objects.commit(rev)
    with pytest.raises(CannotDecide, match="does not have"):
        objects.read("0" * 40)
    assert objects.commit("main") == objects.commit("HEAD")


def test_after_git_ended_it_is_started_again(project: Project, objects: GitObjects) -> None:
    objects.commit("HEAD")
    objects.close()
    _, tree = objects.commit("main")
    assert "big" in objects.tree(tree)
