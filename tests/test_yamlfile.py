"""The YAML reader: YAML 1.2 scalars, places, and files that are wrong or hostile."""

from __future__ import annotations

import datetime
import json
import math
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mlxrepo.errors import InputError, Where
from mlxrepo.yamlfile import MAX_BYTES, Reading, dual, plain, read, read11


def value_of(text: str) -> Any:
    return plain(read(text.encode(), "f.yaml"))


def refusal(data: bytes) -> InputError:
    with pytest.raises(InputError) as caught:
        read(data, "f.yaml")
    return caught.value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("Off", "Off"),
        ("yes", "yes"),
        ("on", "on"),
        ("true", True),
        ("FALSE", False),
        ("~", None),
        ("", None),
        ("null", None),
        ("012", 12),
        ("-7", -7),
        ("0o14", 12),
        ("0x1F", 31),
        ("1e3", 1000.0),
        ("1e-3", 0.001),
        (".5", 0.5),
        ("1.", 1.0),
        ("-.inf", -math.inf),
        ("1_000", "1_000"),
        ("12:30:45", "12:30:45"),
        ("2024-01-01", "2024-01-01"),
        ("0b1", "0b1"),
        ("-0x1F", "-0x1F"),
        (".", "."),
        ("'1'", "1"),
        ('"true"', "true"),
        ("|\n  1\n", "1\n"),
    ],
)
def test_scalars_follow_the_core_schema_of_yaml_12(text: str, value: Any) -> None:
    read_value = value_of(f"a: {text}")["a"]

    assert (read_value, type(read_value)) == (value, type(value))


def test_nan_is_a_float_in_both_readings() -> None:
    assert math.isnan(dual(read(b".nan", "f.yaml")))


@pytest.mark.parametrize(
    ("text", "yaml12", "yaml11"),
    [
        ("no", "no", False),
        ("012", 12, 10),
        ("1e3", 1000.0, "1e3"),
        ("0o14", 12, "0o14"),
        ("08", 8, "08"),
        ("1_000", "1_000", 1000),
        ("12:30:45", "12:30:45", 45045),
        ("2024-01-31", "2024-01-31", datetime.date(2024, 1, 31)),
    ],
)
def test_a_scalar_that_yaml_11_reads_otherwise_has_both_readings(
    text: str, yaml12: Any, yaml11: Any
) -> None:
    assert dual(read(text.encode(), "f.yaml")) == Reading(yaml12, yaml11)


def test_quotes_settle_the_reading() -> None:
    assert dual(read(b"a: 'no'\nb: \"1e3\"", "f.yaml")) == {"a": "no", "b": "1e3"}


@given(st.from_regex(r"[-+0-9._:eExXobnatruflsyNOT~ ]{1,12}", fullmatch=True))
def test_the_second_reading_is_what_pyyaml_loads(text: str) -> None:
    try:
        node = read(f"a: {text}".encode(), "f.yaml")
        loaded = yaml.safe_load(f"a: {text}")["a"]
    except (InputError, ValueError, TypeError, yaml.YAMLError):
        return
    scalar = node.value[0][1] if node else None
    if scalar is not None and scalar.kind == "scalar" and scalar.plain:
        second = read11(scalar.text)
        assert second == loaded or (second != second and loaded != loaded)


def test_text_that_pyyaml_cannot_load_stays_text() -> None:
    assert dual(read(b"[2024-13-45, =]", "f.yaml")) == ["2024-13-45", "="]


def test_nodes_know_where_they_are_written() -> None:
    text = "# é\r\na:\r\n  - {b: 'c d'}  # e\r\n"
    node = read(text.encode(), "f.yaml")
    assert node is not None
    flow = node.value[0][1].value[0]
    quoted = flow.value[0][1]

    assert text[flow.start : flow.end] == "{b: 'c d'}"
    assert text[quoted.start : quoted.end] == "'c d'"
    assert (quoted.where, quoted.plain, quoted.text) == (Where("f.yaml", 3, 9), False, "c d")


def test_a_file_without_values_is_none() -> None:
    assert read(b"", "f.yaml") is None
    assert read(b"# only a comment\n", "f.yaml") is None


def test_a_byte_order_mark_is_dropped() -> None:
    assert plain(read(b"\xef\xbb\xbfa: 1", "f.yaml")) == {"a": 1}


def test_keys_are_text() -> None:
    assert value_of("1: a\ntrue: b\nno: c\n~: d") == {"1": "a", "true": "b", "no": "c", "~": "d"}


