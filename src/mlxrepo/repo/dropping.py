"""What a drop is about: which versions, and what has to stay because something else needs it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress

from mlxrepo.errors import Damaged, InputError, ObjectMissing
from mlxrepo.hashing import Oid
from mlxrepo.paths import RepoPath, is_inside, join
from mlxrepo.repo.git import Git
from mlxrepo.repo.history import index_locks, lock_changes
from mlxrepo.repo.leaving import Leaving
from mlxrepo.repo.lockrows import Row, RowReader
from mlxrepo.repo.registered import registered
from mlxrepo.repo.repo import Repo
from mlxrepo.repo.roots import Root, Worktree, asked, on_disk, roots, worktrees
from mlxrepo.repo.targets import parse_target
from mlxrepo.repo.wanted import Scope, Wanted, recorded
from mlxrepo.store.lease import held
from mlxrepo.store.reach import key_of, mark
from mlxrepo.store.tree import Entry

Version = tuple[RepoPath, Oid]


class Versions:
    """What git remembers of each tracked path: every lockfile is read once."""

    def __init__(self, repo: Repo):
        self._repo = repo
        git_dirs = [place.git_dir for place in _places(repo)]
        changes = list(lock_changes(repo.git, git_dirs))
        self._committed = list(dict.fromkeys(change.blob for change in changes))
        self._staged = [blob for _, blob in index_locks(repo.git)]
        self._locks = sorted({c.path for c in changes if "\n" not in c.path})
        self._rows = dict(_read(repo.git, [*self._committed, *self._staged]))

    def of(self, blobs: Iterable[str]) -> dict[Version, Wanted]:
        """Return what lockfiles name, in their order."""
        found: dict[Version, Wanted] = {}
        for blob in blobs:
            for row in self._rows.get(blob, ()):
                if row.kept and row.path:
                    found.setdefault((row.path, row.entry.oid), Wanted(row.path, row.entry))
        return found

    def older(self, before: float) -> list[Wanted]:
        """Return what only commits from `before` name (seconds since the epoch)."""
        _, out = self._repo.git.run("rev-list", "--all", "--reflog", "--timestamp")
        rows = (line.split(" ") for line in out.decode().splitlines())
        newer = [commit for time, commit in rows if int(time) >= before]
        kept = self.of([*self._locks_of(newer), *self._staged]).keys() | _present(self._repo)
        return [item for version, item in self.of(self._committed).items() if version not in kept]

    def beyond(self, count: int) -> list[Wanted]:
        """Return all but the last `count` versions of each path, in HEAD's history."""
        head = self._repo.git.head()
        _, out = self._repo.git.run("rev-list", head) if head else (0, b"")
        found = _present(self._repo)  # the newest
        for version, item in self.of(self._locks_of(out.decode().split())).items():
            found.setdefault(version, item)
        seen: dict[RepoPath, int] = defaultdict(int)
        gone = []
        for version, item in found.items():
            seen[version[0]] += 1
            if seen[version[0]] > count:
                gone.append(item)
        return gone

    def _locks_of(self, commits: Sequence[str]) -> list[str]:
        """Return git's names of the lockfiles of commits, in their order."""
        asked = [f"{commit}:{path}" for commit in commits for path in self._locks]
        found = self._repo.git.kinds(asked)
        return list(dict.fromkeys(oid for oid, kind in found if kind == "blob"))


def _places(repo: Repo) -> list[Worktree]:
    main = repo.root if repo.git_dir == repo.common_dir else None
    return worktrees(repo.git, repo.common_dir, main)


def _present(repo: Repo) -> dict[Version, Wanted]:
    return {(item.path, item.entry.oid): item for item in recorded(repo, (), Scope())}


def _read(git: Git, blobs: list[str]) -> Iterator[tuple[str, list[Row]]]:
    reader = RowReader()
    for blob, data in git.each_blob(blobs):
        yield blob, reader.rows(data, f"git blob {blob[:12]}")


