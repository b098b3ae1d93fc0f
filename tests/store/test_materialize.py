"""Plans and what they do on a real disk: exactly what is wanted, and nothing else."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rig import Model, Rig, flat, models, scratch, temporaries, write_model

from mlxrepo.errors import Damaged, InputError, MlxError, Refused
from mlxrepo.hashing import Oid, blob_oid
from mlxrepo.paths import RepoPath
from mlxrepo.store.materialize import Plan, Side, Workspace, Write, plan
from mlxrepo.store.statcache import RACY_NS
from mlxrepo.store.tree import DEPTH_MAX, Entry, encode

DATA = RepoPath("data")
STORED, MINE = b"stored", b"never stored"
kept_in_store = st.sampled_from([STORED, b"other"])
anything = st.sampled_from([STORED, b"other", MINE])
names = st.sampled_from("abc")
views = st.none() | kept_in_store | models(kept_in_store, names)
workspaces = st.none() | anything | models(anything, names)


def make_plan(rig: Rig, placed: Entry | None, wanted: Entry | None) -> Plan:
    scan = rig.scan()
    side = Side(scan.entry(DATA), placed, wanted)
    return plan(DATA, side, scan.tree, rig.store.has_entry, top=DATA)


def below(path: str) -> str:
    return path[len("data/") :] if path != "data" else ""


@given(workspaces, views, views)
@settings(max_examples=250, deadline=None)
def test_a_plan_makes_what_is_wanted_and_loses_nothing(here, placed, wanted) -> None:
    with scratch() as folder:
        rig = Rig(folder)
        rig.keep({"known": STORED, "and": b"other"})
        entries = rig.keep(placed), rig.keep(wanted)
        write_model(rig.root / "data", here)
        steps = make_plan(rig, *entries)
        assert rig.read("data") == here  # planning touches nothing
        mine, target = flat(here), flat(wanted)
        unsaved = {below(path) for path in steps.unsaved}
        kept = {below(path) for path in steps.kept}
        assert not unsaved & kept
        for path in unsaved:  # as --force does, which keeps a copy in the trash
            (rig.root / "data" / path).unlink()
        rig.workspace.apply(steps)
        after = flat(rig.read("data"))
        assert after == {**target, **{path: mine[path] for path in kept}}
        # What nobody else has is still there, or was named before.
        only_here = {path for path in mine if mine[path] == MINE}
        assert only_here - unsaved <= after.keys()
        # What mlx never put here stays, when nothing is wanted in its place.
        assert {path for path in mine if _is_the_users(placed, wanted, path)} <= kept
        if not kept:
            assert rig.read("data") == wanted
            rig.fresh()
            assert rig.look("data") == entries[1]
        assert temporaries(rig.root) == []


def _is_the_users(placed: Model | bytes | None, wanted: Model | bytes | None, path: str) -> bool:
    if _is_there(placed, path) or _is_there(wanted, path):
        return False
    above = ["", *(path[:at] for at, letter in enumerate(path) if letter == "/")]
    return not any(target in above for target in flat(wanted))


def _is_there(model: Model | bytes | None, path: str) -> bool:
    """Say whether something, file or folder, has exactly this path."""
    item = model
    for name in path.split("/") if path else ():
        item = item.get(name) if isinstance(item, dict) else None
    return item is not None


@given(models(kept_in_store, names), models(kept_in_store, names))
@settings(max_examples=60, deadline=None)
def test_what_is_right_already_is_not_touched(here, wanted) -> None:
    with scratch() as folder:
        rig = Rig(folder)
        entry, before = rig.keep(wanted), rig.keep(here)
        write_model(rig.root / "data", here)
        inodes = {p: os.stat(rig.root / "data" / p).st_ino for p in flat(here)}
        rig.workspace.apply(make_plan(rig, before, entry))
        for path in flat(here).keys() & flat(wanted).keys():
            if flat(here)[path] == flat(wanted)[path]:
                assert os.stat(rig.root / "data" / path).st_ino == inodes[path]


def test_an_executable_bit_is_set_without_writing_the_file(rig: Rig) -> None:
    path = rig.write("data/run", b"x")
    path.chmod(0o755)
    wanted = rig.add("data")
    for mode, result in ((0o644, 0o755), (0o640, 0o750), (0o400, 0o500)):
        path.chmod(mode)
        inode = path.stat().st_ino
        rig.workspace.apply(make_plan(rig, wanted, wanted))
        assert (path.stat().st_ino, path.stat().st_mode & 0o777) == (inode, result)
    path.chmod(0o644)
    plain = rig.add("data")
    path.chmod(0o755)
    rig.workspace.apply(make_plan(rig, wanted, plain))
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_folder_that_holds_only_what_is_ignored_is_filled(rig: Rig) -> None:
    """Something hidden, as a cache of Python, stays when a checkout empties a folder."""
    rig.write("data/sub/a", b"1")
    whole = rig.add("data")
    (rig.root / "data/sub/a").unlink()
    rig.write("data/sub/__pycache__/x")
    scan = rig.scan(ignored=lambda path, is_folder: path.endswith("__pycache__"))
    here = scan.entry(DATA)
    rig.workspace.apply(
        plan(DATA, Side(here, here, whole), scan.tree, rig.store.has_entry, top=DATA)
    )
    assert (rig.root / "data/sub/a").read_bytes() == b"1"
    assert (rig.root / "data/sub/__pycache__/x").exists()


# in the way


def outside(rig: Rig) -> Path:
    folder = rig.root.parent / "outside"
    folder.mkdir()
    (folder / "file").write_bytes(b"precious")
    return folder


def is_untouched(folder: Path) -> bool:
    return os.listdir(folder) == ["file"] and (folder / "file").read_bytes() == b"precious"


@pytest.mark.parametrize("place", ["data", "data/sub"])
def test_a_link_in_place_of_a_folder_is_not_followed(rig: Rig, place: str) -> None:
    away = outside(rig)
    wanted = rig.keep({"sub": {"file": b"1", "more": b"2"}, "top": b"3"})
    rig.materialize("data", wanted)
    scan = rig.scan()
    assert scan.entry(DATA) == wanted
    smaller = rig.keep({"sub": {"file": b"other"}})
    steps = plan(DATA, Side(wanted, wanted, smaller), scan.tree, rig.store.has_entry, top=DATA)
    # Planted between the plan and its work.
    (rig.root / place).rename(rig.root / "moved")
    (rig.root / place).symlink_to(away)
    with pytest.raises(Refused, match="does not write through links") as caught:
        rig.workspace.apply(steps)
    assert caught.value.hint
    assert is_untouched(away)


def test_no_step_of_a_plan_goes_through_a_planted_link(rig: Rig) -> None:
    away = outside(rig)
    rig.keep({"x": b"1"})
    rig.write("data/real")
    (rig.root / "data/sub").symlink_to(away)
    one = Entry("file", blob_oid(b"1"), 1)
    path = RepoPath("data/sub/file")
    nothing = Plan((), (), (), (), (), ())
    for steps in (
        nothing._replace(write=(Write(path, one, True, DATA),)),
        nothing._replace(remove=(path,)),
        nothing._replace(chmod=((path, True),)),
        nothing._replace(folders=(RepoPath("data/sub/file"),)),
    ):
        with pytest.raises(Refused):
            rig.workspace.apply(steps)
    assert is_untouched(away)
    rig.workspace.apply(nothing._replace(folders=(RepoPath("data/sub"),)))
    assert is_untouched(away)


@pytest.mark.parametrize("target", ["../outside/file", "nowhere", "/etc/passwd"])
def test_a_link_at_the_target_is_replaced_and_not_followed(rig: Rig, target: str) -> None:
    away = outside(rig)
    wanted = rig.keep({"file": b"1"})
    (rig.root / "data").mkdir()
    (rig.root / "data/file").symlink_to(target)
    write = Write(RepoPath("data/file"), rig.store.tree(wanted.oid)["file"], True, DATA)
    with pytest.raises(Refused, match="appeared meanwhile"):
        rig.workspace.write([write._replace(replace=False)])
    assert os.readlink(rig.root / "data/file") == target
    rig.workspace.write([write])
    assert rig.read("data") == {"file": b"1"}
    assert is_untouched(away)


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_appeared_meanwhile_is_left_alone(rig: Rig, kind: str) -> None:
    wanted = rig.keep({"a": b"1", "sub": {"b": b"2"}})
    steps = make_plan(rig, None, wanted)
    rig.write("data" if kind == "file" else "data/sub/b", MINE)
    with pytest.raises(Refused, match="appeared meanwhile"):
        rig.workspace.apply(steps)
    assert MINE in flat(rig.read("data")).values()
    assert temporaries(rig.root) == []


def test_a_file_where_a_folder_is_on_the_way_is_left_alone(rig: Rig) -> None:
    rig.write("data", MINE)
    rig.keep({"x": b"1"})
    with pytest.raises(Refused, match="data is no folder"):
        rig.workspace.write(
            [Write(RepoPath("data/x"), Entry("file", blob_oid(b"1"), 1), True, DATA)]
        )
    assert rig.read("data") == MINE


@pytest.mark.parametrize("place", ["data", "data/file"])
def test_a_folder_that_appeared_where_a_file_goes_is_left_alone(rig: Rig, place: str) -> None:
    one = rig.keep({"file": b"1"})
    item = one if place == "data" else rig.store.tree(one.oid)["file"]
    write = Write(RepoPath("data/file"), rig.store.tree(one.oid)["file"], True, DATA)
    rig.write("data/file/inside", MINE)
    assert item
    with pytest.raises(Refused, match="in the way"):
        rig.workspace.write([write])
    assert flat(rig.read("data")) == {"file/inside": MINE}


def test_what_killed_writers_left_in_a_folder_does_not_keep_it(rig: Rig) -> None:
    rig.write("data/sub/a", b"1")
    rig.write("data/b", b"2")
    before = rig.add("data")
    wanted = rig.keep({"b": b"2"})
    rig.write("data/sub/.mlx-tmp-dead/half")
    rig.workspace.apply(make_plan(rig, before, wanted))
    assert rig.read("data") == {"b": b"2"}


def test_the_next_writer_in_a_folder_removes_what_a_killed_one_left(rig: Rig) -> None:
    entry = rig.keep({"a": b"1"})
    rig.write("data/.mlx-tmp-dead/half")
    rig.workspace.write([Write(RepoPath("data/a"), rig.store.tree(entry.oid)["a"], False, DATA)])
    assert os.listdir(rig.root / "data") == ["a"]


def test_leftovers_are_cleaned_without_following_links(rig: Rig) -> None:
    away = outside(rig)
    rig.write(".mlx-tmp-1/half")
    rig.write(".mlx-tmp-2")
    (rig.root / ".mlx-tmp-3").symlink_to(away)
    (away / ".mlx-tmp-4").mkdir()
    (rig.root / "away").symlink_to(away)
    rig.workspace.clean(map(RepoPath, ("", "nothing", "away")))
    (away / ".mlx-tmp-4").rmdir()
    assert is_untouched(away)
    assert sorted(os.listdir(rig.root)) == [".mlx-tmp-3", "away"]


def test_a_scan_tells_where_something_is_unfinished(rig: Rig) -> None:
    rig.write("data/sub/.mlx-tmp-1/half")
    rig.write("data/other/file")
    scan = rig.scan()
    scan.entry(DATA)
    assert scan.unfinished == {"data/sub"}


# hostile objects


def hostile(rig: Rig, kind: str, data: bytes, size: int | None = None) -> Entry:
    """Return a folder that holds `link` as an untrusted lockfile could name it."""
    with rig.store.batch() as batch:
        oid = batch.put("blob", data)
        entry = Entry(kind, oid, len(data) if size is None else size)
        tree = Entry("tree", batch.put_tree(encode([("link", entry)])), entry.size, 1)
        return Entry("tree", batch.put_tree(encode([("a", tree)])), entry.size, 1)


@pytest.mark.parametrize(
    "target",
    [b"/etc/passwd", b"../../outside", b"../../../x", b"..", b"", b"a\0b", b"x/../..",
     b"x" * 5000],
)  # fmt: skip
def test_a_tree_with_a_link_that_leaves_puts_nothing_there(rig: Rig, target: bytes) -> None:
    entry = hostile(rig, "symlink", target)
    if target == b"..":  # of data/a/link: data itself
        rig.materialize("data", entry)
        return
    with pytest.raises(Refused, match="would link to"):
        rig.materialize("data", entry)
    assert os.listdir(rig.root) == []


def test_a_size_that_is_a_lie_is_damage(rig: Rig) -> None:
    with pytest.raises(Damaged, match="recorded with 1 bytes"):
        rig.materialize("data", hostile(rig, "file", b"12345", 1))
    assert os.listdir(rig.root) == []


def test_a_damaged_object_puts_nothing_there(rig: Rig) -> None:
    entry = rig.keep({"a": b"1", "sub": {"b": b"2"}})
    path = Path(rig.store.path("blob", blob_oid(b"2")))
    path.chmod(0o644)
    path.write_bytes(b"3")
    rig.write("other")
    with pytest.raises(Damaged):
        rig.materialize("data", entry)
    assert os.listdir(rig.root) == ["other"]


def test_a_tree_that_is_malformed_far_down_puts_nothing_there(rig: Rig) -> None:
    with rig.store.batch() as batch:
        oid = batch.put("blob", b"1")
        bad = f'mlx tree 1\nf {oid} 1 "../../x"\n'.encode()
        tree = Entry("tree", batch.put_tree(bad), 1, 1)
        good = Entry("file", oid, 1)
        entry = Entry("tree", batch.put_tree(encode([("a", good), ("sub", tree)])), 2, 2)
    with pytest.raises(Damaged, match="malformed"):
        rig.materialize("data", entry)
    assert os.listdir(rig.root) == []


def test_a_tree_nested_without_end_is_refused(rig: Rig) -> None:
    with rig.store.batch() as batch:
        entry = Entry("tree", batch.put_tree(encode([])), 0, 0)
        for _ in range(DEPTH_MAX * 8):
            entry = Entry("tree", batch.put_tree(encode([("d", entry)])), 0, 0)
    for use in (
        lambda: rig.materialize("data", entry),
        lambda: rig.store.missing(entry),
        lambda: make_plan(rig, entry, entry),
    ):
        try:
            use()
        except InputError as error:
            assert "nested deeper" in error.message  # noqa: PT017
    assert os.listdir(rig.root) == []


# the stat cache after writing


def reads(rig: Rig) -> int:
    rig.fresh()
    scan = rig.scan()
    scan.entry(DATA)
    return scan.read_files


def test_what_was_just_put_there_may_be_edited_at_once(rig: Rig) -> None:
    """An edit directly after the write may leave the stat as it was but for the times."""
    entry = rig.keep({"a": b"1", "sub": {"b": b"2"}})
    rig.materialize("data", entry)
    (rig.root / "data" / "a").write_bytes(b"9")
    rig.fresh()
    assert rig.look("data") != entry
    rig.fresh()
    assert rig.look("data") == rig.keep({"a": b"9", "sub": {"b": b"2"}})


def test_what_was_just_put_there_is_not_read_again(rig: Rig) -> None:
    rig.materialize("data", rig.keep({"a": b"1", "sub": {"b": b"2"}}))
    rig.materialize("one", rig.keep(b"file"))
    assert reads(rig) == 0
    scan = rig.scan()
    scan.entry(RepoPath("one"))
    assert scan.read_files == 0


def test_what_was_put_there_a_while_ago_is_not_read_again(rig: Rig) -> None:
    class Slow:
        """Waits after the first file of each folder, and not after the second."""

        count = 0

        def start(self, what: str, total: int | None = None, unit: str = "files") -> None: ...

        def advance(self, amount: int = 1) -> None:
            self.count += amount
            time.sleep(self.count % 2 * 3 * RACY_NS / 1e9)

        def done(self) -> None: ...

    entry = rig.keep({name: {"1": b"1", "2": b"2"} for name in "abc"})
    Workspace(str(rig.root), rig.store, rig.cache, progress=Slow()).write(
        [Write(DATA, entry, False, DATA)]
    )
    assert reads(rig) <= 1
    assert rig.look("data") == entry


def test_an_error_in_the_middle_is_never_taken_for_the_whole(rig: Rig) -> None:
    entry = rig.keep({"a": b"1", "b": b"2"})
    path = Path(rig.store.path("blob", blob_oid(b"2")))
    path.rename(path.with_name("hidden"))
    rig.fresh()
    with pytest.raises(MlxError):
        rig.materialize("data", entry)
    rig.fresh()
    assert rig.look("data") is None
    path.with_name("hidden").rename(path)
    rig.fresh()
    rig.materialize("data", entry)
    assert rig.read("data") == {"a": b"1", "b": b"2"}


def test_many_files_of_one_folder_are_written_in_one_workshop(rig: Rig) -> None:
    """One temporary folder for all of them, not one each."""
    made: list[str] = []
    real = os.mkdir

    def count(path, *args, **kwargs):
        made.append(str(path))
        return real(path, *args, **kwargs)

    model: Model = {f"{n}": b"%d" % n for n in range(20)}
    entry = rig.keep(model)
    (rig.root / "data").mkdir()
    writes = [
        Write(RepoPath(f"data/{name}"), item, False, DATA)
        for name, item in rig.store.tree(entry.oid).items()
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "mkdir", count)
        rig.workspace.write(writes)
    assert len(made) == 1
    assert rig.read("data") == model


def test_an_object_is_named_by_what_it_holds() -> None:
    assert blob_oid(b"") == Oid("af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262")
