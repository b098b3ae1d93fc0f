"""mlx params diff: how parameters differ between revisions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mlxrepo.errors import CannotDecide
from mlxrepo.pipeline.measured import WORKSPACE, parameters, readers
from mlxrepo.repo.committed import Commits
from mlxrepo.repo.layout import PARAMS_FILE
from mlxrepo.repo.repo import Repo


@dataclass(frozen=True, slots=True)
class ParamChange:
    """A parameter that differs; `in_old` and `in_new` say where it is set at all.

    A value may be a `Reading` where YAML 1.1 and YAML 1.2 differ: two of them differ also when
    only one of the readings does. `stages` read it, as the newer revision declares them, or the
    older one if it is gone.
    """

    file: str
    name: str
    old: Any
    new: Any
    in_old: bool
    in_new: bool
    stages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ParamsDiff:
    """Two revisions by the names the user gave, and the parameters that differ."""

    old: str
    new: str
    rows: tuple[ParamChange, ...]


def diff(repo: Repo, old: str | None = None, new: str | None = None) -> ParamsDiff:
    """Compare the params files of two revisions; default: HEAD and the workspace.

    Raises:
        CannotDecide: when there is no commit yet, or no params file on either side.
    """
    with Commits.of(repo) as commits:
        first = commits.at(old or "HEAD")
        second = commits.at(new) if new else repo
        before, after = parameters(first), parameters(second)
    if not before and not after:
        raise CannotDecide(
            f"neither {old or 'HEAD'} nor {new or 'the workspace'} has a params file",
            hint=f"stages read {PARAMS_FILE} unless their params name other files",
        )
    rows = []
    for file in sorted(before.keys() | after.keys()):
        a, b = before.get(file, {}), after.get(file, {})
        for name in sorted(a.keys() | b.keys()):
            if (name in a) == (name in b) and repr(a[name]) == repr(b[name]):
                continue
            declared = second.declared if name in b else first.declared
            stages = readers(declared, file, name)
            row = ParamChange(file, name, a.get(name), b.get(name), name in a, name in b, stages)
            rows.append(row)
    return ParamsDiff(old or "HEAD", new or WORKSPACE, tuple(rows))
