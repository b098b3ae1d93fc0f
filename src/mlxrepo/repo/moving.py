"""Journals of what is being moved, data or the store: a kill leaves nothing half done."""

from __future__ import annotations

from shlex import quote
from typing import Any, NamedTuple

from mlxrepo.codec import canonical, parse_json
from mlxrepo.errors import InputError
from mlxrepo.files import write_atomic
from mlxrepo.paths import RepoPath, check_path, display
from mlxrepo.repo.repo import Repo

# From the first step of a move to its last: in the worktree's folder, and beside the store.
JOURNAL = "moving.json"
STORE_JOURNAL = "store-move.json"
FORMAT = 1


class Move(NamedTuple):
    """A move that was checked and can begin, or was cut off.

    `source` and `target` are what was asked for, to know it again; `stages` read what moves and
    `named` says where else its path is written.
    """

    source: str
    target: RepoPath
    old: RepoPath
    new: RepoPath
    address: str
    is_folder: bool
    lock: RepoPath
    stages: tuple[str, ...]
    named: tuple[str, ...]
    to_commit: tuple[RepoPath, ...]

    def hint(self, repo: Repo) -> str:
        """Return what to type to complete it."""
        return f"mlx mv {repo.place.word(self.old)} {repo.place.word(self.target)} completes it"


def read_move(repo: Repo) -> Move | None:
    """Return the move that a kill cut off, if there is one.

    Raises:
        InputError: when its journal is of a newer format.
    """
    value = _read(repo.worktree_file(JOURNAL))
    if value is None:
        return None
    fields = value["move"]
    for name in ("target", "old", "new", "lock"):
        fields[name] = check_path(fields[name])
    for name in ("stages", "named", "to_commit"):
        fields[name] = tuple(fields[name])
    return Move(**fields)


def write_move(repo: Repo, move: Move) -> None:
    """Note that a move begins."""
    _write(repo.worktree_file(JOURNAL), move._asdict())


class StoreMove(NamedTuple):
    """A move of the store that is under way: two folders."""

    old: str
    new: str

    @property
    def hint(self) -> str:
        """Return what to type to complete it."""
        return f"mlx store move {quote(display(self.new))} completes it"


def read_store_move(repo: Repo) -> StoreMove | None:
    """Return the move of the store that a kill cut off, if there is one.

    Raises:
        InputError: when its journal is of a newer format.
    """
    value = _read(repo.shared(STORE_JOURNAL))
    return None if value is None else StoreMove(**value["move"])


def write_store_move(repo: Repo, move: StoreMove) -> None:
    """Note that the store is being moved."""
    _write(repo.shared(STORE_JOURNAL), move._asdict())


def _read(path: str) -> dict[str, Any] | None:
    try:
        with open(path, "rb") as stream:
            value: dict[str, Any] = parse_json(stream.read(), source=path)
    except FileNotFoundError:
        return None
    if value.get("format") != FORMAT:
        raise InputError(f"{path} has format {value.get('format')}; this mlx reads {FORMAT}")
    return value


def _write(path: str, move: dict[str, Any]) -> None:
    write_atomic(path, canonical({"format": FORMAT, "move": move}))
