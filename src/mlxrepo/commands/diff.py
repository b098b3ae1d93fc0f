"""mlx diff: files, artifacts and stages that differ between two revisions, or in the workspace."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import NamedTuple

from mlxrepo.errors import InputError, MlxError, ObjectMissing
from mlxrepo.paths import RepoPath, display, join
from mlxrepo.progress import SILENT, Progress
from mlxrepo.repo.declared import SECTIONS
from mlxrepo.repo.observed import Observed, Tracked, counting
from mlxrepo.repo.pathfilter import Filter, path_filter
from mlxrepo.repo.recorddiff import StageDiff, compare_stages
from mlxrepo.repo.repo import Repo
from mlxrepo.repo.revisions import Between, between
from mlxrepo.repo.tablediff import TableDiff, compare_tables
from mlxrepo.store.compare import presence, same
from mlxrepo.store.differences import (
    ByNode,
    Differences,
    FileChange,
    Reader,
    Whole,
    differences,
)
from mlxrepo.store.snapshot import Scan
from mlxrepo.store.tree import Entry


class ArtifactDiff(NamedTuple):
    """An artifact or an out that differs; `old_path` where a moved one was.

    `name` is its address (`data:images`), "" for an out that bears none; `stage` who makes it.
    `changes` are its files, their paths below it ("" is itself); `unknown` folders that differ and
    whose listings are not in the store.
    """

    path: RepoPath
    name: str
    stage: str
    old: Entry | None
    new: Entry | None
    old_path: RepoPath | None
    changes: tuple[FileChange, ...]
    unknown: tuple[FileChange, ...]

    @property
    def word(self) -> str:
        """Return added, modified, deleted or renamed."""
        if self.old is None or self.new is None:
            return "added" if self.old is None else "deleted"
        return "renamed" if self.old_path is not None and same(self.old, self.new) else "modified"


class Diff(NamedTuple):
    """What differs between two sides, by the names the user gave; `tables` if rows were asked."""

    old: str
    new: str
    artifacts: tuple[ArtifactDiff, ...]
    stages: tuple[StageDiff, ...]
    tables: tuple[TableDiff, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Say whether nothing differs."""
        return not self.artifacts and not self.stages


def diff(
    repo: Repo,
    words: Sequence[str] = (),
    paths: Sequence[str] | None = None,
    *,
    rows: bool = False,
    progress: Progress = SILENT,
) -> Diff:
    """Compare two revisions, or one (default: HEAD) with the workspace, its files as they are.

    `words` are revisions and, while `paths` is None, paths behind them. What was never in this
    worktree counts as recorded. Reads the lockfiles and the trees that differ, and no data but
    what changed in the workspace; with `rows` the tables that changed, where a key is declared.

    Raises:
        InputError: when a path means nothing that either side records.
        CannotDecide: when there is no such revision, or no commit yet.
    """
    sides, rest = between(
        repo.git, words, lambda word: _is_path(repo, word), only_revisions=paths is not None
    )
    comparison = _Comparison(repo, sides, progress)
    try:
        found = comparison.diff([*rest, *(paths or ())])
    except InputError as error:
        raise _neither(repo, rest, error) from None
    return found._replace(tables=comparison.tables(found)) if rows else found


def _neither(repo: Repo, words: Sequence[str], error: InputError) -> InputError:
    """Return the error for a word that may have been meant as a revision."""
    word = next((w for w in words if display(w) in error.message and not _is_path(repo, w)), None)
    if word is None or (error.hint or "").startswith("did you mean"):
        return error
    told = f'"{display(word)}" is no revision that git knows, and nothing is recorded for it'
    return InputError(told, hint="git log --oneline, or mlx ls")


def _is_path(repo: Repo, word: str) -> bool:
    import os

    return os.path.lexists(os.path.join(repo.cwd, word))


