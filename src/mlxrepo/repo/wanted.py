"""What push and fetch are about: recorded entries, of the workspace or of commits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from mlxrepo.errors import InputError, ObjectMissing
from mlxrepo.paths import RepoPath, ancestors, display, join
from mlxrepo.repo.declared import Declared
from mlxrepo.repo.history import changes_from
from mlxrepo.repo.lockrows import RowReader
from mlxrepo.repo.observed import Observed
from mlxrepo.repo.remotes import chosen
from mlxrepo.repo.repo import Repo
from mlxrepo.repo.targets import resolve_tracked
from mlxrepo.store.subtree import find
from mlxrepo.store.tree import Entry, ReadTree


class Scope(NamedTuple):
    """Which commits are meant beside, or instead of, the workspace.

    `commits` are meant alone, with their ancestors; those with a ^ before them and theirs are not.
    """

    rev: str | None = None
    all_branches: bool = False
    all_tags: bool = False
    commits: tuple[str, ...] = ()

    @property
    def is_plain(self) -> bool:
        """Say whether nothing was said."""
        return self == Scope()


class Wanted(NamedTuple):
    """An entry at a path, and what of it is wanted: what lies `below`, or ("") all."""

    path: RepoPath
    entry: Entry
    below: str = ""

    @property
    def full(self) -> RepoPath:
        """The path of what is wanted."""
        return join(self.path, self.below)

    def part(self, read: ReadTree) -> Entry | None:
        """Return what lies at this path; None when nothing does."""
        return find(read, self.entry, self.below)


def recorded(
    repo: Repo, targets: Sequence[str], scope: Scope, keys: set[str] | None = None
) -> list[Wanted]:
    """Return what the workspace's lockfiles name, or those of the commits of a scope, once each.

    The action keys of the stages' records that are meant are added to `keys`.

    Raises:
        InputError: when a target means nothing that is recorded.
        CannotDecide: when there is no such revision.
    """
    found: dict[Wanted, None] = {}
    missed: InputError | None = None
    for declared, observed in _views(repo, scope):
        try:
            matches = resolve_tracked(targets, repo.place, declared, observed)
        except InputError as error:  # it has to be in one of them
            missed = error
            continue
        for tracked, path in matches:
            if tracked.cache:
                below = path[len(tracked.path) + 1 :]
                found[Wanted(tracked.path, tracked.entry, below)] = None
        if keys is not None:
            meant = {tracked.address for tracked, _ in matches}
            stages = observed.stages().items()
            keys.update(record.key for a, record in stages if not targets or a in meant)
    if missed and not found:
        raise missed
    return list(found)


def check_recorded(repo: Repo, wanted: Iterable[Wanted]) -> None:
    """Check that there is something at every path below what is tracked, at one revision at least.

    Raises:
        InputError: naming the first where there is nothing.
    """
    absent: dict[RepoPath, RepoPath] = {}
    found: set[RepoPath] = set()
    for item in wanted:
        if item.below and _is_absent(repo, item):
            absent.setdefault(item.full, item.path)
        else:
            found.add(item.full)
    for full, path in absent.items():
        if full not in found:
            raise InputError(
                f"{display(full)} is not recorded in {display(path)}",
                hint=f"mlx ls {repo.place.word(path)}",
            )


def _is_absent(repo: Repo, item: Wanted) -> bool:
    try:
        return item.part(repo.store.tree) is None
    except ObjectMissing:
        return False  # its listing was never fetched: nobody knows here


def _views(repo: Repo, scope: Scope) -> Iterator[tuple[Callable[[], Declared], Observed]]:
    if scope.is_plain:
        yield repo.views(None)
        return
    if scope.rev:
        yield repo.views(scope.rev)
    for commit in _tips(repo, scope):
        yield repo.views(commit)


def _tips(repo: Repo, scope: Scope) -> list[str]:
    """Return the commits at the tips of branches, here and on git's remotes, and of tags."""
    places = ["refs/heads", "refs/remotes"] if scope.all_branches else []
    places += ["refs/tags"] if scope.all_tags else []
    if not places:
        return []
    shape = "--format=%(objecttype) %(objectname)%0a%(*objecttype) %(*objectname)"
    _, out = repo.git.run("for-each-ref", shape, *places)
    rows = (line.split(" ") for line in out.decode().splitlines())
    return sorted({oid for kind, oid in rows if kind == "commit"})


