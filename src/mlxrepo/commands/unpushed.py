"""mlx status --unpushed: what is recorded here and a remote lacks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mlxrepo.paths import RepoPath
from mlxrepo.repo.remotes import chosen, opened
from mlxrepo.repo.repo import Repo
from mlxrepo.repo.wanted import (
    Scope,
    Wanted,
    by_remote,
    check_recorded,
    elsewhere,
    history,
    recorded,
)
from mlxrepo.store.gc import NOTHING, Amount
from mlxrepo.store.survey import Survey, oid_in


@dataclass(frozen=True, slots=True)
class Unpushed:
    """What one remote lacks: objects and bytes by path, each object under the first that names it.

    `missing` are neither there nor here: path and oid. `elsewhere` are paths, with why, if all that
    was asked for belongs on no remote that was asked.
    """

    remote: str
    url: str
    paths: tuple[tuple[RepoPath, Amount], ...]
    missing: tuple[tuple[str, str], ...]
    elsewhere: tuple[tuple[RepoPath, str], ...] = ()

    @property
    def total(self) -> Amount:
        """All of it together."""
        amounts = [amount for _, amount in self.paths]
        return Amount(sum(a.objects for a in amounts), sum(a.size for a in amounts))


def unpushed(
    repo: Repo, targets: Sequence[str] = (), *, remote: str | None = None
) -> list[Unpushed]:
    """Say what `mlx push` would send, by one listing of the indexes of each remote.

    Raises:
        InputError: when a target means nothing that is recorded, or there is no such remote.
        CannotDecide: when there is no remote.
        EnvironmentFailed: when one cannot be asked.
    """
    wanted = recorded(repo, targets, Scope()) if targets else history(repo, Scope())
    check_recorded(repo, wanted)
    shares = by_remote(repo, wanted, remote)
    away = elsewhere(repo, wanted, shares)
    found = [_lacking(repo, name, mine) for name, mine in shares.items()]
    return [replace(item, elsewhere=away) for item in found]


def _lacking(repo: Repo, name: str, wanted: list[Wanted]) -> Unpushed:
    spec = chosen(repo, name)
    survey = Survey(repo.store, opened(repo, spec).known())
    paths: dict[RepoPath, Amount] = {}
    for item in wanted:
        objects, size = survey.objects, survey.amount
        survey.add(item.entry, item.path, item.below)
        more = Amount(survey.objects - objects, survey.amount - size)
        if more.objects:
            paths[item.path] = paths.get(item.path, NOTHING).plus(more)
    return Unpushed(
        remote=spec.name,
        url=spec.shown,
        paths=tuple(sorted(paths.items())),
        missing=tuple((path, oid_in(key)) for key, path in survey.missing.items()),
    )
