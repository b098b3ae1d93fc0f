"""Claims: kernel locks on paths, for as long as a command works with what lies there.

A stage that runs claims its outs for itself and shares its deps with other readers; so does
whatever else writes tracked paths. A claim goes with its holder, whatever becomes of it, so there
is nothing to unlock by hand. All paths are had at once or none is: nobody waits while holding, so
no two can wait for each other.

The units are tracked paths: outs and artifacts. Who asks names those that hold a path, or lie in
it (`Units`). A claim on "" is about the whole worktree.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource
import time
from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple

from mlxrepo.errors import EnvironmentFailed
from mlxrepo.files import make_folder
from mlxrepo.hashing import fingerprint
from mlxrepo.paths import RepoPath, ancestors, display

LOOK_SECONDS = 0.25  # at what others hold
RUN_VARIABLE = "MLXREPO_RUN"  # set for commands: the run that started them
_NAME_MAX = 300


class Held(NamedTuple):
    """A path that somebody else has, and who."""

    path: RepoPath
    holder: str

    def __str__(self) -> str:
        what = display(self.path) if self.path else "this worktree"
        return f"{what}, in use by {self.holder}"


class Claim:
    """Paths held; `release` gives them back, and so does the end of the process."""

    def __init__(self, exclusive: dict[str, int], shared: dict[str, int]):
        """Take open files by their path; those in `exclusive` are locked for this claim alone."""
        self._exclusive = exclusive
        self._shared = shared

    def share(self) -> None:
        """Let others read what was claimed; nobody may change it yet."""
        for fd in self._exclusive.values():
            fcntl.flock(fd, fcntl.LOCK_SH)
        self._shared |= self._exclusive
        self._exclusive = {}

    def release(self) -> None:
        """Give everything back."""
        for place, fd in (self._exclusive | self._shared).items():
            # The last to go removes the file; who has it open sees that, and makes a new one.
            with contextlib.suppress(OSError):
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.path.samestat(os.fstat(fd), os.stat(place)):
                    os.unlink(place)
            os.close(fd)
        self._exclusive, self._shared = {}, {}

    def __enter__(self) -> Claim:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


class Claims:
    """The claims of one worktree; `holder` is what others are told, `run` the run that asks."""

    def __init__(self, folder: str, holder: str, run: str = ""):
        self._folder = folder
        self._holder = holder
        self._run = run

    def take(
        self,
        exclusive: Collection[RepoPath],
        shared: Collection[RepoPath] = (),
        holder: str = "",
    ) -> Claim | Held:
        """Claim paths without waiting; return what is in the way when one cannot be had.

        Raises:
            EnvironmentFailed: when it is the run that this command is a part of that has it.
        """
        make_folder(self._folder, flush=False)
        claim = Claim({}, {})
        try:
            for path in exclusive:
                place = self._place(path)
                claim._exclusive[place] = self._lock(place, fcntl.LOCK_EX)
                self._sign(claim._exclusive[place], holder)
            for path in set(shared).difference(exclusive):
                place = self._place(path)
                claim._shared[place] = self._lock(place, fcntl.LOCK_SH)
                self._sign(claim._shared[place], holder)
        except BlockingIOError:
            claim.release()
            return self._held(path)
        except BaseException:
            claim.release()
            raise
        return claim

    def wait(
        self,
        exclusive: Collection[RepoPath],
        tell: Callable[[str], None],
        *,
        shared: Collection[RepoPath] = (),
    ) -> Claim:
        """Claim paths as soon as they are to be had; `tell` is told once of each holder.

        Raises:
            EnvironmentFailed: as `take`.
        """
        told = ""
        while isinstance(found := self.take(exclusive, shared), Held):
            if str(found) != told:
                told = str(found)
                tell(f"waits for {told}")
            time.sleep(LOOK_SECONDS)
        return found

    def holder(self, path: RepoPath) -> str:
        """Return who has a path for itself now; "" when nobody has."""
        try:
            fd = os.open(self._place(path), os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return ""
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _signature(fd)[1]
        finally:
            os.close(fd)
        return ""

    def _place(self, path: str) -> str:
        return os.path.join(self._folder, fingerprint(os.fsencode(path)).hex())

    def _lock(self, place: str, how: int) -> int:
        """Open and lock a file that stands for a path.

        Raises:
            BlockingIOError: when somebody has it.
        """
        while True:
            fd = os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                fcntl.flock(fd, how | fcntl.LOCK_NB)
                if os.path.samestat(os.fstat(fd), os.stat(place)):
                    return fd
            except FileNotFoundError:
                pass  # its last holder removed it between opening and locking
            except BaseException:
                os.close(fd)
                raise
            os.close(fd)

    def _sign(self, fd: int, holder: str) -> None:
        """Write down who holds it: of several readers the last one."""
        line = f"{os.getpid()} {self._run or '-'} {holder or self._holder}"[:_NAME_MAX]
        with contextlib.suppress(OSError):  # a full disk: then nobody learns who
            os.pwrite(fd, os.fsencode(line).ljust(_NAME_MAX), 0)

    def _held(self, path: RepoPath) -> Held:
        try:
            fd = os.open(self._place(path), os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return Held(path, "another mlx")
        try:
            run, name = _signature(fd)
        finally:
            os.close(fd)
        if run and run == os.environ.get(RUN_VARIABLE):
            raise EnvironmentFailed(
                f"{display(path)} is in use by {name}, which started this command and waits for it",
                hint="a stage cannot bring about itself, or change what it reads: take this "
                "command out of it",
            )
        return Held(path, name)


def allow_many() -> None:
    """Let this process have as many files open as it may: a stage can read thousands of paths."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):  # where "as many" is more than the system has
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _signature(fd: int) -> tuple[str, str]:
    """Return the run and the name of who signed a file."""
    words = os.pread(fd, _NAME_MAX, 0).decode("utf-8", "replace").split(" ", 2)
    if len(words) < 3 or not words[2].strip():
        return "", "another mlx"
    return words[1].strip("-"), f"process {words[0]} ({words[2].strip()})"


class Units:
    """Tracked paths, and which of them a path touches: those that hold it, or lie in it."""

    def __init__(self, tops: Iterable[RepoPath]):
        self._tops = set(tops)
        self._below: dict[RepoPath, list[RepoPath]] = {}
        for top in self._tops:
            for folder in ancestors(top):
                self._below.setdefault(folder, []).append(top)

    def touched(self, paths: Iterable[RepoPath]) -> set[RepoPath]:
        """Return the tracked paths that `paths` touch."""
        found: set[RepoPath] = set()
        for path in paths:
            found.update(folder for folder in (path, *ancestors(path)) if folder in self._tops)
            found.update(self._below.get(path, ()))
        return found
