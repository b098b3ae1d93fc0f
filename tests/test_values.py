"""Values of params and metrics files."""

from __future__ import annotations

import datetime
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlxrepo.codec import canonical, parse_json
from mlxrepo.errors import InputError, Where
from mlxrepo.values import Reading, decode, encode, flatten, lookup, numbers, read_values, select

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.sampled_from(["$", "$float", "$yaml", "$time", "$$"])
)
times = st.dates() | st.times() | st.datetimes(timezones=st.just(datetime.UTC) | st.none())
readings = st.builds(Reading, yaml12=scalars, yaml11=scalars | times)
values = st.recursive(
    scalars | times | readings,
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.sampled_from(["a", "$float", "$yaml", "$$time", "$", "a.b"]), inner)
    ),
    max_leaves=15,
)


@given(values)
def test_every_value_survives_canonical_json(value: Any) -> None:
    written = canonical(encode(value))

    assert decode(parse_json(written, source="x")) == value


def test_special_values_have_a_stated_form() -> None:
    value = {
        "nan": math.nan,
        "low": -math.inf,
        "$x": 1,
        "no": Reading("no", False),
        "day": datetime.date(2024, 1, 31),
    }

    assert encode(value) == {
        "nan": {"$float": "nan"},
        "low": {"$float": "-inf"},
        "$$x": 1,
        "no": {"$yaml": {"1.1": False, "1.2": "no"}},
        "day": {"$time": "2024-01-31"},
    }
    assert math.isnan(decode({"$float": "nan"}))


def test_quoting_a_doubtful_scalar_changes_its_encoding() -> None:
    bare = read_values(b"country: NO", "params.yaml")
    quoted = read_values(b'country: "NO"', "params.yaml")

    assert encode(bare) != encode(quoted)


@pytest.mark.parametrize(
    ("path", "data"),
    [
        ("p.yaml", b"train: {lr: 0.1, steps: [1, 2]}"),
        ("p.yml", b"train:\n  lr: 0.1\n  steps: [1, 2]\n"),
        ("p.json", b'\xef\xbb\xbf{"train": {"lr": 0.1, "steps": [1, 2]}}'),
        ("p.toml", b"[train]\nlr = 0.1\nsteps = [1, 2]\n"),
    ],
)
def test_formats_are_read_by_extension(path: str, data: bytes) -> None:
    assert read_values(data, path) == {"train": {"lr": 0.1, "steps": [1, 2]}}


def test_json_may_hold_nan_as_python_writes_it() -> None:
    assert math.isnan(read_values(b'{"loss": NaN}', "m.json")["loss"])


def test_toml_times_are_times() -> None:
    found = read_values(b"at = 2024-01-31T10:00:00Z\n", "p.toml")["at"]

    assert found == datetime.datetime(2024, 1, 31, 10, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("path", "data", "where", "told"),
    [
        ("p.txt", b"", None, '"p.txt" cannot hold params'),
        ("yaml", b"", None, '"yaml" cannot hold params'),
        ("p.yaml", b"a: 1\na: 2", Where("p.yaml", 2, 1), 'the key "a" is given twice'),
        ("p.json", b'{"a": 1, "a": 2}', Where("p.json", 1, 1), '"a" is given twice'),
        ("p.json", b'{\n"a": }', Where("p.json", 2, 6), "not JSON"),
        ("p.py", b"a = 1\nb = (\n", Where("p.py", 2, 5), "not Python: '(' was never closed"),
        ("p.py", b"a = '\0'", Where("p.py", 1, 1), "not Python"),
        ("p.py", b"a = " + b"(" * 5000, Where("p.py", 1, 205), "not Python: too many"),
        ("p.py", b"a = " + b"-" * 100_000 + b"1", Where("p.py", 1, 1), "Python"),
        ("p.toml", b"a = 1\nb = \n", Where("p.toml", 2, 5), "not TOML: Invalid value"),
        ("p.toml", b"a = 1\na = 2\n", Where("p.toml", 2, 6), "not TOML: Cannot overwrite"),
        ("p.toml", b"a = '\xff'", Where("p.toml", 1, 1), "not TOML"),
        ("p.json", b"[" * 70 + b"]" * 70, Where("p.json", 1, 1), "64 levels"),
        ("p.json", b"[" * 100_000, Where("p.json", 1, 1), "not JSON"),
        ("p.toml", b"a = " + b"[" * 5000, Where("p.toml", 1, 1), "64 levels"),
        ("p.toml", b"a" + b".a" * 5000 + b" = 1", Where("p.toml", 1, 1), "64 levels"),
    ],
)
def test_a_bad_file_is_refused_with_its_place(
    path: str, data: bytes, where: Where | None, told: str
) -> None:
    with pytest.raises(InputError) as caught:
        read_values(data, path)

    assert caught.value.where == where
    assert told in caught.value.message


