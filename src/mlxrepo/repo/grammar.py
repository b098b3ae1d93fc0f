"""Every key of mlx.yaml in one table: what validation, the JSON Schema and the docs are made of."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from mlxrepo.errors import InputError, Where

FORMAT = 1
RESERVED = ("data", "feature", "model", "exp")


class Shape(NamedTuple):
    """What a value may be: in words, and as JSON Schema (draft-07), which validation interprets."""

    phrase: str
    schema: dict[str, Any]


class Key(NamedTuple):
    """A key with a value of its own; the example that `mlx init` writes shows `common` ones."""

    name: str
    shape: Shape
    doc: str
    example: Any
    required: bool = False
    common: bool = True


class Section(NamedTuple):
    """A top-level key that holds named entries, each with the same keys."""

    name: str
    noun: str
    doc: str
    entry: str
    keys: tuple[Key, ...]


# --- shapes -------------------------------------------------------------------------------------

_TEXT: dict[str, Any] = {"type": "string"}
_FLAG: dict[str, Any] = {"type": "boolean"}
_TEXTS: dict[str, Any] = {"type": "array", "items": _TEXT}
_SOME_TEXTS = {**_TEXTS, "minItems": 1}
_ANYTHING: dict[str, Any] = {}
_NAMES = {"type": "array", "items": {"type": "string", "pattern": r"^[A-Za-z_][A-Za-z0-9_]*$"}}
_COUNT = {"type": "integer", "minimum": 0}
_AMOUNT = {"type": "number", "minimum": 0}
SIZE_PATTERN = r"^\d+(\.\d+)? ?([kKMGT]i?)?B?$"
TIME_PATTERN = r"^\d+(\.\d+)? ?[smhd]$"


def _strict(properties: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "additionalProperties": False, **more}


def _text_or_map(value: dict[str, Any]) -> dict[str, Any]:
    named = {"type": "object", "minProperties": 1, "additionalProperties": value}
    return {"type": "array", "items": {"anyOf": [_TEXT, named]}}


_ABOUT = {"desc": _TEXT, "type": _TEXT, "labels": _TEXTS, "meta": _ANYTHING}
_KEEPING = {"cache": _FLAG, "persist": _FLAG, "push": _FLAG, "remote": _TEXT}
_COLUMNS = {"anyOf": [_TEXT, _SOME_TEXTS]}
_BY_FILE = {"type": "object", "minProperties": 1, "additionalProperties": _COLUMNS}
_DRAWING = {
    "x": {"anyOf": [_TEXT, {"type": "object", "minProperties": 1, "additionalProperties": _TEXT}]},
    "y": {"anyOf": [_TEXT, _SOME_TEXTS, _BY_FILE]},
    "x_label": _TEXT,
    "y_label": _TEXT,
    "title": _TEXT,
    "template": _TEXT,
    "header": _FLAG,
}
_RESOURCES = {
    "type": "object",
    "properties": {
        "mem": {"anyOf": [_AMOUNT, {"type": "string", "pattern": SIZE_PATTERN}]},
        "gpu": _COUNT,
        "mutex": {"anyOf": [_TEXT, _SOME_TEXTS]},
    },
    "additionalProperties": _AMOUNT,
}

TEXT = Shape("text", _TEXT)
TEXT_OR_LIST = Shape("text or a list of texts", {"anyOf": [_TEXT, _SOME_TEXTS]})
COMMANDS = Shape("a command or a list of commands", {"anyOf": [_TEXT, _SOME_TEXTS]})
PATH = Shape("a path", _TEXT)
PATHS = Shape("a list of paths", _TEXTS)
OUTS = Shape(
    "a list of paths, each alone or as `path: {cache: …}`",
    _text_or_map(_strict({**_KEEPING, **_ABOUT})),
)
PLOTS = Shape(
    "a list of paths, each alone or as `path: {cache: …, x: …}`",
    _text_or_map(_strict({**_KEEPING, **_ABOUT, **_DRAWING})),
)
DRAWN = Shape(
    "a list of paths, or of `name: {x: …, y: {path: column}}`",
    _text_or_map({"anyOf": [{"type": "null"}, _strict(_DRAWING)]}),
)
PARAMS = Shape(
    "a list of keys, or of `file: [keys]`, or of `file:` for a whole file",
    _text_or_map({"anyOf": [{"type": "null"}, _SOME_TEXTS]}),
)
WHOLE = Shape("a whole number", {"type": "integer"})
COUNT = Shape("a whole number, 0 or more", _COUNT)
NUMBER = Shape("a number", {"type": "number"})
FLAG = Shape("true or false", _FLAG)
NAMES = Shape("a list of names of variables", _NAMES)
TIME = Shape(
    "a number of seconds, or `90s`, `10m`, `2h`, `1d`",
    {"anyOf": [_AMOUNT, {"type": "string", "pattern": TIME_PATTERN}]},
)
ANYTHING = Shape("anything", _ANYTHING)
RESOURCES = Shape("a map: `mem: 8GB`, `gpu: 1`, `mutex: [names]`, other names: numbers", _RESOURCES)
VARS = Shape(
    "a list of maps, of files, and of `file:key,key`",
    {"type": "array", "items": {"anyOf": [_TEXT, {"type": "object"}]}},
)
ITEMS = Shape("a list or a map", {"anyOf": [{"type": "array", "minItems": 1}, {"type": "object"}]})
AXES = Shape(
    "a map of lists",
    {
        "type": "object",
        "minProperties": 1,
        "additionalProperties": {"type": "array", "minItems": 1},
    },
)
_GOAL = {
    "better": {"type": "string", "pattern": "^(higher|lower)$"},
    "tolerance": _AMOUNT,
}
GOALS = Shape(
    "a map of metrics, each with `better: higher` or `lower`, and a `tolerance`",
    {"type": "object", "additionalProperties": _strict(_GOAL, required=["better"])},
)
BODY = Shape("the keys of a stage", {"type": "object"})
ENVIRONMENT = Shape(
    "a map of `files`, `interpreter` and `variables`",
    _strict(
        {
            "files": _TEXTS,
            "interpreter": {"type": "string", "pattern": "^python$"},
            "variables": _NAMES,
        }
    ),
)

# --- the table ----------------------------------------------------------------------------------

_STAGE = (
    Key("cmd", COMMANDS, "the command(s), run by the shell", "python src/train.py", True),
    Key("desc", TEXT, "what it does", "trains the classifier"),
    Key("wdir", PATH, "where the command runs; the paths stay as they are", "."),
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
        PLOTS,
        "the plots it writes; in git unless `cache: true`",
        [{"plots/roc.png": {"cache": True}}],
    ),
    Key("env", NAMES, "the environment variables that are inputs", ["CUDA_VERSION"], common=False),
    Key(
        "resources",
        RESOURCES,
        "what it takes while it runs",
        {"mem": "8GB", "gpu": 1, "mutex": ["database"]},
        common=False,
    ),
    Key("timeout", TIME, "stop it after so long; it has failed then", "2h", common=False),
    Key("retries", COUNT, "how often to try again after a failure", 2, common=False),
    Key("shell", TEXT, "the shell instead of yours; its name is an input", "bash", common=False),
    Key("frozen", FLAG, "taken as up to date, whatever changed", True, common=False),
    Key("always_changed", FLAG, "runs each time", True, common=False),
    Key("meta", ANYTHING, "whatever you like; mlx keeps it", {"owner": "ana"}, common=False),
    Key("vars", VARS, "values for `${…}` in this stage", [{"depth": 8}], common=False),
    Key("foreach", ITEMS, "makes one stage of `do` for each item", ["us", "eu"], common=False),
    Key("do", BODY, "the stage that each item of `foreach` becomes", None, common=False),
    Key("matrix", AXES, "makes one stage for each combination", {"seed": [1, 2]}, common=False),
)

TABLE: tuple[Key | Section, ...] = (
    Key("format", WHOLE, "the format of this file", FORMAT),
    Key("vars", VARS, "values for `${…}`, beside those of params.yaml", [{"region": "eu"}]),
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
            Key(
                "key",
                TEXT_OR_LIST,
                "the column(s) that name a row, if not entity and time",
                ["review_id", "written_at"],
                common=False,
            ),
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
        "stages", "stage", "commands; `mlx repro` runs those whose inputs changed", "train", _STAGE
    ),
    Section(
        "remotes",
        "remote",
        "where `mlx push` and `mlx pull` share the data",
        "origin",
        (
            Key("url", TEXT, "where it is", "s3://bucket/project", required=True),
            Key("endpoint", TEXT, "the server, when it is not the usual", "https://s3.example.org"),
            Key("region", TEXT, "the region of the server", "eu-central-1"),
            Key("profile", TEXT, "the profile of your credentials", "research", common=False),
            Key("anonymous", FLAG, "ask without credentials", True, common=False),
            Key("timeout", NUMBER, "seconds to wait for each answer", 30, common=False),
            Key("default", FLAG, "taken when no remote is named", True, common=False),
        ),
    ),
    Key("params", PATHS, "params files that no stage names", ["config/serving.yaml"]),
    Key("metrics", PATHS, "metrics files that no stage writes", ["reports/manual.json"]),
    Key(
        "goals",
        GOALS,
        "which way metrics get better, and what change is noise",
        {"auc": {"better": "higher", "tolerance": 0.002}},
    ),
    Key("plots", DRAWN, "plots that no stage writes, and how plots look", ["reports/costs.png"]),
    Key("shell", TEXT, "the shell of every stage, instead of yours", "bash"),
    Key(
        "environment",
        ENVIRONMENT,
        "what every stage depends on besides its inputs",
        {"files": ["uv.lock"], "interpreter": "python", "variables": ["CUDA_VERSION"]},
    ),
)

# The sections with named entries.
ENTRIES = tuple(item.name for item in TABLE if isinstance(item, Section))

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
    elif "${" in name:
        reason = "${…} is not filled in in names; foreach and matrix make names"
    else:
        reason = "names are made of A-Z a-z 0-9 _ - . and begin with a letter, a digit or _"
    raise InputError(f'"{name}" cannot be the name of a {noun}: {reason}', where=where)
