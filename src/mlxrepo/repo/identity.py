"""Which repository this is, for remotes: its clones are the same one, and forks too."""

from __future__ import annotations

import os
from collections.abc import Mapping

from mlxrepo.hashing import blob_oid
from mlxrepo.repo.repo import Repo


def identity(repo: Repo) -> tuple[str, Mapping[str, object]]:
    """Return the id of this repository and what a remote is told of it.

    It is made of the first commits of the history. A shallow clone, and one without a commit, do
    not know them and are repositories of their own.
    """
    _, out = repo.git.run("rev-list", "--max-parents=0", "HEAD", accept=(0, 128))
    roots = sorted(out.decode().split())
    name = os.path.basename(repo.root)
    if os.path.exists(os.path.join(repo.common_dir, "shallow")) or not roots:
        mark = blob_oid("\n".join([repo.common_dir, *roots]).encode("utf-8", "surrogateescape"))
        return mark[:16], {"name": name, "roots": roots, "whole": False}
    return blob_oid("\n".join(roots).encode())[:16], {"name": name, "roots": roots, "whole": True}
