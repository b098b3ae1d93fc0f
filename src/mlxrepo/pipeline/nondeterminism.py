"""Known causes why a command makes different bytes from the same inputs, told from two files."""

from __future__ import annotations

import gzip
import io
import math
import re
import tarfile
import zipfile
import zlib

LOOK_MAX = 64 << 20  # bytes of a file that are looked at
NEAR = 1e-6  # relative difference of numbers that come from sums in another order

TIME_IN_GZIP = "the time in the header of gzip: write it with mtime=0, or `gzip -n`"
TIMES_IN_ARCHIVE = "times of files in the archive, or their order: set both when writing it"
TIME = "a date or a time is written into it"
ORDER = "the same lines in another order: sort what a set, a folder or threads give"
NUMBERS = "numbers differ in the last digits: the number of threads, or the device, decides them"
UNKNOWN = "not seeded random numbers, the number of threads, or the time"

_NUMBER = re.compile(rb"[-+]?(?:\d+\.\d*|\.\d+|\d+)(?:[eE][-+]?\d+)?")
_TIME = re.compile(
    rb"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?)?|\b\d\d:\d\d:\d\d(?:\.\d+)?\b"
    rb"|\b1[5-9]\d{8}(?:\.\d+|\d{3}|\d{6}|\d{9})?\b"
)


def cause(old: str, new: str) -> str:
    """Return the likely cause why two files, by their paths, differ."""
    try:
        with open(old, "rb") as one, open(new, "rb") as other:
            return _cause(one.read(LOOK_MAX), other.read(LOOK_MAX))
    except (OSError, EOFError, ValueError, zlib.error, tarfile.TarError, zipfile.BadZipFile):
        return UNKNOWN


def _cause(old: bytes, new: bytes) -> str:
    if old[:2] == new[:2] == b"\x1f\x8b":
        old, new = gzip.decompress(old), gzip.decompress(new)
        return TIME_IN_GZIP if old == new else _cause(old, new)
    if old[:4] == new[:4] == b"PK\x03\x04":
        return TIMES_IN_ARCHIVE if _zipped(old) == _zipped(new) else UNKNOWN
    if old[257:262] == new[257:262] == b"ustar":
        return TIMES_IN_ARCHIVE if _tarred(old) == _tarred(new) else UNKNOWN
    if b"\0" in old or b"\0" in new:
        return UNKNOWN
    return _cause_in_text(old, new)


def _zipped(data: bytes) -> dict[str, tuple[int, int]]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {item.filename: (item.CRC, item.file_size) for item in archive.infolist()}


def _tarred(data: bytes) -> dict[str, tuple[int, bytes]]:
    found = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for item in archive:
            stream = archive.extractfile(item) if item.isfile() else None
            found[item.name] = (item.mode, stream.read() if stream else b"")
    return found


def _cause_in_text(old: bytes, new: bytes) -> str:
    if _TIME.sub(b"", old) == _TIME.sub(b"", new):
        return TIME
    if sorted(old.split(b"\n")) == sorted(new.split(b"\n")):
        return ORDER
    numbers = _NUMBER.findall(old), _NUMBER.findall(new)
    same_text = _NUMBER.sub(b"", old) == _NUMBER.sub(b"", new)
    if same_text and len(numbers[0]) == len(numbers[1]) and all(map(_is_near, *numbers)):
        return NUMBERS
    return UNKNOWN


def _is_near(one: bytes, other: bytes) -> bool:
    if one == other:
        return True
    if one.lstrip(b"+-").isdigit() and other.lstrip(b"+-").isdigit():
        return False  # whole numbers are counted, not added up in some order
    return math.isclose(float(one), float(other), rel_tol=NEAR, abs_tol=1e-12)
