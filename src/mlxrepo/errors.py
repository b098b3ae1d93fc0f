"""Every error mlx raises on purpose.

    MlxError                what, where, why, and the next command
    ├── InputError      2   what was typed, or written in a file, has to change
    ├── Refused         1   mlx could do it, but something of the user's would be lost
    ├── Damaged         1   bytes are not what their name says
    ├── CannotDecide    3   a record, a metric or a revision is absent
    ├── StageFailed     4   a stage's command failed
    └── EnvironmentFailed 5 disk, network, permissions, another process: worth a retry

A subclass exists only where its exit code differs or somebody catches it.
"""

from __future__ import annotations

from typing import NamedTuple


class Where(NamedTuple):
    """A place in a text file; line and column count from 1."""

    file: str
    line: int
    col: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.col}"


class MlxError(Exception):
    """An error with a way out: `message` says what and why, `hint` the next command."""

    exit_code = 2

    def __init__(self, message: str, *, hint: str | None = None, where: Where | None = None):
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.where = where

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message


class InputError(MlxError):
    """What was typed, or written in a file, has to change first."""

    exit_code = 2


class Refused(MlxError):
    """Carrying on would lose something of the user's."""

    exit_code = 1


class Damaged(MlxError):
    """Bytes are not what their name says."""

    exit_code = 1


class ObjectMissing(MlxError):
    """An object that a record names is not in the store."""

    exit_code = 3


class CannotDecide(MlxError):
    """The record, metric or revision that the answer needs is absent."""

    exit_code = 3


class StageFailed(MlxError):
    """A stage's command failed, or did not make what it declares."""

    exit_code = 4


class EnvironmentFailed(MlxError):
    """Disk, network, permissions or another process stood in the way."""

    exit_code = 5
