"""How two records of a stage differ, one fact at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from mlxrepo.repo.lockfile import StageRecord
from mlxrepo.store.compare import same
from mlxrepo.store.tree import Entry

# Facts whose sides are entries; of others they are values, None where there is none.
PLACES = ("dep", "out")


class Fact(NamedTuple):
    """Something recorded of a stage that differs.

    `what` is cmd, wdir, dep, param, environment, out, metric or state; `name` a path, a name, or
    `file:key`. The sides are entries for dep and out, else values as the lockfile has them (see
    `mlxrepo.values.encode`); None: not there.
    """

    what: str
    name: str
    old: Any
    new: Any


class StageDiff(NamedTuple):
    """A stage whose record was added, deleted or modified, with the facts that differ."""

    stage: str
    word: str
    facts: tuple[Fact, ...]


def compare_stages(
    old: Mapping[str, StageRecord], new: Mapping[str, StageRecord]
) -> Iterator[StageDiff]:
    """Yield the stages whose records differ, by address."""
    for address in sorted(old.keys() | new.keys()):
        before, after = old.get(address), new.get(address)
        if before == after:
            continue
        word = "added" if before is None else "deleted" if after is None else "modified"
        yield StageDiff(address, word, tuple(facts(before, after)))


def facts(old: StageRecord | None, new: StageRecord | None) -> Iterator[Fact]:
    """Yield what differs between two records of one stage."""
    before, after = _facts(old), _facts(new)
    for what, name in [*before, *(key for key in after if key not in before)]:
        a, b = before.get((what, name)), after.get((what, name))
        if not (same(a, b) if what in PLACES else _equal(a, b)):
            yield Fact(what, name, a, b)


def _equal(a: Any, b: Any) -> bool:
    return repr(a) == repr(b)  # 1 and 1.0 differ, NaN equals NaN


def _facts(record: StageRecord | None) -> dict[tuple[str, str], Any]:
    if record is None:
        return {}
    found: dict[tuple[str, str], Any] = {("cmd", ""): record.cmd}
    if record.wdir:
        found["wdir", ""] = record.wdir
    places: list[tuple[str, str, Entry]] = [("dep", dep.path, dep.entry) for dep in record.deps]
    places += [("out", out.path, out.entry) for out in record.outs]
    tables = _table("param", record.params) | _table("metric", record.metrics)
    tables |= _table("", {"environment": record.environment, "state": record.state or {}})
    deps = {(what, path): entry for what, path, entry in places if what == "dep"}
    outs = {(what, path): entry for what, path, entry in places if what == "out"}
    return {**found, **deps, **tables, **outs}


def _table(what: str, table: Mapping[str, Mapping[str, Any]]) -> dict[tuple[str, str], Any]:
    """Return the values of a map of maps; without `what` the outer key is what they are."""
    return {
        (what or outer, key if not what else f"{outer}:{key}" if key else outer): value
        for outer, inner in table.items()
        for key, value in inner.items()
    }
