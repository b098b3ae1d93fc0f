"""What others may do in a store that is a group's."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

GROUPS = stat.S_ISGID | stat.S_IRWXG  # the rights of its folders


@contextmanager
def group_readable(folder: str) -> Iterator[None]:
    """Let a group read what is made in a folder that is the group's, whatever the umask is.

    For a moment only: the umask is that of the whole process.
    """
    if os.stat(folder).st_mode & GROUPS != GROUPS:
        yield
        return
    before = os.umask(0o077)
    os.umask(before & ~stat.S_IRWXG)
    try:
        yield
    finally:
        os.umask(before)
