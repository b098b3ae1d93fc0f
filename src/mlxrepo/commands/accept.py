"""mlx accept: take the present outs of stages as the result of their present inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mlxrepo.errors import EnvironmentFailed, InputError, Refused
from mlxrepo.paths import RepoPath, display
from mlxrepo.pipeline.action import Action
from mlxrepo.pipeline.actioncache import Result
from mlxrepo.pipeline.aside import left_behind
from mlxrepo.pipeline.collect import collect
from mlxrepo.pipeline.decide import UP_TO_DATE, Reason, differences
from mlxrepo.pipeline.edited import find_edited, record_edited
from mlxrepo.pipeline.graph import Graph, build_graph, read_paths
from mlxrepo.pipeline.hide import Hider
from mlxrepo.pipeline.judge import Judge
from mlxrepo.pipeline.maker import email
from mlxrepo.pipeline.recording import Recorder, make_record
from mlxrepo.progress import SILENT, Progress
from mlxrepo.repo.claims import Claim, Held, units_of
from mlxrepo.repo.declared import lock_path
from mlxrepo.repo.lockfile import StageRecord
from mlxrepo.repo.repo import Repo
from mlxrepo.repo.stage import Stage
from mlxrepo.repo.targets import resolve_stages
from mlxrepo.repo.update import Updated, behind


@dataclass(frozen=True, slots=True)
class AcceptedStage:
    """A stage whose record was replaced, and what had changed of its inputs and outs."""

    stage: str
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Accepted:
    """What was accepted; `fresh` are stages that were up to date, and stay as they are recorded.

    `updated` is changed data that was recorded first.
    """

    stages: tuple[AcceptedStage, ...]
    fresh: tuple[str, ...]
    by: str
    why: str
    updated: tuple[Updated, ...]
    to_commit: tuple[RepoPath, ...]
    applied: bool = True


def accept(
    repo: Repo,
    targets: Sequence[str],
    why: str,
    *,
    dry_run: bool = False,
    progress: Progress = SILENT,
) -> Accepted:
    """Record the present outs of stages as what their present inputs lead to, without a run.

    The records say so, by whom and why, and no other clone takes them for runs. With `dry_run`
    everything is checked and nothing is written.

    Raises:
        InputError: for a target that is no stage, one that always runs, or an out or an input that
            is not here.
        EnvironmentFailed: when one of them is running.
        Refused: when something changed meanwhile, a run that was killed has outs aside, or data is
            older than recorded.
    """
    if not why.strip():
        raise InputError("a reason is needed", hint="mlx accept STAGE -m WHY")
    addresses = resolve_stages(targets, repo.place, repo.declared)
    graph = build_graph(repo.declared)
    addresses = [address for address in graph.order if address in addresses]
    updated = _record_edited(repo, graph, addresses, dry_run)
    note = {"by": email(repo.git), "why": why.strip()}
    judge = Judge(repo, progress=progress)
    stages = [graph.stages[address] for address in addresses]
    with _claim(repo, stages):
        # All are looked at before any is recorded: either all are accepted or none is.
        accepted = [found for stage in stages if (found := _inspect(judge, stage))]
        if not dry_run:
            recorder = Recorder(repo)
            for item in accepted:
                _record(judge, recorder, graph.stages[item.stage], note)
            recorder.flush()
    names = {item.stage for item in accepted}
    locks = {lock_path(graph.stages[name].file) for name in names}
    return Accepted(
        tuple(accepted),
        tuple(address for address in addresses if address not in names),
        note["by"],
        note["why"],
        updated,
        tuple(repo.git.uncommitted(locks)) if not dry_run else (),
        not dry_run,
    )


def _record_edited(
    repo: Repo, graph: Graph, addresses: list[str], dry_run: bool
) -> tuple[Updated, ...]:
    found = find_edited(repo, graph, addresses)
    if found.behind:
        raise behind(repo, found.behind)
    return () if dry_run else record_edited(repo, found)


def _claim(repo: Repo, stages: list[Stage]) -> Claim:
    """Claim what the stages made and read: nobody is to write it now.

    Raises:
        EnvironmentFailed: when somebody does.
        Refused: when a run was killed and its last good outs are still aside.
    """
    units = units_of(repo.declared)
    outs = units.touched(out.path for stage in stages for out in stage.outs)
    read = units.touched(path for stage in stages for path in read_paths(stage))
    claim = repo.claims("mlx accept").take(sorted(outs), read)
    if isinstance(claim, Held):
        raise EnvironmentFailed(f"{claim}: nothing was accepted", hint="again, when it is done")
    left = [path for aside in left_behind(repo) for path in aside.paths if path in outs]
    if left:
        claim.release()
        raise Refused(
            f"a run that was killed has set {display(left[0])} aside, so what is here is not the "
            "last good out",
            hint="mlx checkout puts it back; what lies there now is kept, and it says where",
        )
    return claim


def _inspect(judge: Judge, stage: Stage) -> AcceptedStage | None:
    """Look whether a stage can be accepted; None when it is up to date."""
    if stage.always_changed:
        raise InputError(
            f"stage {stage.address} always runs, whatever is recorded",
            hint="take always_changed: true out of it first",
            where=stage.where,
        )
    decision = judge.decide(stage)
    if decision.word == UP_TO_DATE and not stage.frozen:
        return None
    for out in stage.outs:
        if judge.inputs.scan.entry(out.path) is None:
            raise InputError(
                f"{display(out.path)}, an out of stage {stage.address}, is not here, so there is "
                "nothing to accept",
                hint=f"mlx checkout {display(out.path)}, or mlx repro {stage.address}",
                where=out.where,
            )
    action = judge.inputs.action(stage)
    return AcceptedStage(stage.address, _changed(judge, action))


def _changed(judge: Judge, action: Action) -> tuple[Reason, ...]:
    """Name what differs from the record: inputs, and outs that were edited."""
    record = judge.records.get(action.stage.address)
    known = {out.path: out.entry.oid for out in record.outs} if record else {}
    edited = [
        Reason("out", out.path, known[out.path], "was changed")
        for out in action.stage.outs
        if (here := judge.inputs.scan.entry(out.path)) and known.get(out.path, here.oid) != here.oid
    ]
    merged = [Reason("merged")] if record and record.is_unverified else []
    return (*differences(action, record), *merged, *edited)


def _record(judge: Judge, recorder: Recorder, stage: Stage, note: dict[str, str]) -> None:
    repo = judge.repo
    Hider(repo, [stage]).hide(stage)
    action = judge.inputs.action(stage)
    with repo.store.batch() as batch:
        made = collect(repo, batch, stage, {})
    result = Result(made.outs, made.metrics, accepted=note)
    changed = judge.inputs.changed(action)
    if changed:
        raise Refused(
            f"{display(changed[0])} changed while stage {stage.address} was being accepted",
            hint="again, when nothing writes there",
        )
    record: StageRecord = make_record(repo, action, result)
    recorder.note(stage, record)
    judge.note(stage, record)
