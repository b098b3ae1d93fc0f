"""mlx store: where the objects are, and moving them elsewhere."""

from __future__ import annotations

import os
from dataclasses import dataclass

from mlxrepo.errors import EnvironmentFailed, InputError, MlxError, Refused
from mlxrepo.files import make_folder, remove_quietly
from mlxrepo.paths import TEMP_PREFIX, display, is_inside
from mlxrepo.progress import SILENT, Progress
from mlxrepo.repo.git import Git
from mlxrepo.repo.gitdirs import find
from mlxrepo.repo.moving import (
    STORE_JOURNAL,
    StoreMove,
    read_store_move,
    write_store_move,
)
from mlxrepo.repo.registered import FOLDER as REPOS
from mlxrepo.repo.registered import Registered, forget, register, registered
from mlxrepo.repo.repo import Repo
from mlxrepo.repo.roots import worktrees
from mlxrepo.repo.settings import Settings
from mlxrepo.repo.shared_store import is_shared, share
from mlxrepo.store.inventory import Key, list_folder
from mlxrepo.store.lease import alone, held
from mlxrepo.store.marker import is_partial, mark_partial
from mlxrepo.store.objects import Store
from mlxrepo.store.rehouse import copy_objects, list_objects, remove_objects, size_of
from mlxrepo.store.space import free_bytes, nearest_folder

_IN_A_NEW_STORE = ("lost+found", REPOS)  # or in a store that is configured and was not used yet


@dataclass(frozen=True, slots=True)
class StoreMoved:
    """Where the objects were and are, or (not `applied`) would be.

    `kept_for` are repositories that still use the old place.
    """

    old: str
    new: str
    objects: int
    kept_for: tuple[str, ...]
    applied: bool = True


def store_dir(repo: Repo) -> str:
    """Return the folder that holds the objects."""
    return repo.store.root


def store_move(
    repo: Repo, folder: str, *, dry_run: bool = False, progress: Progress = SILENT
) -> StoreMoved:
    """Move the objects to another folder, and set `mlx.store`; `dry_run`: only check and count.

    They are copied, hashed on the way, before the setting changes, and removed after it: at any
    point the setting names a store that has them all. Killed, the same command completes it. A
    folder that is a store already takes them in.

    Raises:
        InputError: when git would track the folder, or it holds other things.
        Refused: when another move was cut off.
        Damaged: when an object holds other bytes than its name says.
        EnvironmentFailed: when other processes use the store, or the disk is too small.
    """
    new = os.path.realpath(os.path.join(repo.cwd, os.path.expanduser(folder)))
    old = _source(repo, new)
    if old is None:
        return StoreMoved(new, new, 0, (), not dry_run)
    _check_folder(repo, old, new)
    _refuse_links(repo, old)
    if dry_run:
        return StoreMoved(old, new, len(list_objects(Store(old))), _others(repo, old), False)
    with repo.claim_alone("mlx store move"):
        write_store_move(repo, StoreMove(old, new))
        _open_target(repo, new)
        keys = _copy(repo, old, new, progress)
        with alone(old):
            _refuse_writers(old)
            keys |= _copy(repo, old, new, progress, known=keys)  # what came meanwhile
            _switch(repo, new)
            others = _others(repo, old)
            if others:
                _leave(repo, old)
            else:
                remove_objects(old)
        remove_quietly(repo.shared(STORE_JOURNAL))
    return StoreMoved(old, new, len(keys), others)


# looking


def _source(repo: Repo, new: str) -> str | None:
    """Return where objects are to be taken from; None when all are in the new place already."""
    current = os.path.realpath(repo.store.root)
    cut_off = read_store_move(repo)
    if cut_off is not None and cut_off.new == new:
        return cut_off.old
    if cut_off is not None and cut_off.new == current:
        raise Refused(f"moving the store to {display(current)} was cut off", hint=cut_off.hint)
    first = repo.shared()
    if current != new:
        return current
    return first if first != new and is_left_behind(first) else None


def is_left_behind(root: str) -> bool:
    """Say whether a folder that is no store any more holds objects: of a late writer."""
    return any(list_folder(os.path.join(root, name)) for name in ("objects", "trees", "packs"))


