"""What a run may take from remotes: whether they have something, and getting it into the store."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import NamedTuple

from mlxrepo.errors import ObjectMissing
from mlxrepo.hashing import Oid
from mlxrepo.paths import RepoPath
from mlxrepo.progress import SILENT, Progress
from mlxrepo.repo.remotes import chosen, opened
from mlxrepo.repo.repo import Repo
from mlxrepo.repo.wanted import Wanted, meant_remotes
from mlxrepo.store.fetch import Fetch, PackMissing
from mlxrepo.store.reach import key_of
from mlxrepo.store.remote import Remote
from mlxrepo.store.remoteindex import Known
from mlxrepo.store.subtree import find, walk
from mlxrepo.store.tree import Entry

NOT_THERE = b""  # stands for all that a missing pack kept from coming


class Source(NamedTuple):
    """A remote and what its indexes say."""

    remote: Remote
    known: Known


class Supply:
    """The remotes of one run: the chosen one, and without `name` those that outs name themselves.

    None is asked before something is wanted of it.
    """

    def __init__(self, repo: Repo, name: str | None = None, progress: Progress = SILENT):
        self._repo = repo
        self._progress = progress
        self._names = meant_remotes(repo, name)
        self.name = self._names[0]
        self._lost: dict[Oid, str] = {}
        self._had: dict[Oid, bool] = {}

    @cached_property
    def remote(self) -> Remote:
        """The chosen remote, not asked for anything yet."""
        return opened(self._repo, chosen(self._repo, self.name))

    @cached_property
    def _sources(self) -> list[Source]:
        remotes = [
            self.remote if name == self.name else opened(self._repo, chosen(self._repo, name))
            for name in self._names
        ]
        return [Source(remote, remote.known(condemned=True, damaged=[])) for remote in remotes]

    def has(self, entry: Entry, path: str) -> bool:
        """Say whether what this clone lacks of an entry can be had, as far as indexes tell.

        Raises:
            EnvironmentFailed: when a remote cannot be asked.
        """
        if entry.oid in self._lost:
            return False
        if entry.oid not in self._had:
            found = any(self._holds(source, entry, path) for source in self._sources)
            self._had[entry.oid] = found
            if not found:
                self._lost[entry.oid] = f"not on the remote {' or '.join(self._names)}"
        return self._had[entry.oid]

    def why_not(self, oid: Oid) -> str:
        """Return why something cannot be had; "" when it was not asked for, or can."""
        return self._lost.get(oid, "")

    def _holds(self, source: Source, entry: Entry, path: str) -> bool:
        spot = source.known.find(key_of(entry))
        if spot is None:
            return self._is_listed(entry) and self._rest_is_there(source, entry, path)
        return entry.kind != "tree" or spot.closed or self._rest_is_there(source, entry, path)

    def _is_listed(self, entry: Entry) -> bool:
        return entry.kind == "tree" and self._repo.store.has_entry(entry)

    def _rest_is_there(self, source: Source, entry: Entry, path: str) -> bool:
        """Look through the folders of an entry, which are fetched, for what nobody has."""
        work = self._fetch(source, [Wanted(RepoPath(path), entry)], files=False)
        whole = not (work.done.missing or work.done.damaged)
        return whole and all(map(source.known.has, work.lacking))

    def is_counted_right(self, entry: Entry, path: str) -> bool:
        """Say whether an entry's size and number of files are right; what is nowhere cannot tell.

        Raises:
            EnvironmentFailed: when a remote cannot be asked.
        """
        if entry.kind != "tree":
            return entry.files == 1 and self._sizes(entry) <= {entry.size}
        self._bring_listing(entry, path)
        if not self._has_listing(entry):
            return True
        below = self._repo.store.tree(entry.oid).values()
        size, files = sum(child.size for child in below), sum(child.files for child in below)
        return (entry.size, entry.files) == (size, files)

    def _sizes(self, entry: Entry) -> set[int]:
        """Return the size of a file as indexes tell it, or else the store."""
        spots = (source.known.find(key_of(entry)) for source in self._sources)
        if sizes := {spot.size for spot in spots if spot}:
            return sizes
        store = self._repo.store
        with suppress(FileNotFoundError):
            return {os.stat(store.path("blob", entry.oid)).st_size}
        found = store.packs.find("blob", entry.oid)
        return {found[1].size} if found else set()

    def _bring_listing(self, entry: Entry, path: str) -> None:
        """Get the listing of a folder into the store; one that does not come is noted as lost."""
        sources = [source for source in self._sources if source.known.has(key_of(entry))]
        bad = 0
        for source in sources:
            if self._has_listing(entry):
                return
            work = self._work(source, files=False)
            with _without_packs(work):
                work.listing(entry, path)
            bad += len(work.done.damaged)
        if sources and not self._has_listing(entry):
            self._lose(entry, bad)

    def _has_listing(self, entry: Entry) -> bool:
        """Say whether all nodes of a listing are in the store."""
        try:
            self._repo.store.tree(entry.oid)
        except ObjectMissing:
            return False
        return True

    def _lose(self, entry: Entry, bad: int) -> None:
        what = "damaged on" if bad else "missing on"
        self._lost[entry.oid] = f"{what} the remote {' or '.join(self._names)}"

    def bring(self, wanted: Iterable[Wanted]) -> list[Wanted]:
        """Get entries into the store; return those that did not come.

        Raises:
            EnvironmentFailed: when a remote cannot be asked; what arrived stays.
        """
        lacking = [item for item in wanted if not self._is_here(item)]
        if not lacking:
            return []
        bad = 0
        for source in self._sources:
            done = self._fetch(source, lacking, files=True).done
            if NOT_THERE in done.missing:  # and it kept the others from coming
                for item in lacking:
                    self._fetch(source, [item], files=True)
            bad += len(done.damaged)
            lacking = [item for item in lacking if not self._is_here(item)]
            if not lacking:
                break
        for item in lacking:
            self._lose(item.entry, bad)
        return lacking

    def list(self, wanted: Iterable[Wanted]) -> None:
        """Get the listings of folders into the store, as far as they are not there; no file."""
        lacking = [item for item in wanted if not self._is_listed_below(item)]
        for source in self._sources if lacking else ():
            self._fetch(source, lacking, files=False)

    def _fetch(self, source: Source, wanted: Iterable[Wanted], *, files: bool) -> Fetch:
        work = self._work(source, files=files)
        with _without_packs(work):
            work.get((item.entry, item.below, item.path) for item in wanted)
        return work

    def _work(self, source: Source, *, files: bool) -> Fetch:
        remote, known = source
        return Fetch(
            self._repo.store, remote, known,
            jobs=remote.door.jobs, progress=self._progress if files else SILENT, files=files,
        )  # fmt: skip

    def _is_here(self, item: Wanted) -> bool:
        try:
            entry = find(self._repo.store.tree, item.entry, item.below)
        except ObjectMissing:
            return False
        return entry is None or self._repo.store.pin(entry)

    def _is_listed_below(self, item: Wanted) -> bool:
        read = self._repo.store.tree
        try:
            entry = find(read, item.entry, item.below)
            if entry and not item.below:  # all of it: a pattern may fit anything in it
                for _ in walk(read, entry):
                    pass
        except ObjectMissing:
            return False
        return True


@contextmanager
def _without_packs(work: Fetch) -> Iterator[None]:
    """Let a fetch end at a pack that is missing, and note it."""
    try:
        yield
    except PackMissing as error:
        work.done.missing[NOT_THERE] = error.message
