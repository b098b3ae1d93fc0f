"""What gc decides, and that its marking sees what a parser of trees would."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from rig import Rig, models, names, put_model, scratch

from mlxrepo.hashing import blob_oid
from mlxrepo.store.gc import Amount, Loose, Plan, Share, decide, sweep
from mlxrepo.store.lease import binary_key
from mlxrepo.store.reach import key_of, mark
from mlxrepo.store.tree import Entry

KEYS = [binary_key("blob", blob_oid(bytes([number]))) for number in range(6)]


def share(dead: int, size: int = 10, mtime: int = 0) -> Share:
    return Share(f"packs/{dead}", mtime, Amount(size, size), Amount(dead, dead))


def plan(loose: list[Loose], packs: list[Share], live: set[bytes], repack: bool = True) -> Plan:
    return decide(loose, packs, live, before=100, repack=repack)


def test_live_and_young_objects_stay_at_any_age_of_the_others() -> None:
    loose = [Loose(KEYS[n], str(n), 10, mtime) for n, mtime in enumerate((0, 0, 99, 100, 10**30))]
    found = plan(loose, [], {KEYS[0], KEYS[4]})
    assert [item.file for item in found.loose] == ["1", "2"]
    assert found.garbage == Amount(2, 20)
    assert (found.young, found.needed) == (Amount(1, 10), Amount(2, 20))


def test_packs_go_whole_anew_or_not_at_all() -> None:
    shares = [share(10), share(6), share(5), share(0), share(10, mtime=100), share(6, mtime=100)]
    found = plan([], shares, set())
    assert (found.dead, found.half) == ((shares[0],), (shares[1],))
    assert found.garbage == Amount(16, 16)
    assert (found.wedged, found.young) == (Amount(5, 5), Amount(16, 16))
    assert found.needed == Amount(23, 23)
    full = plan([], shares, set(), repack=False)
    assert (full.dead, full.half) == ((shares[0],), ())
    assert full.wedged == Amount(11, 11)


def reached(rig: Rig, entry: Entry) -> set[bytes]:
    found = {key_of(entry)}
    if entry.kind == "tree":
        for child in rig.store.tree(entry.oid).values():
            found |= reached(rig, child)
    return found


@given(model=models(st.binary(max_size=3), names))
@settings(max_examples=30, deadline=None)
def test_marking_reaches_what_reading_reaches(model: object) -> None:
    with scratch() as folder:
        rig = Rig(folder)
        with rig.store.batch() as batch:
            entry = put_model(model, batch)  # type: ignore[arg-type]
        live: set[bytes] = set()
        fresh, missing = mark(rig.store, [key_of(entry)], live)
        assert fresh == live == reached(rig, entry)
        assert not missing
        rig.cache.close()


def test_the_nodes_of_a_split_folder_are_reached(rig: Rig) -> None:
    entry = rig.keep({f"{number:06}": b"x" for number in range(6000)})
    assert entry
    live: set[bytes] = set()
    mark(rig.store, [key_of(entry)], live)
    trees = {key for key in live if key[0] == 1}
    assert len(trees) > 4
    assert len(live) == len(trees) + 1
    nothing = sweep(str(rig.store_root), Plan((), (), (), *[Amount()] * 3), live, set)
    assert nothing.moved == Amount()


def test_a_tree_that_is_not_here_is_named(rig: Rig) -> None:
    entry = Entry("tree", blob_oid(b"somewhere else"), 1, 1)
    assert mark(rig.store, [key_of(entry)], set()) == ({key_of(entry)}, {key_of(entry)})
