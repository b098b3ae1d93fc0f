"""Merging all files of one git merge that mlx writes: lockfiles, and mlx.yaml and .gitignore."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from mlxrepo.errors import InputError
from mlxrepo.paths import RepoPath, display, is_inside, name_of
from mlxrepo.repo import gitignore
from mlxrepo.repo.filemerge import MergeText, merge_ignored, merge_project
from mlxrepo.repo.layout import LOCK_FILE, PROJECT_FILE
from mlxrepo.repo.lockfile import UPGRADE, is_marker
from mlxrepo.repo.lockmerge import (
    LockMerge,
    Question,
    Trees,
    merge_locks,
    parse_base,
    parse_side,
    render,
)
from mlxrepo.repo.unmerged import Versions

# In the order in which they are written: data has to be hidden before it is declared, and is
# tracked when the lock says so.
NAMES = (gitignore.NAME, PROJECT_FILE, LOCK_FILE)


@dataclass(frozen=True, slots=True)
class Answers:
    """Which side the user takes, by path or by the name of an artifact."""

    sides: Mapping[str, str]

    def __call__(self, question: Question) -> str:
        """Return the side of the nearest answer, or ""."""
        fit = [word for word in self.sides if covers(word, question)]
        # An artifact's name is nearer than any path, a longer path nearer than a shorter.
        nearest = max(fit, key=lambda word: (word == question.name, len(word)), default=None)
        return "" if nearest is None else self.sides[nearest]


NO_ANSWERS = Answers({})


def covers(word: str, question: Question) -> bool:
    """Say whether an answer is about a question."""
    if word == question.name:
        return True
    return any(is_inside(path, word) for path in (question.path, *question.paths))


class Merged(NamedTuple):
    """What comes out: texts by path (None: it could not be merged), and each lock's merge."""

    texts: Mapping[RepoPath, bytes | None]
    locks: Mapping[RepoPath, LockMerge]
    questions: tuple[Question, ...]


def merge_files(
    found: Iterable[Versions], trees: Trees, merge_text: MergeText, answer: Answers = NO_ANSWERS
) -> Merged:
    """Merge the versions of all files of one merge.

    Raises:
        InputError: when a side is no lockfile that mlx can read.
    """
    found = list(found)
    locks = {
        item.path: merge_lock(item, trees, answer)
        for item in found
        if name_of(item.path) == LOCK_FILE
    }
    questions = [question for lock in locks.values() for question in lock.questions]
    texts: dict[RepoPath, bytes | None] = {path: render(lock) for path, lock in locks.items()}
    decided = {name: side for lock in locks.values() for name, side in lock.decided.items()}
    for item in found:
        if name_of(item.path) == PROJECT_FILE:
            done = merge_project(item, merge_text, answer, decided)
        elif name_of(item.path) == gitignore.NAME:
            done = merge_ignored(item, merge_text)
        else:
            continue
        texts[item.path] = done.text
        known = {question.name for question in questions}
        questions += [question for question in done.questions if question.name not in known]
    return Merged(texts, locks, tuple(questions))


def merge_lock(versions: Versions, trees: Trees, answer: Answers = NO_ANSWERS) -> LockMerge:
    """Merge the versions of one lockfile.

    Raises:
        InputError: when one of them is no lockfile that mlx can read.
    """
    path = versions.path
    try:
        base = parse_base(versions.base, f"{path} (base)")
        ours = parse_side(versions.ours, f"{path} (ours)")
        theirs = parse_side(versions.theirs, f"{path} (theirs)")
    except InputError as error:
        way = f"mend it on its branch and merge anew, or git checkout --ours {display(path)}"
        hint = error.hint if error.hint == UPGRADE else way
        raise InputError(error.message, hint=hint, where=error.where) from None
    return merge_locks(base, ours, theirs, trees, answer)


def own_line(text: bytes, known: Iterable[bytes]) -> int:
    """Return the first line, from 1, that is in none of the known texts; 0 when there is none."""
    lines = {line for other in known for line in _bare(other)}
    return next(
        (
            number
            for number, line in enumerate(_bare(text), 1)
            if line and line not in lines and not is_marker(line)
        ),
        0,
    )


def has_marker(text: bytes) -> bool:
    """Say whether git's marks of a conflict stand in a text."""
    return any(is_marker(line) and not line.startswith(b"=") for line in text.split(b"\n"))


def _bare(text: bytes) -> Iterator[bytes]:
    return (line.rstrip(b"\r") for line in text.split(b"\n"))
