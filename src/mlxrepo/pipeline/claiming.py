"""Claims of the stages of a run: what each is about to write, and what it reads."""

from __future__ import annotations

import enum
import time
from functools import cached_property

from mlxrepo.paths import RepoPath, display
from mlxrepo.pipeline.action import Action
from mlxrepo.pipeline.aside import left_behind, recover
from mlxrepo.pipeline.inputs import Inputs
from mlxrepo.repo.claims import LOOK_SECONDS, Claim, Held, Units, allow_many, units_of
from mlxrepo.repo.stage import Stage
from mlxrepo.repo.update import behind, modified, update_tracked

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

    def __init__(self, inputs: Inputs, run: str, what: str = "mlx repro"):
        self._inputs = inputs
        self._repo = inputs.repo
        self._run = run
        self._claims = inputs.repo.claims(what, run)
        self._mine: dict[str, Claim] = {}
        self._recorded: list[str] = []
        self._edited: set[str] = set()
        self._waiting: dict[str, Held] = {}
        self._look_at = 0.0

    @cached_property
    def _units(self) -> Units:
        return units_of(self._repo.declared)

    def take(self, action: Action) -> Found | Held:
        """Claim what a stage writes, and with others what it reads.

        What another has is waited for: `due` says when to try again. A stage has to be decided
        about anew (CHANGED) when another run wrote records since they were read, or was killed and
        left something that is put back now, or when data that it reads was edited.

        Raises:
            EnvironmentFailed: when it is a run that waits for this one.
        """
        if not self._mine:
            allow_many()
        address = action.stage.address
        outs, read = self._paths(action)
        found = self._claims.take(outs, read, address)
        if isinstance(found, Held):
            self.wait_for(address, found)
            return found
        touched = {*outs, *read}
        is_left = any(not touched.isdisjoint(a.paths) for a in left_behind(self._repo, self._run))
        try:
            edited = self._record_edited(action)
        except BaseException:
            found.release()
            raise
        if is_left or edited or not self._repo.is_observed_now:
            found.release()
            if is_left:
                recover(self._repo, self._claims, self._inputs.progress.note)
            return CHANGED
        self._mine[address] = found
        return CLAIMED

    def _record_edited(self, action: Action) -> bool:
        """Record data that was edited since the run began: what is read has to be in the store.

        Once for a stage: what never holds still is found changed when the stage has run.

        Raises:
            Refused: when it is older than recorded, for a `git pull` came meanwhile.
        """
        edited = self._inputs.edited(action)
        if not edited or action.stage.address in self._edited:
            return False
        self._edited.add(action.stage.address)
        keep = self._inputs.allow_missing
        found = modified(self._repo, edited, keep_deleted=keep)
        if found.behind:
            raise behind(self._repo, found.behind)
        for tracked in found.edited:
            update_tracked(self._repo, tracked, tracked.path, keep_deleted=keep)
            self._inputs.progress.note(f"recorded first: {display(tracked.path)} had changed")
        return bool(found.edited)

    def _paths(self, action: Action) -> tuple[list[RepoPath], set[RepoPath]]:
        """Return what a stage writes, and itself, for there may be no outs; and what it reads."""
        stage = action.stage
        outs = sorted(self._units.touched(out.path for out in stage.outs))
        read: list[RepoPath] = [dep.path for dep in action.deps]
        read += [ref.file for ref in stage.params]
        return [*outs, RepoPath(f"stage:{stage.address}")], self._units.touched(read)

    def maker_at_work(self, stage: Stage) -> Held | None:
        """Return an input of a stage that another is making just now: it is missing until then."""
        for path in self._units.touched(dep.path for dep in stage.deps):
            if holder := self._claims.holder(path):
                return Held(path, holder, alone=False)
        return None

    def wait_for(self, address: str, held: Held) -> None:
        """Take note that a stage waits."""
        self._waiting[address] = held
        self._look_at = time.monotonic() + LOOK_SECONDS

    @property
    def is_waiting(self) -> bool:
        """Say whether stages wait for what others have."""
        return bool(self._waiting)

    def due(self) -> list[str]:
        """Return the stages that wait, when it is time to look at them again."""
        if time.monotonic() < self._look_at:
            return []
        self._look_at = time.monotonic() + LOOK_SECONDS
        if self._repo.is_observed_now:  # else what was waited for may be done already
            due = [a for a, held in self._waiting.items() if self._claims.is_free(held)]
        else:
            due = list(self._waiting)
        for address in due:
            del self._waiting[address]
        return due

    def share(self, address: str) -> None:
        """Let others read what a stage has made, or what was restored."""
        if address in self._mine:
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
