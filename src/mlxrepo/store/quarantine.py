"""Move what is damaged out of the store, keeping what is good of it.

Nothing is thrown away: files go to `quarantine/<time>/` under the names they had. A pack is
written anew without its bad objects first; until its name is free the new pack lies in the
quarantine too, where `finish` finds it after a kill.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Iterator

from mlxrepo import files
from mlxrepo.errors import Damaged
from mlxrepo.hashing import Oid
from mlxrepo.store.inventory import (
    PACK_FOLDER,
    Copy,
    Fault,
    Key,
    hash_copies,
    list_folder,
    loose_key,
    open_pack,
    pack_copies,
    read_range,
)
from mlxrepo.store.objects import oid_of
from mlxrepo.store.pack import KINDS, MAGIC, ROW, PackWriter

FOLDER = "quarantine"
REBUILT = "rebuilt"

# What a row of a pack's table looks like behind its oid: a kind, codec 0, an offset that is not 0,
# then the same length twice; all below 2^40.
_ROW_LIKE = re.compile(rb"(?s)(?=[\0\1]\0(?!\0{8}).{5}\0{3}(.{5}\0{3})\1)")


def new_folder() -> str:
    """Return the name, below the store, of a new folder in the quarantine."""
    return f"{FOLDER}/{time.strftime('%Y%m%d-%H%M%S-')}{os.urandom(3).hex()}"


def move_away(root: str, faults: Iterable[Fault], folder: str) -> list[str]:
    """Move the files with faults to `folder` and return them; packs leave their good objects.

    Each is looked at again first: somebody else may have mended it.
    """
    moved = []
    for file in sorted({fault.file for fault in faults if fault.file}):
        exchange = _exchange_pack if loose_key(file) is None else _move_loose
        if exchange(root, file, folder):
            moved.append(file)
    finish(root)
    return moved


def finish(root: str) -> None:
    """Put the new packs where packs belong, also those that a killed exchange left behind."""
    for stamp in list_folder(os.path.join(root, FOLDER)):
        _publish(root, f"{FOLDER}/{stamp}")


def _publish(root: str, folder: str) -> None:
    """Put the new packs of an exchange in place, but for those whose name is taken."""
    for name in list_folder(os.path.join(root, folder, REBUILT)):
        if not os.path.lexists(os.path.join(root, PACK_FOLDER, name)):
            _move(root, f"{folder}/{REBUILT}/{name}", f"{PACK_FOLDER}/{name}")


def _move_loose(root: str, file: str, folder: str) -> bool:
    key = loose_key(file)
    assert key is not None
    try:
        size = os.lstat(os.path.join(root, file)).st_size
    except FileNotFoundError:
        return False
    still_bad = hash_copies(root, file, [Copy(key, file, 0, size)])
    return bool(still_bad) and _move(root, file, f"{folder}/{file}")


def _exchange_pack(root: str, file: str, folder: str) -> bool:
    """Write what is good of a pack anew and move the old one away; False when nothing is wrong.

    The new one comes first, so that nobody misses its objects; only where its name is still taken,
    by the old one or by another that is to be moved, it has to wait.
    """
    try:
        if not hash_copies(root, file, list(pack_copies(file, open_pack(root, file)))):
            return False
    except Damaged:
        pass
    except FileNotFoundError:
        return False
    _write_good(root, os.path.join(root, file), os.path.join(root, folder, REBUILT))
    _publish(root, folder)
    return _move(root, file, f"{folder}/{file}")


def _write_good(root: str, source: str, target: str) -> None:
    """Write the good objects of a pack as a new one in the folder `target`, if there are any."""
    writer = PackWriter(os.path.join(root, "tmp"), target)
    kept = 0
    try:
        for key, data in salvage(source):
            writer.add(key.kind, key.oid, data)
            kept += 1
        if kept:
            writer.close()
    except BaseException:
        writer.abort()
        raise
    if not kept:
        writer.abort()


def _move(root: str, source: str, target: str) -> bool:
    full = os.path.join(root, target)
    try:
        files.move(os.path.join(root, source), full)
    except FileNotFoundError:
        return False
    files.sync_folder(os.path.dirname(full))
    return True


def salvage(path: str) -> Iterator[tuple[Key, bytes]]:
    """Yield every object of a pack, however damaged, whose bytes are what its oid says.

    Where the table cannot be believed any more its rows still prove themselves, one by one.
    """
    seen: set[Key] = set()
    # In the order in which they lie: a pack of which nothing was lost gets its own name again.
    for copy in sorted(_salvageable(path), key=lambda copy: copy.offset):
        if copy.key in seen:
            continue
        try:
            data = read_range(path, copy.offset, copy.size)
        except OSError:
            continue
        if oid_of(copy.key.kind, data) == copy.key.oid:
            seen.add(copy.key)
            yield copy.key, data


def _salvageable(path: str) -> Iterator[Copy]:
    folder, name = os.path.split(path)
    try:
        yield from pack_copies(name, open_pack(folder, name))
    except Damaged:
        yield from _rows_anywhere(path)


def _rows_anywhere(path: str) -> Iterator[Copy]:
    """Yield what looks like a row of the table, wherever it stands in the file."""
    try:
        with open(path, "rb") as stream:
            data = stream.read()
    except OSError:
        return
    for match in _ROW_LIKE.finditer(data, 32):
        start = match.start() - 32
        if start + ROW.size > len(data):
            return
        oid, kind, _, offset, length, _ = ROW.unpack_from(data, start)
        if len(MAGIC) <= offset and offset + length <= start:
            yield Copy(Key(KINDS[kind], Oid(oid.hex())), path, offset, length)
