"""What the repository observed: every mlx.lock together."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping
from typing import NamedTuple

from mlxrepo.paths import RepoPath, is_inside, parent
from mlxrepo.repo.layout import PROJECT_FILE
from mlxrepo.repo.lockfile import DataRecord, Records, StageRecord, parse_lock
from mlxrepo.store.tree import Entry


class Tracked(NamedTuple):
    """A path with recorded bytes. Role is data, feature, model, out, metric or plot.

    `address` is the artifact's (`data:reviews`) or the stage's (`train`); `cache` is false where
    git keeps the file.
    """

    path: RepoPath
    entry: Entry
    role: str
    address: str
    cache: bool
    lock: RepoPath


def stage_address(lock: str, name: str) -> str:
    """Return the address of a stage from the lockfile it is recorded in."""
    folder = parent(lock)
    return f"{folder}/{PROJECT_FILE}:{name}" if folder else name


class Observed(NamedTuple):
    """All lockfiles, by path."""

    locks: Mapping[RepoPath, Records]

    def tracked(self) -> Iterator[Tracked]:
        """Yield every recorded path, sorted by lockfile and record."""
        for lock, records in sorted(self.locks.items()):
            for name, record in records.items():
                kind, _, rest = name.partition(":")
                if isinstance(record, DataRecord):
                    yield Tracked(record.path, record.entry, kind, name, True, lock)
                else:
                    address = stage_address(lock, rest)
                    for out in record.outs:
                        yield Tracked(out.path, out.entry, out.kind, address, out.cache, lock)

    def stages(self) -> dict[str, StageRecord]:
        """Return the stage records by address."""
        return {
            stage_address(lock, name.partition(":")[2]): record
            for lock, records in self.locks.items()
            for name, record in records.items()
            if isinstance(record, StageRecord)
        }

    def at(self, path: str) -> Tracked | None:
        """Return the tracked path that is `path` or holds it."""
        found = [item for item in self.tracked() if is_inside(path, item.path)]
        return max(found, key=lambda item: len(item.path), default=None)


def counting(tracked: list[Tracked], declared: Callable[[], Container[str]]) -> list[Tracked]:
    """Return what counts where two records name one path: that of what is `declared`.

    A renamed stage leaves its old record until everything is run, and a merge may bring one back.
    """
    if len({item.path for item in tracked}) == len(tracked):
        return tracked
    known = declared()
    ordered = sorted(tracked, key=lambda item: item.address in known)
    return list({item.path: item for item in ordered}.values())


def observe(sources: Mapping[str, bytes]) -> Observed:
    """Parse lockfiles."""
    return Observed({RepoPath(path): parse_lock(data, path) for path, data in sources.items()})
