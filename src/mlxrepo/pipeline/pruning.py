"""Bounding what runs leave: failed outs go before logs, the oldest first.

Each run is measured once, when it is over. A run that is alive stays, one whose outs still wait
to be put back, and the last one, however large it is.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from calendar import timegm
from collections.abc import Iterator

from mlxrepo.codec import canonical, parse_json
from mlxrepo.errors import MlxError
from mlxrepo.files import remove_any, write_atomic
from mlxrepo.pipeline.alive import is_alive
from mlxrepo.pipeline.journal import run_names
from mlxrepo.repo.layout import (
    ENVIRONMENTS_FOLDER,
    FAILED_FOLDER,
    JOURNAL_FILE,
    MANIFESTS_FOLDER,
    RUNS_FOLDER,
    SIZES_FILE,
    WORKTREE_FOLDER,
)
from mlxrepo.repo.repo import Repo

FORMAT = 1
KEPT_RUNS = 1000
LOCK = "prune.lock"
YOUNG_SECONDS = 60.0  # a run has made its folder, and is about to take its lock

# Of each run what failed stages left in it, and all else, in bytes.
Sizes = dict[str, tuple[int, int]]


def prune(repo: Repo, last: str, bound: int) -> None:
    """Remove what is more than `bound` bytes or KEPT_RUNS runs; the run `last` stays in any case.

    Raises:
        OSError: when the folder of runs cannot be read or written.
    """
    with _alone(repo.shared(RUNS_FOLDER, LOCK)) as is_mine:
        if not is_mine:
            return  # another run is at it
        waiting = _waiting(repo)
        known = _known(repo)
        names = sorted(run_names(repo))
        found = {name: known[name] for name in names if name in known}
        for name in names:
            if name not in known and name not in waiting and _is_over(repo, name):
                found[name] = _measure(repo.shared(RUNS_FOLDER, name))
        left = _shrink(repo, dict(sorted(found.items())), last, bound)
        if left != known:
            path = repo.shared(RUNS_FOLDER, SIZES_FILE)
            write_atomic(path, canonical({"format": FORMAT, "runs": left}), flush=False)
        if len(left) < len(found):
            _prune_environments(repo)


def _shrink(repo: Repo, found: Sizes, last: str, bound: int) -> Sizes:
    """Remove failed outs and then whole runs until the rest is within the bounds."""
    left = dict(found)
    total = sum(failed + rest for failed, rest in left.values())
    others = [name for name in left if name != last]
    for name in others:
        failed, rest = left[name]
        if total <= bound:
            break
        if failed and _remove_failed(repo.shared(RUNS_FOLDER, name)):
            left[name] = (0, rest)
            total -= failed
    for name in others:
        if total <= bound and len(left) <= KEPT_RUNS:
            break
        with contextlib.suppress(OSError):
            remove_any(repo.shared(RUNS_FOLDER, name))
            total -= sum(left.pop(name))
    return left


def _is_over(repo: Repo, name: str) -> bool:
    folder = repo.shared(RUNS_FOLDER, name)
    with contextlib.suppress(OSError):
        is_young = time.time() - os.stat(folder).st_mtime < YOUNG_SECONDS
        begins = is_young and not os.path.exists(os.path.join(folder, JOURNAL_FILE))
        return not begins and not is_alive(repo, name)
    return False


def _measure(folder: str) -> tuple[int, int]:
    failed = sum(_size(path) for path in _failed(folder))
    return failed, _size(folder) - failed


def _size(folder: str) -> int:
    total = 0
    for here, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(here, name)).st_size
    return total


def _failed(folder: str) -> list[str]:
    places = [os.path.join(folder, name, FAILED_FOLDER) for name in os.listdir(folder)]
    return [place for place in places if os.path.isdir(place)]


def _remove_failed(folder: str) -> bool:
    with contextlib.suppress(OSError):
        for place in _failed(folder):
            remove_any(place)
        return True
    return False


def _known(repo: Repo) -> Sizes:
    path = repo.shared(RUNS_FOLDER, SIZES_FILE)
    try:
        with open(path, "rb") as stream:
            value = parse_json(stream.read(), source=path)
        rows = value["runs"] if value["format"] == FORMAT else {}
        return {name: (int(failed), int(rest)) for name, (failed, rest) in rows.items()}
    except (OSError, MlxError, KeyError, TypeError, ValueError, AttributeError):
        return {}


def _waiting(repo: Repo) -> set[str]:
    """Return the runs whose outs, in any worktree, still wait to be put back."""
    places = [repo.common_dir]
    others = os.path.join(repo.common_dir, "worktrees")
    with contextlib.suppress(FileNotFoundError):
        places += [os.path.join(others, name) for name in os.listdir(others)]
    found = set()
    for place in places:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            names = os.listdir(os.path.join(place, WORKTREE_FOLDER, MANIFESTS_FOLDER))
            found |= {name.partition(".")[0] for name in names}
    return found


def _prune_environments(repo: Repo) -> None:
    """Remove the environments that no run is left of: each is as old as the last that had it."""
    names = run_names(repo)
    oldest = min(timegm(time.strptime(name[:15], "%Y%m%d-%H%M%S")) for name in names)
    folder = repo.shared(RUNS_FOLDER, ENVIRONMENTS_FOLDER)
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir(folder):
            path = os.path.join(folder, name)
            if os.stat(path).st_mtime < oldest:
                os.unlink(path)


@contextlib.contextmanager
def _alone(path: str) -> Iterator[bool]:
    """Yield whether nobody else holds the lock `path`, which is held until the block ends."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(fd)
