"""What may happen in three worktrees: the alphabet of the stories in test_interleavings.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from hypothesis import strategies as st
from oracle import TOPS, Files, Rows, below, covers

NAMES = ("A", "B", "W")  # W is a second worktree of A
PATHS = ("data/a", "data/b", "data/sub", "data/sub/c", "sets/raw/x", "sets/raw/y", "one.bin")
# By name: a story is printed, and two of them are large.
CONTENTS = {
    "empty": b"",
    "0": b"0\n",
    "1": b"1\n",
    "22": b"22\n",
    "large": b"L" * (1 << 20),
    "larger": b"M" * ((1 << 20) + 1),
}


class Act(NamedTuple):
    """An mlx command: its verb, what it is about, and an option.

    `pick` chooses the commit for --rev, and then `commit` is it.
    """

    verb: str
    target: str = ""
    option: str = ""
    pick: int = 0
    commit: str = ""

    @property
    def changes_workspace(self) -> bool:
        return self.verb in ("add", "checkout", "rm")


places = st.sampled_from(NAMES)


def some_acts(verb: str, targets: tuple[str, ...], options: tuple[str, ...]):
    """Return a strategy for the uses of a verb."""
    drawn = st.tuples(st.sampled_from(targets), st.sampled_from(options), st.integers(0, 9))
    return drawn.map(lambda fields: Act(verb, *fields))


shares = st.integers(0, 99)  # of a command's way, in percent: where it is held or killed
# A number is new content, or, below 0, what was written so long ago: it may be garbage now.
contents = st.sampled_from((*CONTENTS, 0, 0, 0, 0, -1, -2, -3))
adds = some_acts("add", (*TOPS, "data/a", "data/sub", "-u"), ("",))
checkouts = some_acts("checkout", ("", *TOPS), ("", "--force", "--rev"))
removals = some_acts("rm", TOPS, ("", "--cached", "--force"))
collection = st.just(Act("gc"))
upkeep = st.sampled_from(
    (Act("gc"), Act("gc", option="--undo"), Act("gc", option="--empty-trash"), Act("fsck"),
     Act("fsck", option="--data"), Act("status"))
)  # fmt: skip
acts = adds | checkouts | removals | upkeep | collection
# What git may do while an mlx command runs; none of it leaves a conflict.
beside = st.sampled_from(
    ("commit -qam x", "reset -q --hard", "stash -q", "add mlx.lock", "switch -q side")
)
GIT = (
    "commit -qm x", "commit -qm y", "add mlx.lock", "reset -q --hard", "reset -q --hard HEAD~1",
    "reset -q HEAD~1", "switch -q -c side", "switch -q side", "switch -q main",
    "checkout -q --detach",
    "branch -q -D side", "tag t", "tag -d t", "stash -q", "stash pop -q", "stash drop -q",
    "reflog expire --expire=now --all", "update-ref -d ORIG_HEAD", "gc -q --prune=now",
)  # fmt: skip
# Ways in which git keeps a lockfile that is nowhere else then.
KEPT = (
    "add mlx.lock", "commit -qm x; reset -q --hard HEAD~1; update-ref -d ORIG_HEAD",
    "commit -qm x; tag t; reset -q --hard HEAD~1; reflog expire --expire=now --all",
    "stash -q", "stash -q; stash -q", "commit -qm x; checkout -q --detach HEAD~1",
)  # fmt: skip


class Step(NamedTuple):
    """What happens in one place: an mlx command, or git's words."""

    place: str
    act: Act | str


steps = st.builds(Step, places, acts)
others = st.builds(Step, places, collection | acts | beside)


_put = {"name": places, "path": st.sampled_from(PATHS)}
_edit = {**_put, "content": contents}
_fill = {"top": st.sampled_from(TOPS[:2]), "seed": st.integers(0, 2), "some": st.booleans()}
_killed = {"step": steps, "again": st.booleans()}
_more = st.lists(others, min_size=1, max_size=2)
_clock = st.integers(1, 60)  # milliseconds
# Each kind of thing that can happen: how often, and what it needs.
MOVES: dict[str, tuple[int, dict[str, st.SearchStrategy[Any]]]] = {
    "edit": (1, _edit),
    "record": (4, _edit),
    "fill": (2, {"name": places, **_fill}),
    "delete": (1, {"name": places, "path": st.sampled_from((*PATHS, *TOPS))}),
    "git": (4, {"name": places, "words": st.sampled_from(GIT)}),
    "alone": (3, {"step": steps}),
    "collect": (2, {"name": places}),
    "killed_at_a_step": (3, {**_killed, "at": shares}),
    "killed_at_a_time": (1, {**_killed, "after": _clock}),
    "held_while_gc_runs": (3, {**_edit, "act": adds | checkouts, "other": places, "at": shares}),
    "gc_held": (3, {**_edit, "act": acts, "other": places, "at": shares}),
    "named_somewhere": (3, {**_put, "words": st.sampled_from(KEPT), "other": places}),
    "added_anew": (2, {**_put, "other": places, "at": shares}),
    "held_while_others_run": (2, {"step": steps, "at": shares, "more": _more}),
    "together": (2, {"step": steps, "more": _more, "after": st.none() | _clock}),
    "read_an_old_version": (1, {"name": places, "pick": st.integers(0, 30)}),
}
moves = st.sampled_from([name for name, (often, _) in MOVES.items() for _ in range(often)]).flatmap(
    lambda name: st.tuples(st.just(name), st.fixed_dictionaries(MOVES[name][1]))
)


class View(NamedTuple):
    """What a worktree holds at a moment, and what its lockfile names."""

    files: Files
    rows: Rows


def compatible(wanted: Sequence[Step]) -> list[Step]:
    """Leave out what another step rules out: in a worktree one mlx changes files, and one git."""
    chosen: list[Step] = []
    for step in wanted:
        if _role(step) is None or all(_role(step) != _role(other) for other in chosen):
            chosen.append(step)
    return chosen


def _role(step: Step) -> tuple[str, bool] | None:
    if isinstance(step.act, str):
        return step.place, False
    return (step.place, True) if step.act.changes_workspace else None


def sensible(before: View, act: Act) -> Act:
    """Let a command be about something that is there, mostly: else it would do nothing.

    An add inside a folder that is not tracked is one of the folder: they would overlap.
    """
    if not act.changes_workspace or act.target in ("", "-u"):
        return act
    here = [path for path in before.files if act.verb == "add"] or list(before.rows)
    target = act.target
    if act.pick and here and not any(covers(target, path) for path in here):
        target = here[act.pick % len(here)]
    top = next(top for top in TOPS if covers(top, target))
    return act._replace(target=target if top in before.rows else top)


def codes(act: Act, before: View) -> set[int]:
    """Return the exit codes that a command may end with."""
    has_row = act.target in before.rows
    if act.verb == "add":
        is_here = bool(below(before.files, act.target))
        return {0} if is_here and act.target in TOPS else {0, 1, 2}
    if act.verb == "checkout":
        if act.target and not has_row:
            return {0, 1, 2}
        return {0} if act.option == "--force" else {0, 1, 2} if act.option else {0, 1}
    if act.verb == "rm":
        return ({0} if act.option else {0, 1}) if has_row else {2}
    return {0, 3} if act.option == "--undo" else {0}
