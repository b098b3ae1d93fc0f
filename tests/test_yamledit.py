"""Edits of YAML that people wrote: what is asked changes, every other byte stays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlxrepo.errors import InputError, Where
from mlxrepo.yamledit import remove_entry, replace_scalars, scalar, set_entry
from mlxrepo.yamlfile import Node, plain, read

WRITTEN = """\
# The project of reviews.

datasets:   # all of it
  # what customers say
  mike:
    path: 'data/m ike'   # trailing
    # key: id

  # from the vendor
  # (monthly)
  zulu: {path: data/zulu, desc: "a, b"}
stages:
  train:
    cmd: |
      python a.py

      python b.py


  # end of stages
"""


def values_of(text: str) -> Any:
    return plain(read(text.encode(), "mlx.yaml")) or {}


def lines_added(before: str, after: str) -> list[str]:
    """Return the lines of `after` that are not of `before`, whose lines all have to be there."""
    added = []
    old = iter([*before.splitlines(keepends=True), None])
    wanted = next(old)
    for line in after.splitlines(keepends=True):
        if line == wanted:
            wanted = next(old)
        else:
            added.append(line)
    assert wanted is None, f"the line {wanted!r} is gone"
    return added


def test_an_entry_goes_between_its_siblings_above_the_comment_of_the_next() -> None:
    text = set_entry(WRITTEN, "datasets", "november", {"path": "data/n"}, "mlx.yaml")

    assert "    # key: id\n\n  november:\n    path: data/n\n  # from the vendor\n" in text
    assert lines_added(WRITTEN, text) == ["  november:\n", "    path: data/n\n"]


def test_the_first_entry_goes_above_the_comment_of_the_second() -> None:
    text = set_entry(WRITTEN, "datasets", "alpha", {"path": "data/a"}, "mlx.yaml")

    assert "all of it\n  alpha:\n    path: data/a\n  # what customers say\n" in text


def test_the_last_entry_of_blocks_goes_before_their_blank_lines() -> None:
    text = set_entry(WRITTEN, "stages", "zip", {"cmd": "x"}, "mlx.yaml")

    assert "      python b.py\n  zip:\n    cmd: x\n\n\n  # end of stages\n" in text


def test_a_new_section_goes_to_the_end() -> None:
    text = set_entry(WRITTEN, "models", "m", {"path": "m", "keys": ["a"]}, "mlx.yaml")

    assert text == WRITTEN + "\nmodels:\n  m:\n    path: m\n    keys:\n      - a\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "datasets:\n  r:\n    path: d\n"),
        ("# head\n", "# head\n\ndatasets:\n  r:\n    path: d\n"),
        ("format: 1", "format: 1\n\ndatasets:\n  r:\n    path: d\n"),
        ("datasets:", "datasets:\n  r:\n    path: d\n"),
        ("datasets: {}  # c\r\n", "datasets:  # c\r\n  r:\r\n    path: d\r\n"),
        ("datasets: ~\nstages:\n", "datasets:\n  r:\n    path: d\nstages:\n"),
        (
            "stages:\n    a:\n        cmd: x\ndatasets:\n",
            "stages:\n    a:\n        cmd: x\ndatasets:\n    r:\n        path: d\n",
        ),
        ("---\na: 1\n...\n# x\n", "---\na: 1\n\ndatasets:\n  r:\n    path: d\n...\n# x\n"),
        ("\ufeffa: 1\n\n", "\ufeffa: 1\n\ndatasets:\n  r:\n    path: d\n"),
        ("a: |+\n  x\n\n", "a: |+\n  x\n\ndatasets:\n  r:\n    path: d\n"),
    ],
)
def test_a_section_that_is_absent_or_empty_is_filled(text: str, expected: str) -> None:
    assert set_entry(text, "datasets", "r", {"path": "d"}, "mlx.yaml") == expected


def test_an_equal_entry_changes_nothing_and_another_is_refused() -> None:
    assert set_entry(WRITTEN, "datasets", "mike", {"path": "data/m ike"}, "mlx.yaml") == WRITTEN
    with pytest.raises(InputError, match='another entry "mike"') as caught:
        set_entry(WRITTEN, "datasets", "mike", {"path": "elsewhere"}, "mlx.yaml")
    assert caught.value.where == Where("mlx.yaml", 5, 3)


def test_removing_takes_the_comments_of_the_entry_and_no_others() -> None:
    text = remove_entry(WRITTEN, "datasets", "zulu", "mlx.yaml")

    gone = '  # from the vendor\n  # (monthly)\n  zulu: {path: data/zulu, desc: "a, b"}\n'
    assert text == WRITTEN.replace(gone, "")


def test_removing_the_only_entry_removes_the_section() -> None:
    text = remove_entry(WRITTEN, "stages", "train", "mlx.yaml")

    assert values_of(text).keys() == {"datasets"}
    assert text.endswith('desc: "a, b"}\n\n\n  # end of stages\n')


def replaced(text: str, old: str, new: str, section: str | None = None) -> str:
    """Replace every scalar (of one section) that reads `old`, keys too."""

    def choose(node: Node) -> Iterator[tuple[Node, str]]:
        if section:
            pairs = [pair for pair in node.value if pair[0].text == section]
            yield from choose_all(node._replace(value=pairs))
        else:
            yield from choose_all(node)

    def choose_all(node: Node) -> Iterator[tuple[Node, str]]:
        if node.kind == "scalar":
            if node.text == old:
                yield node, new
            return
        for item in node.value:
            for part in item if node.kind == "map" else (item,):
                yield from choose_all(part)

    return replace_scalars(text, choose, "mlx.yaml")


def test_replacing_touches_the_scalars_alone() -> None:
    text = replaced(WRITTEN, "data/m ike", "data/no: more")

    assert text == WRITTEN.replace("'data/m ike'", '"data/no: more"')


def test_replacing_inside_braces_quotes_what_would_end_there() -> None:
    text = replaced(WRITTEN, "data/zulu", "a, b")

    assert text == WRITTEN.replace("data/zulu", '"a, b"')


def test_keys_and_several_places_are_replaced_at_once() -> None:
    text = "a: [x, 'x', y]  # x\nb:\n- x: {cache: false}  # x\n- x\n"

    assert replaced(text, "x", "longer") == (
        "a: [longer, longer, y]  # x\nb:\n- longer: {cache: false}  # x\n- longer\n"
    )
    assert replaced(text, "z", "w") == text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: |\n  x\n", "not written on one line"),
        ("a: &x data\nb: *x\n", "by hand"),
    ],
)
def test_scalars_that_cannot_be_replaced_are_refused(text: str, told: str) -> None:
    with pytest.raises(InputError) as caught:
        replace_scalars(text, lambda root: [(root.value[0][1], "new")], "mlx.yaml")
    assert told in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("datasets: {a: {path: x}}\n", "not written with one entry a line"),
        ("x: &x {a: {path: p}}\ndatasets: *x\n", "not written with one entry a line"),
        ("datasets:\n  ? a\n  : {path: x}\n", "does not begin its line"),
        ("datasets: [a]\n", "has to be a map"),
        ("{datasets: {}}\n", "one key a line"),
        ("- a\n", "one key a line"),
        ("datasets: {\n}\n", "cannot edit this empty"),
        ("a: 1\rdatasets:\r", "CR alone"),
        ("a: |\n  x", "has no line end"),
        ("a: &x 1\ndatasets: {}\na: 1\n", 'the key "a" is given twice'),
    ],
)
def test_what_cannot_be_edited_is_refused(text: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        set_entry(text, "datasets", "", {"path": "d"}, "mlx.yaml")


def test_an_edit_that_would_change_other_values_is_refused() -> None:
    text = "datasets:\n  a: &a\n    path: x\n  b: *a\n"

    with pytest.raises(InputError, match="without changing other values"):
        remove_entry(text, "datasets", "a", "mlx.yaml")


def test_an_unknown_entry_names_its_neighbour() -> None:
    with pytest.raises(InputError, match='datasets has no "mik"') as caught:
        remove_entry(WRITTEN, "datasets", "mik", "mlx.yaml")
    assert caught.value.hint == 'did you mean "mike"?'


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("data/a b.csv", "data/a b.csv"),
        ("a, b", "a, b"),
        ("no", '"no"'),
        ("1e3", '"1e3"'),
        ("2024-01-01", '"2024-01-01"'),
        ("x: y", '"x: y"'),
        ("x #y", '"x #y"'),
        ("", '""'),
        (" x", '" x"'),
        ("- x", '"- x"'),
        ("<<", '"<<"'),
        ("a\nb", '"a\\nb"'),
        ("\x7f\u2028", '"\\u007f\\u2028"'),
        (1e30, "1.0e+30"),
        (float("-inf"), "-.inf"),
        (True, "true"),
        (None, "null"),
        ([], "[]"),
    ],
)
def test_scalars_are_quoted_only_where_yaml_needs_it(value: Any, written: str) -> None:
    assert scalar(value) == written


@given(st.text(st.characters(exclude_categories=["Cs"])), st.booleans())
def test_every_text_is_read_as_it_was_written(text: str, flow: bool) -> None:
    written = scalar(text, flow=flow)
    document = f"{{{written}: [{written}, x]}}" if flow else f"{written}:\n- {written}\n- x\n"

    assert values_of(document) == {text: [text, "x"]}


def test_a_name_that_is_not_utf8_cannot_be_written() -> None:
    with pytest.raises(InputError, match="not UTF-8"):
        scalar("data/\udcff")


# Documents as people write them.

NAMES = st.sampled_from(["alpha", "bravo", "mike", "no", "x.y", "zulu", "Zed", "a-b"])
PLAIN = ["data/x", "no", "012", "", "~", "x\n      y"]
QUOTED = ["'a # b'", '"é\\n"', '"x\n     # y"']
FLOW = ["[1, 2]", "{a: b, c: [d]}"]
LISTS = ["\n      - 1\n      # in\n      - p: q\n        r: s", "\n    - a\n    - b"]
BLOCKS = ["|\n      a\n      # b\n\n      c", ">-\n      x\n", "|\n      a\n\n", "|+\n      k\n\n"]
VALUES = st.sampled_from([*PLAIN, *QUOTED, *FLOW, *LISTS, *BLOCKS])
NOISE = st.lists(
    st.sampled_from(["", "# zero", "  # two", "    # four", "      # six", "  "]), max_size=3
).map(lambda lines: "".join(line + "\n" for line in lines))


@st.composite
def documents(draw: st.DrawFn) -> str:
    parts = [draw(NOISE)]
    for section in draw(st.lists(st.sampled_from(["stages", "datasets", "models"]), unique=True)):
        parts.append(f"{section}:{draw(st.sampled_from(['', '  # why']))}\n{draw(NOISE)}")
        for name in draw(st.lists(NAMES, unique=True, max_size=4)):
            parts.append(f"  {name}:\n{draw(NOISE)}    path: x/{name}\n")
            for key in draw(st.lists(st.sampled_from(["desc", "key", "m"]), unique=True)):
                parts.append(f"    {key}: {draw(VALUES)}\n{draw(NOISE)}")
    text = "".join(parts)
    if draw(st.booleans()):
        text = text.rstrip("\n")
    return text.replace("\n", "\r\n") if draw(st.booleans()) else text


def entries_of(text: str) -> dict[str, Any]:
    return values_of(text).get("datasets") or {}


@given(documents(), NAMES)
def test_setting_an_entry_keeps_every_line_and_value(text: str, name: str) -> None:
    before = values_of(text)
    try:
        after = set_entry(text, "datasets", name, {"path": "new"}, "mlx.yaml")
    except InputError:  # the last line is in a block and has no end, or there is such an entry
        assert name in entries_of(text) or not text.endswith("\n") or "|+" in text
        return

    expected = {**before, "datasets": {**entries_of(text), name: {"path": "new"}}}
    assert values_of(after) == expected
    assert len(lines_added(_ended(text), _ended(after))) in (2, 3, 4)


def _ended(text: str) -> str:
    newline = "\r\n" if "\r\n" in text else "\n"
    return text if not text or text.endswith("\n") else text + newline


@given(documents(), st.data())
def test_removing_an_entry_keeps_every_other_line_and_value(text: str, data: st.DataObject) -> None:
    entries = entries_of(text)
    name = data.draw(st.sampled_from(sorted(entries) or [""]))
    try:
        after = remove_entry(text, "datasets", name, "mlx.yaml")
    except InputError:
        assert not entries or "|+" in text or not text.endswith("\n")
        return

    del entries[name]
    expected = {**values_of(text), "datasets": entries}
    assert values_of(after) == (expected if entries else _without(expected, "datasets"))
    lines_added(after, text)


def _without(values: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name != key}


@given(documents(), st.text("ab:# ,'", max_size=8), st.data())
def test_replacing_changes_one_value_and_one_line(
    text: str, value: str, data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(sorted(entries_of(text)) or [""]))
    try:
        after = replaced(text, f"x/{name}", value, "datasets")
    except InputError:
        assert not text.endswith("\n")
        return

    expected = values_of(text)
    if name:
        expected["datasets"][name]["path"] = value
    assert values_of(after) == expected
    differ = [
        pair for pair in zip(text.split("\n"), after.split("\n"), strict=True) if pair[0] != pair[1]
    ]
    assert len(differ) <= 1
