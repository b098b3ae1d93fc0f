"""mlx lock check: does the lockfile say what came of the inputs that git has? No data is needed."""

from __future__ import annotations

from collections.abc import Sequence

from mlxrepo.errors import CannotDecide, InputError
from mlxrepo.pipeline.freshness import FRESH as FRESH
from mlxrepo.pipeline.freshness import STALE as STALE
from mlxrepo.pipeline.freshness import UNKNOWN as UNKNOWN
from mlxrepo.pipeline.freshness import Checked as Checked
from mlxrepo.pipeline.freshness import freshness
from mlxrepo.repo.repo import Repo
from mlxrepo.repo.targets import resolve_stages


def lock_check(repo: Repo, targets: Sequence[str] = ()) -> tuple[Checked, ...]:
    """Say of each stage, or of those meant and what they need, whether its record holds.

    Files that git keeps are read from the workspace; what the store keeps counts as recorded, and
    interpreter and variables too. It takes no lock and needs no store.

    Raises:
        InputError: for a target that is no stage, or an mlx.yaml that cannot be read.
        CannotDecide: when a lockfile cannot be read.
    """
    try:
        repo.observed  # noqa: B018
    except InputError as error:
        raise CannotDecide(error.message, hint=error.hint, where=error.where) from None
    wanted = resolve_stages(targets, repo.place, repo.declared) if targets else None
    return tuple(freshness(repo, wanted).values())
