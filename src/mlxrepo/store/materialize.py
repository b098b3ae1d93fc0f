"""Objects to workspace: put a file or a folder where it belongs, touching only what differs.

Everything is written under a temporary name and renamed when it is whole and verified. Folders are
walked by descriptor without following links, so a link planted on the way leads nowhere. Nothing
is removed or replaced that the caller has not listed in the plan.
"""

from __future__ import annotations

import errno
import os
import stat as statlib
from collections.abc import Callable, Iterable
from typing import NamedTuple

from mlxrepo import files
from mlxrepo.errors import Refused
from mlxrepo.files import TEMP_PREFIX, stat_of
from mlxrepo.hashing import Oid
from mlxrepo.paths import RepoPath, bad_link, display, name_of, parent
from mlxrepo.progress import SILENT, Progress
from mlxrepo.store.objects import Store
from mlxrepo.store.statcache import Folder, Seen, StatCache, listing_print, single_key
from mlxrepo.store.tree import Entry, ReadTree, Tree

_OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Write(NamedTuple):
    """One thing to put at a path; `replace` says that something may be there already.

    `top` is the tracked path it belongs to: a link must not lead out of it.
    """

    path: RepoPath
    entry: Entry
    replace: bool
    top: RepoPath


class Workspace:
    """Writes below one folder, through descriptors."""

    def __init__(self, root: str, store: Store, cache: StatCache, *, progress: Progress = SILENT):
        self.root = root
        self._store = store
        self._cache = cache
        self._progress = progress

    def write(self, items: Iterable[Write]) -> None:
        """Put each entry at its path: whole folders where none is, files one by one elsewhere."""
        for item in items:
            folder = self._enter(parent(item.path), create=True)
            try:
                self._put(folder, item)
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
            fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=folder)
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
            os.rmdir(name_of(path), dir_fd=folder)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.ENOENT, errno.ENOTDIR, errno.EBUSY):
                raise
        finally:
            os.close(folder)

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
            os.mkdir(name, 0o777, dir_fd=fd)
            return os.open(name, _OPEN_FOLDER, dir_fd=fd)

    # writing one thing

    def _put(self, folder: int, item: Write) -> None:
        name = name_of(item.path)
        temp = files.temp_name()
        try:
            if item.entry.kind == "tree":
                self._fill(folder, temp, item.path, item)
            else:
                self._make(folder, temp, item.path, item)
            files.failpoint("materialize.before-rename")
            self._rename(folder, temp, name, item)
            if item.entry.kind != "tree":
                seen = Seen(
                    stat_of(os.stat(name, dir_fd=folder, follow_symlinks=False)), item.entry
                )
                self._cache.put(single_key(item.path), Folder(b"", item.entry, {name: seen}))
        except BaseException:
            files.remove_any(os.path.join(self.root, parent(item.path), temp))
            raise

    def _rename(self, folder: int, temp: str, name: str, item: Write) -> None:
        if not item.replace and _exists(name, folder):
            raise Refused(
                f"{display(item.path)} appeared meanwhile; it was left alone", hint="mlx status"
            )
        try:
            os.rename(temp, name, src_dir_fd=folder, dst_dir_fd=folder)
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
        mode = 0o777 if entry.kind == "exec" else 0o666
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        fd = os.open(name, flags, mode, dir_fd=folder)
        try:
            self._store.write_to(fd, entry)
            return Seen(stat_of(os.fstat(fd)), entry)
        finally:
            os.close(fd)
            self._progress.advance()

    def _fill(self, folder: int, name: str, path: RepoPath, item: Write) -> None:
        """Build a whole folder under `name`; `path` is where it will stand, for the stat cache."""
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
        self._cache.put(path, Folder(listing_print(stats, folders), item.entry, seen))


def _exists(name: str, folder: int) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def clean_temporaries(folder: str) -> None:
    """Remove what a killed writer left in one workspace folder."""
    try:
        with os.scandir(folder) as items:
            left = [item.path for item in items if item.name.startswith(TEMP_PREFIX)]
    except OSError:
        return
    for path in left:
        files.remove_any(path)


