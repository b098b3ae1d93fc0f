"""Every key of mlx.yaml in one table, and what is written from it for editors and for people."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from mlxrepo.errors import InputError, Where

FORMAT = 1
RESERVED = ("data", "feature", "model", "exp")


class Shape(NamedTuple):
    """What a value may be: in words, and as JSON Schema (draft-07), which validation interprets."""

    phrase: str
    schema: dict[str, Any]


class Key(NamedTuple):
    """A key with a value of its own."""

    name: str
    shape: Shape
    doc: str
    example: Any
    required: bool = False


class Section(NamedTuple):
    """A top-level key that holds named entries, each with the same keys."""

    name: str
    noun: str
    doc: str
    entry: str
    keys: tuple[Key, ...]


# --- the table ----------------------------------------------------------------------------------

_TEXT: dict[str, Any] = {"type": "string"}
_TEXTS: dict[str, Any] = {"type": "array", "items": _TEXT}
_SOME_TEXTS = {**_TEXTS, "minItems": 1}
_OPTIONS = {
    "type": "object",
    "properties": {"cache": {"type": "boolean"}},
    "additionalProperties": False,
}


def _text_or_one_key(value: dict[str, Any]) -> dict[str, Any]:
    one_key = {
        "type": "object",
        "minProperties": 1,
        "maxProperties": 1,
        "additionalProperties": value,
    }
    return {"type": "array", "items": {"anyOf": [_TEXT, one_key]}}


TEXT = Shape("text", _TEXT)
TEXT_OR_LIST = Shape("text or a list of texts", {"anyOf": [_TEXT, _SOME_TEXTS]})
COMMANDS = Shape("a command or a list of commands", {"anyOf": [_TEXT, _SOME_TEXTS]})
PATH = Shape("a path", _TEXT)
PATHS = Shape("a list of paths", _TEXTS)
OUTS = Shape("a list of paths, each alone or as `path: {cache: …}`", _text_or_one_key(_OPTIONS))
PARAMS = Shape(
    "a list of keys, or of `file: [keys]`, or of `file:` for a whole file",
    _text_or_one_key({"anyOf": [{"type": "null"}, _SOME_TEXTS]}),
)
WHOLE = Shape("a whole number", {"type": "integer"})
COUNT = Shape("a whole number, 0 or more", {"type": "integer", "minimum": 0})
NUMBER = Shape("a number", {"type": "number"})

TABLE: tuple[Key | Section, ...] = (
    Key("format", WHOLE, "the format of this file", FORMAT),
    Section(
        "datasets",
        "dataset",
        "data that comes from outside, tracked with `mlx add`",
        "reviews",
        (
            Key("path", PATH, "the file or folder", "data/reviews.csv", required=True),
            Key("desc", TEXT, "what it is", "customer reviews, one a line"),
            Key("source", TEXT, "where it came from", "https://example.org/reviews"),
            Key("key", TEXT_OR_LIST, "the column(s) that name a row", "review_id"),
        ),
    ),
    Section(
        "features",
        "feature set",
        "features that are computed from data",
        "review-features",
        (
            Key("path", PATH, "the file or folder", "features/reviews.parquet", required=True),
            Key("desc", TEXT, "what it is", "statistics of each review"),
            Key("entity", TEXT_OR_LIST, "the column(s) that say what a row is about", "review_id"),
            Key("time", TEXT, "the column that says since when a row is known", "written_at"),
        ),
    ),
    Section(
        "models",
        "model",
        "models; the model commands read the keys from eval on",
        "sentiment",
        (
            Key("path", PATH, "the file or folder", "models/sentiment.pkl", required=True),
            Key("desc", TEXT, "what it is", "is a review positive?"),
            Key("eval", PATH, "the data it is evaluated on", "data/holdout.csv"),
            Key("predict", TEXT, "the command that predicts with it", "python src/predict.py"),
            Key("promote", TEXT, "what has to hold before promotion", "auc >= champion.auc"),
            Key("approvals", COUNT, "how many people have to approve a promotion", 1),
            Key("tolerance", NUMBER, "how far metrics may be off when a run is verified", 0.001),
        ),
    ),
    Section(
        "stages",
        "stage",
        "commands; `mlx repro` runs those whose inputs changed",
        "train",
        (
            Key("cmd", COMMANDS, "the command(s), run by the shell", "python src/train.py", True),
            Key("desc", TEXT, "what it does", "trains the classifier"),
            Key(
                "wdir",
                PATH,
                "where the command runs; the paths stay as they are",
                ".",
            ),
            Key("deps", PATHS, "what it reads", ["src/train.py", "data/reviews.csv"]),
            Key(
                "params",
                PARAMS,
                "the values it reads, of params.yaml or other files",
                ["train.lr", {"config/model.toml": ["depth"]}, {"config/all.json": None}],
            ),
            Key(
                "outs",
                OUTS,
                "what it writes; in git only with `cache: false`",
                ["models/sentiment.pkl", {"train.log": {"cache": False}}],
            ),
            Key("metrics", OUTS, "the numbers it writes; in git", ["metrics.json"]),
            Key(
                "plots",
                OUTS,
                "the plots it writes; in git unless `cache: true`",
                [{"plots/roc.png": {"cache": True}}],
            ),
        ),
    ),
    Key("params", PATHS, "params files that no stage names", ["config/serving.yaml"]),
    Key("metrics", PATHS, "metrics files that no stage writes", ["reports/manual.json"]),
    Key("plots", PATHS, "plots that no stage writes", ["reports/costs.png"]),
)

# --- names --------------------------------------------------------------------------------------

# Names become parts of git refs, which may not hold `..` nor end in `.` or `.lock`.
NAME = (
    rf"^(?!(?:{'|'.join(RESERVED)})$)(?!.*\.\.)(?!.*\.(?:lock)?$)"
    r"[A-Za-z0-9_][A-Za-z0-9_.-]*$"
)


def check_name(name: str, noun: str, where: Where | None = None) -> str:
    """Return `name` if a stage or an artifact may be called so.

    Raises:
        InputError: saying which rule it breaks.
    """
    if re.fullmatch(NAME, name):
        return name
    if name in RESERVED:
        reason = f"{', '.join(RESERVED)} are prefixes of targets"
    elif name.endswith((".", ".lock")) or ".." in name:
        reason = "git refuses names that hold .. or end in . or .lock"
    else:
        reason = "names are made of A-Z a-z 0-9 _ - . and begin with a letter, a digit or _"
    raise InputError(f'"{name}" cannot be the name of a {noun}: {reason}', where=where)


# --- for editors ------------------------------------------------------------------------------


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
        return {"description": item.doc, **item.shape.schema}
    required = [key.name for key in item.keys if key.required]
    entry = {
        "type": "object",
        "properties": {key.name: _property(key) for key in item.keys},
        "required": required,
        "additionalProperties": False,
    }
    return {
        "description": item.doc,
        "type": ["object", "null"],
        "propertyNames": {"pattern": NAME},
        "additionalProperties": entry,
    }


# --- for people -------------------------------------------------------------------------------

_DOC_COLUMN = 40


def commented_example() -> str:
    """Return an mlx.yaml that says nothing and shows every key: what `mlx init` writes."""
    blocks = ["\n".join(f"# {line}" for line in _example(item)) for item in TABLE]
    return "\n\n".join([_HEADER, *blocks]) + "\n"


_HEADER = """\
# mlx.yaml: what this project declares. Below is an example of every section, with every key;
# remove the "# " before the lines that you need. Paths are relative to the folder of this file."""


