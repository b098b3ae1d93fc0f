"""mlx metrics: numbers that stages recorded, now or at revisions, and how they differ."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from mlxrepo.errors import CannotDecide
from mlxrepo.repo.declared import Declared
from mlxrepo.repo.observed import Observed
from mlxrepo.repo.repo import Repo

WORKSPACE = "workspace"
Metrics = dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class MetricChange:
    """A metric at two revisions; None where it is not there. Numbers may be NaN."""

    file: str
    name: str
    old: float | int | None
    new: float | int | None

    @property
    def change(self) -> float | int | None:
        """Return new minus old where both are there."""
        if self.old is None or self.new is None:
            return None
        try:
            return self.new - self.old
        except OverflowError:  # a whole number beyond what a float can hold
            return math.inf if self.new > self.old else -math.inf


@dataclass(frozen=True, slots=True)
class MetricsDiff:
    """Two revisions by the names the user gave, and every metric of either."""

    old: str
    new: str
    rows: tuple[MetricChange, ...]


def show(repo: Repo, rev: str | None = None) -> Metrics:
    """Return metrics by file and dotted name, from the records of a revision or the workspace.

    Raises:
        CannotDecide: when the revision does not exist or has no metrics recorded.
    """
    return _at(repo, rev)


def diff(repo: Repo, old: str | None = None, new: str | None = None) -> MetricsDiff:
    """Compare metrics of two revisions; default: HEAD and the workspace.

    Raises:
        CannotDecide: when there is no commit yet, or a revision has no lockfile.
    """
    before, after = _at(repo, old or "HEAD"), _at(repo, new)
    rows = [
        MetricChange(file, name, before.get(file, {}).get(name), after.get(file, {}).get(name))
        for file in sorted(before.keys() | after.keys())
        for name in sorted(before.get(file, {}).keys() | after.get(file, {}).keys())
    ]
    return MetricsDiff(old or "HEAD", new or WORKSPACE, tuple(rows))


def _at(repo: Repo, rev: str | None) -> Metrics:
    if rev is None:
        observed, declared, commit = repo.observed, repo.declared, None
    else:
        commit = repo.git.commit(rev)
        observed, declared = repo.observed_at(commit), repo.declared_at(commit)
    if not observed.locks:
        raise CannotDecide(
            f"{rev or 'the workspace'} has no mlx.lock, so nothing is recorded there",
            hint="mlx repro records metrics; git commit keeps them",
        )
    return {**_from_files(repo, declared, commit), **_from_records(observed)}


def _from_records(observed: Observed) -> Metrics:
    from mlxrepo.values import decode

    return {
        file: {name: decode(value) for name, value in values.items()}
        for record in observed.stages().values()
        for file, values in record.metrics.items()
    }


def _from_files(repo: Repo, declared: Declared, commit: str | None) -> Metrics:
    """Read the files that the top-level `metrics` names and no stage makes."""
    from mlxrepo.values import numbers, read_values

    found: Metrics = {}
    for path in (path for file in declared.files for path in file.metrics):
        if path in declared.outs:
            continue
        data = repo.file_at(path, commit)
        if data is not None:
            found[path] = dict(numbers(read_values(data, path)))
    return found
