"""What `mlx diff` found, as lines of text and as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from mlxrepo.cli import units
from mlxrepo.cli.console import paint
from mlxrepo.cli.locktext import value_text
from mlxrepo.cli.screen import Screen
from mlxrepo.cli.tables import markdown_table, table
from mlxrepo.commands.diff import ArtifactDiff, Diff
from mlxrepo.paths import display
from mlxrepo.repo.recorddiff import PLACES, Fact, StageDiff
from mlxrepo.repo.tablediff import TableDiff
from mlxrepo.rows.diff import CellChange, RowChange, RowsDiff
from mlxrepo.store.differences import FileChange
from mlxrepo.store.tree import Entry

SHOWN = 20  # files of an artifact, rows of a table, and cells of a row; -v shows all files
_MOST = 120  # characters of a value
_WORDS = ("added", "modified", "deleted", "renamed")
_COLORS = {"added": "green", "modified": "yellow", "deleted": "red", "renamed": "cyan"}
_ROW_WORDS = ("added", "removed", "modified")
_DASH = "-"


def totals(found: Diff) -> dict[str, int]:
    """Return how many artifacts and stages differ, files by word, and bytes that came and went."""
    changes = [change for item in found.artifacts for change in item.changes]
    return {
        "artifacts": len(found.artifacts),
        "stages": len(found.stages),
        **_counts(changes),
        "bytes_added": sum(c.new.size for c in changes if c.new and not c.old_path),
        "bytes_removed": sum(c.old.size for c in changes if c.old and not c.old_path),
    }


def _counts(changes: Iterable[FileChange]) -> dict[str, int]:
    counts = dict.fromkeys(_WORDS, 0)
    for change in changes:
        entry = change.new or change.old
        counts[change.word] += entry.files if entry else 0
    return counts


def _counted(changes: Iterable[FileChange]) -> str:
    return ", ".join(f"{n:,} {word}" for word, n in _counts(changes).items() if n)


# text


def text_lines(screen: Screen, found: Diff) -> Iterator[str]:
    """Yield the whole comparison, artifacts first, each with some of its files."""
    for item in found.artifacts:
        yield _heading(screen, item)
        yield from _files(screen, item)
        for rows in found.tables:
            if rows.rows and (rows.path == item.path or rows.path.startswith(f"{item.path}/")):
                yield from _rows(screen, rows, rows.rows)
    for stage in found.stages:
        yield f"{_word(screen, stage.word)}: stage {display(stage.stage)}"
        yield from (f"    {_fact_name(fact)}: {_arrow(*_sides(fact))}" for fact in stage.facts)
    yield _total_line(found)


def _word(screen: Screen, word: str) -> str:
    return paint(screen, word, _COLORS[word])


def _heading(screen: Screen, item: ArtifactDiff) -> str:
    path = _moved(item.old_path, item.path) if item.old_path else display(item.path)
    line = f"{_word(screen, item.word)}: {path}{_who(item)}"
    if item.word != "renamed":
        line += f"  {_arrow(_size(item.old), _size(item.new))}"
    inside = [change for change in item.changes if change.path]
    return line + (f"  {_counted(inside)}" if inside else "")


def _who(item: ArtifactDiff) -> str:
    parts = [item.name] if item.name else []
    parts += [f"out of {item.stage}"] if item.stage else []
    return f" ({display(', '.join(parts))})"


def _files(screen: Screen, item: ArtifactDiff) -> Iterator[str]:
    inside = [change for change in item.changes if change.path]
    for change in inside if screen.verbose else inside[:SHOWN]:
        yield f"    {_word(screen, change.word)}: {_file(change)}"
    if len(inside) > SHOWN and not screen.verbose:
        yield f"    and {len(inside) - SHOWN:,} more (-v shows all)"
    if item.word == "modified" and not item.changes and not item.unknown:
        yield "    only empty folders differ"
    for folder in item.unknown[:SHOWN]:
        path = f"{display(folder.path)}/: " if folder.path else ""
        sizes = f"{_arrow(_size(folder.old), _size(folder.new))}; " if path else ""
        yield f"    {path}{sizes}which files differ is not known here"


def _file(change: FileChange) -> str:
    folder = "/" if change.new and change.new.kind == "tree" else ""
    if change.old_path is not None:
        size = f"  {_size(change.new)}" if folder else ""
        return _moved(change.old_path + folder, change.path + folder) + size
    if change.old and change.new and change.old.kind != change.new.kind:
        return f"{display(change.path)}  {_kinds(change.old, change.new)}"
    return f"{display(change.path)}  {_arrow(_size(change.old), _size(change.new))}"


def _kinds(old: Entry, new: Entry) -> str:
    words = {"file": "file", "exec": "executable", "symlink": "link", "tree": "folder"}
    return f"{words[old.kind]}, {_size(old)} -> {words[new.kind]}, {_size(new)}"


def _moved(old: str, new: str) -> str:
    return f"{display(old)} -> {display(new)}"


def _size(entry: Entry | None) -> str:
    if entry is None:
        return ""
    if entry.kind == "tree":
        return f"{units.count(entry.files, 'file')}, {units.size(entry.size)}"
    return units.size(entry.size)


def _arrow(old: str, new: str) -> str:
    """Return two sides; one alone where the other is not there, or says the same."""
    return old if old == new or not new else new if not old else f"{old} -> {new}"


def _fact_name(fact: Fact) -> str:
    words = {"dep": "reads", "out": "writes", "cmd": "command", "wdir": "folder"}
    return " ".join(part for part in (words.get(fact.what, fact.what), display(fact.name)) if part)


def _sides(fact: Fact) -> tuple[str, str]:
    """Return the two sides of a fact as text; a dash for what is not there."""
    old, new = (_side(fact, value) for value in (fact.old, fact.new))
    if old == new and fact.what in PLACES:
        return f"{old} ({fact.old.oid[:12]})", f"{new} ({fact.new.oid[:12]})"
    return old, new


def _side(fact: Fact, value: Any) -> str:
    if value is None:
        return _DASH
    if fact.what in PLACES:
        return _size(value)
    if fact.what == "cmd":
        text = " && ".join(value)
    else:
        text = value if fact.what == "wdir" else value_text(value)
    return display(text if len(text) <= _MOST else text[: _MOST - 1] + "…")


def _total_line(found: Diff) -> str:
    parts = []
    if found.artifacts:
        parts.append(units.count(len(found.artifacts), "artifact"))
    if found.stages:
        parts.append(units.count(len(found.stages), "stage"))
    count = totals(found)
    files = _counted(change for item in found.artifacts for change in item.changes)
    files = f"; files: {files}" if files else ""
    amounts = f" (+{units.size(count['bytes_added'])}, -{units.size(count['bytes_removed'])})"
    verb = "differs" if len(found.artifacts) + len(found.stages) == 1 else "differ"
    return f"{' and '.join(parts)} {verb}{files}{amounts if files else ''}"


# rows


def _rows(screen: Screen, item: TableDiff, rows: RowsDiff) -> Iterator[str]:
    yield f"    rows of {display(item.path)} by {display(', '.join(item.key))}: {_row_counts(rows)}"
    for column in rows.columns:
        yield f"      column {display(column.name)}: {column.old or _DASH} -> {column.new or _DASH}"
    for word in _ROW_WORDS:
        listed = [row for row in rows.rows if row.word == word]
        for row in listed[:SHOWN]:
            yield f"      {_row(screen, row)}"
        more = getattr(rows, word) - min(len(listed), SHOWN)
        if more > 0:
            yield f"      and {more:,} more {word}"


def _row_counts(rows: RowsDiff) -> str:
    parts = [f"{getattr(rows, w):,} {w}" for w in _ROW_WORDS]
    counts = [part for part in parts if not part.startswith("0 ")]
    if rows.modified:
        counts[-1] += f" ({units.count(rows.cells, 'cell')})"
    return ", ".join(counts) or "the same"


def _row(screen: Screen, row: RowChange) -> str:
    color = {"removed": "red"}.get(row.word) or _COLORS[row.word]
    key = ", ".join(_cell(value) for value in row.key)
    cells = ", ".join(f"{display(c.column)} {_arrow_of(c)}" for c in row.cells)
    return f"{paint(screen, row.word, color)}: {key}" + (f"  {cells}" if cells else "")


def _arrow_of(cell: CellChange) -> str:
    return " -> ".join(_sides_of(cell))


def _sides_of(cell: CellChange) -> tuple[str, str]:
    old, new = shortened(cell.old, cell.new, _MOST)
    return _shown(old), _shown(new)


def _cell(value: Any) -> str:
    return _shown(shortened(value, value, _MOST)[0])


def _shown(value: Any) -> str:
    return "(empty)" if value is None else display(str(value))


def shortened(old: Any, new: Any, most: int) -> tuple[Any, Any]:
    """Return two values, of texts longer than `most` characters where they begin to differ."""
    start = 0
    if isinstance(old, str) and isinstance(new, str) and old != new:
        pairs = enumerate(zip(old, new, strict=False))
        same = next((i for i, (a, b) in pairs if a != b), min(len(old), len(new)))
        start = max(0, same - most // 2)
    return _part(old, start, most), _part(new, start, most)


def _part(value: Any, start: int, most: int) -> Any:
    if not isinstance(value, str) or len(value) <= most:
        return value
    start = min(start, len(value) - most)
    end = start + most
    return f"{'…' * (start > 0)}{value[start:end]}{'…' * (end < len(value))}"


# --stat and --md


def stat_lines(found: Diff) -> Iterator[str]:
    """Yield a line for each artifact and stage, and the totals."""
    rows = [
        [
            _moved(item.old_path, item.path) if item.old_path else display(item.path),
            item.word,
            _counted(change for change in item.changes if change.path),
            _delta(item),
        ]
        for item in found.artifacts
    ]
    rows += [
        [f"stage {display(stage.stage)}", stage.word, _fact_counts(stage), ""]
        for stage in found.stages
    ]
    yield table(rows, align="lllr")
    yield _total_line(found)


def _delta(item: ArtifactDiff) -> str:
    change = (item.new.size if item.new else 0) - (item.old.size if item.old else 0)
    return f"{'-' if change < 0 else '+'}{units.size(abs(change))}"


def _fact_counts(stage: StageDiff) -> str:
    return ", ".join(dict.fromkeys(_fact_name(fact).split(" ")[0] for fact in stage.facts))


def markdown(found: Diff) -> Iterator[str]:
    """Yield tables for a pull request: artifacts, stages, rows."""
    if found.artifacts:
        headers = ["artifact", found.old, found.new, "files"]
        yield markdown_table([_markdown_row(item) for item in found.artifacts], headers, "lrrl")
    facts = [
        [display(stage.stage), _fact_name(fact), *_sides(fact)]
        for stage in found.stages
        for fact in stage.facts or (Fact("", stage.word, None, None),)
    ]
    if facts:
        yield ""
        yield markdown_table(facts, ["stage", "what", found.old, found.new], "llrr")
    if any(item.rows for item in found.tables):
        yield ""
        rows = [
            [display(i.path), ", ".join(i.key), _row_counts(i.rows)] for i in found.tables if i.rows
        ]
        yield markdown_table(rows, ["table", "key", "rows"])
    for item in found.tables:
        if item.rows and (lines := list(_markdown_rows(item.rows))):
            yield ""
            headers = [f"rows of {display(item.path)}", "what", found.old, found.new]
            yield markdown_table(lines, headers, "llrr")
    yield ""
    yield _total_line(found)


def _markdown_row(item: ArtifactDiff) -> Sequence[str]:
    path = _moved(item.old_path, item.path) if item.old_path else display(item.path)
    counts = _counted(change for change in item.changes if change.path) or item.word
    return [path + _who(item), _size(item.old) or _DASH, _size(item.new) or _DASH, counts]


def _markdown_rows(rows: RowsDiff) -> Iterator[Sequence[str]]:
    """Yield a line for each column whose type changed, each row, and each cell of a row."""
    for column in rows.columns:
        yield "", f"column {display(column.name)}", column.old or _DASH, column.new or _DASH
    for word in _ROW_WORDS:
        listed = [row for row in rows.rows if row.word == word][:SHOWN]
        for row in listed:
            key = ", ".join(map(_cell, row.key))
            if not row.cells:
                yield key, word, "", ""
            for cell in row.cells[:SHOWN]:
                yield key, display(cell.column), *_sides_of(cell)
            if len(row.cells) > SHOWN:
                yield key, f"and {len(row.cells) - SHOWN:,} more cells", "", ""
        if (more := getattr(rows, word) - len(listed)) > 0:
            yield f"and {more:,} more", word, "", ""
