"""Outs set aside: while a stage runs, what it made before waits where nothing can touch it.

A manifest in the worktree's own folder is written before anything moves, and goes when the stage
is settled. A stage that fails gets its last good outs back; so does one whose mlx was killed, at
the next run (`recover`). What a failed stage wrote is kept with its run. What no record knows is
kept in the trash when the stage succeeds. An out that persists is copied back to its place: the
command goes on with the copy.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from mlxrepo.codec import canonical, parse_json
from mlxrepo.errors import EnvironmentFailed, MlxError
from mlxrepo.files import (
    make_folder,
    move,
    remove_any,
    remove_quietly,
    sync_folders,
    write_atomic,
)
from mlxrepo.paths import TEMP_PREFIX, RepoPath, check_path, display, name_of
from mlxrepo.pipeline.alive import is_alive
from mlxrepo.pipeline.orphans import end_orphans
from mlxrepo.reading import reflink
from mlxrepo.repo.claims import Claim, Claims
from mlxrepo.repo.layout import MANIFESTS_FOLDER, RUNS_FOLDER
from mlxrepo.repo.repo import Repo
from mlxrepo.repo.trash import new_trash

LOCAL = ".mlx"  # at the worktree's root: for outs on another disk than the git dir


class Slot(NamedTuple):
    """An out and where it waits: beside the run's log, in LOCAL, or nowhere: it was not there."""

    path: RepoPath
    home: str  # "run", "local" or ""


class Aside:
    """The outs of one stage, moved away for the time it runs.

    Where the store has all of them nothing is flushed: a power cut takes nothing then that a
    record does not bring back.
    """

    def __init__(
        self, repo: Repo, run: str, stage: str, slots: Sequence[Slot], *, flush: bool = True
    ):
        self._repo = repo
        self.run = run
        self._stage = stage
        self._slots = slots
        self._flush = flush

    @classmethod
    def take(
        cls,
        repo: Repo,
        run: str,
        stage: str,
        outs: Iterable[RepoPath],
        persist: Iterable[RepoPath] = (),
        *,
        stored: bool = False,
    ) -> Aside:
        """Move outs away; `stage` is the name of the stage's folder in that of the run.

        Those in `persist` are copied back; `stored`: the store has whatever is there. On any error,
        or a kill, everything is back where it was, or will be.
        """
        folder = repo.shared(RUNS_FOLDER, run, stage)
        slots = [Slot(path, _home(repo, path, folder)) for path in outs]
        # After a power cut the manifest is needed only for what has been moved.
        flush = not stored and any(slot.home for slot in slots)
        aside = cls(repo, run, stage, slots, flush=flush)
        manifest = canonical({"run": run, "stage": stage, "outs": [list(s) for s in aside._slots]})
        make_folder(repo.worktree_file(MANIFESTS_FOLDER))
        if flush:
            sync_folders((repo.shared(RUNS_FOLDER, run), repo.shared(RUNS_FOLDER), repo.shared()))
        write_atomic(aside._manifest, manifest, flush=flush)
        try:
            aside._move_away()
            aside.copy_back(persist)
        except BaseException:
            aside.put_back()
            raise
        return aside

    @property
    def paths(self) -> list[RepoPath]:
        """Return the outs that this is about."""
        return [slot.path for slot in self._slots]

    @property
    def _manifest(self) -> str:
        return self._repo.worktree_file(os.path.join(MANIFESTS_FOLDER, f"{self.run}.{self._stage}"))

    def _base(self, home: str) -> str:
        if home == "local":
            return self._repo.full(os.path.join(LOCAL, self.run, self._stage))
        return self._repo.shared(RUNS_FOLDER, self.run, self._stage, "aside")

    def _place(self, number: int) -> str:
        return os.path.join(self._base(self._slots[number].home), str(number))

    def _move_away(self) -> None:
        for number, (path, home) in enumerate(self._slots):
            if home == "local":
                make_folder(self._repo.full(LOCAL))
                write_atomic(self._repo.full(os.path.join(LOCAL, ".gitignore")), b"*\n")
            if home:
                self._move(self._repo.full(path), self._place(number))

    def _move(self, source: str, target: str) -> None:
        make_folder(os.path.dirname(target), flush=self._flush)
        move(source, target, flush=self._flush)

    def copy_back(self, paths: Iterable[RepoPath]) -> None:
        """Put a copy of what is set aside of these paths at their place."""
        wanted = set(paths)
        for number, (path, home) in enumerate(self._slots):
            if home and path in wanted:
                _copy(self._place(number), self._repo.full(path))

    def clear(self) -> None:
        """Take away what a failed attempt left, so that the next one starts as the first did."""
        remove_any(self.failed)
        self._to_failed()

    def _to_failed(self) -> list[RepoPath]:
        moved = []
        for number, (path, home) in enumerate(self._slots):
            full = self._repo.full(path)
            # What was there before and is not aside has never left its place, or was given away.
            if os.path.lexists(full) and (not home or os.path.lexists(self._place(number))):
                moved.append(path)
                self._move(full, os.path.join(self.failed, str(number), name_of(path)))
        return moved

    def give_away(self, paths: Iterable[RepoPath], trash: str) -> list[RepoPath]:
        """Move last outs to the trash whose place belongs to something else now; return which."""
        wanted = set(paths)
        given = []
        for number, (path, home) in enumerate(self._slots):
            if path in wanted and home and os.path.lexists(self._place(number)):
                move(self._place(number), os.path.join(trash, path))
                given.append(path)
        return given

    def put_back(self) -> list[RepoPath]:
        """Put the last outs back, and keep what the stage left with the run; return what moved.

        It may be done again after a kill in the middle: what waits nowhere is back already.
        """
        moved = self._to_failed()
        for number, (path, home) in enumerate(self._slots):
            if home and os.path.lexists(self._place(number)):
                moved.append(path)
                self._move(self._place(number), self._repo.full(path))
        self._end()
        return list(dict.fromkeys(moved))

    @property
    def failed(self) -> str:
        """Return the folder that keeps what a failed stage left."""
        return self._repo.shared(RUNS_FOLDER, self.run, self._stage, "failed")

    @property
    def left(self) -> dict[RepoPath, str]:
        """Return where each out is that `put_back` took away, by its path."""
        return {
            path: os.path.join(self.failed, str(number), name_of(path))
            for number, (path, _) in enumerate(self._slots)
        }

    def discard(self, keep: Iterable[RepoPath], trash: str) -> list[str]:
        """Drop what was set aside, but move the paths in `keep` to the trash; return where to."""
        wanted = set(keep)
        kept = []
        for number, (path, home) in enumerate(self._slots):
            if home and path in wanted:
                kept.append(os.path.join(trash, path))
                move(self._place(number), kept[-1])
        self._end()
        return kept

    def _end(self) -> None:
        remove_quietly(self._manifest)
        for home in {slot.home for slot in self._slots if slot.home}:
            remove_any(self._base(home))


