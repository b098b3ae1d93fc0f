"""mlx params diff: how parameters differ between revisions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mlxrepo.errors import CannotDecide
from mlxrepo.repo.layout import PARAMS_FILE
from mlxrepo.repo.repo import Repo

WORKSPACE = "workspace"


@dataclass(frozen=True, slots=True)
class ParamChange:
    """A parameter that differs; `in_old` and `in_new` say where it is set at all.

    A value may be a `Reading` where YAML 1.1 and YAML 1.2 differ.
    """

    file: str
    name: str
    old: Any
    new: Any
    in_old: bool
    in_new: bool


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
    first = repo.git.commit(old or "HEAD")
    second = repo.git.commit(new) if new else None
    before, after = _values(repo, first), _values(repo, second)
    if not before and not after:
        raise CannotDecide(
            f"neither {old or 'HEAD'} nor {new or 'the workspace'} has a params file",
            hint=f"stages read {PARAMS_FILE} unless their params name other files",
        )
    rows = []
    for file in sorted(before.keys() | after.keys()):
        a, b = before.get(file, {}), after.get(file, {})
        for name in sorted(a.keys() | b.keys()):
            if (name in a) != (name in b) or repr(a[name]) != repr(b[name]):
                rows.append(ParamChange(file, name, a.get(name), b.get(name), name in a, name in b))
    return ParamsDiff(old or "HEAD", new or WORKSPACE, tuple(rows))


def _values(repo: Repo, commit: str | None) -> dict[str, dict[str, Any]]:
    from mlxrepo.values import flatten, read_values

    declared = repo.declared_at(commit) if commit else repo.declared
    files = {ref.file for stage in declared.stages.values() for ref in stage.params}
    files |= {path for file in declared.files for path in file.params}
    found = {}
    for path in sorted(files):
        data = repo.file_at(path, commit)
        if data is not None:
            found[str(path)] = flatten(read_values(data, path))
    return found