class Plan(NamedTuple):
    """What a checkout would do at and below one path.

    `folders` are removed when they are empty then. `unsaved` are workspace files whose bytes the
    store does not have and that are in the way; `kept` are the user's own files, left alone.
    """

    write: tuple[Write, ...]
    remove: tuple[RepoPath, ...]
    folders: tuple[RepoPath, ...]
    chmod: tuple[tuple[RepoPath, bool], ...]
    unsaved: tuple[RepoPath, ...]
    kept: tuple[RepoPath, ...]


class Side(NamedTuple):
    """The three views of one path: what is here, what mlx last put here, what should be here."""

    here: Entry | None
    placed: Entry | None
    wanted: Entry | None


class _Planner:
    def __init__(self, top: RepoPath, read: ReadTree, is_stored: Callable[[Entry], bool]):
        self.top = top
        self.read = read
        self.is_stored = is_stored
        self.folders: list[RepoPath] = []
        self.write: list[Write] = []
        self.remove: list[RepoPath] = []
        self.chmod: list[tuple[RepoPath, bool]] = []
        self.unsaved: list[RepoPath] = []
        self.kept: list[RepoPath] = []

    def visit(self, path: RepoPath, side: Side) -> None:
        here, _, wanted = side
        if here == wanted or (here and wanted and here[:2] == wanted[:2]):
            return
        if here is None:
            if wanted:
                self.write.append(Write(path, wanted, False, self.top))
            return
        if here.kind == "tree":
            self._folder(path, side)
        elif wanted is None:
            self._surplus(path, side)
        elif wanted.kind in ("file", "exec") and here.oid == wanted.oid and here.kind != "symlink":
            self.chmod.append((path, wanted.kind == "exec"))
        else:
            self._replace(path, here, wanted)

    def _replace(self, path: RepoPath, here: Entry, wanted: Entry) -> None:
        if not self.is_stored(here):
            self.unsaved.append(path)
        if wanted.kind == "tree":
            self.remove.append(path)
        self.write.append(Write(path, wanted, True, self.top))

    def _surplus(self, path: RepoPath, side: Side) -> None:
        """Something is here that should not be: remove it only if mlx put it here."""
        if side.placed is None or side.here is None:
            self.kept.append(path)
        elif self.is_stored(side.here):
            self.remove.append(path)
        else:
            self.unsaved.append(path)
            self.remove.append(path)

    def _folder(self, path: RepoPath, side: Side) -> None:
        here = self._tree(side.here)
        placed = self._tree(side.placed)
        wanted = self._tree(side.wanted)
        for name in sorted(here.keys() | wanted.keys()):
            below = Side(here.get(name), placed.get(name), wanted.get(name))
            if below.here is not None or below.wanted is not None:
                self.visit(RepoPath(f"{path}/{name}"), below)
        if side.wanted is None:
            self.folders.append(path)
        elif side.wanted.kind != "tree":
            self.folders.append(path)
            # A file belongs where a folder stands: it can go there only when the folder is emptied.
            kept = [p for p in self.kept if p.startswith(path + "/")]
            self.kept = [p for p in self.kept if not p.startswith(path + "/")]
            self.unsaved += kept
            self.remove += kept
            self.write.append(Write(path, side.wanted, True, self.top))

    def _tree(self, entry: Entry | None) -> Tree:
        return self.read(entry.oid) if entry and entry.kind == "tree" else {}


def plan(
    path: RepoPath,
    side: Side,
    read: ReadTree,
    is_stored: Callable[[Entry], bool],
    *,
    top: RepoPath,
) -> Plan:
    """Compare the three views of a path and return what to do; pure but for reading trees.

    `top` is the tracked path that `path` is or lies in. A file that is here, should not be, and
    was never put here by mlx is the user's: it is kept.
    """
    planner = _Planner(top, read, is_stored)
    planner.visit(path, side)
    return Plan(
        tuple(planner.write),
        tuple(planner.remove),
        tuple(planner.folders),
        tuple(planner.chmod),
        tuple(planner.unsaved),
        tuple(planner.kept),
    )
