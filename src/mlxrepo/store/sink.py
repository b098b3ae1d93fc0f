"""Where a scan puts what it finds: the store (`Batch`), a remote (`Outbox`), or nowhere."""

from __future__ import annotations

import os
from typing import Protocol

from mlxrepo.files import stat_of
from mlxrepo.hashing import Oid, tree_oid
from mlxrepo.reading import Content
from mlxrepo.store.copies import oid_of
from mlxrepo.store.tree import Entry


class Sink(Protocol):
    """Takes objects; children come before what names them."""

    def has(self, kind: str, oid: Oid) -> bool:
        """Say whether an object need not be put."""

    def has_entry(self, entry: Entry) -> bool:
        """Say the same of what an entry names; for a tree, of its own node only."""

    def put(self, kind: str, data: bytes, oid: Oid | None = None) -> Oid:
        """Take a small object; `oid` when the caller has hashed it already."""

    def put_tree(self, data: bytes) -> Oid:
        """Take the canonical bytes of a tree node."""

    def put_file(self, path: str, size: int | None = None) -> Content:
        """Take the content of a file; `size` in bytes when the caller knows it."""


class Nowhere:
    """Takes nothing and reads no file: what a file holds is made up, sizes and totals are right.

    So what cannot be kept is refused before anything is done about the rest. The scan needs a
    stat cache of its own that nobody believes.
    """

    def has(self, kind: str, oid: Oid) -> bool:
        """Say that nothing is there."""
        return False

    def has_entry(self, entry: Entry) -> bool:
        """Say that nothing is there."""
        return False

    def put(self, kind: str, data: bytes, oid: Oid | None = None) -> Oid:
        """Name a small object."""
        return oid or oid_of(kind, data)

    def put_tree(self, data: bytes) -> Oid:
        """Name a tree."""
        return tree_oid(data)

    def put_file(self, path: str, size: int | None = None) -> Content:
        """Look at a file."""
        return Content(oid_of("blob", b""), stat_of(os.lstat(path)), None)
