"""mlx fetch: get recorded data from a remote into the store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mlxrepo.paths import RepoPath
from mlxrepo.progress import SILENT, Progress
from mlxrepo.repo.remotes import chosen, opened
from mlxrepo.repo.repo import Repo
from mlxrepo.repo.wanted import Scope, Wanted, by_remote, check_recorded, elsewhere, recorded
from mlxrepo.store.fetch import Fetch
from mlxrepo.store.remoteindex import damaged_index
from mlxrepo.store.survey import oid_in


@dataclass(frozen=True, slots=True)
class FetchedFrom:
    """What came from one remote, or (not `applied`) would come.

    `objects` and `bytes` arrived, in `stored` bytes. `missing` are neither there nor here,
    `damaged` there with other bytes, and none of them came: path and oid. `wrong` came with other
    bytes, at first at least, and what came lies in the folder `quarantine`. `elsewhere` are paths
    that are not here, with why, if all that was asked for belongs on no remote that was asked.
    """

    remote: str
    url: str
    objects: int
    bytes: int
    stored: int
    missing: tuple[tuple[str, str], ...]
    damaged: tuple[tuple[str, str], ...]
    wrong: int
    quarantine: str | None
    applied: bool
    elsewhere: tuple[tuple[RepoPath, str], ...] = ()


def fetch(
    repo: Repo,
    targets: Sequence[str] = (),
    *,
    remote: str | None = None,
    jobs: int | None = None,
    scope: Scope | None = None,
    dry_run: bool = False,
    progress: Progress = SILENT,
) -> list[FetchedFrom]:
    """Get what the workspace's lockfiles name, or those of the commits of `scope`.

    Without `remote` the default one is asked, and for outs that name a remote theirs. A dry run
    gets listings of folders, and no file.

    Raises:
        InputError: when a target means nothing that is recorded, or there is no such remote.
        CannotDecide: when there is no remote, or no such revision.
        EnvironmentFailed: when the remote cannot be asked; what arrived stays.
    """
    wanted = recorded(repo, targets, scope or Scope())
    done: list[FetchedFrom] = []
    shares = by_remote(repo, wanted, remote)
    for name, mine in shares.items():
        lacking = [item for item in mine if item.below or not repo.store.is_whole(item.entry)]
        if lacking or not done:
            done.append(_from(repo, name, lacking, jobs, dry_run, progress))
    check_recorded(repo, wanted)  # now that the listings are here
    if any(shares.values()):
        return done
    absent = [item for item in wanted if not repo.store.is_whole(item.entry)]
    return [replace(item, elsewhere=elsewhere(repo, absent, shares)) for item in done]


def _from(
    repo: Repo,
    name: str,
    wanted: list[Wanted],
    jobs: int | None,
    dry_run: bool,
    progress: Progress,
) -> FetchedFrom:
    spec = chosen(repo, name)
    remote = opened(repo, spec)
    damaged: list[str] = []
    known = remote.known(condemned=True, damaged=damaged)
    work = Fetch(
        repo.store, remote, known,
        jobs=jobs or remote.door.jobs, progress=progress, files=not dry_run,
    )  # fmt: skip
    got = work.get((item.entry, item.below, item.path) for item in wanted)
    objects, size = got.objects, got.amount
    if dry_run:
        there = {key: size for key, size in work.lacking.items() if known.has(key)}
        objects, size = len(there), sum(there.values())
        got.missing.update((key, "") for key in work.lacking.keys() - there.keys())
    if got.missing and damaged:
        raise damaged_index(damaged[0])
    return FetchedFrom(
        remote=spec.name,
        url=spec.shown,
        objects=objects,
        bytes=size,
        stored=got.stored,
        missing=tuple((path, oid_in(key)) for key, path in got.missing.items()),
        damaged=tuple((path, oid_in(key)) for key, path in got.damaged.items()),
        wrong=work.wrong.count,
        quarantine=work.wrong.folder,
        applied=not dry_run,
    )
