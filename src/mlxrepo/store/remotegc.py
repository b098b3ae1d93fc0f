"""Carrying out a gc of a remote, so that pushes and fetches can go on meanwhile.

Pushes announce what they rely on by an index, a gc announces by a note that it removes files. Each
writes first and looks for the other's then: so a gc spares what an index came to name, and a push
that a gc crossed looks again whether all of it is there (crossing.py).
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from mlxrepo.errors import Damaged, EnvironmentFailed
from mlxrepo.failpoints import failpoint
from mlxrepo.hashing import is_oid
from mlxrepo.progress import SILENT, Progress
from mlxrepo.store import condemned
from mlxrepo.store.contents import contents
from mlxrepo.store.door import Found
from mlxrepo.store.intent import Intent
from mlxrepo.store.parallel import parallel
from mlxrepo.store.push import PACK_OBJECTS, PACK_SIZE
from mlxrepo.store.remote import (
    ACTIONS,
    INDEXES,
    OBJECTS,
    PACKS,
    REPOS,
    SWEPT,
    Remote,
    file_of,
    pack_file,
)
from mlxrepo.store.remoteindex import Index, Spot
from mlxrepo.store.remotepack import Made, make
from mlxrepo.store.remoteplan import Plan, Seen, rows
from mlxrepo.store.survey import oid_in

ROWS = 500_000  # of one index that is written anew


def look(remote: Remote) -> Seen:
    """Return what is on a remote.

    Raises:
        EnvironmentFailed: when its listings cannot be trusted.
        Damaged: when an index is not what its name says.
    """
    remote.check_format()
    _check_listed(remote, [name for name in remote.cached() if is_oid(name)])
    notes = remote.notes()
    files = {found.path: found.size for found in _listing(remote)}
    if lacking := {file_of(spot) for spot in rows(notes.indexes.values())} - files.keys():
        raise EnvironmentFailed(
            f"{len(lacking)} files that indexes of the remote {remote.name} name are not listed, "
            f"{min(lacking)} for one: nothing can be removed safely",
            hint=f"mlx remote fsck {remote.name}",
        )
    return Seen(*notes, files)


def _listing(remote: Remote) -> Iterator[Found]:
    for folder in (PACKS, OBJECTS, ACTIONS):
        yield from _twice(remote, folder)


def _twice(remote: Remote, folder: str) -> list[Found]:
    """List a folder, and once more: what it had has to be there still."""
    first = remote.door.files(folder)
    if {found.path for found in first} - {found.path for found in remote.door.files(folder)}:
        raise _shrunk(remote, folder)
    return first


def listed_users(remote: Remote) -> list[Found]:
    """Return the files that name the repositories which use a remote.

    Raises:
        EnvironmentFailed: when its listing leaves some out.
    """
    found = _twice(remote, REPOS)
    paths = {file.path for file in found}
    before = remote.remembered(REPOS)
    if any(path not in paths and remote.door.size(path) is not None for path in before):
        raise _shrunk(remote, REPOS)
    if not found and any(map(is_oid, remote.listed())):
        raise _shrunk(remote, REPOS)
    remote.remember(REPOS, paths)
    return found


def _check_listed(remote: Remote, names: list[str]) -> None:
    """Check that the indexes of these names are listed, unless they are not there any more."""
    listed = set(remote.listed())
    for name in names:
        if name not in listed and remote.door.size(f"{INDEXES}/{name}") is not None:
            raise _shrunk(remote, INDEXES)


def _shrunk(remote: Remote, folder: str) -> EnvironmentFailed:
    return EnvironmentFailed(
        f"the listing of {folder}/ on the remote {remote.name} leaves out what is there: nothing "
        "can be removed safely",
        hint="again later",
    )


def carry_out(
    remote: Remote, seen: Seen, plan: Plan, *, jobs: int, progress: Progress = SILENT
) -> int:
    """Do what a plan says; return how many of its files were spared, as something needs them now.

    Raises:
        EnvironmentFailed: when the remote does not do it; the same again goes on.
        Damaged: when an object that has to be moved is damaged.
    """
    if not plan.changes:
        _tidy(remote, seen, _mark(remote, seen, plan, set()), set())
        return 0
    progress.start(f"collecting {remote.name}", len(plan.files), "files")
    with Intent(remote) as intent:
        sweep = f"{SWEPT}{os.urandom(8).hex()}"
        remote.write(f"{INDEXES}/{sweep}", b"\n")
        spots = [*plan.spots, *_repacked(remote, plan.anew, jobs)]
        new = _written(remote, spots) if plan.rewrites else set()
        failpoint("remote-gc.written")
        marks = _mark(remote, seen, plan, new)
        # A new pack may be the same as one that nothing named.
        spared = _named_since(remote, seen, new).union(map(file_of, spots))
        intent.check()
        _tidy(remote, seen, marks, new)
        failpoint("remote-gc.indexed")
        doomed = [file for file in plan.files if file not in spared]

        def remove(file: str) -> None:
            intent.check()
            remote.door.delete(file)

        for _ in parallel(remove, doomed, jobs, remote.door.stop):
            progress.advance()
            failpoint("remote-gc.removed")
        for old in seen.sweeps - {sweep}:
            remote.door.delete(f"{INDEXES}/{old}")
    progress.done()
    return len(plan.files) - len(doomed)


def _tidy(remote: Remote, seen: Seen, marks: set[str], new: set[str]) -> None:
    """Remove the marks that are none of these, and the indexes if there are `new` ones."""
    stale = seen.marks.keys() - marks
    if new:
        stale |= seen.indexes.keys() - new
    for name in sorted(stale):
        remote.door.delete(f"{INDEXES}/{name}")


def _written(remote: Remote, spots: list[Spot]) -> set[str]:
    """Write the indexes anew; return their names."""
    parts = (spots[at : at + ROWS] for at in range(0, len(spots), ROWS))
    return {str(remote.publish(part)) for part in parts}


def _repacked(remote: Remote, anew: list[Spot], jobs: int) -> Iterator[Spot]:
    """Put objects into new packs, trees apart from blobs; yield where they lie now."""
    for kind in (0, 1):
        mine = [spot for spot in anew if spot.key[0] == kind]
        closed = {spot.key for spot in mine if spot.closed}
        for pack in _packs(remote, mine, jobs):
            remote.write(pack_file(pack.name), pack.data)
            yield from (spot._replace(closed=spot.key in closed) for spot in pack.spots)


def _packs(remote: Remote, spots: list[Spot], jobs: int) -> Iterator[Made]:
    objects: list[tuple[bytes, bytes]] = []
    size = 0
    for spot, data in contents(remote, spots, jobs=jobs):
        if data is None:
            raise Damaged(
                f"{oid_in(spot.key)[:12]} on the remote {remote.name} holds other bytes than its "
                "name says",
                hint=f"mlx remote fsck {remote.name} --data --repair",
            )
        if objects and (size + len(data) > PACK_SIZE or len(objects) >= PACK_OBJECTS):
            yield make(objects)
            objects, size = [], 0
        objects.append((spot.key, data))
        size += len(data)
    if objects:
        yield make(objects)


def _mark(remote: Remote, seen: Seen, plan: Plan, new: set[str]) -> set[str]:
    """Write the marks of a plan; return their names."""
    names = set()
    for mark in plan.marks:
        name, data = condemned.encode(mark._replace(indexes=mark.indexes | new))
        if name not in seen.marks:
            remote.write(f"{INDEXES}/{name}", data)
        names.add(name)
    return names


def _named_since(remote: Remote, seen: Seen, new: set[str]) -> set[str]:
    """Return the files that indexes name which came while this went on.

    Raises:
        EnvironmentFailed: when the listing has shrunk.
    """
    names = {name for name in remote.listed() if is_oid(name)}
    if (seen.indexes.keys() | new) - names:
        raise _shrunk(remote, INDEXES)
    late = names - seen.indexes.keys() - new
    found = [Index(remote.door.read(f"{INDEXES}/{name}"), name) for name in late]
    return {file_of(spot) for spot in rows(found)}
