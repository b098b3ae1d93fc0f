"""What is printed, and how: results to stdout, talk to stderr, and a bar while work is long.

Nothing here fails on a name that the terminal's encoding cannot show, and a reader who leaves
(`| head`) ends the command quietly.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TextIO

import click

from mlxrepo.cli.screen import Screen
from mlxrepo.errors import EnvironmentFailed
from mlxrepo.progress import SILENT, Progress, Silent

if TYPE_CHECKING:
    from rich.live import Live

    from mlxrepo.cli.live import View

SCHEMA = 1

_STYLES = {
    "bold": "1",
    "dim": "2",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "blue": "34",
    "cyan": "36",
}


# Live displays on the terminal: text has to be printed around them.
_around: list[Live] = []


class OutputClosed(Exception):
    """The reader of stdout went away before the end, as `head` does."""


def prepare() -> None:
    """Make the standard streams safe: open, and able to print any name.

    A closed descriptor 0, 1 or 2 would be given to the next file that is opened, and talk would
    be written into it.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    # Python leaves out a stream whose descriptor was closed.
    sys.stdout = sys.stdout or _nowhere()
    sys.stderr = sys.stderr or _nowhere()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def out(text: str = "") -> None:
    """Print a line of the result to stdout.

    Raises:
        OutputClosed: when its reader is gone.
        EnvironmentFailed: when it cannot be written, as on a full disk.
    """
    _write_result(text + "\n")


def out_bytes(data: bytes) -> None:
    """Write a piece of the result to stdout as it is.

    Raises:
        OutputClosed, EnvironmentFailed: as `out`.
    """
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
    except OSError as error:
        raise _lost(error) from None


def say(screen: Screen, text: str) -> None:
    """Print a line of talk to stderr; -q silences it."""
    if not screen.quiet:
        flush()
        _write_talk(text + "\n")


def detail(screen: Screen, text: str) -> None:
    """Print a line of talk that only -v asks for."""
    if screen.verbose:
        say(screen, text)


def warn(screen: Screen, text: str) -> None:
    """Print a warning to stderr; nothing silences it."""
    flush()
    _write_talk(f"{paint(screen, 'warning:', 'yellow', err=True)} {text}\n")


def tell(text: str) -> None:
    """Print an error to stderr, whatever became of stdout."""
    with contextlib.suppress(OutputClosed, EnvironmentFailed):
        flush()
    _write_talk(text + "\n")


def emit_json(command: str, document: Mapping[str, Any]) -> None:
    """Print the one JSON document of a command: `schema`, `command`, then the given keys.

    NaN and the infinities, which JSON does not have, become the strings "NaN" and "Infinity".

    Raises:
        OutputClosed, EnvironmentFailed: as `out`.
    """
    out(_json({"schema": SCHEMA, "command": command, **document}, indent=2))


def emit_event(command: str, event: Mapping[str, Any]) -> None:
    """Print one line of a stream of JSON documents, at once.

    Raises:
        OutputClosed, EnvironmentFailed: as `out`.
    """
    emit_line({"command": command, **event})


def emit_line(document: Mapping[str, Any]) -> None:
    """Print one JSON document on one line, so that it also fits the end of a stream."""
    out(_json({"schema": SCHEMA, **document}, indent=None))
    flush()


def flush() -> None:
    """Send what was printed on its way; call it before trusting that the result was written.

    Raises:
        OutputClosed, EnvironmentFailed: as `out`.
    """
    try:
        sys.stdout.flush()
    except OSError as error:
        raise _lost(error) from None


def paint(screen: Screen, text: str, style: str, *, err: bool = False) -> str:
    """Return `text` in a style for stdout (or stderr) if colours are wanted there.

    `style` is bold, dim, red, green, yellow, blue or cyan.
    """
    return f"\x1b[{_STYLES[style]}m{text}\x1b[0m" if has_colors(screen, err=err) else text