def _copy(source: str, target: str) -> None:
    """Copy a file, a link or a folder, by reflink where the disk can; the copy can be written."""
    if os.path.isdir(source) and not os.path.islink(source):
        os.makedirs(target, exist_ok=True)
        for name in os.listdir(source):
            _copy(os.path.join(source, name), os.path.join(target, name))
        return
    if os.path.islink(source) and not os.path.isfile(source):
        os.symlink(os.readlink(source), target)
        return
    # A link to an object of the store becomes a file: the command writes to it.
    mode = stat.S_IMODE(os.stat(source).st_mode) | stat.S_IWUSR
    with open(source, "rb") as old, open(target, "wb") as new:
        os.fchmod(new.fileno(), mode)
        if not reflink(old.fileno(), new.fileno()):
            shutil.copyfileobj(old, new, 1 << 20)


def _home(repo: Repo, path: RepoPath, folder: str) -> str:
    """Choose a place on the file system of the out, so that moving is renaming."""
    full = repo.full(path)
    if not os.path.lexists(full):
        return ""
    return "run" if os.lstat(full).st_dev == os.stat(folder).st_dev else "local"


def recover(
    repo: Repo, claims: Claims, tell: Callable[[str], None] = lambda text: None
) -> list[RepoPath]:
    """End what runs that were killed left running, put their outs back, and return which moved.

    What somebody else claims meanwhile is left alone, and so is a file of git's where no stage has
    an out any more. `tell` hears what became of each path, and where what lay there is now.
    """
    moved: list[RepoPath] = []
    for aside in left_behind(repo):
        try:
            claim = claims.take(aside.paths)
        except EnvironmentFailed:  # the run around this command has them: it put them back
            continue
        if isinstance(claim, Claim):
            with claim:
                end_orphans(aside.run)
                moved += _put_back(repo, aside, tell)
    return moved


def _put_back(repo: Repo, aside: Aside, tell: Callable[[str], None]) -> list[RepoPath]:
    strange = [path for path in aside.paths if path not in repo.declared.outs]
    in_git = repo.git.tracked(strange) if strange else []
    trash = new_trash(repo)
    for path in aside.give_away(map(RepoPath, in_git), trash):
        tell(
            f"{display(path)} was set aside by a run that was killed, and git has a file there "
            f"now: the last out is in {trash}"
        )
    moved = aside.put_back()
    for path in moved:
        place = aside.left[path]
        kept = f"; what lay there is {place}" if os.path.lexists(place) else ""
        tell(f"put back after a run that was killed: {display(path)}{kept}")
    return moved


def left_behind(repo: Repo, run: str = "") -> list[Aside]:
    """Return what runs that were killed had set aside; `run` is one that is known to be alive."""
    try:
        names = sorted(os.listdir(repo.worktree_file(MANIFESTS_FOLDER)))
    except FileNotFoundError:
        return []
    # What a killed writer left is no manifest, even if it is whole: nothing had moved yet.
    names = [name for name in names if not name.startswith(TEMP_PREFIX)]
    names = [name for name in names if not run or not name.startswith(f"{run}.")]
    found = [aside for name in names if (aside := _read(repo, name))]
    return [aside for aside in found if not is_alive(repo, aside.run)]


def _read(repo: Repo, name: str) -> Aside | None:
    path = repo.worktree_file(os.path.join(MANIFESTS_FOLDER, name))
    try:
        with open(path, "rb") as stream:
            value = parse_json(stream.read(), source=path)
        slots = [Slot(check_path(out), home) for out, home in value["outs"]]
        return Aside(repo, value["run"], value["stage"], slots)
    except (OSError, MlxError, KeyError, TypeError, ValueError):
        return None  # settled meanwhile, or cut short by a power cut: it was not flushed then
