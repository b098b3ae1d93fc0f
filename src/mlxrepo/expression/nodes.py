"""What an expression is made of, and the answer that is none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

# The levels of a chain, from the one that binds least.
OR, AND, COMPARE, SUM, PRODUCT = range(5)


Value = bool | int | float | str


@dataclass(frozen=True, slots=True)
class Undecided:
    """There is no answer, and why: one reason for each operand that stands in the way."""

    reasons: tuple[str, ...]

    def __str__(self) -> str:
        return "; ".join(self.reasons)


Lookup = Callable[[str], Value | Undecided]


class Span(NamedTuple):
    """Where a part stands in the text of its expression: from, and up to."""

    start: int
    end: int


class Literal(NamedTuple):
    """A number, a text, true or false."""

    span: Span
    value: Value


class Name(NamedTuple):
    """What the caller looks up, without backticks."""

    span: Span
    name: str


class Prefixed(NamedTuple):
    """`not` or `-` before something."""

    span: Span
    sign: str
    item: Node


class Chain(NamedTuple):
    """Operands of one level and the signs between them: one fewer."""

    span: Span
    level: int
    items: tuple[Node, ...]
    signs: tuple[str, ...]


Node = Literal | Name | Prefixed | Chain


@dataclass(frozen=True, slots=True)
class Expression:
    """What was typed, taken apart; `names` are those it looks up, each once."""

    text: str
    root: Node
    names: tuple[str, ...]


def shown(text: str) -> str:
    """Return a text for one line of a screen, character by character."""
    return "".join(c if c.isprintable() else " " if c.isspace() else "?" for c in text)