def has_colors(screen: Screen, *, err: bool = False) -> bool:
    """Say whether colours are wanted on stdout (or stderr)."""
    stream = sys.stderr if err else sys.stdout
    return screen.color and wants_color(os.environ, stream.isatty())


def wants_color(environ: Mapping[str, str], is_terminal: bool) -> bool:
    """Decide about colours by the conventions: no-color.org, force-color.org, CLICOLOR, TERM.

    An empty variable counts as unset. To forbid wins over to force.
    """
    if environ.get("NO_COLOR"):
        return False
    if any(environ.get(name, "0") not in ("", "0") for name in ("FORCE_COLOR", "CLICOLOR_FORCE")):
        return True
    if environ.get("CLICOLOR") == "0" or environ.get("TERM") == "dumb":
        return False
    return is_terminal


def progress(screen: Screen) -> Progress:
    """Return the progress to hand to a command: a bar where somebody watches, else silence.

    The bar goes away by itself with the verb, also when the verb fails.
    """
    if screen.quiet:
        return SILENT
    if screen.json or not wants_bar(os.environ, sys.stderr.isatty()):
        return _Spoken(screen)
    # Most commands end before they need it, or nobody watches.
    from mlxrepo.cli.bar import Bar

    bar = Bar(_around, lambda text: say(screen, text))
    context = click.get_current_context(silent=True)
    if context is not None:
        context.call_on_close(bar.close)
    return bar


def notes(screen: Screen) -> Progress:
    """Return the progress of a command that shows by itself how far it is: it only tells."""
    return SILENT if screen.quiet else _Spoken(screen)


class _Spoken(Silent):
    """The progress of somebody who sees no bar: it tells what there is to know."""

    def __init__(self, screen: Screen):
        self._screen = screen

    def note(self, text: str) -> None:
        """Tell it on stderr."""
        say(self._screen, text)


def live_view(screen: Screen) -> View | None:
    """Return a live view of a run where somebody watches; it goes away with the verb."""
    if screen.quiet or screen.json or not wants_bar(os.environ, sys.stderr.isatty()):
        return None
    from mlxrepo.cli.live import View

    view = View(_around)
    context = click.get_current_context(silent=True)
    if context is not None:
        context.call_on_close(view.close)
    return view


def wants_bar(environ: Mapping[str, str], is_terminal: bool) -> bool:
    """Decide whether somebody watches: a terminal that can move its cursor, and no CI job."""
    in_ci = environ.get("CI", "").lower() not in ("", "0", "false")
    return is_terminal and not in_ci and environ.get("TERM") != "dumb"


def _nowhere() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8")


def _write_result(text: str) -> None:
    if _around and sys.stdout.isatty():
        _around[-1].console.out(text, end="", highlight=False)
        return
    try:
        sys.stdout.write(text)
    except OSError as error:
        raise _lost(error) from None


def _write_talk(text: str) -> None:
    """Write to stderr; talk that nobody can hear is not an error."""
    if _around:
        _around[-1].console.out(text, end="", highlight=False)
        return
    with contextlib.suppress(OSError):
        sys.stderr.write(text)
        sys.stderr.flush()


def _lost(error: OSError) -> Exception:
    """Give stdout up, so that the exit of the process does not try again, and say why."""
    # A stream that is not a file has no number, and nothing that the exit could flush.
    with contextlib.suppress(OSError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
    if isinstance(error, BrokenPipeError):
        return OutputClosed()
    reason = error.strerror or str(error)
    return EnvironmentFailed(f"cannot write the result to standard output: {reason}")


def _json(document: Mapping[str, Any], indent: int | None) -> str:
    """Encode for stdout; in UTF-8 names are shown as they are, elsewhere escaped."""
    encoding = (getattr(sys.stdout, "encoding", None) or "").lower().replace("-", "")
    plain = _without_nan(document)
    return json.dumps(plain, indent=indent, ensure_ascii=encoding != "utf8", allow_nan=False)


def _without_nan(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Mapping):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return value
