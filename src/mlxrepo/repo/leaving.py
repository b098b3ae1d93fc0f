"""The workspace's side of a drop: which files go, and what is noted as placed then."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

from mlxrepo.errors import InputError, ObjectMissing, Refused
from mlxrepo.paths import RepoPath, display, join
from mlxrepo.repo.placed import Placed
from mlxrepo.repo.repo import Repo
from mlxrepo.repo.wanted import Scope, Wanted, recorded
from mlxrepo.store.compare import changes, presence, same
from mlxrepo.store.reach import key_of
from mlxrepo.store.snapshot import Scan
from mlxrepo.store.subtree import find, replace
from mlxrepo.store.tree import Entry, PutTree, ReadTree, write_tree


class Leaving(NamedTuple):
    """A part of what is recorded, `entry` at `full`, that leaves the workspace.

    `files` are those that are here as they are recorded.
    """

    part: Wanted
    full: RepoPath
    entry: Entry
    files: dict[RepoPath, Entry]
    folders: tuple[RepoPath, ...]

    @property
    def keys(self) -> set[bytes]:
        """The keys of the files."""
        return set(map(key_of, self.files.values()))


def leavings(repo: Repo, parts: Iterable[Wanted]) -> list[Leaving]:
    """Return what of the workspace goes with parts of what it records; other parts have nothing.

    Raises:
        InputError: when there is nothing at a part.
        Refused: when a file differs from what is recorded.
    """
    present = {(item.path, item.entry.oid) for item in recorded(repo, (), Scope())}
    mine = [item for item in parts if (item.path, item.entry.oid) in present]
    scan, placed = repo.scan(), repo.placed
    return [found for item in mine if (found := _leaving(repo, scan, placed, item))]


def _leaving(repo: Repo, scan: Scan, placed: Placed, item: Wanted) -> Leaving | None:
    full = item.full
    try:
        entry = item.part(scan.tree)
    except ObjectMissing:
        return None  # its listing was never fetched: nothing of it is here
    if entry is None:
        raise InputError(f"{display(full)} is not recorded in {display(item.path)}")
    here = scan.entry(full, top=item.path)
    before = find(scan.tree, placed.get(item.path), item.below)
    merged = presence(scan.tree, scan.put_tree, here, before, entry)
    lost = [c.path for c in changes(scan.tree, entry, merged.entry) if c.word != "added"]
    if lost:
        more = f", nor are {len(lost) - 1} more files" if len(lost) > 1 else ""
        raise Refused(
            f"{display(join(full, lost[0]))} is not as it is recorded{more}: nothing was dropped",
            hint=f"mlx status {repo.place.word(full)}, then mlx add or mlx checkout",
        )
    files: dict[RepoPath, Entry] = {}
    folders: list[RepoPath] = []
    if here is not None:
        for path, alike in _alike(scan.tree, here, entry, full):
            if alike.kind == "tree":
                folders.append(path)
            else:
                files[path] = alike
    return Leaving(item, full, entry, files, tuple(folders))


def _alike(
    read: ReadTree, here: Entry, entry: Entry, path: RepoPath
) -> Iterator[tuple[RepoPath, Entry]]:
    """Yield the folders that both have, and the files that are the same in both."""
    if here.kind == "tree" and entry.kind == "tree":
        yield path, here
        there = read(entry.oid)
        for name, child in read(here.oid).items():
            if name in there:
                yield from _alike(read, child, there[name], join(path, name))
    elif same(here, entry):
        yield path, here


def note_left(repo: Repo, leaving: Iterable[Leaving], kept: Collection[bytes]) -> None:
    """Note as absent what goes, but for files with the keys `kept`, which stay."""
    read = repo.store.tree
    now = repo.placed
    with repo.store.batch() as batch:
        for item in leaving:
            stays = {
                path[len(item.full) + 1 :]: entry
                for path, entry in item.files.items()
                if key_of(entry) in kept
            }
            left = _folder(batch.put_tree, stays)
            top, path = now.get(item.part.path), item.part.path
            entry = replace(read, batch.put_tree, top, item.part.below, left)
            if entry is None:
                now.pop(path, None)
            else:
                now[path] = entry
            batch.publish()
    tops = {item.part.path for item in leaving}

    def change(noted: Placed) -> None:
        for top in tops:
            noted.pop(top, None)
        noted.update({top: now[top] for top in tops if top in now})

    repo.update_placed(change)


def _folder(put: PutTree, files: Mapping[str, Entry]) -> Entry | None:
    """Return the entry of files by their paths below it ("" is itself); None when there is none."""
    if "" in files:
        return files[""]
    inside: dict[str, dict[str, Entry]] = defaultdict(dict)
    for path, entry in files.items():
        name, _, below = path.partition("/")
        inside[name][below] = entry
    tree = {name: found for name, some in inside.items() if (found := _folder(put, some))}
    return write_tree(tree, put) if tree else None
