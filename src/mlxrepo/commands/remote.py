"""mlx remote: which remotes there are, and whether one does what is asked of it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from mlxrepo.errors import InputError, MlxError
from mlxrepo.paths import RepoPath, display
from mlxrepo.repo.layout import PROJECT_FILE
from mlxrepo.repo.remotes import (
    GIT,
    RemoteSpec,
    check_new,
    chosen,
    default_name,
    is_local,
    named,
    opened,
    specs,
)
from mlxrepo.repo.repo import Repo
from mlxrepo.store.door import Door
from mlxrepo.store.remote import Remote

SAMPLE = 1 << 20  # bytes of the file that `test` sends


class Listed(NamedTuple):
    """A remote and whether it is the default one."""

    spec: RemoteSpec
    is_default: bool


def remotes(repo: Repo) -> list[Listed]:
    """Return every remote, by name."""
    known = specs(repo)
    default = default_name(repo, known)
    return [Listed(spec, name == default) for name, spec in known.items()]


def add_remote(repo: Repo, name: str, url: str, options: Mapping[str, str]) -> RemoteSpec:
    """Add a remote: to mlx.yaml, or to git's settings where only this machine can reach it.

    Raises:
        InputError: when there is one of that name, or the URL holds a secret.
    """
    check_new(name, {"url": url, **options})
    if "://" not in url:
        url = os.path.normpath(os.path.join(repo.cwd, os.path.expanduser(url)))
        _check_outside(repo, url)
    keys = {"url": url, **options}
    if name in specs(repo):
        raise InputError(f'there is a remote "{name}" already', hint=f"mlx remote rm {name}")
    if is_local(keys):
        for key, value in keys.items():
            repo.git.run("config", "--local", f"mlx.remote.{name}.{key}", value)
        return RemoteSpec(name, url, options, GIT)
    typed: dict[str, Callable[[str], bool | float]] = {
        "anonymous": lambda value: value == "true",
        "timeout": lambda value: int(value) if value.isdecimal() else float(value),
    }
    body = {key: typed.get(key, str)(value) for key, value in keys.items()}
    repo.update_project(RepoPath(PROJECT_FILE), lambda text: _with(text, name, body))
    return RemoteSpec(name, url, options, PROJECT_FILE)


def _check_outside(repo: Repo, path: str) -> None:
    """Check that a folder is no part of the worktree, nor of what git keeps.

    Raises:
        InputError: when it is: git would see every object, or a clone would lose its remote.
    """
    real = os.path.realpath(path)
    for top in map(os.path.realpath, (repo.root, repo.git_dir, repo.common_dir)):
        if real == top or real.startswith(f"{top}{os.sep}"):
            raise InputError(
                f"{display(path)} lies in this repository: that shares nothing",
                hint="a folder outside of it, or a URL such as s3://bucket/folder",
            )


def _with(text: str, name: str, body: dict[str, bool | float | str]) -> str:
    from mlxrepo.yamledit import set_entry

    return set_entry(text, "remotes", name, body, PROJECT_FILE)


def _without(text: str, name: str) -> str:
    from mlxrepo.yamledit import remove_entry

    return remove_entry(text, "remotes", name, PROJECT_FILE)


def remove_remote(repo: Repo, name: str) -> RemoteSpec:
    """Forget a remote, in mlx.yaml and in this repository's settings; what is on it stays.

    Raises:
        InputError: when there is none of that name.
    """
    spec = named(repo, name)
    section = f"mlx.remote.{spec.name}"
    repo.git.run("config", "--local", "--remove-section", section, accept=(0, 1, 128))
    if repo.settings.get("remote") == spec.name:
        repo.git.run("config", "--local", "--unset", "mlx.remote", accept=(0, 5))
    root = next((file for file in repo.declared.files if file.path == PROJECT_FILE), None)
    if root and any(remote.name == spec.name for remote in root.remotes):
        repo.update_project(RepoPath(PROJECT_FILE), lambda text: _without(text, spec.name))
    return spec


def default_remote(repo: Repo, name: str | None = None) -> RemoteSpec:
    """Return the default remote, after making it `name` in this clone's settings.

    Raises:
        InputError: when there is none of that name.
        CannotDecide: when there is no default.
    """
    spec = chosen(repo, name)
    if name is not None:
        repo.git.run("config", "--local", "mlx.remote", name)
    return spec


# does it work?


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was asked of a remote: whether it did it, how long it took, and why not.

    `size` is how many bytes went in that time, where that is all that took it.
    """

    what: str
    works: bool
    seconds: float
    why: str = ""
    size: int = 0


def try_remote(repo: Repo, name: str | None = None) -> tuple[RemoteSpec, list[Step]]:
    """Ask everything of a remote that mlx asks of one, in a folder of its own that then goes.

    Raises:
        InputError: when there is none of that name, or nothing here speaks its protocol.
    """
    spec = chosen(repo, name)
    remote = opened(repo, spec)
    door = remote.door
    path = f"tmp/test-{os.urandom(8).hex()}/sample"
    data = os.urandom(SAMPLE)
    questions: list[tuple[str, Callable[[], bool | str]]] = [
        ("list", lambda: door.files("indexes") is not None),
        ("be of a format that is known", lambda: remote.check_format() is not None),
        ("write", lambda: _write(door, path, data)),
        ("size", lambda: door.size(path) == SAMPLE),
        ("read", lambda: door.read(path) == data),
        ("read a range", lambda: door.read_range(path, 1000, 5000) == data[1000:5000]),
        (
            "find in a listing",
            lambda: path in [f.path for f in door.files(path.rpartition("/")[0])],
        ),
        ("say what is absent", lambda: door.size(path + ".absent") is None),
        ("write again", lambda: _write(door, path, data[::-1]) and door.read(path) == data[::-1]),
        ("delete", lambda: _delete(door, path)),
        ("check what arrives", lambda: _check(remote, path)),
    ]
    steps = []
    for what, ask in questions:
        step = _step(what, ask)
        steps.append(replace(step, size=SAMPLE) if what in ("write", "read") else step)
        if not steps[-1].works and what in ("list", "write"):
            break  # the others need it
    return spec, steps


def _step(what: str, ask: Callable[[], bool | str]) -> Step:
    began = time.monotonic()
    try:
        answer = ask()
        works, why = answer is not False, answer if isinstance(answer, str) else ""
    except MlxError as error:
        works, why = False, error.message
    except FileNotFoundError:
        works, why = False, "what was written is not there"
    return Step(what, works, time.monotonic() - began, why or ("" if works else "another answer"))


def _write(door: Door, path: str, data: bytes) -> bool:
    door.write(path, data)
    return True


def _check(remote: Remote, path: str) -> str:
    """Return what is to be said of it: both answers will do."""
    try:
        refuses = remote.check(path)
    finally:
        remote.door.delete(path)
    return "" if refuses else "no: what nothing else vouches for is read back"


def _delete(door: Door, path: str) -> bool:
    door.delete(path)
    return door.size(path) is None
