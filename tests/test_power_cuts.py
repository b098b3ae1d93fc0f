"""Whenever the power goes, what was published is there whole, and nothing is half there."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from powercut import PowerCut, Tree

from mlxrepo import files
from mlxrepo.paths import TEMP_PREFIX
from mlxrepo.store import gc
from mlxrepo.store.gc import NOTHING, Amount, Plan, Share
from mlxrepo.store.inventory import list_packs
from mlxrepo.store.objects import Store
from mlxrepo.store.pack import Pack


def visible(left: Tree) -> Tree:
    """Leave out what the next writer removes."""
    return {path: data for path, data in left.items() if TEMP_PREFIX not in path}


def whole(expected: Tree) -> Callable[[PowerCut], None]:
    """Return a check: each file is whole, or is not there."""

    def check(power: PowerCut) -> None:
        for left in (power.strict(), power.eager()):
            assert visible(left).items() <= expected.items()

    return check


def test_a_replaced_file_is_the_old_one_or_the_new_one_and_then_the_new_one(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").write_bytes(b"old")

    def check(power: PowerCut) -> None:
        for left in (power.strict(), power.eager()):
            assert visible(left) in ({"file": b"old"}, {"file": b"new"})

    with PowerCut(tmp_path, check).watching() as power:
        files.write_atomic(str(tmp_path / "file"), b"new")
    assert power.steps > 4
    assert power.strict() == {"file": b"new"}


def test_a_new_folder_is_there_with_what_was_written_into_it(tmp_path: Path) -> None:
    with PowerCut(tmp_path, whole({"a/b/c/file": b"new"})).watching() as power:
        files.write_atomic(str(tmp_path / "a/b/c/file"), b"new")
    assert power.strict() == {"a/b/c/file": b"new"}


def published(tmp_path: Path, data: bytes = b"data") -> PowerCut:
    final = tmp_path / "objects" / "ab" / "cd"
    with PowerCut(tmp_path, whole({"objects/ab/cd": b"data"})).watching() as power:
        with files.temp_file(str(tmp_path / "tmp")) as (fd, temp):
            files.write_all(fd, data)
            files.publish(fd, temp, str(final))
        return power


def test_a_published_file_is_whole_and_stays(tmp_path: Path) -> None:
    assert published(tmp_path).strict() == {"objects/ab/cd": b"data"}


def test_a_file_that_another_has_just_published_stays_too(tmp_path: Path) -> None:
    (tmp_path / "objects" / "ab").mkdir(parents=True)
    final = tmp_path / "objects" / "ab" / "cd"
    with PowerCut(tmp_path).watching() as power:
        final.write_bytes(b"data")  # named by it, and flushed, but its folder is not yet
        power._flush(str(final))
        with files.temp_file(str(tmp_path / "tmp")) as (fd, temp):
            files.write_all(fd, b"data")
            files.publish(fd, temp, str(final))
    assert power.strict() == {"objects/ab/cd": b"data"}


@pytest.mark.parametrize("fsync", ["batch", "always"])
@pytest.mark.parametrize("count", [3, files.FLUSH_DISK_FROM + 1])
def test_many_published_files_are_whole_and_stay(tmp_path: Path, fsync: str, count: int) -> None:
    expected = {f"objects/{n % 7}/{n}": b"%d" % n for n in range(count)}
    items = [(data, str(tmp_path / path)) for path, data in expected.items()]
    with PowerCut(tmp_path, whole(expected)).watching() as power:
        files.publish_all(str(tmp_path / "tmp"), items, fsync)
    assert visible(power.strict()) == expected


def test_an_adopted_file_is_whole_and_stays(tmp_path: Path) -> None:
    (tmp_path / "objects").mkdir()

    def check(power: PowerCut) -> None:
        for left in (power.strict(), power.eager()):
            assert left.get("objects/cd", b"data") == b"data"

    with PowerCut(tmp_path, check).watching() as power:
        file = tmp_path / "file"
        file.write_bytes(b"data")  # by the user, a moment ago: nobody has flushed it
        found = files.stat_of(file.stat())
        assert files.adopt(str(file), found, str(tmp_path / "objects" / "cd"), flush=True)
    assert power.strict()["objects/cd"] == b"data"


# moving


def at_one_place(*names: str) -> Callable[[PowerCut], None]:
    """Return a check: what moves is whole at one of the places at least."""

    def check(power: PowerCut) -> None:
        for left in (power.strict(), power.eager()):
            found = [{p: d for p, d in left.items() if p.startswith(name)} for name in names]
            assert any(sorted(tree.values()) == [b"1", b"2"] for tree in found), left

    return check


@pytest.fixture
def other_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a folder on another file system than the temporary one."""
    assert os.stat("/dev/shm").st_dev != os.stat(tmp_path).st_dev, "this needs two file systems"
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


