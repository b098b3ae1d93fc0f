"""Which versions of mlx.lock git still knows, from every place it keeps names of commits.

Plumbing only: what a user's settings say of `git log` or `git diff` has no say here. Replaced
objects are read as they are (`refs/replace` is among the refs, so both sides count).
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from mlxrepo.errors import CannotDecide
from mlxrepo.repo.git import Git
from mlxrepo.repo.layout import LOCK_FILE, STORE_FOLDER

_LOCKS = f":(top,glob)**/{LOCK_FILE}"
_FILES = ("100644", "100755")
# What of a git dir names objects, or holds them; folders with all that is in them.
_TELLING = (
    "HEAD", "packed-refs", "refs", "reftable", "logs", "index", "objects", "info", "config",
    "config.worktree", "shallow", "worktrees", "rebase-merge", "rebase-apply", "sequencer",
)  # fmt: skip
_HASH = re.compile(rb"\b[0-9a-f]{7,64}\b")
_NOTES_MAX = 1 << 20  # bytes of a file of a rebase that are looked through
_TYPED = "%(objecttype) %(objectname)%0a%(*objecttype) %(*objectname)"  # itself, then its target
_HISTORY = ("rev-list", "--all", "--reflog", "--full-history", "--stdin", "--", _LOCKS)
_CHANGES = ("diff-tree", "--stdin", "-r", "-m", "--root", "--raw", "-z", "--", _LOCKS)


class LockChange(NamedTuple):
    """A commit that holds another lockfile than one of its parents; `blob` is git's name of it."""

    commit: str
    path: str
    blob: str


def check_complete(git: Git, common_dir: str) -> None:
    """Check that the whole history is here.

    Raises:
        CannotDecide: when it was cut off, or some of it is fetched on demand.
    """
    if _has_bytes(os.path.join(common_dir, "shallow")):
        raise CannotDecide(
            f"{common_dir} is a shallow clone: what its other commits need is not known",
            hint="git fetch --unshallow, then again",
        )
    _, partial = git.run(
        "config", "--get-regexp", r"^(extensions\.partialclone|remote\..*\.promisor)$",
        accept=(0, 1),
    )  # fmt: skip
    if partial or _has_bytes(os.path.join(common_dir, "info", "grafts")):
        raise CannotDecide(
            f"{common_dir} is a partial clone: what its other commits need is not known",
            hint="make a full clone that uses the same store (git config mlx.store), and collect "
            "there",
        )


def check_readable(common_dir: str) -> None:
    """Check that this user may read all that git would: it passes over what it may not.

    Raises:
        PermissionError: for the first file or folder that is closed.
    """
    for name in _TELLING:
        _check_open(os.path.join(common_dir, name))


def _check_open(path: str) -> None:
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return
    if stat.S_ISDIR(mode):
        for name in os.listdir(path):
            if name != STORE_FOLDER:  # of a linked worktree; mlx itself complains
                _check_open(os.path.join(path, name))
    elif stat.S_ISREG(mode) and not os.access(path, os.R_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)


def _has_bytes(path: str) -> bool:
    return os.path.isfile(path) and os.path.getsize(path) > 0


def index_locks(git: Git) -> Iterator[tuple[str, str]]:
    """Yield path and git blob of every lockfile in an index, all sides of a conflict."""
    yield from index_files(git, LOCK_FILE)


def index_files(git: Git, name: str) -> Iterator[tuple[str, str]]:
    """Yield path and git blob of every file called `name` in an index, all sides of a conflict."""
    _, out = git.run("ls-files", "--stage", "-z", "--", f":(top,glob)**/{name}")
    for row in out.split(b"\0")[:-1]:
        head, _, path = row.partition(b"\t")
        mode, blob, _ = head.decode().split(" ")
        if mode in _FILES:
            yield os.fsdecode(path), blob


