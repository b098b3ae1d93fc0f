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
import time
from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple

from mlxrepo.errors import EnvironmentFailed
from mlxrepo.files import make_folder
from mlxrepo.hashing import fingerprint
from mlxrepo.paths import RepoPath, ancestors, display
from mlxrepo.repo.declared import Declared
from mlxrepo.repo.mutex import is_locked

LOOK_SECONDS = 0.25  # at what others hold
RUN_VARIABLE = "MLXREPO_RUN"  # set for commands: the run that started them
CHAIN_VARIABLE = "MLXREPO_CHAIN"  # and all runs around them: RUN/STAGE:RUN/STAGE
SOMEBODY = "another mlx"
_READ_MAX = 1 << 16


class Held(NamedTuple):
    """A path that somebody else has, and who; `alone`: it was wanted without other readers."""

    path: RepoPath
    holder: str
    alone: bool = True

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
    """The claims of one worktree; `what` is what others are told, `run` the run that asks."""

    def __init__(self, folder: str, what: str, run: str = ""):
        self._folder = folder
        self._what = what
        self._run = run

    def take(
        self,
        exclusive: Collection[RepoPath],
        shared: Collection[RepoPath] = (),
        stage: str = "",
    ) -> Claim | Held:
        """Claim paths without waiting; return what is in the way when one cannot be had.

        `stage` is the one that they are claimed for.

        Raises:
            EnvironmentFailed: when it is the run that this command is a part of that has it.
        """
        make_folder(self._folder, flush=False)
        claim = Claim({}, {})
        try:
            for path in exclusive:
                place = self._place(path)
                claim._exclusive[place] = self._lock(place, fcntl.LOCK_EX)
                self._sign(claim._exclusive[place], stage, alone=True)
            for path in set(shared).difference(exclusive):
                place = self._place(path)
                claim._shared[place] = self._lock(place, fcntl.LOCK_SH)
                self._sign(claim._shared[place], stage, alone=False)
        except BlockingIOError:
            claim.release()
            return self._held(path)._replace(alone=path in exclusive)
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
            return _name(_signatures(fd))
        finally:
            os.close(fd)
        return ""

    def is_free(self, held: Held) -> bool:
        """Say whether what was in the way is out of it now."""
        return not is_locked(self._place(held.path), alone=held.alone)

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

    def _sign(self, fd: int, stage: str, *, alone: bool) -> None:
        """Write down who holds it: a line for each that has held it since somebody had it alone."""
        what = f"{self._what}, stage {stage}" if stage else self._what
        line = "\t".join((str(os.getpid()), f"{self._run}/{stage}", what))
        with contextlib.suppress(OSError):  # a full disk: then nobody learns who
            if alone:
                os.ftruncate(fd, 0)
            os.lseek(fd, 0, os.SEEK_END)
            os.write(fd, os.fsencode(f"{line}\n"))

    def _held(self, path: RepoPath) -> Held:
        try:
            fd = os.open(self._place(path), os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return Held(path, SOMEBODY)
        try:
            lines = _signatures(fd)
        finally:
            os.close(fd)
        around = os.environ.get(CHAIN_VARIABLE, "").split(":")
        waits = [line[2] for line in lines if line[1] in around]
        if waits:
            raise EnvironmentFailed(
                f"{Held(path, waits[0])}, which started this command and waits for it",
                hint="a stage cannot bring about itself, or change what it reads: take this "
                "command out of it",
            )
        return Held(path, _name(lines))


def _signatures(fd: int) -> list[list[str]]:
    """Return who signed a file, as process, run and stage, and what to call it."""
    text = os.pread(fd, _READ_MAX, 0).decode("utf-8", "replace")
    lines = [line.split("\t") for line in text.split("\n")]
    return [line for line in lines if len(line) == 3 and line[0].isdecimal()]


def _name(lines: list[list[str]]) -> str:
    """Name the last holder whose process is there."""
    for pid, _, what in reversed(lines):
        if os.path.exists(f"/proc/{pid}") or not os.path.exists("/proc"):
            return f"process {pid} ({what})"
    return SOMEBODY


def allow_many() -> None:
    """Let this process have as many files open as it may: a stage can read thousands of paths."""
    import resource  # a run with nothing to do claims nothing

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):  # where "as many" is more than the system has
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


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


def units_of(declared: Declared) -> Units:
    """Return all that is tracked: what stages write, and what was added."""
    return Units([*declared.outs, *(artifact.path for artifact in declared.artifacts.values())])