def two_files(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "1").write_bytes(b"1")
    (folder / "2").write_bytes(b"2")


def test_what_moves_is_here_or_there_and_then_there(tmp_path: Path) -> None:
    two_files(tmp_path / "from" / "folder")
    with PowerCut(tmp_path, at_one_place("from/", "to/")).watching() as power:
        files.move(str(tmp_path / "from" / "folder"), str(tmp_path / "to" / "new" / "folder"))
    assert power.strict() == {"to/new/folder/1": b"1", "to/new/folder/2": b"2"}


def test_what_moves_from_disk_to_disk_is_there_before_it_goes_here(
    tmp_path: Path, other_disk: Path
) -> None:
    source, target = tmp_path / "from" / "folder", other_disk / "to" / "folder"
    two_files(source)
    far = PowerCut(other_disk)

    def check(near: PowerCut) -> None:
        there = sorted(visible(far.strict()).values())
        assert there in ([], [b"1", b"2"])
        assert there or sorted(near.strict().values()) == [b"1", b"2"]

    with far.watching(), PowerCut(tmp_path, check).watching() as near:
        files.move(str(source), str(target))
    assert visible(far.strict()) == {"to/folder/1": b"1", "to/folder/2": b"2"}
    assert near.strict() == {}


# the store


def filled(root: Path, contents: list[bytes]) -> Store:
    store = Store(str(root))
    with store.batch() as batch:
        for data in contents:
            batch.put("blob", data)
    return store


@pytest.mark.parametrize("count", [3, 40], ids=["loose", "pack"])
def test_what_a_batch_wrote_is_there_when_it_ends(tmp_path: Path, count: int) -> None:
    contents = [b"content %d" % number for number in range(count)]
    with PowerCut(tmp_path).watching() as power:
        store = filled(tmp_path / "store", contents)
        left = power.strict()
    objects = {path: data for path, data in left.items() if "objects/" in path or "packs/" in path}
    assert objects == {
        str(path.relative_to(tmp_path)): path.read_bytes()
        for folder in ("objects", "packs")
        for path in (tmp_path / "store" / folder).rglob("*")
        if path.is_file()
    }
    assert len(objects) == (count if count < 40 else 1)
    store.close()


@pytest.mark.parametrize("count", [3, 40], ids=["loose", "pack"])
def test_gc_and_undo_have_each_object_here_or_in_the_trash(tmp_path: Path, count: int) -> None:
    store = filled(tmp_path, [b"content %d" % number for number in range(count)])
    before = _objects(tmp_path)
    root = str(tmp_path)

    def check(power: PowerCut) -> None:
        for left in (power.strict(), power.eager()):
            assert sorted(_wanted(left)) == sorted(before.values())

    loose = tuple(gc.loose(root))
    dead = tuple(Share(file, 0, Amount(), Amount()) for file in list_packs(root))
    plan = Plan(loose, dead, (), NOTHING, NOTHING, NOTHING)
    with PowerCut(tmp_path, check).watching() as power:
        gc.sweep(root, plan, set(), set)
        assert all(path.startswith("trash/") for path in _named(power.strict()))
        gc.undo(root)
        assert _named(power.strict()).items() >= before.items()
    store.close()


def test_gc_writes_a_pack_anew_before_the_old_one_goes(tmp_path: Path) -> None:
    contents = [b"content %d" % number for number in range(40)]
    store = filled(tmp_path, contents)
    root = str(tmp_path)
    [file] = list_packs(root)
    live = {key for key, _ in list(gc.packed(Pack(os.path.join(root, file))))[:10]}
    share = Share(file, 0, Amount(40, 40), Amount(30, 30))
    plan = Plan((), (), (share,), NOTHING, NOTHING, NOTHING)

    def check(power: PowerCut) -> None:
        for left in (power.strict(), power.eager()):
            packs = [data for path, data in left.items() if path.endswith(".pack")]
            assert packs
            assert all(data.endswith(b"MLXPEND1") for data in packs)

    with PowerCut(tmp_path, check).watching() as power:
        gc.sweep(root, plan, live, set)
        left = [path for path in power.strict() if path.startswith("packs/")]
    assert left == list_packs(root) != [file]
    store.close()


def _objects(root: Path) -> Tree:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for folder in ("objects", "packs")
        for path in (root / folder).rglob("*")
        if path.is_file()
    }


def _named(left: Tree) -> Tree:
    return {p: d for p, d in left.items() if p.startswith(("objects/", "packs/", "trash/"))}


def _wanted(left: Tree) -> set[bytes]:
    return set(_named(left).values())