def _check_folder(repo: Repo, old: str, new: str) -> None:
    if not os.path.isdir(old):
        raise EnvironmentFailed(
            f"the store {display(old)} is not there", hint="is its disk mounted? mlx doctor"
        )
    if is_inside(new, old) or is_inside(old, new):
        raise InputError(f"{display(new)} and the store, {display(old)}, lie in each other")
    _refuse_tracked(new)
    if os.path.lexists(new) and not os.path.isdir(new):
        raise InputError(f"{display(new)} is not a folder")
    names = [name for name in list_folder(new) if name not in _IN_A_NEW_STORE]
    rest = [name for name in names if not name.startswith(TEMP_PREFIX)]
    if rest and "format" not in rest and new != repo.shared():
        raise InputError(
            f"{display(new)} holds other things, {display(rest[0])} for one",
            hint="name a folder that is new, empty, or a store",
        )
    _check_space(old, new)


def _refuse_tracked(new: str) -> None:
    """Refuse a folder that git would track, in whatever repository it lies."""
    try:
        dirs = find(nearest_folder(new))
    except InputError:
        return
    if is_inside(new, dirs.git_dir) or is_inside(new, dirs.common_dir):
        return
    path = os.path.relpath(new, dirs.root)
    if path == "." or not Git(dirs.root).ignored([f"{path}/"]):
        raise InputError(
            f"{display(new)} lies in the worktree {display(dirs.root)}, where git would track it",
            hint="choose a folder outside, or name it in .gitignore",
        )


def _refuse_links(repo: Repo, old: str) -> None:
    """Refuse while workspace files are symbolic links to objects: they would lead nowhere."""
    main = repo.root if repo.git_dir == repo.common_dir else None
    roots = [place.root for place in worktrees(repo.git, repo.common_dir, main) if place.root]
    for root in roots:
        try:
            tracked = list(Repo.open(root).observed.tracked())
        except MlxError:
            continue  # of a commit without a project
        for item in tracked:
            link = _link_into(os.path.join(root, item.path), old)
            if link is not None:
                raise InputError(
                    f"{display(link)} is a symbolic link to an object of the store",
                    hint="mlx unprotect it first; after the move, mlx checkout --relink",
                )


def _link_into(path: str, folder: str) -> str | None:
    """Return the first symbolic link at or below a path that leads into a folder."""
    walked = os.walk(path) if not os.path.islink(path) else ()
    names = (os.path.join(here, name) for here, _, files in walked for name in files)
    for name in (path, *names):
        if os.path.islink(name) and is_inside(os.path.realpath(name), folder):
            return name
    return None


def _check_space(old: str, new: str) -> None:
    if os.stat(nearest_folder(new)).st_dev == os.stat(old).st_dev:
        return
    needed, free = size_of(old), free_bytes(new)
    if needed > free:
        raise EnvironmentFailed(
            f"the objects are {needed:,} bytes, and the disk of {display(new)} has {free:,} free",
            hint="mlx gc removes what nothing needs",
        )


def _refuse_writers(old: str) -> None:
    pids = [lease.pid for lease in held(old) if lease.pid != str(os.getpid())]
    if pids:
        raise EnvironmentFailed(
            f"another mlx uses the store (process {', '.join(pids)})",
            hint="wait until it is done, then the same command completes the move",
        )


# doing


def _open_target(repo: Repo, new: str) -> None:
    if is_shared(repo.settings):
        share(new)
    make_folder(new)
    Store(new).prepare()
    if is_partial(repo.store.root):
        mark_partial(new)
    # Before the first object comes: a gc in another repository has to know who needs it.
    root = repo.root if repo.git_dir == repo.common_dir else None
    register(new, Registered(repo.common_dir, root))


def _copy(
    repo: Repo, old: str, new: str, progress: Progress, *, known: set[Key] | None = None
) -> set[Key]:
    source, target = Store(old), Store(new, link=repo.store.link, fsync=repo.store.fsync)
    keys = list_objects(source) - (known or set())
    try:
        copy_objects(source, target, keys, progress=progress)
    finally:
        target.close()
    return keys


def _switch(repo: Repo, new: str) -> None:
    repo.git.run("config", "--local", "mlx.store", new)
    found = Settings(repo.git).get("store")
    if found != new:
        raise InputError(
            f'mlx.store stays "{found}": it is set in another place too',
            hint="git config --show-origin --get-all mlx.store",
        )


def _others(repo: Repo, old: str) -> tuple[str, ...]:
    """Return the other repositories that use a store."""
    paths = (item.path for item in registered(old) if item.path != repo.common_dir)
    return tuple(path for path in paths)


def _leave(repo: Repo, old: str) -> None:
    try:
        forget(old, repo.common_dir)
    except MlxError:
        pass  # it was never noted: then there is nothing to take back
