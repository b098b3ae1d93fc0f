"""Results of stages that others made, on a remote: which of them are believed, and why not others.

An entry counts when its bytes are what its name says, the action in it has the key under which it
lies, its outs are those of the stage and as large as it says, and `mlx.trust` names who made it.
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from mlxrepo.codec import canonical
from mlxrepo.errors import InputError
from mlxrepo.hashing import ACTION_CONTEXT, Oid, is_oid, keyed_oid
from mlxrepo.paths import display
from mlxrepo.pipeline.action import Action
from mlxrepo.pipeline.actioncache import Result, load, result_of
from mlxrepo.pipeline.supply import Supply
from mlxrepo.repo.repo import Repo
from mlxrepo.store.remoteactions import RemoteActions
from mlxrepo.store.tree import SIZE_MAX, Entry


class Found(NamedTuple):
    """The results of a key that are believed, by digest, and a line about each that is not."""

    results: tuple[Result, ...]
    notes: tuple[str, ...]


class RemoteResults:
    """The results on the chosen remote of a supply; each key is asked for once."""

    def __init__(self, repo: Repo, supply: Supply):
        self._supply = supply
        self._remote = supply.remote
        self._actions = RemoteActions(supply.remote)
        self._trust = trusted(repo)
        self._found: dict[Oid, Found] = {}

    def of(self, action: Action) -> Found:
        """Return what came out of an action elsewhere.

        Raises:
            EnvironmentFailed: when the remote cannot be asked.
        """
        known = self._found.get(action.key)
        if known is None:
            known = self._found[action.key] = self._ask(action)
        return known

    def _ask(self, action: Action) -> Found:
        results, notes, good = [], [], []
        for name, data in self._actions.read(action.key):
            value = load(data, name)
            result = result_of(value) if value else None
            which = f"a result on the remote {self._remote.name}"
            bad = f"{which} is damaged, and not taken: actions/{action.key}/{name}"
            if value is None or result is None or not _is_of(value, result, action):
                notes.append(bad)
            elif not self._trust.allows(result.made):
                good.append(f"{action.key}/{name}")
                notes.append(f"{which} is by {who(result.made)}, whom mlx.trust does not name")
            elif not all(self._supply.is_counted_right(o.entry, o.path) for o in result.outs):
                notes.append(bad)
            else:
                good.append(f"{action.key}/{name}")
                results.append(result._replace(remote=self._remote.name))
        self._actions.note(good)
        return Found(tuple(results), tuple(notes))


def _is_of(value: Mapping[str, Any], result: Result, action: Action) -> bool:
    """Say whether an entry is one of an action: it says so itself, in every part."""
    try:
        key = keyed_oid(ACTION_CONTEXT, canonical(value["action"]))
        metrics_fit = all(isinstance(table, dict) for table in result.metrics.values())
    except (KeyError, TypeError, ValueError, AttributeError):
        return False
    made_fits = isinstance(result.made, dict) and all(map(_is_text, result.made.values()))
    outs = sorted(out.path for out in result.outs)
    declared = sorted(out.path for out in action.stage.outs)
    sound = all(_is_sound(out.entry) for out in result.outs)
    return key == action.key and outs == declared and sound and metrics_fit and made_fits


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_sound(entry: Entry) -> bool:
    counts = (entry.size, entry.files)
    whole = all(type(count) is int and 0 <= count < SIZE_MAX for count in counts)
    return entry.kind in ("file", "exec", "tree") and is_oid(entry.oid) and whole


def who(made: Mapping[str, str]) -> str:
    """Say who made a result and where, in words."""
    by, host = display(made.get("by") or "somebody"), display(made.get("host") or "")
    return f"{by} on {host}" if host else by


def taken(result: Result) -> str:
    """Say that a result was taken from a remote, and who made it, where and at which commit."""
    commit = result.made.get("commit", "")
    at = f" at commit {display(commit[:12])}" if commit else ""
    return f"taken from the remote {result.remote}: made by {who(result.made)}{at}"


class Trust(NamedTuple):
    """Whose results are taken: patterns for an email or a host; None: everybody's."""

    patterns: tuple[str, ...] | None

    def allows(self, made: Mapping[str, str]) -> bool:
        """Say whether results of a maker are taken."""
        if self.patterns is None:
            return True
        names = [made.get(part, "").lower() for part in ("by", "host")]
        return any(name and fnmatchcase(name, p) for name in names for p in self.patterns)


def trusted(repo: Repo) -> Trust:
    """Return what the setting mlx.trust says: given once or often, with commas or without.

    Raises:
        InputError: when it is set, and names nobody.
    """
    if not repo.settings.get("trust") and "trust" not in repo.settings.names():
        return Trust(None)
    _, out = repo.git.run("config", "--get-all", "mlx.trust", accept=(0, 1))
    words = out.decode("utf-8", "replace").replace(",", " ").split()
    if not words:
        raise InputError(
            "the setting mlx.trust names nobody",
            hint="git config mlx.trust '*@example.com'; unset, everybody's results are taken",
        )
    return Trust(tuple(word.lower() for word in words))
