"""Look for the bytes of lost objects in files that may have them: believed when they hash right."""

from __future__ import annotations

import os
import stat as statlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from mlxrepo import reading
from mlxrepo.errors import EnvironmentFailed
from mlxrepo.hashing import Oid, blob_oid, is_oid
from mlxrepo.paths import TEMP_PREFIX
from mlxrepo.store.inventory import Key
from mlxrepo.store.objects import oid_of
from mlxrepo.store.quarantine import salvage


class Found(NamedTuple):
    """Where the bytes of an object were found; `data` is None when the file is a large blob."""

    key: Key
    path: str
    data: bytes | None


Take = Callable[[Found], None]


class Search:
    """Looks for lost objects, blobs by their sizes; `take` is given each that is found, once."""

    def __init__(self, lost: Mapping[Key, int], take: Take):
        self.left = dict(lost)
        self._take = take
        self._sizes = {size for key, size in lost.items() if key.kind == "blob"}

    def offer(self, key: Key, path: str, data: bytes | None) -> None:
        """Take bytes that were hashed to `key` already, if they are wanted."""
        if self.left.pop(key, None) is not None:
            self._take(Found(key, path, data))

    def look_at(self, paths: Iterable[str]) -> None:
        """Look at workspace files, or any others, one after the other."""
        for path in paths:
            if not self.left:
                return
            self._try(path)

    def look_below(self, folder: str) -> None:
        """Look at all files below a folder that holds files of a store, and other things."""
        for path in walk_files(folder):
            if not self.left:
                return
            name, _, ending = os.path.basename(path).rpartition(".")
            if ending == "pack" and is_oid(name):
                for key, data in salvage(path):
                    self.offer(key, path, data)
            else:
                self._try(path)
                self._try_tree(path)

    def _try(self, path: str) -> None:
        """Hash a file or link that has the size of something lost."""
        try:
            found = os.lstat(path)
            if found.st_size not in self._sizes:
                return
            if statlib.S_ISLNK(found.st_mode):
                target = os.fsencode(os.readlink(path))
                self.offer(Key("blob", blob_oid(target)), path, target)
            elif statlib.S_ISREG(found.st_mode):
                content = reading.read_content(path)
                self.offer(Key("blob", content.oid), path, content.data)
        except (OSError, EnvironmentFailed):
            return  # not there, not readable, not at rest: no source

    def _try_tree(self, path: str) -> None:
        """Read a file that is named like a lost tree, in one word or two: none tells its size."""
        above, name = path.split("/")[-2:]
        keys = [Key("tree", Oid(oid)) for oid in (name, above + name)]
        if self.left.keys().isdisjoint(keys):
            return
        try:
            with open(path, "rb") as stream:
                data = stream.read()
        except OSError:
            return
        self.offer(Key("tree", oid_of("tree", data)), path, data)


def walk_files(folder: str) -> Iterator[str]:
    """Yield everything below a folder that is no folder, without git's own and temporaries."""
    for here, folders, names in os.walk(folder):
        folders[:] = sorted(f for f in folders if f not in (".git", ".mlx"))
        yield from (
            os.path.join(here, name) for name in sorted(names) if not name.startswith(TEMP_PREFIX)
        )
        # os.walk counts a link to a folder among the folders, and does not enter it.
        yield from (p for f in folders if os.path.islink(p := os.path.join(here, f)))


def trees_of(nodes: Mapping[Oid, bytes], path: str, search: Search) -> None:
    """Offer the tree nodes that a workspace folder has."""
    for key in list(search.left):
        if key.kind == "tree" and key.oid in nodes:
            search.offer(key, path, nodes[key.oid])
