"""Trees: one folder has one spelling, whatever its names and its history are."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rig import Memory, names

from mlxrepo.errors import Damaged
from mlxrepo.hashing import Oid, blob_oid, tree_oid
from mlxrepo.paths import name_bytes
from mlxrepo.store import tree as tree_module
from mlxrepo.store.subtree import find, replace
from mlxrepo.store.tree import (
    INDEX_HEADER,
    SPLIT_ABOVE,
    TREE_HEADER,
    Entry,
    children,
    encode,
    parse,
    write_tree,
)

A, B = blob_oid(b"a"), blob_oid(b"b")
sizes = st.integers(0, (1 << 62) - 1)
oids = st.sampled_from([A, B])
totals = st.integers(0, 1 << 50)
entries = st.one_of(
    st.builds(Entry, st.sampled_from(["file", "exec", "symlink"]), oids, sizes, st.just(1)),
    st.builds(Entry, st.just("tree"), oids, totals, totals),
)


@given(st.dictionaries(names, entries, max_size=8))
@example({"two\nlines": Entry("file", A, 1), 'q"\\': Entry("exec", A, 1)})
@example({"\udcff\udc80": Entry("file", A, 1), "\u00e9\U0001f600": Entry("file", A, 1)})
@example({"\x7f": Entry("file", A, 1), "\ufffd": Entry("tree", A, 0, 0)})
@settings(max_examples=60, deadline=None)
def test_any_folder_comes_back_as_it_was(tree: dict[str, Entry]) -> None:
    memory = Memory()
    entry = write_tree(tree, memory.put)
    assert memory.tree(entry.oid) == tree
    assert (entry.size, entry.files) == (
        sum(item.size for item in tree.values()),
        sum(item.files for item in tree.values()),
    )


@given(st.dictionaries(names, entries, min_size=1, max_size=6), st.randoms())
@settings(max_examples=40, deadline=None)
def test_the_order_of_entries_is_that_of_their_bytes(tree: dict[str, Entry], rng) -> None:
    shuffled = list(tree.items())
    rng.shuffle(shuffled)
    memory = Memory()
    oid = write_tree(dict(shuffled), memory.put).oid
    assert oid == write_tree(tree, memory.put).oid
    listed = list(memory.tree(oid))
    assert listed == sorted(listed, key=name_bytes)


@given(st.dictionaries(names, entries, min_size=1, max_size=3), st.data())
@settings(max_examples=150, deadline=None)
def test_a_changed_byte_never_gives_another_folder_in_a_second_spelling(tree, data) -> None:
    """Whatever can be read is what mlx writes for it: so no two spellings mean one folder."""
    memory = Memory()
    good = memory.nodes[write_tree(tree, memory.put).oid]
    at = data.draw(st.integers(0, len(good) - 1))
    byte = data.draw(st.integers(0, 255) | st.sampled_from(list(b' +_0"\\/\n')))
    bad = good[:at] + bytes([byte]) + good[data.draw(st.sampled_from([at, at + 1])) :]
    try:
        read = parse(bad, tree_oid(bad), memory.nodes.__getitem__)
    except Damaged:
        return
    again = Memory()
    write_tree(read, again.put)
    assert again.nodes == {tree_oid(bad): bad}


# large folders


def many(count: int) -> dict[str, Entry]:
    return {f"image-{n:06}.jpg": Entry("file", blob_oid(b"%d" % n), n) for n in range(count)}


@pytest.fixture(scope="module")
def large() -> dict[str, Entry]:
    return many(12_000)


def test_a_folder_is_split_only_above_the_limit() -> None:
    for count, is_split in ((SPLIT_ABOVE, False), (SPLIT_ABOVE + 1, True)):
        memory = Memory()
        entry = write_tree(many(count), memory.put)
        assert bool(children(memory.nodes[entry.oid], entry.oid)) is is_split
        assert memory.tree(entry.oid) == many(count)


def test_one_change_in_a_large_folder_writes_its_depth(large: dict[str, Entry]) -> None:
    memory = Memory()
    write_tree(large, memory.put)
    listed = list(large)
    for position in range(0, len(listed), 997):
        before = set(memory.nodes)
        write_tree({**large, listed[position]: Entry("file", B, 1)}, memory.put)
        assert len(memory.nodes.keys() - before) == 2  # its node and the index
        before = set(memory.nodes)
        write_tree({**large, listed[position] + ".new": Entry("file", B, 1)}, memory.put)
        assert len(memory.nodes.keys() - before) <= 4  # when the new name is where a node ends


def test_a_large_folder_does_not_remember_its_history(large: dict[str, Entry]) -> None:
    memory = Memory()
    direct = write_tree(large, memory.put)
    # The same folder by a detour: it grew from the other end, lost some and got them back.
    entry = write_tree(dict(itertools.islice(reversed(large.items()), 5_000)), memory.put)
    grown = {"extra": Entry("file", A, 1), **memory.tree(entry.oid), **large}
    entry = write_tree(grown, memory.put)
    for name in ("extra", "image-000500.jpg", "image-011999.jpg"):
        entry = replace(memory.tree, memory.put, entry, name, None)
    for name in ("image-011999.jpg", "image-000500.jpg"):
        entry = replace(memory.tree, memory.put, entry, name, large[name])
    assert entry == direct


def test_a_large_folder_that_shrinks_is_one_node_again() -> None:
    memory = Memory()
    entry = write_tree(many(SPLIT_ABOVE + 1), memory.put)
    entry = replace(memory.tree, memory.put, entry, f"image-{SPLIT_ABOVE:06}.jpg", None)
    assert entry == write_tree(many(SPLIT_ABOVE), Memory().put)


@pytest.mark.parametrize("value", [0, 1], ids=["cut everywhere", "cut nowhere"])
def test_names_chosen_to_split_badly_still_make_a_tree(
    value: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Xxh3 can be forged, so a hostile folder may hold names that all hash alike."""
    monkeypatch.setattr(tree_module, "split_hash", lambda name: value)
    memory = Memory()
    tree = many(SPLIT_ABOVE * 3)
    assert memory.tree(write_tree(tree, memory.put).oid) == tree


