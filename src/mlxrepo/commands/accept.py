"""mlx accept: take the present outs of stages as the result of their present inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mlxrepo.errors import InputError, Refused
from mlxrepo.paths import RepoPath, display
from mlxrepo.pipeline.action import Action
from mlxrepo.pipeline.actioncache import Result
from mlxrepo.pipeline.claiming import CLAIMED, StageClaims
from mlxrepo.pipeline.collect import collect
from mlxrepo.pipeline.decide import UP_TO_DATE, Reason, differences
from mlxrepo.pipeline.edited import record_edited
from mlxrepo.pipeline.graph import build_graph
from mlxrepo.pipeline.hide import Hider
from mlxrepo.pipeline.judge import Judge
from mlxrepo.pipeline.maker import email
from mlxrepo.pipeline.recording import Recorder, make_record
from mlxrepo.progress import SILENT, Progress
from mlxrepo.repo.claims import Held
from mlxrepo.repo.declared import lock_path
from mlxrepo.repo.lockfile import StageRecord
from mlxrepo.repo.repo import Repo
from mlxrepo.repo.stage import Stage
from mlxrepo.repo.targets import resolve_stages
from mlxrepo.repo.update import Updated


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
        Refused: when one of them is running, or something changed meanwhile.
    """
    if not why.strip():
        raise InputError("a reason is needed", hint="mlx accept STAGE -m WHY")
    addresses = resolve_stages(targets, repo.place, repo.declared)
    graph = build_graph(repo.declared)
    addresses = [address for address in graph.order if address in addresses]
    updated = () if dry_run else record_edited(repo, graph, addresses)
    note = {"by": email(repo.git), "why": why.strip()}
    judge, claims, recorder = Judge(repo, progress=progress), StageClaims(repo, ""), Recorder(repo)
    accepted: list[AcceptedStage] = []
    try:
        for address in addresses:
            stage = graph.stages[address]
            found = _inspect(judge, claims, stage)
            if found is not None:
                accepted.append(found)
                if not dry_run:
                    _record(judge, recorder, stage, note)
    finally:
        if not dry_run:
            recorder.flush()
        claims.close()
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


def _inspect(judge: Judge, claims: StageClaims, stage: Stage) -> AcceptedStage | None:
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
    held = claims.take(decision.action)
    if held is not CLAIMED:
        what = str(held) if isinstance(held, Held) else f"the record of {stage.address} was written"
        raise Refused(f"{what} meanwhile: it was not accepted", hint="again, when that is done")
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
    return (*differences(action, record), *edited)


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
