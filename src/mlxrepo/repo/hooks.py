"""git's hooks: what mlx puts there, beside what others have put there.

Each is a shell script that starts Python only where there may be something to do. It runs the hook
that was there before first, from `<hook>.before-mlx`, whatever that is written in.
"""

from __future__ import annotations

import os
import re
import stat
from typing import NamedTuple

from mlxrepo.files import make_folder, move, write_atomic
from mlxrepo.repo.repo import Repo

PRE_COMMIT, PRE_PUSH = "pre-commit", "pre-push"
AFTER = ("post-checkout", "post-merge", "post-rewrite")
HOOKS = (*AFTER, PRE_COMMIT, PRE_PUSH)
OFF_VARIABLE = "MLXREPO_NO_HOOKS"

_MARK = "# mlx install wrote this file and mlx uninstall takes it away."
_BEFORE = ".before-mlx"
_OTHERS = (".legacy",)  # where pre-commit puts a hook that it finds, to run it itself
_LOCKS = "':(top,glob)**/mlx.lock'"

_NO_MLX = "mlx is not on PATH: its NAME hook did nothing (pip install mlxrepo)"

_HEAD = f"""\
#!/bin/sh
{_MARK}
# The hook that was here before is NAME{_BEFORE}: it runs first, and its exit status counts.
before="${{0%/*}}/NAME{_BEFORE}"
status=0
"""
_READ = """\
rows=
while IFS= read -r row; do
	rows="$rows$row
"
done
"""
_CHAIN = """\
if [ -x "$before" ]; then
	"$before" "$@" || status=$?
fi
"""
_CHAIN_ROWS = """\
if [ -x "$before" ]; then
	printf %s "$rows" | "$before" "$@" || status=$?
fi
"""
_STOP = """\
[ "$status" = 0 ] || exit "$status"
"""
_GATE = f"""\
[ -z "${OFF_VARIABLE}" ] || exit "$status"
unset GIT_LITERAL_PATHSPECS GIT_GLOB_PATHSPECS GIT_NOGLOB_PATHSPECS GIT_ICASE_PATHSPECS
"""
_FOUND = f"""\
if ! command -v mlx >/dev/null 2>&1; then
	echo "{_NO_MLX}" >&2
	exit "$status"
fi
"""
_AFTER = """\
mlx hook NAME "$@" </dev/null
exit "$status"
"""

# What follows when there is nothing for mlx: each costs one git, which takes 1 to 2 ms.
_GATES = {
    # A checkout of files has $3 = 0; a new worktree comes from commit 000….
    "post-checkout": f"""\
if [ "$3" != 1 ] || [ "$1" = "$2" ]; then exit "$status"; fi
git diff-tree -r --quiet "$1" "$2" -- {_LOCKS} 2>/dev/null && exit "$status"
""",
    # A squash leaves HEAD where it is.
    "post-merge": f"""\
if [ "$1" = 0 ]; then
	git diff-tree -r --quiet ORIG_HEAD HEAD -- {_LOCKS} 2>/dev/null && exit "$status"
fi
""",
    # An amended commit changes no file. A rebase has had its post-checkout for what it began on.
    "post-rewrite": f"""\
[ "$1" = rebase ] || exit "$status"
first=${{rows#* }}
first=${{first%%[ "$nl"]*}}
git diff-tree -r --quiet "$first^" HEAD -- {_LOCKS} 2>/dev/null &&
	git diff-tree -r --quiet ORIG_HEAD HEAD -- {_LOCKS} 2>/dev/null && exit "$status"
""",
    PRE_COMMIT: f"""\
found=$(git ls-files -- {_LOCKS} ':(top,glob)**/mlx.yaml') && [ -z "$found" ] && exit 0
""",
    # Refs that are deleted have commit 000….
    PRE_PUSH: f"""\
new=$(printf %s "$rows" | while read -r _ commit _; do
	case $commit in *[!0]*) printf '%s ' "$commit" ;; esac
done)
[ -n "$new" ] || exit 0
found=$(git rev-list --full-history --max-count=1 $new --not "--remotes=$1" -- {_LOCKS}) &&
	[ -z "$found" ] && exit 0
""",
}


def script(name: str) -> bytes:
    """Return the text of a hook."""
    has_rows = name in ("post-rewrite", PRE_PUSH)
    parts = [_HEAD, _READ + _CHAIN_ROWS if has_rows else _CHAIN]
    if name not in AFTER:
        parts.append(_STOP)
    gate = _GATES[name]
    if "$nl" in gate:
        gate = "nl='\n'\n" + gate
    parts += [_GATE, gate, _FOUND]
    if name in AFTER:
        parts.append(_AFTER)
    else:
        feed = 'printf %s "$rows" | ' if has_rows else ""
        parts.append(f'{feed}mlx hook NAME "$@"\n')
    return "".join(parts).replace("NAME", name).encode()


