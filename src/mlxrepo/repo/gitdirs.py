"""Where a worktree keeps its git dir, found without starting git."""

from __future__ import annotations

import contextlib
import os
import shlex
from typing import NamedTuple

from mlxrepo.errors import InputError
from mlxrepo.paths import display


class GitDirs(NamedTuple):
    """A worktree's root, its git dir, and the git dir that all worktrees share."""

    root: str
    git_dir: str
    common_dir: str


def find(start: str) -> GitDirs:
    """Find the worktree that `start` lies in, without starting git.

    Raises:
        InputError: when there is none.
    """
    folder = os.path.realpath(start)
    while True:
        marker = os.path.join(folder, ".git")
        git_dir = _git_dir(marker)
        if git_dir and not _is_set_bare(git_dir):
            return GitDirs(folder, git_dir, _common_dir(git_dir))
        if git_dir or _is_bare(folder):
            raise InputError(
                f"{display(folder)} is a bare repository or a git dir: it has no files to work "
                "with",
                hint=f"git worktree add ../work, or git clone {shlex.quote(folder)} work",
            )
        above = os.path.dirname(folder)
        if above == folder:
            raise InputError(
                f"{display(start)} is not in a git repository", hint="git init, then mlx init"
            )
        folder = above


def _is_bare(folder: str) -> bool:
    """Say whether a folder is itself what `.git` is elsewhere."""
    parts = ("HEAD", "objects", "refs")
    return all(os.path.exists(os.path.join(folder, name)) for name in parts)


def _is_set_bare(git_dir: str) -> bool:
    """Say whether a repository has no worktree but linked ones, as `.bare` beside a file `.git`."""
    if _common_dir(git_dir) != git_dir:
        return False
    for name in ("config", "config.worktree"):
        with contextlib.suppress(OSError), open(os.path.join(git_dir, name), "rb") as stream:
            if _says_bare(stream.read().lower()):
                return True
    return False


def _says_bare(config: bytes) -> bool:
    section = b""
    for line in map(bytes.strip, config.splitlines()):
        if line.startswith(b"["):
            section = line
        name, _, value = (part.strip() for part in line.partition(b"="))
        if section == b"[core]" and name == b"bare":
            return value in (b"true", b"yes", b"on", b"1")
    return False


def _git_dir(marker: str) -> str | None:
    if os.path.isdir(marker):
        return marker if os.path.exists(os.path.join(marker, "HEAD")) else None
    try:
        with open(marker, encoding="utf-8", errors="surrogateescape") as stream:
            text = stream.read().strip()
    except OSError:
        return None
    if not text.startswith("gitdir:"):
        return None
    return os.path.normpath(os.path.join(os.path.dirname(marker), text[7:].strip()))


def _common_dir(git_dir: str) -> str:
    try:
        with open(os.path.join(git_dir, "commondir"), encoding="utf-8") as stream:
            return os.path.normpath(os.path.join(git_dir, stream.read().strip()))
    except OSError:
        return git_dir