def lock_changes(
    git: Git, git_dirs: Iterable[str], tips: Iterable[str] = ()
) -> Iterator[LockChange]:
    """Yield every version of every lockfile that any commit holds which is known anywhere.

    `tips` are commits or tags that count as well.
    """
    starts = [*_named_commits(git, git_dirs), *tips]
    plain = "--no-replace-objects"
    _, commits = git.run(plain, *_HISTORY, input="".join(f"{c}\n" for c in starts).encode())
    yield from _changes(git, commits)


def changes_from(git: Git, starts: Iterable[str]) -> Iterator[LockChange]:
    """Yield every version of every lockfile that the ancestors of some commits hold."""
    plain = "--no-replace-objects"
    words = (*_HISTORY[:1], *_HISTORY[3:])  # of these alone
    _, commits = git.run(plain, *words, input="".join(f"{c}\n" for c in starts).encode())
    yield from _changes(git, commits)


def _changes(git: Git, commits: bytes) -> Iterator[LockChange]:
    for commit, (_, mode, _, blob, _), path in _rows(git, commits):
        if mode in _FILES:
            yield LockChange(commit, path, blob)


class LockStep(NamedTuple):
    """A lockfile that a commit holds otherwise than one of its parents; git blobs, None: none."""

    commit: str
    path: str
    old: str | None
    new: str | None


def lock_steps(git: Git, rev: str) -> Iterator[LockStep]:
    """Yield the changes of lockfiles by `rev` and its ancestors, newest commits first.

    A merge has a row for each parent whose lockfile differs from its own.
    """
    _, commits = git.run("rev-list", "--full-history", rev, "--", _LOCKS)
    for commit, row, path in _rows(git, commits):
        modes, blobs = row[:2], row[2:4]
        sides = (b if m in _FILES else None for m, b in zip(modes, blobs, strict=True))
        yield LockStep(commit, path, *sides)


def _rows(git: Git, commits: bytes) -> Iterator[tuple[str, list[str], str]]:
    """Yield commit, both modes and blobs, and path of every change of a lockfile."""
    _, out = git.run("--no-replace-objects", *_CHANGES, input=commits)
    commit = ""
    fields = iter(out.split(b"\0")[:-1])
    for field in fields:
        if field.startswith(b":"):
            yield commit, field[1:].decode().split(" "), os.fsdecode(next(fields))
        else:
            commit = field.decode()


def odd_trees(git: Git, git_dirs: Iterable[str]) -> list[str]:
    """Return the trees that git keeps by themselves, as for a merge that stopped half-way."""
    _, out = git.run("for-each-ref", f"--format={_TYPED}")
    refs = (line.split(" ") for line in out.decode().splitlines())
    named = [*refs, *_notes(git, git_dirs)]
    return sorted({oid for kind, oid in named if kind == "tree"})


def _named_commits(git: Git, git_dirs: Iterable[str]) -> list[str]:
    """Return commits that `--all` does not know: of what is in progress, in any worktree."""
    found = {oid for kind, oid in _notes(git, git_dirs) if kind in ("commit", "tag")}
    for git_dir in git_dirs:
        _, out = Git(git.root, git_dir).run(
            "for-each-ref", "--format=%(objectname)", "refs/bisect", "refs/worktree",
            "refs/rewritten",
        )  # fmt: skip
        found.update(out.decode().split())
    return sorted(found)


def _notes(git: Git, git_dirs: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield kind and oid of every object named in files like MERGE_HEAD or rebase-merge/onto."""
    words = {word for path in _note_files(git_dirs) for word in _HASH.findall(_start(path))}
    for oid, kind in git.kinds(map(os.fsdecode, sorted(words))):
        if kind != "blob":
            yield kind, oid


def _note_files(git_dirs: Iterable[str]) -> Iterator[str]:
    for git_dir in git_dirs:
        for item in os.scandir(git_dir):
            if item.name.endswith("HEAD") or item.name == "AUTO_MERGE":
                yield item.path
            elif item.name in ("rebase-merge", "rebase-apply", "sequencer"):
                yield from (found.path for found in os.scandir(item.path))


def _start(path: str) -> bytes:
    if not os.path.isfile(path):
        return b""
    with open(path, "rb") as stream:
        return stream.read(_NOTES_MAX)
