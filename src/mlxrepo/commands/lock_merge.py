"""mlx lock merge: settle lockfiles after a git merge, and the rows that `add` wrote elsewhere."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

from mlxrepo.errors import CannotDecide, InputError, Refused, Where
from mlxrepo.files import remove_quietly, write_atomic
from mlxrepo.hashing import tree_oid
from mlxrepo.nearest import nearest
from mlxrepo.paths import RepoPath, display, from_user, join, name_of, parent
from mlxrepo.pipeline.actioncache import ActionCache
from mlxrepo.pipeline.reachable import keep_results
from mlxrepo.repo.declared import SECTIONS
from mlxrepo.repo.filemerge import rows_of
from mlxrepo.repo.gitignore import NAME as IGNORED
from mlxrepo.repo.layout import ACTIONS_FOLDER, LOCK_FILE, PROJECT_FILE
from mlxrepo.repo.lockfile import DataRecord, parse_lock
from mlxrepo.repo.lockmerge import LockMerge, MergedFolder, Question, Trees, render
from mlxrepo.repo.mergefiles import (
    NAMES,
    Answers,
    Merged,
    covers,
    has_marker,
    merge_files,
    merge_lock,
    own_line,
)
from mlxrepo.repo.observed import stage_address
from mlxrepo.repo.owned import write_owned
from mlxrepo.repo.repo import Repo
from mlxrepo.repo.targets import PREFIXES
from mlxrepo.repo.unmerged import Versions, in_commits, in_index
from mlxrepo.store.tree import PutTree
from mlxrepo.store.treemerge import OURS, THEIRS


@dataclass(frozen=True, slots=True)
class LockMerged:
    """What a merge took from each side, and what it could not settle.

    `ours` and `theirs` are names of records that one side alone changed; `unverified` addresses of
    stages that both ran. `files` were written, `left` could not be. While there are `questions`
    nothing is written, but for the file that git handed to its driver.
    """

    files: tuple[RepoPath, ...] = ()
    left: tuple[RepoPath, ...] = ()
    ours: tuple[str, ...] = ()
    theirs: tuple[str, ...] = ()
    folders: tuple[MergedFolder, ...] = ()
    unverified: tuple[str, ...] = ()
    questions: tuple[Question, ...] = ()

    @property
    def settled(self) -> bool:
        """Say whether nothing is left to be done by hand."""
        return not self.questions and not self.left


def lock_merge(repo: Repo, *, ours: Sequence[str] = (), theirs: Sequence[str] = ()) -> LockMerged:
    """Merge every lockfile that a git merge left unsettled, from the index or the merge's commits.

    `ours` and `theirs` answer for paths that both sides changed: each is such a path, a folder
    above it, or `data:NAME`. Nothing is written while anything asks.

    Raises:
        InputError: when an answer answers nothing, or a side is no lockfile.
        CannotDecide: when a listing that both sides changed is not in the store.
        Refused: when a file holds lines that none of the three versions has.
    """
    answers = _read_answers(repo, ours, theirs)
    found = _find(repo)
    first = _merge(repo, found, tree_oid)
    _check_answers(repo, answers, first.questions)
    _refuse_missing(first.locks.values())
    with repo.store.batch() if _needs_store(first) else nullcontext() as batch:
        merged = _merge(repo, found, batch.put_tree if batch else tree_oid, answers)
        _refuse_missing(merged.locks.values())
        if merged.questions:
            return _result(merged, ())
        if batch:
            batch.publish()  # before a lock names it, and while gc leaves it there
        _keep_results(repo, merged.locks.values())
        files = _write(repo, found, first, merged)
    repo.forget()
    return _result(merged, files)


def lock_merge_files(repo: Repo, base: str, ours: str, theirs: str, path: str) -> LockMerged:
    """Merge three files, as git hands them to a driver, into `ours`; what asks stays in conflict.

    Raises:
        InputError: when one of them is no lockfile.
    """
    names = [os.path.join(repo.cwd, name) for name in (base, ours, theirs)]
    versions = Versions(RepoPath(path or LOCK_FILE), *map(_read_version, names))
    first = merge_lock(versions, Trees(repo.store.tree, tree_oid))
    with repo.store.batch() if first.folders else nullcontext() as batch:
        put = batch.put_tree if batch else tree_oid
        merged = merge_lock(versions, Trees(repo.store.tree, put))
        if batch:
            batch.publish()
        _keep_results(repo, [merged])
        write_atomic(names[1], render(merged))
    locks = {versions.path: merged}
    return _result(Merged({}, locks, merged.questions), (versions.path,))


def _read_version(name: str) -> bytes:
    with open(name, "rb") as stream:
        return stream.read()


# what there is to merge


def _find(repo: Repo) -> list[Versions]:
    """Return the versions of every file of mlx that a merge left unsettled.

    Raises:
        InputError: when a lockfile is broken and no merge is known that did it.
    """
    found = {item.path: item for item in in_index(repo.git) if name_of(item.path) in NAMES}
    for name in NAMES:
        for path in map(RepoPath, repo.git.project_files(name)):
            now = repo.file_at(path, None)
            if now is None or (path in found and name == LOCK_FILE):
                continue
            if not _is_broken(path, now):
                found.pop(path, None)  # somebody has settled it
            elif path not in found:
                found[path] = _in_commits(repo, path, now)
    return [found[path] for path in sorted(found)]


def _is_broken(path: RepoPath, now: bytes) -> bool:
    if has_marker(now):
        return True
    if name_of(path) == LOCK_FILE:
        try:
            parse_lock(now, path)
        except InputError:
            return True
    return False


def _in_commits(repo: Repo, path: RepoPath, now: bytes) -> Versions:
    versions = in_commits(repo.git, repo.git_dir, path, now)
    if versions is not None:
        return versions
    try:
        parse_lock(now, path)
    except InputError as error:
        raise InputError(
            f"{error.message}; there is no merge in HEAD's history that left the file like this",
            hint=f"mend it by hand, or take a good one: git log {display(path)}",
            where=error.where,
        ) from None
    raise AssertionError(f"{path} is not broken")


def _merge(
    repo: Repo, found: list[Versions], put: PutTree, answers: Answers | None = None
) -> Merged:
    trees = Trees(repo.store.tree, put)
    return merge_files(found, trees, repo.git.merge_text, answers or Answers({}))


def _needs_store(merged: Merged) -> bool:
    """Say whether there may be a new tree to store, now or when questions are answered."""
    return any(lock.folders or lock.questions for lock in merged.locks.values())


def _refuse_missing(locks: Iterable[LockMerge]) -> None:
    missing = [path for lock in locks for path in lock.missing]
    if missing:
        named = ", ".join(map(display, missing[:5]))
        raise CannotDecide(
            f"both sides changed {named}, and a listing that it takes to merge them is not in "
            "the store; nothing was written",
            hint="merge where the data is, or take one side: git checkout --ours mlx.lock",
        )


# answers


def _read_answers(repo: Repo, ours: Iterable[str], theirs: Iterable[str]) -> Answers:
    sides: dict[str, str] = {}
    for side, texts in ((OURS, ours), (THEIRS, theirs)):
        for text in texts:
            is_name = text.partition(":")[0] in PREFIXES
            word = text if is_name else from_user(text, repo.root, repo.cwd)
            if sides.setdefault(word, side) != side:
                raise InputError(f"{display(text)} is given to both sides", hint="choose one")
    return Answers(sides)


def _check_answers(repo: Repo, answers: Answers, questions: Sequence[Question]) -> None:
    for word in answers.sides:
        if word and not any(covers(word, question) for question in questions):
            near = nearest(word, [question.path for question in questions])
            hint = (
                f"did you mean {repo.place.word(near)}?" if near else "mlx lock merge, without it"
            )
            raise InputError(
                f"nothing asks at {display(word)}: it is not what both sides changed", hint=hint
            )


# writing


def _keep_results(repo: Repo, locks: Iterable[LockMerge]) -> None:
    actions = ActionCache(repo.shared(ACTIONS_FOLDER))
    keep_results(actions, (record for lock in locks for record in lock.runs))


def _write(
    repo: Repo, found: list[Versions], first: Merged, merged: Merged
) -> tuple[RepoPath, ...]:
    """Write what was merged, and return what changed; all is checked before."""
    ordered = sorted(found, key=lambda item: (NAMES.index(name_of(item.path)), item.path))
    texts = {item.path: text for item in ordered if (text := merged.texts[item.path]) is not None}
    changed = list(texts)
    with repo.mutex("merging"):
        for item in ordered:
            if item.path in texts:
                _refuse_own_lines(repo, item, first.texts[item.path], texts[item.path])
        for path in [path for path in texts if name_of(path) == IGNORED]:
            _replace(repo, path, texts.pop(path))
    for lock, merge in merged.locks.items():
        changed += _declare(repo, lock, merge, merged)
    with repo.mutex("merging"):
        for path, text in texts.items():
            _replace(repo, path, text)
    return tuple(dict.fromkeys(changed))


def _replace(repo: Repo, path: RepoPath, text: bytes) -> None:
    if text:
        write_owned(repo.root, path, text)
    else:
        remove_quietly(repo.full(path))


def _declare(repo: Repo, lock: RepoPath, merge: LockMerge, merged: Merged) -> list[RepoPath]:
    """Do in mlx.yaml and .gitignore what answers decided, where git took them for merged."""
    kept = {
        name: record
        for name in merge.decided
        if isinstance(record := merge.records.get(name), DataRecord)
    }
    folders = [record.path for record in kept.values() if record.entry.kind == "tree"]
    shown = repo.hide([record.path for record in kept.values()], folders=folders)
    changed = [join(parent(path), IGNORED) for path in shown]
    file = join(parent(lock), PROJECT_FILE)
    if merge.decided and file not in merged.texts and repo.file_at(file, None) is not None:
        repo.update_project(file, lambda text: _with_rows(text, file, merge.decided, kept))
        changed.append(file)
    return changed


def _with_rows(
    text: str, file: RepoPath, names: Iterable[str], kept: Mapping[str, DataRecord]
) -> str:
    """Return the text of an mlx.yaml with the rows of `kept`, and of no others of `names`."""
    from mlxrepo.yamledit import remove_entry, set_entry

    declared = rows_of(text, file)
    for address in names:
        kind, _, name = address.partition(":")
        row = SECTIONS[kind], name
        if address not in kept and row in declared:
            text = remove_entry(text, *row, file)
        elif address in kept and row not in declared:
            path = os.path.relpath(kept[address].path, parent(file) or ".")
            text = set_entry(text, *row, {"path": path}, file)
    return text


def _refuse_own_lines(repo: Repo, versions: Versions, *merged: bytes | None) -> None:
    """Check that a file holds nothing but what was merged, or came out of it."""
    now = repo.file_at(versions.path, None)
    known = [*versions.sides, *(text for text in merged if text is not None)]
    line = own_line(now, known) if now else 0
    if line:
        raise Refused(
            "this line is in none of the versions that were merged: it would be lost",
            hint=f"git add {display(versions.path)} keeps the file as it is; git checkout --merge "
            f"{display(versions.path)} brings the conflict back",
            where=Where(versions.path, line),
        )


def _result(merged: Merged, files: tuple[RepoPath, ...]) -> LockMerged:
    locks = merged.locks
    return LockMerged(
        files,
        tuple(path for path, text in merged.texts.items() if text is None),
        tuple(name for lock in locks.values() for name in lock.ours),
        tuple(name for lock in locks.values() for name in lock.theirs),
        tuple(folder for lock in locks.values() for folder in lock.folders),
        tuple(
            stage_address(path, name.partition(":")[2])
            for path, lock in locks.items()
            for name in lock.unverified
        ),
        merged.questions,
    )
