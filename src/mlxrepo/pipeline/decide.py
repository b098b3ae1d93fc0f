"""Deciding what to do about a stage: pure, and always with its reasons."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from mlxrepo.paths import RepoPath, display
from mlxrepo.pipeline.action import Action
from mlxrepo.pipeline.actioncache import Result
from mlxrepo.repo.lockfile import Output, StageRecord
from mlxrepo.store.compare import same
from mlxrepo.store.tree import Entry

UP_TO_DATE = "up-to-date"
RESTORE = "restore"
RUN = "run"
MAY_RUN = "may-run"
BLOCKED = "blocked"


class Reason(NamedTuple):
    """One cause: what kind of thing, its name, what it was and what it is.

    `what` is new, forced, command, dep, param, environment, out, place or upstream.
    """

    what: str
    name: str = ""
    old: Any = None
    new: Any = None

    def __str__(self) -> str:
        return _SENTENCES[self.what](self)


def _short(value: Any) -> str:
    text = display(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 30 else text[:27] + "..."


_SENTENCES: Mapping[str, Callable[[Reason], str]] = {
    "new": lambda r: "it never ran",
    "forced": lambda r: "forced",
    "command": lambda r: "the command changed",
    "place": lambda r: "its working folder or outs changed",
    "environment": lambda r: "the environment changed",
    "upstream": lambda r: f"{r.name} may run first",
    "out": lambda r: f"{display(r.name)} {r.new}",
    "param": lambda r: (
        f"{r.name} is new"
        if r.old is None
        else f"{r.name} is no longer a param"
        if r.new is None
        else f"{r.name} {_short(r.old)} -> {_short(r.new)}"
    ),
    "dep": lambda r: (
        f"{display(r.name)} is a new dep"
        if r.old is None
        else f"{display(r.name)} is no longer a dep"
        if r.new is None
        else f"{display(r.name)} changed"
    ),
}


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do about a stage and why; `result` is what a restore puts back."""

    word: str
    reasons: tuple[Reason, ...] = ()
    result: Result | None = None

    @property
    def why(self) -> str:
        """Return the reasons as one short sentence."""
        listed = [str(reason) for reason in self.reasons[:3]]
        more = len(self.reasons) - len(listed)
        return ", ".join(listed) + (f" and {more} more" if more > 0 else "")


def decide(
    action: Action,
    record: StageRecord | None,
    present: Mapping[RepoPath, Entry | None],
    cached: Callable[[], Sequence[Result]],
    is_stored: Callable[[Entry], bool],
    *,
    force: bool = False,
) -> Decision:
    """Decide about one stage whose inputs are known.

    `present` is what lies at each out now; `cached` gives the results known for the action's key,
    best first; a result is usable only if every one of its objects is stored.
    """
    if force:
        return Decision(RUN, (Reason("forced"),))
    reasons = differences(action, record)
    if record is not None and record.key == action.key:
        lost = _lost_outs(record.outs, present)
        if not lost:
            return Decision(UP_TO_DATE)
        reasons = lost
        if all(is_stored(out.entry) for out in record.outs):
            return Decision(RESTORE, lost, Result(record.outs, record.metrics))
    for result in cached():
        if all(is_stored(out.entry) for out in result.outs):
            return Decision(RESTORE, reasons, result)
    return Decision(RUN, reasons)


def _lost_outs(
    outs: Sequence[Output], present: Mapping[RepoPath, Entry | None]
) -> tuple[Reason, ...]:
    lost = []
    for out in outs:
        found = present.get(out.path)
        if found is None:
            lost.append(Reason("out", out.path, out.entry.oid, "is missing"))
        elif not same(found, out.entry):
            lost.append(Reason("out", out.path, out.entry.oid, "was changed"))
    return tuple(lost)


def differences(action: Action, record: StageRecord | None) -> tuple[Reason, ...]:
    """Name what differs between a stage now and its record."""
    if record is None:
        return (Reason("new"),)
    reasons: list[Reason] = []
    if action.cmd != record.cmd:
        reasons.append(Reason("command", "", list(record.cmd), list(action.cmd)))
    reasons += _deps(action, record)
    reasons += _params(action.params, record.params)
    if action.environment != record.environment:
        reasons.append(Reason("environment", "", record.environment, action.environment))
    moved = {out.path for out in action.outs} != {out.path for out in record.outs}
    if moved or action.wdir != record.wdir:
        reasons.append(Reason("place"))
    return tuple(reasons)


def _deps(action: Action, record: StageRecord) -> list[Reason]:
    old = {dep.path: dep.entry for dep in record.deps}
    new = {dep.path: dep.entry for dep in action.deps}
    return [
        Reason("dep", path, _oid(old.get(path)), _oid(new.get(path)))
        for path in sorted(old.keys() | new.keys())
        if not same(old.get(path), new.get(path))
    ]


def _oid(entry: Entry | None) -> str | None:
    return entry.oid if entry else None


def _params(
    now: Mapping[str, Mapping[str, Any]], then: Mapping[str, Mapping[str, Any]]
) -> list[Reason]:
    reasons = []
    for file in sorted(now.keys() | then.keys()):
        old, new = then.get(file, {}), now.get(file, {})
        for key in sorted(old.keys() | new.keys()):
            before, after = old.get(key), new.get(key)
            if repr(before) != repr(after) or (key in old) != (key in new):
                name = f"{display(file)}:{key}" if key else display(file)
                reasons.append(Reason("param", name, before, after))
    return reasons
