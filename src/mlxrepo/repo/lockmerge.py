"""Merging lockfiles three ways: records as a set, folders path by path; pure but for the trees.

A stage that both sides ran keeps our record, marked: whether its inputs are the merged ones is for
`mlx repro` to find out. Nothing here can make an execution up that did not happen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from mlxrepo.errors import ObjectMissing
from mlxrepo.paths import RepoPath, is_inside, join
from mlxrepo.repo.lockfile import (
    UNVERIFIED,
    DataRecord,
    Record,
    Records,
    StageRecord,
    encode_lock,
    is_marker,
    parse_lock,
    record_lines,
)
from mlxrepo.store.tree import Entry, PutTree, ReadTree, is_tree
from mlxrepo.store.treemerge import OURS, THEIRS, merge_entries


class Question(NamedTuple):
    """What the merge does not guess: `path` of the record `name` differs, `what` says how.

    An answer by path covers what lies in it; `paths` are all by which this question is known.
    """

    name: str
    path: RepoPath
    what: str
    paths: tuple[RepoPath, ...] = ()


# Says which side a question is answered with: OURS, THEIRS, or "".
Answer = Callable[[Question], str]


class MergedFolder(NamedTuple):
    """A folder that was merged path by path, and how many files each side alone changed."""

    name: str
    path: RepoPath
    ours: int
    theirs: int


class Trees(NamedTuple):
    """Where folders are read, and where new ones go."""

    read: ReadTree
    put: PutTree


class LockMerge(NamedTuple):
    """A merged lock. `open` are the records that ask, with both sides; they are not in `records`.

    `ours` and `theirs` are the names of what one side alone changed, `unverified` of stages that
    both ran, `runs` what these executions recorded; `decided` is the side from which an answer took
    an artifact as a whole; `missing` are folders whose listing is needed and not in the store.
    """

    records: Records
    open: Mapping[str, tuple[Record | None, Record | None]]
    questions: tuple[Question, ...]
    ours: tuple[str, ...]
    theirs: tuple[str, ...]
    folders: tuple[MergedFolder, ...]
    unverified: tuple[str, ...]
    runs: tuple[StageRecord, ...]
    decided: Mapping[str, str]
    missing: tuple[RepoPath, ...]


def merge_locks(
    base: Records, ours: Records, theirs: Records, trees: Trees, answer: Answer
) -> LockMerge:
    """Merge what two sides made of the records of `base`."""
    return _Merge(base, ours, theirs, trees, answer).done()


class _Merge:
    def __init__(self, base: Records, ours: Records, theirs: Records, trees: Trees, answer: Answer):
        self.base, self.ours, self.theirs = base, ours, theirs
        self.trees = trees
        self.answer = answer
        self.records: Records = {}
        self.open: dict[str, tuple[Record | None, Record | None]] = {}
        self.questions: list[Question] = []
        self.from_ours: list[str] = []
        self.from_theirs: list[str] = []
        self.folders: list[MergedFolder] = []
        self.unverified: list[str] = []
        self.runs: list[StageRecord] = []
        self.decided: dict[str, str] = {}
        self.missing: list[RepoPath] = []

    def done(self) -> LockMerge:
        for name in sorted(self.base.keys() | self.ours.keys() | self.theirs.keys()):
            self._record(name)
        self._overlaps()
        return LockMerge(
            self.records, self.open, tuple(self.questions),
            tuple(self.from_ours), tuple(self.from_theirs), tuple(self.folders),
            tuple(self.unverified), tuple(self.runs), self.decided, tuple(self.missing),
        )  # fmt: skip

    def _record(self, name: str) -> None:
        base, ours, theirs = self.base.get(name), self.ours.get(name), self.theirs.get(name)
        if alike(ours, theirs):
            self._take(name, ours)
        elif alike(base, ours):
            self.from_theirs.append(name)
            self._take(name, theirs)
        elif alike(base, theirs):
            self.from_ours.append(name)
            self._take(name, ours)
        elif name.startswith("stage:"):
            self._stage(name, ours, theirs)
        else:
            self._data(name, base, ours, theirs)

    def _take(self, name: str, record: Record | None) -> None:
        if record is not None:
            self.records[name] = record

    # stages

    def _stage(self, name: str, ours: Record | None, theirs: Record | None) -> None:
        """Settle a stage that both sides changed.

        One that a side no longer has is kept: whether the stage is declared stands in mlx.yaml,
        and `mlx repro` forgets the record of one that is not.
        """
        if not isinstance(ours, StageRecord) or not isinstance(theirs, StageRecord):
            (self.from_theirs if ours is None else self.from_ours).append(name)
            self._take(name, theirs if ours is None else ours)
            return
        self.runs += [record for record in (ours, theirs) if not record.state]
        if ours.key == theirs.key and not (ours.state and theirs.state):
            # One action that came out differently: each is what it really made, so there is
            # nothing to verify about the one that was run.
            self.records[name] = theirs if ours.state else ours
            return
        self.unverified.append(name)
        self.records[name] = ours._replace(state={**(ours.state or {}), UNVERIFIED: True})

    # data

    def _data(
        self, name: str, base: Record | None, ours: Record | None, theirs: Record | None
    ) -> None:
        before = base if isinstance(base, DataRecord) else None
        if not isinstance(ours, DataRecord) or not isinstance(theirs, DataRecord):
            self._gone_here_changed_there(name, ours, theirs)
            return
        path = _one_of(before and before.path, ours.path, theirs.path)
        if path is None:
            self._choose(name, ours, theirs, f"it is {ours.path} in ours, {theirs.path} in theirs")
            return
        try:
            entry = self._entry(name, path, before, ours, theirs)
        except ObjectMissing:
            self.missing.append(path)
            what = "its listing, which both changed, is not in the store"
            self.questions.append(Question(name, path, what))
            self.open[name] = ours, theirs
            return
        if entry is not None:
            self.records[name] = DataRecord(path, entry)

    def _gone_here_changed_there(
        self, name: str, ours: Record | None, theirs: Record | None
    ) -> None:
        deleted, changed = (OURS, THEIRS) if ours is None else (THEIRS, OURS)
        self._choose(name, ours, theirs, f"{deleted} removed it, {changed} changed it")

    def _choose(self, name: str, ours: Record | None, theirs: Record | None, what: str) -> None:
        """Take one side's record as a whole, or ask."""
        found = [record.path for record in (ours, theirs) if isinstance(record, DataRecord)]
        question = Question(name, found[0], what, tuple(found))
        side = self.answer(question)
        if side:
            self._take(name, theirs if side == THEIRS else ours)
            self.decided[name] = side
        else:
            self.questions.append(question)
            self.open[name] = ours, theirs

    def _entry(
        self,
        name: str,
        path: RepoPath,
        base: DataRecord | None,
        ours: DataRecord,
        theirs: DataRecord,
    ) -> Entry | None:
        """Merge the content; None when something asks, which is then noted."""
        asked: list[Question] = []

        def choose(below: str) -> str:
            place = join(path, below) if below else path
            question = Question(name, place, "both changed it", (place,))
            side = self.answer(question)
            if not side:
                asked.append(question)
            return side

        before = base.entry if base else None
        merged = merge_entries(*self.trees, before, ours.entry, theirs.entry, choose)
        if asked:
            self.questions += asked
            self.open[name] = ours, theirs
            return None
        if is_tree(merged.entry):
            self.folders.append(MergedFolder(name, path, merged.ours, merged.theirs))
        return merged.entry

    # together

    def _overlaps(self) -> None:
        """Ask where what one side added and what the other has cannot both be there."""
        places = [
            (record.path, name)
            for name, record in self.records.items()
            if isinstance(record, DataRecord)
        ]
        places.sort(key=lambda place: place[0].split("/"))
        outer: tuple[RepoPath, str] | None = None
        for place in places:
            if outer and is_inside(place[0], outer[0]) and self._is_new(outer[1], place[1]):
                self._one_place(place[0], outer[1], place[1])
            if outer is None or outer[1] not in self.records or not is_inside(place[0], outer[0]):
                outer = place

    def _is_new(self, first: str, second: str) -> bool:
        """Say whether no side has them at one place: else mlx.yaml was wrong, and tells of it."""
        for side in (self.ours, self.theirs):
            found = [side.get(first), side.get(second)]
            paths = [record.path for record in found if isinstance(record, DataRecord)]
            if len(paths) == 2 and is_inside(paths[1], paths[0]):
                return False
        return True

    def _one_place(self, path: RepoPath, *names: str) -> None:
        """Take both as one side has them, which may be not at all, or ask."""
        found = [self.records.pop(name) for name in names]
        paths = [record.path for record in found if isinstance(record, DataRecord)]
        question = Question(
            names[0], path, f"{names[0]} and {names[1]} would be at one place", (*paths,)
        )
        side = self.answer(question)
        for name in names:
            ours, theirs = self.ours.get(name), self.theirs.get(name)
            if side:
                self._take(name, ours if side == OURS else theirs)
                self.decided[name] = side
            else:
                self.open[name] = ours, theirs
        if not side:
            self.questions.append(question)


