"""mlx rm: forget tracked paths, as git rm does; never the only copy of anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mlxrepo.errors import InputError, Refused
from mlxrepo.files import write_atomic
from mlxrepo.paths import RepoPath, display, from_user
from mlxrepo.repo import gitignore
from mlxrepo.repo.declared import SECTIONS, lock_path
from mlxrepo.repo.observed import Tracked
from mlxrepo.repo.project import Artifact
from mlxrepo.repo.repo import Repo
from mlxrepo.repo.targets import parse_target
from mlxrepo.repo.trash import to_trash
from mlxrepo.repo.update import record_data
from mlxrepo.store.materialize import Plan, Side, plan
from mlxrepo.store.subtree import find, replace


@dataclass(frozen=True, slots=True)
class Removed:
    """What is forgotten; `kept` are files that stay because mlx never had them."""

    paths: tuple[RepoPath, ...]
    kept: tuple[RepoPath, ...]
    trash: str | None
    to_commit: tuple[RepoPath, ...]


def rm(repo: Repo, targets: Sequence[str], *, cached: bool = False, force: bool = False) -> Removed:
    """Forget artifacts, or paths inside tracked folders, and remove their files unless `cached`.

    Raises:
        InputError: when a target is not tracked data.
        Refused: when the workspace has bytes that the store lacks (unless forced or cached).
    """
    chosen = [_choose(repo, text) for text in targets]
    plans = [] if cached else [_plan(repo, tracked, path) for tracked, path in chosen]
    unsaved = [path for steps in plans for path in steps.unsaved]
    if unsaved and not force:
        raise Refused(
            f"{display(unsaved[0])} has changes that only the workspace has"
            + (f", and so have {len(unsaved) - 1} more files" if len(unsaved) > 1 else ""),
            hint="mlx add records them first; --force removes all and keeps a copy in the trash",
        )
    trash = to_trash(repo, unsaved)
    touched: set[RepoPath] = set()
    for tracked, path in chosen:
        touched |= _forget(repo, tracked, path)
    gone = set(unsaved)
    for steps in plans:
        left = tuple(path for path in steps.remove if path not in gone)
        repo.workspace().apply(steps._replace(remove=left))
    kept = tuple(path for steps in plans for path in steps.kept)
    return Removed(tuple(path for _, path in chosen), kept, trash, tuple(sorted(touched)))


def _choose(repo: Repo, text: str) -> tuple[Tracked, RepoPath]:
    target = parse_target(text, repo.place, ())
    if target.kind == "path":
        path = from_user(text, repo.root, repo.cwd)
        tracked = repo.observed.at(path)
    else:
        address = f"{target.kind}:{target.name}"
        tracked = next((t for t in repo.observed.tracked() if t.address == address), None)
        path = tracked.path if tracked else RepoPath("")
    if tracked is None:
        raise InputError(f'"{display(text)}" is not tracked', hint="mlx ls lists what is")
    if tracked.role not in SECTIONS:
        raise InputError(
            f"{display(path)} is made by stage {tracked.address}",
            hint="take the out, or the stage, out of mlx.yaml",
        )
    if path != tracked.path and find(repo.store.tree, tracked.entry, _below(tracked, path)) is None:
        raise InputError(f"{display(path)} is not recorded in {display(tracked.path)}")
    return tracked, path


def _below(tracked: Tracked, path: RepoPath) -> str:
    return path[len(tracked.path) + 1 :]


def _plan(repo: Repo, tracked: Tracked, path: RepoPath) -> Plan:
    scan = repo.scan()
    placed = find(scan.tree, repo.placed.get(tracked.path), _below(tracked, path))
    side = Side(scan.entry(path), placed, None)
    return plan(path, side, scan.tree, repo.store.has_entry, top=tracked.path)


def _forget(repo: Repo, tracked: Tracked, path: RepoPath) -> set[RepoPath]:
    """Take a path out of the lock (and, for a whole artifact, out of everything)."""
    if path != tracked.path:
        with repo.store.batch() as batch:
            below = _below(tracked, path)
            entry = replace(repo.store.tree, batch.put_tree, tracked.entry, below, None)
            old = repo.placed.get(tracked.path)
            placed = replace(repo.store.tree, batch.put_tree, old, below, None) if old else None
        assert entry is not None
        record_data(repo, tracked, entry, placed)
        return {tracked.lock}
    touched = {tracked.lock}
    artifact = repo.declared.artifacts.get(tracked.address)
    if artifact is not None:
        touched.add(_undeclare(repo, artifact, tracked))
    repo.update_lock(tracked.lock, lambda records: records.pop(tracked.address, None) and None)
    repo.update_placed(lambda placed: placed.pop(path, None) and None)
    touched.update(gitignore.remove_lines(repo.root, [path]))
    repo.forget()
    return touched


def _undeclare(repo: Repo, artifact: Artifact, tracked: Tracked) -> RepoPath:
    from mlxrepo.yamledit import remove_entry

    file = next(f for f in repo.project_paths if lock_path(f) == tracked.lock)
    with repo.mutex("undeclaring"):
        text = repo.read(file).decode("utf-8")
        new = remove_entry(text, SECTIONS[artifact.kind], artifact.name, file)
        write_atomic(repo.full(file), new.encode("utf-8"))
    return file
