""".mlxignore: which workspace files mlx does not look at; gitignore syntax, nested like git's."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from mlxrepo.hashing import fingerprint
from mlxrepo.paths import ancestors, is_inside, parent
from mlxrepo.repo.layout import IGNORE_FILE

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

# What `mlx init` writes: made by tools, never data, and different on every machine.
DEFAULT = """\
# Files that mlx leaves out of datasets, dependencies and outs (gitignore syntax).
__pycache__/
*.pyc
.ipynb_checkpoints/
.DS_Store
Thumbs.db
"""


Matches = Callable[[str], object]
_NAMED_GROUP = re.compile(r"\(\?P<\w+>")


class IgnoreRules:
    """The rules of a worktree; those of folders above a path are asked first, as in git.

    `elsewhere` is a repository path and the folder with what belongs there, where that is not in
    the worktree.
    """

    def __init__(self, root: str, elsewhere: tuple[str, str] | None = None):
        self._root = root
        self._elsewhere = elsewhere
        self._texts: dict[str, bytes] = {}
        self._specs: dict[str, tuple[GitIgnoreSpec, Matches]] = {}
        self._digests: dict[str, bytes] = {}

    def ignored(self, path: str, is_folder: bool) -> bool:
        """Say whether mlx leaves a path out."""
        verdict = False
        for folder in ("", *ancestors(path)):
            if not self._text(folder):
                continue
            below = path[len(folder) + 1 :] if folder else path
            if is_folder:
                below += "/"
            spec, may_match = self._spec(folder)
            answer = spec.check_file(below).include if may_match(below) else None
            if answer is not None:
                verdict = answer
        return verdict

    def digest(self, folder: str) -> bytes:
        """Return a digest of the rules that decide about files of a folder."""
        if folder not in self._digests:
            above = self.digest(parent(folder)) if folder else b""
            text = self._text(folder)
            self._digests[folder] = fingerprint(above + text) if text else above
        return self._digests[folder]

    def _text(self, folder: str) -> bytes:
        if folder not in self._texts:
            try:
                with open(os.path.join(self._place(folder), IGNORE_FILE), "rb") as stream:
                    self._texts[folder] = stream.read()
            except (FileNotFoundError, NotADirectoryError):
                self._texts[folder] = b""
        return self._texts[folder]

    def _place(self, folder: str) -> str:
        if self._elsewhere and is_inside(folder, self._elsewhere[0]):
            return self._elsewhere[1] + folder[len(self._elsewhere[0]) :]
        return os.path.join(self._root, folder)

    def _spec(self, folder: str) -> tuple[GitIgnoreSpec, Matches]:
        if folder not in self._specs:
            from pathspec import GitIgnoreSpec

            lines = self._text(folder).decode("utf-8", "surrogateescape").splitlines()
            spec = GitIgnoreSpec.from_lines(lines)
            self._specs[folder] = spec, _any_of(spec)
        return self._specs[folder]


def _any_of(spec: GitIgnoreSpec) -> Matches:
    """Return the search of one regular expression for all patterns.

    Nearly every file matches none, and asking one by one costs 13 microseconds a file.
    """
    parts = [_NAMED_GROUP.sub("(?:", p.regex.pattern) for p in spec.patterns if p.regex]
    return re.compile("|".join(f"(?:{part})" for part in parts) or r"(?!)").search