def alike(one: Record | None, other: Record | None) -> bool:
    """Say whether two records say the same; 1, 1.0 and True are equal, and not the same."""
    if one is None or other is None:
        return one is other
    return one == other and record_lines("", one) == record_lines("", other)


def _one_of(base: Any, ours: RepoPath, theirs: RepoPath) -> RepoPath | None:
    """Merge a value that cannot be taken apart; None when both changed it."""
    if ours == theirs or base == theirs:
        return ours
    return theirs if base == ours else None


# text


def parse_side(data: bytes | None, source: str) -> Records:
    """Read one of three versions; none, and the empty file that git gives for none, is no record.

    Raises:
        InputError: as `parse_lock`.
    """
    return parse_lock(data, source) if data and data.strip() else {}


def parse_base(data: bytes | None, source: str) -> Records:
    """Read the common ancestor: git may have merged it itself, with conflicts of whole records.

    Raises:
        InputError: as `parse_lock`.
    """
    return parse_side(b"\n".join(_settled_lines(data)) if data else None, source)


def _settled_lines(data: bytes) -> Iterator[bytes]:
    inside = False
    for line in data.split(b"\n"):
        if is_marker(line):
            inside = not line.startswith(b">>>>>>> ")
        elif not inside:
            yield line


def render(merged: LockMerge) -> bytes:
    """Return the text of a merged lock; both sides of what asks stand between git's markers."""
    text = encode_lock(merged.records)
    if not merged.open:
        return text
    parts = {name: record_lines(name, record) for name, record in merged.records.items()}
    parts |= {name: list(_marked(name, *sides)) for name, sides in merged.open.items()}
    lines = [text.partition(b"\n")[0]]
    for name in sorted(parts):
        lines += [b"", *parts[name]]
    return b"\n".join(lines) + b"\n"


def _marked(name: str, ours: Record | None, theirs: Record | None) -> Iterator[bytes]:
    yield b"<<<<<<< ours"
    yield from record_lines(name, ours) if ours else ()
    yield b"======="
    yield from record_lines(name, theirs) if theirs else ()
    yield b">>>>>>> theirs"
