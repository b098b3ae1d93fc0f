"""What of two revisions was asked for: paths, parts of artifacts, stages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from mlxrepo.globs import concerns, is_glob, matches
from mlxrepo.paths import RepoPath, ancestors, is_inside
from mlxrepo.repo.declared import Declared
from mlxrepo.repo.observed import Tracked
from mlxrepo.repo.targets import Place, Target, named_stages, not_recorded, parse_target


class Filter(NamedTuple):
    """Paths, patterns and stages that were asked for; `all` when nothing was."""

    all: bool
    paths: tuple[str, ...] = ()
    stages: frozenset[str] = frozenset()

    def touches(self, path: str) -> bool:
        """Say whether a path, what it lies in, or what may lie in it was asked for."""
        return self.all or any(_touches(path, wanted) for wanted in self.paths)

    def holds(self, path: str) -> bool:
        """Say whether a file was asked for: itself, or what it lies in."""
        return self.all or any(_holds(path, wanted) for wanted in self.paths)


def _holds(path: str, wanted: str) -> bool:
    folders = [*ancestors(path), path]
    return is_inside(path, wanted) or any(is_glob(wanted) and matches(p, wanted) for p in folders)


def _touches(path: str, wanted: str) -> bool:
    if is_inside(path, wanted) or is_inside(wanted, path):
        return True
    return is_glob(wanted) and concerns(path, wanted)


def path_filter(
    texts: Sequence[str],
    place: Place,
    tracked: Sequence[Tracked],
    stages: Iterable[str],
    declared: Callable[[], Declared],
) -> Filter:
    """Return the filter that targets mean among what either revision records.

    An artifact may be named without its prefix where no path has its name.

    Raises:
        InputError: when a target means nothing that is recorded.
    """
    known = set(stages)
    paths: list[str] = []
    chosen: set[str] = set()
    for text in texts:
        target = parse_target(text, place, known)
        found = _stage_paths(target, tracked, known) if target.kind == "stage" else None
        if found is None:
            found = _paths(target, tracked, declared)
        else:
            chosen.update(named_stages(target.name, known))
        if (not found and target.kind != "stage") or target.version:
            raise not_recorded(text, target, place, list(tracked), declared())
        paths += found
    of_paths = {
        item.address
        for item in tracked
        if item.address in known and any(_touches(item.path, path) for path in paths)
    }
    return Filter(not texts, tuple(paths), frozenset(chosen | of_paths))


def _stage_paths(target: Target, tracked: Sequence[Tracked], known: set[str]) -> list[str]:
    meant = set(named_stages(target.name, known))
    return [item.path for item in tracked if item.address in meant]


def _paths(
    target: Target, tracked: Sequence[Tracked], declared: Callable[[], Declared]
) -> list[str]:
    if target.kind != "path":
        return _named(f"{target.kind}:{target.name}", tracked, declared)
    path = RepoPath(target.name)
    if any(_touches(item.path, path) for item in tracked):
        return [path]
    kinds = ("data", "feature", "model")
    return [p for kind in kinds for p in _named(f"{kind}:{target.name}", tracked, declared)]


def _named(address: str, tracked: Sequence[Tracked], declared: Callable[[], Declared]) -> list[str]:
    found = [str(item.path) for item in tracked if item.address == address]
    if not found and (artifact := declared().artifacts.get(address)):
        found = [str(item.path) for item in tracked if is_inside(item.path, artifact.path)]
    return found
