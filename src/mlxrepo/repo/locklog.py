"""The commits that changed records, newest first: read with one spawn, each record parsed once.

A lockfile that was committed broken cannot be mended: what of it is whole counts.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Container, Iterable, Iterator, Mapping
from itertools import groupby, pairwise
from typing import NamedTuple

from mlxrepo.codec import canonical
from mlxrepo.errors import InputError, MlxError
from mlxrepo.hashing import ALGORITHM
from mlxrepo.paths import RepoPath
from mlxrepo.repo.git import Git
from mlxrepo.repo.history import LockStep, lock_steps
from mlxrepo.repo.lockfile import FORMAT, Record, parse_lock

_HEADER = canonical({"format": FORMAT, "oid": ALGORITHM})
_PERSON = re.compile(r"(.*) <(.*)> (\d+) ([+-])(\d\d)(\d\d)")
AT_ONCE = 500  # commits whose lockfiles are held in memory
Lines = dict[bytes, bytes]  # the line of a record by the line of its name


class Commit(NamedTuple):
    """A commit as its author made it; `date` is ISO 8601 with the author's time zone."""

    oid: str
    parents: int
    author: str
    email: str
    date: str
    subject: str


class RecordChange(NamedTuple):
    """A record that a commit changed, None: not there; `lines` is its whole new lockfile."""

    lock: RepoPath
    name: str
    old: Record | None
    new: Record | None
    lines: Lines


class Logged(NamedTuple):
    """A commit and the records that it changed, against each of its parents."""

    commit: Commit
    changes: tuple[RecordChange, ...]


class LockLog:
    """The history of all lockfiles up to a revision; `cut` are commits without their parents."""

    def __init__(self, git: Git, rev: str, cut: Container[str] = ()):
        self._git = git
        self._cut = cut
        self._steps = list(lock_steps(git, rev))
        self._data: dict[str, bytes] = {}
        self._lines: dict[str | None, Lines] = {}
        self._records: dict[tuple[bytes, bytes], Record | None] = {}

    def __iter__(self) -> Iterator[Logged]:
        """Yield the commits that changed a record, newest first."""
        commits = [list(steps) for _, steps in groupby(self._steps, key=lambda s: s.commit)]
        for start in range(0, len(commits), AT_ONCE):
            part = commits[start : start + AT_ONCE]
            self._read(step for steps in part for step in steps)
            for steps in part:
                commit = parse_commit(steps[0].commit, self._data[steps[0].commit])
                changes = tuple(self._changes(commit, steps))
                if changes:
                    yield Logged(commit, changes)

    def _read(self, steps: Iterable[LockStep]) -> None:
        """Read commits and lockfiles, and forget those that were read before."""
        wanted = dict.fromkeys(oid for s in steps for oid in (s.commit, s.old, s.new) if oid)
        self._data = dict(zip(wanted, self._git.blobs(list(wanted)), strict=True))
        self._lines = {None: {}}

    def record(self, name: bytes, line: bytes | None) -> Record | None:
        """Return a record from its two lines; None when it is none."""
        if line is None:
            return None
        if (name, line) not in self._records:
            self._records[name, line] = _parse(name, line)
        return self._records[name, line]

    def _changes(self, commit: Commit, steps: Iterable[LockStep]) -> Iterator[RecordChange]:
        by_path: dict[str, list[LockStep]] = {}
        for step in steps:
            by_path.setdefault(step.path, []).append(step)
        for path, found in by_path.items():
            parents = 0 if commit.oid in self._cut else commit.parents
            if len(found) < parents:
                continue  # a merge that took the lockfile of one parent as it was
            new = self._lines_of(found[0].new)
            olds = [self._lines_of(step.old) for step in found]
            names = [_changed(old, new) for old in olds]
            for name in names[0]:
                if all(name in others for others in names[1:]):
                    old, now = (self.record(name, lines.get(name)) for lines in (olds[0], new))
                    yield RecordChange(RepoPath(path), _text(name), old, now, new)

    def _lines_of(self, blob: str | None) -> Lines:
        if blob not in self._lines:
            self._lines[blob] = record_pairs(self._data[str(blob)])
        return self._lines[blob]


def _changed(old: Mapping[bytes, bytes], new: Mapping[bytes, bytes]) -> list[bytes]:
    names = {*new, *old} if old.keys() != new.keys() else new
    return sorted(name for name in names if old.get(name) != new.get(name))


def record_pairs(data: bytes) -> Lines:
    """Return the records of a lockfile as pairs of lines, also of one that is broken elsewhere."""
    lines = [line for line in data.split(b"\n") if line]
    return {
        name: line
        for name, line in pairwise(lines)
        if name.startswith(b'"') and line.startswith(b"{")
    }


def _parse(name: bytes, line: bytes) -> Record | None:
    try:
        return next(iter(parse_lock(b"\n".join((_HEADER, name, line)), "").values()))
    except MlxError:
        return None


def _text(name: bytes) -> str:
    from mlxrepo.codec import parse_json

    try:
        return str(parse_json(name, source=""))
    except InputError:
        return name.decode("utf-8", "surrogateescape")


def parse_commit(oid: str, data: bytes) -> Commit:
    """Read git's commit object; nothing in it is taken for granted."""
    head, _, message = data.partition(b"\n\n")
    parents, person, encoding = 0, "", "utf-8"
    for line in head.split(b"\n"):
        key, _, value = line.partition(b" ")
        if key == b"parent":
            parents += 1
        elif key == b"encoding":
            encoding = value.decode("ascii", "replace")
        elif key == b"author":
            person = _decoded(value, encoding)
    match = _PERSON.fullmatch(person)
    author, email, date = (match[1], match[2], _date(match)) if match else (person, "", "")
    subject = _decoded(message, encoding).strip().partition("\n")[0]
    return Commit(oid, parents, author, email, date, subject)


def _decoded(data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding, "replace")
    except LookupError:
        return data.decode("utf-8", "replace")


def _date(match: re.Match[str]) -> str:
    minutes = (int(match[5]) * 60 + int(match[6])) * (-1 if match[4] == "-" else 1)
    try:
        zone = datetime.timezone(datetime.timedelta(minutes=minutes))
        return datetime.datetime.fromtimestamp(int(match[3]), zone).isoformat()
    except (ValueError, OverflowError, OSError):
        return ""