@pytest.mark.parametrize(
    ("data", "line", "col", "told"),
    [
        (b"a: 1\nb: 2\na: 3\n", 3, 1, 'the key "a" is given twice; first in line 1'),
        (b"a:\n  b: 1\n  'b': 2\n", 3, 3, 'the key "b" is given twice'),
        (b"a: !!str 1", 1, 4, 'tags are not accepted: "!!str"'),
        (b"a: !env X", 1, 4, '"!env"'),
        (b"a: !!python/object/apply:os.system [id]", 1, 4, "tags are not accepted"),
        (b"- [1, *x]", 1, 7, 'the alias "*x" is not defined above'),
        (b"a: &x [1, *x]", 1, 11, 'the alias "*x" stands inside itself'),
        (b"a: &x\n  b: *x", 2, 6, 'the alias "*x" stands inside itself'),
        (b"a: 1\nb: \x00", 2, 4, "U+0000"),
        (b"a: \x1b[0m", 1, 4, "U+001B"),
        (b"a: 1\nb: \xc3\xa9\xff", 2, 5, "not UTF-8: byte 0xff"),
        (b"a:\n\t- b", 2, 1, "a tab"),
        (b"a:\n  b: 1\n\tc: 2", 3, 1, "a tab"),
        (b"a: b: c", 1, 5, '(at "a: b: c")'),
        (b"x: 1\na: @b", 2, 4, "cannot begin with @"),
        (b"a: [1\nb: 2", 2, 2, '(at "b: 2")'),
        (b"a: 'x", 1, 6, "at the end of the file"),
        (b"--- 1\n--- 2\n", 2, 1, "a second document"),
        (b"? [a]\n: b", 1, 3, "a key has to be text, not a list"),
        (b"a: 1\nb: " + b"9" * 5000, 2, 4, "too many digits"),
        (b"a:\n  <<: 3", 2, 7, '"<<" takes a map'),
        (b"a: 1\n<<<<<<< HEAD\nb: 2\n=======\nb: 3\n>>>>>>> x\n", 2, 1, '"<<<<<<< HEAD"'),
        (b"# " + b"x" * MAX_BYTES, 1, 1, "larger than 16 MiB"),
    ],
    ids=lambda value: repr(value[:24]) if isinstance(value, bytes) else None,
)
def test_what_is_wrong_is_named_with_its_place(data: bytes, line: int, col: int, told: str) -> None:
    error = refusal(data)

    assert error.where == Where("f.yaml", line, col)
    assert told in error.message


@pytest.mark.parametrize(
    "data",
    [b"[" * 5000, b"- " * 5000 + b"1", b"{a: " * 5000, b"? " * 5000, b"[" * 70 + b"]" * 70],
    ids=["flow lists", "block lists", "flow maps", "keys", "closed"],
)
def test_deep_nesting_is_an_error_not_a_crash(data: bytes) -> None:
    assert refusal(data).message == "more than 64 levels of nesting"


def test_sixty_four_levels_are_read() -> None:
    assert read(b"[" * 64 + b"1" + b"]" * 64, "f.yaml") is not None


def test_aliases_cannot_nest_deeper_than_text() -> None:
    levels = [b"- &a0 " + b"[" * 40 + b"]" * 40]
    levels += [b"- &a%d [[*a%d]]" % (i + 1, i) for i in range(40)]

    assert refusal(b"\n".join(levels)).message == "more than 64 levels of nesting"


@pytest.mark.parametrize("line", ["[{}]", "{{<<: [{}]}}"], ids=["aliases", "merge keys"])
def test_a_bomb_of_aliases_is_refused(line: str) -> None:
    text = "a0: &a0 {x: 1}\n" + "".join(
        f"a{i + 1}: &a{i + 1} {line.format(', '.join([f'*a{i}'] * 9))}\n" for i in range(12)
    )

    assert "aliases repeat more than 100,000 values" in refusal(text.encode()).message


def test_a_large_file_without_aliases_is_not_a_bomb() -> None:
    node = read(b"- 1\n" * 150_000, "f.yaml")

    assert node is not None
    assert len(node.value) == 150_000


def test_an_alias_is_the_value_at_its_own_place() -> None:
    node = read(b"a: &x [1, 2]\nb: *x\n", "f.yaml")
    assert node is not None
    alias = node.value[1][1]

    assert plain(node) == {"a": [1, 2], "b": [1, 2]}
    assert (alias.where, alias.start, alias.end) == (Where("f.yaml", 2, 4), 16, 18)


def test_merge_keys_give_way_to_own_keys_and_to_earlier_maps() -> None:
    text = "a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc:\n  z: 3\n  <<: [*a, *b]\n"

    assert value_of(text)["c"] == {"z": 3, "x": 1, "y": 1}


def test_merge_keys_stay_as_written_for_an_editor() -> None:
    node = read(b"a: {<<: {x: 1}}", "f.yaml", merge=False)

    assert plain(node) == {"a": {"<<": {"x": 1}}}


texts = st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"]), max_size=40)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
    max_leaves=20,
)


@given(json_values)
def test_json_is_read_as_json(value: Any) -> None:
    assert value_of(json.dumps(value)) == value
