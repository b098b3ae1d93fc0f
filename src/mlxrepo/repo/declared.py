"""What the repository declares: every mlx.yaml together, checked against each other."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import NamedTuple

from mlxrepo.errors import InputError
from mlxrepo.paths import RepoPath, ancestors, display, is_inside, parent
from mlxrepo.repo.layout import LOCK_FILE
from mlxrepo.repo.stage import KINDS, Artifact, Out, ProjectFile, Read, Stage

SECTIONS = {kind: section for section, kind in KINDS.items()}


class Declared(NamedTuple):
    """All project files: artifacts by `kind:name`, stages by address, outs by path."""

    files: tuple[ProjectFile, ...]
    artifacts: Mapping[str, Artifact]
    stages: Mapping[str, Stage]
    outs: Mapping[RepoPath, tuple[Stage, Out]]

    def maker(self, path: str) -> Stage | None:
        """Return the stage that makes `path` or a folder it lies in."""
        for folder in (path, *reversed(ancestors(path))):
            if RepoPath(folder) in self.outs:
                return self.outs[RepoPath(folder)][0]
        return None

    def artifact_at(self, path: str) -> Artifact | None:
        """Return the artifact that is `path` or holds it."""
        found = [a for a in self.artifacts.values() if is_inside(path, a.path)]
        return max(found, key=lambda a: len(a.path), default=None)


def lock_path(project_file: str) -> RepoPath:
    """Return the lockfile that belongs to a project file: the one beside it."""
    folder = parent(project_file)
    return RepoPath(f"{folder}/{LOCK_FILE}" if folder else LOCK_FILE)


def parse_file(data: bytes, path: RepoPath, read: Read) -> ProjectFile:
    """Parse a project file; the parser is loaded when there is something to parse."""
    from mlxrepo.repo.project import parse_project

    return parse_project(data, path, read)


def declare(
    sources: Mapping[str, bytes],
    read: Read,
    parse: Callable[[bytes, RepoPath, Read], ProjectFile] = parse_file,
) -> Declared:
    """Parse project files and check that together they make sense.

    `read` gives the files of values that their templates name, as they were at the same time.

    Raises:
        InputError: where a name is taken twice, or a path is claimed by two declarations.
    """
    files = tuple(parse(data, RepoPath(path), read) for path, data in sorted(sources.items()))
    named: dict[str, Artifact] = {}
    for artifact in (a for f in files for a in f.artifacts):
        first = named.setdefault(artifact.name, artifact)
        if first is not artifact:
            raise InputError(
                f'the name "{artifact.name}" is taken, by the {first.kind} at {first.where}',
                hint="give one of them another name",
                where=artifact.where,
            )
    artifacts = {f"{a.kind}:{a.name}": a for a in named.values()}
    stages = {stage.address: stage for f in files for stage in f.stages}
    outs = _claim_outs(stages.values())
    _check_artifacts(artifacts.values(), outs)
    return Declared(files, artifacts, stages, outs)


def _claim_outs(stages: Iterable[Stage]) -> dict[RepoPath, tuple[Stage, Out]]:
    outs: dict[RepoPath, tuple[Stage, Out]] = {}
    for stage in stages:
        for out in stage.outs:
            if out.path in outs:
                other = outs[out.path]
                raise InputError(
                    f'"{display(out.path)}" is made by two stages, here and by '
                    f"{other[0].address} at {other[1].where}",
                    hint="one path can have one maker: give one of them another path",
                    where=out.where,
                )
            outs[out.path] = (stage, out)
    for path, (_, out) in outs.items():
        above = _holder(path, outs)
        if above:
            raise InputError(
                f'"{display(path)}" lies inside "{display(above)}", which is an out too '
                f"({outs[above][1].where})",
                hint="declare the folder or the files in it, not both",
                where=out.where,
            )
    return outs


def _holder(path: str, known: Collection[RepoPath]) -> RepoPath | None:
    """Return the path among `known`, a set or a map, that lies above `path`."""
    folder = parent(path)
    while folder:
        if folder in known:
            return folder
        folder = parent(folder)
    return None


def _check_artifacts(
    artifacts: Iterable[Artifact], outs: Mapping[RepoPath, tuple[Stage, Out]]
) -> None:
    by_path: dict[RepoPath, Artifact] = {}
    for artifact in artifacts:
        other = by_path.setdefault(artifact.path, artifact)
        if other is not artifact:
            raise InputError(
                f'"{display(artifact.path)}" is declared twice, first at {other.where}',
                where=artifact.where,
            )
    for path, artifact in by_path.items():
        above = _holder(path, by_path)
        if above and path not in outs:
            raise InputError(
                f'"{display(path)}" lies inside "{display(above)}" ({by_path[above].where})',
                hint="an artifact cannot hold another: declare one of them",
                where=artifact.where,
            )
    for path, (stage, out) in outs.items():
        above = _holder(path, by_path)
        if above:
            raise InputError(
                f'stage {stage.address} makes "{display(path)}" inside "{display(above)}", which '
                f"is data ({by_path[above].where})",
                hint="let the stage write to a folder of its own",
                where=out.where,
            )
