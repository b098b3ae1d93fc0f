"""The declared environment of a stage, as it goes into the action key.

Values of variables never leave this module: what is written anywhere is a digest. A digest of a
short secret can be guessed, so a secret is no input (docs/mlx-yaml.md).
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
from collections.abc import Callable, Mapping
from typing import Any

from mlxrepo.codec import canonical, parse_json
from mlxrepo.errors import InputError, MlxError
from mlxrepo.files import make_folder, write_atomic
from mlxrepo.hashing import VARIABLE_CONTEXT, keyed_oid
from mlxrepo.paths import RepoPath, display
from mlxrepo.repo.stage import Environment, Stage
from mlxrepo.store.tree import Entry

INTERPRETERS = "interpreters.json"  # in the worktree's folder
FORMAT = 1
_ASK = "import sys; print(sys.implementation.name, '%d.%d' % sys.version_info[:2])"


def digests(
    stage: Stage,
    declared: Environment | None,
    entry: Callable[[RepoPath], Entry | None],
    interpreter: Callable[[], str | None],
    environ: Mapping[str, str] = os.environ,
) -> dict[str, Any]:
    """Return what a stage depends on besides its deps and params; parts not declared are left out.

    `files` maps a path to an oid, `variables` a name to a digest (null: not set), `interpreter` is
    such as "cpython 3.11", `shell` the one that mlx.yaml names.

    Raises:
        InputError: when a declared file is not here.
    """
    found: dict[str, Any] = {}
    names = {*stage.env, *(declared.variables if declared else ())}
    if names:
        found["variables"] = {name: _digest(name, environ.get(name)) for name in sorted(names)}
    if stage.shell is not None:
        found["shell"] = stage.shell
    if declared is not None and declared.files:
        found["files"] = {path: _oid(stage, path, entry) for path in declared.files}
    if declared is not None and declared.interpreter:
        found["interpreter"] = interpreter()
    return found


def _digest(name: str, value: str | None) -> str | None:
    if value is None:
        return None
    # With the name, so that equal values of two variables do not show.
    return keyed_oid(VARIABLE_CONTEXT, os.fsencode(f"{name}={value}"))


def _oid(stage: Stage, path: RepoPath, entry: Callable[[RepoPath], Entry | None]) -> str:
    found = entry(path)
    if found is None:
        raise InputError(
            f'"{display(path)}", which {stage.file} lists under environment, is not here',
            hint="create it, or take it out of environment.files",
            where=stage.where,
        )
    return found.oid


class Interpreter:
    """The `python` that commands find, asked once for each file that it is."""

    def __init__(self, memory: str, folder: str):
        """Remember answers in the file `memory`; ask in `folder`."""
        self._memory = memory
        self._folder = folder
        self._asking: threading.Thread | None = None
        self._answer: str | None = None

    def begin(self) -> None:
        """Ask in the background: the answer is wanted later, and it takes a while."""
        if self._asking is None:
            self._asking = threading.Thread(target=self._find, daemon=True)
            self._asking.start()

    def __call__(self) -> str | None:
        """Return implementation and version, such as "cpython 3.11"; None when there is none."""
        self.begin()
        assert self._asking is not None
        self._asking.join()
        return self._answer

    def _find(self) -> None:
        path = find_python()
        if path is None:
            return
        found = os.stat(path)
        mark = [found.st_size, found.st_mtime_ns, found.st_ino]
        known = self._known()
        row = known.get(path)
        if isinstance(row, list) and row[:-1] == mark and isinstance(row[-1], str):
            self._answer = row[-1]
            return
        self._answer = _ask(path, self._folder)
        # A script, as pyenv puts in the place of python, may lead elsewhere tomorrow.
        if self._answer is not None and not is_script(path):
            with contextlib.suppress(OSError):  # a full disk costs the next run some time
                self._remember({**known, path: [*mark, self._answer]})

    def _known(self) -> dict[str, Any]:
        try:
            with open(self._memory, "rb") as stream:
                value = parse_json(stream.read(), source=self._memory)
            return dict(value["interpreters"]) if value["format"] == FORMAT else {}
        except (OSError, MlxError, KeyError, TypeError, ValueError):
            return {}

    def _remember(self, known: dict[str, Any]) -> None:
        make_folder(os.path.dirname(self._memory))
        data = canonical({"format": FORMAT, "interpreters": known})
        write_atomic(self._memory, data, flush=False)


def _ask(path: str, folder: str) -> str | None:
    """Ask a python what it is, without the user's site and startup files."""
    try:
        done = subprocess.run(
            [path, "-I", "-S", "-c", _ASK],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            text=True,
            timeout=60,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None


def find_python() -> str | None:
    """Return the path of the python that commands find; None: there is none."""
    import shutil  # `status` asks for no interpreter, mostly

    return shutil.which("python") or shutil.which("python3")


def is_script(path: str) -> bool:
    """Say whether a program is a text that another one runs."""
    with open(path, "rb") as stream:
        return stream.read(2) == b"#!"
