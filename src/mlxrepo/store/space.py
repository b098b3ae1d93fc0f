"""Room on the disk of a store, asked for before anything is copied there."""

from __future__ import annotations

import contextlib
import os

from mlxrepo.errors import EnvironmentFailed
from mlxrepo.paths import display
from mlxrepo.reading import reflink


def nearest_folder(path: str) -> str:
    """Return the nearest folder above a path, or itself, that is there."""
    while not os.path.isdir(path):
        path = os.path.dirname(path)
    return path


def free_bytes(root: str) -> int:
    """Return how many bytes this user can still write where a store is, or will be."""
    import shutil  # what only looks around does without

    return shutil.disk_usage(nearest_folder(root)).free


def check_fits(path: str, target: int, root: str) -> None:
    """Check that a large file can be copied into a store; where blocks are shared, any can.

    `target` is the open, empty file for the copy.

    Raises:
        EnvironmentFailed: when it cannot.
    """
    size, free = os.stat(path).st_size, free_bytes(root)
    if size <= free:
        return
    with contextlib.suppress(OSError), open(path, "rb") as source:
        if reflink(source.fileno(), target):
            return
    raise no_room(size, free, root)


def no_room(needed: int, free: int, root: str) -> EnvironmentFailed:
    """Return the error for what a disk cannot take, with every way out."""
    return EnvironmentFailed(
        f"storing this takes {needed:,} bytes, and the disk of the store, {display(root)}, has "
        f"{free:,} free",
        hint="mlx gc removes what nothing needs; with git config mlx.link hardlink, or on a disk "
        "with reflinks (Btrfs, XFS), what lies on the disk of the store takes no room; mlx store "
        "move DIR goes to a larger disk",
    )
