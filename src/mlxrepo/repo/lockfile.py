"""mlx.lock: what mlx observed. The format, and why it merges, is in docs/formats.md.

A header line, then for each record a blank line, a line with its name, and a line with the record.
The first two never change while the record does, so git sees neighbouring records as separate
changes, and a new record next to a changed one too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from mlxrepo.codec import canonical, parse_json
from mlxrepo.errors import InputError, MlxError, Where
from mlxrepo.hashing import ALGORITHM, Oid, is_oid
from mlxrepo.paths import RepoPath, check_path
from mlxrepo.store.tree import SIZE_MAX, Entry

FORMAT = 1
# In a stage record's state: a merge chose it, between two runs.
ACCEPTED, UNVERIFIED = "accepted", "unverified"  # keys of a state
UPGRADE = "pip install --upgrade mlxrepo"
KINDS = ("data", "feature", "model", "stage")
_MARKERS = (b"<<<<<<< ", b"||||||| ", b">>>>>>> ")


class DataRecord(NamedTuple):
    """An artifact added by hand: where it lies and which bytes it is."""

    path: RepoPath
    entry: Entry


class Input(NamedTuple):
    """A dependency as a stage read it."""

    path: RepoPath
    entry: Entry


class Output(NamedTuple):
    """An out as a stage left it; kind is out, metric or plot, `cache` false where git keeps it."""

    path: RepoPath
    kind: str
    cache: bool
    entry: Entry


class StageRecord(NamedTuple):
    """What follows from a stage's action: no time, host or run id.

    `params` maps file to key to encoded value ("" is the whole file); `metrics` maps file to name
    to number; `state` is set where the record is not the plain result of a run.
    """

    key: str
    cmd: tuple[str, ...]
    wdir: RepoPath
    deps: tuple[Input, ...]
    params: dict[str, dict[str, Any]]
    environment: dict[str, Any]
    outs: tuple[Output, ...]
    metrics: dict[str, dict[str, Any]]
    state: dict[str, Any] | None = None

    @property
    def accepted(self) -> dict[str, Any] | None:
        """Return `by` and `why` where somebody accepted it; None where it is what a run made."""
        found = (self.state or {}).get(ACCEPTED)
        return found if isinstance(found, dict) else None

    @property
    def is_unverified(self) -> bool:
        """Say whether a merge chose it between two runs."""
        return bool((self.state or {}).get(UNVERIFIED))


Line = tuple[int, bytes]  # its number, from 1
Record = DataRecord | StageRecord
Records = dict[str, Record]


# writing


def encode_lock(records: Mapping[str, Record]) -> bytes:
    """Return the text of a lockfile, records sorted by name."""
    lines = [canonical({"format": FORMAT, "oid": ALGORITHM})]
    for name in sorted(records):
        lines += [b"", *record_lines(name, records[name])]
    return b"\n".join(lines) + b"\n"


def record_lines(name: str, record: Record) -> list[bytes]:
    """Return the two lines of a record: its name, and what it says."""
    return [canonical(name), canonical(_to_json(record))]


def _to_json(record: Record) -> dict[str, Any]:
    if isinstance(record, DataRecord):
        return _place(record.path, record.entry)
    value: dict[str, Any] = {
        "key": record.key,
        "cmd": list(record.cmd),
        "wdir": record.wdir,
        "deps": [_place(dep.path, dep.entry) for dep in record.deps],
        "params": record.params,
        "environment": record.environment,
        "outs": [
            {**_place(out.path, out.entry), "role": out.kind, "cache": out.cache}
            for out in record.outs
        ],
        "metrics": record.metrics,
    }
    if record.state:
        value["state"] = record.state
    return {key: item for key, item in value.items() if item not in ({}, [], "")}


def _place(path: str, entry: Entry) -> dict[str, Any]:
    place: dict[str, Any] = {
        "path": path, "kind": entry.kind, "oid": entry.oid, "size": entry.size
    }  # fmt: skip
    if entry.kind == "tree":
        place["files"] = entry.files
    return place


# reading


def parse_lock(data: bytes, source: str) -> Records:
    """Read a lockfile; records may come in any order, with blank lines between them.

    Raises:
        InputError: for conflict markers, a record given twice, a newer format, or a line that is
            not what it should be; always with its place.
    """
    lines = [(number, line) for number, line in enumerate(data.split(b"\n"), 1) if line.strip()]
    _check_markers(lines, source)
    if not lines:
        raise InputError(
            "the file is empty: it was cut off", hint=_restore(source), where=Where(source, 1)
        )
    _check_header(lines[0], source)
    records: Records = {}
    first_line: dict[str, int] = {}
    for at in range(1, len(lines), 2):
        name, record = _parse_pair(lines[at : at + 2], source)
        number = lines[at][0]
        if name in records:
            raise InputError(
                f"the record {name} is here twice (first on line {first_line[name]}): a merge of "
                "two branches that both changed it",
                hint="mlx lock merge; or delete the two lines of the one that is wrong",
                where=Where(source, number),
            )
        records[name] = record
        first_line[name] = number
    return records


def _check_markers(lines: list[Line], source: str) -> None:
    for number, line in lines:
        if is_marker(line):
            raise InputError(
                "git left a merge conflict here",
                hint="mlx lock merge; or keep one side of each, whole records of two lines",
                where=Where(source, number),
            )


def is_marker(line: bytes) -> bool:
    """Say whether a line is one that git puts around the sides of a conflict."""
    return line.startswith(_MARKERS) or line.rstrip(b"\r") == b"======="


def _check_header(line: Line, source: str) -> None:
    header = _parse_line(line, source)
    found = header.get("format") if isinstance(header, dict) else None
    if not isinstance(found, int) or isinstance(found, bool):
        raise InputError(
            "this is not an mlx.lock: it has no header",
            hint=_restore(source),
            where=Where(source, line[0]),
        )
    if found != FORMAT or header.get("oid") != ALGORITHM:
        raise InputError(
            f"format {found} with {header.get('oid')} is of another mlx; this one reads {FORMAT} "
            f"with {ALGORITHM}",
            hint=UPGRADE,
            where=Where(source, line[0]),
        )


def _restore(source: str) -> str:
    return f"git checkout -- {source}; or delete it, and mlx repro and mlx add record it anew"


def _parse_line(line: Line, source: str) -> Any:
    try:
        return parse_json(line[1], source=source, line=line[0], finite=True)
    except InputError as error:
        raise InputError(error.message, hint=_restore(source), where=error.where) from None


def _parse_pair(pair: list[Line], source: str) -> tuple[str, Record]:
    """Read the line with a name and the line with its record."""
    name = _parse_line(pair[0], source)
    if not isinstance(name, str) or name.partition(":")[0] not in KINDS or name.endswith(":"):
        raise InputError(
            "the name of a record belongs here",
            hint=_restore(source),
            where=Where(source, pair[0][0]),
        )
    if len(pair) < 2:
        raise InputError(
            f"the file ends before the record of {name}: it was cut off",
            hint=_restore(source),
            where=Where(source, pair[0][0]),
        )
    value = _parse_line(pair[1], source)
    try:
        return name, _from_json(name, value)
    except (KeyError, TypeError, ValueError, AttributeError, MlxError) as error:
        why = error.message if isinstance(error, MlxError) else f"{error}"
        if isinstance(error, KeyError):
            why = f"it has no {error}"
        raise InputError(
            f"the record of {name} is not as mlx writes it: {why}",
            hint=_restore(source),
            where=Where(source, pair[1][0]),
        ) from None


def _from_json(name: str, value: Any) -> Record:
    if not isinstance(value, dict):
        raise ValueError("it is not an object")
    if not name.startswith("stage:"):
        return DataRecord(*_read_place(value, ()))
    rest = value.keys() - set(StageRecord._fields)
    if rest:
        raise ValueError(f"it has an unknown key {min(rest)}")
    return StageRecord(
        key=_oid(value["key"]),
        cmd=tuple(_expect(item, str) for item in _items(value, "cmd")),
        wdir=_wdir(_expect(value.get("wdir", ""), str)),
        deps=tuple(Input(*_read_place(item, ())) for item in _items(value, "deps")),
        params=_tables(value, "params"),
        environment=_expect(value.get("environment", {}), dict),
        outs=tuple(_read_out(item) for item in _items(value, "outs")),
        metrics=_metrics(value),
        state=_expect(value["state"], dict) if "state" in value else None,
    )


def _items(value: dict[str, Any], key: str) -> list[Any]:
    found: list[Any] = _expect(value.get(key, []), list)
    return found


def _tables(value: dict[str, Any], key: str) -> dict[str, dict[str, Any]]:
    """Read a map from file to a map."""
    found: dict[str, dict[str, Any]] = _expect(value.get(key, {}), dict)
    for table in found.values():
        _expect(table, dict)
    return found


def _metrics(value: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found = _tables(value, "metrics")
    for table in found.values():
        for name, number in table.items():
            wrapped = isinstance(number, dict) and number.keys() == {"$float"}
            if wrapped and number["$float"] not in ("nan", "inf", "-inf"):
                raise ValueError(f"the metric {name} is no number")
            if not wrapped and (isinstance(number, bool) or not isinstance(number, int | float)):
                raise ValueError(f"the metric {name} is no number")
    return found


def _wdir(text: str) -> RepoPath:
    return check_path(text) if text else RepoPath("")


def _read_out(value: dict[str, Any]) -> Output:
    path, entry = _read_place(value, ("role", "cache"))
    role = value["role"]
    if role not in ("out", "metric", "plot"):
        raise ValueError(f"{role} is not a role")
    return Output(path, role, _expect(value["cache"], bool), entry)


def _read_place(value: dict[str, Any], more: tuple[str, ...]) -> tuple[RepoPath, Entry]:
    rest = _expect(value, dict).keys() - {"path", "kind", "oid", "size", "files", *more}
    if rest:
        raise ValueError(f"it has an unknown key {min(rest)}")
    kind = value["kind"]
    if kind not in ("file", "exec", "tree"):
        raise ValueError(f"{kind} is not a kind")
    count = _number(value["files"]) if kind == "tree" else 1
    entry = Entry(kind, _oid(value["oid"]), _number(value["size"]), count)
    return check_path(_expect(value["path"], str)), entry


def _oid(text: Any) -> Oid:
    if not is_oid(text):
        raise ValueError("an oid is malformed")
    return Oid(text)


def _number(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < SIZE_MAX:
        raise ValueError("a size is not a whole number")
    return value


def _expect(value: Any, kind: Callable[..., Any]) -> Any:
    if not isinstance(value, kind):  # type: ignore[arg-type]
        raise ValueError(f"{value!r} is not what belongs there")
    return value
