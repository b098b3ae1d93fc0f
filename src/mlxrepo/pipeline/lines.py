"""Output of commands as lines that people read."""

from __future__ import annotations

import re
from collections.abc import Callable

# A longer line is passed on in pieces: nobody reads it, and it must not fill the memory.
LINE_MAX = 1 << 16

# Control characters but tab and escape (colours): they would garble the terminal.
_CONTROL = {
    code: f"\\x{code:02x}" for code in (*range(32), 127, *range(128, 160)) if code not in (9, 27)
}
# What moves the cursor, clears the screen or sets a title is for a screen of the command's own.
_MOVES = re.compile(
    r"\x1b\[[0-?]*[ -/]*(?!m)[@-~]"  # control sequences but colours
    r"|\x1b[\]PX^_].*?(?:\x1b\\|\x07|$)"  # titles and other strings
    r"|\x1b(?!\[[0-9;:]*m)(?:[ -/]*[0-~])?",  # all else, also what is cut off
    re.DOTALL,
)


_COLORS = re.compile(r"\x1b\[[0-9;:]*m")


def without_colors(text: str) -> str:
    """Return a line as `Lines` gives it, without its colours."""
    return _COLORS.sub("", text)


class Lines:
    """Cuts bytes, as they come, into lines, and gives each to every listener."""

    def __init__(self, *listeners: Callable[[str], object]):
        self._listeners = listeners
        self._rest: list[bytes] = []
        self._size = 0

    def take(self, data: bytes) -> None:
        """Take more output."""
        first, *others = data.split(b"\n")
        self._add(first)
        for piece in others:
            self._tell()
            self._add(piece)

    def end(self) -> None:
        """Pass on what came after the last line break."""
        if self._rest:
            self._tell()

    def _add(self, piece: bytes) -> None:
        if piece:
            self._rest.append(piece)
            self._size += len(piece)
        if self._size > LINE_MAX:
            self._tell()

    def _tell(self) -> None:
        raw, self._rest, self._size = b"".join(self._rest), [], 0
        # Progress bars write over their line: what they wrote last is what is to be seen.
        raw = raw.rstrip(b"\r").rpartition(b"\r")[2]
        text = raw.decode("utf-8", "backslashreplace")
        if "\x1b" in text:
            text = _MOVES.sub("", text)
        text = text.translate(_CONTROL)
        for listener in self._listeners:
            listener(text)
