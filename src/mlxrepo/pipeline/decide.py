"""Deciding what to do about a stage: pure, and always with its reasons."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from mlxrepo.errors import InputError
from mlxrepo.paths import RepoPath, display
from mlxrepo.pipeline.action import Action
from mlxrepo.pipeline.actioncache import Result
from mlxrepo.repo.lockfile import Output, StageRecord
from mlxrepo.repo.stage import Stage
from mlxrepo.store.compare import same
from mlxrepo.store.tree import Entry

UP_TO_DATE = "up-to-date"
RESTORE = "restore"
RUN = "run"
MAY_RUN = "may-run"
BLOCKED = "blocked"


class Rules(NamedTuple):
    """What the user asked for: `forced` stages run, whatever is known.

    `allow_missing`: an out that is not here does not count, what is recorded of it does.
    `run_cache`: results of earlier runs count, not only what is on record.
    """

    forced: frozenset[str] = frozenset()
    allow_missing: bool = False
    run_cache: bool = True


DEFAULT = Rules()


class Reason(NamedTuple):
    """One cause: what kind of thing, its name, what it was and what it is.

    `what` is a key of `_SENTENCES`; values of params are as `mlxrepo.values.encode` gives them.
    """

    what: str
    name: str = ""
    old: Any = None
    new: Any = None

    def __str__(self) -> str:
        known = _SENTENCES.get(self.what)
        return known(self) if known else self.what  # as a newer mlx wrote it into the journal


def _change(reason: Reason) -> str:
    old, new = _short(reason.old, str), _short(reason.new, str)
    if old == new:  # "1" and 1, or two long texts
        old, new = _short(reason.old, repr), _short(reason.new, repr)
    return f"{reason.name} {old} -> {new}"


def _short(value: Any, text: Callable[[Any], str]) -> str:
    from mlxrepo.values import Reading, decode

    value = decode(value)
    if isinstance(value, Reading):
        return f"{_short(value.yaml12, text)} (in YAML 1.1 {_short(value.yaml11, text)})"
    shown = display(text(value))
    return shown if len(shown) <= 30 else shown[:27] + "..."


def _turn(reason: Reason) -> str:
    if reason.new is None:
        return "is no longer set"
    return "is set now" if reason.old is None else "changed"


def _known(value: Any) -> str:
    return "none" if value is None else display(str(value))


_SENTENCES: Mapping[str, Callable[[Reason], str]] = {
    "new": lambda r: "it never ran",
    "forced": lambda r: "forced",
    "always": lambda r: "it always runs",
    "frozen": lambda r: "it is frozen",
    "command": lambda r: "the command changed",
    "key": lambda r: "its record was changed by hand",
    "place": lambda r: "its working folder or outs changed",
    # What is declared of the environment; values of variables are not for the screen.
    "file": lambda r: f"{display(r.name)} changed",
    "file-added": lambda r: f"{display(r.name)} is new in the environment",
    "file-removed": lambda r: f"{display(r.name)} is no longer in the environment",
    "variable": lambda r: f"the variable {display(r.name)} {_turn(r)}",
    "variable-added": lambda r: f"the variable {display(r.name)} is a new input",
    "variable-removed": lambda r: f"the variable {display(r.name)} is no longer an input",
    "interpreter": lambda r: f"the interpreter changed: {_known(r.old)} -> {_known(r.new)}",
    "interpreter-added": lambda r: "the interpreter is a new input",
    "interpreter-removed": lambda r: "the interpreter is no longer an input",
    "shell": lambda r: f"the shell changed: {_known(r.old)} -> {_known(r.new)}",
    "shell-added": lambda r: f"the shell is pinned now: {_known(r.new)}",
    "shell-removed": lambda r: "the shell is no longer pinned",
    "upstream": lambda r: f"{display(r.name)} may run first",
    # What nobody declared: only told, never a cause.
    "undeclared": lambda r: f"{display(r.name)} {_known(r.old)} -> {_known(r.new)}",
    "merged": lambda r: "both sides of a merge ran it",
    "accepted": lambda r: f"accepted by {display(r.old or 'somebody')}: {display(r.new)}",
    "rests-on": lambda r: f"rests on {display(r.name)}, which was accepted",
    "out": lambda r: f"{display(r.name)} {r.new}",
    "param": _change,
    "param-added": lambda r: f"{r.name} is a new param",
    "param-removed": lambda r: f"{r.name} is no longer a param",
    "dep": lambda r: f"{display(r.name)} changed",
    "dep-added": lambda r: f"{display(r.name)} is a new dep",
    "dep-removed": lambda r: f"{display(r.name)} is no longer a dep",
}


def sentence(reasons: Sequence[Reason]) -> str:
    """Return reasons as one short sentence."""
    listed = [str(reason) for reason in reasons[:3]]
    more = len(reasons) - len(listed)
    return ", ".join(listed) + (f" and {more} more" if more > 0 else "")


class Decision(NamedTuple):
    """What to do about an action and why; `result` is what is known to come out of it.

    `notes` are for the user: whose result it is, or why one was not taken.
    """

    action: Action
    word: str
    reasons: tuple[Reason, ...] = ()
    result: Result | None = None
    notes: tuple[str, ...] = ()

    @property
    def why(self) -> str:
        """Return the reasons as one short sentence."""
        return sentence(self.reasons)


def decide(
    action: Action,
    record: StageRecord | None,
    present: Mapping[RepoPath, Entry | None],
    cached: Callable[[], Iterable[Result]],
    is_stored: Callable[[Entry], bool],
    rules: Rules = DEFAULT,
    *,
    sound: bool = True,
) -> Decision:
    """Decide about one stage whose inputs are known.

    `sound` is false for a record that was changed by hand: it does not count. `present` is what
    lies at each out now; `cached` gives the results known for the action's key, best first; a
    result is usable only if every one of its objects is stored.
    """
    stage = action.stage
    if stage.address in rules.forced:
        return Decision(action, RUN, (Reason("forced"),))
    if stage.always_changed:
        return Decision(action, RUN, (Reason("always"),))
    reasons = differences(action, record)
    known: list[Result] = []
    if record is not None and not sound:
        reasons = (Reason("key", "", record.key, action.key),)
    elif record is not None and record.key == action.key:
        known = [as_result(record)]
        reasons = (*_unsettled(record), *_lost_outs(record.outs, present, rules))
        if not reasons:
            return Decision(action, UP_TO_DATE, (), known[0])
    # An out that persists is an input that no key names: only the record is about this one.
    others = cached if rules.run_cache and not _persists(stage) else list[Result]
    for result in _each(known, others):
        if all(is_stored(out.entry) for out in result.outs):
            return Decision(action, RESTORE, reasons, result)
    return Decision(action, RUN, reasons)


def decide_frozen(
    action: Action,
    record: StageRecord | None,
    present: Mapping[RepoPath, Entry | None],
    is_stored: Callable[[Entry], bool],
    rules: Rules = DEFAULT,
) -> Decision:
    """Decide about a stage that does not run, whatever changed; `action` is that of its record.

    Raises:
        InputError: when an out is not here and cannot be brought back.
    """
    frozen = (Reason("frozen"),)
    if record is not None:
        result = as_result(record)
        lost = _lost_outs(record.outs, present, rules)
        if not lost:
            return Decision(action, UP_TO_DATE, frozen, result)
        if all(is_stored(out.entry) for out in record.outs):
            return Decision(action, RESTORE, (*frozen, *lost), result)
    missing = [out for out in action.stage.outs if present.get(out.path) is None]
    if missing:
        raise InputError(
            f"stage {action.stage.address} is frozen, and its out {display(missing[0].path)} is "
            "neither here nor in the store",
            hint="bring the out here, or take frozen: true out of the stage and run it",
            where=action.stage.where,
        )
    return Decision(action, UP_TO_DATE, frozen)


def as_result(record: StageRecord) -> Result:
    """Return what a record says came out; who accepted it stays with it."""
    return Result(record.outs, record.metrics, accepted=record.accepted)


def _unsettled(record: StageRecord) -> tuple[Reason, ...]:
    """Say why a record does not count, although its key is that of the action.

    `unverified`: a merge chose it. Whatever it says is brought here again before it counts.
    """
    return (Reason("merged"),) if record.is_unverified else ()


def _persists(stage: Stage) -> bool:
    return any(out.persist for out in stage.outs)


def _each(known: Sequence[Result], cached: Callable[[], Iterable[Result]]) -> Iterator[Result]:
    """Yield results best first; the cache is asked only when it comes to that."""
    yield from known
    yield from cached()


def _lost_outs(
    outs: Sequence[Output], present: Mapping[RepoPath, Entry | None], rules: Rules
) -> tuple[Reason, ...]:
    lost = []
    for out in outs:
        found = present.get(out.path)
        if found is None:
            if rules.allow_missing:
                continue
            lost.append(Reason("out", out.path, out.entry.oid, "is missing"))
        elif not same(found, out.entry):
            lost.append(Reason("out", out.path, out.entry.oid, "was changed"))
    return tuple(lost)


def differences(action: Action, record: StageRecord | None) -> tuple[Reason, ...]:
    """Name what differs between a stage now and its record."""
    if record is None:
        return (Reason("new"),)
    reasons: list[Reason] = []
    stage = action.stage
    if stage.cmd != record.cmd:
        reasons.append(Reason("command", "", list(record.cmd), list(stage.cmd)))
    reasons += _differing(
        "dep",
        {dep.path: [dep.entry.kind, dep.entry.oid] for dep in record.deps},
        {dep.path: [dep.entry.kind, dep.entry.oid] for dep in action.deps},
    )
    reasons += _differing("param", _flat(record.params), _flat(action.params))
    reasons += _environment(record.environment, action.environment)
    moved = {out.path for out in stage.outs} != {out.path for out in record.outs}
    if moved or stage.wdir != record.wdir:
        reasons.append(Reason("place"))
    return tuple(reasons)


def _environment(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Reason]:
    """Name the parts of the environment that changed."""
    for what in ("interpreter", "shell"):
        for reason in _differing(what, _only(old, what), _only(new, what)):
            yield reason._replace(name="")
    yield from _differing("file", old.get("files", {}), new.get("files", {}))
    yield from _differing("variable", old.get("variables", {}), new.get("variables", {}))


def _only(values: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {key: values[key]} if key in values else {}


def _differing(what: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Reason]:
    for name in sorted(old.keys() | new.keys()):
        if name not in old:
            yield Reason(f"{what}-added", name, None, new[name])
        elif name not in new:
            yield Reason(f"{what}-removed", name, old[name], None)
        elif repr(old[name]) != repr(new[name]):  # 1, 1.0 and True are equal, and not the same
            yield Reason(what, name, old[name], new[name])


def _flat(params: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {
        f"{display(file)}:{key}" if key else display(file): value
        for file, values in params.items()
        for key, value in values.items()
    }