# what is refused


def refused(data: bytes, nodes: dict[Oid, bytes] | None = None) -> str:
    with pytest.raises(Damaged) as caught:
        parse(data, tree_oid(data), (nodes or {}).__getitem__)
    assert "nothing of it was used" in caught.value.message
    return caught.value.message


def lines(*rows: str) -> bytes:
    return "".join(f"{row}\n" for row in (TREE_HEADER, *rows)).encode("utf-8", "surrogateescape")


GOOD = f'f {A} 1 "good"'


def test_the_line_that_the_bad_ones_differ_from_is_good() -> None:
    assert parse(lines(GOOD), A, {}.__getitem__) == {"good": Entry("file", A, 1)}


@pytest.mark.parametrize(
    "name",
    [
        "..", ".", "", "/etc", "a/b", "../x", "a\\u0000b", ".git", ".GIT", ".Git ", "git~1", ".mlx",
        ".git\\u200c", ".git::$INDEX", ".mlx-tmp-0", "x" * 256,
        "\\ud800",  # half a character: no bytes spell it
        "\\udc41",  # an ASCII byte dressed as an invalid one
        "\\udcc3\\udca9",  # the bytes of e-acute, which has a spelling of its own
    ],
)  # fmt: skip
def test_a_name_that_no_folder_may_hold_is_refused(name: str) -> None:
    assert "the name" in refused(lines(GOOD, f'f {A} 1 "{name}"'))
    refused(lines(f'd {A} 1 1 "{name}"', f'f {A} 1 "zzz"'))


