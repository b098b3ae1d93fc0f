"""The action cache: what an action made before, under its key (docs/formats.md).

    actions/<key>/<result digest>

Several results of one key live side by side: training is not always deterministic. Entries are
canonical JSON named by their own digest, so they are never overwritten and a damaged one shows.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from mlxrepo.codec import canonical, parse_json
from mlxrepo.errors import MlxError
from mlxrepo.files import make_folder, write_atomic
from mlxrepo.hashing import RESULT_CONTEXT, Oid, keyed_oid
from mlxrepo.paths import check_path
from mlxrepo.repo.lockfile import Output
from mlxrepo.store.tree import Entry

FORMAT = 1


class Result(NamedTuple):
    """The outs and metrics of an action; `made` says by whom, where and at which commit.

    `accepted`, by whom and why, is set where no run made it: such a result is in no cache. `remote`
    is the name of the one that it was found on.
    """

    outs: tuple[Output, ...]
    metrics: Mapping[str, Mapping[str, Any]]
    made: Mapping[str, str] = {}  # never changed
    accepted: Mapping[str, str] | None = None
    remote: str = ""

    @property
    def content(self) -> frozenset[tuple[str, str, str]]:
        """Return what came out, whatever role it was declared to have."""
        return frozenset((out.path, out.entry.kind, out.entry.oid) for out in self.outs)


class ActionCache:
    """Results by action key, under one folder."""

    def __init__(self, root: str):
        self._root = root

    def put(self, key: Oid, action: Mapping[str, Any], result: Result) -> None:
        """Add a result; one with the same content is kept once."""
        if any(known.content == result.content for known in self.get(key)):
            return
        data = canonical(
            {
                "format": FORMAT,
                "action": action,
                "outs": [_from_output(out) for out in result.outs],
                "metrics": result.metrics,
                "made": result.made,
            }
        )
        folder = os.path.join(self._root, key)
        make_folder(folder, flush=False)
        # Not flushed: what a power cut leaves of it has not its name's digest, and is no result.
        place = os.path.join(folder, keyed_oid(RESULT_CONTEXT, data))
        write_atomic(place, data, mode=0o444, flush=False)

    def get(self, key: Oid) -> list[Result]:
        """Return the results of a key by digest; an entry of other bytes than its name is none."""
        folder = os.path.join(self._root, key)
        return [result for name in self._names(key) if (result := _read(folder, name))]

    def action(self, key: Oid) -> dict[str, Any] | None:
        """Return the action that a key was made of, as its entries tell it; None: there is none."""
        for name in self._names(key):
            entry = _load(os.path.join(self._root, key), name)
            if entry is not None:
                return dict(entry["action"])
        return None

    def entries(self, key: Oid) -> Iterator[tuple[str, bytes, Result]]:
        """Yield the name of each entry of a key, its bytes, and what they say."""
        for name in self._names(key):
            data = _bytes(os.path.join(self._root, key, name))
            value = load(data, name)
            result = result_of(value) if value else None
            if result is not None:
                yield name, data, result

    def _names(self, key: Oid) -> list[str]:
        try:
            return sorted(os.listdir(os.path.join(self._root, key)))
        except FileNotFoundError:
            return []


def _read(folder: str, name: str) -> Result | None:
    value = _load(folder, name)
    return result_of(value) if value else None


def result_of(value: Mapping[str, Any]) -> Result | None:
    """Return what an entry says came out; None when it does not say it as mlx writes it."""
    try:
        outs = tuple(_to_output(item) for item in value["outs"])
        return Result(outs, value["metrics"], value["made"])
    except (MlxError, KeyError, TypeError, ValueError, IndexError):
        return None


def _load(folder: str, name: str) -> dict[str, Any] | None:
    return load(_bytes(os.path.join(folder, name)), name)


def _bytes(path: str) -> bytes:
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except OSError:
        return b""


def load(data: bytes, name: str) -> dict[str, Any] | None:
    """Return what an entry called `name` holds; None: it is damaged, or of another format."""
    try:
        if keyed_oid(RESULT_CONTEXT, data) != name:
            return None
        value = parse_json(data, source=name)
        return value if value["format"] == FORMAT else None
    except (MlxError, KeyError, TypeError, ValueError):
        return None


def _from_output(out: Output) -> list[Any]:
    return [out.path, out.kind, out.cache, list(out.entry)]


def _to_output(item: list[Any]) -> Output:
    path, kind, cache, entry = item
    return Output(check_path(path), kind, cache, Entry(entry[0], Oid(entry[1]), *entry[2:]))
