"""The report of a bug: a file outside the worktree, with nothing secret in it."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import sys
import tempfile
import traceback
from collections.abc import Sequence
from importlib import metadata

import mlxrepo
from mlxrepo.errors import MlxError
from mlxrepo.repo import gitdirs, layout

REPORTS_FOLDER = "reports"

_PACKAGES = ("click", "blake3", "xxhash", "pyyaml", "pathspec", "rich", "fsspec")

_CREDENTIALS = re.compile(r"(?<=://)[^/\s@'\"]+@")
_SECRET_NAMES = r"secret|token|passw|credential|signature|[?&]sig|(?:api|access|account)[-_]?key"
_SECRET_VALUES = re.compile(rf"((?:{_SECRET_NAMES})[\w.-]*[=:]\s*['\"]?)[^\s&'\",]+", re.IGNORECASE)


def write_report(error: BaseException, args: Sequence[str], cwd: str) -> str | None:
    """Write what we need to mend `error`, readable by the user alone, and return its path.

    It goes to .git/mlx/reports where there is a store, else to the folder for temporary files;
    None when neither can be written. The environment is never in it.
    """
    text = redact(_text(error, args))
    for folder in (_reports_folder(cwd), tempfile.gettempdir()):
        if folder is None:
            continue
        with contextlib.suppress(OSError):
            return _write(folder, text)
    return None


def redact(text: str) -> str:
    """Replace credentials in URLs, and the values of what is named like a secret, by `***`."""
    return _SECRET_VALUES.sub(r"\1***", _CREDENTIALS.sub("***@", text))


def _text(error: BaseException, args: Sequence[str]) -> str:
    lines = [
        f"mlx {mlxrepo.__version__}",
        f"Python {sys.version}",
        f"system {platform.platform()}",
        f"packages {', '.join(_versions())}",
        f"command {['mlx', *args]}",
        "",
        "".join(traceback.format_exception(error)),
    ]
    return "\n".join(lines)


def _versions() -> list[str]:
    found = []
    for name in _PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found.append(f"{name} {metadata.version(name)}")
    return found


def _reports_folder(cwd: str) -> str | None:
    """Return the reports' folder of the store that `cwd` belongs to, if there is one."""
    try:
        store = os.path.join(gitdirs.find(cwd).common_dir, layout.STORE_FOLDER)
        if not os.path.isdir(store):
            return None
        folder = os.path.join(store, REPORTS_FOLDER)
        os.makedirs(folder, exist_ok=True)
    except (MlxError, OSError):
        return None
    return folder


def _write(folder: str, text: str) -> str:
    handle, path = tempfile.mkstemp(prefix="mlx-bug-", suffix=".txt", dir=folder)
    with open(handle, "w", encoding="utf-8", errors="backslashreplace") as stream:
        stream.write(text)
    return path
