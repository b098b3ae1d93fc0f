"""What a folder's disk can do, found out by doing it in temporary files."""

from __future__ import annotations

import contextlib
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator

from mlxrepo.files import TEMP_PREFIX, write_atomic
from mlxrepo.reading import reflink

FLUSHES = 5


@contextlib.contextmanager
def workbench(folder: str) -> Iterator[str]:
    """Make a temporary folder in `folder`, under a name that every scan passes over."""
    made = tempfile.mkdtemp(prefix=TEMP_PREFIX, dir=folder)
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def link_types(source: str, target: str) -> dict[str, bool]:
    """Say which links from a file in folder `source` into folder `target` can be made."""
    trials: dict[str, Callable[[str, str], bool]] = {
        "reflink": _reflink,
        "hardlink": _hardlink,
        "symlink": _symlink,
    }
    file = os.path.join(source, "object")
    with open(file, "wb") as stream:
        stream.write(b"x" * 4096)
    return {word: trial(file, os.path.join(target, word)) for word, trial in trials.items()}


def _reflink(file: str, new: str) -> bool:
    with open(file, "rb") as source, open(new, "wb") as target:
        return reflink(source.fileno(), target.fileno())


def _hardlink(file: str, new: str) -> bool:
    from pathlib import Path

    try:
        Path(new).hardlink_to(file)
    except OSError:
        return False
    return True


def _symlink(file: str, new: str) -> bool:
    try:
        os.symlink(file, new)
    except OSError:
        return False
    return True


def is_case_blind(bench: str) -> bool:
    """Say whether `a` and `A` are one file here."""
    with open(os.path.join(bench, "case"), "wb"):
        return os.path.exists(os.path.join(bench, "CASE"))


def keeps_executable(bench: str) -> bool:
    """Say whether a file here can be executable, and can be not."""
    path = os.path.join(bench, "mode")
    with open(path, "wb"):
        pass
    seen = []
    for mode in (0o755, 0o644):
        os.chmod(path, mode)
        seen.append(bool(os.stat(path).st_mode & 0o100))
    return seen == [True, False]


def flush_seconds(bench: str) -> float:
    """Return what writing one small file durably takes: the median of a few."""
    taken = []
    for number in range(FLUSHES):
        start = time.perf_counter()
        write_atomic(os.path.join(bench, f"flush{number}"), b"x" * 4096)
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def disk_type(path: str) -> str:
    """Return the type of the file system a path lies on; empty where /proc does not say."""
    device = os.stat(path).st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    best = ("", "")
    with contextlib.suppress(OSError), open("/proc/self/mountinfo", encoding="utf-8") as rows:
        for row in rows:
            left, _, right = row.partition(" - ")
            fields = left.split()
            # Sub-volumes have numbers of their own: then the mount point above the path decides.
            is_above = os.path.realpath(path).startswith(fields[4].rstrip("/") + "/")
            if fields[2] == number or is_above:
                best = max(best, (fields[4], right.split()[0]), key=lambda pair: len(pair[0]))
    return best[1]