def reference() -> str:
    """Return the page of documentation on mlx.yaml, in Markdown."""
    return "\n\n".join([_INTRODUCTION, *map(_chapter, TABLE)]) + "\n"


_INTRODUCTION = """\
# mlx.yaml

<!-- Written from src/mlxrepo/repo/schema.py; change it there. -->

`mlx.yaml` is what people declare: data, features, models, and the stages that turn one into the
next. It lies at the root of the repository; a folder below may have one of its own.

- All paths are relative to the folder of the `mlx.yaml` that names them, and stay inside the
  repository. `wdir` changes where a command runs, not what the paths mean.
- The file is YAML 1.2: `no` and `on` are text, `1e3` is a number, `012` is twelve. Tags are
  refused; anchors, aliases and merge keys (`<<`) work.
- It is strict: an unknown key, a wrong type or a key given twice is an error with its place.
- Names of stages and artifacts are made of `A-Z a-z 0-9 _ - .` and begin with a letter, a digit
  or `_`. The names of datasets, feature sets and models are unique together.
- `mlx schema` prints a JSON Schema for editors."""


_NOTES = {
    "stages": """\
- `cmd` is one command, or a list of commands that run one after the other until one fails. In a
  text of several lines (`|`) each line is a command; a line that ends in `\\` goes on in the next,
  and empty lines and lines with only a `# comment` are left out.
- `params` names keys of the `params.yaml` beside this file (`train.lr` is `lr` inside `train`),
  keys of another file (`config/model.toml: [depth]`), or a whole file (`config/all.json:`).
- `outs`, `metrics` and `plots` are all written by the stage. Outs are kept in the store and ignored
  by git; metrics and plots are files in git, and their bytes are stored too. `cache` changes that.
- A path is written by one stage, once, and no stage reads what it writes itself.""",
    "models": """\
All keys but `path` and `desc` are read by model commands; until then they are kept as they are.""",
    "params": """\
Params files that stages name need not be listed here.""",
}


def _chapter(item: Key | Section) -> str:
    parts = [f"## {item.name}", f"{item.doc[0].upper()}{item.doc[1:]}.", _fenced(item)]
    if item.name in _NOTES:
        parts.append(_NOTES[item.name])
    if isinstance(item, Section):
        rows = [f"| `{key.name}` | {key.shape.phrase} | {_told(key)} |" for key in item.keys]
        parts.append("\n".join(["| Key | Value | Meaning |", "|---|---|---|", *rows]))
    else:
        parts.append(f"The value is {item.shape.phrase}.")
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
        yield from _documented(key, 4)


def _documented(key: Key, indent: int) -> Iterator[str]:
    from mlxrepo.yamledit import render  # only documentation needs it

    first, *rest = render({key.name: key.example}, indent)
    yield _beside(first, key.doc)
    yield from rest


def _beside(line: str, doc: str) -> str:
    return f"{line:<{_DOC_COLUMN}}  # {doc}"
