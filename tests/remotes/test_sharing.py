"""Two clones share a project through every kind of remote."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from places import Spot
from sandbox import Project

from mlxrepo.commands.add import add
from mlxrepo.commands.checkout import checkout
from mlxrepo.commands.fetch import FetchedFrom, fetch
from mlxrepo.commands.push import Pushed, push
from mlxrepo.errors import Damaged
from mlxrepo.repo.wanted import Scope


@pytest.fixture
def spot(any_spot: Spot) -> Spot:
    """The conformance suite is for all of them."""
    return any_spot


def clone(project: Project, spot: Spot, name: str = "clone") -> Project:
    path = project.root.parent / name
    project.git("clone", "--quiet", str(project.root), str(path))
    found = Project(path)
    spot.configure(found)
    return found


def sent(project: Project, *targets: str, **options: object) -> Pushed:
    (found,) = project.do(push, targets, **options)  # type: ignore[arg-type]
    return found


def got(project: Project, *targets: str, **options: object) -> FetchedFrom:
    (found,) = project.do(fetch, targets, **options)  # type: ignore[arg-type]
    return found


@pytest.fixture
def shared(project: Project, spot: Spot) -> Project:
    """A project with small files, a large one and a folder of a thousand, pushed."""
    return prepared(project, spot)


def prepared(project: Project, spot: Spot) -> Project:
    project.fill("data/many", 300)
    project.write("data/train/cats/1.txt", "cat one\n")
    project.write("data/train/dogs/1.txt", "dog one\n" * 1000)
    project.write("data/large.bin", os.urandom(9 << 20))
    project.do(add, ["data"])
    project.commit()
    spot.configure(project)
    first = sent(project)
    assert (first.objects, first.missing) == (303 + 5, ())
    return project


def test_a_clone_gets_every_byte(shared: Project, spot: Spot) -> None:
    other = clone(shared, spot)
    assert got(other).objects == 308
    other.do(checkout)
    assert other.files("data") == shared.files("data")
    again = got(other)
    assert (again.objects, again.missing, again.damaged) == (0, (), ())


def test_a_second_push_sends_nothing_and_a_change_only_itself(shared: Project, spot: Spot) -> None:
    assert sent(shared).objects == 0
    shared.write("data/train/cats/1.txt", "another cat\n")
    shared.do(add, ["data"])
    assert sent(shared).objects == 4  # the file, and the three folders above it
    other = clone(shared, spot)
    shared.commit()
    other.git("pull", "--quiet")
    got(other)
    other.do(checkout)
    assert other.read("data/train/cats/1.txt") == "another cat\n"


def test_a_part_is_fetched_alone_changed_and_pushed(shared: Project, spot: Spot) -> None:
    other = clone(shared, spot)
    assert got(other, "data/train/cats").objects == 4  # three folders lead there
    other.do(checkout, ["data/train/cats"])
    assert set(other.files("data")) == {"data/train/cats/1.txt"}
    other.write("data/train/cats/1.txt", "edited\n")
    other.do(add, ["data/train/cats/1.txt"])
    done = sent(other)
    assert (done.objects, done.missing) == (4, ())
    other.commit()
    shared.git("pull", "--quiet", str(other.root), "main")
    got(shared)
    shared.do(checkout)
    assert shared.read("data/train/cats/1.txt") == "edited\n"


def test_both_push_at_once_and_neither_loses(shared: Project, spot: Spot) -> None:
    other = clone(shared, spot)
    shared.write("more/one.txt", "one\n")
    shared.do(add, ["more"])
    other.write("extra/two.txt", "two\n")
    other.do(add, ["extra"])
    assert sent(shared, "more").objects == 2
    assert sent(other, "extra").objects == 2
    other.git("fetch", "--quiet")
    shared.commit()
    other.git("fetch", "--quiet", "origin", "main")
    assert got(other, "more", scope=Scope(rev="FETCH_HEAD")).objects == 2


def test_everything_is_read_back_when_asked(shared: Project) -> None:
    assert sent(shared, verify=True).verified == 308


# what a folder lets us look at


def test_what_lies_on_a_remote_is_as_the_formats_say(project: Project, folder: Spot) -> None:
    prepared(project, folder)
    kinds = [str(path.relative_to(folder.folder or "")).split("/")[0] for path in folder.files]
    assert sorted(kinds) == ["indexes", "mlx.json", "objects", "packs", "packs", "repos"]


def test_a_no_op_push_reads_one_listing(
    project: Project, folder: Spot, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared(project, folder)
    asked: list[str] = []
    from mlxrepo.store.folder import Folder

    for name in ("files", "size", "read", "read_range", "write", "send"):
        real = getattr(Folder, name)

        def counted(self: Folder, *args: object, real=real, name=name):  # type: ignore[no-untyped-def]
            asked.append(name)
            return real(self, *args)

        monkeypatch.setattr(Folder, name, counted)
    assert sent(project).objects == 0
    assert asked == ["files"]


def test_a_flipped_byte_reaches_neither_store_nor_workspace(project: Project, folder: Spot) -> None:
    prepared(project, folder)
    for path in folder.files:
        if path.parts[-2] != "indexes" and path.name != "mlx.json":
            data = bytearray(path.read_bytes())
            for at in range(8, len(data), 97):
                data[at] ^= 1
            path.chmod(0o644)
            path.write_bytes(data)
    other = clone(project, folder)
    done = other.mlx("pull")
    assert done.returncode == 1, done.stderr
    assert "with other bytes than the name says" in done.stderr
    assert other.files("data") == {}
    for kind in ("objects", "trees", "packs"):
        store = other.path(f".git/mlx/{kind}")
        assert not store.exists() or not [p for p in store.rglob("*") if p.is_file()]


def test_one_bad_object_keeps_the_others_from_nothing(project: Project, folder: Spot) -> None:
    prepared(project, folder)
    (large,) = [path for path in folder.files if path.parts[-3] == "objects"]
    large.chmod(0o644)
    with large.open("r+b") as stream:
        stream.seek(5 << 20)
        stream.write(b"wrong")
    other = clone(project, folder)
    done = got(other)
    assert [path for path, _ in done.damaged] == ["data"]
    assert done.objects == 307
    with pytest.raises(Damaged, match="1 objects on the remote origin"):
        sent(project, verify=True)
    # Its sender mends it.
    large.unlink()
    for path in folder.files:
        if path.parts[-2] == "indexes":
            path.unlink()
    assert sent(project, verify=True).verified == 308
    assert got(other).damaged == ()


def test_an_absent_pack_is_an_error_and_says_what_to_do(project: Project, folder: Spot) -> None:
    prepared(project, folder)
    for path in folder.files:
        if path.suffix == ".pack":
            path.unlink()
    done = clone(project, folder).mlx("pull")
    assert done.returncode == 5
    assert "mlx remote fsck origin" in done.stderr


@pytest.mark.parametrize("name", ["mlx.json", "indexes"])
def test_a_newer_format_is_refused_by_name(project: Project, folder: Spot, name: str) -> None:
    prepared(project, folder)
    assert folder.folder
    marker = folder.folder / "mlx.json"
    marker.chmod(0o644)
    marker.write_text('{"format":2,"oid":"blake3"}\n')
    if name == "indexes":
        for path in (folder.folder / "indexes").iterdir():
            path.unlink()
    done = clone(project, folder).mlx("pull")
    assert done.returncode == 2
    assert "of a newer format" in done.stderr
    assert "pip install --upgrade mlxrepo" in done.stderr


def test_what_neither_side_has_is_named(project: Project, folder: Spot) -> None:
    project.write("data/a.txt", "a\n")
    project.do(add, ["data"])
    project.commit()
    other = clone(project, folder)
    done = other.mlx("pull")
    assert done.returncode == 1
    assert "not on origin: 1 object" in done.stderr
    done = other.mlx("push")
    assert done.returncode == 1
    assert "neither here nor there: 1 object" in done.stderr


def test_push_sends_what_earlier_commits_record(project: Project, folder: Spot) -> None:
    folder.configure(project)
    for number in range(3):
        project.write("data.txt", f"version {number}\n")
        project.do(add, ["data.txt"])
        project.commit(f"v{number}")
    assert sent(project, scope=Scope(rev="HEAD")).objects == 1
    assert sent(project).objects == 2
    other = clone(project, folder)
    assert got(other, scope=Scope(rev="HEAD~2")).objects == 1
    other.do(checkout, rev="HEAD~2")
    assert other.read("data.txt") == "version 0\n"


def test_other_branches_and_tags_go_when_asked(project: Project, folder: Spot) -> None:
    folder.configure(project)
    project.write("data.txt", "main\n")
    project.do(add, ["data.txt"])
    project.commit()
    for branch in ("side", "tagged"):
        project.git("switch", "--quiet", "-c", branch, "main")
        project.write("data.txt", f"{branch}\n")
        project.do(add, ["data.txt"])
        project.commit()
    project.git("tag", "v1")
    project.git("switch", "--quiet", "main")
    project.git("branch", "-D", "tagged")
    project.do(checkout)
    assert sent(project).objects == 1
    assert sent(project, scope=Scope(all_branches=True)).objects == 1
    assert sent(project, scope=Scope(all_tags=True)).objects == 1
    other = clone(project, folder)
    assert got(other, scope=Scope(all_branches=True)).objects == 2
    assert got(other, scope=Scope(all_tags=True)).objects == 1


def test_a_dry_run_sends_and_fetches_nothing(project: Project, folder: Spot) -> None:
    folder.configure(project)
    project.fill("data", 5)
    project.do(add, ["data"])
    project.commit()
    assert (folder.folder or Path()).exists() is False
    assert sent(project, dry_run=True).objects == 6
    assert (folder.folder or Path()).exists() is False
    sent(project)
    other = clone(project, folder)
    assert got(other, dry_run=True).objects == 5
    assert got(other).objects == 5


def test_what_was_fetched_in_part_is_stored_when_it_is_added(
    project: Project, folder: Spot
) -> None:
    """A folder's listing alone must not pass for its files."""
    folder.configure(project)
    project.fill("data/a", 30)
    project.fill("data/b", 30)
    project.do(add, ["data"])
    project.commit()
    sent(project)
    other = clone(project, folder)
    other.fill("data/a", 30)
    other.fill("data/b", 30)
    other.mlx("status")  # hashes, and remembers the folders as they are
    got(other, "data/a/0001.txt")
    other.do(add, ["data"])
    with other.repo() as repo:
        assert [repo.store.missing(item.entry) for item in repo.observed.tracked()] == [[]]


def test_outs_can_stay_here_or_go_elsewhere(project: Project, tmp_path: Path) -> None:
    from mlxrepo.commands.repro import repro

    for name in ("origin", "vault"):
        Spot("folder", str(tmp_path / name), {}, tmp_path / name).configure(project, name)
    project.git("config", "mlx.remote", "origin")
    outs = "[a.txt, {b.txt: {push: false}}, {c.txt: {remote: vault}}]"
    command = "for n in a b c; do echo $n > $n.txt; done"
    project.write("mlx.yaml", f"stages:\n  make:\n    cmd: {command}\n    outs: {outs}\n")
    project.do(repro)
    project.commit()
    done = project.do(push)
    assert [(item.remote, item.objects) for item in done] == [("origin", 1), ("vault", 1)]
    assert [item.objects for item in project.do(push, remote="vault")] == [1]  # a.txt too
    other = Project(tmp_path / "clone")
    project.git("clone", "--quiet", str(project.root), str(other.root))
    for name in ("origin", "vault"):
        Spot("folder", str(tmp_path / name), {}, None).configure(other, name)
    other.git("config", "mlx.remote", "origin")
    assert [item.objects for item in other.do(fetch)] == [1, 1]
