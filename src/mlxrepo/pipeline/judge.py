"""The judge: resolves a stage's inputs, asks what is known, and decides; it changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from mlxrepo.errors import MlxError
from mlxrepo.paths import RepoPath
from mlxrepo.pipeline.action import Action
from mlxrepo.pipeline.actioncache import ActionCache, Result
from mlxrepo.pipeline.decide import (
    DEFAULT,
    RUN,
    UP_TO_DATE,
    Decision,
    Rules,
    as_result,
    decide,
    decide_frozen,
)
from mlxrepo.pipeline.dropped import DroppedOuts
from mlxrepo.pipeline.inputs import Inputs
from mlxrepo.pipeline.settled import Settled
from mlxrepo.pipeline.sound import has_its_key, has_its_metrics
from mlxrepo.progress import SILENT, Progress
from mlxrepo.repo.layout import ACTIONS_FOLDER, LOCK_FILE
from mlxrepo.repo.lockfile import Output, StageRecord, parse_lock
from mlxrepo.repo.observed import Tracked
from mlxrepo.repo.repo import Repo
from mlxrepo.repo.stage import Stage
from mlxrepo.store.tree import Entry

Present = dict[RepoPath, Entry | None]


class Judge:
    """Decides about stages of one look at the repository.

    One that `acts` keeps gc from what it decides to restore.
    """

    def __init__(
        self,
        repo: Repo,
        *,
        rules: Rules = DEFAULT,
        acts: bool = False,
        progress: Progress = SILENT,
    ):
        self.repo = repo
        self.inputs = Inputs(repo, progress=progress, allow_missing=rules.allow_missing)
        self.actions = ActionCache(repo.shared(ACTIONS_FOLDER))
        self._rules = rules
        self._dropped = DroppedOuts(repo, self.inputs)
        self._settled = Settled(repo, self.inputs)
        self._looked: dict[str, bool] = {}  # in this moment
        # Noted at the end, when files are old enough for their stats to tell of changes.
        self._fresh: dict[str, tuple[Stage, StageRecord, Mapping[str, str]]] = {}
        self._is_stored: Callable[[Entry], bool] = repo.store.pin if acts else repo.store.is_whole
        self._read_records()

    def _read_records(self) -> None:
        self.records: dict[str, StageRecord] = self.repo.observed.stages()
        self._by_key: dict[str, list[StageRecord]] = {}
        for record in self.records.values():
            self._by_key.setdefault(record.key, []).append(record)

    def reload(self) -> None:
        """Read anew what others may have recorded meanwhile."""
        self._read_records()
        self.inputs.reload()
        self.look_again()

    def catch_up(self, items: list[Tracked]) -> None:
        """Get data that is older than recorded out of the way of a run: here, refuse it.

        Raises:
            Refused: which of both is meant, the user says.
        """
        from mlxrepo.repo.update import behind  # a look that finds none need not load it

        raise behind(self.repo, items)

    def is_settled(self, stage: Stage) -> bool:
        """Say whether a stage is up to date without asking why: nothing it touches was touched."""
        known = self._looked.get(stage.address)
        if known is None:
            known = self._looked[stage.address] = self._look(stage)
        return known

    def _look(self, stage: Stage) -> bool:
        record = self.records.get(stage.address)
        if record is None or stage.address in self._rules.forced:
            return False
        try:
            environment = self.inputs.environment(stage)
        except MlxError:
            return False  # `decide` says what is wrong
        return self._settled.holds(stage, record, environment)

    def look_again(self) -> None:
        """Forget what was settled: something is about to change, or time passes."""
        self._looked.clear()

    def settle(self, stage: Stage, record: StageRecord) -> None:
        """Count a stage as up to date: its inputs were compared with its record just now."""
        prints: dict[str, str] = {
            ref.file: self.inputs.parsed_print(ref.file) for ref in stage.params
        }
        self._fresh[stage.address] = (stage, record, prints)

    def save(self) -> None:
        """Keep what was found out, for the next look."""
        for stage, record, prints in self._fresh.values():
            self._settled.note(stage, record, prints)
        self._fresh.clear()
        self._settled.save()

    def decide(self, stage: Stage) -> Decision:
        """Resolve a stage's inputs and decide about it.

        Raises:
            InputError: when an input is nowhere, or an out of a frozen stage.
            ObjectMissing: when it has to run, and goes on from an out that was dropped.
        """
        record = self.records.get(stage.address)
        if stage.frozen:
            action = _as_recorded(stage, record)
            present = self._present(stage, record, action)
            return decide_frozen(action, record, present, self._is_stored, self._rules)
        action = self.inputs.action(stage, record)
        present = self._present(stage, record, action)
        sound = record is None or (
            has_its_key(record) and has_its_metrics(record, self.repo, self.inputs.scan)
        )
        decision = decide(
            action,
            record,
            self._dropped.filled(record, present),
            lambda: self._known(action),
            self._is_stored,
            self._rules,
            sound=sound,
        )
        if decision.word == RUN:
            self._dropped.check_persisting(stage, record, present)
        if decision.word == UP_TO_DATE and record:
            self._settled.note(stage, record)
        return decision

    def _present(self, stage: Stage, record: StageRecord | None, action: Action) -> Present:
        """Return what lies at each out of a stage."""
        outs = {out.path for out in stage.outs}
        if stage.frozen and record is not None:  # it keeps what was recorded, whatever is declared
            outs |= {out.path for out in record.outs}
        return {path: self.inputs.scan.entry(path) for path in outs}

    # what a judge that knows remotes does otherwise

    def reach(self, stage: Stage) -> None:
        """Get what is needed to look at a stage's inputs."""

    def to_place(self, decision: Decision) -> list[Output]:
        """Return those of the outs to restore that belong into the workspace now."""
        return list(decision.result.outs) if decision.result else []

    def lost_makers(self, stage: Stage) -> list[str]:
        """Name the stages whose outs this one needs, and which turn out not to be had."""
        return []

    def note(self, stage: Stage, record: StageRecord) -> None:
        """Count a stage as recorded so, for those that need it."""
        self.look_again()
        self.records[stage.address] = record
        self._by_key.setdefault(record.key, []).append(record)
        self.inputs.note_outs(stage, record.outs)

    def _known(self, action: Action) -> Iterable[Result]:
        """Return what came out of an action before: of the lockfile first, whatever the stage."""
        recorded = [
            as_result(record)
            for record in reversed(self._by_key.get(action.key, []))
            if not record.state and has_its_key(record)  # else it is no run of this action
        ]
        results = self.actions.get(action.key)
        if not recorded and len({result.content for result in results}) > 1:
            results = by_history(self.repo, action.key, results)
        return recorded + results


def _as_recorded(stage: Stage, record: StageRecord | None) -> Action:
    """Return a stage with the inputs that its record says it had, whatever they are now."""
    if record is None:
        return Action(stage, (), {}, {})
    return Action(stage, record.deps, record.params, record.environment)


def by_history(repo: Repo, key: str, results: list[Result]) -> list[Result]:
    """Sort different results of one action: the one named most recently in history comes first."""
    for commit in repo.git.history(LOCK_FILE):
        for path, data in repo.git.files_at(commit, LOCK_FILE).items():
            if key.encode() not in data:
                continue
            try:
                records = parse_lock(data, path)
            except MlxError:
                continue  # somebody committed a lockfile that was not whole
            for record in records.values():
                if isinstance(record, StageRecord) and record.key == key:
                    named = as_result(record).content
                    return sorted(results, key=lambda result: result.content != named)
    return results
