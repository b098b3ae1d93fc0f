"""Claims of the stages of a run: what each is about to write, and what it reads."""

from __future__ import annotations

import enum
import time

from mlxrepo.paths import RepoPath
from mlxrepo.pipeline.action import Action
from mlxrepo.pipeline.aside import left_behind, recover
from mlxrepo.repo.claims import LOOK_SECONDS, Claim, Held, Units, allow_many
from mlxrepo.repo.repo import Repo

MANY = 128  # claims that wait for their record to be written; each is some open files


class Found(enum.Enum):
    """What came of a claim: it is had; or something else happened meanwhile."""

    CLAIMED = enum.auto()
    CHANGED = enum.auto()


CLAIMED, CHANGED = Found.CLAIMED, Found.CHANGED


class StageClaims:
    """A claim for each stage that is being run or restored.

    It lasts until the record is on disk: whoever waited for it then finds the stage up to date.
    """

    def __init__(self, repo: Repo, run: str):
        self._repo = repo
        self._run = run
        allow_many()
        self._claims = repo.claims("mlx repro", run)
        declared = repo.declared
        data = [artifact.path for artifact in declared.artifacts.values()]
        self._units = Units([*declared.outs, *data])
        self._mine: dict[str, Claim] = {}
        self._recorded: list[str] = []
        self._waiting: list[str] = []
        self._look_at = 0.0

    def take(self, action: Action) -> Found | Held:
        """Claim what a stage writes, and with others what it reads.

        What another has is waited for: `due` says when to try again. A stage has to be decided
        about anew (CHANGED) when another run wrote records since they were read, or was killed and
        left something that is put back now.

        Raises:
            EnvironmentFailed: when it is a run that waits for this one.
        """
        stage = action.stage
        outs = self._units.touched(out.path for out in stage.outs)
        read: list[RepoPath] = [dep.path for dep in action.deps]
        read += [ref.file for ref in stage.params]
        shared = self._units.touched(read)
        found = self._claims.take(outs, shared, f"mlx repro, stage {stage.address}")
        if isinstance(found, Held):
            self._waiting.append(stage.address)
            self._look_at = time.monotonic() + LOOK_SECONDS
            return found
        left = [aside.paths for aside in left_behind(self._repo, self._run)]
        is_left = not outs.isdisjoint(path for paths in left for path in paths)
        if is_left or not self._repo.is_observed_now:
            found.release()
            if is_left:
                recover(self._repo, self._claims)
            return CHANGED
        self._mine[stage.address] = found
        return CLAIMED

    @property
    def is_waiting(self) -> bool:
        """Say whether stages wait for what others have."""
        return bool(self._waiting)

    def due(self) -> list[str]:
        """Return the stages that wait, when it is time to look at them again."""
        if time.monotonic() < self._look_at:
            return []
        waiting, self._waiting = self._waiting, []
        return waiting

    def share(self, address: str) -> None:
        """Let others read what a stage has made."""
        self._mine[address].share()

    def recorded(self, address: str) -> None:
        """Take note that a stage's record waits to be written."""
        if address in self._mine:
            self._recorded.append(address)

    @property
    def is_many(self) -> bool:
        """Say whether the records should be written soon."""
        return len(self._recorded) >= MANY

    def release(self, address: str) -> None:
        """Give up what a stage has."""
        claim = self._mine.pop(address, None)
        if claim is not None:
            claim.release()

    def release_recorded(self) -> None:
        """Give up what those stages have whose records are written now."""
        for address in self._recorded:
            self.release(address)
        self._recorded = []

    def close(self) -> None:
        """Give up everything."""
        for address in list(self._mine):
            self.release(address)
