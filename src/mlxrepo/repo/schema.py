"""What is written from the table of keys: the JSON Schema for editors, the pages for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mlxrepo.repo import handbook
from mlxrepo.repo.grammar import NAME, TABLE, Key, Section

# --- for editors ------------------------------------------------------------------------------

_TEMPLATE = {"type": "string", "pattern": r"\$\{"}
_GROUP_KEYS = ("foreach", "do", "matrix")


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft-07) of mlx.yaml."""
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "mlx.yaml",
        "type": ["object", "null"],
        "properties": {item.name: _property(item) for item in TABLE},
        "additionalProperties": False,
    }


def _property(item: Key | Section) -> dict[str, Any]:
    if isinstance(item, Key):
        plain = item.name in ("format", "vars")
        schema = item.shape.schema if plain else _or_template(item.shape.schema)
        return {"description": item.doc, **schema}
    entry = _stage_entry(item.keys) if item.name == "stages" else _entry(item.keys)
    return {
        "description": item.doc,
        "type": ["object", "null"],
        "propertyNames": {"pattern": NAME},
        "additionalProperties": entry,
    }


def _entry(keys: tuple[Key, ...]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {key.name: _property(key) for key in keys},
        "required": [key.name for key in keys if key.required],
        "additionalProperties": False,
    }


def _stage_entry(keys: tuple[Key, ...]) -> dict[str, Any]:
    """Return the schema of a stage: one by itself, a matrix, or a foreach with its `do`."""
    by_name = {key.name: key for key in keys}
    own = tuple(key for key in keys if key.name not in _GROUP_KEYS)
    do = {"description": by_name["do"].doc, **_entry(own)}
    entry = _entry((*own, by_name["matrix"], by_name["foreach"]))
    del entry["required"]
    entry["properties"]["do"] = do
    entry["anyOf"] = [{"required": ["cmd"]}, {"required": ["foreach", "do"]}]
    return entry


def _or_template(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema that also takes `${…}` wherever it takes something else than free text."""
    if not schema or schema == {"type": "string"} or schema == {"type": "object"}:
        return schema
    if "anyOf" in schema:
        choices = [_inside(choice) for choice in schema["anyOf"]]
        free = {"type": "string"} in choices
        return {"anyOf": choices if free else [*choices, _TEMPLATE]}
    return {"anyOf": [_inside(schema), _TEMPLATE]}


def _inside(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema with `_or_template` applied to what is below it."""
    found = dict(schema)
    if "items" in found:
        found["items"] = _or_template(found["items"])
    if isinstance(found.get("additionalProperties"), dict):
        found["additionalProperties"] = _or_template(found["additionalProperties"])
    if "properties" in found:
        found["properties"] = {k: _or_template(v) for k, v in found["properties"].items()}
    return found


# --- for people -------------------------------------------------------------------------------

_DOC_COLUMN = 40


def commented_example() -> str:
    """Return an mlx.yaml that says nothing and shows the keys: what `mlx init` writes."""
    blocks = ["\n".join(f"# {line}" for line in _example(item)) for item in TABLE]
    return "\n\n".join([_HEADER, *blocks]) + "\n"


_HEADER = """\
# mlx.yaml: what this project declares. Below is an example of every section; remove the "# "
# before the lines that you need. Paths are relative to the folder of this file. What else a stage
# can say (foreach, matrix, env, resources, timeout, …) stands in docs/mlx-yaml.md of mlx."""


def reference() -> str:
    """Return the page of documentation on mlx.yaml, in Markdown."""
    return "\n\n".join([handbook.INTRODUCTION, *map(_chapter, TABLE)]) + "\n"


def _chapter(item: Key | Section) -> str:
    parts = [f"## {item.name}", f"{item.doc[0].upper()}{item.doc[1:]}.", _fenced(item)]
    if isinstance(item, Section):
        rows = [f"| `{key.name}` | {key.shape.phrase} | {_told(key)} |" for key in item.keys]
        parts.append("\n".join(["| Key | Value | Meaning |", "|---|---|---|", *rows]))
    else:
        parts.append(f"The value is {item.shape.phrase}.")
    if item.name in handbook.NOTES:
        parts.append(handbook.NOTES[item.name])
    return "\n\n".join(parts)


def _told(key: Key) -> str:
    return f"{key.doc} (required)" if key.required else key.doc


def _fenced(item: Key | Section) -> str:
    return "\n".join(["```yaml", *_example(item), "```"])


def _example(item: Key | Section) -> Iterator[str]:
    if isinstance(item, Key):
        yield from _documented(item, 0)
        return
    yield _beside(f"{item.name}:", item.doc)
    yield f"  {item.entry}:"
    for key in item.keys:
        if key.common:
            yield from _documented(key, 4)


def _documented(key: Key, indent: int) -> Iterator[str]:
    from mlxrepo.yamledit import render  # only documentation needs it

    first, *rest = render({key.name: key.example}, indent)
    yield _beside(first, key.doc)
    yield from rest


def _beside(line: str, doc: str) -> str:
    return f"{line:<{_DOC_COLUMN}}  # {doc}"
