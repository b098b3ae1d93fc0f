"""Outs set aside: while a stage runs, what it made before waits where nothing can touch it.

A manifest is written before anything moves. A stage that fails gets its last good outs back; so
does one whose mlx was killed, at the next look at the repository (`recover`). What a failed stage
wrote is kept with its run. What no record knows is kept in the trash when the stage succeeds.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterable, Iterator

from mlxrepo.codec import canonical, parse_json
from mlxrepo.errors import MlxError
from mlxrepo.files import make_folder, move, remove_any, remove_quietly, write_atomic
from mlxrepo.paths import RepoPath, check_path
from mlxrepo.repo.repo import Repo

MANIFEST = "aside.json"
ALIVE = "alive"


class RunFolder:
    """The folder of one run, held by a kernel lock for as long as its process lives."""

    def __init__(self, repo: Repo, run: str):
        self.id = run
        self.path = repo.shared("runs", run)
        make_folder(self.path)
        self._fd = os.open(
            os.path.join(self.path, ALIVE), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644
        )
        fcntl.flock(self._fd, fcntl.LOCK_EX)

    def stage(self, address: str) -> str:
        """Return the folder of one stage of this run."""
        folder = os.path.join(self.path, address.replace("/", "__").replace(":", "__"))
        make_folder(folder)
        return folder

    def close(self) -> None:
        """Let go; a run that left nothing but its log stays, an empty one goes."""
        os.close(self._fd)
        remove_quietly(os.path.join(self.path, ALIVE))
        with contextlib.suppress(OSError):
            os.rmdir(self.path)


class Aside:
    """The outs of one stage, moved away for the time it runs."""

    def __init__(self, repo: Repo, folder: str, paths: Iterable[RepoPath]):
        self._repo = repo
        self._folder = folder
        self._moves: list[tuple[RepoPath, str]] = []
        self._plan(paths)

    def _plan(self, paths: Iterable[RepoPath]) -> None:
        for number, path in enumerate(paths):
            if os.path.lexists(self._repo.full(path)):
                self._moves.append((path, os.path.join(self._home(path), str(number))))
        if self._moves:
            text = canonical({"root": self._repo.root, "moves": [list(m) for m in self._moves]})
            write_atomic(os.path.join(self._folder, MANIFEST), text)
        for path, target in self._moves:
            move(self._repo.full(path), target)

    def _home(self, path: RepoPath) -> str:
        """Return a folder on the file system of the out, so that moving is renaming."""
        near = os.lstat(self._repo.full(path)).st_dev
        if os.stat(self._folder).st_dev == near:
            return os.path.join(self._folder, "aside")
        name = os.path.basename(os.path.dirname(self._folder))
        local = self._repo.full(".mlx")
        make_folder(local)
        write_atomic(os.path.join(local, ".gitignore"), b"*\n")
        return os.path.join(local, name, os.path.basename(self._folder))

    def put_back(self, outs: Iterable[RepoPath]) -> None:
        """Keep what the failed stage left with the run, and put its last outs back."""
        for number, path in enumerate(outs):
            full = self._repo.full(path)
            if os.path.lexists(full):
                move(
                    full, os.path.join(self._folder, "failed", str(number), os.path.basename(path))
                )
        _return(self._repo.root, self._moves)
        self._end()

    def discard(self, keep: Iterable[RepoPath], trash: str) -> list[str]:
        """Drop what was set aside, but move the paths in `keep` to the trash; return where to."""
        kept = []
        wanted = set(keep)
        for path, target in self._moves:
            if path in wanted:
                place = os.path.join(trash, path)
                move(target, place)
                kept.append(place)
        self._end()
        for _, target in self._moves:
            remove_any(target)
        return kept

    def _end(self) -> None:
        remove_quietly(os.path.join(self._folder, MANIFEST))


def _return(root: str, moves: Iterable[tuple[str, str]]) -> None:
    for path, target in moves:
        if os.path.lexists(target):
            full = os.path.join(root, path)
            remove_any(full)
            move(target, full)


def recover(repo: Repo) -> list[RepoPath]:
    """Put back what runs that were killed had set aside; return the paths."""
    restored: list[RepoPath] = []
    for folder in _dead_runs(repo.shared("runs")):
        for name in os.listdir(folder):
            manifest = os.path.join(folder, name, MANIFEST)
            if os.path.exists(manifest):
                restored += _recover(repo, manifest)
        remove_quietly(os.path.join(folder, ALIVE))
    return restored


def _dead_runs(root: str) -> Iterator[str]:
    try:
        names = os.listdir(root)
    except FileNotFoundError:
        return
    for name in names:
        folder = os.path.join(root, name)
        try:
            fd = os.open(os.path.join(folder, ALIVE), os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield folder
        except BlockingIOError:
            continue
        finally:
            os.close(fd)


def _recover(repo: Repo, manifest: str) -> list[RepoPath]:
    try:
        with open(manifest, "rb") as stream:
            value = parse_json(stream.read(), source=manifest)
        root = value["root"]
        moves = [(check_path(path), str(target)) for path, target in value["moves"]]
    except (MlxError, KeyError, TypeError, ValueError):
        return []
    left = [(path, target) for path, target in moves if os.path.lexists(target)]
    folder = os.path.dirname(manifest)
    for number, (path, _) in enumerate(left):
        full = os.path.join(root, path)
        if os.path.lexists(full):
            move(full, os.path.join(folder, "failed", str(number), os.path.basename(path)))
    _return(root, left)
    remove_quietly(manifest)
    return [path for path, _ in left] if root == repo.root else []
