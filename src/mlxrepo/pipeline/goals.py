"""Whether a change of a metric is for the better, by the goals that mlx.yaml declares."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from mlxrepo.paths import is_inside, parent
from mlxrepo.repo.stage import Goal, ProjectFile

BETTER, WORSE, WITHIN = "better", "worse", "within tolerance"


def goal_of(projects: Iterable[ProjectFile], file: str, name: str) -> Goal | None:
    """Return the goal of a metric: one for its file, else that of the nearest mlx.yaml above it."""
    found: list[tuple[int, int, Goal]] = []
    for project in projects:
        folder = parent(project.path)
        for goal in project.goals:
            fits = is_inside(file, folder) if goal.file is None else goal.file == file
            if goal.name == name and fits:
                found.append((int(goal.file is not None), len(folder), goal))
    return max(found, key=lambda row: row[:2])[2] if found else None


def verdict(goal: Goal | None, old: float | None, new: float | None) -> str | None:
    """Say whether a change is better, worse or within tolerance.

    None without a goal, without a change, and where a number is missing or NaN.
    """
    numbers: Sequence[float | None] = (old, new)
    if goal is None or old is None or new is None or old == new or any(map(_is_nan, numbers)):
        return None
    if goal.tolerance and _is_within(goal.tolerance, old, new):
        return WITHIN
    return BETTER if (new > old) == (goal.better == "higher") else WORSE


def _is_within(tolerance: float, old: float, new: float) -> bool:
    """Compare as people do who wrote decimals: 0.902 is 0.002 more than 0.9."""
    try:
        change = abs(new - old)
    except OverflowError:  # a whole number beyond what a float can hold
        return False
    return change <= tolerance or math.isclose(change, tolerance, rel_tol=1e-9)


def _is_nan(value: float | None) -> bool:
    return isinstance(value, float) and math.isnan(value)
