"""Whether a clone is prepared: what `mlx install` sets in git's settings, and a hint until it did.

A merge driver is known by name to a committed file, and by command to the settings of each clone.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from mlxrepo.errors import MlxError
from mlxrepo.files import make_folder, write_atomic
from mlxrepo.repo.git import Git
from mlxrepo.repo.gitdirs import GitDirs, find
from mlxrepo.repo.layout import STORE_FOLDER

# Without mlx git's own merge of lines steps in, which leaves marks where it cannot tell. Where mlx
# could not decide, the file stays in conflict whatever that merge says.
_DRIVER = (
    'f() { as_text() { git merge-file -L ours -L base -L theirs "$2" "$1" "$3"; }; '
    "if ! command -v mlx >/dev/null 2>&1; then "
    'echo "mlx is not on PATH: $4 is merged as text" >&2; as_text "$@"; return; fi; '
    'mlx lock merge "$@"; s=$?; [ $s -le 1 ] || { as_text "$@"; return 1; }; return $s; }; '
    "f %O %A %B %P"
)
_TEXTCONV = 'f() { mlx lock text "$1" 2>/dev/null || cat "$1"; }; f'

SETTINGS: Mapping[str, str] = {
    "merge.mlx.name": "mlx lock merge",
    "merge.mlx.driver": _DRIVER,
    "diff.mlx.textconv": _TEXTCONV,
}
# Set once, and where git then kept what the textconv said: without mlx that was the raw file, and
# `git push --mirror` sent it.
OUTDATED = ("diff.mlx.cachetextconv",)
TEXTCONV_NOTES = "refs/notes/textconv/mlx"

_HINTED = "hinted"
_DRIVEN = re.compile(rb'(?mi)^\s*\[\s*merge\s+"mlx"\s*\]')


def current(git: Git) -> dict[str, str]:
    """Return what this clone's own settings say under the names of `SETTINGS` and `OUTDATED`."""
    _, out = git.run("config", "--local", "--list", "-z")
    rows = [row.decode("utf-8", "surrogateescape") for row in out.split(b"\0")[:-1]]
    pairs = (row.partition("\n")[::2] for row in rows)
    return {name: value for name, value in pairs if name in (*SETTINGS, *OUTDATED)}


def unlike(known: Mapping[str, str]) -> list[str]:
    """Return the names of settings that have to be set or taken away in a clone with these."""
    wrong = [name for name, value in SETTINGS.items() if known.get(name) != value]
    return wrong + [name for name in OUTDATED if name in known]


def should_hint(start: str) -> bool:
    """Say whether the clone around `start` needs `mlx install` and nobody was told so.

    It takes no spawn but once, before it says yes; it says so once in a clone.
    """
    try:
        dirs = find(start)
        return _is_unprepared(dirs) and _note(dirs.common_dir)
    except (MlxError, OSError):
        return False


def note_hinted(common_dir: str) -> None:
    """Take note that the user of a clone knows of `mlx install`."""
    if not os.path.exists(_place(common_dir)):
        _note(common_dir)


def _is_unprepared(dirs: GitDirs) -> bool:
    if os.path.exists(_place(dirs.common_dir)):
        return False
    with open(os.path.join(dirs.common_dir, "config"), "rb") as stream:
        if _DRIVEN.search(stream.read()):
            return False
    with open(os.path.join(dirs.root, ".gitattributes"), "rb") as stream:
        if b"merge=mlx" not in stream.read():
            return False
    known, _ = Git(dirs.root).run("config", "--get", "merge.mlx.driver", accept=(0, 1))
    return known != 0  # a user may have set it for all clones


def _place(common_dir: str) -> str:
    return os.path.join(common_dir, STORE_FOLDER, _HINTED)


def _note(common_dir: str) -> bool:
    make_folder(os.path.join(common_dir, STORE_FOLDER), flush=False)
    write_atomic(_place(common_dir), b"", flush=False)
    return True
