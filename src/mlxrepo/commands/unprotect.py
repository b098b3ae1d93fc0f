"""mlx unprotect: turn links into the store into private copies that can be written."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mlxrepo import files
from mlxrepo.errors import InputError
from mlxrepo.paths import TEMP_PREFIX, RepoPath, is_inside, parent
from mlxrepo.progress import SILENT, Progress
from mlxrepo.reading import read_content
from mlxrepo.repo.owned import refuse_links
from mlxrepo.repo.repo import Repo
from mlxrepo.repo.targets import resolve_tracked


@dataclass(frozen=True, slots=True)
class Unprotected:
    """The files that were links, or read-only, and are private now; `size` bytes were copied."""

    paths: tuple[RepoPath, ...]
    size: int


def unprotect(repo: Repo, targets: Sequence[str], *, progress: Progress = SILENT) -> Unprotected:
    """Make every file of the targets a private, writable copy; times and contents stay.

    Each file is the link or the copy at any moment.

    Raises:
        InputError: when a target is not tracked, or none is given.
        EnvironmentFailed: when a file will not hold still.
    """
    if not targets:
        raise InputError("name what is to be writable", hint="mlx unprotect data/images")
    chosen = resolve_tracked(targets, repo.place, lambda: repo.declared, repo.observed)
    scan = repo.scan()
    paths: list[RepoPath] = []
    size = 0
    progress.start("copying")
    for tracked, path in chosen:
        refuse_links(repo.root, parent(path))
        scan.entry(path, top=tracked.path)  # an object that was edited through a link shows here
        for file in _files(repo, path):
            copied = _make_private(repo, file)
            if copied is not None:
                paths.append(file)
                size += copied
            progress.advance()
    progress.done()
    return Unprotected(tuple(paths), size)


def _files(repo: Repo, path: RepoPath) -> Iterator[RepoPath]:
    """Yield every file and link at or below a path; folders behind links are not entered."""
    full = repo.full(path)
    if not os.path.isdir(full) or os.path.islink(full):
        if os.path.lexists(full):
            yield path
        return
    for here, _, names in os.walk(full):
        for name in names:
            if not name.startswith(TEMP_PREFIX):
                yield RepoPath(os.path.relpath(os.path.join(here, name), repo.root))


def _make_private(repo: Repo, path: RepoPath) -> int | None:
    """Return the bytes that were copied; None when there was nothing to do."""
    full = repo.full(path)
    found = os.lstat(full)
    if stat.S_ISLNK(found.st_mode):
        source = os.path.realpath(full)
        inside = is_inside(source, os.path.realpath(repo.store.root))
        return _replace(full, source) if inside and os.path.isfile(source) else None
    if not stat.S_ISREG(found.st_mode):
        return None
    if found.st_nlink > 1:
        return _replace(full, full)
    if found.st_mode & stat.S_IWUSR:
        return None
    os.chmod(full, stat.S_IMODE(found.st_mode) | stat.S_IWUSR)
    return 0


def _replace(full: str, source: str) -> int:
    """Put a copy of `source` at `full`, as new files are made here, with the times it had."""
    mode = 0o777 if os.stat(source).st_mode & stat.S_IXUSR else 0o666
    with files.temp_file(os.path.dirname(full), mode) as (fd, temp):
        content = read_content(source, sink=fd)
        if content.data is not None:
            files.write_all(fd, content.data)
        os.utime(fd, ns=(content.stat.mtime, content.stat.mtime))
        files.move(temp, full)
    return content.stat.size
