"""mlx gc: free the space of what nothing needs, and never of anything else."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass

from mlxrepo import files
from mlxrepo.errors import CannotDecide, Damaged, EnvironmentFailed, InputError, Refused
from mlxrepo.paths import display
from mlxrepo.progress import SILENT, Progress
from mlxrepo.repo import registered
from mlxrepo.repo.git import Git
from mlxrepo.repo.history import check_readable
from mlxrepo.repo.layout import TRASH_FOLDER
from mlxrepo.repo.registered import Registered
from mlxrepo.repo.repo import Repo
from mlxrepo.repo.roots import asked, roots_of
from mlxrepo.repo.settings import Settings
from mlxrepo.store import gc as store_gc
from mlxrepo.store.gc import NOTHING, Amount, Swept, Trashed
from mlxrepo.store.incoming import abandoned, discard
from mlxrepo.store.lease import clock, held
from mlxrepo.store.objects import Store
from mlxrepo.store.pack import TARGET_SIZE
from mlxrepo.store.reach import any_quarantined, key_of, mark

GRACE_DAYS = 14.0
GRACE_MAX = 36_500
DAY = 86_400 * 10**9  # in nanoseconds


@dataclass(frozen=True, slots=True)
class Collected:
    """What gc did, or would do unless `applied`.

    `unneeded` objects are named by nothing; `packs` are rewritten without their dead part.
    `expired` is trash whose grace is over, `abandoned` are files of downloads that were cut off
    as long ago. Of what is not needed, `young` stays for the grace period and `wedged` for the
    packs it lies in. `absent` folders are needed and not in the store. `lost` went for good: the
    disk was too full for the trash.
    """

    unneeded: Amount
    packs: int
    expired: Amount
    abandoned: Amount
    needed: Amount
    young: Amount
    wedged: Amount
    absent: int
    grace_days: float
    repositories: tuple[str, ...]
    applied: bool
    trash: str | None = None
    lost: Amount = NOTHING


def gc(
    repo: Repo, *, apply: bool = False, grace: float | None = None, progress: Progress = SILENT
) -> Collected:
    """Find what nothing needs, and move it to the trash if `apply`.

    `grace` is in days (default: the setting mlx.gcGrace, or 14): younger objects stay.

    Raises:
        CannotDecide: when a repository that uses the store cannot be asked, or not fully.
        InputError: when a lockfile cannot be read.
        Damaged: when a tree or a pack is damaged: what it names or holds is not known.
        EnvironmentFailed: when a writer does not end.
    """
    days = _configured(repo) if grace is None else _checked(grace)
    store, users = repo.store, _users(repo)
    now = clock(store.root)
    before = min([now - int(days * DAY), *(lease.began for lease in held(store.root))])
    live: set[bytes] = set()
    progress.start("asking what is needed", len(users), "repositories")
    _, absent = _mark(store, users, live, progress)
    progress.done()
    shares = store_gc.shares(store.root, live)
    room = _has_room(store.root)
    plan = store_gc.decide(store_gc.loose(store.root), shares, live, before=before, repack=room)
    expired = _expired(repo, now)
    cut_off = abandoned(store.root, before)
    swept = Swept(None, NOTHING, NOTHING)
    if apply:
        for item in expired:
            files.remove_any(item.path)
        discard(cut_off)
        if plan.garbage.objects:
            swept = store_gc.sweep(store.root, plan, live, lambda: _mark(store, users, live)[0])
            store.refresh()
    return Collected(
        unneeded=plan.garbage,
        packs=len(plan.half),
        expired=_total(expired),
        abandoned=Amount(len(cut_off), sum(item.size for item in cut_off)),
        needed=plan.needed,
        young=plan.young,
        wedged=plan.wedged,
        absent=len(absent),
        grace_days=days,
        repositories=tuple(user.path for user in users),
        applied=apply,
        trash=swept.trash,
        lost=swept.lost,
    )


def undo(repo: Repo, *, apply: bool = True) -> Amount:
    """Bring back what the last gc took away, if `apply`, and return how many files that is.

    Raises:
        CannotDecide: when there is nothing in the trash.
    """
    found = store_gc.undo(repo.store.root, apply=apply)
    if found is None:
        raise CannotDecide("the trash holds nothing that a gc took away")
    repo.store.refresh()
    return found


def empty_trash(repo: Repo, *, apply: bool = False) -> Amount:
    """Return what is in the trash, of gc and of what --force replaced; free it if `apply`."""
    found = list(_trash(repo))
    if apply:
        for item in found:
            files.remove_any(item.path)
    return _total(found)


def forget(repo: Repo, path: str, *, apply: bool = True) -> str:
    """Drop a repository that is gone from those that the store keeps data for, if `apply`.

    Raises:
        Refused: when it is there and uses this store.
        CannotDecide: when it lies where this user may not look.
        InputError: when it is not registered.
    """
    root, full = repo.store.root, os.path.join(repo.cwd, path)
    found = registered.find(root, full)
    if found.is_reachable and _uses(found, root):
        raise Refused(
            f"the repository {display(found.path)} is there and keeps its data in this store",
            hint=f"git -C {display(found.path)} config mlx.store DIR lets it use another",
        )
    if apply:
        registered.forget(root, full)
    return found.path


# what is needed


def _users(repo: Repo) -> list[Registered]:
    """Return every repository that uses the store, this one first."""
    main = repo.root if repo.git_dir == repo.common_dir else None
    mine = Registered(repo.common_dir, main)
    others = [user for user in registered.registered(repo.store.root) if user.path != mine.path]
    return [mine, *others]


def _mark(
    store: Store, users: list[Registered], live: set[bytes], progress: Progress = SILENT
) -> tuple[set[bytes], set[bytes]]:
    """Add to `live` all that is needed; return what was new in it, and the trees not here.

    Leases come first: a process that has ended since has written down what it needs.
    """
    store.refresh()
    keys = {key for lease in held(store.root) for key in lease.keys}
    mine, *others = users
    needs = [roots_of(mine.path, mine.root, sparing=True)]
    needs += [asked(user, sparing=True) for user in others]
    for found in needs:
        keys.update(key_of(root.entry) for root in found)
        progress.advance()
    try:
        fresh, missing = mark(store, keys, live)
    except Damaged as error:
        raise Damaged(error.message, hint="mlx fsck --repair, then again") from None
    if any_quarantined(store.root, missing):
        raise Damaged(
            "damaged listings of folders wait in the quarantine: what lay in these folders is not "
            "known",
            hint="mlx fsck --repair, then again",
        )
    return fresh, missing


def _uses(user: Registered, store_root: str) -> bool:
    try:
        check_readable(user.path)
        chosen = Settings(Git(user.path, user.path)).get("store")
    except (OSError, EnvironmentFailed) as error:
        raise user.unreadable(error) from None
    return os.path.realpath(os.path.expanduser(chosen)) == os.path.realpath(store_root)


# grace, space and trash


def _checked(days: float) -> float:
    if not 0 <= days <= GRACE_MAX:  # NaN is not, either
        raise InputError(f"a grace period of {days:g} days makes no sense")
    return days


def _configured(repo: Repo) -> float:
    """Return the grace period in days that is set.

    Raises:
        InputError: when the setting is no number.
    """
    text = repo.settings.get("gcgrace")
    try:
        return _checked(float(text)) if text else GRACE_DAYS
    except (ValueError, InputError):
        raise InputError(
            f'the setting mlx.gcGrace is "{display(text)}", not a number of days',
            hint=f"git config mlx.gcGrace {GRACE_DAYS:g}",
        ) from None


def _has_room(root: str) -> bool:
    """Say whether there is room to write packs anew before the old ones go."""
    if not os.path.isdir(root):
        return False
    return shutil.disk_usage(root).free > 4 * TARGET_SIZE


def _trash(repo: Repo) -> Iterator[Trashed]:
    """Yield what is in the trash of the store and in that of the repository."""
    for folder in sorted(
        {os.path.join(repo.store.root, store_gc.TRASH), repo.shared(TRASH_FOLDER)}
    ):
        yield from store_gc.trashed(folder)


def _expired(repo: Repo, now: int) -> list[Trashed]:
    """Return the trash whose grace is over: by the setting, whatever is said of objects."""
    before = now - int(_configured(repo) * DAY)
    return [item for item in _trash(repo) if item.mtime < before]


def _total(items: list[Trashed]) -> Amount:
    total = NOTHING
    for item in items:
        total = total.plus(item.amount)
    return total
