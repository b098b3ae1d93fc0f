"""Expressions: what they mean, what leaves them undecided, and what is refused where."""

from __future__ import annotations

import math
import operator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlxrepo.errors import InputError
from mlxrepo.expression import (
    DEPTH_MAX,
    LENGTH_MAX,
    Undecided,
    Value,
    decide,
    evaluate,
    parse,
    parse_condition,
    quoted,
)

KNOWN: dict[str, Value] = {
    "auc": 0.75,
    "f1": 0.5,
    "base.auc": 0.8,
    "n": 3,
    "zero": 0,
    "nan": math.nan,
    "inf": math.inf,
    "huge": 10**400,
    "on": True,
    "off": False,
    "region": "eu",
    "params.train.lr": 0.1,
    "evaluate:metrics.json:auc": 0.9,
    "train@us:m.json:auc": 0.4,
    "top-5 acc": 0.95,
    "reports/m.json:top-5": 0.2,
    "data:reviews": "ab12",
    "layers.0.n": 7,
    "größe": 2,
    "a`b": 1,
}


def lookup(name: str) -> Value | Undecided:
    return KNOWN[name] if name in KNOWN else Undecided((f"{name} is not there",))


def worked(text: str) -> Value | Undecided:
    return evaluate(parse(text), lookup)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("auc < 0.8", True),
        ("auc<.8 and f1>=.5", True),
        ("auc < base.auc - 0.002 or f1 < 0.7", True),
        ("not auc < 0.8", False),
        ("not not on", True),
        ("not on or on", True),
        ("off and off or on", True),
        ("off and (off or on)", False),
        ("1 + 2 * 3 - 4 / 2", 5.0),
        ("10 - 2 - 3", 5),
        ("2 / 4 / 2", 0.25),
        ("(1 + 2) * 3", 9),
        ("--n", 3),
        ("-n * -2", 6),
        ("2 - -1", 3),
        ("0.7 < auc < 0.8", True),
        ("0.7 < auc < 0.72", False),
        ("3 > n - 1 > 1 == 1", True),
        ("n == 3.0", True),
        ("1e3 == 1000 and 1E-1 == .1", True),
        ("region == 'eu' and region != \"us\"", True),
        ("on == true and off == false", True),
        ("params.train.lr", 0.1),
        ("evaluate:metrics.json:auc", 0.9),
        ("train@us:m.json:auc", 0.4),
        ("`top-5 acc` > 0.9", True),
        ("`reports/m.json`:`top-5`", 0.2),
        ("`reports/m.json:top-5`", 0.2),
        ("base.`auc`", 0.8),
        ("`a``b`", 1),
        ("data:reviews == 'ab12'", True),
        ("layers.0.n", 7),
        ("größe", 2),
        ("inf > 1e308 and huge > 1e308", True),
        ("  auc\t<\n1  ", True),
    ],
)
def test_what_they_mean(text: str, answer: Value) -> None:
    found = worked(text)
    assert found == answer
    assert type(found) is type(answer)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("missing < 1", "missing is not there"),
        ("auc > 1 and missing < 1", "missing is not there"),  # false either way: still undecided
        ("auc < 1 or missing < 1", "missing is not there"),  # true either way: still undecided
        ("nan < 1", "nan is NaN"),
        ("nan == nan", "nan is NaN"),
        ("inf - inf < 1", "inf - inf is NaN"),
        ("1 / zero < 1", "1 / zero divides by zero, which is 0"),
        ("zero > 0 and n / zero > 1", "n / zero divides by zero"),
        ("huge / 0.5 > 1", "huge / 0.5 is too large a number"),
        ("huge + 0.5 > 1", "too large"),
        ("auc < region", "auc is a number and region a text: they cannot be compared"),
        ("on == 1", "on is a truth value and 1 a number"),
        ("region < 'us'", "region and 'us' are no numbers"),
        ("on < off", "on and off are no numbers"),
        ("not auc", "auc is a number, neither true nor false"),
        ("auc and on", "auc is a number, neither true nor false"),
        ("-region == 1", "region is a text, no number"),
        ("region + 1 == 1", "region is a text, no number"),
        ("on + 1 == 2", "on is a truth value, no number"),
    ],
)
def test_what_leaves_them_undecided(text: str, reason: str) -> None:
    found = worked(text)
    assert isinstance(found, Undecided)
    assert reason in str(found)


