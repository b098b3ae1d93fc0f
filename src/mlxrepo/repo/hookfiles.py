"""Where git looks for hooks, and how mlx puts its own there beside those of others.

A hook that was there keeps its name, in a folder beside the one of the hooks: what it finds by its
own name, or beside itself, is found there too.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Iterator
from typing import NamedTuple

from mlxrepo.files import make_folder, move, remove_quietly, write_atomic
from mlxrepo.paths import TEMP_PREFIX
from mlxrepo.repo.hooks import BEFORE, HOOKS, MARK, PRE_COMMIT_MADE, script, split
from mlxrepo.repo.repo import Repo

_OTHERS = (".legacy",)  # where pre-commit puts a hook that it finds, to run it itself
_AFTER = ".after-mlx"  # what somebody added to a hook of ours whose place another one takes


class Folder(NamedTuple):
    """Where git looks for hooks; `why` says why mlx does not write there, "" if it does."""

    path: str
    why: str

    def hook(self, name: str) -> str:
        """Return the file of a hook."""
        return os.path.join(self.path, name)

    @property
    def before(self) -> str:
        """The folder of the hooks that were there before."""
        return self.path.rstrip("/") + BEFORE


def folder(repo: Repo) -> Folder:
    """Find the folder of the hooks, as git does: core.hooksPath, or `hooks` beside the objects."""
    if repo.git.run("config", "--get", "core.hooksPath", accept=(0, 1)) == (0, b"\n"):
        why = "core.hooksPath is empty, so git runs none (git config --unset core.hooksPath)"
        return Folder(os.devnull, why)
    _, out = repo.git.run("rev-parse", "--path-format=absolute", "--git-path", "hooks")
    path = os.fsdecode(out.rstrip(b"\n"))
    real, root = os.path.realpath(path), os.path.realpath(repo.root)
    if _holds(os.path.realpath(repo.common_dir), real):
        return Folder(path, "")
    if not _holds(root, real):
        return Folder(path, "it lies outside of the repository")
    below = os.path.relpath(real, root)
    # husky makes its folder `_` anew at will, and runs the hooks above it, which are committed.
    above, name = os.path.split(below)
    asked = [below, *([above] if name == "_" and above else [])]
    return Folder(path, "git tracks the hooks in it" if repo.git.tracked(asked) else "")


def places(repo: Repo) -> list[Folder]:
    """Return the folders in which hooks of ours may lie: also git's own, if it looks elsewhere."""
    found = [folder(repo)]
    own = os.path.join(repo.common_dir, "hooks")
    inside = _holds(os.path.realpath(repo.common_dir), os.path.realpath(own))
    if inside and os.path.realpath(own) != os.path.realpath(found[0].path):
        found.append(Folder(own, ""))
    return found


def _holds(folder: str, path: str) -> bool:
    return path == folder or path.startswith(folder + os.sep)


# what is there


def is_wired(place: Folder, name: str) -> bool:
    """Say whether a hook that git runs there, or one in husky's folder above, calls mlx."""
    calls = re.compile(rf"(?m)^[^#\n]*\bmlx hook {name}\b".encode())
    paths = [path for path in _paths(place, name) if os.access(path, os.X_OK)]
    above, below = os.path.split(place.path)
    if below == "_":
        paths.append(os.path.join(above, name))  # husky runs it by `sh`
    return any(calls.search(_read(path)) for path in paths)


def lacking(repo: Repo) -> list[str]:
    """Return the hooks that neither are mlx's, of this version, nor call it."""
    place = folder(repo)
    return [name for name in HOOKS if not _is_current(place, name)]


def _is_current(place: Folder, name: str) -> bool:
    ours = _ours(place, name)
    if not ours:
        return is_wired(place, name)
    return _is_as_wanted(ours, name) and not _is_superseded(place, name)


def _is_as_wanted(ours: str, name: str) -> bool:
    return split(_read(ours), name)[0] == script(name) and os.access(ours, os.X_OK)


def _paths(place: Folder, name: str) -> list[str]:
    return [place.hook(name + more) for more in ("", *_OTHERS)]


def _ours(place: Folder, name: str) -> str | None:
    return next((path for path in _paths(place, name) if is_ours(path)), None)


