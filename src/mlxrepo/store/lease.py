"""Leases: what running processes need of a store, and when gc may take something away.

    leases/<pid>-<since>-<random>   held by a kernel lock while its process lives; since when, in
                                    nanoseconds by the store's clock. It holds the objects that were
                                    reused, in 33 bytes each: kind (0 blob, 1 tree) and oid
    gc.lock                         held shared from the question "is it here?" to the answer's
                                    being written down, exclusive while gc removes

A kernel lock goes with its holder, so a dead process never blocks and keeps nothing.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Iterator
from typing import NamedTuple

from mlxrepo.errors import EnvironmentFailed
from mlxrepo.files import make_folder, remove_quietly, write_all
from mlxrepo.hashing import Oid
from mlxrepo.store.pack import KINDS

FOLDER = "leases"
LOCK = "gc.lock"
WAIT_SECONDS = 30.0
KEY_SIZE = 33

_READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)
_FULL = (errno.ENOSPC, errno.EDQUOT)


def binary_key(kind: str, oid: Oid) -> bytes:
    """Return the kind and oid of an object in 33 bytes."""
    return bytes((KINDS.index(kind),)) + bytes.fromhex(oid)


class Lease:
    """What this process reuses of the store; opened at the first use, closed with the store.

    Where the store is read-only for this user nothing is held: nothing is written there either.
    """

    def __init__(self, store_root: str):
        self._root = store_root
        self._path = ""
        self._fd = -1
        self._owner = 0
        self._writers = 0
        self._pending = bytearray()

    def reuse(self, kind: str, oid: Oid) -> None:
        """Keep an object, and all below a tree, for as long as this process lives.

        Inside `writing` it is noted when that ends, which gc waits for.
        """
        self._pending += binary_key(kind, oid)
        if not self._writers:
            self._flush()

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Keep gc from removing anything while the block runs; it may be nested.

        What was listed of the store before has to be looked at again inside.

        Raises:
            EnvironmentFailed: when a gc does not end within `WAIT_SECONDS`.
        """
        with _locked(self._root, fcntl.LOCK_SH):
            self._open((*_READ_ONLY, *_FULL))  # on a full disk what is here can still be read
            self._writers += 1
            try:
                yield
            finally:
                self._writers -= 1
                self._flush()

    def close(self) -> None:
        """End the lease: what it kept now has to be named by somebody else."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            if self._owner == os.getpid():  # and no child of it
                remove_quietly(self._path)

    def _flush(self) -> None:
        if self._pending:
            self._open(_READ_ONLY)
            if self._fd >= 0:
                write_all(self._fd, self._pending)
            self._pending.clear()

    def _open(self, bearable: tuple[int, ...]) -> None:
        if self._fd >= 0:
            return
        try:
            self._path, self._fd = _create(self._root)
        except OSError as error:
            if error.errno not in bearable:
                raise
        self._owner = os.getpid()


def _create(root: str) -> tuple[str, int]:
    """Make a file that is locked before anybody takes it for a dead one."""
    folder = os.path.join(root, FOLDER)
    make_folder(folder)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
    while True:
        name = f"{os.getpid()}-{clock(root)}-{os.urandom(4).hex()}"
        path = os.path.join(folder, name)
        fd = os.open(path, flags, 0o644)
        fcntl.flock(fd, fcntl.LOCK_EX)
        if os.fstat(fd).st_nlink:
            return path, fd
        os.close(fd)


class Held(NamedTuple):
    """The lease of a living process: since when (nanoseconds), and the keys it reuses."""

    pid: str
    began: int
    keys: frozenset[bytes]


def held(store_root: str) -> list[Held]:
    """Return the leases of living processes; those of dead ones are removed where possible."""
    folder = os.path.join(store_root, FOLDER)
    try:
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        return []
    found = (_look(os.path.join(folder, name)) for name in names)
    return [lease for lease in found if lease]


@contextlib.contextmanager
def alone(store_root: str) -> Iterator[None]:
    """Keep every writer out while the block runs, for a moment.

    Raises:
        EnvironmentFailed: when one does not end within `WAIT_SECONDS`, naming it, or when the
            store is read-only for this user.
    """
    with _locked(store_root, fcntl.LOCK_EX) as fd:
        if fd < 0:
            raise EnvironmentFailed(f"{store_root} is not writable for you")
        with contextlib.suppress(OSError):  # a full disk
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        yield


def clock(store_root: str) -> int:
    """Return the time by the clock that the files of a store get theirs from, in nanoseconds."""
    path = os.path.join(store_root, LOCK)
    try:
        os.utime(path)
        return os.stat(path).st_mtime_ns
    except OSError:  # nobody has written there yet, or nobody can
        return time.time_ns()


def _look(path: str) -> Held | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None  # closed meanwhile
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _parse(os.path.basename(path), fd)
    else:
        with contextlib.suppress(OSError):
            os.unlink(path)
        return None
    finally:
        os.close(fd)


def _parse(name: str, fd: int) -> Held:
    pid, since, _ = name.split("-")
    data = os.pread(fd, os.fstat(fd).st_size, 0)
    whole = len(data) // KEY_SIZE * KEY_SIZE
    keys = frozenset(data[at : at + KEY_SIZE] for at in range(0, whole, KEY_SIZE))
    return Held(pid, int(since), keys)


@contextlib.contextmanager
def _locked(root: str, how: int) -> Iterator[int]:
    """Hold gc.lock; without it (-1) where the store is read-only for this user."""
    fd = _open_lock(root)
    try:
        if fd >= 0:
            _wait(fd, how, root)
        yield fd
    finally:
        if fd >= 0:
            os.close(fd)


def _open_lock(root: str) -> int:
    path = os.path.join(root, LOCK)
    for flags in (os.O_RDWR | os.O_CREAT, os.O_RDONLY):
        try:
            return os.open(path, flags | os.O_CLOEXEC, 0o666)
        except OSError as error:
            if error.errno not in (*_READ_ONLY, errno.ENOENT):
                raise
    return -1


def _wait(fd: int, how: int, root: str) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            fcntl.flock(fd, how | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise _busy(fd, how, root) from None
            time.sleep(0.02)


def _busy(fd: int, how: int, root: str) -> EnvironmentFailed:
    if how == fcntl.LOCK_SH:
        holder = os.pread(fd, 20, 0).decode("ascii", "replace").strip() or "unknown"
        what = f"mlx gc is at work in the store (process {holder})"
    else:
        pids = ", ".join(lease.pid for lease in held(root)) or "unknown"
        what = f"another mlx writes into the store (process {pids})"
    return EnvironmentFailed(what, hint=f"wait for it, then again; the lock is {root}/{LOCK}")
