"""New artifacts: what may become one, its name, and how it is recorded; for both forms of `add`."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterable
from itertools import chain, combinations, count
from typing import NamedTuple

from mlxrepo.errors import InputError
from mlxrepo.paths import RepoPath, ancestors, display, from_user, is_inside, join, name_of, parent
from mlxrepo.repo import gitignore
from mlxrepo.repo.declared import SECTIONS, lock_path
from mlxrepo.repo.grammar import RESERVED, check_name
from mlxrepo.repo.layout import KEPT_BY_GIT
from mlxrepo.repo.lockfile import DataRecord
from mlxrepo.repo.observed import Tracked
from mlxrepo.repo.placed import Placed
from mlxrepo.repo.repo import Repo
from mlxrepo.repo.stage import Artifact
from mlxrepo.repo.update import Updated
from mlxrepo.store.tree import Entry

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]+")
# `data:` and its like begin a target, so no artifact can be called so: what comes nearest.
_INSTEAD = {"data": "dataset", "feature": "features", "model": "models", "exp": "experiment"}


class New(NamedTuple):
    """A path to be added: what it will be, the mlx.yaml it belongs to, and whether that has it."""

    path: RepoPath
    kind: str
    name: str
    file: RepoPath
    is_declared: bool

    @property
    def address(self) -> str:
        """Return what it is called in mlx.lock."""
        return f"{self.kind}:{self.name}"

    def declare(self, text: str) -> str:
        """Insert the artifact into the text of its mlx.yaml; comments and order stay."""
        from mlxrepo.yamledit import set_entry

        path = os.path.relpath(self.path, parent(self.file) or ".")
        if path.startswith("~"):
            path = f"./{path}"
        return set_entry(text, SECTIONS[self.kind], self.name, {"path": path}, self.file)


def files_of(repo: Repo, tracked: Tracked) -> list[RepoPath]:
    """Return the files that git keeps about an artifact; an add that was killed wrote some."""
    artifact = repo.declared.artifacts.get(tracked.address)
    declared = [RepoPath(artifact.where.file)] if artifact else []
    return [tracked.lock, join(parent(tracked.path), gitignore.NAME), *declared]


def parsed(repo: Repo, text: str) -> RepoPath:
    """Return the path that a user typed.

    Raises:
        InputError: when it is none in the repository.
    """
    if not text:
        raise InputError("a path cannot be empty", hint="mlx add DATA")
    return from_user(text, repo.root, repo.cwd)


def tracked_at(repo: Repo, path: RepoPath) -> Tracked | None:
    """Return what is recorded at a path or above it.

    Raises:
        InputError: when a stage makes it, or made it when it was last declared.
    """
    _refuse_made(repo, path)
    tracked = repo.observed.at(path)
    if tracked is not None and tracked.role not in SECTIONS:
        raise InputError(
            f"{display(path)} is recorded as made by stage {display(tracked.address)}, which is "
            "no longer declared",
            hint=f"mlx repro forgets the stage, then mlx add {repo.place.word(path)}",
        )
    return tracked


def check_known(
    repo: Repo, tracked: Tracked, path: RepoPath, name: str | None, kind: str | None
) -> None:
    """Check that a recorded artifact can be recorded anew as it is asked for, at or below it.

    Raises:
        InputError: when it has another name or kind, or .mlxignore leaves the path out.
    """
    if name and tracked.address != f"{tracked.role}:{name}":
        raise InputError(f"{display(tracked.path)} has a name already: {tracked.address}")
    if kind and tracked.role != kind:
        raise InputError(
            f"{display(tracked.path)} is recorded as {tracked.address}",
            hint=f"mlx rm --cached {repo.place.word(tracked.path)}, then add it anew",
        )
    for part in (*ancestors(path), path):
        is_folder = part != path or os.path.isdir(repo.full(path))
        if (
            part != tracked.path
            and is_inside(part, tracked.path)
            and repo.rules.ignored(part, is_folder)
        ):
            raise InputError(f"{display(part)} is left out by .mlxignore", hint="edit .mlxignore")


def plan_new(
    repo: Repo, paths: list[RepoPath], name: str | None, kind: str | None, *, here: bool = True
) -> list[New]:
    """Check new paths and decide what each will be; nothing is written yet.

    What will never be `here` has to have its path for itself.

    Raises:
        InputError: when one of them cannot be added.
    """
    for path in paths:
        _check_path(repo, path)
        _check_here(repo, path) if here else _check_not_here(repo, path)
        _refuse_overlap(repo, path)
    for first, second in combinations(paths, 2):
        if is_inside(first, second) or is_inside(second, first):
            raise InputError(
                f"{display(first)} and {display(second)} overlap", hint="add one of them"
            )
    _refuse_in_git(repo, paths)
    taken = {artifact.name for artifact in repo.declared.artifacts.values()}
    fresh: list[New] = []
    for path in paths:
        fresh.append(_name(repo, path, name, kind, taken))
        taken.add(fresh[-1].name)
    for file in {new.file for new in fresh}:
        _declare(repo.read(file).decode("utf-8"), file, fresh)
    return fresh


def _declare(text: str, file: RepoPath, fresh: Iterable[New]) -> str:
    """Return the text of an mlx.yaml with those of the new artifacts that belong into it."""
    for new in fresh:
        if new.file == file and not new.is_declared:
            text = new.declare(text)
    return text


def _check_path(repo: Repo, path: RepoPath) -> None:
    if not path:
        raise InputError("the whole repository cannot be data", hint="mlx add data/")
    if name_of(path) in KEPT_BY_GIT:
        raise InputError(f"{display(path)} belongs in git", hint=f"git add {repo.place.word(path)}")


def _check_not_here(repo: Repo, path: RepoPath) -> None:
    if os.path.lexists(repo.full(path)):
        raise InputError(
            f"{display(path)} is here already, and would be something else than what is recorded",
            hint="name another path for it, or move away what is there",
        )
    above = next((a for a in ancestors(path) if not _may_hold(repo.full(a))), None)
    if above:
        raise InputError(f"{display(above)} is a file", hint="name another path for it")


def _may_hold(full: str) -> bool:
    return os.path.isdir(full) or not os.path.lexists(full)


def _check_here(repo: Repo, path: RepoPath) -> None:
    full = repo.full(path)
    if not os.path.lexists(full):
        raise InputError(f"{display(path)} is not here", hint="check the path: ls")
    if os.path.islink(full):
        raise InputError(
            f"{display(path)} is a symbolic link; what it leads to can be added, if it lies in "
            "the repository",
            hint="copy or move the data here, then mlx add it",
        )
    for above in ancestors(path):
        if os.path.lexists(repo.full(f"{above}/.git")):
            raise InputError(
                f"{display(path)} lies in {display(above)}, which is a git repository of its own",
                hint=f"mlx -C {repo.place.word(above)} add, if it is a project of mlx",
            )


def _refuse_overlap(repo: Repo, path: RepoPath) -> None:
    inside = [item.path for item in repo.observed.tracked() if is_inside(item.path, path)]
    inside += [a.path for a in repo.declared.artifacts.values() if is_inside(a.path, path)]
    inside = [item for item in inside if item != path]
    if inside:
        raise InputError(
            f"{display(path)} holds {display(inside[0])}, which is tracked by itself",
            hint=f"mlx rm --cached {repo.place.word(inside[0])} first, or add other paths",
        )
    project = next((file for file in repo.project_paths if is_inside(file, path)), None)
    if project:
        raise InputError(
            f"{display(path)} holds {display(project)}, which belongs in git",
            hint="add the folder that holds nothing but data",
        )


def _refuse_in_git(repo: Repo, paths: list[RepoPath]) -> None:
    in_git = repo.git.tracked(paths)
    if in_git:
        path = next(path for path in paths if is_inside(in_git[0], path))
        word = repo.place.word(path)
        raise InputError(
            f"git tracks {display(in_git[0])}"
            + (f" and {len(in_git) - 1} more files" if len(in_git) > 1 else "")
            + "; a file belongs to git or to mlx, not to both",
            hint=f"git rm -r --cached {word}, then mlx add {word}",
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


def _name(repo: Repo, path: RepoPath, name: str | None, kind: str | None, taken: set[str]) -> New:
    artifact = repo.declared.artifact_at(path)
    if artifact is not None:
        return _as_declared(repo, path, artifact, name, kind)
    if name is None:
        name = _free_name(path, taken)
    check_name(name, "artifact")
    for other in repo.declared.artifacts.values():
        if other.name == name:
            raise InputError(f'the name "{name}" is taken at {other.where}', hint="choose another")
    return New(path, kind or "data", name, _project_file(repo, path), False)


def _as_declared(
    repo: Repo, path: RepoPath, artifact: Artifact, name: str | None, kind: str | None
) -> New:
    if artifact.path != path:
        raise InputError(
            f"{display(path)} lies inside {display(artifact.path)}, which is declared but not "
            f"recorded ({artifact.where})",
            hint=f"mlx add {repo.place.word(artifact.path)}",
        )
    if (name or artifact.name, kind or artifact.kind) != (artifact.name, artifact.kind):
        raise InputError(
            f"{display(path)} is declared as {artifact.kind}:{artifact.name}",
            where=artifact.where,
        )
    return New(path, artifact.kind, artifact.name, RepoPath(artifact.where.file), True)


def _free_name(path: RepoPath, taken: set[str]) -> str:
    """Derive a name: the file's stem, else with its folders' names, else with a number."""
    parts = [*path.split("/")[:-1], name_of(path).lstrip(".").split(".")[0]]
    words = [_NOT_IN_NAMES.sub("-", part).strip("-") for part in parts]
    words = [word for word in words if word] or ["data"]
    names = ["-".join(words[start:]) for start in range(len(words) - 1, -1, -1)]
    last = _INSTEAD.get(words[-1], words[-1])
    numbered = (f"{last}-{number}" for number in count(2))
    free = (name for name in chain(names, [last], numbered) if name not in taken)
    return next(name for name in free if name not in RESERVED)


# writing


def note_placed(placed: Placed, path: RepoPath, entry: Entry | None) -> None:
    """Note what is at a path; None: nothing, and what is recorded there is absent by design."""
    if entry is None:
        placed.pop(path, None)
    else:
        placed[path] = entry


def add_new(
    repo: Repo,
    fresh: list[New],
    store: Callable[[New], Updated],
    *,
    folders: Collection[RepoPath],
    here: bool = True,
) -> tuple[list[Updated], list[RepoPath]]:
    """Let `store` keep new artifacts, declare and record them; return them and files to commit.

    `folders` are those of the paths that are one; not `here`: their bytes are not in the worktree.
    """
    if not fresh:
        return [], []
    paths = [new.path for new in fresh]
    # Killed from here on, it leaves lines in .gitignore, and never data for `git add --all`.
    hidden = repo.hide(paths, folders=folders)
    touched = [join(parent(path), gitignore.NAME) for path in hidden]
    try:
        updated = [store(new) for new in fresh]
        for file in sorted({new.file for new in fresh if not new.is_declared}):
            repo.update_project(file, lambda text, file=file: _declare(text, file, fresh))  # type: ignore[misc]
            touched.append(file)
    except Exception:
        repo.reveal(hidden)
        raise
    for lock in sorted({lock_path(new.file) for new in fresh}):
        with repo.recording(lock) as (records, placed):
            for new, item in zip(fresh, updated, strict=True):
                if lock_path(new.file) == lock:
                    records[new.address] = DataRecord(new.path, item.entry)
                    note_placed(placed, new.path, item.entry if here else None)
        touched.append(lock)
    return updated, touched