def narrowed(repo: Repo, targets: Sequence[str], found: list[Wanted]) -> list[Wanted]:
    """Return those parts of old versions that targets mean, also at paths that are gone by now.

    Raises:
        InputError: when a target means nothing that is or was recorded.
    """
    if not targets:
        return found
    paths: list[RepoPath] = []
    for text in targets:
        try:
            meant = recorded(repo, [text], Scope())
            paths += [RepoPath(f"{item.path}/{item.below}".rstrip("/")) for item in meant]
        except InputError:
            target = parse_target(text, repo.place, ())
            path = RepoPath(target.name)
            if target.kind != "path" or not any(_touch(path, item.path) for item in found):
                raise
            paths.append(path)
    parts: dict[Wanted, None] = {}
    for item in found:
        for path in paths:
            if is_inside(item.path, path):
                parts[item] = None
            elif is_inside(path, item.path):
                parts[item._replace(below=path[len(item.path) + 1 :])] = None
    return list(parts)


def _touch(one: RepoPath, other: RepoPath) -> bool:
    return is_inside(one, other) or is_inside(other, one)


class Staying:
    """What has to stay when some parts are dropped, and everything else does.

    What is placed in this worktree stays but for the files that are `leaving` it.
    """

    def __init__(self, repo: Repo, parts: Iterable[Wanted], leaving: Iterable[Leaving]):
        self._repo = repo
        self._leaving: dict[RepoPath, set[RepoPath]] = defaultdict(set)
        for found in leaving:
            self._leaving[found.part.path].update(found.files)
        self._gone: dict[Version, set[str]] = defaultdict(set)
        for item in parts:
            self._gone[item.path, item.entry.oid].add(item.below)

    def mark(self, live: set[bytes]) -> set[bytes]:
        """Add to `live` what is needed; return what was new in it.

        Leases come first: a process that has ended since has written down what it needs.

        Raises:
            CannotDecide: when a repository that uses the store cannot be asked, or not fully.
            Damaged: when a tree is damaged: what it names is not known.
        """
        store = self._repo.store
        store.refresh()
        keys = {key for lease in held(store.root) for key in lease.keys}
        keys.update(key_of(root.entry) for root in self._elsewhere())
        try:
            for root in roots(self._repo):
                keys.update(self._needed(root))
            return mark(store, keys, live)[0]
        except Damaged as error:
            raise Damaged(error.message, hint="mlx fsck --repair, then again") from None

    def _needed(self, root: Root) -> Iterator[bytes]:
        """Yield what a root needs beside what is dropped of it."""
        if root.where == "placed" and root.path in self._leaving:
            yield from self._staying(root.path, root.entry, self._leaving[root.path])
            return
        gone = self._gone.get((root.path, root.entry.oid))
        if gone is None or root.where == "placed":
            yield key_of(root.entry)
        elif "" not in gone:
            yield from self._beside(root, gone)

    def _staying(self, path: RepoPath, entry: Entry, leaving: set[RepoPath]) -> Iterator[bytes]:
        """Yield the files of a placed entry that do not leave."""
        if entry.kind != "tree":
            if path not in leaving:
                yield key_of(entry)
            return
        with suppress(ObjectMissing):
            for name, child in self._repo.store.tree(entry.oid).items():
                yield from self._staying(join(path, name), child, leaving)

    def _beside(self, root: Root, gone: set[str]) -> Iterator[bytes]:
        queue = [(root.entry, gone)]
        while queue:
            entry, parts = queue.pop()
            try:
                tree = self._repo.store.tree(entry.oid)
            except ObjectMissing:
                continue
            for name, child in tree.items():
                inside = {part.partition("/")[2] for part in parts if part.split("/")[0] == name}
                if not inside:
                    yield key_of(child)
                elif "" not in inside and child.kind == "tree":
                    queue.append((child, inside))

    def _elsewhere(self) -> Iterator[Root]:
        """Yield what other worktrees have on disk, and all that other repositories need."""
        for place in _places(self._repo):
            if place.git_dir != self._repo.git_dir:
                yield from on_disk(place)
        for other in registered(self._repo.store.root):
            if other.path != self._repo.common_dir:
                yield from asked(other, sparing=True)
