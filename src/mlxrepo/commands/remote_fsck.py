"""mlx remote fsck: is everything on a remote that its indexes name, and unharmed?"""

from __future__ import annotations

from dataclasses import dataclass

from mlxrepo.files import SMALL
from mlxrepo.progress import SILENT, Progress
from mlxrepo.repo.identity import identity
from mlxrepo.repo.remotes import chosen, opened
from mlxrepo.repo.repo import Repo
from mlxrepo.store.objects import Store
from mlxrepo.store.pack import KINDS
from mlxrepo.store.push import send
from mlxrepo.store.remote import Remote
from mlxrepo.store.remotecheck import Flaw, check, forget_bad
from mlxrepo.store.remoteplan import rows
from mlxrepo.store.survey import BLOB, Survey, oid_in


@dataclass(frozen=True, slots=True)
class RemoteChecked:
    """What a check of a remote found: (file, why, oid or "") of each flaw.

    `read` bytes were hashed. `unnamed` files, of so many bytes, are the rest of pushes that were
    cut off. After a repair `sent` objects came from here again, and `lost` ones (oids) are nowhere.
    """

    remote: str
    url: str
    objects: int
    bytes: int
    read: int
    flaws: tuple[tuple[str, str, str], ...]
    unnamed: int
    unnamed_bytes: int
    repaired: bool
    sent: int
    lost: tuple[str, ...]

    @property
    def is_sound(self) -> bool:
        """Say whether nothing is wrong (any more)."""
        return not self.flaws or (self.repaired and not self.lost)


def remote_fsck(
    repo: Repo,
    name: str | None = None,
    *,
    data: bool = False,
    repair: bool = False,
    dry_run: bool = False,
    jobs: int | None = None,
    progress: Progress = SILENT,
) -> RemoteChecked:
    """Check a remote; `data` reads and hashes everything on it.

    `repair` makes its indexes true again and sends what is damaged once more, if it is here; a dry
    run says what would be.

    Raises:
        InputError: when there is no such remote, or it is of a newer format.
        CannotDecide: when there is no remote.
        EnvironmentFailed: when it cannot be asked.
    """
    spec = chosen(repo, name)
    remote = opened(repo, spec)
    state = check(remote, data=data, jobs=jobs or remote.door.jobs, progress=progress)
    bad = {spot.key: spot.size for spot in rows(state.indexes.values()) if spot.key in state.bad}
    here = {key: size for key, size in bad.items() if _is_here(repo.store, key)}
    if repair and state.flaws and not dry_run:
        forget_bad(remote, state)
        _send(repo, remote, here, progress)
        others = remote.known(condemned=True)
        bad = {key: size for key, size in bad.items() if not others.has(key)}
    return RemoteChecked(
        remote=spec.name,
        url=spec.shown,
        objects=state.objects,
        bytes=state.size,
        read=state.read,
        flaws=tuple(map(_told, state.flaws)),
        unnamed=len(state.unnamed),
        unnamed_bytes=sum(state.unnamed.values()),
        repaired=repair and not dry_run and bool(state.flaws),
        sent=len(here) if repair else 0,
        lost=tuple(sorted(oid_in(key) for key in bad.keys() - here.keys())),
    )


def _told(flaw: Flaw) -> tuple[str, str, str]:
    return flaw.file, flaw.why, oid_in(flaw.key) if flaw.key else ""


def _is_here(store: Store, key: bytes) -> bool:
    return store.has(KINDS[key[0]], oid_in(key))


def _send(repo: Repo, remote: Remote, objects: dict[bytes, int], progress: Progress) -> None:
    """Send objects once more, past what the remote is known to have."""
    known = remote.known()
    survey = Survey(repo.store, known)
    for key, size in objects.items():
        if known.has(key):
            continue  # there is another copy
        if key[:1] != BLOB:
            survey.trees[key] = size
        elif size < SMALL:
            survey.small[key] = size
        else:
            survey.large[key] = size
    send(
        repo.store, remote, survey, [], jobs=min(4, remote.door.jobs),
        prepare=lambda: remote.prepare(*identity(repo)), known=known, progress=progress,
    )  # fmt: skip
