"""The repositories that use a store: `<store>/repos/<id>`, and the one whose git dir it lies in.

What a repository needs is asked of the repository itself, so gc has to know them all. One that is
out of reach may need anything: it blocks until it is back, or the user says that it is gone.
"""

from __future__ import annotations

import errno
import os
from shlex import quote
from typing import NamedTuple

from mlxrepo.codec import canonical, parse_json
from mlxrepo.errors import CannotDecide, InputError
from mlxrepo.files import make_folder, remove_quietly, write_atomic
from mlxrepo.hashing import blob_oid
from mlxrepo.paths import TEMP_PREFIX, display, name_bytes
from mlxrepo.repo.layout import STORE_FOLDER

FORMAT = 1
FOLDER = "repos"


class Registered(NamedTuple):
    """A repository that uses a store: its common git dir, and the root of its main worktree.

    The root is None where it was not known: for a bare one, or one seen from a linked worktree.
    """

    path: str
    root: str | None

    @property
    def is_reachable(self) -> bool:
        """Say whether it is there.

        Raises:
            CannotDecide: when it lies where this user may not look.
        """
        try:
            os.stat(os.path.join(self.path, "HEAD"))
        except PermissionError as error:
            raise self.unreadable(error) from None
        except OSError:
            return False
        return True

    def unreadable(self, error: Exception) -> CannotDecide:
        """Return the error for a repository that cannot be asked: somebody else's, as a rule."""
        name = display(self.root or self.path)
        return CannotDecide(
            f"the repository {name} uses this store and cannot be read, so that nobody knows what "
            f"it needs: {_why(error)}",
            hint=f"let its owner open it to your group (chmod -R g+rX {quote(name)}, git config "
            "core.sharedRepository group), or do this as a user who can read it",
        )


def register(store: str, repository: Registered) -> None:
    """Note that a repository uses a store; nothing to do for the one that the store lies in."""
    if store == _own_store(repository.path):
        return
    note = _note(store, repository.path)
    known = _read(note) if os.path.exists(note) else None
    if known is not None and (known == repository or repository.root is None):
        return
    value = {"format": FORMAT, "path": repository.path, "root": repository.root}
    try:
        make_folder(os.path.dirname(note))
        write_atomic(note, canonical(value) + b"\n")
    except OSError as error:  # who may not write there stores nothing there either
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise


def registered(store: str) -> list[Registered]:
    """Return every repository that uses a store, by path.

    Raises:
        InputError: when an entry is of a newer format, or damaged.
    """
    folder = os.path.join(store, FOLDER)
    names = os.listdir(folder) if os.path.isdir(folder) else []
    notes = [os.path.join(folder, name) for name in names if not name.startswith(TEMP_PREFIX)]
    found = {repository.path: repository for repository in map(_read, notes)}
    owner = os.path.dirname(store)
    if _own_store(owner) == store and os.path.isfile(os.path.join(owner, "HEAD")):
        found.setdefault(owner, Registered(owner, None))
    return [found[path] for path in sorted(found)]


def find(store: str, path: str) -> Registered:
    """Return the repository registered at `path`: its git dir, or the worktree that has it.

    Raises:
        InputError: when none is.
    """
    full = os.path.realpath(path)
    for repository in registered(store):
        places = (repository.path, repository.root, os.path.dirname(repository.path))
        if full in places and os.path.exists(_note(store, repository.path)):
            return repository
    raise InputError(f"no repository at {display(path)} is registered in {display(store)}")


def forget(store: str, path: str) -> Registered:
    """Drop the repository registered at `path` from those of a store.

    Raises:
        InputError: when none is.
    """
    repository = find(store, path)
    remove_quietly(_note(store, repository.path))
    return repository


def _why(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{display(os.fsdecode(error.filename or ''))}: {error.strerror}"
    return str(error)


def _own_store(common_dir: str) -> str:
    return os.path.join(common_dir, STORE_FOLDER)


def _note(store: str, path: str) -> str:
    return os.path.join(store, FOLDER, blob_oid(name_bytes(path))[:16])


def _read(note: str) -> Registered:
    with open(note, "rb") as stream:
        value = parse_json(stream.read(), source=note)
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise InputError(
            f"{display(note)} is of another mlx; this one reads {FORMAT}",
            hint="pip install --upgrade mlxrepo",
        )
    return Registered(value["path"], value.get("root"))
