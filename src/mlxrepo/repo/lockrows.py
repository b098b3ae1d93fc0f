"""What the lockfiles of a long history name, each record read once.

Two thousand commits hold two thousand lockfiles which differ in a line or two. And a history
cannot be mended: where a lockfile in it is broken, every oid that stands in it counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from mlxrepo.codec import canonical
from mlxrepo.errors import InputError
from mlxrepo.hashing import ALGORITHM, Oid
from mlxrepo.paths import ROOT, RepoPath
from mlxrepo.repo.lockfile import FORMAT, DataRecord, Records, parse_lock
from mlxrepo.store.tree import Entry

_HEADER = canonical({"format": FORMAT, "oid": ALGORITHM})
_NAMED = re.compile(rb'"kind":"(file|exec|tree)","oid":"([0-9a-f]{64})"')


class Row(NamedTuple):
    """An entry that a record names; `kept` is false where the store may be without it.

    `key` is the action key of a stage's record.
    """

    name: str
    path: RepoPath
    entry: Entry
    kept: bool
    key: str = ""


def rows_of(records: Records) -> Iterator[Row]:
    """Yield everything that records name."""
    for name, record in records.items():
        if isinstance(record, DataRecord):
            yield Row(name, record.path, record.entry, True)
            continue
        for dep in record.deps:
            yield Row(name, dep.path, dep.entry, False, record.key)
        for out in record.outs:
            yield Row(name, out.path, out.entry, out.cache, record.key)


class RowReader:
    """Reads many lockfiles that have most of their records in common.

    With `once` it passes over records that an earlier lockfile had, at the speed of a set.
    """

    def __init__(self, *, once: bool = False) -> None:
        self._once = once
        self._known: dict[tuple[bytes, bytes], tuple[Row, ...]] = {}
        self._lines: set[bytes] = {_HEADER}

    def rows(self, data: bytes, source: str) -> list[Row]:
        """Return what a lockfile names; of a broken one every oid that stands in it.

        Raises:
            InputError: when it is of another format.
        """
        lines = data.split(b"\n")
        fresh = set(lines) - self._lines
        for line in fresh:
            _check_format(line, source)
        self._lines |= fresh
        full = [line for line in lines if line]
        try:
            pairs = list(zip(full[1::2], full[2::2], strict=True))
            if self._once:
                pairs = [pair for pair in pairs if not fresh.isdisjoint(pair)]
            return [row for pair in pairs for row in self._pair(pair)]
        except (InputError, ValueError):  # cut off, or with the marks of a conflict in it
            return list(_salvage(data))

    def _pair(self, pair: tuple[bytes, bytes]) -> tuple[Row, ...]:
        rows = self._known.get(pair)
        if rows is None:
            records = parse_lock(b"\n".join((_HEADER, *pair)), "")
            rows = self._known[pair] = tuple(rows_of(records))
        return rows


def _check_format(line: bytes, source: str) -> None:
    """Check that a line is no header of another format: what it names could not be told.

    Raises:
        InputError: when it is.
    """
    if line.startswith(b'{"format":') and line != _HEADER:
        parse_lock(line, source)


def _salvage(data: bytes) -> Iterator[Row]:
    for kind, oid in _NAMED.findall(data):
        yield Row("", ROOT, Entry(kind.decode(), Oid(oid.decode()), 0), True)
