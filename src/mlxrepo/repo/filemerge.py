"""Merging what `mlx add` wrote into mlx.yaml and .gitignore, where two branches both did.

Rows of artifacts merge as a set, and so do the lines that hide them from git. They are taken out of
the three versions, git merges the rest, and the merged rows go in again. A row that does not stand
as mlx writes it (with a comment, say) is left to git: no line of the user's is ever lost.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from mlxrepo.codec import canonical
from mlxrepo.errors import InputError
from mlxrepo.paths import RepoPath, join, parent
from mlxrepo.repo.gitignore import with_lines
from mlxrepo.repo.lockmerge import Answer, Question
from mlxrepo.repo.stage import KINDS
from mlxrepo.repo.unmerged import Versions
from mlxrepo.store.treemerge import OURS

MergeText = Callable[[bytes, bytes, bytes], bytes | None]  # ours, base, theirs
Row = tuple[str, str]  # section and name
Rows = dict[Row, Any]

_HIDDEN = re.compile(rb"/[^/]+")  # a line of .gitignore as mlx writes it


class FileMerge(NamedTuple):
    """The merged text; None where lines that are not mlx's conflict, or something asks."""

    text: bytes | None
    questions: tuple[Question, ...] = ()


# mlx.yaml


def merge_project(
    versions: Versions, merge_text: MergeText, answer: Answer, decided: Mapping[str, str]
) -> FileMerge:
    """Merge an mlx.yaml; artifacts in `decided` are taken from that side, if they are there."""
    try:
        return _merge_project(versions, merge_text, answer, decided)
    except InputError:  # no YAML, or not of a form that mlx edits
        return FileMerge(None)


def _merge_project(
    versions: Versions, merge_text: MergeText, answer: Answer, decided: Mapping[str, str]
) -> FileMerge:
    source = versions.path
    texts = [side.decode("utf-8") for side in versions.sides]
    sides = [rows_of(text, source) for text in texts]
    settled, questions = _settle(sides, source, answer, decided)
    if questions:
        return FileMerge(None, tuple(questions))
    base, ours, theirs = (_without(text, settled, source) for text in texts)
    rest = merge_text(ours.encode(), base.encode(), theirs.encode())
    if rest is None:
        return FileMerge(None)
    text = rest.decode("utf-8")
    for (section, name), body in sorted(settled.items()):
        if body is not None and (section, name) not in rows_of(text, source):
            text = _set(text, section, name, body, source)
    found = rows_of(text, source)
    is_whole = all(_same(found.get(row), body) for row, body in settled.items())
    return FileMerge(text.encode() if is_whole else None)


def rows_of(text: str, source: str) -> Rows:
    """Return what is declared in the sections of artifacts."""
    from mlxrepo.yamlfile import plain, read

    root = plain(read(text.encode(), source, merge=False)) or {}
    found: Rows = {}
    for section in KINDS:
        entries = root.get(section) if isinstance(root, dict) else None
        for name, body in (entries if isinstance(entries, dict) else {}).items():
            found[section, name] = body
    return found


def _settle(
    sides: list[Rows], source: RepoPath, answer: Answer, decided: Mapping[str, str]
) -> tuple[Rows, list[Question]]:
    """Merge the rows that are not the same on all sides; None: it goes."""
    base, ours, theirs = sides
    settled: Rows = {}
    questions: list[Question] = []
    for row in sorted(base.keys() | ours.keys() | theirs.keys()):
        was, mine, other = base.get(row), ours.get(row), theirs.get(row)
        name = f"{KINDS[row[0]]}:{row[1]}"
        if name in decided:
            settled[row] = mine if decided[name] == OURS else other
        elif _same(was, mine) and _same(was, other):
            continue
        elif _same(mine, other) or _same(was, other):
            settled[row] = mine
        elif _same(was, mine):
            settled[row] = other
        else:
            question = _question(name, source, mine, other)
            side = answer(question)
            settled[row] = mine if side == OURS else other
            if not side:
                questions.append(question)
    return settled, questions


def _same(one: Any, other: Any) -> bool:
    from mlxrepo.values import encode

    return canonical(encode(one)) == canonical(encode(other))


def _question(name: str, source: RepoPath, mine: Any, other: Any) -> Question:
    found = [body["path"] for body in (mine, other) if isinstance(body, dict) and "path" in body]
    paths = tuple(join(parent(source), path) for path in found if isinstance(path, str))
    return Question(name, paths[0] if paths else source, f"both changed it in {source}", paths)


def _without(text: str, rows: Mapping[Row, Any], source: str) -> str:
    """Take rows out of a text, if that can be taken back without a difference."""
    from mlxrepo.yamledit import remove_entry

    for row, body in rows_of(text, source).items():
        if row not in rows:
            continue
        rest = remove_entry(text, *row, source)
        if rows[row] is None or _set(rest, *row, body, source) == text:
            text = rest
    return text


def _set(text: str, section: str, name: str, body: Any, source: str) -> str:
    from mlxrepo.yamledit import set_entry

    return set_entry(text, section, name, body, source)


# .gitignore


def merge_ignored(versions: Versions, merge_text: MergeText) -> FileMerge:
    """Merge a .gitignore: lines as mlx writes them as a set, the others as git does."""
    base, ours, theirs = (_split(side) for side in versions.sides)
    wanted = {
        line
        for line in base.hidden | ours.hidden | theirs.hidden
        if (line in ours.hidden and line in theirs.hidden) or line not in base.hidden
    }
    everywhere = base.hidden & ours.hidden & theirs.hidden
    rest = merge_text(*(side.without(everywhere) for side in (ours, base, theirs)))
    return FileMerge(None if rest is None else with_lines(rest, sorted(wanted - everywhere)))


class _Lines(NamedTuple):
    lines: list[bytes]
    hidden: frozenset[bytes]  # those of mlx's form, below the last that takes a path back

    def without(self, kept: Collection[bytes]) -> bytes:
        return b"".join(
            line
            for line in self.lines
            if (row := line.rstrip(b"\r\n")) not in self.hidden or row in kept
        )


def _split(text: bytes) -> _Lines:
    lines = text.splitlines(keepends=True)
    last = max((n for n, line in enumerate(lines) if line.startswith(b"!")), default=-1)
    rows = (line.rstrip(b"\r\n") for line in lines[last + 1 :])
    return _Lines(lines, frozenset(row for row in rows if _HIDDEN.fullmatch(row)))
