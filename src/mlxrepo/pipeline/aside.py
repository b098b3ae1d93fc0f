"""Outs set aside: while a stage runs, what it made before waits where nothing can touch it.

A manifest in the worktree's own folder is written before anything moves, and goes when the stage
is settled. A stage that fails gets its last good outs back; so does one whose mlx was killed, at
the next run (`recover`). What a failed stage wrote is kept with its run. What no record knows is
kept in the trash when the stage succeeds.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from mlxrepo.codec import canonical, parse_json
from mlxrepo.errors import MlxError
from mlxrepo.files import make_folder, move, remove_any, remove_quietly, write_atomic
from mlxrepo.paths import RepoPath, check_path, name_of
from mlxrepo.pipeline.orphans import end_orphans
from mlxrepo.repo.layout import RUNS_FOLDER
from mlxrepo.repo.repo import Repo

MANIFESTS = "aside"  # in the worktree's folder
LOCAL = ".mlx"  # at the worktree's root: for outs on another disk than the git dir


class Slot(NamedTuple):
    """An out and where it waits: beside the run's log, in LOCAL, or nowhere: it was not there."""

    path: RepoPath
    home: str  # "run", "local" or ""


class Aside:
    """The outs of one stage, moved away for the time it runs."""

    def __init__(self, repo: Repo, run: str, stage: str, slots: Sequence[Slot]):
        self._repo = repo
        self._run = run
        self._stage = stage
        self._slots = slots

    @classmethod
    def take(cls, repo: Repo, run: str, stage: str, outs: Iterable[RepoPath]) -> Aside:
        """Move outs away; `stage` is the name of the stage's folder in that of the run.

        On any error, or a kill, everything is back where it was, or will be.
        """
        folder = repo.shared(RUNS_FOLDER, run, stage)
        aside = cls(repo, run, stage, [Slot(path, _home(repo, path, folder)) for path in outs])
        manifest = canonical({"run": run, "stage": stage, "outs": [list(s) for s in aside._slots]})
        make_folder(repo.worktree_file(MANIFESTS))
        write_atomic(aside._manifest, manifest)
        try:
            aside._move_away()
        except BaseException:
            aside.put_back()
            raise
        return aside

    @property
    def _manifest(self) -> str:
        return self._repo.worktree_file(os.path.join(MANIFESTS, f"{self._run}.{self._stage}"))

    def _base(self, home: str) -> str:
        if home == "local":
            return self._repo.full(os.path.join(LOCAL, self._run, self._stage))
        return self._repo.shared(RUNS_FOLDER, self._run, self._stage, "aside")

    def _place(self, number: int) -> str:
        return os.path.join(self._base(self._slots[number].home), str(number))

    def _move_away(self) -> None:
        for number, (path, home) in enumerate(self._slots):
            if home == "local":
                make_folder(self._repo.full(LOCAL))
                write_atomic(self._repo.full(os.path.join(LOCAL, ".gitignore")), b"*\n")
            if home:
                move(self._repo.full(path), self._place(number))

    def put_back(self) -> list[RepoPath]:
        """Put the last outs back, and keep what the stage left with the run; return what moved.

        It may be done again after a kill in the middle: what waits nowhere is back already.
        """
        moved = []
        for number, (path, home) in enumerate(self._slots):
            full = self._repo.full(path)
            waits = bool(home) and os.path.lexists(self._place(number))
            if home and not waits:
                continue
            if os.path.lexists(full):
                moved.append(path)
                move(full, os.path.join(self.failed, str(number), name_of(path)))
            if waits:
                moved.append(path)
                move(self._place(number), full)
        self._end()
        return list(dict.fromkeys(moved))

    @property
    def failed(self) -> str:
        """Return the folder that keeps what a failed stage left."""
        return self._repo.shared(RUNS_FOLDER, self._run, self._stage, "failed")

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


def _home(repo: Repo, path: RepoPath, folder: str) -> str:
    """Choose a place on the file system of the out, so that moving is renaming."""
    full = repo.full(path)
    if not os.path.lexists(full):
        return ""
    return "run" if os.lstat(full).st_dev == os.stat(folder).st_dev else "local"


def recover(repo: Repo) -> list[RepoPath]:
    """End what runs that were killed left running, put their outs back, and return which moved.

    Call it while no other run can be on its way in this worktree.
    """
    try:
        names = sorted(os.listdir(repo.worktree_file(MANIFESTS)))
    except FileNotFoundError:
        return []
    left = [aside for name in names if (aside := _read(repo, name))]
    for run in {aside._run for aside in left}:
        end_orphans(run)
    return [path for aside in left for path in aside.put_back()]


def _read(repo: Repo, name: str) -> Aside | None:
    path = repo.worktree_file(os.path.join(MANIFESTS, name))
    try:
        with open(path, "rb") as stream:
            value = parse_json(stream.read(), source=path)
        slots = [Slot(check_path(out), home) for out, home in value["outs"]]
        return Aside(repo, value["run"], value["stage"], slots)
    except (OSError, MlxError, KeyError, TypeError, ValueError):
        return None  # a temporary file of a writer that was killed: then nothing had moved yet
