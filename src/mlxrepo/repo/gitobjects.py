"""Many objects of git through one `git cat-file --batch`: commits, their trees, files in them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO, NamedTuple

from mlxrepo.errors import CannotDecide, InputError
from mlxrepo.paths import display
from mlxrepo.repo.git import Git

_AT_ONCE = 4096  # bytes of questions, which fit into any pipe while nobody reads the answers
_BLOBS_AT_ONCE = 50  # held in memory together
FOLDER, SUBMODULE, LINK, EXECUTABLE = "40000", "160000", "120000", "100755"


# A row of a tree, by the length of its oid.
_ROWS = {n: re.compile(rb"([0-7]+) ([^\0]+)\0(.{%d})" % n, re.DOTALL) for n in (20, 32)}


class Item(NamedTuple):
    """What a tree of git holds under a name: its mode as git writes it, and git's oid."""

    mode: str
    oid: str


class GitObjects:
    """Reads objects of one repository; trees that were read are remembered."""

    def __init__(self, git: Git):
        self._git = git
        self._pipes: tuple[BinaryIO, BinaryIO, Callable[[], object]] | None = None
        self._trees: dict[str, dict[str, Item]] = {}
        self._named: dict[tuple[str, frozenset[str]], tuple[tuple[str, Item], ...]] = {}
        self._commits: dict[str, tuple[str, str]] = {}  # by revision: oid and tree
        self._blobs: dict[str, bytes] = {}  # those that were read ahead

    def close(self) -> None:
        """End git; it is started again when something is asked for."""
        pipes, self._pipes = self._pipes, None
        if pipes is not None:
            pipes[2]()

    def commit(self, rev: str) -> tuple[str, str]:
        """Resolve a revision to a commit, and return that and its tree.

        Raises:
            CannotDecide: when there is no such commit, or a partial clone has not fetched it.
            InputError: for what cannot be a revision.
        """
        if not rev or rev.startswith("-") or "\n" in rev:
            raise InputError(f'"{display(rev)}" is not a revision')
        if rev not in self._commits:
            self._resolve([rev])
        if rev not in self._commits:
            raise self._git.no_commit(rev)
        return self._commits[rev]

    def _resolve(self, revs: Sequence[str]) -> None:
        answers = self._ask([f"{rev}^{{commit}}" for rev in revs])
        for rev, (oid, kind, data) in zip(revs, answers, strict=True):
            if kind == "commit":
                self._commits[rev] = oid, data[5 : data.index(b"\n")].decode()

    def read_ahead(self, revs: Sequence[str], names: frozenset[str]) -> None:
        """Read what will be asked for of many commits: their trees, and files of some names.

        Asked one by one, git would be waited for thousands of times.
        """
        self._resolve(revs)
        trees = list(dict.fromkeys(tree for _, tree in self._commits.values()))
        self._fill(trees)
        oids = {item.oid for tree in trees for _, item in self.files(tree, names)}
        new = sorted(oids - self._blobs.keys())
        for oid, (_, kind, data) in zip(new, self._ask(new), strict=True):
            if kind:  # else it is said when somebody needs it
                self._blobs[oid] = data

    def read(self, oid: str) -> bytes:
        """Return a blob.

        Raises:
            CannotDecide: when git does not have it.
        """
        return next(self.contents([oid]))

    def contents(self, oids: Sequence[str]) -> Iterator[bytes]:
        """Yield blobs, a few at a time.

        Raises:
            CannotDecide: as `read`.
        """
        for start in range(0, len(oids), _BLOBS_AT_ONCE):
            part = oids[start : start + _BLOBS_AT_ONCE]
            read = self._have([oid for oid in part if oid not in self._blobs])
            for oid in part:
                yield self._blobs[oid] if oid in self._blobs else next(read)

    def tree(self, oid: str) -> dict[str, Item]:
        """Return what one folder holds, by name.

        Raises:
            CannotDecide: when git does not have it.
        """
        if oid not in self._trees:
            self._trees[oid] = _parse(next(self._have([oid])), len(oid) // 2)
        return self._trees[oid]

    def find(self, tree: str, path: str) -> Item | None:
        """Return what lies at a path below a tree ("" is itself); None when nothing does.

        Raises:
            CannotDecide: as `tree`.
        """
        item: Item | None = Item(FOLDER, tree)
        for name in path.split("/") if path else ():
            if item is None or item.mode != FOLDER:
                return None
            item = self.tree(item.oid).get(name)
        return item

    def files(self, tree: str, names: frozenset[str]) -> tuple[tuple[str, Item], ...]:
        """Return every file below a tree that has one of some names, with its path.

        Raises:
            CannotDecide: as `tree`.
        """
        key = tree, names
        if key not in self._named:
            self._fill([tree])
            self._named[key] = tuple(self._below(tree, names))
        return self._named[key]

    def _below(self, tree: str, names: frozenset[str]) -> Iterator[tuple[str, Item]]:
        for name, item in self.tree(tree).items():
            if item.mode == FOLDER:
                for path, found in self.files(item.oid, names):
                    yield f"{name}/{path}", found
            elif name in names and item.mode not in (SUBMODULE, LINK):
                yield name, item

    def _fill(self, level: Sequence[str]) -> None:
        """Read all trees at and below some, level by level."""
        while level:
            new = [oid for oid in dict.fromkeys(level) if oid not in self._trees]
            for oid, data in zip(new, self._have(new), strict=True):
                self._trees[oid] = _parse(data, len(oid) // 2)
            level = [i.oid for oid in new for i in self._trees[oid].values() if i.mode == FOLDER]

    def _have(self, oids: Sequence[str]) -> Iterator[bytes]:
        for oid, kind, data in self._ask(oids):
            if not kind:
                raise _lacking(oid)
            yield data

    def _ask(self, names: Sequence[str]) -> Iterator[tuple[str, str, bytes]]:
        """Yield oid, kind and content of what each name means; no kind where it means nothing."""
        for part in _parts(names):
            if self._pipes is None:
                self._pipes = self._git.talk("cat-file", "--batch")
            to, back, _ = self._pipes
            answers = []
            try:
                to.write(b"".join(os.fsencode(name) + b"\n" for name in part))
                to.flush()
                for name in part:
                    head = back.readline()
                    if not head:
                        raise _lacking(name)
                    answers.append(_answer(head, back))
            except BaseException as error:
                self.close()  # what it would still say is the answer to nothing
                if isinstance(error, BrokenPipeError):
                    raise _lacking(part[0]) from None
                raise
            yield from answers


def _parts(names: Sequence[str]) -> Iterator[list[str]]:
    """Cut names into parts that can be asked in one go."""
    part: list[str] = []
    room = _AT_ONCE
    for name in names:
        room -= len(os.fsencode(name)) + 1
        if part and room < 0:
            yield part
            part, room = [], _AT_ONCE - len(os.fsencode(name)) - 1
        part.append(name)
    if part:
        yield part


def _lacking(name: str) -> CannotDecide:
    return CannotDecide(
        f"git does not have {display(name)}: this is a partial clone, or it is lost",
        hint="git fetch --refetch --no-filter in a partial clone; else git fsck",
    )


def _answer(head: bytes, back: BinaryIO) -> tuple[str, str, bytes]:
    words = head.decode("utf-8", "surrogateescape").rstrip("\n").split(" ")
    if len(words) != 3 or words[1] not in ("blob", "tree", "commit", "tag"):
        return words[0], "", b""  # missing, or ambiguous
    data = back.read(int(words[2]))
    back.read(1)
    return words[0], words[1], data


def _parse(data: bytes, length: int) -> dict[str, Item]:
    """Decode a tree; oids in it take `length` bytes."""
    rows = _ROWS[length].findall(data)
    return {os.fsdecode(name): Item(mode.decode(), oid.hex()) for mode, name, oid in rows}
