"""mlx checkout --relink: make clean files links to the store again, as `mlx.link` says."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from mlxrepo.errors import Refused
from mlxrepo.paths import RepoPath
from mlxrepo.progress import SILENT, Progress
from mlxrepo.repo.repo import Repo
from mlxrepo.repo.targets import resolve_tracked
from mlxrepo.store.materialize import Write
from mlxrepo.store.subtree import find, walk
from mlxrepo.store.tree import Entry


@dataclass(frozen=True, slots=True)
class Relinked:
    """How many files are links (or, with `mlx.link = copy`, own copies) now, and the modified."""

    files: int
    modified: tuple[RepoPath, ...]


def relink(repo: Repo, targets: Sequence[str] = (), *, progress: Progress = SILENT) -> Relinked:
    """Write every clean file of the targets anew; modified ones are left alone.

    Raises:
        Refused: when an object that is needed is not in the store.
    """
    scan = repo.scan(progress=progress)
    done, modified = 0, []
    for item, path in resolve_tracked(targets, repo.place, lambda: repo.declared, repo.observed):
        recorded = find(scan.tree, item.entry, path[len(item.path) + 1 :])
        if not item.cache or recorded is None:
            continue
        writes = []
        for below, entry in walk(scan.tree, recorded):
            full = RepoPath(f"{path}/{below}" if below else path)
            if not os.path.lexists(repo.full(full)):
                continue
            if not _is_clean(scan.entry(full, top=item.path), entry):
                modified.append(full)
            else:
                _check_stored(repo, full, entry)
                writes.append(Write(full, entry, True, item.path))
        repo.workspace(progress).write(writes)
        done += len(writes)
    return Relinked(done, tuple(modified))


def _is_clean(here: Entry | None, wanted: Entry) -> bool:
    return here is not None and here[:2] == wanted[:2]


def _check_stored(repo: Repo, path: RepoPath, entry: Entry) -> None:
    if not repo.store.has_entry(entry):
        raise Refused(f"{path} is not in the store", hint="mlx add records it")
