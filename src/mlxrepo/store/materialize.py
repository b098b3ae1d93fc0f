"""Objects to workspace: put a file or a folder where it belongs, touching only what differs.

Everything is written under a temporary name and renamed when it is whole and verified. Folders are
walked by descriptor without following links, so a link planted on the way leads nowhere. Nothing
is removed or replaced that the caller has not listed in the plan.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat as statlib
from collections.abc import Iterable
from itertools import groupby

from mlxrepo import files
from mlxrepo.errors import Damaged, Refused
from mlxrepo.files import Stat, stat_of
from mlxrepo.hashing import Oid
from mlxrepo.paths import RepoPath, bad_link, display, name_of, parent
from mlxrepo.progress import SILENT, Progress
from mlxrepo.store.links import link_object
from mlxrepo.store.objects import Store
from mlxrepo.store.plan import Plan, Side, Write, plan
from mlxrepo.store.snapshot import Rules, no_rules
from mlxrepo.store.statcache import (
    Folder,
    Seen,
    StatCache,
    listing_print,
    single_key,
)
from mlxrepo.store.tree import Entry, check_depth

__all__ = ["Plan", "Side", "Workspace", "Write", "plan"]

_OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Workspace:
    """Writes below one folder, through descriptors."""

    def __init__(
        self,
        root: str,
        store: Store,
        cache: StatCache,
        *,
        rules: Rules = no_rules,
        progress: Progress = SILENT,
    ):
        self.root = root
        self._store = store
        self._cache = cache
        self._rules = rules
        self._progress = progress

    def write(self, items: Iterable[Write]) -> None:
        """Put each entry at its path: whole folders where none is, files one by one elsewhere."""
        for path, group in groupby(items, key=lambda item: parent(item.path)):
            folder = self._enter(path, create=True)
            try:
                with files.temp_folder(folder) as workshop:
                    for item in group:
                        self._put(folder, workshop, item)
            finally:
                os.close(folder)

    def remove(self, paths: Iterable[RepoPath]) -> None:
        """Remove files and links."""
        for path in paths:
            try:
                folder = self._enter(parent(path), create=False)
            except FileNotFoundError:
                continue
            try:
                self._unlink(name_of(path), folder)
            finally:
                os.close(folder)
            self._progress.advance()

    def remove_folders(self, paths: Iterable[RepoPath]) -> None:
        """Remove those of the folders that are empty, the deepest first."""
        for path in sorted(paths, key=len, reverse=True):
            self._remove_empty(path)

    def clean(self, folders: Iterable[RepoPath]) -> None:
        """Remove what killed writers left in folders; those behind a link are not ours."""
        for path in folders:
            with contextlib.suppress(FileNotFoundError, Refused):
                folder = self._enter(path, create=False)
                try:
                    files.remove_dead(folder)
                finally:
                    os.close(folder)

    def apply(self, plan: Plan) -> None:
        """Do what a plan says: make room first, then write."""
        self.remove(plan.remove)
        self.remove_folders(plan.folders)
        for path, executable in plan.chmod:
            self.make_executable(path, executable)
        self.write(plan.write)

    def make_executable(self, path: RepoPath, executable: bool) -> None:
        """Set or clear the executable bits of a file as its read bits allow."""
        folder = self._enter(parent(path), create=False)
        try:
            name = name_of(path)
            fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
            try:
                mode = statlib.S_IMODE(os.fstat(fd).st_mode)
                os.fchmod(fd, mode | (mode & 0o444) >> 2 if executable else mode & ~0o111)
            finally:
                os.close(fd)
        finally:
            os.close(folder)

    def _remove_empty(self, path: RepoPath) -> None:
        try:
            folder = self._enter(parent(path), create=False)
        except FileNotFoundError:
            return
        try:
            self._remove_left(name_of(path), folder)
            os.rmdir(name_of(path), dir_fd=folder)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.ENOENT, errno.ENOTDIR, errno.EBUSY):
                raise
        finally:
            os.close(folder)

    @staticmethod
    def _remove_left(name: str, folder: int) -> None:
        """Remove what killed writers left in a folder: it would never become empty."""
        below = os.open(name, _OPEN_FOLDER, dir_fd=folder)
        try:
            files.remove_dead(below)
        finally:
            os.close(below)

    def _unlink(self, name: str, folder: int) -> None:
        try:
            os.unlink(name, dir_fd=folder)
        except FileNotFoundError:
            pass

    def _enter(self, path: RepoPath, *, create: bool) -> int:
        """Open a folder step by step; refuse to pass through a link or a file."""
        fd = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        done = ""
        for name in path.split("/") if path else ():
            done = f"{done}/{name}" if done else name
            try:
                below = self._step(name, fd, create)
            except OSError as error:
                if error.errno in (errno.ELOOP, errno.ENOTDIR):
                    raise Refused(
                        f"{display(done)} is no folder here, and mlx does not write through links",
                        hint=f"move {display(done)} away, then again",
                    ) from None
                raise
            finally:
                os.close(fd)
            fd = below
        return fd

    @staticmethod
    def _step(name: str, fd: int, create: bool) -> int:
        try:
            return os.open(name, _OPEN_FOLDER, dir_fd=fd)
        except FileNotFoundError:
            if not create:
                raise
            with contextlib.suppress(FileExistsError):  # somebody else made it meanwhile
                os.mkdir(name, 0o777, dir_fd=fd)
            return os.open(name, _OPEN_FOLDER, dir_fd=fd)

    # writing one thing

    def _put(self, folder: int, workshop: int, item: Write) -> None:
        """Make one thing in the workshop, a temporary folder, and move it to its place."""
        name = name_of(item.path)
        if item.entry.kind != "tree":
            self._make(workshop, name, item.path, item)
            files.failpoint("materialize.before-rename")
            self._rename(workshop, folder, name, item)
            is_link = item.entry.kind == "symlink"
            found = os.stat(name, dir_fd=folder, follow_symlinks=not is_link)
            seen = Seen(stat_of(found), item.entry)
            key = single_key(item.path) if item.path == item.top else parent(item.path)
            place = os.path.join(self.root, parent(item.path))
            self._cache.put_new(key, Folder(b"", item.entry, {name: seen}), place)
        elif _is_folder(name, folder):
            self._put_into(folder, workshop, item)
        else:
            self._fill(workshop, name, item.path, item)
            files.failpoint("materialize.before-rename")
            self._rename(workshop, folder, name, item)

    def _put_into(self, folder: int, workshop: int, item: Write) -> None:
        """Put a folder's content one by one into a folder that is there already."""
        below = os.open(name_of(item.path), _OPEN_FOLDER, dir_fd=folder)
        try:
            for child, entry in self._store.tree(item.entry.oid).items():
                path = RepoPath(f"{item.path}/{child}")
                self._put(below, workshop, Write(path, entry, False, item.top))
        finally:
            os.close(below)

    def _rename(self, workshop: int, folder: int, name: str, item: Write) -> None:
        if not item.replace and _exists(name, folder):
            raise Refused(
                f"{display(item.path)} appeared meanwhile; it was left alone", hint="mlx status"
            )
        try:
            os.rename(name, name, src_dir_fd=workshop, dst_dir_fd=folder)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EISDIR, errno.ENOTDIR, errno.EEXIST):
                raise Refused(
                    f"{display(item.path)} is in the way of what belongs there",
                    hint=f"move {display(item.path)} away, then again",
                ) from None
            raise

    def _make(self, folder: int, name: str, path: str, item: Write) -> Seen:
        """Write one file or link under `name`; its bytes are verified before this returns."""
        entry = item.entry
        if entry.kind == "symlink":
            target = os.fsdecode(self._store.read("blob", entry.oid))
            reason = bad_link(path, target, item.top)
            if reason:
                raise Refused(f'{display(path)} would link to "{display(target)}", which {reason}')
            os.symlink(target, name, dir_fd=folder)
            found = os.stat(name, dir_fd=folder, follow_symlinks=False)
            return Seen(stat_of(found), entry)
        if self._store.link != "copy" and self._link(folder, name, entry):
            return Seen(self._look(folder, name), entry)
        mode = 0o777 if entry.kind == "exec" else 0o666
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        fd = os.open(name, flags, mode, dir_fd=folder)
        try:
            self._store.write_to(fd, entry)
            found = os.fstat(fd)
            if found.st_size != entry.size:
                raise Damaged(
                    f"{display(path)} is recorded with {entry.size} bytes, its object has "
                    f"{found.st_size}"
                )
            return Seen(stat_of(found), entry)
        finally:
            os.close(fd)
            self._progress.advance()

    def _link(self, folder: int, name: str, entry: Entry) -> bool:
        made = link_object(self._store, self._cache, entry, name, folder)
        if made:
            self._progress.advance()
        return made

    @staticmethod
    def _look(folder: int, name: str) -> Stat:
        """Return the stat of a link's object: an edit through the link changes that one."""
        return stat_of(os.stat(name, dir_fd=folder))

    def _fill(self, folder: int, name: str, path: RepoPath, item: Write) -> None:
        """Build a whole folder under `name`; `path` is where it will stand, for the stat cache."""
        check_depth(path)
        os.mkdir(name, 0o777, dir_fd=folder)
        fd = os.open(name, _OPEN_FOLDER, dir_fd=folder)
        try:
            seen: dict[str, Seen] = {}
            folders: list[tuple[str, Oid]] = []
            for child, entry in self._store.tree(item.entry.oid).items():
                below = RepoPath(f"{path}/{child}")
                if entry.kind == "tree":
                    self._fill(fd, child, below, item._replace(entry=entry))
                    folders.append((child, entry.oid))
                else:
                    seen[child] = self._make(fd, child, below, item._replace(entry=entry))
        finally:
            os.close(fd)
        stats = [(child, one.stat) for child, one in seen.items()]
        seen_print = listing_print(stats, folders, self._rules(path))
        place = os.path.join(self.root, path)
        self._cache.put_new(path, Folder(seen_print, item.entry, seen), place)


def _exists(name: str, folder: int) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _is_folder(name: str, folder: int) -> bool:
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return statlib.S_ISDIR(found.st_mode)
