"""The store of a project, looked at from outside: for tests of what happens to objects."""

from __future__ import annotations

import os
import time
from pathlib import Path

from sandbox import Project

from mlxrepo.store.objects import Store
from mlxrepo.store.tree import Entry

DAY = 86_400
FOLDERS = ("objects", "trees", "packs")


def store_of(project: Project) -> Path:
    """Return the folder of a project's store."""
    with project.repo() as repo:
        return Path(repo.store.root)


def object_files(project: Project) -> list[Path]:
    """Return every object and pack of the store."""
    root = store_of(project)
    return [p for folder in FOLDERS for p in (root / folder).rglob("*") if p.is_file()]


def contents(project: Project) -> dict[str, bytes]:
    """Return the bytes of every object and pack by its path below the store."""
    root = store_of(project)
    return {str(path.relative_to(root)): path.read_bytes() for path in object_files(project)}


def age(project: Project, days: float = 30) -> None:
    """Make every object as old as if it had been written `days` ago."""
    then = time.time() - days * DAY
    for path in object_files(project):
        os.utime(path, (then, then))


def is_whole(project: Project, entry: Entry) -> bool:
    """Say whether an entry and all below it are in the store."""
    return Store(str(store_of(project))).is_whole(entry)
