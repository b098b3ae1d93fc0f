"""Targets: how the command line names a path, a stage, an artifact, a version. One parser for all.

    path | stage | stage@item | sub/mlx.yaml:stage | data:NAME | feature:NAME
    | model:NAME | model:NAME@VERSION | exp:NAME

A prefix decides; `./x` is always a path; otherwise a stage of that name comes before a path. The
name of a foreach or matrix means all its stages; `train@*` and `models/*.pkl` are patterns.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from shlex import quote
from typing import NamedTuple

from mlxrepo.errors import InputError
from mlxrepo.globs import is_glob, matches
from mlxrepo.nearest import nearest
from mlxrepo.paths import RepoPath, ancestors, display, from_user, is_inside
from mlxrepo.repo.declared import Declared
from mlxrepo.repo.layout import PROJECT_FILE
from mlxrepo.repo.observed import Observed, Tracked, counting
from mlxrepo.repo.stage import SIGN, fit_item

PREFIXES = ("data", "feature", "model", "exp")


class Target(NamedTuple):
    """A parsed target: kind is path, stage, data, feature, model or exp.

    `name` is a stage's address, a group's or a pattern of some (`named_stages` says which are
    meant), an artifact's name, or a RepoPath; `version` what follows an `@` of a model.
    """

    kind: str
    name: str
    version: str = ""


class Place(NamedTuple):
    """Where the words of a target are looked up: the worktree's root and the user's folder."""

    root: str
    cwd: str

    def word(self, path: str) -> str:
        """Return a repository path as the user would type it where they stand, for a shell."""
        typed = os.path.relpath(os.path.join(self.root, path), self.cwd)
        return quote(display(f"./{typed}" if typed.startswith(("-", "~")) else typed))


def parse_target(text: str, place: Place, stages: Iterable[str]) -> Target:
    """Read one target as typed.

    Raises:
        InputError: when it is empty or a path outside the repository.
    """
    prefix, colon, rest = text.partition(":")
    if colon and prefix in PREFIXES:
        name, _, version = rest.partition("@")
        if not name:
            raise InputError(f'"{display(text)}" names no {prefix}')
        return Target(prefix, name, version)
    if colon and (prefix == PROJECT_FILE or prefix.endswith("/" + PROJECT_FILE)):
        file = from_user(prefix, place.root, place.cwd)
        return Target("stage", rest if file == PROJECT_FILE else f"{file}:{rest}")
    if not text:
        raise InputError("a target cannot be empty")
    if named_stages(text, stages):
        return Target("stage", text)
    return Target("path", from_user(text, place.root, place.cwd))


def named_stages(name: str, addresses: Iterable[str]) -> list[str]:
    """Return the addresses that a name means: a stage's, those of a group, or of a pattern.

    An item counts as it was written in mlx.yaml too: `train@a/b` is the stage `train@a_b`.
    """
    known = dict.fromkeys(addresses)
    if name in known:
        return [name]
    group, made, item = name.rpartition(SIGN)
    if made and (fit := f"{group}{SIGN}{fit_item(item)}") in known:
        return [fit]
    grouped = [address for address in known if group_of(address) == name]
    if grouped or not is_glob(name):
        return grouped
    return [a for a in known if (":" in a) == (":" in name) and matches(a, name)]


def group_of(address: str) -> str | None:
    """Return the address of the foreach or matrix that a stage is one of, or None."""
    file, colon, name = address.rpartition(":")
    group, made, _ = name.partition(SIGN)
    return f"{file}{colon}{group}" if made else None


def resolve_tracked(
    texts: Iterable[str], place: Place, declared: Callable[[], Declared], observed: Observed
) -> list[tuple[Tracked, RepoPath]]:
    """Return the recorded paths that targets mean, each with the path inside it that was asked for.

    No target means everything, and asks nothing of `declared`. A folder above tracked paths means
    all of them; a path inside another that is meant too is not repeated.

    Raises:
        InputError: when a target means nothing that is recorded.
    """
    tracked = counting(
        list(observed.tracked()), lambda: declared().stages.keys() | declared().artifacts.keys()
    )
    texts = list(texts)
    if not texts:
        return [(item, item.path) for item in tracked]
    found: list[tuple[Tracked, RepoPath]] = []
    stages = observed.stages().keys() | declared().stages.keys()
    for text in texts:
        target = parse_target(text, place, stages)
        _refuse_version(text, target)
        matches = _matches(target, tracked, declared())
        if not matches:
            raise not_recorded(text, target, place, tracked, declared())
        found += [match for match in matches if match not in found]
    paths = {path for _, path in found}
    return [(item, path) for item, path in found if paths.isdisjoint(ancestors(path))]


def _refuse_version(text: str, target: Target) -> None:
    if target.version:
        raise InputError(
            f'"{display(text)}" names a version, and this mlx keeps none',
            hint=f"{target.kind}:{target.name}, with --rev where a command has it",
        )


def _matches(
    target: Target, tracked: list[Tracked], declared: Declared
) -> list[tuple[Tracked, RepoPath]]:
    path = RepoPath(target.name)
    if target.kind == "stage":
        made = [item for item in tracked if item.role in ("out", "metric", "plot")]
        meant = set(named_stages(target.name, (item.address for item in made)))
        return [(item, item.path) for item in made if item.address in meant]
    if target.kind != "path":
        address = f"{target.kind}:{target.name}"
        named = [(item, item.path) for item in tracked if item.address == address]
        if named or address not in declared.artifacts:
            return named
        path = declared.artifacts[address].path
    inside = [(item, path) for item in tracked if is_inside(path, item.path)]
    below = [(item, item.path) for item in tracked if is_inside(item.path, path)]
    if not inside and not below and is_glob(path):
        return [(item, item.path) for item in tracked if matches(item.path, path)]
    return inside[:1] or below


def not_recorded(
    text: str, target: Target, place: Place, tracked: list[Tracked], declared: Declared
) -> InputError:
    """Return the error for a target that means nothing recorded, with the nearest that does."""
    error = f'nothing is recorded for "{display(text)}"'
    if target.kind != "path":
        known = [item.address for item in tracked] + list(declared.artifacts)
        near = nearest(text, sorted(set(known)))
        return InputError(error, hint=f"did you mean {near}?" if near else "mlx status")
    paths = {str(item.path): place.word(item.path) for item in tracked}
    words = {**{address: quote(address) for address in declared.stages}, **paths}
    if place.cwd != place.root and any(is_inside(text, item.path) for item in tracked):
        return InputError(error, hint=f"did you mean {place.word(text)}?")  # typed from the root
    near = nearest(target.name, sorted(words))
    if near:
        return InputError(error, hint=f"did you mean {words[near]}?")
    verb = "mlx repro" if declared.maker(target.name) else "mlx add"
    return InputError(error, hint=f"{verb} {place.word(target.name)}")


def resolve_stages(texts: Iterable[str], place: Place, declared: Declared) -> list[str]:
    """Return the addresses of the stages that targets mean; a path means the stages that make it.

    Raises:
        InputError: when a target is no stage and nothing that a stage makes.
    """
    found: list[str] = []
    for text in texts:
        target = parse_target(text, place, declared.stages)
        _refuse_version(text, target)
        addresses = _stages(target, declared)
        if not addresses:
            raise _no_stage(text, declared)
        found += [address for address in addresses if address not in found]
    return found


def _stages(target: Target, declared: Declared) -> list[str]:
    if target.kind == "stage":
        return named_stages(target.name, declared.stages)
    if target.kind == "path":
        path = target.name
    else:
        artifact = declared.artifacts.get(f"{target.kind}:{target.name}")
        if artifact is None:
            return []
        path = artifact.path
    maker = declared.maker(path)
    if maker:
        return [maker.address]
    below = [stage.address for out, (stage, _) in declared.outs.items() if is_inside(out, path)]
    if below or not is_glob(path):
        return below
    return [stage.address for out, (stage, _) in declared.outs.items() if matches(out, path)]


def _no_stage(text: str, declared: Declared) -> InputError:
    near = nearest(text, declared.stages)
    if near:
        hint = f"did you mean {near}?"
    elif declared.stages:
        hint = "stages here: " + ", ".join(sorted(declared.stages)[:10])
    else:
        hint = f"declare a stage in {PROJECT_FILE} first"
    return InputError(f'"{display(text)}" is no stage, and no stage makes it', hint=hint)