NESTED = {
    "train": {"lr": 0.1, "layers": [{"n": 8}, {"n": 16}], "note": None},
    "a.b": "literal",
    "a": {"b": "nested", "c": {"d.e": 1}},
}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("train.lr", 0.1),
        ("train.layers.1.n", 16),
        ("train.note", None),
        ("a.b", "literal"),
        ("a.c.d.e", 1),
        ("train.layers.0", {"n": 8}),
    ],
)
def test_lookup_by_dotted_name(key: str, value: Any) -> None:
    assert lookup(NESTED, key) == value


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("train.lrr", 'did you mean "train.lr"?'),
        ("trian", 'did you mean "train"?'),
        ("zzz", None),
    ],
)
def test_a_missing_key_names_its_neighbour(key: str, hint: str | None) -> None:
    with pytest.raises(InputError) as caught:
        lookup(NESTED, key, source="params.yaml")

    assert caught.value.message == f'no key "{key}" in params.yaml'
    assert caught.value.hint == hint


plain_values = st.recursive(
    st.none() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.text("abc", min_size=1), plain_values, max_size=4))
def test_every_flat_name_can_be_looked_up(nested: dict[str, Any]) -> None:
    for name, value in flatten(nested).items():
        assert lookup(nested, name) == value


def test_flatten_keeps_empty_branches() -> None:
    assert flatten({"a": [], "b": {"c": {}}, "d": [1]}) == {"a": [], "b.c": {}, "d.0": 1}


def test_numbers_leaves_out_what_is_none() -> None:
    metrics = read_values(b"auc: 1e-3\nn: 3\nok: true\nname: x\nf: [0.5, no]\nz: .nan", "m.yaml")
    found = numbers(metrics)

    assert math.isnan(found.pop("z"))
    assert found == {"auc": 0.001, "n": 3, "f.0": 0.5}


CONSTANTS = b"""
import os
raise SystemExit("this is never executed")
LR = -1e-3
NAME: str = "x"
LAYERS = (8, [16, {"a": None}])
TAGS = {"b", "a"}
A = B = True
C, D = 1, 2
COMPUTED = LR * 2
CALLED = os.getcwd()
BYTES = b"x"
UNSET: int
class Train:
    depth = 4
    rate: float = 0.5
    class Inner:
        deep = "yes"
    def __init__(self, arg=3):
        self.epochs = 10
        self.arg = arg
        other.x = 1
        local = 2
    def method(self):
        self.not_this = 1
LR = 2
"""


def test_constants_of_python_are_read_and_nothing_is_executed() -> None:
    assert read_values(CONSTANTS, "conf.py") == {
        "LR": 2,
        "NAME": "x",
        "LAYERS": [8, [16, {"a": None}]],
        "TAGS": ["a", "b"],
        "A": True,
        "B": True,
        "Train": {"depth": 4, "rate": 0.5, "Inner": {"deep": "yes"}, "epochs": 10},
    }


def test_select_by_a_pattern_of_keys() -> None:
    assert select(NESTED, "train.l*") == {"train.lr": 0.1, "train.layers": [{"n": 8}, {"n": 16}]}
    assert select(NESTED, "train.layers.*.n") == {"train.layers.0.n": 8, "train.layers.1.n": 16}
    assert select({"a*": 1, "ab": 2}, "a*") == {"a*": 1}
    assert select(NESTED, "train.n?te") == {"train.note": None}
    with pytest.raises(InputError) as caught:
        select(NESTED, "tarin.*", source="params.yaml")
    assert caught.value.message == 'no key of params.yaml fits "tarin.*"'
