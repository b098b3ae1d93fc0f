"""GPUs: which are the caller's, and leases on them that hold for the whole machine.

A lease is a kernel lock on a file in the system's temporary folder, one file for each device and
all users. It goes with its holder, and the command inherits it: a command that outlives an mlx
that was killed still has its devices.
"""

from __future__ import annotations

import contextlib
import fcntl
import getpass
import glob
import os
import re
import stat
import subprocess
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from mlxrepo.errors import EnvironmentFailed
from mlxrepo.hashing import fingerprint

VISIBLE = "CUDA_VISIBLE_DEVICES"
LEASED = "MLXREPO_GPUS"  # set for commands: what an mlx in a stage shares out is leased already
# Not $TMPDIR: users who have each their own would not see each other's leases.
FOLDER = "/tmp"
_DRIVER = "/proc/driver/nvidia/gpus/*/information"
_NAME = re.compile(r"\d+|(GPU|MIG)-[0-9A-Za-z/._-]+|[A-Za-z][0-9A-Za-z._-]*")


class Device(NamedTuple):
    """One GPU: the name that CUDA knows it by, and the name that every process has for it."""

    name: str
    identity: str


def visible(environ: Mapping[str, str]) -> list[Device]:
    """Return the caller's GPUs: those of CUDA_VISIBLE_DEVICES, else those the driver lists."""
    listed = _driver_lists()
    text = environ.get(VISIBLE)
    if text is None:
        return [Device(uuid, uuid) for uuid in listed]
    found: list[Device] = []
    for name in (part.strip() for part in text.split(",")):
        if not _NAME.fullmatch(name) or name == "NoDevFiles":
            break  # as CUDA does: what follows a name that is none does not count
        device = Device(name, _identity(name, listed))
        if device.identity not in {other.identity for other in found}:
            found.append(device)
    return found


def _identity(name: str, listed: Sequence[str]) -> str:
    """Return the same text for `0` and for the UUID of the first device, where that is known."""
    if name.isdecimal():
        return listed[int(name)] if int(name) < len(listed) else name
    return next((uuid for uuid in listed if uuid.startswith(name)), name)


def _driver_lists() -> list[str]:
    """Return the UUIDs of the machine's GPUs in the order of their slots."""
    found = []
    for path in sorted(glob.glob(_DRIVER)):
        with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as rows:
            found += re.findall(r"^GPU UUID:\s*(GPU-\S+)", rows.read(), re.MULTILINE)
    if found:
        return found
    try:
        done = subprocess.run(
            ["nvidia-smi", "-L"], capture_output=True, check=False, text=True, timeout=20
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return re.findall(r"\(UUID: (GPU-[^)]+)\)", done.stdout) if done.returncode == 0 else []


class Lease(NamedTuple):
    """Devices held, and the open files whose locks hold them."""

    devices: tuple[Device, ...]
    files: tuple[int, ...]
    outer: str  # what was leased already by an mlx around this one

    @property
    def environment(self) -> dict[str, str]:
        """Return what the command has to find in its environment."""
        names = ",".join(device.name for device in self.devices)
        held = ",".join(device.identity for device in self.devices)
        return {VISIBLE: names, LEASED: f"{self.outer}{held};"}

    def release(self) -> None:
        """Give the devices back, also where a process that the command left has the files open."""
        for fd in self.files:
            fcntl.flock(fd, fcntl.LOCK_UN)
            os.close(fd)


class Devices:
    """The caller's GPUs, leased for the whole machine."""

    def __init__(self, environ: Mapping[str, str]):
        self.all = visible(environ)
        # A stage that runs mlx holds its devices: the mlx in it shares them out on its own.
        self._outer = environ.get(LEASED, "")

    def lease(self, count: int, holder: str) -> Lease | None:
        """Take `count` devices that nobody holds; None when there are not so many.

        Raises:
            EnvironmentFailed: when a lease cannot be written down.
        """
        taken: list[tuple[Device, int]] = []
        try:
            for device in self.all:
                if len(taken) == count:
                    break
                fd = _open(self._path(device))
                if not _lock(fd, self._path(device)):
                    os.close(fd)
                    continue
                taken.append((device, fd))
                _sign(fd, holder)
        except BaseException:
            _drop(taken)
            raise
        if len(taken) < count:
            _drop(taken)
            return None
        return Lease(tuple(d for d, _ in taken), tuple(fd for _, fd in taken), self._outer)

    def holders(self) -> list[str]:
        """Say who holds devices of the caller's now."""
        found = []
        for device in self.all:
            fd = _open(self._path(device))
            try:
                fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                who = os.pread(fd, 300, 0).decode("utf-8", "replace").strip() or "somebody"
                found.append(f"{device.name} by {who}")
            finally:
                os.close(fd)
        return found

    def _path(self, device: Device) -> str:
        digest = fingerprint(f"{self._outer}{device.identity}".encode()).hex()
        return os.path.join(FOLDER, f"mlxrepo-gpu-{digest}.lock")


def holder(stage: str) -> str:
    """Return what is written down for those who wait."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a number without a name, as in containers
        user = f"user {os.getuid()}"
    return f"stage {stage} of {user} (process {os.getpid()})"


def _open(path: str) -> int:
    """Open a file that all users share.

    It is created only when it is not there: in a sticky folder the kernel may refuse O_CREAT for a
    file of somebody else's (fs.protected_regular).
    """
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    for _ in range(100):
        try:
            fd = _existing(path, flags)
        except FileNotFoundError:
            try:
                fd = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o666)
            except FileExistsError:
                continue
            os.fchmod(fd, 0o666)  # whatever the umask
        except OSError as error:
            raise _unusable(path, error.strerror or "") from None
        if stat.S_ISREG(os.fstat(fd).st_mode):
            return fd
        os.close(fd)
        raise _unusable(path, "it is not a file")
    raise _unusable(path, "it comes and goes")


def _existing(path: str, flags: int) -> int:
    try:
        return os.open(path, flags)
    except PermissionError:
        # Its maker has not opened it to all yet, or never will: a lock needs no right to write.
        return os.open(path, flags & ~os.O_RDWR | os.O_RDONLY)


def _unusable(path: str, why: str) -> EnvironmentFailed:
    return EnvironmentFailed(
        f"{path}, by which GPUs are leased, cannot be used: {why}",
        hint=f"see who made it: ls -l {path}; it can be removed while no stage has a GPU",
    )


def _lock(fd: int, path: str) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    # A cleaner may have removed the file between opening and locking: then it is no lock.
    try:
        return os.path.samestat(os.fstat(fd), os.lstat(path))
    except FileNotFoundError:
        return False


def _sign(fd: int, holder: str) -> None:
    with contextlib.suppress(OSError):  # read only: then nobody learns who
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{holder}\n".encode(), 0)


def _drop(taken: Sequence[tuple[Device, int]]) -> None:
    for _, fd in taken:
        os.close(fd)
