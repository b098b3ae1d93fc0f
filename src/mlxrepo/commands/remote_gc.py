"""mlx remote gc: free the space of what no repository needs on a remote."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from mlxrepo.codec import parse_json
from mlxrepo.errors import CannotDecide, EnvironmentFailed, InputError
from mlxrepo.paths import display
from mlxrepo.progress import SILENT, Progress
from mlxrepo.repo import registered
from mlxrepo.repo.gitremotes import fetched_tips, has_commits, newest_commit
from mlxrepo.repo.identity import identity
from mlxrepo.repo.remotes import chosen, opened
from mlxrepo.repo.repo import Repo
from mlxrepo.repo.roots import Root, asked, roots_of
from mlxrepo.store.fetch import Fetch
from mlxrepo.store.gc import Amount
from mlxrepo.store.intent import wait_for_others
from mlxrepo.store.objects import Store
from mlxrepo.store.reach import key_of, mark
from mlxrepo.store.remote import ACTIONS, Remote
from mlxrepo.store.remotegc import carry_out, listed_users, look
from mlxrepo.store.remoteindex import Known
from mlxrepo.store.remoteplan import Plan, Seen, plan
from mlxrepo.store.survey import TREE

GRACE_DAYS = 14.0
GRACE_MAX = 36_500
SKEW = 3600  # seconds that a clock may be behind a commit
DAY = 86_400 * 10**9  # in nanoseconds


@dataclass(frozen=True, slots=True)
class RemoteCollected:
    """What a gc did on a remote, or would do unless `applied`.

    `expired` objects go for good; `waiting` ones are condemned and stay for the grace period.
    `files` are removed, `idle` ones will be: packs in which nothing is needed any more, and what a
    push that was cut off left. `spared` files came into use meanwhile.
    """

    remote: str
    url: str
    needed: int
    expired: Amount
    waiting: Amount
    files: Amount
    idle: Amount
    moved: int
    spared: int
    grace_days: float
    repositories: tuple[str, ...]
    excluded: tuple[str, ...]
    applied: bool


class User(NamedTuple):
    """A repository that a remote lists: with its first commits, or in part (not `whole`)."""

    id: str
    name: str
    roots: tuple[str, ...] = ()
    whole: bool = True


def remote_gc(
    repo: Repo,
    name: str | None = None,
    *,
    clones: Sequence[str] = (),
    without: Sequence[str] = (),
    grace: float = GRACE_DAYS,
    force: bool = False,
    apply: bool = False,
    jobs: int | None = None,
    progress: Progress = SILENT,
) -> RemoteCollected:
    """Find what no repository needs on a remote, and condemn or remove it if `apply`.

    `clones` are paths of other repositories that use the remote; `without` are names or ids of
    those that shall not count. `grace` is in days. With `force` also when folders of the history
    can be had nowhere, so that what is in them is not known.

    Raises:
        CannotDecide: when a repository that the remote lists is not at hand, or not wholly.
        InputError: when a name means no repository of the remote.
        EnvironmentFailed: when the remote cannot be asked, or its listings cannot be trusted.
        Damaged: when an index or a tree is damaged.
    """
    spec = chosen(repo, name)
    remote = opened(repo, spec)
    repositories, keys, roots_ = _needs(repo, remote, clones, without, progress)
    if apply:
        wait_for_others(remote, progress)
    seen = look(remote)
    live = _live(repo.store, remote, seen, roots_, force=force, progress=progress)
    entries = [file for file in seen.files if _is_needed_entry(file, keys)]
    todo = plan(seen, live, entries, now=time.time_ns(), grace=int(grace * DAY))
    spared = 0
    if apply:
        spared = carry_out(remote, seen, todo, jobs=jobs or remote.door.jobs, progress=progress)
    return _collected(spec.name, spec.shown, todo, grace, spared, repositories, without, apply)


def _collected(
    name: str,
    url: str,
    todo: Plan,
    grace: float,
    spared: int,
    repositories: Iterable[str],
    without: Iterable[str],
    applied: bool,
) -> RemoteCollected:
    return RemoteCollected(
        remote=name,
        url=url,
        needed=todo.needed,
        expired=Amount(len(todo.expired), sum(spot.size for spot in todo.expired)),
        waiting=Amount(len(todo.waiting), sum(spot.size for spot in todo.waiting)),
        files=Amount(len(todo.files), sum(todo.files.values())),
        idle=Amount(len(todo.idle), sum(todo.idle.values())),
        moved=len(todo.anew),
        spared=spared,
        grace_days=grace,
        repositories=tuple(repositories),
        excluded=tuple(without),
        applied=applied,
    )


# who uses it


def _clone(path: str) -> Repo:
    try:
        return Repo.find(path)
    except InputError as error:
        said = f"--clone {display(path)}: {error.message}"
        raise InputError(said, hint="check the path") from None


def _needs(
    repo: Repo, remote: Remote, clones: Sequence[str], without: Sequence[str], progress: Progress
) -> tuple[list[str], set[str], list[Root]]:
    """Return the repositories that count, the action keys they name, and all that they need."""
    listed = {user.id: user for user in _users(remote)}
    excluded = _excluded(listed, without)
    found: list[Root] = []
    at_hand: dict[str, str] = {}
    progress.start("asking what is needed", len(clones) + 1, "repositories")
    here = [repo, *map(_clone, clones)]
    for other in here:
        check_clock(other)
        id_, _ = identity(other)
        at_hand[id_] = other.root
        main = other.root if other.git_dir == other.common_dir else None
        found += roots_of(other.common_dir, main, sparing=True, tips=fetched_tips(other))
        progress.advance()
    for user in registered.registered(repo.store.root):  # other clones on this machine
        if user.path != repo.common_dir:
            found += asked(user, sparing=True)
    progress.done()
    away = [
        user
        for id_, user in listed.items()
        if id_ not in at_hand and id_ not in excluded and not _is_part(user, here)
    ]
    if away:
        names = ", ".join(f"{display(user.name)} ({user.id[:8]})" for user in away)
        raise CannotDecide(
            f"the remote {remote.name} also keeps data for {names}: what is needed there is not "
            "known",
            hint="name a clone of each with --clone PATH, or say that it does not count with "
            "--without NAME",
        )
    return sorted(at_hand.values()), {root.key for root in found}, found


def check_clock(repo: Repo) -> None:
    """Check that the clock of this machine can be right: marks are dated by it.

    Raises:
        EnvironmentFailed: when a commit is newer than now.
    """
    ahead = newest_commit(repo) - time.time()
    if ahead > SKEW:
        raise EnvironmentFailed(
            f"a commit of {display(repo.root)} is {ahead / 3600:.1f} hours newer than the clock of "
            "this machine, which has to say how long something has been unneeded",
            hint="set the clock, then again",
        )


def _users(remote: Remote) -> list[User]:
    """Return the repositories that a remote lists.

    Raises:
        EnvironmentFailed: when one that was listed before is there and not listed.
    """
    found = []
    for file in listed_users(remote):
        id_ = file.path.rpartition("/")[2]
        try:
            value = parse_json(remote.door.read(file.path), source=file.path)
            roots = tuple(map(str, value["roots"]))
            found.append(User(id_, str(value["name"]), roots, value["whole"] is not False))
        except (FileNotFoundError, InputError, KeyError, TypeError):
            found.append(User(id_, "?"))
    return found


def _is_part(user: User, here: Iterable[Repo]) -> bool:
    """Say whether what a remote lists is a shallow clone of a repository that is at hand.

    One without a commit needs nothing that git could tell of.
    """
    return not user.whole and any(has_commits(repo, user.roots) for repo in here)


def _excluded(listed: dict[str, User], without: Sequence[str]) -> set[str]:
    found = set()
    for name in without:
        ids = {user.id for user in listed.values() if name == user.name or _begins(user, name)}
        known = ", ".join(f"{display(u.name)} ({u.id[:8]})" for u in listed.values())
        if not ids:
            raise InputError(
                f'the remote lists no repository "{display(name)}"', hint=f"it lists {known}"
            )
        if len(ids) > 1:
            raise InputError(
                f'the remote lists {len(ids)} repositories "{display(name)}"',
                hint=f"say which by the beginning of its id: {known}",
            )
        found |= ids
    return found


def _begins(user: User, prefix: str) -> bool:
    return len(prefix) >= 4 and user.id.startswith(prefix)


# what is needed


def _live(
    store: Store,
    remote: Remote,
    seen: Seen,
    needed: list[Root],
    *,
    force: bool,
    progress: Progress,
) -> set[bytes]:
    """Return the keys of all that is needed; folders that are not here are fetched to be read.

    Raises:
        CannotDecide: when some are nowhere, unless `force`.
    """
    kept = {key_of(root.entry): root for root in needed if root.kept}
    others = {key_of(root.entry): root for root in needed if not root.kept}
    live: set[bytes] = set()
    _, missing = mark(store, kept, live)
    _, absent = mark(store, others, live)
    if missing or absent:
        known = Known(seen.indexes)
        fetch = Fetch(
            store, remote, known, jobs=remote.door.jobs, progress=progress, files=False
        )  # fmt: skip
        tops = [root for key, root in kept.items() if key[:1] == TREE]
        tops += [root for key, root in others.items() if key[:1] == TREE and known.has(key)]
        fetch.get((root.entry, "", root.path) for root in tops)
        store.refresh()
        _, missing = mark(store, [*kept, *missing], live)
        _, absent = mark(store, [*others, *absent], live)
    if missing and not force:
        raise _nowhere(needed, missing, remote)
    return live | missing | absent


def _nowhere(needed: list[Root], missing: Collection[bytes], remote: Remote) -> CannotDecide:
    root = next((root for root in needed if key_of(root.entry) in missing), None)
    example = f", {root.path} of {root.where} for one" if root else ""
    return CannotDecide(
        f"{len(missing)} folders of the history are neither here nor on the remote {remote.name}"
        f"{example}: what is in them is not known",
        hint="push them from a clone that has them; if nobody has: again with --force",
    )


def _is_needed_entry(file: str, keys: Collection[str]) -> bool:
    return file.startswith(f"{ACTIONS}/") and file.split("/")[1] in keys
