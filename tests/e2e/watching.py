"""Watch which files the system reads, with inotify: what was hashed again, whatever mlx says."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_READ = 0x1  # IN_ACCESS
_IS_FOLDER = 0x40000000  # IN_ISDIR
_EVENT = struct.Struct("iIII")
_LIBC = ctypes.CDLL(None, use_errno=True)


@contextmanager
def reads(*folders: Path) -> Iterator[set[str]]:
    """Collect the names of the files directly in these folders whose bytes are read meanwhile."""
    watch = _LIBC.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    assert watch >= 0, os.strerror(ctypes.get_errno())
    found: set[str] = set()
    try:
        for folder in folders:
            added = _LIBC.inotify_add_watch(watch, os.fsencode(folder), _READ)
            assert added >= 0, os.strerror(ctypes.get_errno())
        yield found
        found.update(_names(watch))
    finally:
        os.close(watch)


def _names(watch: int) -> Iterator[str]:
    while True:
        try:
            events = os.read(watch, 1 << 20)
        except BlockingIOError:
            return
        at = 0
        while at < len(events):
            _, mask, _, length = _EVENT.unpack_from(events, at)
            at += _EVENT.size
            name = events[at : at + length].rstrip(b"\0")
            at += length
            if name and not mask & _IS_FOLDER:
                yield os.fsdecode(name)
