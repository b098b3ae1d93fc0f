"""Merging folders three ways: what each side did is done, and only what both did asks."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rig import Memory, models

from mlxrepo.errors import ObjectMissing
from mlxrepo.hashing import Oid, blob_oid
from mlxrepo.store.subtree import find, replace, walk
from mlxrepo.store.tree import SPLIT_ABOVE, Entry, Tree, write_tree
from mlxrepo.store.treemerge import OURS, THEIRS, TreeMerge, merge_entries

contents = st.binary(min_size=1, max_size=2)
folders = models(contents, st.sampled_from("abcd"))


def entry_of(memory: Memory, model: bytes | dict) -> Entry:
    """Store a model, a folder as a dict and a file as bytes, and return its entry."""
    if isinstance(model, bytes):
        return Entry("file", blob_oid(model), len(model))
    return write_tree({name: entry_of(memory, it) for name, it in model.items()}, memory.put)


def files_of(memory: Memory, entry: Entry | None) -> dict[str, Oid]:
    return {path: item.oid for path, item in walk(memory.tree, entry)} if entry else {}


def merge(
    memory: Memory, base: Entry | None, ours: Entry | None, theirs: Entry | None, side: str = ""
) -> TreeMerge:
    return merge_entries(memory.tree, memory.put, base, ours, theirs, lambda path: side)


def file(text: str) -> Entry:
    return Entry("file", blob_oid(text.encode()), len(text))


edits = st.dictionaries(
    st.lists(st.sampled_from("abcd"), min_size=1, max_size=3).map("/".join),
    st.none() | contents,
    max_size=4,
)


def edited(memory: Memory, entry: Entry, changes: dict[str, bytes | None]) -> Entry:
    for path, content in changes.items():
        new = None if content is None else entry_of(memory, content)
        entry = replace(memory.tree, memory.put, entry, path, new)
        assert entry is not None
    return entry


@given(folders, edits, edits)
@settings(max_examples=200, deadline=None)
def test_edits_of_disjoint_paths_come_together(base, ours, theirs) -> None:
    """One side edits only below `mine`, the other only below `other`: both edits are done."""
    memory = Memory()
    whole = entry_of(memory, {"mine": base, "other": base, "same": base})
    mine = edited(memory, whole, {f"mine/{path}": new for path, new in ours.items()})
    other = edited(memory, whole, {f"other/{path}": new for path, new in theirs.items()})
    both = edited(memory, mine, {f"other/{path}": new for path, new in theirs.items()})
    merged = merge(memory, whole, mine, other)
    assert merged.collisions == ()
    assert merged.entry == both


@given(folders, folders, folders)
@settings(max_examples=200, deadline=None)
def test_the_sides_are_alike(base, ours, theirs) -> None:
    memory = Memory()
    entries = [entry_of(memory, model) for model in (base, ours, theirs)]
    one = merge(memory, *entries, side=OURS)
    other = merge(memory, entries[0], entries[2], entries[1], side=THEIRS)
    assert one.entry == other.entry
    assert (one.ours, one.theirs) == (other.theirs, other.ours)
    asked = merge(memory, *entries).collisions
    turned = merge(memory, entries[0], entries[2], entries[1]).collisions
    assert [(c.path, c.ours, c.theirs) for c in asked] == [
        (c.path, c.theirs, c.ours) for c in turned
    ]


@given(folders, folders, folders)
@settings(max_examples=200, deadline=None)
def test_every_file_is_what_one_of_the_sides_says_by_the_rule_of_three(base, ours, theirs) -> None:
    memory = Memory()
    entries = [entry_of(memory, model) for model in (base, ours, theirs)]
    before, mine, other = (files_of(memory, entry) for entry in entries)
    merged = merge(memory, *entries)
    found = files_of(memory, merged.entry)
    asked = [collision.path for collision in merged.collisions]
    for path in before.keys() | mine.keys() | other.keys():
        if any(path == it or path.startswith(f"{it}/") or not it for it in asked):
            continue
        was, one, two = before.get(path), mine.get(path), other.get(path)
        assert found.get(path) == (two if one == was else one)
        assert one in (was, two) or two == was


@given(folders, folders)
@settings(max_examples=100, deadline=None)
def test_a_side_that_did_nothing_gives_the_other(base, new) -> None:
    memory = Memory()
    was, now = entry_of(memory, base), entry_of(memory, new)
    assert merge(memory, was, was, now).entry == now
    assert merge(memory, was, now, was).entry == now
    assert merge(memory, was, now, now) == TreeMerge(now, 0, 0, ())


def three(memory: Memory, base: dict, ours: dict | None, theirs: dict | None) -> list:
    return [
        entry_of(memory, model) if model is not None else None for model in (base, ours, theirs)
    ]


def test_what_both_added_alike_is_there_once_and_what_differs_asks() -> None:
    memory = Memory()
    merged = merge(memory, *three(memory, {}, {"a": b"1", "b": b"2"}, {"a": b"1", "b": b"3"}))
    assert [collision.path for collision in merged.collisions] == ["b"]
    assert merged.collisions[0].ours == file("2")


def test_a_folder_that_one_side_removed_goes_but_for_what_the_other_changed() -> None:
    memory = Memory()
    base = {"x": {"kept": b"1", "edited": b"2"}}
    merged = merge(memory, *three(memory, base, {}, {"x": {"kept": b"1", "edited": b"3"}}), THEIRS)
    assert files_of(memory, merged.entry) == {"x/edited": blob_oid(b"3")}
    asked = merge(memory, *three(memory, base, {}, {"x": {"kept": b"1", "edited": b"3"}}))
    assert [collision.path for collision in asked.collisions] == ["x/edited"]
    gone = merge(memory, *three(memory, base, {}, {"x": {"kept": b"1", "edited": b"3"}}), OURS)
    assert gone.entry == entry_of(memory, {})


def test_a_file_here_and_a_folder_there_ask_at_their_path() -> None:
    memory = Memory()
    merged = merge(memory, *three(memory, {"x": b"1"}, {"x": b"2"}, {"x": {"y": b"3"}}))
    assert [collision.path for collision in merged.collisions] == ["x"]
    taken = merge(memory, *three(memory, {"x": b"1"}, {"x": b"2"}, {"x": {"y": b"3"}}), THEIRS)
    assert files_of(memory, taken.entry) == {"x/y": blob_oid(b"3")}


def test_the_answer_is_asked_by_the_path_below() -> None:
    memory = Memory()
    entries = three(memory, {}, {"a": {"x": b"1"}, "b": b"1"}, {"a": {"x": b"2"}, "b": b"2"})
    sides = {"a/x": THEIRS, "b": OURS}
    merged = merge_entries(memory.tree, memory.put, *entries, sides.__getitem__)
    assert files_of(memory, merged.entry) == {"a/x": blob_oid(b"2"), "b": blob_oid(b"1")}
    assert merged.collisions == ()


def test_what_is_equal_on_two_sides_is_never_opened() -> None:
    """Nor has it to be in the store: the listing is missing from every version here."""
    memory = Memory()
    same = entry_of(memory, {"x": b"1"})
    new = entry_of(memory, {"x": b"2"})
    base = write_tree({"same": same, "theirs": same}, memory.put)
    ours = write_tree({"same": same, "theirs": same, "mine": file("3")}, memory.put)
    theirs = write_tree({"same": same, "theirs": new}, memory.put)
    opened: list[Oid] = []

    def read(oid: Oid) -> Tree:
        if oid in (same.oid, new.oid):
            raise ObjectMissing("not here")
        opened.append(oid)
        return memory.tree(oid)

    merged = merge_entries(read, memory.put, base, ours, theirs)
    assert sorted(opened) == sorted([base.oid, ours.oid, theirs.oid])
    assert find(memory.tree, merged.entry, "theirs") == new
    assert (merged.ours, merged.theirs) == (1, 1)


def test_a_listing_that_both_changed_has_to_be_there() -> None:
    memory = Memory()

    def read(oid: Oid) -> Tree:
        raise ObjectMissing("not here")

    entries = three(memory, {}, {"a": b"1"}, {"b": b"1"})
    with pytest.raises(ObjectMissing):
        merge_entries(read, memory.put, *entries)


def test_a_large_flat_folder_merges_and_writes_only_the_nodes_that_changed() -> None:
    memory = Memory()
    tree = {f"{n:06}.png": file(str(n)) for n in range(3 * SPLIT_ABOVE)}
    base = write_tree(tree, memory.put)
    mine = {**tree, "000005.png": file("mine"), "zzz.png": file("new")}
    other = {**tree, "009000.png": file("theirs")}
    del other["000700.png"]
    both = {**other, "000005.png": file("mine"), "zzz.png": file("new")}
    ours, theirs = write_tree(mine, memory.put), write_tree(other, memory.put)
    nodes = set(memory.nodes)
    merged = merge(memory, base, ours, theirs)
    assert merged.collisions == ()
    assert (merged.ours, merged.theirs) == (2, 2)
    assert len(set(memory.nodes) - nodes) <= 3
    assert merged.entry == write_tree(both, memory.put)
    assert memory.tree(merged.entry.oid) == both
