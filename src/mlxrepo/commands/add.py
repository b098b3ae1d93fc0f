"""mlx add: record files and folders as data; `.gitignore` first, the lock row last."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from mlxrepo.errors import InputError
from mlxrepo.paths import RepoPath, display
from mlxrepo.progress import SILENT, Progress
from mlxrepo.repo.adding import New, add_new, check_known, files_of, parsed, plan_new, tracked_at
from mlxrepo.repo.declared import SECTIONS
from mlxrepo.repo.observed import Tracked
from mlxrepo.repo.repo import Repo
from mlxrepo.repo.room import check_room
from mlxrepo.repo.update import Updated, gone, modified, update_tracked


@dataclass(frozen=True, slots=True)
class Added:
    """What was recorded, and the files that git should commit now.

    `behind` is older than recorded, for mlx.lock changed since it was placed; it stays as it is.
    """

    updated: tuple[Updated, ...]
    to_commit: tuple[RepoPath, ...]
    behind: tuple[Tracked, ...] = ()


def add(
    repo: Repo,
    paths: Sequence[str],
    *,
    name: str | None = None,
    kind: str | None = None,
    progress: Progress = SILENT,
) -> Added:
    """Record what lies at `paths`; a path inside a tracked folder updates that path only.

    `kind` is data (the default), feature or model. Everything is checked before anything is
    written.

    Raises:
        InputError: for a path outside, overlapping, tracked by git, or made by a stage.
        EnvironmentFailed: when the disk of the store has too little room.
    """
    if name and len(paths) > 1:
        raise InputError("--name goes with one path", hint="add the paths one by one")
    chosen = [parsed(repo, text) for text in dict.fromkeys(paths)]
    known = [(tracked_at(repo, path), path) for path in chosen]
    for tracked, path in known:
        if tracked is not None:
            check_known(repo, tracked, path, name, kind)
    fresh = plan_new(repo, [path for tracked, path in known if tracked is None], name, kind)
    check_room(repo, chosen)
    updated, touched = add_new(
        repo, fresh, lambda new: _store(repo, new, progress), folders=_folders(repo, fresh)
    )
    for tracked, path in known:
        if tracked is not None:
            updated.append(update_tracked(repo, tracked, path, progress=progress))
            touched += files_of(repo, tracked)
    return Added(tuple(updated), tuple(repo.git.uncommitted(touched)))


def add_modified(repo: Repo, *, progress: Progress = SILENT) -> Added:
    """Record every tracked path whose workspace content changed (`add -u`).

    What is older than recorded nobody has changed here: `add` with its path records it.

    Raises:
        Refused: when a whole tracked path is gone; nothing is recorded then.
        EnvironmentFailed: when the disk of the store has too little room.
    """
    data = [item for item in repo.observed.tracked() if item.role in SECTIONS]
    found = modified(repo, data)
    for item in found.edited:
        if not os.path.lexists(repo.full(item.path)):
            raise gone(repo, item.path)
    check_room(repo, [item.path for item in found.edited])
    updated = [update_tracked(repo, item, item.path, progress=progress) for item in found.edited]
    touched = [path for item in found.edited for path in files_of(repo, item)]
    return Added(tuple(updated), tuple(repo.git.uncommitted(touched)), tuple(found.behind))


def _folders(repo: Repo, fresh: Sequence[New]) -> list[RepoPath]:
    return [new.path for new in fresh if os.path.isdir(repo.full(new.path))]


def _store(repo: Repo, new: New, progress: Progress) -> Updated:
    with repo.store.batch() as batch:
        entry = repo.scan(batch=batch, progress=progress).entry(new.path)
    if entry is None:
        raise InputError(f"{display(new.path)} is not here", hint="it was removed meanwhile")
    return Updated(new.path, new.address, None, entry, (), 0, 0, batch.new_objects, batch.new_bytes)