def line(name: str) -> str:
    """Return the line that calls mlx from a hook which is somebody else's.

    Such hooks are often committed, and reach those who have no mlx.
    """
    turn = "|| true" if name in AFTER else "|| exit $?"
    found = f'command -v mlx >/dev/null 2>&1; then mlx hook {name} "$@" {turn}'
    return f'if {found}; else echo "{_NO_MLX.replace("NAME", name)}" >&2; fi'


class Folder(NamedTuple):
    """Where git looks for hooks; `why` says why mlx does not write there, "" if it does."""

    path: str
    why: str


def folder(repo: Repo) -> Folder:
    """Find the folder of the hooks, as git does: core.hooksPath, or `hooks` beside the objects."""
    _, out = repo.git.run("rev-parse", "--path-format=absolute", "--git-path", "hooks")
    path = os.fsdecode(out.rstrip(b"\n"))
    real, root = os.path.realpath(path), os.path.realpath(repo.root)
    if _holds(os.path.realpath(repo.common_dir), real):
        return Folder(path, "")
    if not _holds(root, real):
        return Folder(path, "it lies outside of the repository")
    below = os.path.relpath(real, root)
    # husky makes its folder `_` anew at will, and runs the hooks above it, which are committed.
    above, name = os.path.split(below)
    asked = [below, *([above] if name == "_" and above else [])]
    return Folder(path, "git tracks the hooks in it" if repo.git.tracked(asked) else "")


def _holds(folder: str, path: str) -> bool:
    return path == folder or path.startswith(folder + os.sep)


# putting them there, and away

WRITTEN, CHAINED, PRESENT, BLOCKED = "written", "chained", "present", "blocked"


def is_wired(place: Folder, name: str) -> bool:
    """Say whether a hook that git runs there, or one in husky's folder above, calls mlx."""
    calls = re.compile(rf"(?m)^[^#\n]*\bmlx hook {name}\b".encode())
    paths = [os.path.join(place.path, name + more) for more in ("", *_OTHERS)]
    paths = [path for path in paths if os.access(path, os.X_OK)]
    above, below = os.path.split(place.path)
    if below == "_":
        paths.append(os.path.join(above, name))  # husky runs it by `sh`
    return any(calls.search(_read(path)) for path in paths)


def lacking(repo: Repo) -> list[str]:
    """Return the hooks that neither are mlx's, of this version, nor call it."""
    place = folder(repo)
    return [name for name in HOOKS if not _is_current(place, name)]


def _is_current(place: Folder, name: str) -> bool:
    for more in ("", *_OTHERS):
        path = os.path.join(place.path, name + more)
        if is_ours(path):
            return _read(path) == script(name) and os.access(path, os.X_OK)
    return is_wired(place, name)


def put(place: Folder, name: str) -> str:
    """Write one hook; return whether it was there, is new, or new before one that was there.

    BLOCKED: somebody has replaced ours, and what was there before it is still kept.
    """
    path, wanted = os.path.join(place.path, name), script(name)
    before = path + _BEFORE
    for ours in (path, *(path + more for more in _OTHERS)):
        if is_ours(ours):
            if _read(ours) == wanted and os.access(ours, os.X_OK):
                return PRESENT
            os.unlink(ours)  # with its permission bits
            write_atomic(ours, wanted, mode=0o755)
            return WRITTEN
    was_there = os.path.lexists(path)
    if was_there and os.path.lexists(before):
        return BLOCKED
    make_folder(place.path)
    if was_there:
        move(path, before)  # a kill here is mended by the next install
    write_atomic(path, wanted, mode=0o755)
    return CHAINED if was_there else WRITTEN


def take_away(place: Folder, name: str) -> bool:
    """Remove one hook of ours, and put back what was there before; say whether there was one."""
    path = os.path.join(place.path, name)
    before = path + _BEFORE
    for ours in (path, *(path + more for more in _OTHERS)):
        if is_ours(ours):
            if os.path.lexists(before):
                move(before, ours)
            else:
                os.unlink(ours)
            return True
    return False


def left_over(place: Folder, name: str) -> str | None:
    """Return the file in which a hook of somebody else still waits, without ours in front."""
    before = os.path.join(place.path, name + _BEFORE)
    return before if os.path.lexists(before) else None


def is_ours(path: str) -> bool:
    """Say whether mlx wrote a hook."""
    return not os.path.islink(path) and _MARK.encode() in _read(path)


def _read(path: str) -> bytes:
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return b""
        with open(path, "rb") as stream:
            return stream.read(1 << 16)
    except OSError:
        return b""
