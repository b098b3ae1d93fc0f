"""Patterns in deps: the paths that `data/*.csv` means right now, here or recorded and absent."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator

from mlxrepo.globs import concerns, fixed_folder, matches
from mlxrepo.paths import TEMP_PREFIX, RepoPath, ancestors, is_inside
from mlxrepo.repo.ignore import IgnoreRules
from mlxrepo.repo.observed import Tracked
from mlxrepo.repo.repo import Repo
from mlxrepo.repo.stage import Stage
from mlxrepo.store.compare import same
from mlxrepo.store.snapshot import Scan
from mlxrepo.store.subtree import walk

Names = Callable[[RepoPath], list[tuple[str, bool]]]


def names_in(repo: Repo, folder: RepoPath) -> list[tuple[str, bool]]:
    """Return the names in a folder of the workspace, and of each whether it is a folder."""
    try:
        with os.scandir(repo.full(folder)) as items:
            return [(item.name, item.is_dir(follow_symlinks=False)) for item in items]
    except (FileNotFoundError, NotADirectoryError):
        return []


def matching(
    names: Names,
    rules: IgnoreRules,
    scan: Scan,
    tracked: Iterable[Tracked],
    pattern: str,
    stage: Stage,
) -> list[RepoPath]:
    """Return what fits a pattern, sorted; what lies in a folder that fits is not repeated.

    `names` gives what is in a folder. A stage's own outs never count: they are there because it
    ran.
    """
    found = {
        path
        for path in (*_here(names, rules, pattern), *_recorded(scan, tracked, pattern))
        if matches(path, pattern) and not any(is_inside(path, out.path) for out in stage.outs)
    }
    return [path for path in sorted(found) if found.isdisjoint(ancestors(path))]


def _here(names: Names, rules: IgnoreRules, pattern: str) -> Iterator[RepoPath]:
    """Yield what is on the disk below the fixed part of a pattern, no deeper than it can match."""
    parts = pattern.split("/")
    levels = len(parts) if "**" not in parts else None
    hidden = any(part.startswith(".") for part in parts)

    def is_open(path: str, name: str) -> bool:
        deeper = levels is None or path.count("/") + 1 < levels
        return deeper and (hidden or not name.startswith("."))

    yield from _walk(names, rules, RepoPath(fixed_folder(pattern)), is_open)


def _walk(
    names: Names, rules: IgnoreRules, folder: RepoPath, is_open: Callable[[str, str], bool]
) -> Iterator[RepoPath]:
    for name, is_folder in sorted(names(folder)):
        path = RepoPath(f"{folder}/{name}" if folder else name)
        ours = name.startswith(TEMP_PREFIX) or name in (".git", ".mlx")
        if ours or rules.ignored(path, is_folder):
            continue
        yield path
        if is_folder and is_open(path, name):
            yield from _walk(names, rules, path, is_open)


def _recorded(scan: Scan, tracked: Iterable[Tracked], pattern: str) -> Iterator[RepoPath]:
    """Yield what is recorded where a pattern can match, and may be absent here."""
    base = fixed_folder(pattern)
    for item in tracked:
        if not (is_inside(item.path, base) or is_inside(base, item.path)):
            continue
        yield item.path
        if item.entry.kind != "tree" or not concerns(item.path, pattern):
            continue
        if not same(scan.entry(item.path), item.entry):
            for below, _ in walk(scan.tree, item.entry):
                path = RepoPath(f"{item.path}/{below}")
                yield from (*ancestors(path), path)
