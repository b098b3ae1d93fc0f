"""Links instead of copies: workspace files that are the store's objects themselves (`mlx.link`).

Opt-in, because an edit through such a link would change the object. Mode bits are no proof that it
did not happen: an object is linked only if it has the stat it had when it was last hashed, or after
hashing it again, and a scan that finds an edited link puts the object into quarantine.
"""

from __future__ import annotations

import os

from mlxrepo import files, reading
from mlxrepo.hashing import Oid, is_oid
from mlxrepo.store.objects import Store
from mlxrepo.store.statcache import Folder, Seen, StatCache
from mlxrepo.store.tree import Entry


def link_object(store: Store, cache: StatCache, entry: Entry, name: str, folder: int) -> bool:
    """Make `name` in the open folder a link to an object; say whether that was possible.

    It is not when the object's file is damaged: another copy may be good.
    """
    source = store.path("blob", entry.oid)
    if entry.kind != "file" or not _is_sound(store, cache, entry, source):
        return False
    try:
        if store.link == "symlink":
            os.symlink(os.path.abspath(source), name, dir_fd=folder)
        else:
            os.link(source, name, dst_dir_fd=folder)
    except OSError as error:
        if error.errno in files.CANNOT_LINK:
            return False
        raise
    return True


def _is_sound(store: Store, cache: StatCache, entry: Entry, path: str) -> bool:
    """Say whether an object is a file of its own with the right bytes."""
    try:
        fd, found = files.open_regular(path)
    except FileNotFoundError:
        return False
    try:
        stat = files.stat_of(found)
        if _remembered(cache, entry.oid, stat):
            return True
        if reading.hash_open(fd) != entry.oid:
            return False
    finally:
        os.close(fd)
    cache.put(_key(entry.oid), Folder(b"", entry, {"object": Seen(stat, entry)}), _later(stat))
    return True


def _remembered(cache: StatCache, oid: Oid, stat: files.Stat) -> bool:
    """Compare with the last hashing; not the ctime, which every new link to the object moves."""
    row = cache.get(_key(oid))
    seen = row.files.get("object") if row else None
    return seen is not None and (seen.stat.size, seen.stat.mtime, seen.stat.inode) == (
        stat.size,
        stat.mtime,
        stat.inode,
    )


def _key(oid: Oid) -> str:
    return f"\0object/{oid}"


def _later(stat: files.Stat) -> int:
    """Return a time at which an object, which nobody may write, is old enough to be believed."""
    return max(stat.mtime, stat.ctime) + (1 << 40)


def linked_oid(store: Store, target: str) -> Oid | None:
    """Return the oid of the object that a symlink's target is, or None."""
    folder = os.path.join(os.path.abspath(store.root), "objects") + "/"
    if not target.startswith(folder):
        return None
    oid = target[len(folder) :].replace("/", "", 1)
    return Oid(oid) if is_oid(oid) else None


def quarantine_if_edited(store: Store, oid: Oid, path: str) -> bool:
    """Move an object away that was edited through the hard link at `path`.

    An object edited through a symlink stays: the edit is nowhere else. It is never trusted, since
    everything that is read is hashed.
    """
    place = store.path("blob", oid)
    try:
        same_file = os.path.samestat(os.lstat(path), os.lstat(place))
    except FileNotFoundError:
        return False
    if not same_file or reading.read_content(place).oid == oid:
        return False
    files.move(place, os.path.join(store.root, "quarantine", f"blob-{oid}"))
    store.refresh()
    return True
