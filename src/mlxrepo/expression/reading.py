"""Reading expressions: tokens from left to right, and each level by the one below it."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable
from typing import NamedTuple

from mlxrepo.errors import InputError
from mlxrepo.expression.nodes import (
    AND,
    COMPARE,
    OR,
    PRODUCT,
    SUM,
    Chain,
    Expression,
    Literal,
    Name,
    Node,
    Prefixed,
    Span,
    shown,
)

LENGTH_MAX = 4096  # characters
DEPTH_MAX = 50  # parentheses, `not` and `-` in each other: what reads them is recursive

_LEVELS: tuple[tuple[str, ...], ...] = (
    ("or",), ("and",), ("<", "<=", ">", ">=", "==", "!="), ("+", "-"), ("*", "/"),
)  # fmt: skip
_WORDS = ("and", "or", "not", "true", "false")
_PART = r"\w+|`(?:[^`]|``)+`"
_TOKEN = re.compile(
    rf"""\s*(?:
    (?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
    |(?P<text>"[^"]*"|'[^']*')
    |(?P<name>(?:[^\W\d]\w*|`(?:[^`]|``)+`)(?:[.:@](?:{_PART}))*)
    |(?P<sign><=|>=|==|!=)
    |(?P<wrong>\*\*|//|<>|&&?|\|\|?|[=!%^])
    |(?P<plain>[<>()+*/-])
    |(?P<end>$)
    )""",
    re.VERBOSE,
)
_INSTEAD = {
    "=": "==", "&": "and", "&&": "and", "|": "or", "||": "or", "!": "not", "<>": "!=",
    "True": "true", "False": "false", "AND": "and", "OR": "or", "NOT": "not",
}  # fmt: skip


class _Token(NamedTuple):
    kind: str  # number, text, name, sign or end
    text: str
    span: Span


def parse(text: str) -> Expression:
    """Take an expression apart.

    Raises:
        InputError: when it is none, with the column and a mark below it.
    """
    if len(text) > LENGTH_MAX:
        raise InputError(f"the expression is longer than {LENGTH_MAX:,} characters")
    reader = _Reader(text)
    root = reader.chain(OR)
    token = reader.token
    if token.kind != "end":
        near = _INSTEAD.get(token.text)
        raise reader.error(
            "and, or, or a sign such as < belongs before this",
            token.span.start,
            f"write `{near}`" if near else "names with spaces or - go in backticks: `top-5`",
        )
    return Expression(text, root, tuple(dict.fromkeys(reader.names)))


def parse_condition(text: str) -> Expression:
    """Take an expression apart whose answer can be true or false.

    Raises:
        InputError: when it is none, or its answer is a number or a text whatever the names mean.
    """
    found = parse(text)
    root = found.root
    is_amount = isinstance(root, Chain) and root.level in (SUM, PRODUCT)
    is_negative = isinstance(root, Prefixed) and root.sign == "-"
    is_plain = isinstance(root, Literal) and not isinstance(root.value, bool)
    if is_amount or is_negative or is_plain:
        raise InputError(
            f"the expression `{shown(text)}` is neither true nor false",
            hint="compare it with something, such as auc < 0.8",
        )
    return found


class _Reader:
    """Reads tokens from left to right, and each level by the one below it."""

    def __init__(self, text: str):
        self.text = text
        self.names: list[str] = []
        self._depth = 0
        self._last = 0  # where the token before this one ends
        self.token = self._read(0)

    def error(self, why: str, at: int, hint: str | None = None) -> InputError:
        """Make the error about what stands at a place."""
        before = shown(self.text[:at])
        width = sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in before)
        return InputError(
            f"the expression is not understood at column {at + 1}: {why}\n"
            f"  {shown(self.text)}\n  {' ' * width}^",
            hint=hint,
        )

    def _read(self, start: int) -> _Token:
        match = _TOKEN.match(self.text, start)
        if match is None:
            raise self._unknown(start)
        kind = str(match.lastgroup)
        span = Span(*match.span(kind))
        text = match[kind]
        after = self.text[span.end : span.end + 1]
        if kind == "wrong":
            raise self._wrong(text, span.start)
        if kind == "number" and (after.isalnum() or after in ("_", ".", ":")) and after:
            hint = f"names that begin with a digit go in backticks: `{text}…`"
            raise self.error("a number ends here and something goes on", span.end, hint)
        if kind == "name" and after and after in ".:@`":
            hint = "odd characters go in backticks: `reports/metrics.json`:auc"
            raise self.error("the name breaks off here", span.end, hint)
        is_word = kind == "name" and text in _WORDS
        return _Token("sign" if is_word or kind == "plain" else kind, text, span)

    def _unknown(self, start: int) -> InputError:
        at = start + len(self.text[start:]) - len(self.text[start:].lstrip())
        character = self.text[at]
        if character in "\"'`":
            return self.error(f"the {character} that ends this is missing", at)
        return self.error("this stands for nothing in an expression", at)

    def _wrong(self, text: str, at: int) -> InputError:
        instead = _INSTEAD.get(text)
        hint = f"write `{instead}`" if instead else "there are + - * / and no other arithmetic"
        return self.error(f"there is no {text}", at, hint)

    def _next(self) -> _Token:
        found = self.token
        self._last = found.span.end
        self.token = self._read(self._last)
        return found

    def _is_sign(self, *signs: str) -> bool:
        return self.token.kind == "sign" and self.token.text in signs

    def chain(self, level: int) -> Node:
        """Read operands of a level, with the signs of that level between them."""
        start = self.token.span.start
        items, signs = [self._operand(level)], list[str]()
        while self._is_sign(*_LEVELS[level]):
            signs.append(self._next().text)
            items.append(self._operand(level))
        if not signs:
            return items[0]
        return Chain(Span(start, self._last), level, tuple(items), tuple(signs))

    def _operand(self, level: int) -> Node:
        if level == AND:
            return self._prefixed("not", lambda: self.chain(COMPARE))
        if level == PRODUCT:
            return self._prefixed("-", self._value)
        return self.chain(level + 1)

    def _prefixed(self, sign: str, below: Callable[[], Node]) -> Node:
        if not self._is_sign(sign):
            return below()
        start = self._next().span.start
        item = self._deeper(start, lambda: self._prefixed(sign, below))
        return Prefixed(Span(start, self._last), sign, item)

    def _value(self) -> Node:
        token = self.token
        if self._is_sign("("):
            self._next()
            found = self._deeper(token.span.start, lambda: self.chain(OR))
            if not self._is_sign(")"):
                raise self.error("a ) is missing here", self.token.span.start)
            self._next()
            return found._replace(span=Span(token.span.start, self._last))
        if self._is_sign("true", "false"):
            return Literal(self._next().span, token.text == "true")
        if token.kind == "number":
            return Literal(self._next().span, self._number(token))
        if token.kind == "text":
            return Literal(self._next().span, token.text[1:-1])
        if token.kind != "name":
            what = "it ends, and" if token.kind == "end" else f"before {token.text}"
            raise self.error(f"{what} a number, a text or a name is missing", token.span.start)
        if token.text in _INSTEAD:
            raise self.error("this is no name", token.span.start, f"write {_INSTEAD[token.text]}")
        name = _unquoted(self._next().text)
        self.names.append(name)
        return Name(token.span, name)

    def _number(self, token: _Token) -> int | float:
        if token.text.isdigit():
            return int(token.text)
        value = float(token.text)
        if math.isinf(value):
            raise self.error("this number is too large", token.span.start)
        return value

    def _deeper(self, at: int, read: Callable[[], Node]) -> Node:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise self.error(f"more than {DEPTH_MAX} levels", at, "write it with fewer parentheses")
        found = read()
        self._depth -= 1
        return found


def _unquoted(name: str) -> str:
    """Return a name without backticks; they only say where it ends."""
    return re.sub(
        r"`((?:[^`]|``)+)`|([^`]+)",
        lambda part: part[2] or part[1].replace("``", "`"),
        name,
    )


def quoted(name: str) -> str:
    """Return a name as it is written in an expression: in backticks where it needs them."""
    plain = re.fullmatch(r"[^\W\d]\w*(?:[.:@]\w+)*", name)
    if plain and name not in _WORDS and name not in _INSTEAD:
        return name
    return "`" + name.replace("`", "``") + "`"
