"""What a gc of a remote has to do. Pure: from what is there and what is needed to a plan.

Nothing goes at once. What nothing needs is condemned: a mark on the remote says since when, and
pushes do not rely on it any more. When it has been so for the grace period, and still nothing
needs it, the indexes are written anew without it, and the files go that no index names then.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from mlxrepo.store.condemned import Mark, ages
from mlxrepo.store.pack import FOOTER, MAGIC, ROW
from mlxrepo.store.remote import file_of, object_file, pack_file
from mlxrepo.store.remoteindex import PACKED, Index, Spot
from mlxrepo.store.survey import BLOB, oid_in

INDEXES_MAX = 8  # more are merged into one
SMALL_PACK = 1 << 20  # bytes
SMALL_PACKS_MAX = 32  # more are made into larger ones
HALF = 0.5  # a pack with less than this part in use is written anew


class Seen(NamedTuple):
    """What is on a remote: `files` are the sizes in bytes of packs, large objects and entries."""

    indexes: Mapping[str, Index]
    marks: Mapping[str, Mark]
    sweeps: frozenset[str]
    files: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do: `spots` is what the indexes are to say, without those of `anew`.

    `anew` are in packs that are mostly empty. `expired` objects go, and `files` with them;
    `waiting` objects and `idle` files do not yet. `marks` are what the remote is to say of these.
    """

    spots: list[Spot]
    anew: list[Spot]
    expired: list[Spot]
    waiting: list[Spot]
    needed: int
    files: dict[str, int]
    idle: dict[str, int]
    marks: list[Mark]
    rewrites: bool

    @property
    def changes(self) -> bool:
        """Say whether there is anything to do on the remote."""
        return self.rewrites or bool(self.files)


def rows(indexes: Iterable[Index]) -> list[Spot]:
    """Return every row of some indexes."""
    return [index.spot(row) for index in indexes for row in range(index.count)]


def plan(
    seen: Seen, live: Collection[bytes], entries: Collection[str], *, now: int, grace: int
) -> Plan:
    """Plan a gc at `now`, of what was condemned `grace` ago; both in nanoseconds.

    `live` are the keys of all that is needed, `entries` the files of needed action-cache entries.
    """
    since = ages(seen.marks.values(), seen.indexes)
    every = rows(seen.indexes.values())
    kept, waiting, expired = [], [], []
    for spot in one_each(every):
        if spot.key in live:
            kept.append(spot)
        elif now - since.setdefault(spot.key, now) >= grace:
            expired.append(spot)
        else:
            waiting.append(spot._replace(closed=False))
    anew = _wasteful([*kept, *waiting], seen.files)
    again = {spot.key for spot in anew}
    old = {file_of(spot) for spot in every}
    named = {file_of(spot) for spot in (*kept, *waiting)}.union(entries)
    named |= {object_file(oid_in(key)) for key in live if key[:1] == BLOB}  # whatever indexes say
    # With nothing in it but what is expired a file has waited long enough.
    gone = set(_keys(expired))
    alive = named.union(file_of(spot) for spot in every if spot.key not in gone)
    unnamed = _unnamed(seen, named, dict.fromkeys(old - alive, now - grace), now)
    idle = {file: at for file, at in unnamed.items() if now - at < grace}
    files = {file: seen.files[file] for file in unnamed if file not in idle}
    moved = {file_of(spot): now for spot in anew}  # readers may be at them: not at once
    return Plan(
        spots=[spot for spot in (*kept, *waiting) if spot.key not in again],
        anew=anew,
        expired=expired,
        waiting=waiting,
        needed=len(kept),
        files=files,
        idle={file: seen.files[file] for file in idle},
        marks=_marks({key: since[key] for key in _keys(waiting)}, idle | moved, seen.indexes),
        rewrites=bool(expired or anew or old & files.keys()) or len(seen.indexes) > INDEXES_MAX,
    )


def _keys(spots: Iterable[Spot]) -> Iterable[bytes]:
    return (spot.key for spot in spots)


def one_each(every: Iterable[Spot]) -> list[Spot]:
    """Return one place for each object: one that is said to be closed if there is such."""
    best: dict[bytes, Spot] = {}
    for spot in every:
        known = best.get(spot.key)
        if known is None or (spot.closed, spot.pack) > (known.closed, known.pack):
            best[spot.key] = spot
    return list(best.values())


def _wasteful(spots: list[Spot], sizes: Mapping[str, int]) -> list[Spot]:
    """Return what lies in packs that are mostly empty, or small where there are many of these."""
    packs: dict[str, list[Spot]] = defaultdict(list)
    for spot in spots:
        if spot.form == PACKED:
            packs[spot.pack].append(spot)
    small = [pack for pack in packs if sizes[pack_file(pack)] < SMALL_PACK]
    found = set(small) if len(small) > SMALL_PACKS_MAX else set()
    for pack, inside in packs.items():
        if sum(spot.length for spot in inside) < HALF * _payload(sizes[pack_file(pack)], inside):
            found.add(pack)
    return [spot for pack in sorted(found) for spot in packs[pack]]


def _payload(size: int, inside: list[Spot]) -> int:
    """Return how much of a pack is objects, at least: it may have more rows than these."""
    return size - len(MAGIC) - FOOTER.size - ROW.size * len(inside)


def _unnamed(
    seen: Seen, named: Collection[str], waited: Mapping[str, int], now: int
) -> dict[str, int]:
    """Return the files that no index is to name, and since when each waits to go."""
    since = dict(waited)
    for mark in seen.marks.values():
        for file in mark.files:
            since[file] = min(mark.since, since.get(file, mark.since))
    return {file: since.get(file, now) for file in seen.files if file not in named}


def _marks(
    keys: Mapping[bytes, int], files: Mapping[str, int], indexes: Collection[str]
) -> list[Mark]:
    """Return one mark for each time at which something was condemned."""
    found = []
    for since in sorted({*keys.values(), *files.values()}):
        mine = frozenset(key for key, at in keys.items() if at == since)
        theirs = frozenset(file for file, at in files.items() if at == since)
        found.append(Mark(since, frozenset(indexes), theirs, mine))
    return found