class _Comparison:
    """One comparison: both sides, read when they are asked for."""

    def __init__(self, repo: Repo, sides: Between, progress: Progress):
        self.repo = repo
        self.sides = sides
        self.before = repo.observed_at(sides.old)
        self.after = repo.observed_at(sides.new) if sides.new else repo.observed
        self.scan = None if sides.new else repo.scan(progress=progress)

    def diff(self, texts: Sequence[str]) -> Diff:
        """Compare what the targets mean."""
        old = self._tracked(self.before, self.sides.old)
        new = self._tracked(self.after, self.sides.new)
        stages = self.before.stages(), self.after.stages()
        wanted = path_filter(
            texts,
            self.repo.place,
            [*old, *new],
            [*stages[0], *stages[1]],
            lambda: self.repo.declared,
        )
        old, new = ([t for t in side if wanted.touches(t.path)] for side in (old, new))
        if self.scan:
            new = self._as_they_are(self.scan, new)
        artifacts = [self._artifact(pair, wanted) for pair in _pairs(old, new)]
        return Diff(
            self.sides.old_name,
            self.sides.new_name,
            tuple(found for found in artifacts if found),
            tuple(
                stage
                for stage in compare_stages(*stages)
                if wanted.all or stage.stage in wanted.stages
            ),
        )

    def _tracked(self, observed: Observed, commit: str | None) -> list[Tracked]:
        """Return what mlx keeps the bytes of; git shows what git keeps."""

        def known() -> set[str]:
            declared = self.repo.declared_at(commit) if commit else self.repo.declared
            return declared.stages.keys() | declared.artifacts.keys()

        return counting([item for item in observed.tracked() if item.cache], known)

    # the workspace

    def _as_they_are(self, scan: Scan, recorded: Iterable[Tracked]) -> list[Tracked]:
        """Return tracked paths with what is in the workspace, without those that are gone."""
        placed = self.repo.placed
        found = []
        for item in recorded:
            entry = self._here(scan, item, placed.get(item.path))
            if entry:
                found.append(item._replace(entry=entry))
        return found

    def _here(self, scan: Scan, item: Tracked, before: Entry | None) -> Entry | None:
        here = scan.entry(item.path)
        if same(here, item.entry):
            return item.entry
        if here is None:
            # While a stage runs its outs are set aside.
            aside = item.role not in SECTIONS and self.repo.has_manifests
            return item.entry if before is None or aside else None
        try:
            return presence(scan.tree, scan.put_tree, here, before, item.entry).entry
        except ObjectMissing:
            return here

    # artifacts

    @cached_property
    def _reader(self) -> Reader:
        store = self.repo.store
        return Whole(self.scan.tree) if self.scan else ByNode(store.tree, store.read)

    def _artifact(
        self, pair: tuple[Tracked | None, Tracked | None], wanted: Filter
    ) -> ArtifactDiff | None:
        old, new = pair
        item = new or old
        assert item
        moved = old.path if old and new and old.path != new.path else None
        ends = old.entry if old else None, new.entry if new else None
        found = Differences(()) if same(*ends) else self._files(item.path, ends, wanted)
        if same(*ends) and not moved:
            return None
        if not wanted.all and not moved and not found.changes and not found.unknown:
            return None
        made = item.role not in SECTIONS
        name = self._name(item.path) if made else item.address
        stage = item.address if made else ""
        return ArtifactDiff(item.path, name, stage, *ends, moved, *found)

    def _files(
        self, path: RepoPath, ends: tuple[Entry | None, Entry | None], wanted: Filter
    ) -> Differences:
        if wanted.all:
            return differences(self._reader, *ends)
        found = differences(self._reader, *ends, lambda below: wanted.touches(join(path, below)))
        folders = [c for c in found.changes if "tree" in (e.kind for e in (c.old, c.new) if e)]
        return Differences(
            tuple(c for c in found.changes if c in folders or wanted.holds(join(path, c.path))),
            found.unknown,
        )

    def _name(self, path: RepoPath) -> str:
        """Return the address under which an out is declared now as an artifact, or ""."""
        try:
            found = self.repo.declared.artifact_at(path)
        except MlxError:  # names are a comfort, and a merge may have left mlx.yaml broken
            return ""
        return f"{found.kind}:{found.name}" if found else ""

    def tables(self, found: Diff) -> tuple[TableDiff, ...]:
        """Compare the rows of the tables that changed, by the keys that are declared now."""
        changed = [
            (join(item.path, change.path), change)
            for item in found.artifacts
            for change in item.changes
        ]
        return tuple(compare_tables(self.repo, changed, self.repo.declared))


def _pairs(
    old: Sequence[Tracked], new: Sequence[Tracked]
) -> list[tuple[Tracked | None, Tracked | None]]:
    """Pair what was with what is: by path, then by the name of an artifact, then by content."""
    pairs: list[tuple[Tracked | None, Tracked | None]] = []
    gone, come = list(old), list(new)
    by: tuple[Callable[[Tracked], object], ...] = (
        lambda item: item.path,
        lambda item: item.address if item.role in SECTIONS else item.path,
        lambda item: (item.entry.kind, item.entry.oid) if item.entry.size else item.path,
    )
    for key in by:
        there = {key(item): item for item in reversed(come)}
        matched = [(item, there.pop(key(item))) for item in gone if key(item) in there]
        pairs += matched
        taken = {item.path for item, _ in matched}, {item.path for _, item in matched}
        gone = [item for item in gone if item.path not in taken[0]]
        come = [item for item in come if item.path not in taken[1]]
    pairs += [(item, None) for item in gone]
    pairs += [(None, item) for item in come]
    return sorted(pairs, key=lambda pair: (pair[1] or pair[0] or old[0]).path)
