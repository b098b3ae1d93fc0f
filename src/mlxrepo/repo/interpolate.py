r"""`${…}` in a text: found, looked up and filled in. Lookups only: nothing is ever evaluated.

- `${a.b[0]}` is a value of `vars` or of a params file; alone in a text it keeps its type
- `${a|q}` is quoted for the shell
- `\${a}` is the text `${a}`
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Mapping
from shlex import quote
from typing import Any, NamedTuple

OPEN = "${"
_SIGN = re.compile(r"\\?\$\{")
_WORD = re.compile(r"[^.\[\]|{}$]+")

Find = Callable[[tuple[str, ...]], Any]


class TemplateError(Exception):
    """A `${…}` that cannot be filled in; `offset` is where in the text it stands."""

    def __init__(self, offset: int, message: str, hint: str | None = None):
        super().__init__(message)
        self.offset = offset
        self.message = message
        self.hint = hint


class Hole(NamedTuple):
    """A `${…}`: where it begins in the text, the name it looks up, and its filter."""

    offset: int
    path: tuple[str, ...]
    quoted: bool


def has_hole(text: str) -> bool:
    """Say whether `text` holds a `${` that is to be filled in."""
    return OPEN in text and any(isinstance(part, Hole) for part in parts_of(text))


@functools.lru_cache(maxsize=4096)
def parts_of(text: str) -> tuple[str | Hole, ...]:
    r"""Split a text at its `${…}`; in the texts between, `\${` has become `${`.

    Raises:
        TemplateError: for one that is not closed or names nothing.
    """
    parts: list[str | Hole] = []
    at = 0
    literal = ""
    while sign := _SIGN.search(text, at):
        literal += text[at : sign.start()]
        if sign[0].startswith("\\"):
            literal += OPEN
            at = sign.end()
            continue
        end = text.find("}", sign.end())
        if end < 0:
            raise TemplateError(
                sign.start(), 'a "${" without its "}"', r"close it; \${ is the text itself"
            )
        if literal:
            parts.append(literal)
            literal = ""
        parts.append(_hole(text[sign.end() : end], sign.start()))
        at = end + 1
    literal += text[at:]
    return (*parts, literal) if literal or not parts else tuple(parts)


def _hole(inner: str, offset: int) -> Hole:
    name, bar, filter_ = inner.partition("|")
    if bar and filter_.strip() != "q":
        raise TemplateError(
            offset,
            f'"${{{inner}}}" has an unknown filter "{filter_.strip()}"',
            "|q quotes for the shell; there is no other",
        )
    path = _path(name.strip())
    if path is None:
        raise TemplateError(
            offset, f'"${{{inner}}}" names nothing', "write a name, such as ${train.lr} or ${a[0]}"
        )
    return Hole(offset, path, bool(bar))


def _path(name: str) -> tuple[str, ...] | None:
    """Return the words of `a.b[0]`, or None when it is nothing like that."""
    words: list[str] = []
    at = 0
    while at < len(name):
        closing = ""
        if words or name[at] in ".[":
            if name[at] not in ".[" or not words:
                return None
            closing = "]" if name[at] == "[" else ""
            at += 1
        word = _WORD.match(name, at)
        if word is None or not name.startswith(closing, word.end()):
            return None
        words.append(word[0].strip())
        at = word.end() + len(closing)
    return tuple(words) if words and all(words) else None


def spell(path: tuple[str, ...]) -> str:
    """Return a name as it is written in a text."""
    return "${" + ".".join(path) + "}"


# --- filling in ---------------------------------------------------------------------------------


def fill(text: str, find: Find, spend: Callable[[int], None], *, command: bool = False) -> Any:
    """Fill in a text: with one `${…}` and nothing else the value itself, else a text.

    In a `command` a map becomes arguments and a list words; `spend` hears of every piece of text
    before it is put in.

    Raises:
        TemplateError: when a value cannot stand in a text.
    """
    parts = parts_of(text)
    if len(parts) == 1 and isinstance(parts[0], Hole) and not parts[0].quoted:
        return find(parts[0].path)
    filled: list[str] = []
    for part in parts:
        piece = part if isinstance(part, str) else _shown(part, find(part.path), command)
        spend(len(piece))
        filled.append(piece)
    return "".join(filled)


def _shown(hole: Hole, value: Any, command: bool) -> str:
    if not isinstance(value, dict | list):
        return quote(to_text(value)) if hole.quoted else to_text(value)
    kind = "map" if isinstance(value, dict) else "list"
    if not (command or hole.quoted):
        raise TemplateError(
            hole.offset,
            f"{spell(hole.path)} is a {kind}, which cannot stand inside a text",
            "in cmd it can; elsewhere name one value of it, or let it stand alone",
        )
    try:
        return to_arguments(value) if isinstance(value, dict) else " ".join(_words(value))
    except _Nested:
        raise TemplateError(
            hole.offset,
            f"{spell(hole.path)} is a {kind} with a list or map inside a list, which no command "
            "line can say",
            "name one value of it",
        ) from None


def to_text(value: Any) -> str:
    """Return a value as it stands in a text: as DVC writes it, booleans in small letters."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


class _Nested(Exception):
    """A list in a list, which no command line can say."""


def to_arguments(values: Mapping[str, Any]) -> str:
    """Return a map as arguments of a command: `--a 1 --b`, nested keys with dots, text quoted.

    true gives the bare option and false nothing; a list gives its words after one option.
    """
    return " ".join(_arguments(values, ""))


def _arguments(values: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for key, value in values.items():
        option = quote(f"--{prefix}{key}")
        if isinstance(value, dict):
            yield from _arguments(value, f"{prefix}{key}.")
        elif isinstance(value, bool):
            if value:
                yield option
        elif isinstance(value, list):
            if value:
                yield " ".join([option, *_words(value)])
        else:
            yield f"{option} {_word(value)}"


def _words(values: list[Any]) -> list[str]:
    return [_word(value) for value in values]


def _word(value: Any) -> str:
    if isinstance(value, dict | list):
        raise _Nested
    return quote(value) if isinstance(value, str) else to_text(value)
