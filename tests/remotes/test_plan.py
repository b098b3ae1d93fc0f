"""What a gc of a remote plans, on made-up remotes: nothing needed goes, nothing goes too soon."""

from __future__ import annotations

import random

import pytest

from mlxrepo.store.condemned import Mark
from mlxrepo.store.remote import file_of
from mlxrepo.store.remoteindex import PACKED, WHOLE, Index, Spot, encode
from mlxrepo.store.remoteplan import Seen, plan, rows

GRACE = 100


def key(number: int) -> bytes:
    return bytes([number % 2]) + number.to_bytes(32, "big")


def made_up(chance: random.Random) -> Seen:
    """Return a remote with a few indexes over the same objects, in packs and alone, and marks."""
    indexes: dict[str, Index] = {}
    sizes: dict[str, int] = {f"objects/00/{number}": 5 for number in range(3)}
    for _ in range(chance.randrange(1, 5)):
        spots = []
        for number in chance.sample(range(30), chance.randrange(1, 20)):
            if chance.random() < 0.2:
                spots.append(Spot(key(number), WHOLE, 0, True, "", 0, 9, 9))
                continue
            pack = f"{chance.randrange(6):064x}"
            spots.append(Spot(key(number), PACKED, 0, chance.random() < 0.5, pack, 8, 20, 20))
        name, data = encode(spots)
        indexes[name] = Index(data, name)
        sizes |= {file_of(spot): chance.choice([60, 2000]) for spot in spots}
    marks = {}
    for number in range(chance.randrange(3)):
        named = frozenset(chance.sample(sorted(indexes), chance.randrange(len(indexes) + 1)))
        files = frozenset(chance.sample(sorted(sizes), chance.randrange(3)))
        keys = frozenset(map(key, chance.sample(range(30), chance.randrange(15))))
        marks[str(number)] = Mark(1000 - chance.randrange(2 * GRACE), named, files, keys)
    return Seen(indexes, marks, frozenset(), sizes)


@pytest.mark.parametrize("seed", range(300))
def test_nothing_needed_goes_and_nothing_goes_too_soon(seed: int) -> None:
    chance = random.Random(seed)
    seen = made_up(chance)
    every = rows(seen.indexes.values())
    live = set(map(key, chance.sample(range(30), 12)))
    todo = plan(seen, live, (), now=1000, grace=GRACE)
    after = [*todo.spots, *todo.anew]
    keys = {spot.key for spot in after}
    assert live & {spot.key for spot in every} <= keys
    assert len(keys) == len(after)
    assert {spot.key for spot in every} - keys == {spot.key for spot in todo.expired}
    assert not {file_of(spot) for spot in after} & todo.files.keys()
    if {file_of(spot) for spot in every} & todo.files.keys():
        assert todo.rewrites
    for spot in todo.expired:
        assert any(
            spot.key in mark.keys and mark.since <= 1000 - GRACE for mark in seen.marks.values()
        )
    for file in todo.files:
        inside = {spot.key for spot in every if file_of(spot) == file}
        marked = any(file in m.files and m.since <= 1000 - GRACE for m in seen.marks.values())
        assert marked or (inside and inside <= {spot.key for spot in todo.expired})


@pytest.mark.parametrize("seed", range(50))
def test_what_waits_is_marked_with_the_time_since_when(seed: int) -> None:
    chance = random.Random(seed)
    seen = made_up(chance)
    todo = plan(seen, (), (), now=1000, grace=GRACE)
    marks = {str(number): mark for number, mark in enumerate(todo.marks)}
    again = plan(seen._replace(marks=marks), (), (), now=1000, grace=GRACE)
    assert {spot.key for spot in again.waiting} >= {spot.key for spot in todo.waiting}
    later = plan(seen._replace(marks=marks), (), (), now=1000 + GRACE, grace=GRACE)
    assert {spot.key for spot in later.expired} >= {spot.key for spot in todo.waiting}


def test_indexes_are_written_anew_before_a_copy_goes() -> None:
    packs = [f"{number:064x}" for number in (1, 2)]
    spots = [Spot(key(1), PACKED, 0, True, pack, 8, 20, 20) for pack in packs]
    indexes = {}
    for spot in spots:
        name, data = encode([spot])
        indexes[name] = Index(data, name)
    files = {file_of(spot): 129 for spot in spots}
    mark = Mark(0, frozenset(indexes), frozenset(files), frozenset())
    todo = plan(Seen(indexes, {"m": mark}, frozenset(), files), {key(1)}, (), now=1000, grace=GRACE)
    assert len(todo.spots) == len(todo.files) == 1
    assert not todo.anew
    assert todo.rewrites
