"""mlx.lock as text that reads well line by line: what `git diff` shows of it (git's textconv).

git calls it for each version that it shows, so it is answered before click is loaded. It says
something of any bytes: a lockfile with the marks of a conflict in it is when a diff is wanted most.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from typing import Any

from mlxrepo.cli import units
from mlxrepo.paths import display

_NOUNS = {"data": "dataset", "feature": "feature set", "model": "model", "stage": "stage"}
_USUAL = b'{"format":1,"oid":"blake3"}'
_MARKS = (b"<<<<<<< ", b"||||||| ", b"=======", b">>>>>>> ")
_SHOWN = 12  # digits of an oid
_PLACE = {"path", "kind", "oid", "size", "files", "role", "cache"}
_WORDS = {"out": "wrote", "metric": "measured", "plot": "plotted"}


def print_text(path: str) -> int:
    """Print the lockfile at `path` (any file system path) as text; return 0, whatever it holds."""
    try:
        with open(path, "rb") as stream:
            text = lock_text(stream.read())
    except OSError as error:
        text = f"(cannot be read: {error.strerror})\n"
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace"))
        sys.stdout.flush()
    except OSError:  # git has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return 0


def lock_text(data: bytes) -> str:
    """Return a lockfile as text, one fact a line; lines that are no record stay as they are."""
    blocks = list(_blocks(data))
    if not any(line.startswith(_MARKS) for line in data.split(b"\n")):
        blocks.sort()  # a merge may have left the records in any order
    return "".join(line + "\n" for block in blocks for line in block)


def _blocks(data: bytes) -> Iterator[list[str]]:
    lines = [line for line in data.split(b"\n") if line.strip()]
    at = 0
    while at < len(lines):
        pair = lines[at : at + 2]
        block = _record(*pair) if len(pair) == 2 else None
        if block is None and pair[0] != _USUAL:
            block = [_plain(pair[0])]
        if block:
            yield block
        at += 2 if block and len(block) > 1 else 1


def _plain(line: bytes) -> str:
    return display(line.decode("utf-8", "surrogateescape"))


def _record(name: bytes, line: bytes) -> list[str] | None:
    """Return a record as lines, its heading first; None for what is not as mlx writes it."""
    try:
        kind, _, rest = json.loads(name).partition(":")
        value = json.loads(line)
        facts = _stage(value) if kind == "stage" else _artifact(value)
        return [f"{_NOUNS[kind]} {display(rest)}", *(f"  {fact}" for fact in facts)]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _artifact(value: dict[str, Any]) -> Iterator[str]:
    yield f"at {_place(value)}"
    yield from _others(value, _PLACE)


def _stage(value: dict[str, Any]) -> Iterator[str]:
    for command in value.get("cmd", ()):
        yield f"ran {display(command)}"
    if value.get("wdir"):
        yield f"in the folder {display(value['wdir'])}"
    for dep in sorted(value.get("deps", ()), key=_path):
        yield f"read {_place(dep)}"
    for file, params in sorted(value.get("params", {}).items()):
        yield from (
            f"param {display(file)} {display(key) + ' ' if key else ''}= {value_text(found)}"
            for key, found in sorted(params.items())
        )
    for key, found in sorted(value.get("environment", {}).items()):
        yield f"environment {display(key)} = {value_text(found)}"
    for out in sorted(value.get("outs", ()), key=_path):
        yield f"{_WORDS[out['role']]} {_place(out)}"
    for file, metrics in sorted(value.get("metrics", {}).items()):
        yield from (
            f"metric {display(file)} {display(key)} = {value_text(found)}"
            for key, found in sorted(metrics.items())
        )
    for key, found in sorted((value.get("state") or {}).items()):
        yield f"{display(key)}: {_state(found)}"
    known = {"cmd", "wdir", "deps", "params", "environment", "outs", "metrics", "state"}
    # The key last: a reader gains nothing from it, but it is there when nothing else differs.
    yield from _others(value, known)


def _others(value: dict[str, Any], known: set[str]) -> Iterator[str]:
    for key in sorted(value.keys() - known):
        found = value[key]
        yield f"action {found[:_SHOWN]}" if key == "key" else f"{display(key)} {value_text(found)}"


def _path(place: dict[str, Any]) -> str:
    path: str = place["path"]
    return path


def _place(place: dict[str, Any]) -> str:
    folder = place["kind"] == "tree"
    parts = [units.count(place["files"], "file")] if folder else []
    parts.append(units.size(place["size"]))
    if place["kind"] == "exec":
        parts.append("executable")
    return f"{display(place['path'])}: {', '.join(parts)} ({place['oid'][:_SHOWN]})"


def _state(value: Any) -> str:
    if isinstance(value, dict) and value.keys() == {"by", "why"}:
        return f"by {display(str(value['by']))}: {display(str(value['why']))}"
    return value_text(value)


def value_text(value: Any) -> str:
    """Return a value, as a lockfile has it, as people write it."""
    if isinstance(value, dict) and len(value) == 1:
        ((key, inner),) = value.items()
        if key == "$yaml":
            return f"{value_text(inner['1.2'])} (read by YAML 1.1 as {value_text(inner['1.1'])})"
        if key in ("$float", "$time"):
            return str(inner)
    return display(json.dumps(value, sort_keys=True, ensure_ascii=False))
