"""Rows that differ in tables that changed: whose key is declared, and where the bytes are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from mlxrepo.errors import CannotDecide, MlxError, ObjectMissing, Where
from mlxrepo.hashing import blob_oid
from mlxrepo.paths import RepoPath, display
from mlxrepo.repo.declared import Declared
from mlxrepo.repo.repo import Repo
from mlxrepo.rows.diff import RowsDiff, compare_rows, is_table
from mlxrepo.store.differences import MODIFIED, FileChange
from mlxrepo.store.tree import Entry


class TableDiff(NamedTuple):
    """A table that changed, with what differs by its key, or why that cannot be told."""

    path: RepoPath
    key: tuple[str, ...]
    rows: RowsDiff | None
    problem: MlxError | None = None


def compare_tables(
    repo: Repo, changed: Iterable[tuple[RepoPath, FileChange]], declared: Declared
) -> Iterator[TableDiff]:
    """Compare the rows of the tables among files that changed.

    Those without a key are told of only when no other table was compared.
    """
    tables = [(p, change) for p, change in changed if is_table(p) and _are_files(change)]
    keys = {path: _key(declared, path) for path, _ in tables}
    for path, change in tables:
        if found := keys[path]:
            yield _compare(repo, path, change, *found)
    if not any(keys.values()):
        yield from (TableDiff(path, (), None, _no_key(declared, path)) for path, _ in tables)


def _are_files(change: FileChange) -> bool:
    kinds = [entry.kind for entry in (change.old, change.new) if entry]
    return change.word == MODIFIED and "symlink" not in kinds


def _key(declared: Declared, path: str) -> tuple[tuple[str, ...], Where] | None:
    """Return the columns that name a row; of a feature set these may be its entity and time."""
    artifact = declared.artifact_at(path)
    if artifact is None:
        return None
    given = dict(artifact.keys)
    names = ["key"] if "key" in given else ["entity", "time"] if "entity" in given else []
    columns = [column for name in names if name in given for column in _texts(given[name])]
    return (tuple(columns), artifact.where) if columns else None


def _texts(value: str | Sequence[str]) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def _no_key(declared: Declared, path: str) -> CannotDecide:
    artifact = declared.artifact_at(path)
    return CannotDecide(
        f"{display(path)} has no key, so its rows cannot be told apart",
        hint="name the column(s) in mlx.yaml, such as `key: id`"
        if artifact
        else "declare it in mlx.yaml, as a dataset or a feature set with a `key`",
        where=artifact.where if artifact else None,
    )


def _compare(
    repo: Repo, path: RepoPath, change: FileChange, key: tuple[str, ...], where: Where
) -> TableDiff:
    assert change.old
    assert change.new
    try:
        old, new = (_data(repo, path, entry) for entry in (change.old, change.new))
        return TableDiff(path, key, compare_rows(display(path), key, old, new))
    except ObjectMissing as error:
        missing = ObjectMissing(f"{display(path)}: {error.message}", hint="mlx fetch --rev REV")
        return TableDiff(path, key, None, missing)
    except MlxError as error:
        if isinstance(error, CannotDecide):  # what the key says does not fit
            error.where = error.where or where
        return TableDiff(path, key, None, error)


def _data(repo: Repo, path: str, entry: Entry) -> bytes:
    """Return the bytes of a file, from the store or, where it lacks them, from the workspace."""
    try:
        return repo.store.read("blob", entry.oid)
    except ObjectMissing:
        try:
            with open(repo.full(path), "rb") as stream:
                data = stream.read()
        except OSError:
            data = b""
        if blob_oid(data) == entry.oid:
            return data
        raise
