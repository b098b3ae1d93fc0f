"""Writing the few files of the worktree that mlx shares with git.

A cloned repository is data: a link that somebody committed in the place of one of these files, or
of a folder above it, must not lead a write out of the repository.
"""

from __future__ import annotations

import os

from mlxrepo.errors import Refused
from mlxrepo.files import make_folder, write_atomic
from mlxrepo.paths import display


def refuse_links(root: str, path: str) -> None:
    """Check that `path` and the folders above it are no symbolic links.

    Raises:
        Refused: when one of them is.
    """
    full = os.path.normpath(os.path.join(os.path.realpath(root), path))
    if os.path.realpath(full) != full:
        raise Refused(
            f"{display(path)} is a symbolic link or lies behind one, and mlx does not write "
            "through links",
            hint="put the real file or folder in its place, then again",
        )


def write_owned(root: str, path: str, data: bytes) -> None:
    """Replace a file of the worktree, with the folders above it.

    Raises:
        Refused: when it is a symbolic link or lies behind one.
    """
    refuse_links(root, path)
    full = os.path.join(root, path)
    make_folder(os.path.dirname(full))
    write_atomic(full, data)