def test_each_reason_is_given_once_and_none_is_left_out() -> None:
    found = worked("one < 1 or nan > 2 and not one == two")
    assert isinstance(found, Undecided)
    assert found.reasons == ("one is not there", "nan is NaN", "two is not there")


def test_a_name_is_looked_up_once_and_names_are_known_before() -> None:
    asked: list[str] = []

    def count(name: str) -> Value:
        asked.append(name)
        return 1

    expression = parse("auc < 2 and auc > 0 and base.auc == auc")
    assert expression.names == ("auc", "base.auc")
    assert decide(expression, count) is True
    assert asked == ["auc", "base.auc"]


@pytest.mark.parametrize(
    ("text", "column", "why", "hint"),
    [
        ("", 1, "it ends, and a number, a text or a name is missing", None),
        ("auc <", 6, "it ends", None),
        ("auc = 1", 5, "there is no =", "write `==`"),
        ("auc < 1 && f1 < 1", 9, "there is no &&", "write `and`"),
        ("!on", 1, "there is no !", "write `not`"),
        ("n ** 2 > 1", 3, "there is no **", "no other arithmetic"),
        ("n // 2 > 1", 3, "there is no //", None),
        ("top-5 acc > 1", 7, "belongs before this", "backticks"),
        ("5acc > 1", 2, "a number ends here", "backticks"),
        ("1.2.3 > 1", 4, "a number ends here", None),
        ("a. > 1", 2, "the name breaks off here", None),
        ("m.json:-x", 7, "the name breaks off here", "backticks"),
        ("(auc < 1", 9, "a ) is missing", None),
        ("auc < 1)", 8, "belongs before this", None),
        ("'eu", 1, "the ' that ends this is missing", None),
        ("`eu", 1, "the ` that ends this is missing", None),
        ("``", 1, "the ` that ends this is missing", None),
        ("auc < $1", 7, "stands for nothing", None),
        ("auc < True", 7, "this is no name", "write true"),
        ("a AND b", 3, "belongs before this", "write `and`"),
        ("a and and b", 7, "before and a number", None),
        ("a < not b", 5, "before not a number", None),
        ("1e999 < 1", 1, "too large", None),
        ("auc < 1 auc", 9, "belongs before this", None),
        ("__import__('os')", 11, "belongs before this", None),
        ("a[0]", 2, "stands for nothing", None),
    ],
)
def test_what_is_no_expression_is_refused_at_its_column(
    text: str, column: int, why: str, hint: str | None
) -> None:
    with pytest.raises(InputError) as caught:
        parse(text)
    first, shown, mark = caught.value.message.split("\n")
    assert f"at column {column}: " in first
    assert why in first
    assert shown == f"  {text}"
    assert mark == " " * (column + 1) + "^"
    assert hint is None or hint in str(caught.value.hint)


def test_the_mark_stands_below_wide_and_odd_characters() -> None:
    with pytest.raises(InputError) as caught:
        parse("'日本'\x1b = 1")
    assert caught.value.message.split("\n")[1:] == ["  '日本'? = 1", "        ^"]


@pytest.mark.parametrize("text", ["auc - 0.8", "-auc", "1", "'eu'", "(auc * 2)"])
def test_a_condition_is_no_amount(text: str) -> None:
    with pytest.raises(InputError, match="neither true nor false"):
        parse_condition(text)


