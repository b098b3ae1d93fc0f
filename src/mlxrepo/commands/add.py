"""mlx add: record files and folders as data; `.gitignore` first, the lock row last."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, count

from mlxrepo.errors import InputError
from mlxrepo.files import write_atomic
from mlxrepo.paths import RepoPath, display, from_user, is_inside, name_of, parent
from mlxrepo.progress import SILENT, Progress
from mlxrepo.repo import gitignore
from mlxrepo.repo.declared import SECTIONS, lock_path
from mlxrepo.repo.observed import Tracked
from mlxrepo.repo.project import Artifact, check_name
from mlxrepo.repo.repo import Repo
from mlxrepo.repo.targets import PREFIXES
from mlxrepo.repo.update import Updated, modified, record_data, update_tracked
from mlxrepo.store.compare import Change, changes

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Added:
    """What was recorded, and the files that git should commit now."""

    updated: tuple[Updated, ...]
    to_commit: tuple[RepoPath, ...]


def add(
    repo: Repo,
    paths: Sequence[str],
    *,
    name: str | None = None,
    kind: str = "data",
    progress: Progress = SILENT,
) -> Added:
    """Record what lies at `paths`; a path inside a tracked folder updates that path only.

    Raises:
        InputError: for a path outside, overlapping, tracked by git, or made by a stage.
    """
    if name and len(paths) > 1:
        raise InputError("--name goes with one path", hint="add the paths one by one")
    updated: list[Updated] = []
    touched: list[RepoPath] = []
    for text in paths:
        path = from_user(text, repo.root, repo.cwd)
        tracked = repo.observed.at(path)
        if tracked is not None:
            if name:
                raise InputError(f"{display(tracked.path)} has a name already: {tracked.address}")
            _refuse_made(repo, path)
            updated.append(update_tracked(repo, tracked, path, progress=progress))
            touched.append(tracked.lock)
        else:
            updated.append(_add_new(repo, path, name, kind, touched, progress))
    return Added(tuple(updated), tuple(sorted(set(touched))))


def add_modified(repo: Repo, *, progress: Progress = SILENT) -> Added:
    """Record every tracked path whose workspace content changed (`add -u`)."""
    data = [item for item in repo.observed.tracked() if item.role in SECTIONS]
    found = modified(repo, data)
    updated = [update_tracked(repo, item, item.path, progress=progress) for item in found]
    return Added(tuple(updated), tuple(sorted({item.lock for item in found})))


def _add_new(
    repo: Repo,
    path: RepoPath,
    name: str | None,
    kind: str,
    touched: list[RepoPath],
    progress: Progress,
) -> Updated:
    artifact = repo.declared.artifact_at(path)
    if artifact is not None and artifact.path != path:
        raise InputError(
            f"{display(path)} lies inside {display(artifact.path)}, which is declared but not "
            f"recorded ({artifact.where})",
            hint=f"mlx add {display(artifact.path)}",
        )
    _check_new(repo, path)
    project_file = _project_file(repo, path)
    kind, name = _kind_and_name(repo, path, name, kind, artifact)
    with repo.mutex("adding"):
        hidden = [path] if not repo.git.ignored([path]) else []
        touched += gitignore.add_lines(repo.root, hidden)
    with repo.store.batch() as batch:
        entry = repo.scan(batch=batch, progress=progress).entry(path)
    assert entry is not None
    if artifact is None:
        _declare(repo, project_file, kind, name, path)
        touched.append(project_file)
    lock = lock_path(project_file)
    tracked = Tracked(path, entry, kind, f"{kind}:{name}", True, lock)
    record_data(repo, tracked, entry, entry)
    touched.append(lock)
    repo.forget()
    differ: tuple[Change, ...] = tuple(changes(repo.store.tree, None, entry))
    return Updated(
        path, tracked.address, None, entry, differ, 0, 0, batch.new_objects, batch.new_bytes
    )


def _check_new(repo: Repo, path: RepoPath) -> None:
    if not path:
        raise InputError("the whole repository cannot be data", hint="mlx add data/")
    full = repo.full(path)
    if not os.path.lexists(full):
        raise InputError(f"{display(path)} is not here", hint="check the path: ls")
    if os.path.islink(full):
        raise InputError(
            f"{display(path)} is a symbolic link; what it leads to can be added, if it lies in "
            "the repository",
            hint="copy or move the data here, then mlx add it",
        )
    _refuse_made(repo, path)
    inside = [item.path for item in repo.observed.tracked() if is_inside(item.path, path)]
    inside += [a.path for a in repo.declared.artifacts.values() if is_inside(a.path, path)]
    inside = [item for item in inside if item != path]
    if inside:
        raise InputError(
            f"{display(path)} holds {display(inside[0])}, which is tracked by itself",
            hint=f"mlx rm --cached {display(inside[0])} first, or add other paths",
        )
    in_git = repo.git.tracked([path])
    if in_git:
        raise InputError(
            f"git tracks {display(in_git[0])}"
            + (f" and {len(in_git) - 1} more files" if len(in_git) > 1 else "")
            + "; a file belongs to git or to mlx, not to both",
            hint=f"git rm -r --cached {display(path)}, then mlx add {display(path)}",
        )


def _refuse_made(repo: Repo, path: RepoPath) -> None:
    maker = repo.declared.maker(path)
    inside = [
        stage for out, (stage, _) in repo.declared.outs.items() if path and is_inside(out, path)
    ]
    stage = maker or (inside[0] if inside else None)
    if stage is not None:
        raise InputError(
            f"{display(path)} is made by stage {stage.address} ({stage.where})",
            hint=f"mlx repro {stage.address} records it",
        )


def _project_file(repo: Repo, path: RepoPath) -> RepoPath:
    """Return the nearest mlx.yaml above a path."""
    above = [file for file in repo.project_paths if is_inside(path, parent(file))]
    if not above:
        raise InputError(f"no mlx.yaml lies above {display(path)}", hint="mlx init at the root")
    return max(above, key=lambda file: len(parent(file)))


def _kind_and_name(
    repo: Repo, path: RepoPath, name: str | None, kind: str, artifact: Artifact | None
) -> tuple[str, str]:
    if artifact is not None:
        if name and name != artifact.name:
            raise InputError(
                f"{display(path)} is declared as {artifact.kind}:{artifact.name}",
                where=artifact.where,
            )
        return artifact.kind, artifact.name
    if name is None:
        return kind, _free_name(repo, path)
    check_name(name, "artifact")
    for other in repo.declared.artifacts.values():
        if other.name == name:
            raise InputError(f'the name "{name}" is taken at {other.where}', hint="choose another")
    return kind, name


def _free_name(repo: Repo, path: RepoPath) -> str:
    """Derive a name from the file's: its stem, with its folders' when that is taken."""
    parts = [*path.split("/")[:-1], name_of(path).lstrip(".").split(".")[0]]
    words = [_NOT_IN_NAMES.sub("-", part).strip("-") for part in parts]
    words = [word for word in words if word] or ["data"]
    taken = {artifact.name for artifact in repo.declared.artifacts.values()}
    names = ["-".join(words[start:]) for start in range(len(words) - 1, -1, -1)]
    numbered = (f"{words[-1]}-{number}" for number in count(2))
    free = (name for name in chain(names, numbered) if name not in taken)
    return next(name for name in free if name not in PREFIXES)


def _declare(repo: Repo, file: RepoPath, kind: str, name: str, path: RepoPath) -> None:
    """Insert the artifact into mlx.yaml; comments and order stay."""
    from mlxrepo.yamledit import set_entry

    body = {"path": os.path.relpath(path, parent(file) or ".")}
    with repo.mutex("declaring"):
        text = repo.read(file).decode("utf-8")
        new = set_entry(text, SECTIONS[kind], name, body, file)
        write_atomic(repo.full(file), new.encode("utf-8"))
