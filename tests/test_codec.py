"""Canonical JSON: one text for one value."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlxrepo.codec import canonical, parse_json
from mlxrepo.errors import InputError

strings = st.text(max_size=5) | st.binary(max_size=5).map(
    lambda raw: raw.decode("utf-8", "surrogateescape")
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | strings,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(strings, below, max_size=3),
    max_leaves=8,
)  # fmt: skip


def alike(a: object, b: object) -> bool:
    return repr(a) == repr(b)  # 1, 1.0 and True are equal, but not alike


@given(values)
@settings(max_examples=150, deadline=None)
def test_a_value_comes_back_and_stands_on_one_line(value) -> None:
    data = canonical(value)
    assert b"\n" not in data
    assert alike(_sorted(parse_json(data, source="x")), _sorted(value))
    assert canonical(parse_json(data, source="x")) == data


def _sorted(value):
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value


@given(st.dictionaries(strings, values, min_size=2, max_size=4), st.randoms())
@settings(max_examples=50, deadline=None)
def test_the_order_of_keys_makes_no_difference(value, rng) -> None:
    items = list(value.items())
    rng.shuffle(items)
    assert canonical(dict(items)) == canonical(value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [{"a": -float("inf")}]])
def test_a_number_that_json_has_not_is_refused(value) -> None:
    with pytest.raises(ValueError, match="JSON"):
        canonical(value)


@pytest.mark.parametrize(
    ("data", "place", "says"),
    [
        (b'{"a": 1, "a": 2}', "lock:7:1", '"a" is given twice'),
        (b'[{"b": 1, "a": {"c": 1, "c": 1}}]', "lock:7:1", '"c" is given twice'),
        (b'{"a": 1,}', "lock:7:", "not JSON"),
        (b"", "lock:7:1", "not JSON"),
        (b'{"a":\n nope}', "lock:8:2", "not JSON"),
        (b"\xff", "lock:7:1", "not JSON"),
        (b"[" * 200_000, "lock:7:1", "not JSON"),
        (b"1" * 5000, "lock:7:1", "not JSON"),
    ],
)
def test_bad_json_is_an_error_with_its_place(data: bytes, place: str, says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        parse_json(data, source="lock", line=7)
    assert str(caught.value).startswith(place)


def test_a_large_object_with_a_double_key_is_refused_at_once() -> None:
    names = [f"k{number}" for number in range(50_000)]
    text = "{" + ",".join(f"{json.dumps(name)}:1" for name in [*names, names[-1]]) + "}"
    with pytest.raises(InputError, match="k49999"):
        parse_json(text.encode(), source="x")