def _is_superseded(place: Folder, name: str) -> bool:
    """Say whether the hook from before is a copy of the one that is in place now, not ours."""
    new, old = (_read(path) for path in (place.hook(name), os.path.join(place.before, name)))
    return bool(old) and (new == old or (PRE_COMMIT_MADE in new and PRE_COMMIT_MADE in old))


def is_ours(path: str) -> bool:
    """Say whether mlx wrote a hook."""
    return not os.path.islink(path) and MARK in _read(path)


def _read(path: str) -> bytes:
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return b""
        with open(path, "rb") as stream:
            return stream.read()
    except OSError:
        return b""


# putting them there

WRITTEN, CHAINED, PRESENT, BLOCKED = "written", "chained", "present", "blocked"


def put(place: Folder, name: str) -> str:
    """Write one hook; return whether it was there, is new, or new before one that was there.

    What others added to ours stays. BLOCKED: somebody has replaced ours, and what was there before
    it is still kept.
    """
    path, before = place.hook(name), os.path.join(place.before, name)
    settled = _settle(place, name)
    ours = _ours(place, name)
    if ours and _is_as_wanted(ours, name):
        return WRITTEN if settled else PRESENT
    was_there = not ours and os.path.lexists(path)
    if was_there and os.path.lexists(before):
        return BLOCKED
    make_folder(place.before if was_there else place.path)
    if was_there:
        move(path, before)  # a kill here is mended by the next install
    target = ours or path
    write_atomic(target, script(name) + split(_read(target), name)[1], mode=0o755)
    os.chmod(target, 0o755)
    return CHAINED if was_there else WRITTEN


def _settle(place: Folder, name: str) -> bool:
    """Take the hook from before from where an older mlx kept it; drop one that is in place anew."""
    settled = False
    before, older = os.path.join(place.before, name), place.hook(name) + BEFORE
    if os.path.lexists(older) and not os.path.lexists(before):
        make_folder(place.before)
        move(older, before)
        settled = True
    if _is_superseded(place, name):
        remove_quietly(before)
        settled = True
    return settled


def accompany(place: Folder) -> None:
    """Let the hooks from before find beside them what lay beside them."""
    if not os.path.isdir(place.before):
        return
    _part(place)
    if not os.listdir(place.before):
        os.rmdir(place.before)
        return
    for name in os.listdir(place.path):
        is_other = not name.endswith((".sample", BEFORE)) and not name.startswith(TEMP_PREFIX)
        link = os.path.join(place.before, name)
        if is_other and not is_ours(place.hook(name)) and not os.path.lexists(link):
            with contextlib.suppress(OSError):  # a disk without links
                os.symlink(_beside(place, name), link)


def _beside(place: Folder, name: str) -> str:
    return os.path.join("..", os.path.basename(place.path.rstrip("/")), name)


def _part(place: Folder) -> None:
    """Remove what `accompany` made."""
    for name in os.listdir(place.before):
        link = os.path.join(place.before, name)
        if os.path.islink(link) and os.readlink(link) == _beside(place, name):
            os.unlink(link)


# and away


def take_away(place: Folder) -> list[str]:
    """Remove the hooks of ours, and put back what was there before; return their names."""
    if os.path.isdir(place.before):
        _part(place)
    gone = [name for name in HOOKS if _take_one(place, name)]
    accompany(place)
    return gone


def _take_one(place: Folder, name: str) -> bool:
    before = os.path.join(place.before, name)
    _settle(place, name)
    ours = _ours(place, name)
    if not ours:
        return False
    added = split(_read(ours), name)[1]
    if os.path.lexists(before):
        if added.strip():
            _write_added(place.hook(name) + _AFTER, added)
        move(before, ours)
    elif added.strip():
        _write_added(ours, added)
    else:
        os.unlink(ours)
    return True


def _write_added(path: str, added: bytes) -> None:
    write_atomic(path, b"#!/bin/sh\n" + added, mode=0o755)


def left_over(place: Folder) -> Iterator[str]:
    """Yield the files of others that wait, without a hook of ours in front of them."""
    for name in HOOKS:
        for path in (os.path.join(place.before, name), place.hook(name) + _AFTER):
            if os.path.lexists(path) and not is_ours(place.hook(name)):
                yield path
