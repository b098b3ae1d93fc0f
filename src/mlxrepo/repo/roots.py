"""Roots: what a repository needs the store to keep.

Every mlx.lock that git can still reach (branches, tags, stash, reflogs, `refs/mlx`, what a merge
or a rebase in progress names, of every worktree), every one in an index, every one on disk, and
what is placed. Too much does no harm here; whatever is left out could be lost.
"""

from __future__ import annotations

import os
import stat
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from mlxrepo.errors import CannotDecide, EnvironmentFailed
from mlxrepo.paths import RepoPath, display
from mlxrepo.repo import layout
from mlxrepo.repo.git import Git
from mlxrepo.repo.history import (
    check_complete,
    check_readable,
    index_locks,
    lock_changes,
    odd_trees,
)
from mlxrepo.repo.lockfile import parse_lock
from mlxrepo.repo.lockrows import Row, RowReader, rows_of
from mlxrepo.repo.observed import stage_address
from mlxrepo.repo.placed import read_placed
from mlxrepo.repo.registered import Registered
from mlxrepo.repo.repo import Repo
from mlxrepo.store.tree import Entry


class Root(NamedTuple):
    """An entry that has to stay whole, and who says so.

    `address` is the artifact's or the stage's ("" where none is known), `where` a commit or a ref
    in short, "index", "workspace" or "placed". `key` is the action key of the stage;
    `kept` is false where the store may be without it.
    """

    entry: Entry
    path: RepoPath
    address: str
    where: str
    key: str = ""
    kept: bool = True


class Worktree(NamedTuple):
    """A worktree: its files (None when they are out of reach) and its own git dir."""

    root: str | None
    git_dir: str


def roots(repo: Repo) -> Iterator[Root]:
    """Yield everything this repository needs, once for each place that says so.

    Raises:
        CannotDecide: when the history is not all here (a shallow or a partial clone).
        InputError: when a lockfile cannot be read.
    """
    main = repo.root if repo.git_dir == repo.common_dir else None
    return roots_of(repo.common_dir, main)


def roots_of(
    common_dir: str, main: str | None, *, sparing: bool = False, tips: Sequence[str] = ()
) -> Iterator[Root]:
    """Yield what any repository needs, known by its git dir and the root of its main worktree.

    When `sparing`, each record once, and also what the store may be without but should not lose:
    deps of stages, and files that git keeps. `tips` are commits that count although no ref here
    names them.

    Raises:
        CannotDecide, InputError: as `roots`.
        PermissionError: when something of its history cannot be read.
    """
    git = Git(common_dir, common_dir)
    check_readable(common_dir)
    check_complete(git, common_dir)
    places = worktrees(git, common_dir, main)
    for place in places:
        yield from on_disk(place, sparing=sparing)
    yield from _recorded(git, places, sparing, tips)


def asked(other: Registered, *, sparing: bool = False) -> Iterator[Root]:
    """Yield what another repository that uses the store needs, as `roots_of` does.

    Raises:
        CannotDecide: also when it is out of reach, or cannot be read.
        InputError: as `roots`.
    """
    if not other.is_reachable:
        raise CannotDecide(
            f"the repository {display(other.path)} uses this store and is out of reach: what it "
            "needs is not known",
            hint=f"mount its disk, or, when it is gone for good: mlx gc --forget {other.path}",
        )
    try:
        yield from roots_of(other.path, other.root, sparing=sparing)
    except (OSError, EnvironmentFailed) as error:
        raise other.unreadable(error) from None


def worktrees(git: Git, common_dir: str, main: str | None) -> list[Worktree]:
    """Return every worktree of a repository, the main one first."""
    found = [Worktree(main or _main_root(git, common_dir), common_dir)]
    folder = os.path.join(common_dir, "worktrees")
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
        own = os.path.join(folder, name)
        found.append(Worktree(_linked_root(own), own))
    return found


def _main_root(git: Git, common_dir: str) -> str | None:
    """Return the root that belongs to a git dir; None for a bare repository."""
    _, bare = git.run("config", "--type=bool", "core.bare", accept=(0, 1))
    if bare.strip() == b"true":
        return None
    _, chosen = git.run("config", "core.worktree", accept=(0, 1))  # a submodule has it
    if chosen:
        return os.path.normpath(os.path.join(common_dir, os.fsdecode(chosen.rstrip(b"\n"))))
    above, name = os.path.split(common_dir)
    return above if name == ".git" else None


def _linked_root(git_dir: str) -> str | None:
    """Return the root of a linked worktree; None when it was removed or is on a disk elsewhere.

    What was recorded there is then still known from what is placed, which lies in `git_dir`.
    """
    try:
        with open(os.path.join(git_dir, "gitdir"), "rb") as stream:
            marker = os.fsdecode(stream.read().rstrip(b"\n"))
    except OSError:
        return None
    root = os.path.dirname(os.path.normpath(os.path.join(git_dir, marker)))
    return root if os.path.isdir(root) else None


# on disk


def on_disk(place: Worktree, *, sparing: bool = False) -> Iterator[Root]:
    """Yield what the files of one worktree say: what is placed, and its lockfiles."""
    placed = read_placed(os.path.join(place.git_dir, layout.WORKTREE_FOLDER, layout.PLACED_FILE))
    for path, entry in placed.items():
        yield Root(entry, path, "", "placed")
    if place.root is None:
        return
    for lock in _lockfiles(place.root, place.git_dir):
        full = os.path.join(place.root, lock)
        with open(full, "rb") as stream:
            records = parse_lock(stream.read(), full)
        for row in rows_of(records):
            if row.kept or sparing:
                yield _root(row, lock, "workspace")


def _lockfiles(root: str, git_dir: str) -> list[str]:
    """Return the lockfiles of a worktree, also those that git ignores beside a project file."""
    git = Git(root, git_dir)
    found = {layout.LOCK_FILE, *git.project_files(layout.LOCK_FILE)}
    for path in git.project_files(layout.PROJECT_FILE):
        found.add(path.removesuffix(layout.PROJECT_FILE) + layout.LOCK_FILE)
    return sorted(path for path in found if _is_file(os.path.join(root, path)))


def _is_file(path: str) -> bool:
    """Say whether a file is there; one that hides behind an error might be."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


# in git


def _recorded(
    git: Git, places: list[Worktree], sparing: bool, tips: Sequence[str]
) -> Iterator[Root]:
    """Yield what the lockfiles that git keeps name; equal ones are read once."""
    reader = RowReader(once=sparing)
    named: dict[str, list[tuple[str, str]]] = defaultdict(list)  # git blob -> where, path
    for place in places:
        for path, blob in index_locks(Git(git.root, place.git_dir)):
            named[blob].append(("index", path))
    git_dirs = [place.git_dir for place in places]
    for change in lock_changes(git, git_dirs, tips):
        named[change.blob].append((change.commit[:12], change.path))
    for blob, data in git.each_blob(list(named)):
        where, path = named[blob][0]
        rows = [r for r in reader.rows(data, f"{where}:{path}") if r.kept or sparing]
        for where, path in dict.fromkeys(named[blob]):
            yield from (_root(row, path, where) for row in rows)
    for tree in odd_trees(git, git_dirs):
        for path, data in git.files_at(tree, layout.LOCK_FILE).items():
            for row in reader.rows(data, f"{tree[:12]}:{path}"):
                if row.kept or sparing:
                    yield _root(row, path, tree[:12])


def _root(row: Row, lock: str, where: str) -> Root:
    name = row.name
    address = stage_address(lock, name[6:]) if name.startswith("stage:") else name
    return Root(row.entry, row.path, address, where, row.key, row.kept)
