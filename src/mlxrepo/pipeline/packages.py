"""The python that commands find, and what is installed for it: for the journal, never for a key.

It is asked in the background, and again only when it or one of its folders of packages changed.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import threading
import time
from typing import Any

from mlxrepo.codec import canonical, parse_json
from mlxrepo.errors import MlxError
from mlxrepo.files import make_folder, write_atomic
from mlxrepo.hashing import Oid, blob_oid
from mlxrepo.pipeline.environment import find_python, is_script
from mlxrepo.repo.layout import ENVIRONMENTS_FOLDER, RUNS_FOLDER
from mlxrepo.repo.repo import Repo

FORMAT = 1
MEMORY = "packages.json"  # in the worktree's folder
WAIT_SECONDS = 10.0  # for an answer, when a run is over

# Without PYTHONPATH and the like (-E), whose folders are looked at apart: what they are called is
# the value of a variable, and is not to be written.
_ASK = """
import json, os, sys
folders = [path for path in sys.path if path and os.path.isdir(path)]
version = sys.version.split()[0]
print(json.dumps([sys.implementation.name, version, sys.executable, folders]))
"""
_INSTALLED = re.compile(r"(.+?)-([^-]+)(?:-py[^-]*)?\.(?:dist|egg)-info")
_YOUNG_NS = 2 * 10**9  # a folder changed so lately may change again and keep its time


class Packages:
    """One look at the python of a run; `begin`, and later `keep`."""

    def __init__(self, repo: Repo, environ: dict[str, str]):
        self._repo = repo
        self._environ = environ
        self._memory = repo.worktree_file(MEMORY)
        self._thread: threading.Thread | None = None
        self._found: dict[str, Any] | None = None
        self._to_remember: dict[str, Any] | None = None

    def begin(self) -> None:
        """Look in the background."""
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    @property
    def is_known(self) -> bool:
        """Say whether the look is over."""
        return self._thread is not None and not self._thread.is_alive()

    def wait(self) -> dict[str, Any] | None:
        """Wait for the answer and return it, as `journal.environment` does; None: no python."""
        if self._thread is not None:
            self._thread.join(WAIT_SECONDS)
        return self._found

    def keep(self) -> Oid | None:
        """Wait for the answer, keep it, and return its digest; None: there is no python."""
        if self.wait() is None:
            return None
        data = canonical(self._found)
        digest = blob_oid(data)
        path = self._repo.shared(RUNS_FOLDER, ENVIRONMENTS_FOLDER, f"{digest}.json")
        try:
            os.utime(path)  # its age is that of the last run that had it
        except FileNotFoundError:
            make_folder(os.path.dirname(path), flush=False)
            write_atomic(path, data, flush=False)
        if self._to_remember is not None:
            make_folder(os.path.dirname(self._memory), flush=False)
            write_atomic(self._memory, canonical(self._to_remember), flush=False)
        return digest

    def _look(self) -> None:
        with contextlib.suppress(OSError, ValueError, TypeError, MlxError):
            path = find_python()
            row = self._row(path) if path else None
            if path is None or row is None:
                return
            implementation, version, program = row["python"]
            extra = self._environ.get("PYTHONPATH", "").split(os.pathsep)
            extra = [os.path.join(self._repo.root, folder) for folder in extra if folder]
            packages = {*row["packages"], *(name for f in extra for name in _installed(f))}
            self._found = {
                "format": FORMAT,
                "implementation": implementation,
                "version": version,
                "path": program,
                "packages": sorted(packages),
            }

    def _row(self, path: str) -> dict[str, Any] | None:
        """Return what is known of a python, or ask it."""
        known = self._known()
        found = os.stat(path)
        mark = [found.st_size, found.st_mtime_ns, found.st_ino]
        row = known.get(path)
        if row and row["mark"] == mark and all(_time(f) == at for f, at in row["folders"]):
            return dict(row)
        answer = _ask(path, self._repo.root)
        if answer is None:
            return None
        *python, folders = answer
        times = [[folder, _time(folder)] for folder in folders if os.path.isdir(folder)]
        packages = sorted({name for folder, _ in times for name in _installed(folder)})
        row = {"mark": mark, "python": python, "folders": times, "packages": packages}
        settled = all(time.time_ns() - at > _YOUNG_NS for _, at in times)
        # A script, as pyenv puts in the place of python, may lead elsewhere tomorrow.
        if settled and not is_script(path):
            self._to_remember = {"format": FORMAT, "pythons": {**known, path: row}}
        return row

    def _known(self) -> dict[str, Any]:
        try:
            with open(self._memory, "rb") as stream:
                value = parse_json(stream.read(), source=self._memory)
            return dict(value["pythons"]) if value["format"] == FORMAT else {}
        except (OSError, MlxError, KeyError, TypeError, ValueError):
            return {}


def _time(folder: str) -> int:
    try:
        return os.stat(folder).st_mtime_ns
    except OSError:
        return 0


def _installed(folder: str) -> list[str]:
    """Return what is installed in a folder as `name==version`, by the names of its metadata."""
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    found = (_INSTALLED.fullmatch(name) for name in names)
    return [f"{re.sub(r'[-_.]+', '-', m[1]).lower()}=={m[2]}" for m in found if m]


def _ask(path: str, folder: str) -> Any:
    try:
        done = subprocess.run(
            [path, "-E", "-c", _ASK],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=60,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode:
        return None
    # What startup files print comes before it.
    return parse_json(done.stdout.strip().rpartition(b"\n")[2], source=path)
