"""Checking a remote: indexes, the files that they name, with `data` every byte; and mending it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from mlxrepo.errors import Damaged, EnvironmentFailed
from mlxrepo.hashing import is_oid
from mlxrepo.progress import SILENT, Progress
from mlxrepo.store import condemned
from mlxrepo.store.condemned import is_mark
from mlxrepo.store.contents import read_back
from mlxrepo.store.remote import INDEXES, OBJECTS, PACKS, Remote, file_of
from mlxrepo.store.remoteindex import PACKED, WHOLE, Index, Known, Spot
from mlxrepo.store.remoteplan import one_each, rows
from mlxrepo.store.rescue import rescued
from mlxrepo.store.survey import TREE, named, oid_in

OTHER = "holds other bytes than its name says"


class Flaw(NamedTuple):
    """Something wrong on a remote: in which file, and what; `key` is the object's, b"" for none."""

    file: str
    why: str
    key: bytes = b""


@dataclass(slots=True)
class RemoteState:
    """What a check found: `objects` of `size` bytes were looked at, `read` bytes were hashed.

    `unnamed` files are named by no index: what a push that was cut off left.
    """

    indexes: dict[str, Index] = field(default_factory=dict)
    flaws: list[Flaw] = field(default_factory=list)
    objects: int = 0
    size: int = 0
    read: int = 0
    unnamed: dict[str, int] = field(default_factory=dict)

    @property
    def bad(self) -> set[bytes]:
        """The keys of objects that cannot be had from where an index says that they are."""
        return {flaw.key for flaw in self.flaws if flaw.key}


def check(
    remote: Remote, *, data: bool = False, jobs: int, progress: Progress = SILENT
) -> RemoteState:
    """Check a remote; with `data` every object is read and hashed.

    Raises:
        InputError: when it is of a newer format.
        EnvironmentFailed: when it cannot be asked.
    """
    state = RemoteState()
    remote.check_format()
    for name in remote.listed():
        _note(remote, name, state)
    listed = [*remote.door.files(PACKS), *remote.door.files(OBJECTS)]
    sizes = {found.path: found.size for found in listed}
    spots = rows(state.indexes.values())
    state.objects = len({spot.key for spot in spots})
    state.size = sum({spot.key: spot.size for spot in spots}.values())
    _ask_for_unlisted(remote, spots, sizes)
    there = [spot for spot in spots if _is_there(spot, sizes, state)]
    used = {file_of(spot) for spot in spots}
    state.unnamed = {file: size for file, size in sizes.items() if file not in used}
    if data:
        _read_all(remote, there, state, jobs, progress)
    return state


def _note(remote: Remote, name: str, state: RemoteState) -> None:
    """Read one index or mark, past the copy that is cached here."""
    if not (is_oid(name) or is_mark(name)):
        return
    file = f"{INDEXES}/{name}"
    for last in (False, True):  # a byte may have been changed on the way
        try:
            found = remote.door.read(file)
            if is_mark(name):
                condemned.decode(found, name)
            else:
                state.indexes[name] = Index(found, name)
            return
        except FileNotFoundError:
            return  # a gc has just taken it into another
        except Damaged as error:
            if last:
                state.flaws.append(Flaw(file, error.message))


def _ask_for_unlisted(remote: Remote, spots: list[Spot], sizes: dict[str, int]) -> None:
    """Check that what is not listed is not there.

    Raises:
        EnvironmentFailed: when it is: then the listing says nothing of anything.
    """
    for file in sorted({file_of(spot) for spot in spots} - sizes.keys()):
        if remote.door.size(file) is not None:
            raise EnvironmentFailed(
                f"the listing of the remote {remote.name} leaves out {file}, which is there",
                hint="again later",
            )


def _is_there(spot: Spot, sizes: dict[str, int], state: RemoteState) -> bool:
    file = file_of(spot)
    size = sizes.get(file)
    if size is None:
        why = "is not there"
    elif spot.form == WHOLE and size != spot.size:
        why = f"has {size:,} bytes of {spot.size:,}"
    elif spot.form == PACKED and size < spot.offset + spot.length:
        why = f"is cut off at {size:,} bytes"
    else:
        return True
    state.flaws.append(Flaw(file, why, spot.key))
    return False


def _read_all(
    remote: Remote, spots: list[Spot], state: RemoteState, jobs: int, progress: Progress
) -> None:
    known = Known(state.indexes)
    mine = [spot for spot in spots if spot.form in (PACKED, WHOLE)]
    for spot, is_good, found in read_back(remote, mine, jobs=jobs, progress=progress):
        if not is_good:
            state.flaws.append(Flaw(file_of(spot), OTHER, spot.key))
        elif spot.closed and spot.key[:1] == TREE:
            state.flaws += _unclosed(spot, found, known)
        state.read += spot.size


def _unclosed(spot: Spot, tree: bytes, known: Known) -> Iterator[Flaw]:
    """Yield a flaw for a folder that claims to be there with all below it, and is not."""
    lacking = [key for key, _ in named(tree) if not known.has(key)]
    if lacking:
        why = f"lacks {len(lacking)} objects of folder {oid_in(spot.key)[:12]}, and says it has all"
        yield Flaw(file_of(spot), why)


def forget_bad(remote: Remote, state: RemoteState) -> None:
    """Write the indexes anew without what cannot be had, and remove the files with nothing else.

    No folder is said to be closed then; the next push finds out anew.
    """
    every = [*rows(state.indexes.values()), *_of_damaged_indexes(remote, state)]
    bad = {(flaw.key, flaw.file) for flaw in state.flaws if flaw.key}
    good = [spot for spot in every if (spot.key, file_of(spot)) not in bad]
    fresh = [spot._replace(closed=False) for spot in one_each(good)]
    new = remote.publish(fresh) if fresh else ""
    old = [*state.indexes, *(flaw.file.rpartition("/")[2] for flaw in state.flaws if not flaw.key)]
    for name in old:
        if name != new and (is_oid(name) or is_mark(name)):
            remote.door.delete(f"{INDEXES}/{name}")
    useful = {file_of(spot) for spot in good}
    for file in sorted({flaw.file for flaw in state.flaws if flaw.key} - useful):
        remote.door.delete(file)


def _of_damaged_indexes(remote: Remote, state: RemoteState) -> list[Spot]:
    """Return what damaged indexes said: by the copies that are here, or by the files themselves."""
    names = [flaw.file.rpartition("/")[2] for flaw in state.flaws if not flaw.key]
    copies = {name: remote.sent_index(name) for name in names if is_oid(name)}
    found = rows(copy for copy in copies.values() if copy is not None)
    if None in copies.values():
        found += rescued(remote, state.unnamed)
    return found
