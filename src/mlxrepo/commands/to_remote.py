"""mlx add --to-remote: record data that goes to a remote and is never stored here."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

from mlxrepo.errors import EnvironmentFailed, InputError
from mlxrepo.hashing import blob_oid
from mlxrepo.paths import RepoPath, display, name_bytes
from mlxrepo.progress import SILENT, Progress
from mlxrepo.repo.adding import (
    New,
    add_new,
    check_known,
    files_of,
    note_placed,
    parsed,
    plan_new,
    tracked_at,
)
from mlxrepo.repo.identity import identity
from mlxrepo.repo.lockfile import DataRecord
from mlxrepo.repo.observed import Tracked
from mlxrepo.repo.remotes import chosen, opened
from mlxrepo.repo.repo import Repo
from mlxrepo.repo.source import Source, last_name, open_source
from mlxrepo.repo.update import Updated
from mlxrepo.store.compare import same
from mlxrepo.store.crossing import was_undone
from mlxrepo.store.marker import mark_partial
from mlxrepo.store.notes import Notes
from mlxrepo.store.outbox import Outbox
from mlxrepo.store.push import Extended, Sent, send, with_sent
from mlxrepo.store.remote import Remote
from mlxrepo.store.remoteindex import Spot
from mlxrepo.store.survey import Survey
from mlxrepo.store.tree import Entry, is_tree

JOBS = 4  # each holds a pack in memory
NOTES_FOLDER = "adding"


@dataclass(frozen=True, slots=True)
class AddedThere:
    """What was recorded and where it went, or (not `applied`) what would.

    The oid of `entry` means nothing where it was not applied. `sent` counts objects, not what is
    on the remote already; `here` says that the files stay in the worktree.
    """

    source: str
    path: RepoPath
    address: str
    entry: Entry
    old: Entry | None
    here: bool
    remote: str
    url: str
    sent: Sent
    to_commit: tuple[RepoPath, ...]
    applied: bool


def add_to_remote(
    repo: Repo,
    source: str,
    dest: str | None = None,
    *,
    name: str | None = None,
    kind: str | None = None,
    remote: str | None = None,
    jobs: int | None = None,
    dry_run: bool = False,
    progress: Progress = SILENT,
) -> AddedThere:
    """Send what is at `source`, a path or URL, to a remote and record it at `dest`.

    Everything is checked, and all names looked at, before anything is written or sent. What
    arrived before a kill is not sent again.

    Raises:
        InputError: when it cannot be recorded there, or nothing is at the source.
        CannotDecide: when there is no remote.
        EnvironmentFailed: when the source or the remote cannot be had, or the source changes.
    """
    path = _destination(repo, source, dest)
    tracked = tracked_at(repo, path)
    progress.start("looking at the source")
    there = open_source(repo, source, path)
    fresh = _check(repo, path, tracked, there, name, kind)
    spec = chosen(repo, remote)
    found = there.survey()
    progress.done()
    address = fresh[0].address if tracked is None else tracked.address
    planned = AddedThere(
        there.shown, path, address, found, tracked and tracked.entry, there.is_here,
        spec.name, spec.shown, Sent(), (), applied=False,
    )  # fmt: skip
    if dry_run:
        return planned
    transfer = _Transfer(repo, opened(repo, spec), path, there, jobs, progress)
    progress.start(f"{display(path)} to {spec.name}", found.size, "bytes")
    if tracked is None:
        touched = _record_new(repo, fresh, transfer, found, there)
    else:
        touched = _record_anew(repo, tracked, transfer, there)
    transfer.notes.forget()
    progress.done()
    return replace(
        planned, entry=transfer.entry, sent=transfer.sent, applied=True,
        to_commit=tuple(repo.git.uncommitted(touched)),
    )  # fmt: skip


def _destination(repo: Repo, source: str, dest: str | None) -> RepoPath:
    if not source:
        raise InputError("a source cannot be empty", hint="mlx add --to-remote SOURCE")
    if dest is not None:
        return parsed(repo, dest + last_name(source) if dest.endswith("/") else dest)
    if "://" not in source:
        folder, name = os.path.split(os.path.normpath(os.path.join(repo.cwd, source)))
        real = os.path.join(os.path.realpath(folder), name)
        if real.startswith(repo.root + "/"):
            return parsed(repo, source)
    return parsed(repo, last_name(source))


def _check(
    repo: Repo,
    path: RepoPath,
    tracked: Tracked | None,
    there: Source,
    name: str | None,
    kind: str | None,
) -> list[New]:
    """Check that the source can be recorded at a path; return what is new in mlx.yaml."""
    if tracked is None:
        return plan_new(repo, [path], name, kind, here=there.is_here)
    if tracked.path != path:
        raise InputError(
            f"{display(path)} lies inside {display(tracked.path)}, which is tracked",
            hint="name a path beside it",
        )
    check_known(repo, tracked, path, name, kind)
    here = repo.scan().entry(path)
    if here is not None and not there.is_here:
        raise InputError(
            f"{display(path)} is in the worktree; what is at {there.shown} would be recorded over "
            "it",
            hint="name another path for it, or move away what is there",
        )
    if here is not None and not same(here, tracked.entry):
        word = repo.place.word(path)
        raise InputError(
            f"{display(path)} is tracked, and differs from what is recorded",
            hint=f"mlx add {word}, then mlx push {word}",
        )
    return []


def _record_new(
    repo: Repo, fresh: list[New], transfer: _Transfer, found: Entry, there: Source
) -> list[RepoPath]:
    folders = [fresh[0].path] if is_tree(found) else []

    def store(new: New) -> Updated:
        return Updated(new.path, new.address, None, transfer.run(), (), 0, 0, 0, 0)

    _, touched = add_new(repo, fresh, store, folders=folders, here=there.is_here)
    return touched


def _record_anew(
    repo: Repo, tracked: Tracked, transfer: _Transfer, there: Source
) -> list[RepoPath]:
    entry = transfer.run()
    with repo.recording(tracked.lock) as (records, placed):
        records[tracked.address] = DataRecord(tracked.path, entry)
        note_placed(placed, tracked.path, entry if there.is_here else None)
    return files_of(repo, tracked)


class _Transfer:
    """The way of one source to one remote."""

    def __init__(
        self,
        repo: Repo,
        remote: Remote,
        path: RepoPath,
        source: Source,
        jobs: int | None,
        progress: Progress,
    ):
        mark = blob_oid(name_bytes(f"{source.shown}\n{path}"))
        self.notes = Notes(os.path.join(remote.cache, NOTES_FOLDER, mark[:32]))
        self.sent = Sent()
        self.entry = Entry("tree", mark, 0)
        self._repo = repo
        self._remote = remote
        self._path = path
        self._source = source
        self._jobs = jobs or min(JOBS, remote.door.jobs)
        self._progress = progress
        self._is_prepared = False

    def run(self) -> Entry:
        """Send all files, then the trees with the index that names everything."""
        known, earlier = with_sent(self._remote, self._remote.known())
        before = Extended(known, earlier)
        outbox = Outbox(
            self._repo.store, self._remote, before, self.notes,
            jobs=self._jobs, prepare=self._prepare, progress=self._progress,
        )  # fmt: skip
        with self.notes, outbox:
            self.entry = self._source.gather(outbox)
            outbox.finish()
        self._complete(outbox, [*earlier, *outbox.spots], before)
        return self.entry

    def _complete(self, outbox: Outbox, arrived: list[Spot], before: Extended) -> None:
        store = self._repo.store
        store.prepare()
        mark_partial(store.root)
        with store.batch() as batch:
            for data in outbox.trees.values():
                batch.put_tree(data)
        survey = Survey(store, Extended(before, arrived))
        with store.writing():
            store.keep(self.entry)
            survey.add(self.entry, self._path)
        if survey.missing:
            raise EnvironmentFailed(
                f"{len(survey.missing)} objects of {display(self._path)} did not arrive on the "
                f"remote {self._remote.name}",
                hint="the same command again",
            )
        listed = send(
            store, self._remote, survey, arrived,
            jobs=self._jobs, prepare=self._prepare, known=before, progress=self._progress,
        )  # fmt: skip
        if listed.index and was_undone(self._remote, before, listed.index, self._progress):
            raise EnvironmentFailed(
                f"a gc of the remote {self._remote.name} took away some of what was sent",
                hint="the same command again",
            )
        sent = outbox.sent
        self.sent = Sent(
            sent.objects + listed.objects,
            sent.bytes + listed.bytes,
            sent.stored + listed.stored,
            sent.resumed,
        )

    def _prepare(self) -> None:
        if not self._is_prepared:
            self._remote.prepare(*identity(self._repo))
            self._is_prepared = True
