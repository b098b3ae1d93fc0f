"""mlx du: what uses the space of the store, by artifact and by version."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mlxrepo.errors import InputError
from mlxrepo.nearest import nearest
from mlxrepo.paths import RepoPath, display, from_user, is_inside
from mlxrepo.progress import SILENT, Progress
from mlxrepo.repo.declared import SECTIONS
from mlxrepo.repo.layout import TRASH_FOLDER
from mlxrepo.repo.repo import Repo
from mlxrepo.repo.roots import Root, roots
from mlxrepo.store.gc import TRASH, trashed
from mlxrepo.store.reach import key_of
from mlxrepo.store.tree import Entry
from mlxrepo.store.usage import Usage

_HERE = ("workspace", "placed", "index")


@dataclass(frozen=True, slots=True)
class Version:
    """One content of an artifact; sizes in bytes.

    `unique` is what it alone needs, `shared` what other versions or artifacts need too, and
    `absent` what is recorded and not in the store. `commits` recorded it.
    """

    entry: Entry
    unique: int
    shared: int
    absent: int
    in_workspace: bool
    commits: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Artifact:
    """Everything of one artifact, or of one out of a stage: `unique` goes when all of it goes."""

    address: str
    path: RepoPath
    unique: int
    versions: tuple[Version, ...]


@dataclass(frozen=True, slots=True)
class DiskUsage:
    """What uses the space, largest first.

    `shared` is needed by more than one artifact. `rest` is in the store and needed by none of
    this repository: other repositories may, gc tells.
    """

    artifacts: tuple[Artifact, ...]
    loose: int
    packs: int
    trash: int
    shared: int
    rest: int


class _Group:
    """An artifact or an out, and where each version of it was come across, newest first."""

    def __init__(self, root: Root):
        self.address = root.address
        self.path = root.path
        self.versions: dict[Entry, dict[str, None]] = {}

    def note(self, root: Root) -> None:
        self.versions.setdefault(root.entry, {})[root.where] = None


def du(repo: Repo, targets: Sequence[str] = (), *, progress: Progress = SILENT) -> DiskUsage:
    """Return how much of the store each artifact and each version of it takes.

    `targets` (default: everything) are addresses or paths, also of what is no longer recorded.

    Raises:
        InputError: when a target was never recorded.
        CannotDecide: when the history is not all here.
    """
    progress.start("adding up")
    groups = _groups(repo)
    seen = [(number, entry) for number, group in enumerate(groups) for entry in group.versions]
    usage = Usage(repo.store, [number for number, _ in seen])
    for thing, (_, entry) in enumerate(seen):
        usage.claim(key_of(entry), thing)
    unique = usage.unique()
    versions: dict[int, list[Version]] = defaultdict(list)
    for thing, (number, entry) in enumerate(seen):
        places = groups[number].versions[entry]
        versions[number].append(_version(usage, entry, unique[number, thing], list(places)))
    artifacts = [
        Artifact(group.address, group.path, _own(unique, number), tuple(versions[number]))
        for number, group in enumerate(groups)
    ]
    progress.done()
    return DiskUsage(
        artifacts=tuple(sorted(_chosen(repo, artifacts, targets), key=lambda a: -a.unique)),
        loose=usage.loose,
        packs=usage.packed,
        trash=_trash(repo),
        shared=unique[-1, -1],
        rest=sum(usage.sizes.values()) - sum(unique.values()),
    )


def _groups(repo: Repo) -> list[_Group]:
    """Return everything that was ever recorded; what is placed belongs to what has its path."""
    groups: dict[tuple[str, str], _Group] = {}
    placed: list[Root] = []
    for root in roots(repo):
        if not root.path:
            continue  # of a broken lockfile: there is no telling what it was
        if root.address:
            kind = root.address.partition(":")[0]
            path = "" if kind in SECTIONS else root.path  # a stage has many outs
            groups.setdefault((root.address, path), _Group(root)).note(root)
        else:
            placed.append(root)
    by_path = {group.path: group for group in groups.values()}
    for root in placed:
        by_path.setdefault(root.path, _Group(root)).note(root)
    return list(dict.fromkeys([*groups.values(), *by_path.values()]))


def _version(usage: Usage, entry: Entry, unique: int, places: list[str]) -> Version:
    here = usage.below(key_of(entry))
    return Version(
        entry=entry,
        unique=unique,
        shared=max(0, here - unique),
        absent=max(0, entry.size - here),
        in_workspace=any(place in _HERE for place in places),
        commits=tuple(place for place in places if place not in _HERE),
    )


def _own(unique: Mapping[tuple[int, int], int], number: int) -> int:
    """Return the bytes that one group has for itself."""
    return sum(size for (group, _), size in unique.items() if group == number)


def _chosen(repo: Repo, found: list[Artifact], targets: Sequence[str]) -> list[Artifact]:
    if not targets:
        return found
    chosen: dict[int, Artifact] = {}
    for text in targets:
        here = {id(item): item for item in found if _matches(repo, item, text)}
        if not here:
            raise _unknown(text, found)
        chosen.update(here)
    return list(chosen.values())


def _matches(repo: Repo, item: Artifact, text: str) -> bool:
    if item.address == text:
        return True
    try:
        return is_inside(item.path, from_user(text, repo.root, repo.cwd))
    except InputError:  # an address, or a path elsewhere
        return False


def _unknown(text: str, found: list[Artifact]) -> InputError:
    known = sorted({name for item in found for name in (item.address, item.path)})
    near = nearest(text, known)
    return InputError(
        f'nothing was ever recorded for "{display(text)}"',
        hint=f"did you mean {near}?" if near else "mlx du lists all",
    )


def _trash(repo: Repo) -> int:
    folders = {os.path.join(repo.store.root, TRASH), repo.shared(TRASH_FOLDER)}
    return sum(item.amount.size for folder in folders for item in trashed(folder))
