"""mlx metrics: numbers that stages recorded, now or at revisions, how they differ, and gates."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from mlxrepo.errors import CannotDecide, InputError
from mlxrepo.expression import Expression, parse_condition
from mlxrepo.nearest import nearest
from mlxrepo.paths import display, is_inside
from mlxrepo.pipeline.gate import Gate as Gate
from mlxrepo.pipeline.gate import Operands, judge
from mlxrepo.pipeline.goals import goal_of, verdict
from mlxrepo.pipeline.measured import WORKSPACE, Measured, Measurer, MetricsFile, Number
from mlxrepo.repo.committed import Commits
from mlxrepo.repo.repo import Repo
from mlxrepo.repo.targets import named_stages, parse_target

TAGS, BRANCHES = "refs/tags", "refs/heads"


@dataclass(frozen=True, slots=True)
class MetricChange:
    """A metric at two revisions; None where it is not there. Numbers may be NaN.

    `better` is higher or lower where a goal says so, `tolerance` the goal's, and `verdict` better,
    worse or within tolerance. `old_state` and `new_state` are fresh, stale, unknown or by-hand.
    """

    file: str
    name: str
    old: Number | None
    new: Number | None
    better: str | None = None
    tolerance: Number = 0
    verdict: str | None = None
    old_state: str | None = None
    new_state: str | None = None

    @property
    def change(self) -> Number | None:
        """Return new minus old where both are there."""
        if self.old is None or self.new is None:
            return None
        try:
            return self.new - self.old
        except OverflowError:  # a whole number beyond what a float can hold
            return math.inf if self.new > self.old else -math.inf

    @property
    def differs(self) -> bool:
        """Say whether the two are not the same; NaN is the same as NaN."""
        both_nan = all(isinstance(v, float) and math.isnan(v) for v in (self.old, self.new))
        return not both_nan and self.old != self.new


@dataclass(frozen=True, slots=True)
class Doubt:
    """A metrics file whose numbers may not be those of its revision, and why."""

    rev: str
    file: str
    stage: str
    state: str
    why: str


@dataclass(frozen=True, slots=True)
class MetricsDiff:
    """Two revisions by the names the user gave, and every metric of either."""

    old: str
    new: str
    rows: tuple[MetricChange, ...]
    doubts: tuple[Doubt, ...] = ()
    gate: Gate | None = None


@dataclass(frozen=True, slots=True)
class Shown:
    """The metrics of one revision; `absent` says why there are none."""

    rev: str
    commit: str | None
    files: dict[str, MetricsFile]
    absent: str = ""

    @property
    def doubts(self) -> tuple[Doubt, ...]:
        """Return the files whose numbers may not be those of the revision."""
        return _doubts(self.rev, self.files)


def show(
    repo: Repo,
    targets: Sequence[str] = (),
    revs: Sequence[str] = (),
    *,
    all_tags: bool = False,
    all_branches: bool = False,
) -> tuple[Shown, ...]:
    """Return metrics of revisions, in the order in which they were asked for; none: the workspace.

    Of a tag or branch that has nothing recorded this is said; of a single revision it is an error.

    Raises:
        CannotDecide: when a revision does not exist, or none has metrics recorded.
        InputError: for a target that is neither a stage nor a metrics file of any revision.
    """
    with Commits.of(repo) as commits:
        measurer = Measurer(commits)
        names: dict[str, str | None] = {rev: rev for rev in revs}
        prefixes = [TAGS] * all_tags + [BRANCHES] * all_branches
        swept = dict(repo.git.refs(*prefixes)) if prefixes else {}
        if swept:
            commits.read_ahead(list(swept.values()))
        found = [_measured(measurer, name, rev) for name, rev in names.items()]
        found += [
            shown
            for name, ref in swept.items()
            if name not in names and (shown := _swept(measurer, name, ref))
        ]
        if not revs and not prefixes:
            found = [_measured(measurer, WORKSPACE, None)]
        if not any(shown.files or not shown.absent for shown in found):
            raise CannotDecide("none of these revisions has metrics on record", hint="mlx repro")
        return tuple(_chosen(repo, found, targets))


def _measured(measurer: Measurer, name: str, rev: str | None) -> Shown:
    found = measurer.at(rev)
    return Shown(name, found.commit, found.files)


def _swept(measurer: Measurer, name: str, ref: str) -> Shown | None:
    """Look at one ref of many; None for a tag that is on no commit."""
    try:
        found = measurer.at(ref)
    except CannotDecide as error:
        known = measurer.commit(ref)
        return Shown(name, known, {}, error.message) if known else None
    return Shown(name, found.commit, found.files)


def _chosen(repo: Repo, found: Iterable[Shown], targets: Sequence[str]) -> Iterator[Shown]:
    """Keep the files that targets mean, by path or by the stage that made them."""
    found = list(found)
    if not targets:
        yield from found
        return
    stages = {file.stage for shown in found for file in shown.files.values() if file.stage}
    stages |= repo.declared.stages.keys()
    paths = {path for shown in found for path in shown.files}
    wanted: set[str] = set()
    for text in targets:
        target = parse_target(text, repo.place, stages)
        meant = set(named_stages(target.name, stages)) if target.kind == "stage" else set()
        here = {
            file.path
            for shown in found
            for file in shown.files.values()
            if file.stage in meant or (target.kind == "path" and is_inside(file.path, target.name))
        }
        if not here:
            near = nearest(target.name, [*stages, *paths])
            raise InputError(
                f'no metrics of "{display(text)}" are on record',
                hint=f'did you mean "{display(near)}"?' if near else "mlx metrics show",
            )
        wanted |= here
    for shown in found:
        files = {path: file for path, file in shown.files.items() if path in wanted}
        yield Shown(shown.rev, shown.commit, files, shown.absent)


def diff(
    repo: Repo,
    old: str | None = None,
    new: str | None = None,
    *,
    fail_if: Sequence[str] = (),
    allow_stale: bool = False,
) -> MetricsDiff:
    """Compare metrics of two revisions (default: HEAD and the workspace), and answer a gate.

    The gate fails when any of its conditions is true. In the workspace it believes no number that
    was measured on other data than lies there.

    Raises:
        InputError: when the gate is no expression.
        CannotDecide: when there is no commit yet, or a revision has no lockfile that can be read.
    """
    condition = _condition(fail_if) if fail_if else None
    with Commits.of(repo) as commits:
        measurer = Measurer(commits)
        before = measurer.at("HEAD" if old is None else old)
        after = measurer.at(new, look=condition is not None)
        gate = _gate(condition, before, after, allow_stale) if condition else None
        rows = tuple(_changes(before, after))
        doubts = _doubts(before.rev, before.files) + _doubts(after.rev, after.files)
        return MetricsDiff(before.rev, after.rev, rows, doubts, gate)


def _condition(texts: Sequence[str]) -> Expression:
    for text in texts:
        parse_condition(text)  # each is one by itself
    return parse_condition(texts[0] if len(texts) == 1 else " or ".join(f"({t})" for t in texts))


def _gate(condition: Expression, before: Measured, after: Measured, allow_stale: bool) -> Gate:
    base = Operands(before, allow_stale=allow_stale)
    return judge(condition, Operands(after, allow_stale=allow_stale), base)


def _changes(before: Measured, after: Measured) -> Iterator[MetricChange]:
    for path in sorted(before.files.keys() | after.files.keys()):
        a, b = before.files.get(path), after.files.get(path)
        olds, news = a.values if a else {}, b.values if b else {}
        for name in sorted(olds.keys() | news.keys()):
            old, new = olds.get(name), news.get(name)
            goal = goal_of(after.projects, path, name)
            yield MetricChange(
                path,
                name,
                old,
                new,
                goal.better if goal else None,
                goal.tolerance if goal else 0,
                verdict(goal, old, new),
                a.state if a and name in olds else None,
                b.state if b and name in news else None,
            )


def _doubts(rev: str, files: Mapping[str, MetricsFile]) -> tuple[Doubt, ...]:
    return tuple(
        Doubt(rev, file.path, file.stage, file.state, file.why)
        for file in files.values()
        if not file.holds
    )
