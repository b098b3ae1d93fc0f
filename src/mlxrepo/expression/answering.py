"""Working expressions out: every part is looked at, whatever the others say."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable

from mlxrepo.expression.nodes import (
    AND,
    COMPARE,
    OR,
    Chain,
    Expression,
    Literal,
    Lookup,
    Name,
    Node,
    Prefixed,
    Undecided,
    Value,
    shown,
)

_COMPARISONS: dict[str, Callable[[Value, Value], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
    "==": operator.eq, "!=": operator.ne,
}  # fmt: skip
_ARITHMETIC: dict[str, Callable[[float, float], int | float]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv,
}  # fmt: skip


def evaluate(expression: Expression, lookup: Lookup) -> Value | Undecided:
    """Work an expression out; `lookup` is asked once for each name.

    Undecided when any operand is missing or NaN, when kinds do not go together, and when a
    division by zero or a number beyond what a float can hold comes up: anywhere in it.
    """
    work = _Work(expression.text, lookup)
    found = work.value(expression.root)
    if work.reasons or found is None:
        return Undecided(tuple(dict.fromkeys(work.reasons)))
    return found


def decide(expression: Expression, lookup: Lookup) -> bool | Undecided:
    """Work a condition out; undecided also when its answer is a number or a text."""
    found = evaluate(expression, lookup)
    if isinstance(found, bool | Undecided):
        return found
    return Undecided((f"{shown(expression.text)} is {_kind(found)}, neither true nor false",))


class _Work:
    """One evaluation: what stands in its way is noted, and the rest is looked at all the same."""

    def __init__(self, text: str, lookup: Lookup):
        self.reasons: list[str] = []
        self._text = text
        self._lookup = lookup
        self._known: dict[str, Value | None] = {}

    def value(self, node: Node) -> Value | None:
        """Return what a part comes to; None when that is not known."""
        if isinstance(node, Literal):
            return node.value
        if isinstance(node, Name):
            if node.name not in self._known:
                self._known[node.name] = self._look(node)
            return self._known[node.name]
        if isinstance(node, Prefixed):
            return self._prefixed(node)
        values = [self.value(item) for item in node.items]
        if node.level in (OR, AND):
            return self._both(node, values)
        return self._compared(node, values) if node.level == COMPARE else self._sum(node, values)

    def _look(self, node: Name) -> Value | None:
        found = self._lookup(node.name)
        if isinstance(found, Undecided):
            self.reasons += found.reasons
            return None
        return self._counting(node, found)

    def _prefixed(self, node: Prefixed) -> Value | None:
        value = self.value(node.item)
        if node.sign == "not":
            return None if not self._is_truth(node.item, value) else not value
        return -value if self._is_number(node.item, value) else None  # type: ignore[operator]

    def _both(self, node: Chain, values: list[Value | None]) -> bool | None:
        if not all(list(map(self._is_truth, node.items, values))):
            return None
        return all(values) if node.level == AND else any(values)

    def _compared(self, node: Chain, values: list[Value | None]) -> bool | None:
        answers: list[bool | None] = []
        for at, sign in enumerate(node.signs):
            left, right = values[at], values[at + 1]
            if left is None or right is None:
                answers.append(None)
            elif self._go_together(node.items[at], left, sign, node.items[at + 1], right):
                answers.append(_COMPARISONS[sign](left, right))
            else:
                answers.append(None)
        return None if None in answers else all(answers)

    def _go_together(self, one: Node, left: Value, sign: str, other: Node, right: Value) -> bool:
        if _kind(left) != _kind(right):
            told = f"{self._told(one)} is {_kind(left)} and {self._told(other)} {_kind(right)}"
            self.reasons.append(f"{told}: they cannot be compared")
            return False
        if sign not in ("==", "!=") and _kind(left) != "a number":
            told = f"{self._told(one)} and {self._told(other)} are no numbers"
            self.reasons.append(f"{told}: neither is less than the other")
            return False
        return True

    def _sum(self, node: Chain, values: list[Value | None]) -> Value | None:
        if not all(list(map(self._is_number, node.items, values))):
            return None
        total: int | float = values[0]  # type: ignore[assignment]
        for sign, item, value in zip(node.signs, node.items[1:], values[1:], strict=True):
            try:
                total = _ARITHMETIC[sign](total, value)  # type: ignore[arg-type]
            except ZeroDivisionError:
                self.reasons.append(f"{self._told(node)} divides by {self._told(item)}, which is 0")
                return None
            except OverflowError:
                self.reasons.append(f"{self._told(node)} is too large a number")
                return None
        return self._counting(node, total)

    def _counting(self, node: Node, value: Value) -> Value | None:
        if isinstance(value, float) and math.isnan(value):
            self.reasons.append(f"{self._told(node)} is NaN")
            return None
        return value

    def _is_truth(self, node: Node, value: Value | None) -> bool:
        return self._is(node, value, isinstance(value, bool), "neither true nor false")

    def _is_number(self, node: Node, value: Value | None) -> bool:
        fits = isinstance(value, int | float) and not isinstance(value, bool)
        return self._is(node, value, fits, "no number")

    def _is(self, node: Node, value: Value | None, fits: bool, otherwise: str) -> bool:
        if value is not None and not fits:
            self.reasons.append(f"{self._told(node)} is {_kind(value)}, {otherwise}")
        return fits

    def _told(self, node: Node) -> str:
        return shown(self._text[node.span.start : node.span.end])


def _kind(value: Value) -> str:
    if isinstance(value, bool):
        return "a truth value"
    return "a text" if isinstance(value, str) else "a number"
