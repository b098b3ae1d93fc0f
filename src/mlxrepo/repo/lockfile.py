"""mlx.lock: what mlx observed. The format, and why it merges, is in docs/formats.md.

A header line, then for each record a line with its name and a line with the record. The name line
never changes while the record does, so git sees neighbouring records as separate changes.
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


Record = DataRecord | StageRecord
Records = dict[str, Record]


# writing


def encode_lock(records: Mapping[str, Record]) -> bytes:
    """Return the text of a lockfile, records sorted by name."""
    lines = [canonical({"format": FORMAT, "oid": ALGORITHM})]
    for name in sorted(records):
        lines += [canonical(name), canonical(_to_json(records[name]))]
    return b"\n".join(lines) + b"\n"


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
    """Read a lockfile; records may come in any order.

    Raises:
        InputError: for conflict markers, a record given twice, a newer format, or a line that is
            not what it should be; always with its place.
    """
    lines = data.split(b"\n")
    if lines and lines[-1] == b"":
        lines.pop()
    _check_markers(lines, source)
    if not lines:
        return {}
    _check_header(lines[0].rstrip(b"\r"), source)
    records: Records = {}
    first_line: dict[str, int] = {}
    for number in range(1, len(lines), 2):
        name, record = _parse_pair(lines, number, source)
        if name in records:
            raise InputError(
                f"the record {name} is here twice (first on line {first_line[name]}): a merge of "
                "two branches that both changed it",
                hint="delete the two lines of the one that is wrong, then mlx status",
                where=Where(source, number + 1),
            )
        records[name] = record
        first_line[name] = number + 1
    return records


def _check_markers(lines: list[bytes], source: str) -> None:
    for number, line in enumerate(lines, 1):
        if line.startswith(_MARKERS) or line.rstrip(b"\r") == b"=======":
            raise InputError(
                "git left a merge conflict here",
                hint="keep one side of each conflict, whole records of two lines, then mlx status",
                where=Where(source, number),
            )


def _check_header(line: bytes, source: str) -> None:
    header = parse_json(line, source=source)
    found = header.get("format") if isinstance(header, dict) else None
    if not isinstance(found, int) or isinstance(found, bool):
        raise InputError("this is not an mlx.lock: it has no header", where=Where(source, 1))
    if found > FORMAT or header.get("oid") != ALGORITHM:
        raise InputError(
            f"format {found} with {header.get('oid')} is of a newer mlx; this one reads {FORMAT} "
            f"with {ALGORITHM}",
            hint="pip install --upgrade mlxrepo",
            where=Where(source, 1),
        )


def _parse_pair(lines: list[bytes], number: int, source: str) -> tuple[str, Record]:
    """Read the name on line `number + 1` and the record on the line after it."""
    name = parse_json(lines[number], source=source, line=number + 1)
    if not isinstance(name, str) or ":" not in name:
        raise InputError("the name of a record belongs here", where=Where(source, number + 1))
    if number + 1 >= len(lines):
        raise InputError(
            f"the file ends before the record of {name}: it was cut off",
            hint=f"git checkout -- {source}",
            where=Where(source, number + 1),
        )
    value = parse_json(lines[number + 1], source=source, line=number + 2)
    try:
        return name, _from_json(name, value)
    except (KeyError, TypeError, ValueError, MlxError) as error:
        why = error.message if isinstance(error, MlxError) else f"{error}"
        raise InputError(
            f"the record of {name} is not as mlx writes it: {why}",
            hint=f"git checkout -- {source}, or mlx repro / mlx add to record it anew",
            where=Where(source, number + 2),
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
        cmd=tuple(_expect(item, str) for item in value.get("cmd", [])),
        wdir=_wdir(value.get("wdir", "")),
        deps=tuple(Input(*_read_place(item, ())) for item in value.get("deps", [])),
        params=_expect(value.get("params", {}), dict),
        environment=_expect(value.get("environment", {}), dict),
        outs=tuple(_read_out(item) for item in value.get("outs", [])),
        metrics=_expect(value.get("metrics", {}), dict),
        state=value.get("state"),
    )


def _wdir(text: str) -> RepoPath:
    return check_path(text) if text else RepoPath("")


def _read_out(value: dict[str, Any]) -> Output:
    path, entry = _read_place(value, ("role", "cache"))
    role = value["role"]
    if role not in ("out", "metric", "plot"):
        raise ValueError(f"{role} is not a role")
    return Output(path, role, bool(value["cache"]), entry)


def _read_place(value: dict[str, Any], more: tuple[str, ...]) -> tuple[RepoPath, Entry]:
    rest = value.keys() - {"path", "kind", "oid", "size", "files", *more}
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
