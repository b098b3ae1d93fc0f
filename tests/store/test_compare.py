"""Presence and differences, against plain dictionaries."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from rig import Memory, Model, files_of, flat, models

from mlxrepo.hashing import blob_oid
from mlxrepo.store.compare import changes, presence
from mlxrepo.store.subtree import walk
from mlxrepo.store.tree import Entry, write_tree

contents = st.sampled_from([b"1", b"two"])
# Names that are a file in one view and a folder in another ...
mixed = models(contents, st.sampled_from("abc"))
# ... and names that say what they are.
plain = st.recursive(
    st.dictionaries(st.sampled_from(["f", "g"]), contents, max_size=2),
    lambda below: st.tuples(
        st.dictionaries(st.sampled_from(["f", "g"]), contents, max_size=2),
        st.dictionaries(st.sampled_from(["d", "e"]), below, max_size=2),
    ).map(lambda pair: {**pair[0], **pair[1]}),
    max_leaves=5,
)


def build(memory: Memory, model: Model | bytes | None) -> Entry | None:
    if model is None:
        return None
    if isinstance(model, bytes):
        return Entry("file", blob_oid(model), len(model))
    tree = {name: build(memory, item) for name, item in model.items()}
    return write_tree(tree, memory.put)  # type: ignore[arg-type]


def oids(model: Model | None) -> dict[str, str]:
    return {path: blob_oid(data) for path, data in flat(model).items()}


@given(st.none() | plain, st.none() | plain, plain)
@settings(max_examples=200, deadline=None)
def test_what_counts_is_what_is_here_and_what_was_never_here(here, placed, recorded) -> None:
    memory = Memory()
    found = presence(
        memory.tree,
        memory.put,
        build(memory, here),
        build(memory, placed),
        build(memory, recorded),
    )
    mine, before, known = flat(here), flat(placed), flat(recorded)
    absent = {path for path in known if path not in mine and path not in before}
    expected = {**{path: blob_oid(known[path]) for path in absent}, **oids(here)}
    assert files_of(memory.tree, found.entry) == expected
    assert set(found.deleted) == {path for path in known if path not in mine and path in before}
    assert found.absent == len(absent)
    assert found.absent_size == sum(len(known[path]) for path in absent)


@given(st.none() | mixed, st.none() | mixed, st.none() | mixed)
@settings(max_examples=200, deadline=None)
def test_whatever_is_a_folder_and_whatever_a_file_nothing_here_is_lost(
    here, placed, recorded
) -> None:
    memory = Memory()
    entries = [build(memory, model) for model in (here, placed, recorded)]
    found = presence(memory.tree, memory.put, *entries)
    counted = files_of(memory.tree, found.entry)
    assert counted.items() >= oids(here).items()
    # What else counts is recorded, and was not placed here.
    for path in counted.keys() - flat(here).keys():
        assert counted[path] == oids(recorded)[path]
        assert path not in flat(placed)
    assert set(found.deleted) <= flat(recorded).keys() - flat(here).keys()


@given(mixed, st.none() | mixed)
@settings(max_examples=80, deadline=None)
def test_what_was_placed_whole_counts_as_it_is(placed, here) -> None:
    memory = Memory()
    entry = build(memory, placed)
    found = presence(memory.tree, memory.put, build(memory, here), entry, entry)
    assert files_of(memory.tree, found.entry) == oids(here)
    assert found.absent == 0


@given(mixed)
@settings(max_examples=40, deadline=None)
def test_what_was_never_here_is_absent_and_not_deleted(recorded) -> None:
    memory = Memory()
    entry = build(memory, recorded)
    found = presence(memory.tree, memory.put, None, None, entry)
    assert (found.entry, found.deleted, found.absent) == (entry, (), len(flat(recorded)))


@given(st.none() | mixed, st.none() | mixed)
@settings(max_examples=150, deadline=None)
def test_changes_are_the_difference_of_the_files(old, new) -> None:
    memory = Memory()
    found = list(changes(memory.tree, build(memory, old), build(memory, new)))
    a, b = oids(old), oids(new)
    assert len({(change.path, change.word) for change in found}) == len(found)
    assert {(c.path, c.word) for c in found} == {
        *((path, "deleted") for path in a.keys() - b.keys()),
        *((path, "added") for path in b.keys() - a.keys()),
        *((path, "modified") for path in a.keys() & b.keys() if a[path] != b[path]),
    }
    for change in found:
        assert (change.old and change.old.oid) == a.get(change.path)
        assert (change.new and change.new.oid) == b.get(change.path)


def test_what_is_equal_is_not_opened() -> None:
    memory = Memory()
    same = {f"{number}": b"1" for number in range(10)}
    old = build(memory, {"same": same, "other": {"a": b"1"}})
    new = build(memory, {"same": same, "other": {"a": b"2"}})
    opened = []

    def read(oid):
        opened.append(oid)
        return memory.tree(oid)

    assert [change.path for change in changes(read, old, new)] == ["other/a"]
    assert len(opened) == 4


@given(mixed)
@settings(max_examples=40, deadline=None)
def test_a_walk_meets_every_file_once(model) -> None:
    memory = Memory()
    found = [(path, entry.oid) for path, entry in walk(memory.tree, build(memory, model))]
    assert len(found) == len(flat(model))
    assert dict(found) == oids(model)
