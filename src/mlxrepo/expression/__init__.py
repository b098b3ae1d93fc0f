"""Expressions of gates, filters and searches: parsed by hand, never run as code; pure.

    or     = and ("or" and)*                    sum     = product (("+" | "-") product)*
    and    = not ("and" not)*                   product = unary (("*" | "/") unary)*
    not    = "not" not | compare                unary   = "-" unary | value
    compare = sum (("<" | "<=" | ">" | ">=" | "==" | "!=") sum)*
    value  = number | text | "true" | "false" | name | "(" or ")"

What a name means is up to the caller. Every part is looked at, whatever the others say: one
operand that is missing, NaN or of the wrong kind, and the answer is `Undecided`
(docs/expressions.md says why it is so strict).
"""

from mlxrepo.expression.answering import decide, evaluate
from mlxrepo.expression.nodes import Expression, Lookup, Undecided, Value
from mlxrepo.expression.reading import DEPTH_MAX, LENGTH_MAX, parse, parse_condition, quoted

__all__ = [
    "DEPTH_MAX",
    "LENGTH_MAX",
    "Expression",
    "Lookup",
    "Undecided",
    "Value",
    "decide",
    "evaluate",
    "parse",
    "parse_condition",
    "quoted",
]
