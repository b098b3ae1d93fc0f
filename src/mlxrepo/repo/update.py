"""Recording what is in the workspace at a tracked path: one rule for `add` and for `repro`.

What is here replaces what was recorded; what is absent from this worktree stays as recorded; what
was placed here and is gone is recorded as deleted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from mlxrepo.errors import InputError, ObjectMissing, Refused
from mlxrepo.paths import RepoPath, display, parent
from mlxrepo.progress import SILENT, Progress
from mlxrepo.repo.lockfile import DataRecord, Records
from mlxrepo.repo.observed import Tracked
from mlxrepo.repo.owned import refuse_links
from mlxrepo.repo.repo import Repo
from mlxrepo.store.compare import Change, changes, presence, same
from mlxrepo.store.snapshot import Scan
from mlxrepo.store.subtree import find, replace
from mlxrepo.store.tree import Entry

NAMED = 5  # paths in an error


@dataclass(frozen=True, slots=True)
class Updated:
    """What recording a path did: its entry before and now, and the files that differ.

    `absent` files are recorded and not in this worktree; they stay as they were.
    """

    path: RepoPath
    address: str
    old: Entry | None
    entry: Entry
    changes: tuple[Change, ...]
    absent: int
    absent_size: int
    new_objects: int
    new_bytes: int

    @property
    def deleted(self) -> tuple[str, ...]:
        """Return the files that were here, are gone, and are no longer recorded."""
        return tuple(change.path for change in self.changes if change.new is None)


def update_tracked(
    repo: Repo,
    tracked: Tracked,
    path: RepoPath,
    *,
    keep_deleted: bool = False,
    progress: Progress = SILENT,
) -> Updated:
    """Store what lies at `path`, inside the tracked path, and record it.

    With `keep_deleted` what was here and is gone counts as absent, and stays recorded.

    Raises:
        InputError: when nothing is at `path` and nothing is recorded there.
        Refused: when nothing is left of the whole tracked path, or it lies behind a link.
        ObjectMissing: when the recorded listing, needed for absent files, is not in the store.
    """
    below = path[len(tracked.path) + 1 :]
    refuse_links(repo.root, parent(path))
    with repo.store.batch() as batch:
        scan = repo.scan(batch=batch, progress=progress)
        here = scan.entry(path, top=tracked.path)
        batch.publish()  # the bytes are safe, and the long part is over, before the mutex
        with repo.recording(tracked.lock) as (records, noted):
            old = recorded_entry(records, tracked)
            placed = noted.get(tracked.path)
            was = None if keep_deleted else placed
            before = find(scan.tree, was, below), find(scan.tree, old, below)
            if here is None and before == (None, None):
                raise InputError(f"{display(path)} is not here", hint="check the path: ls")
            merged = presence(scan.tree, scan.put_tree, here, *before)
            entry = _whole(scan, old, below, merged.entry)
            if entry is None:
                raise gone(repo, path)
            now_placed = _whole(scan, placed, below, here)
            batch.publish()
            records[tracked.address] = DataRecord(tracked.path, entry)
            if now_placed is not None:
                noted[tracked.path] = now_placed
    differ = tuple(changes(repo.store.tree, old, entry))
    return Updated(
        tracked.path, tracked.address, old, entry, differ,
        merged.absent, merged.absent_size, batch.new_objects, batch.new_bytes,
    )  # fmt: skip


def gone(repo: Repo, path: RepoPath) -> Refused:
    """Return the error for a tracked path of which nothing is left."""
    word = repo.place.word(path)
    return Refused(
        f"{display(path)} is gone",
        hint=f"mlx checkout {word} brings it back, mlx rm {word} forgets it",
    )


def recorded_entry(records: Records, tracked: Tracked) -> Entry:
    """Return what a lockfile, read just now, says of an artifact.

    Raises:
        InputError: when another process took it out meanwhile.
    """
    record = records.get(tracked.address)
    if not isinstance(record, DataRecord):
        raise InputError(f"{tracked.address} is no longer tracked", hint="mlx status")
    return record.entry


def _whole(scan: Scan, top: Entry | None, below: str, new: Entry | None) -> Entry | None:
    """Return the whole tracked path with `new` at `below`."""
    if below and new is None and find(scan.tree, top, below) is None:
        return top
    return replace(scan.tree, scan.put_tree, top, below, new)


class Modified(NamedTuple):
    """Tracked paths whose workspace content is not what is recorded: by a hand, or by git.

    What is `behind` lies there as mlx placed it, and the lockfile has moved on since: another
    commit's came, with `git pull` for one.
    """

    edited: list[Tracked]
    behind: list[Tracked]


def modified(repo: Repo, tracked: Iterable[Tracked], *, keep_deleted: bool = False) -> Modified:
    """Return those tracked paths whose workspace content is not what is recorded.

    Raises:
        ObjectMissing: when the recorded listing of a folder that was edited is not in the store.
    """
    scan = repo.scan()
    placed = repo.placed
    found = Modified([], [])
    for item in tracked:
        here, before = scan.entry(item.path), placed.get(item.path)
        was = None if keep_deleted else before
        if same(here, item.entry) or (here is None and was is None):
            continue
        untouched = here is not None and same(here, before)
        try:
            merged = presence(scan.tree, scan.put_tree, here, was, item.entry).entry
        except ObjectMissing:
            if not untouched:
                raise
            merged = here
        if not same(merged, item.entry):
            (found.behind if untouched else found.edited).append(item)
    return found


def behind(repo: Repo, items: Iterable[Tracked]) -> Refused:
    """Return the error for data that is older than recorded: the user says which one is meant."""
    items = list(items)
    names = ", ".join(display(item.path) for item in items[:NAMED])
    more = f" and {len(items) - NAMED} more" if len(items) > NAMED else ""
    words = " ".join(repo.place.word(item.path) for item in items[:NAMED])
    rest = " …" if more else ""
    verb = "checkout" if all(repo.store.is_whole(item.entry) for item in items) else "pull"
    are = "is" if len(items) == 1 else "are"
    return Refused(
        f"{names}{more} {are} older than recorded: as mlx placed it before mlx.lock changed",
        hint=f"mlx {verb} {words}{rest} brings what is recorded; mlx add {words}{rest} records "
        "what is here",
    )
