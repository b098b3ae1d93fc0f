"""A store that a group of users shares: `git config mlx.shared group`.

Objects are read-only for everybody; what the group needs is to add, rename and remove them, which
are the rights of folders. New folders take them from the one they are made in (files.py).
"""

from __future__ import annotations

import contextlib
import os
import stat

from mlxrepo.errors import InputError
from mlxrepo.files import make_folder
from mlxrepo.repo.settings import Settings

SETTING = "shared"
_RIGHTS = stat.S_ISGID | stat.S_IRWXG
_YES, _NO = (
    ("group", "true", "1"),
    ("", "umask", "false", "0"),
)  # the words of core.sharedRepository


def is_shared(settings: Settings) -> bool:
    """Say whether the store is for the group.

    Raises:
        InputError: when the setting is neither yes nor no.
    """
    value = settings.get(SETTING).lower()
    if value not in (*_YES, *_NO):
        raise InputError(
            f'the setting mlx.shared is "{value}"; it can be group or umask',
            hint="git config mlx.shared group",
        )
    return value in _YES


def has_group_rights(folder: str) -> bool:
    """Say whether the group may write into a folder, and what is made there is the group's."""
    return os.stat(folder).st_mode & _RIGHTS == _RIGHTS


def share(root: str) -> None:
    """Make the store at `root`, made where it is not yet, one of its group.

    One look when that is done already. Folders of other users are theirs to open.
    """
    with contextlib.suppress(PermissionError):
        make_folder(root)
        if has_group_rights(root):
            return
        for here, _, _ in os.walk(root, topdown=False):  # the root last: it says that all is done
            mode = stat.S_IMODE(os.stat(here).st_mode)
            os.chmod(here, mode | _RIGHTS)
