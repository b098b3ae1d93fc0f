"""mlx cat: one file of a dataset, at a revision, to a stream."""

from __future__ import annotations

from shlex import quote

from mlxrepo.errors import InputError
from mlxrepo.paths import display
from mlxrepo.repo.repo import Repo
from mlxrepo.repo.targets import resolve_tracked
from mlxrepo.store.subtree import find


def cat(repo: Repo, target: str, fd: int, *, rev: str | None = None) -> int:
    """Write a recorded file to the descriptor `fd` and return its size in bytes.

    The bytes are verified before the first one is written.

    Raises:
        InputError: when the target is not one recorded file.
        ObjectMissing: when its bytes are not in the store.
    """
    declared, observed = repo.views(rev)
    found = resolve_tracked([target], repo.place, declared, observed)
    if len(found) > 1:
        names = ", ".join(display(path) for _, path in found[:4])
        raise InputError(
            f'"{display(target)}" means several paths: {names}', hint="name one of them"
        )
    item, path = found[0]
    entry = find(repo.store.tree, item.entry, path[len(item.path) + 1 :])
    if entry is None:
        raise InputError(
            f"{display(path)} is not recorded in {display(item.path)}",
            hint=f"mlx ls {repo.place.word(item.path)}",
        )
    if entry.kind == "tree":
        raise InputError(f"{display(path)} is a folder", hint=f"mlx ls {repo.place.word(path)}")
    if not item.cache:
        raise InputError(
            f"git keeps {display(path)}, mlx does not",
            hint=f"git show {quote(rev or 'HEAD')}:{quote(display(path))}",
        )
    repo.store.stream(entry, fd)
    return entry.size
