"""What an mlx.yaml declares, as values; nothing here reads or checks anything."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from mlxrepo.errors import Where
from mlxrepo.globs import is_glob
from mlxrepo.paths import RepoPath
from mlxrepo.repo.layout import PROJECT_FILE

KINDS = {"datasets": "data", "features": "feature", "models": "model"}
NOUNS = {"data": "dataset", "feature": "feature set", "model": "model"}

SIGN = "@"  # between the name of a foreach or matrix and that of one of its items

# Gives the bytes of a file that a template names; None when there is none.
Read = Callable[[RepoPath], bytes | None]


def fit_item(item: str) -> str:
    """Return an item as it stands in the name of its stage."""
    fit = re.sub(r"[^\w.+=,-]+|\.{2,}", "_", item)
    # Names become parts of git refs, which end neither so nor so.
    return re.sub(r"\.(lock)?$", r"_\1", fit)


class ParamRef(NamedTuple):
    """A value that a stage reads: `key` of `file`, or the whole file when `key` is None."""

    file: RepoPath
    key: str | None
    where: Where

    @property
    def glob(self) -> bool:
        """Say whether `key` is a pattern of keys, such as `train.*`."""
        return self.key is not None and is_glob(self.key)


class Dep(NamedTuple):
    """A path that a stage reads, or a pattern of paths."""

    path: RepoPath
    where: Where

    @property
    def glob(self) -> bool:
        """Say whether `path` is a pattern (`mlxrepo.globs`), such as `data/*.csv`."""
        return is_glob(self.path)


class Out(NamedTuple):
    """A path that a stage writes; `kind` is out, metric or plot; `cache`: git ignores it.

    `persist`: what is there before a run stays in place for the command to go on with.
    """

    path: RepoPath
    kind: str
    cache: bool
    where: Where
    persist: bool = False
    push: bool = True
    remote: str | None = None
    keys: tuple[tuple[str, Any], ...] = ()  # desc, type, labels, meta, how to plot: as given


class Resources(NamedTuple):
    """What a stage takes while it runs; `counters` by name, in units (bytes for `mem`).

    `gpus` is how many of the caller's devices it gets for itself.
    """

    counters: tuple[tuple[str, float], ...] = ()
    mutexes: tuple[str, ...] = ()
    gpus: int = 0


NOTHING = Resources()


class Stage(NamedTuple):
    """A declared command with what it reads and writes."""

    name: str
    file: RepoPath  # the mlx.yaml that declares it
    cmd: tuple[str, ...]
    wdir: RepoPath
    deps: tuple[Dep, ...]
    params: tuple[ParamRef, ...]
    outs: tuple[Out, ...]  # outs, metrics and plots together
    desc: str | None
    where: Where
    base: str = ""  # the name without `@item`, when the stage is one of a foreach or matrix
    shell: str | None = None  # the program that runs the commands; None: the user's $SHELL
    env: tuple[str, ...] = ()  # names of environment variables that are inputs
    frozen: bool = False
    always_changed: bool = False
    timeout: float | None = None  # seconds
    retries: int = 0
    resources: Resources = NOTHING
    meta: Any = None

    @property
    def address(self) -> str:
        """How the stage is named in the whole repository: `train`, or `sub/mlx.yaml:train`."""
        return self.name if self.file == PROJECT_FILE else f"{self.file}:{self.name}"

    @property
    def group(self) -> str:
        """The address of the foreach or matrix that the stage is one of; "" when it is alone."""
        if not self.base:
            return ""
        return self.base if self.file == PROJECT_FILE else f"{self.file}:{self.base}"


class Environment(NamedTuple):
    """What every stage of a file depends on besides its own inputs."""

    files: tuple[RepoPath, ...] = ()  # lock files such as uv.lock
    interpreter: bool = False  # the implementation and major.minor of the `python` on the PATH
    variables: tuple[str, ...] = ()


class Artifact(NamedTuple):
    """An entry of `datasets`, `features` or `models`; `kind` is data, feature or model."""

    kind: str
    name: str
    path: RepoPath
    desc: str | None
    keys: tuple[tuple[str, Any], ...]  # the other keys, as given
    where: Where


class DeclaredRemote(NamedTuple):
    """An entry of `remotes`, the keys as given."""

    name: str
    keys: tuple[tuple[str, Any], ...]
    where: Where


class Goal(NamedTuple):
    """An entry of `goals`: `better` is higher or lower, `file` None for a metric of any file."""

    name: str
    file: RepoPath | None
    better: str
    tolerance: float
    where: Where


class Drawn(NamedTuple):
    """An entry of the top-level `plots`: a path or a name, and the keys that say how it looks."""

    name: str
    keys: tuple[tuple[str, Any], ...]
    where: Where


class ProjectFile(NamedTuple):
    """All that one mlx.yaml declares.

    `read` are the files that its templates asked for, here or not: what it says depends on them.
    `plots` are the files that `drawn`, the entries of its plots, name.
    """

    path: RepoPath
    artifacts: tuple[Artifact, ...]
    stages: tuple[Stage, ...]
    params: tuple[RepoPath, ...]
    metrics: tuple[RepoPath, ...]
    plots: tuple[RepoPath, ...]
    environment: Environment | None = None
    read: tuple[RepoPath, ...] = ()
    drawn: tuple[Drawn, ...] = ()
    remotes: tuple[DeclaredRemote, ...] = ()
    goals: tuple[Goal, ...] = ()
