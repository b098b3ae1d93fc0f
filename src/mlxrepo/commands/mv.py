"""mlx mv: give tracked data another path; its bytes are neither read nor copied."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass

from mlxrepo import files
from mlxrepo.errors import EnvironmentFailed, InputError, Refused
from mlxrepo.paths import (
    RepoPath,
    ancestors,
    display,
    from_user,
    is_inside,
    join,
    name_of,
    parent,
)
from mlxrepo.repo import gitignore
from mlxrepo.repo.declared import SECTIONS, Declared, declare
from mlxrepo.repo.layout import IGNORE_FILE, KEPT_BY_GIT
from mlxrepo.repo.lockfile import DataRecord
from mlxrepo.repo.moving import JOURNAL, Move, read_move, write_move
from mlxrepo.repo.observed import Tracked
from mlxrepo.repo.owned import refuse_links
from mlxrepo.repo.relocate import relocated, rewrite_paths
from mlxrepo.repo.repo import Repo
from mlxrepo.repo.targets import parse_target
from mlxrepo.store.statcache import RACY_NS, Folder, Seen, single_key


@dataclass(frozen=True, slots=True)
class Moved:
    """What has another path now, or (not `applied`) would have.

    `stages` read it and run again: a command that reads another path is another command. `named`
    are the places that still say the old path, and which only their author can change.
    """

    old: RepoPath
    new: RepoPath
    address: str
    stages: tuple[str, ...]
    named: tuple[str, ...]
    to_commit: tuple[RepoPath, ...]
    applied: bool = True


def mv(repo: Repo, source: str, target: str, *, dry_run: bool = False) -> Moved:
    """Move tracked data to another path: files, declarations, record and ignore lines.

    A target that is a folder takes it in. Killed at any point, the same command completes it. With
    `dry_run` everything is checked and nothing is done.

    Raises:
        InputError: when the source is no artifact, or the target cannot become one.
        Refused: when something is at the target, or another move was cut off.
        EnvironmentFailed: when a run is on its way, or the target is on another disk.
    """
    asked = _source(repo, source), from_user(target, repo.root, repo.cwd)
    with repo.claim_alone("mlx mv"):
        move = read_move(repo)
        if move is None:
            move = _plan(repo, *asked, into=target.endswith("/"))
            if not dry_run:
                write_move(repo, move)
        elif not _is_asked(move, *asked):
            raise Refused(
                f"a move of {display(move.old)} to {display(move.new)} was cut off",
                hint=move.hint(repo),
            )
        if not dry_run:
            _carry_out(repo, move)
            files.remove_quietly(repo.worktree_file(JOURNAL))
    return Moved(
        move.old, move.new, move.address, move.stages, move.named, move.to_commit, not dry_run
    )


def _is_asked(move: Move, source: str, target: RepoPath) -> bool:
    return source in (move.source, move.old, move.address) and target in (move.target, move.new)


# looking, before anything is written


def _source(repo: Repo, text: str) -> str:
    """Return the path or the address that is meant."""
    target = parse_target(text, repo.place, ())
    if target.version:
        raise InputError(f'"{display(text)}" names a version, not data')
    return target.name if target.kind == "path" else f"{target.kind}:{target.name}"


def _plan(repo: Repo, source: str, target: RepoPath, *, into: bool) -> Move:
    """Check everything and say what the move will do."""
    tracked = _tracked(repo, source)
    old, new = tracked.path, target
    if os.path.isdir(repo.full(new)):
        new = join(new, name_of(old))
    elif into and not os.path.isdir(repo.full(old)):
        raise InputError(f"there is no folder {display(new)}", hint=f"mkdir {display(new)}")
    is_folder = tracked.entry.kind == "tree"
    _check_target(repo, old, new, is_folder)
    rewritten = _rewritten(repo, old, new)
    sources: dict[str, bytes] = {
        path: rewritten.get(path) or repo.read(path) for path in repo.project_paths
    }
    _refuse_left(declare(sources, lambda path: repo.file_at(path, None)), old)
    touched = {tracked.lock, *rewritten, *_ignore_files(repo, old, new, is_folder)}
    return Move(
        source, target, old, new, tracked.address, is_folder, tracked.lock,
        tuple(_readers(repo, old)), tuple(_named(repo, old)), tuple(sorted(touched)),
    )  # fmt: skip


def _tracked(repo: Repo, source: str) -> Tracked:
    """Return the artifact that is to move.

    Raises:
        InputError: when it is none, made by a stage, or only a part of one.
    """
    known = list(repo.observed.tracked())
    tracked = next((item for item in known if source in (item.address, item.path)), None)
    above = repo.observed.at(source)
    maker = repo.declared.maker(tracked.path if tracked else source)
    if maker is not None or (tracked is not None and tracked.role not in SECTIONS):
        name = maker.address if maker else above.address if above else source
        raise InputError(
            f"{display(source)} is made by stage {display(name)}",
            hint="change its path in mlx.yaml and in the command, then mlx repro",
        )
    if tracked is not None and tracked.address in repo.declared.artifacts:
        return tracked
    if tracked is not None:
        raise InputError(
            f"{display(source)} is recorded, but no longer declared",
            hint=f"mlx rm --cached {display(tracked.path)} forgets it",
        )
    inside = next((item.path for item in known if is_inside(item.path, source)), None)
    if inside is not None:
        raise InputError(
            f"{display(source)} is not tracked itself, but holds {display(inside)}",
            hint="move what is tracked, one by one",
        )
    if above is not None:
        raise InputError(
            f"{display(source)} is a part of {display(above.path)}",
            hint=f"move it with mv, then mlx add {display(above.path)}",
        )
    raise InputError(f'"{display(source)}" is not tracked', hint="mlx ls lists what is")


def _check_target(repo: Repo, old: RepoPath, new: RepoPath, is_folder: bool) -> None:
    """Check that something can be put at `new`, and be tracked there.

    Raises:
        InputError: when it cannot be tracked there.
        Refused: when something is there.
        EnvironmentFailed: when it is on another disk.
    """
    if is_inside(new, old):
        raise InputError(f"{display(old)} cannot be moved into itself")
    for path in (parent(old), parent(new)):
        refuse_links(repo.root, path)
    if os.path.lexists(repo.full(new)):
        raise Refused(f"{display(new)} is here already", hint="choose another name")
    if name_of(new) in KEPT_BY_GIT:
        raise InputError(f"{display(new)} belongs in git", hint="choose another name")
    if repo.rules.ignored(new, is_folder):
        raise InputError(f"{display(new)} is left out by {IGNORE_FILE}", hint=f"edit {IGNORE_FILE}")
    in_git = repo.git.tracked([new])
    if in_git:
        raise InputError(
            f"git tracks {display(in_git[0])}, though it is not here", hint="choose another name"
        )
    taken = [item.path for item in repo.observed.tracked()] + list(repo.declared.outs)
    for path in taken:
        if path != old and (is_inside(new, path) or is_inside(path, new)):
            raise InputError(
                f"{display(path)} is tracked, and data cannot hold other data",
                hint=f"choose a path outside {display(path)}",
            )
    _check_disk(repo, old, new)


def _check_disk(repo: Repo, old: RepoPath, new: RepoPath) -> None:
    above = next(
        path for path in (*reversed(ancestors(new)), "") if os.path.exists(repo.full(path))
    )
    if not os.path.isdir(repo.full(above)):
        raise InputError(f"{display(above)} is a file, not a folder")
    try:
        device = os.lstat(repo.full(old)).st_dev
    except (FileNotFoundError, NotADirectoryError):
        return  # absent here: only what is written about it moves
    if os.stat(repo.full(above)).st_dev != device:
        raise EnvironmentFailed(
            f"{display(above)} is on another disk, so that moving there would be copying",
            hint=f"copy it there, mlx add it, then mlx rm {display(old)}",
        )


def _rewritten(repo: Repo, old: RepoPath, new: RepoPath) -> dict[RepoPath, bytes]:
    """Return the project files that name what moves, with their new text."""
    found = {}
    for file in repo.project_paths:
        before = repo.read(file)
        after = rewrite_paths(before.decode("utf-8"), file, old, new).encode("utf-8")
        if after != before:
            found[file] = after
    return found


def _refuse_left(declared: Declared, old: RepoPath) -> None:
    """Refuse the move when a stage would still name the old path."""
    for stage in declared.stages.values():
        named = [(dep.path, dep.where) for dep in stage.deps]
        named += [(ref.file, ref.where) for ref in stage.params]
        for path, where in [*named, (stage.wdir, stage.where)]:
            if is_inside(path, old):
                raise InputError(
                    f'stage {stage.address} names "{display(path)}" by a template, which mlx mv '
                    "cannot rewrite",
                    hint="write the path out in mlx.yaml, or move it by hand and mlx add it there",
                    where=where,
                )


def _readers(repo: Repo, old: RepoPath) -> Iterator[str]:
    """Yield the stages that read what moves, or a folder that it is in."""
    for stage in repo.declared.stages.values():
        paths = [dep.path for dep in stage.deps] + [ref.file for ref in stage.params]
        reads = any(is_inside(path, old) or is_inside(old, path) for path in paths)
        if reads or is_inside(stage.wdir, old):
            yield stage.address


def _named(repo: Repo, old: RepoPath) -> Iterator[str]:
    """Yield where else the old path is written: in commands and in ignore rules."""
    for stage in repo.declared.stages.values():
        seen_from = os.path.relpath(old, stage.wdir or ".")
        if any(seen_from in line for line in stage.cmd):
            yield f"the command of stage {stage.address}"
    for folder in ("", *ancestors(old)):
        rules = repo.file_at(join(folder, IGNORE_FILE), None) or b""
        if os.fsencode(old[len(folder) :].lstrip("/")) in rules:
            yield join(folder, IGNORE_FILE)


def _ignore_files(repo: Repo, old: RepoPath, new: RepoPath, is_folder: bool) -> Iterator[RepoPath]:
    """Yield the .gitignore files that will change."""
    if gitignore.line_for(old) in os.fsdecode(repo.file_at(_beside(old), None) or b"").split("\n"):
        yield _beside(old)
    if not repo.git.hidden([f"{new}/" if is_folder else new]):
        yield _beside(new)


def _beside(path: RepoPath) -> RepoPath:
    return join(parent(path), gitignore.NAME)


# doing it: each step can be done again


def _carry_out(repo: Repo, move: Move) -> None:
    old, new = move.old, move.new
    repo.hide([new], folders=[new] if move.is_folder else [])
    seen = _rename(repo, old, new)
    for file in repo.project_paths:
        repo.update_project(
            file,
            lambda text, file=file: rewrite_paths(text, file, old, new),  # type: ignore[misc]
        )
    with repo.recording(move.lock) as (records, placed):
        for name, record in records.items():
            if isinstance(record, DataRecord) and record.path == old:
                records[name] = record._replace(path=new)
        for path in [path for path in placed if is_inside(path, old)]:
            placed[relocated(path, old, new)] = placed.pop(path)
    repo.reveal([old])
    _remember(repo, old, new, seen)


def _rename(repo: Repo, old: RepoPath, new: RepoPath) -> Seen | None:
    """Rename the file or folder; return what is known of a file, as it is now.

    Nothing at `old` means that it is absent here, or was renamed before a kill.

    Raises:
        Refused: when something is at both.
    """
    source, target = repo.full(old), repo.full(new)
    if not os.path.lexists(source):
        return None
    for path in (parent(old), parent(new)):
        refuse_links(repo.root, path)
    if os.path.lexists(target):
        raise Refused(
            f"{display(old)} and {display(new)} are both here",
            hint=f"move {display(new)} away, then again",
        )
    row = repo.cache.get(single_key(old))
    known = row.files.get(name_of(old)) if row else None
    before = files.stat_of(os.lstat(source))
    files.move(source, target)
    for folder in {os.path.dirname(source), os.path.dirname(target)}:
        files.sync_folder(folder)
    if known is None or known.stat != before:
        return None
    # Renaming a file sets its ctime, and nothing else of what is compared.
    after = files.stat_of(os.lstat(target))
    return known._replace(stat=after) if after._replace(ctime=before.ctime) == before else None


def _remember(repo: Repo, old: RepoPath, new: RepoPath, seen: Seen | None) -> None:
    """Let the stat cache know the new path, so that nothing is read again."""
    repo.cache.rename(old, new)
    if seen is None:
        return
    time.sleep(2 * RACY_NS / 1e9)  # a stat is believed once it is older than the clock's tick
    if files.stat_of(os.lstat(repo.full(new))) == seen.stat:
        now = time.time_ns()
        repo.cache.put(single_key(new), Folder(b"", seen.entry, {name_of(new): seen}), now)