def history(repo: Repo, scope: Scope, keys: set[str] | None = None) -> list[Wanted]:
    """Return what push sends: all that commits reachable from HEAD name, and the workspace.

    With a scope it is HEAD's commits and those of all branches or tags; with a `rev` that commit
    alone, with `commits` what they changed. The action keys of the stages' records among it are
    added to `keys`.

    Raises:
        CannotDecide: when there is no such revision.
    """
    if scope.commits:
        named = _named_by(repo, scope.commits, set() if keys is None else keys)
        return list(dict.fromkeys(named))
    if scope.rev and not scope.all_branches and not scope.all_tags:
        return recorded(repo, (), scope, keys)
    found = dict.fromkeys(recorded(repo, (), Scope(), keys))
    starts = _tips(repo, scope)
    head = repo.git.head()
    starts += [head] if head else []
    starts += [repo.git.commit(scope.rev)] if scope.rev else []
    if starts:
        found.update(dict.fromkeys(_named_by(repo, starts, set() if keys is None else keys)))
    return list(found)


def _named_by(repo: Repo, starts: Iterable[str], keys: set[str]) -> Iterator[Wanted]:
    reader = RowReader(once=True)
    named = {change.blob: change for change in changes_from(repo.git, starts)}
    for blob, data in repo.git.each_blob(list(named)):
        change = named[blob]
        for row in reader.rows(data, f"{change.commit[:12]}:{change.path}"):
            if row.key:
                keys.add(row.key)
            if row.kept and row.path:
                yield Wanted(row.path, row.entry)


def split(
    repo: Repo, wanted: Iterable[Wanted], name: str, *, undeclared: bool = True
) -> list[Wanted]:
    """Return those that belong on the remote `name`: outs may name another, or stay here.

    What names no remote belongs there if `undeclared`. Today's mlx.yaml counts, also for what an
    old commit recorded.
    """
    outs = {path: out for path, (_, out) in repo.declared.outs.items()}

    def belongs(path: RepoPath) -> bool:
        out = outs.get(path)
        if out is None or not (out.push and out.remote):
            return undeclared and (out is None or out.push)
        return out.remote == name

    return [item for item in wanted if belongs(item.path)]


def makers(repo: Repo, paths: Iterable[RepoPath]) -> dict[RepoPath, str]:
    """Return the paths that no push sends, at or below outs with `push: false`, with their stages.

    Today's mlx.yaml counts.
    """
    outs = repo.declared.outs
    found = {}
    for path in paths:
        top = next((top for top in (path, *ancestors(path)) if top in outs), None)
        if top is not None and not outs[top][1].push:
            found[path] = outs[top][0].address
    return found


def elsewhere(
    repo: Repo, wanted: Iterable[Wanted], shares: Mapping[str, Sequence[Wanted]]
) -> tuple[tuple[RepoPath, str], ...]:
    """Return the paths of what is wanted, with why, if none of it belongs on a remote of `shares`.

    Else nothing: then those remotes are what is spoken of.
    """
    if any(shares.values()):
        return ()
    outs = repo.declared.outs
    named = {item.full: outs[item.path][1] for item in wanted if item.path in outs}
    return tuple(
        (path, f"remote: {out.remote}" if out.push else "push: false")
        for path, out in named.items()
    )


def meant_remotes(repo: Repo, name: str | None) -> list[str]:
    """Return the remote `name`, or the default one and with it those that outs name.

    Raises:
        InputError, CannotDecide: as `chosen`.
    """
    first = chosen(repo, name).name
    if name is not None:
        return [first]
    outs = (out for _, out in repo.declared.outs.values())
    return [first, *sorted({out.remote for out in outs if out.push and out.remote} - {first})]


def by_remote(repo: Repo, wanted: Sequence[Wanted], name: str | None) -> dict[str, list[Wanted]]:
    """Return what belongs on each remote that is meant, the chosen one first.

    Raises:
        InputError, CannotDecide: as `chosen`.
    """
    first, *others = meant_remotes(repo, name)
    found = {first: split(repo, wanted, first)}
    found |= {other: split(repo, wanted, other, undeclared=False) for other in others}
    return {remote: mine for remote, mine in found.items() if mine or remote == first}