def test_a_name_may_turn_out_to_be_no_condition() -> None:
    assert decide(parse_condition("on"), lookup) is True
    found = decide(parse_condition("auc"), lookup)
    assert isinstance(found, Undecided)
    assert "auc is a number" in str(found)


@pytest.mark.parametrize("one", ["(", "not ", "-", "not(", "-("])
def test_hostile_depth_and_length_are_refused(one: str) -> None:
    with pytest.raises(InputError, match="levels"):
        parse(one * (DEPTH_MAX + 1) + "on")
    with pytest.raises(InputError, match="longer"):
        parse(one * LENGTH_MAX + "on")


def test_what_is_long_or_deep_within_the_limits_is_worked_out() -> None:
    count = LENGTH_MAX // 2
    assert worked("+".join("1" * count)) == count
    assert worked("(" * DEPTH_MAX + "n" + ")" * DEPTH_MAX) == 3
    assert worked(" or ".join(["off"] * 500) + " or on") is True


@settings(deadline=None)
@given(st.text(max_size=60) | st.text(alphabet="auc01.<=>()+-*/`'\" :@ndortn", max_size=40))
def test_nothing_but_input_errors_comes_of_any_text(text: str) -> None:
    try:
        found = parse(text)
    except InputError:
        return
    evaluate(found, lookup)


@settings(deadline=None)
@given(st.text(min_size=1))
def test_every_name_can_be_written(name: str) -> None:
    assert parse(f"{quoted(name)} == 1").names == (name,)


# Against Python itself: the same text, where Python means the same.

_NUMBERS = st.integers(0, 1000).map(str) | st.floats(0, 1e6, allow_nan=False).map(repr)
_AMOUNTS = st.recursive(
    _NUMBERS | st.sampled_from(["x", "y"]),
    lambda inner: (
        st.tuples(inner, st.sampled_from("+-*/"), inner).map(" ".join)
        | inner.map("-{}".format)
        | inner.map("({})".format)
    ),
    max_leaves=12,
)
_COMPARED = st.lists(_AMOUNTS, min_size=2, max_size=4).flatmap(
    lambda items: st.lists(
        st.sampled_from(["<", "<=", ">", ">=", "==", "!="]),
        min_size=len(items) - 1,
        max_size=len(items) - 1,
    ).map(lambda signs: " ".join(w for pair in zip(["", *signs], items, strict=True) for w in pair))
)
_CONDITIONS = st.recursive(
    _COMPARED,
    lambda inner: (
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(" ".join)
        | inner.map("not {}".format)
        | inner.map("({})".format)
    ),
    max_leaves=6,
)


@settings(deadline=None)
@given(_CONDITIONS, st.integers(-5, 5), st.floats(-10, 10, allow_nan=False))
def test_it_means_what_python_means(text: str, x: int, y: float) -> None:
    """Where Python divides by zero in a part that it looks at, or skips, there is no answer."""
    if len(text) > LENGTH_MAX or text.count("(") + text.count("-") + text.count("not") > DEPTH_MAX:
        return
    known = {"x": x, "y": y}
    ours = decide(parse(text), lambda name: known[name])
    try:
        theirs = eval(text, {"__builtins__": {}}, known)  # a text that this test has made
    except (ZeroDivisionError, OverflowError):
        assert isinstance(ours, Undecided)
        return
    assert ours is theirs or isinstance(ours, Undecided)
    if isinstance(ours, Undecided):
        assert any(word in str(ours) for word in ("divides", "NaN", "too large"))


@settings(deadline=None)
@given(st.sampled_from("+-*"), st.integers(), st.integers())
def test_whole_numbers_stay_exact(sign: str, a: int, b: int) -> None:
    wanted = {"+": operator.add, "-": operator.sub, "*": operator.mul}[sign](a, b)
    found = evaluate(parse(f"a {sign} b"), {"a": a, "b": b}.__getitem__)
    assert found == wanted
    assert isinstance(found, int)
