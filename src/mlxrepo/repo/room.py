"""Will it fit? What at some paths is new to the store, against the room on its disk."""

from __future__ import annotations

import os
import shutil
import stat as statlib
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import NamedTuple

from mlxrepo.files import SMALL, stat_of
from mlxrepo.paths import RepoPath, join, name_of
from mlxrepo.repo.repo import Repo
from mlxrepo.store.probe import link_types, workbench
from mlxrepo.store.space import free_bytes, nearest_folder, no_room
from mlxrepo.store.statcache import single_key

EACH = 160  # bytes that a file takes beside its own: in its tree and in the table of its pack
SPARE = 64 << 10


class _File(NamedTuple):
    path: RepoPath
    row: str  # where the stat cache would have it
    stat: os.stat_result


def check_room(repo: Repo, paths: Iterable[RepoPath]) -> None:
    """Check that the disk of the store can take what lies at `paths` and is new to it.

    Nothing is added up where the disks of the files hold less than what is free, and the stat
    cache is asked only when all of the files would be too much.

    Raises:
        EnvironmentFailed: when there is too little room; it names the ways out.
    """
    here = [path for path in paths if os.path.lexists(repo.full(path))]
    free = free_bytes(repo.store.root)
    if not here or _on_the_disks([repo.full(path) for path in here]) <= free:
        return
    if _room(_files(repo, here)) > free:
        needed = _room(_new(repo, _files(repo, here, skip=repo.rules.ignored)))
        if needed > free:
            raise no_room(needed, free, repo.store.root)


def _on_the_disks(paths: list[str]) -> int:
    """Return what all that is on the disks of `paths` would take, a little too much.

    Holes of sparse files are not in it: what is large is looked at again when it is copied.
    """
    devices = {os.lstat(path).st_dev: path for path in paths}
    used = sum(shutil.disk_usage(nearest_folder(path)).used for path in devices.values())
    return used + used // 16 + SPARE


def _room(found: Iterable[_File]) -> int:
    """Return the bytes that files take in a store."""
    needed = sum(file.stat.st_size + EACH for file in found)
    return needed + SPARE if needed else 0


def _nothing(path: str, is_folder: bool) -> bool:
    return False


def _files(
    repo: Repo, paths: Iterable[RepoPath], *, skip: Callable[[str, bool], bool] = _nothing
) -> Iterator[_File]:
    """Yield the regular files at and below `paths`; who stores them tells what cannot be read."""
    folders: list[RepoPath] = []
    for path in paths:
        if os.path.isdir(repo.full(path)):
            folders.append(path)
        else:
            stat = os.lstat(repo.full(path))
            if statlib.S_ISREG(stat.st_mode):
                yield _File(path, single_key(path), stat)
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(repo.full(folder)) as items:
                for item in items:
                    path, is_folder = join(folder, item.name), item.is_dir(follow_symlinks=False)
                    if skip(path, is_folder):
                        continue
                    if is_folder:
                        folders.append(path)
                    elif item.is_file(follow_symlinks=False):
                        yield _File(path, folder, item.stat(follow_symlinks=False))
        except OSError:
            continue


def _new(repo: Repo, found: Iterable[_File]) -> Iterator[_File]:
    """Yield those of the files that will be copied into the store."""
    store, can = repo.store, _links(repo)
    for key, group in groupby(found, key=lambda file: file.row):
        row = repo.cache.get(key)
        known = row.files if row else {}
        for file in group:
            seen = known.get(name_of(file.path))
            is_executable = file.stat.st_mode & statlib.S_IXUSR
            if seen and seen.stat == stat_of(file.stat) and store.has("blob", seen.entry.oid):
                continue
            if store.link == "hardlink" and can["hardlink"] and not is_executable:
                continue
            if file.stat.st_size < SMALL or not can["reflink"]:
                yield file


def _links(repo: Repo) -> dict[str, bool]:
    """Say which links from the workspace into the store can be made."""
    folder = nearest_folder(repo.store.root)
    try:
        with workbench(repo.root) as source, workbench(folder) as target:
            return link_types(source, target)
    except OSError:  # so full that nothing can be tried
        one_disk = os.stat(repo.root).st_dev == os.stat(folder).st_dev
        return {"hardlink": one_disk, "reflink": False}