@pytest.mark.parametrize(
    "row",
    [
        f'f {A} +1 "x"', f'f {A} 1_0 "x"', f'f {A} 01 "x"', f'f {A} -1 "x"', f'f {A}  1 "x"',
        f'f {A} \u0661 "x"', f'f {A} 1.0 "x"', f'f {A} {1 << 62} "x"', f'f {A} {10**30} "x"',
        f'f {A} 1 1 "x"', f'd {A} 1 "x"', f'd {A} 1 {1 << 62} "x"', f'd {A} 1 01 "x"',
        f'f {A} "x"', f'g {A} 1 "x"', f'f {A.upper()} 1 "x"', f'f {A[:-1]} 1 "x"', f'f {A}0 1 "x"',
        f'f {A} 1 x', f'f {A} 1 "x', f'f {A} 1 "x" ', f' f {A} 1 "x"', f'f {A} 1 "x""', "",
        f'f {A} 1 "\\u0078"', f'f {A} 1 "\\/x"', f'f {A} 1 "\\u00E9"', f'f {A} 1 "\u00e9"',
        f'f {A} 1 "a\tb"', f'f {A} 1 "a\x7f"', f'f {A} 1 "a\\x"', f'f {A} 1 "a"b"',
        f'f {A} 1 "x"\r',
        "f " + "\u0430" * 64 + ' 1 "x"', f'F {A} 1 "x"',
    ],
)  # fmt: skip
def test_a_line_in_any_other_spelling_is_refused(row: str) -> None:
    assert ("header" in refused(lines(row))) is not row.isascii()


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\n", b"\n\n", lines()[:-1], lines(GOOD)[:-1], lines(GOOD) + b"\n", b"\xff\n",
        lines(GOOD).replace(b"tree 1", b"tree 2"), lines(GOOD).replace(b"mlx tree", b"MLX tree"),
        b" " + lines(GOOD), lines(GOOD).replace(b"\n", b"\r\n"), GOOD.encode() + b"\n",
        lines(GOOD, GOOD),  # twice
        lines(f'f {A} 1 "b"', f'f {A} 1 "a"'),  # out of order
        lines(f'f {A} 1 "\\ud83d\\ude00"', f'f {A} 1 "\\uffee"'),  # so is this
    ],
)  # fmt: skip
def test_a_node_that_is_not_whole_or_not_in_order_is_refused(data: bytes) -> None:
    refused(data)


def index(*rows: tuple[Oid, str]) -> bytes:
    return "".join(f"{row}\n" for row in (INDEX_HEADER, *(f"{o} {n}" for o, n in rows))).encode()


def test_a_split_that_mlx_would_not_make_is_refused() -> None:
    tree = many(SPLIT_ABOVE + 500)
    memory = Memory()
    root = write_tree(tree, memory.put)
    good = memory.nodes[root.oid]
    header, *rows = good.decode().splitlines()

    def other(*changed: str) -> str:
        return refused("\n".join((header, *changed, "")).encode(), memory.nodes)

    assert memory.tree(root.oid) == tree
    assert "order" in other(*reversed(rows))
    assert "order" in other(rows[0], *rows)
    other(*rows[:-1])  # a canonical cut of another folder that is too small for one
    other(rows[0].replace("image-000000", "image-000001"), *rows[1:])  # a lie about the first name
    other(rows[0] + " ", *rows[1:])
    other("x" + rows[0][1:], *rows[1:])
    other()
    # The same entries: not split at all, split elsewhere, or wrapped once more.
    listed = sorted(tree.items())
    refused(encode(listed), memory.nodes)
    halves = [memory.put(encode(listed[:100])), memory.put(encode(listed[100:]))]
    refused(
        index((halves[0], '"image-000000.jpg"'), (halves[1], '"image-000100.jpg"')), memory.nodes
    )
    refused(index((root.oid, '"image-000000.jpg"')), memory.nodes)


def test_a_small_folder_written_as_split_is_refused() -> None:
    memory = Memory()
    leaf = memory.put(lines(GOOD))
    refused(index((leaf, '"good"')), memory.nodes)


def test_an_index_that_multiplies_itself_is_refused_at_once() -> None:
    """Ten levels of a thousand lines each would be 10^30 steps."""
    memory = Memory()
    for leaf in (lines(), lines(GOOD)):
        oid = memory.put(leaf)
        for _ in range(10):
            oid = memory.put(index(*[(oid, '"good"')] * 1000))
        refused(memory.nodes[oid], memory.nodes)


# parts of trees


def test_taking_away_what_is_not_there_changes_nothing() -> None:
    memory = Memory()
    entry = write_tree({"file": Entry("file", A, 1)}, memory.put)
    for path in ("other", "other/below", "file/below", "file/below/it"):
        assert replace(memory.tree, memory.put, entry, path, None) == entry
    assert replace(memory.tree, memory.put, None, "a/b", None) is None


def test_a_part_is_put_and_found_and_taken_away() -> None:
    memory = Memory()
    new = Entry("file", B, 3)
    entry = replace(memory.tree, memory.put, None, "a/b/c", new)
    assert find(memory.tree, entry, "a/b/c") == new
    assert find(memory.tree, entry, "a/b/c/d") is None
    assert find(memory.tree, entry, "") == entry
    assert (entry.size, entry.files) == (3, 1)
    entry = replace(memory.tree, memory.put, entry, "a/b/c", None)
    assert memory.tree(find(memory.tree, entry, "a/b").oid) == {}
