"""Files to be drawn, and plots of them."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from mlxrepo.errors import Where
from mlxrepo.plots.build import Content
from mlxrepo.plots.model import Curve, Wanted


def wanted(
    file: str, keys: Mapping[str, Any] | None = None, *, x: str | None = None,
    y: Sequence[str | None] = (None,),
) -> Wanted:  # fmt: skip
    """Return a plot of one file, as line 7 of an mlx.yaml might declare it."""
    curves = tuple(Curve(file, x, file, column) for column in y)
    return Wanted(file, curves, dict(keys or {}), Where("mlx.yaml", 7, 3))


def content(rev: str, files: Mapping[str, str | bytes | Exception]) -> Content:
    """Return files at a revision; an exception stands for one that is not there."""
    return Content(
        rev,
        {
            path: str(data)
            if isinstance(data, Exception)
            else data.encode()
            if isinstance(data, str)
            else data
            for path, data in files.items()
        },
    )


def loss(k: float = 1) -> str:
    """Return a CSV file with two curves of 60 steps."""
    rows = [f"{i},{math.exp(-i * k / 20):.4f},{math.exp(-i * k / 25):.4f}\n" for i in range(60)]
    return "step,train,test\n" + "".join(rows)


def classes(k: int = 1) -> str:
    """Return a CSV file with 90 pairs of classes."""
    rows = [f"{'abc'[i % 3]},{'abc'[i * k % 7 % 3]}\n" for i in range(90)]
    return "actual,predicted\n" + "".join(rows)


def importance(k: int = 1) -> str:
    """Return a CSV file with names and their weights, the heaviest in the middle."""
    return "feature,weight\n" + "".join(f"f{i},{k * (1 + (i * 3) % 5) / 10}\n" for i in range(5))


def png(red: int = 200) -> bytes:
    """Return an image of 6 x 4 pixels of one colour."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    rows = b"".join(b"\0" + bytes((red, 90, 30)) * 6 for _ in range(4))
    head = struct.pack(">IIBBBBB", 6, 4, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )
