"""What remotes had when this repository last looked: their indexes, cached here. No network."""

from __future__ import annotations

import os

from mlxrepo.errors import Damaged, InputError
from mlxrepo.repo.layout import REMOTES_FOLDER
from mlxrepo.repo.repo import Repo
from mlxrepo.store.condemned import Mark
from mlxrepo.store.inventory import list_folder
from mlxrepo.store.remote import INDEXES, Notes, parse_note
from mlxrepo.store.remoteindex import Index, Known


def last_seen(repo: Repo) -> list[Known]:
    """Return what each remote had; what a copy here does not tell counts as not there."""
    folder = repo.shared(REMOTES_FOLDER)
    return [_known(os.path.join(folder, name, INDEXES)) for name in sorted(list_folder(folder))]


def _known(folder: str) -> Known:
    found: dict[str, Index | Mark] = {}
    for name in list_folder(folder):
        try:
            with open(os.path.join(folder, name), "rb") as stream:
                found[name] = parse_note(stream.read(), name)
        except (Damaged, InputError, OSError):
            continue
    return Notes.of(found).known()
