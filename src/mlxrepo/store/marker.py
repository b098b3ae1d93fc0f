"""What a store says of itself.

format    that the folder is a store, and of which format
partial   folders may be here without what they name: something was fetched
"""

from __future__ import annotations

import os

from mlxrepo.errors import EnvironmentFailed, InputError
from mlxrepo.files import write_atomic
from mlxrepo.hashing import ALGORITHM
from mlxrepo.paths import display

FORMAT = 1
NAME = "format"
PARTIAL = "partial"


def is_store(root: str) -> bool:
    """Say whether a folder is a store.

    Raises:
        InputError: when it is one of a newer format.
    """
    try:
        with open(os.path.join(root, NAME), encoding="utf-8") as stream:
            found = stream.read().split()
    except FileNotFoundError:
        return False
    if found != [str(FORMAT), ALGORITHM]:
        raise InputError(
            f"the store {display(root)} has format {display(' '.join(found))}; this mlx "
            f"reads {FORMAT} {ALGORITHM}",
            hint="use the mlx that wrote it, or a newer one",
        )
    return True


def make_store(root: str) -> None:
    """Make a folder a store."""
    write_atomic(os.path.join(root, NAME), f"{FORMAT} {ALGORITHM}\n".encode())


def mark_partial(root: str) -> None:
    """Note, before a folder is fetched, that folders may be in a store without what they name."""
    if not is_partial(root):
        write_atomic(os.path.join(root, PARTIAL), b"")


def is_partial(root: str) -> bool:
    """Say whether a folder that is in a store may name what is not."""
    return os.path.exists(os.path.join(root, PARTIAL))


def away(root: str) -> EnvironmentFailed:
    """Return the error for a store whose disk is not there: what it holds is not lost."""
    above = display(os.path.dirname(root))
    return EnvironmentFailed(
        f"the store {display(root)} is not there, and neither is {above}",
        hint=f"mount its disk; if it is gone for good: mkdir -p {above}, then mlx fsck --repair",
    )
