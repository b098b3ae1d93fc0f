""".mlxignore: which workspace files mlx does not look at; gitignore syntax, nested like git's."""

from __future__ import annotations

import os
from functools import lru_cache
from typing import TYPE_CHECKING

from mlxrepo.paths import ancestors
from mlxrepo.repo.layout import IGNORE_FILE
from mlxrepo.store.snapshot import Ignored

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


def load_ignored(root: str) -> Ignored:
    """Return the predicate of this worktree; folders above a path are asked first, as in git."""

    @lru_cache(maxsize=4096)
    def spec(folder: str) -> GitIgnoreSpec | None:
        try:
            with open(os.path.join(root, folder, IGNORE_FILE), encoding="utf-8") as stream:
                lines = stream.read().splitlines()
        except (FileNotFoundError, NotADirectoryError):
            return None
        from pathspec import GitIgnoreSpec

        return GitIgnoreSpec.from_lines(lines)

    def ignored(path: str, is_folder: bool) -> bool:
        verdict = False
        for folder in ("", *ancestors(path)):
            rules = spec(folder)
            if rules is None:
                continue
            below = path[len(folder) + 1 :] if folder else path
            answer = rules.check_file(below + "/" if is_folder else below).include
            if answer is not None:
                verdict = answer
        return verdict

    return ignored
