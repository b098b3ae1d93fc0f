"""Gates: an expression on what was measured, whose every operand has to be there and to hold."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from mlxrepo.errors import MlxError
from mlxrepo.expression import Expression, Undecided, Value, decide, quoted
from mlxrepo.nearest import nearest
from mlxrepo.pipeline.freshness import FRESH, freshness
from mlxrepo.pipeline.measured import Measured, MetricsFile, parameters
from mlxrepo.values import Reading

BASE, PARAMS = "base.", "params."
ARTIFACTS = ("data:", "feature:", "model:")
_QUOTED = re.compile(r"`[^`]*`|'[^']*'|\"[^\"]*\"")
PASSED, FAILED, UNDECIDED = "passed", "failed", "undecided"


@dataclass(frozen=True, slots=True)
class Gate:
    """The answer of a gate: `verdict` is passed, failed or undecided, with its reasons.

    `operands` are the values of the names that have one.
    """

    expression: str
    verdict: str
    operands: dict[str, Value]
    reasons: tuple[str, ...] = ()


class _Spelled(NamedTuple):
    """A metric that a name may mean, and how it is written in full."""

    file: MetricsFile
    name: str

    @property
    def full(self) -> str:
        return quoted(f"{self.file.path}:{self.name}")


class Operands:
    """What names mean at one revision: metrics, `params.` and artifacts."""

    def __init__(self, measured: Measured, *, allow_stale: bool = False):
        self._measured = measured
        self._allow_stale = allow_stale
        self._rev = "the workspace" if measured.commit is None else measured.rev

    def look(self, name: str) -> Value | Undecided:
        """Return the value of a name, or why there is none that counts."""
        if name.startswith(PARAMS):
            return self._param(name.removeprefix(PARAMS))
        if name.startswith(ARTIFACTS):
            return self._artifact(name)
        return self._metric(name)

    @cached_property
    def _spelled(self) -> dict[str, list[_Spelled]]:
        """The metrics by every way to write them."""
        found: dict[str, list[_Spelled]] = {}
        for file in self._measured.files.values():
            for name in file.values:
                ways = [name, f"{file.path}:{name}"]
                ways += [f"{file.stage}:{file.path}:{name}"] if file.stage else []
                for way in ways:
                    found.setdefault(way, []).append(_Spelled(file, name))
        return found

    def _metric(self, name: str) -> Value | Undecided:
        found = self._spelled.get(name, [])
        if not found:
            near = nearest(name, self._spelled)
            meant = f" (did you mean {quoted(near)}?)" if near else ""
            return Undecided((f"{self._rev} has no metric {quoted(name)}{meant}",))
        if len(found) > 1:
            ways = " or ".join(item.full for item in found)
            return Undecided((f"{quoted(name)} is in several files of {self._rev}: write {ways}",))
        file = found[0].file
        if not (file.holds or self._allow_stale):
            why = f": {file.why}" if file.why else ""
            told = f"{quoted(name)} of {self._rev} is {file.state}, by stage {file.stage}{why}"
            return Undecided((told,))
        return file.values[found[0].name]

    @cached_property
    def _params(self) -> dict[str, list[tuple[str, object]]]:
        """The parameters by every way to write them, each with the longer way."""
        found: dict[str, list[tuple[str, object]]] = {}
        for file, values in parameters(self._measured.repo).items():
            for name, value in values.items():
                for way in (name, f"{file}:{name}"):
                    found.setdefault(way, []).append((f"{file}:{name}", value))
        return found

    def _param(self, name: str) -> Value | Undecided:
        written = quoted(PARAMS + name)
        try:
            found = self._params.get(name, [])
        except MlxError as error:
            return Undecided((f"{written} of {self._rev} cannot be read: {error}",))
        if not found:
            near = nearest(name, self._params)
            meant = f" (did you mean {quoted(PARAMS + near)}?)" if near else ""
            return Undecided((f"{self._rev} has no {written}{meant}",))
        if len(found) > 1:
            ways = " or ".join(quoted(PARAMS + full) for full, _ in found)
            return Undecided((f"{written} is in several files of {self._rev}: write {ways}",))
        value = found[0][1]
        if isinstance(value, bool | int | float | str):
            return value
        if isinstance(value, Reading):
            both = f"{value.yaml12!r} in YAML 1.2 and {value.yaml11!r} in YAML 1.1"
            return Undecided((f"{written} of {self._rev} is {both}: quote it there",))
        return Undecided((f"{written} of {self._rev} is empty, a list, a map or a time",))

    def _artifact(self, name: str) -> Value | Undecided:
        """Return the digest of an artifact; one that a stage makes is known by its path."""
        repo = self._measured.repo
        try:
            declared = repo.declared.artifacts.get(name)
            found = next(
                (
                    item
                    for item in repo.observed.tracked()
                    if item.address == name or (declared and item.path == declared.path)
                ),
                None,
            )
            made = [found.address] if found and found.address in repo.declared.stages else []
            checked = freshness(repo, made, unlike=self._measured.unlike) if made else {}
        except MlxError as error:
            return Undecided((f"{quoted(name)} of {self._rev} is not known: {error}",))
        if found is None:
            return Undecided((f"{self._rev} has no {quoted(name)} on record",))
        if found.path in self._measured.unlike:
            return Undecided((f"{quoted(name)} of {self._rev} is not as recorded",))
        state = checked.get(found.address)
        if state and state.state != FRESH and not self._allow_stale:
            return Undecided((f"{quoted(name)} of {self._rev} is {state.state}: {state.why}",))
        return str(found.entry.oid)

    def file_of(self, name: str) -> str | None:
        """Return the file of the only metric that a name means."""
        found = self._spelled.get(name, [])
        return found[0].file.path if len(found) == 1 else None

    def written_bare(self, text: str) -> list[str]:
        """Return the metrics whose names stand in an expression and read as something else there.

        `val-auc` is a difference, unless it stands in backticks.
        """
        bare = _QUOTED.sub(" ", text)
        odd = {item.name for found in self._spelled.values() for item in found}
        return sorted(
            name
            for name in odd
            if quoted(name) != name and re.search(rf"(?<![\w.]){re.escape(name)}(?![\w.])", bare)
        )


def _say_bare(name: str) -> str:
    return f"there is a metric {quoted(name)}: put backticks around it, or spaces into the sum"


def _alike(name: str, new: Operands, base: Operands) -> Undecided | None:
    """Return why the metrics of one name are two: they stand in different files."""
    here, there = new.file_of(name), base.file_of(name)
    if here is None or there is None or here == there:
        return None
    ways = f"{quoted(f'{here}:{name}')} and {quoted(f'{BASE}{there}:{name}')}"
    told = f"{quoted(name)} is in {here}, and at the base in {there}: write {ways}"
    return Undecided((told,))


def judge(condition: Expression, new: Operands, base: Operands | None) -> Gate:
    """Answer a gate that fails when its condition is true; `base.` asks the base for the rest."""
    operands: dict[str, Value] = {}

    def look(name: str) -> Value | Undecided:
        found: Value | Undecided
        if not name.startswith(BASE):
            found = new.look(name)
        elif base is None:
            found = Undecided((f"{quoted(name)}: nothing is compared with here",))
        else:
            there = name.removeprefix(BASE)
            found = _alike(there, new, base) or base.look(there)
        if not isinstance(found, Undecided):
            operands[name] = found
        return found

    bare = new.written_bare(condition.text)
    answer = Undecided(tuple(map(_say_bare, bare))) if bare else decide(condition, look)
    if isinstance(answer, Undecided):
        return Gate(condition.text, UNDECIDED, operands, answer.reasons)
    return Gate(condition.text, FAILED if answer else PASSED, operands)
