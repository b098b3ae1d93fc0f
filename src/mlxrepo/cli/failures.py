"""What went wrong, in the words of the screen: every exception becomes one `Failure`."""

from __future__ import annotations

import errno
import os
import re
from typing import Any, NamedTuple

import click

from mlxrepo.cli import console
from mlxrepo.cli.options import Misuse
from mlxrepo.cli.screen import Screen
from mlxrepo.cli.words import FOREIGN_OPTIONS
from mlxrepo.errors import MlxError, Where
from mlxrepo.paths import display

USAGE, ENVIRONMENT, BUG, INTERRUPTED = 2, 5, 70, 130


class Failure(NamedTuple):
    """An error as it is shown; `kind` is the word for it in JSON."""

    kind: str
    message: str
    hint: str | None
    where: Where | None
    exit_code: int

    def document(self) -> dict[str, Any]:
        """Return the value of `error` in the JSON document."""
        where = self.where._asdict() if self.where else None
        return {**self._asdict(), "where": where}


def explain(error: BaseException) -> Failure | None:
    """Say what `error` means to the user, or return None when it is a bug in mlx."""
    match error:
        case MlxError():
            kind = _words(type(error).__name__)
            return Failure(kind, error.message, error.hint, error.where, error.exit_code)
        case click.Abort() | KeyboardInterrupt():
            return Failure("interrupted", "interrupted", None, None, INTERRUPTED)
        case click.ClickException():
            return _misused(error)
        case OSError():
            return _environment(error)
        case MemoryError():
            hint = "close other programs, or use fewer jobs"
            return Failure("environment_failed", "out of memory", hint, None, ENVIRONMENT)
        case _:
            return None


def tell(failure: Failure, screen: Screen) -> None:
    """Print a failure to stderr: where, what, and the way out."""
    place = f"{failure.where}: " if failure.where else ""
    label = console.paint(screen, "error:", "red", err=True)
    console.tell(f"{_printable(place)}{label} {_printable(failure.message)}")
    if failure.hint:
        label = console.paint(screen, "hint:", "cyan", err=True)
        console.tell(f"\n{label} {_printable(failure.hint)}")


def _printable(text: str) -> str:
    """Escape control characters: a message may quote a file that somebody else wrote."""
    return "\n".join(map(display, text.split("\n")))


def bug(error: BaseException, report: str | None) -> Failure:
    """Say that `error` is our fault, and where its report lies."""
    text = str(error).strip()
    name = type(error).__name__ + (f": {text.splitlines()[0]}" if text else "")
    hint = "no report could be written; run it again with --debug and send us what it prints"
    if report is not None:
        hint = f"please send us the report in {display(report)}"
    return Failure("bug", f"this is a bug in mlx ({name})", hint, None, BUG)


def _words(class_name: str) -> str:
    """Turn a class name into a word of JSON: `input` for InputError, `stage_failed`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", class_name.removesuffix("Error")).lower()


def _misused(error: click.ClickException) -> Failure:
    context = error.ctx if isinstance(error, click.UsageError) else None
    path = context.command_path if context else "mlx"
    hint = f"see `{path} -h`"
    message = error.format_message()
    near = getattr(error, "possibilities", None)
    foreign = FOREIGN_OPTIONS.get((path, getattr(error, "option_name", "")))
    if foreign:
        message, hint = error.message, foreign
    elif near:
        message, hint = error.message, f"did you mean `{near[0]}`?"
    elif isinstance(error, Misuse) and error.hint:
        hint = error.hint
    return Failure("usage", _sentence(message), hint, None, USAGE)


def _sentence(text: str) -> str:
    """Give click's message the form of ours: a small letter first, no full stop."""
    return text[:1].lower() + text[1:].rstrip(".")


# What stood in the way, and what to do about it.
_REASONS = {
    errno.ENOSPC: ("no space left on the disk", "free some space, then run it again"),
    errno.EDQUOT: ("the disk quota is used up", "free some space, then run it again"),
    errno.EROFS: ("the file system is read-only", "mount it writable, or work in another place"),
    errno.EACCES: ("permission denied", "check who owns it and who may write there"),
    errno.EPERM: ("the system does not permit it", "check who owns it and who may write there"),
    errno.EMFILE: ("too many open files", "raise the limit with `ulimit -n`, or use fewer jobs"),
    errno.ENFILE: ("the system has too many open files", "close other programs, or wait"),
    errno.EIO: ("the disk reports an error", "check the disk before you trust what is on it"),
    errno.ENOENT: ("it does not exist, or not any more", None),
    errno.ENOMEM: ("out of memory", "close other programs, or use fewer jobs"),
}


def _environment(error: OSError) -> Failure:
    reason, hint = _REASONS.get(error.errno or 0, (error.strerror or str(error), None))
    names = [_name(name) for name in (error.filename, error.filename2) if name is not None]
    message = f"{' and '.join(names)}: {reason}" if names else reason
    hint = hint or "run it again; with --debug it shows where it happened"
    return Failure("environment_failed", message, hint, None, ENVIRONMENT)


def _name(name: object) -> str:
    """Return a file name as an OSError holds it: text, bytes, or the number of a descriptor."""
    return display(os.fsdecode(name)) if isinstance(name, str | bytes | os.PathLike) else f"#{name}"
