"""Differences with renames, against plain dictionaries."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rig import Memory, Model, flat, models

from mlxrepo.errors import ObjectMissing
from mlxrepo.hashing import Oid, blob_oid
from mlxrepo.store.differences import (
    ByNode,
    Differences,
    FileChange,
    Reader,
    Whole,
    differences,
    everything,
)
from mlxrepo.store.tree import Entry, Tree, write_tree

trees = models(st.sampled_from([b"", b"1", b"two"]), st.sampled_from("abc"))


def build(memory: Memory, model: Model | bytes | None) -> Entry | None:
    if model is None:
        return None
    if isinstance(model, bytes):
        return Entry("file", blob_oid(model), len(model))
    tree = {name: build(memory, item) for name, item in model.items()}
    return write_tree(tree, memory.put)  # type: ignore[arg-type]


def by_node(memory: Memory, opened: list[Oid] | None = None) -> Reader:
    def read(kind: str, oid: Oid) -> bytes:
        if opened is not None:
            opened.append(oid)
        return memory.nodes[oid]

    return ByNode(memory.tree, read)


def found(
    old: Model | bytes | None,
    new: Model | bytes | None,
    touches: Callable[[str], bool] = everything,
) -> Differences:
    memory = Memory()
    return differences(by_node(memory), build(memory, old), build(memory, new), touches)


def words(changes: tuple[FileChange, ...]) -> list[tuple[str, str | None, str]]:
    return [(change.word, change.old_path, change.path) for change in changes]


def applied(old: dict[str, bytes], new: dict[str, bytes], changes: list[FileChange]) -> set[str]:
    """Do to the files of `old` what the changes say, and return what is there then."""
    left, come = dict(old), dict[str, str]()
    for change in changes:
        was = change.old_path if change.old_path is not None else change.path
        if change.old:
            gone = [p for p in old if p == was or p.startswith(f"{was}/")]
            if change.old.kind != "tree":
                assert blob_oid(old[was]) == change.old.oid
            for path in gone:
                if change.new and change.new.kind == "tree":
                    come[change.path + path[len(was) :]] = blob_oid(old[path])
                left.pop(path)  # each file is told of once
        if change.new and change.new.kind != "tree":
            assert change.path not in come
            come[change.path] = change.new.oid
    kept = {path: blob_oid(data) for path, data in left.items()}
    assert not kept.keys() & come.keys()
    return {f"{path} {oid}" for path, oid in {**kept, **come}.items()}


@pytest.mark.parametrize("whole", [True, False])
@given(old=st.none() | trees, new=st.none() | trees)
@settings(max_examples=200, deadline=None)
def test_the_changes_lead_from_one_to_the_other(
    whole: bool, old: Model | None, new: Model | None
) -> None:
    memory = Memory()
    ends = build(memory, old), build(memory, new)
    reader = Whole(memory.tree) if whole else by_node(memory)
    done = differences(reader, *ends)
    a, b = flat(old), flat(new)
    assert applied(a, b, list(done.changes)) == {f"{p} {blob_oid(d)}" for p, d in b.items()}
    assert not done.unknown
    for change in done.changes:
        if change.old_path is not None:
            assert change.old
            assert change.new
            assert change.old.oid == change.new.oid
            assert change.old.size, "what is empty is never renamed"


def test_nothing_that_could_be_a_rename_is_left_as_added_and_deleted() -> None:
    old: Model = {"a": {"x": b"1", "deep": {"y": b"22", "z": b"3"}}, "gone": b"4"}
    new: Model = {"b": {"deep": {"y": b"22", "z": b"3"}}, "c": {"x": b"1"}, "come": b"5"}
    assert words(found(old, new).changes) == [
        ("renamed", "a/deep", "b/deep"),
        ("renamed", "a/x", "c/x"),
        ("added", None, "come"),
        ("deleted", None, "gone"),
    ]


def test_a_folder_that_moved_whole_is_one_rename_and_is_not_opened() -> None:
    memory = Memory()
    inner = {f"{number:02}": b"%d" % number for number in range(20)}
    old, new = build(memory, {"a": inner, "k": b"k"}), build(memory, {"b": inner, "k": b"k"})
    opened: list[Oid] = []
    done = differences(by_node(memory, opened), old, new)
    assert words(done.changes) == [("renamed", "a", "b")]
    assert done.changes[0].new
    assert done.changes[0].new.files == 20
    assert old
    assert new
    assert set(opened) == {old.oid, new.oid}


def test_among_equal_files_the_one_that_kept_its_name_is_the_renamed_one() -> None:
    same = b"same"
    old: Model = {"old": {"x": same, "y": same}}
    new: Model = {"new": {"a": same, "y": same}, "z": same}
    done = words(found(old, new).changes)
    assert ("renamed", "old/y", "new/y") in done
    assert sorted(word for word, _, _ in done) == ["added", "renamed", "renamed"]


def test_many_equal_files_are_paired_off_quickly() -> None:
    count = 20_000
    old: Model = {"a": {f"{n}": b"same" for n in range(count)}}
    new: Model = {"b": {f"{n + 1}": b"same" for n in range(count)}}
    done = found(old, new)
    assert {change.word for change in done.changes} == {"renamed"}
    assert len(done.changes) == count


def test_a_file_that_became_executable_is_modified() -> None:
    memory = Memory()
    old = write_tree({"run": Entry("file", blob_oid(b"x"), 1)}, memory.put)
    new = write_tree({"run": Entry("exec", blob_oid(b"x"), 1)}, memory.put)
    done = differences(by_node(memory), old, new)
    assert words(done.changes) == [("modified", None, "run")]


def test_of_a_split_folder_only_the_nodes_that_differ_are_read() -> None:
    memory = Memory()
    entry = Entry("file", blob_oid(b"x"), 1)
    tree: Tree = {f"{number:06}": entry for number in range(20_000)}
    old = write_tree(tree, memory.put)
    tree["012345"] = Entry("file", blob_oid(b"y"), 1)
    new = write_tree(tree, memory.put)
    opened: list[Oid] = []
    done = differences(by_node(memory, opened), old, new)
    assert words(done.changes) == [("modified", None, "012345")]
    assert len(opened) == 4, "two indexes, and one node of each"


@given(st.sets(st.integers(0, 9_999), max_size=8), st.integers(4_000, 6_000))
@settings(max_examples=15, deadline=None)
def test_split_and_whole_folders_compare_as_dictionaries_do(odd: set[int], count: int) -> None:
    memory = Memory()
    entry = Entry("file", blob_oid(b"x"), 1)
    old: Tree = {f"{number:05}": entry for number in range(count)}
    new: Tree = {**old, **{f"{n:05}": Entry("file", blob_oid(b"%d" % n), 2) for n in odd}}
    ends = write_tree(old, memory.put), write_tree(new, memory.put)
    done = differences(by_node(memory), *ends)
    assert words(done.changes) == [
        ("modified" if f"{n:05}" in old else "added", None, f"{n:05}") for n in sorted(odd)
    ]


def test_what_is_not_here_is_named_and_the_rest_is_compared() -> None:
    memory = Memory()
    old = build(memory, {"a": {"x": b"1"}, "b": {"x": b"7"}, "gone": {"y": b"9"}})
    new = build(memory, {"a": {"x": b"2"}, "b": {"x": b"2"}, "come": {"z": b"8"}})
    assert old
    assert new
    for folder in ("a", "gone"):
        del memory.nodes[memory.tree(old.oid)[folder].oid]

    def read(kind: str, oid: Oid) -> bytes:
        if oid not in memory.nodes:
            raise ObjectMissing("not here")
        return memory.nodes[oid]

    def tree(oid: Oid) -> Tree:
        read("tree", oid)
        return memory.tree(oid)

    done = differences(ByNode(tree, read), old, new)
    assert words(done.changes) == [("modified", None, "b/x"), ("added", None, "come/z")]
    assert sorted(words(done.unknown)) == [("deleted", None, "gone"), ("modified", None, "a")]


def test_only_what_was_asked_for_is_opened() -> None:
    old: Model = {"a": {"x": b"1", "y": b"1"}, "b": {"x": b"1"}}
    new: Model = {"a": {"x": b"2", "y": b"2"}, "b": {"x": b"2"}}
    done = found(old, new, lambda path: path in ("", "a", "a/x"))
    assert words(done.changes) == [("modified", None, "a/x")]
