"""du: every byte of the store belongs to what would free it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sandbox import Project
from storage import contents, store_of

from mlxrepo.commands.add import add
from mlxrepo.commands.checkout import checkout
from mlxrepo.commands.du import Artifact, DiskUsage, du
from mlxrepo.commands.repro import repro
from mlxrepo.errors import InputError

KIB = 1024


def named(found: DiskUsage) -> dict[str, Artifact]:
    return {artifact.address: artifact for artifact in found.artifacts}


def write(project: Project, path: str, letter: str, kib: int) -> None:
    project.write(path, letter.encode() * (kib * KIB))


@pytest.fixture
def two(project: Project) -> Iterator[Project]:
    """Return a project with two versions of a folder and one of a file that the folder holds."""
    write(project, "files/a", "a", 100)
    write(project, "files/b", "b", 10)
    write(project, "other", "a", 100)
    project.do(add, ["files", "other"])
    project.commit()
    write(project, "files/b", "c", 20)
    project.do(add, ["files"])
    project.commit()
    return project


def test_versions_have_what_is_theirs_alone(two: Project) -> None:
    found = two.do(du)
    data, other = named(found)["data:files"], named(found)["data:other"]
    new, old = data.versions
    assert 20 * KIB <= new.unique < 21 * KIB
    assert 10 * KIB <= old.unique < 11 * KIB
    assert new.shared == old.shared == 100 * KIB
    assert other.unique == 0
    assert found.shared == 100 * KIB
    assert data.unique == new.unique + old.unique
    assert (new.in_workspace, old.in_workspace) == (True, False)
    assert (len(new.commits), len(old.commits)) == (1, 1)
    assert found.artifacts[0] == data


def test_what_two_versions_share_is_the_artifact_s_own(two: Project) -> None:
    two.write("other", "nothing of it")
    two.do(add, ["other"])
    two.git("checkout", "-q", "--orphan", "new")
    two.commit()
    two.git("branch", "-qD", "main")
    two.git("reflog", "expire", "--expire=now", "--all")
    write(two, "files/b", "d", 30)
    two.do(add, ["files"])
    found = two.do(du)
    data = named(found)["data:files"]
    assert sum(version.unique for version in data.versions) < 52 * KIB
    assert 150 * KIB <= data.unique < 152 * KIB
    assert found.shared == 0
    assert 10 * KIB <= found.rest < 11 * KIB  # of a commit that nothing names any more


def test_every_byte_is_counted_once(two: Project) -> None:
    found = two.do(du)
    held = sum(len(data) for data in contents(two).values())
    assert found.loose + found.packs == held
    own = sum(artifact.unique for artifact in found.artifacts)
    assert own + found.shared + found.rest == held  # all of it is loose


def test_packs_are_counted_as_they_are_on_disk(project: Project) -> None:
    project.fill("files", 50)
    project.do(add, ["files"])
    found = project.do(du)
    size = sum(path.stat().st_size for path in (store_of(project) / "packs").iterdir())
    assert found.packs == size > found.artifacts[0].unique > 0


def test_outs_of_a_stage_are_apart_and_what_was_replaced_is_in_the_trash(project: Project) -> None:
    project.write(
        "mlx.yaml",
        "stages:\n  make:\n    cmd: head -c 5000 /dev/zero > x; head -c 7000 /dev/zero > y\n"
        "    outs: [x, y]\n",
    )
    project.do(repro)
    project.write("x", "edited")
    project.do(checkout, force=True)
    found = project.do(du)
    assert {(a.address, a.path, a.unique) for a in found.artifacts} == {
        ("make", "x", 5000),
        ("make", "y", 7000),
    }
    assert found.trash == len("edited")
    assert all(a.versions[0].in_workspace and not a.versions[0].commits for a in found.artifacts)


def test_what_is_not_in_the_store_is_named_and_takes_nothing(two: Project) -> None:
    for path in (store_of(two) / "objects").rglob("*"):
        if path.is_file() and path.stat().st_size == 20 * KIB:
            path.unlink()
    new, _ = named(two.do(du))["data:files"].versions
    assert 19 * KIB < new.absent <= 20 * KIB
    assert new.unique < KIB


def test_targets_choose_also_what_is_no_longer_recorded(two: Project) -> None:
    two.git("checkout", "-q", "HEAD~1")
    two.git("rm", "-q", "mlx.lock")
    assert [a.address for a in two.do(du, ["data:other"]).artifacts] == ["data:other"]
    assert [a.path for a in two.do(du, ["files"]).artifacts] == ["files"]
    assert len(two.do(du, ["other", "files", "files"]).artifacts) == 2
    with pytest.raises(InputError, match="dat:other") as caught:
        two.do(du, ["dat:other"])
    assert "data:other" in str(caught.value.hint)


def test_without_anything_it_is_empty(project: Project) -> None:
    assert project.do(du) == DiskUsage((), 0, 0, 0, 0, 0)
