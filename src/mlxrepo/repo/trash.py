"""The trash: where something of the user's goes when it has to make room."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable

from mlxrepo.files import move
from mlxrepo.paths import RepoPath, parent
from mlxrepo.repo.layout import TRASH_FOLDER
from mlxrepo.repo.owned import refuse_links
from mlxrepo.repo.repo import Repo


def new_trash(repo: Repo) -> str:
    """Return a new folder in the trash; it is made when something is moved there."""
    stamp = time.strftime("%Y%m%d-%H%M%S-") + os.urandom(3).hex()
    return repo.shared(TRASH_FOLDER, stamp)


def to_trash(repo: Repo, paths: Iterable[RepoPath], folder: str | None = None) -> str | None:
    """Move workspace paths to the trash and return the folder they are in now, if any moved.

    Raises:
        Refused: when one lies behind a symbolic link; nothing is moved then.
    """
    paths = list(paths)
    for path in paths:
        refuse_links(repo.root, parent(path))
    place = folder or new_trash(repo)
    moved = False
    for path in paths:
        full = repo.full(path)
        if os.path.lexists(full):
            move(full, os.path.join(place, path))
            moved = True
    return place if moved else None
