"""The table of keys, and what is written from it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mlxrepo.errors import InputError
from mlxrepo.paths import RepoPath
from mlxrepo.repo import grammar, schema
from mlxrepo.repo.project import parse_project
from mlxrepo.repo.stage import ProjectFile


def parse(text: str) -> ProjectFile:
    models = b"small: 1\nlarge: 2\n"  # what the worked examples read
    read = {"config/models.yaml": models, "config/paths.toml": b""}.get
    return parse_project(text.encode(), RepoPath("mlx.yaml"), read)


def uncommented(text: str) -> str:
    """Return the example as it is after somebody removed every "# "."""
    _header, examples = text.split("\n\n", 1)
    return "".join(
        line.removeprefix("# ") + "\n" for line in examples.replace("\n#\n", "\n\n").splitlines()
    )


def every_key(*, common: bool = False) -> set[tuple[str, str]]:
    return {
        (item.name, key.name)
        for item in grammar.TABLE
        for key in (item.keys if isinstance(item, grammar.Section) else (item,))
        if key.common or not common
    }


def test_the_example_declares_nothing_as_it_stands() -> None:
    assert parse(schema.commented_example()) == parse("")


def test_the_example_is_right_and_holds_every_common_key_when_it_is_uncommented() -> None:
    text = uncommented(schema.commented_example())
    project = parse(text)

    found = {(a.kind, key) for a in project.artifacts for key, _ in a.keys}
    assert {("data", "source"), ("feature", "time"), ("model", "tolerance")} <= found
    assert project.stages[0].params[0].key == "train.lr"
    assert {key for _, key in every_key(common=True)} == set(
        re.findall(r"^(?: {4})?([a-z]+):", text, re.M)
    ) - {
        "datasets",
        "features",
        "models",
        "stages",
        "remotes",
        "better",  # of the example of goals
    }


def test_the_example_fits_a_hundred_columns() -> None:
    assert max(len(line) for line in schema.commented_example().splitlines()) <= 100


def test_each_worked_example_of_the_reference_is_right() -> None:
    examples = re.findall(r"```yaml\n(.*?)```", schema.reference(), re.DOTALL)

    assert len(examples) > len(grammar.TABLE)
    for example in examples:
        parse(example)


def test_every_key_of_a_stage_stands_in_an_example_of_the_reference() -> None:
    examples = "".join(re.findall(r"```yaml\n(.*?)```", schema.reference(), re.DOTALL))

    assert {key for _, key in every_key()} - set(re.findall(r"\b([a-z_]+):", examples)) == set()


def test_the_reference_has_a_row_for_every_key_of_a_section() -> None:
    page = schema.reference()

    for section, key in every_key():
        assert f"## {section}\n" in page
        assert section == key or f"| `{key}` |" in page


def test_the_page_in_docs_is_current() -> None:
    page = Path(__file__).parents[2] / "docs" / "mlx-yaml.md"

    assert page.read_text(encoding="utf-8") == schema.reference(), (
        "write it anew from mlxrepo.repo.schema.reference()"
    )


def test_the_json_schema_is_strict_everywhere() -> None:
    document = schema.json_schema()
    entry = document["properties"]["stages"]["additionalProperties"]

    assert document["$schema"] == "http://json-schema.org/draft-07/schema#"
    assert document["additionalProperties"] is False
    assert entry["additionalProperties"] is False
    assert entry["anyOf"] == [{"required": ["cmd"]}, {"required": ["foreach", "do"]}]
    assert entry["properties"]["deps"]["anyOf"][0]["type"] == "array"
    assert entry["properties"]["do"]["required"] == ["cmd"]
    assert "matrix" not in entry["properties"]["do"]["properties"]
    assert set(document["properties"]) == {item.name for item in grammar.TABLE}


@pytest.mark.parametrize("name", ["train", "_x", "0", "a.b-c_D", "models", "train.locked"])
def test_good_names(name: str) -> None:
    assert grammar.check_name(name, "stage") == name
    assert re.search(grammar.NAME, name)


@pytest.mark.parametrize(
    "name", ["", "data", "exp", "-a", ".a", "a.", "a..b", "a.lock", "a b", "a:b", "a@1", "a\n", "ü"]
)
def test_bad_names_are_refused_in_code_and_in_editors(name: str) -> None:
    with pytest.raises(InputError, match="cannot be the name of a model"):
        grammar.check_name(name, "model")
    assert not re.fullmatch(grammar.NAME, name)
