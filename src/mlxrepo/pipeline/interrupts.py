"""Steps that a Ctrl-C must not cut in two."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Put off SIGINT, SIGTERM and SIGHUP until the block ends; keep it to moments."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Python gives signals to the main thread alone
        return
    came: list[tuple[int, FrameType | None]] = []
    before: dict[int, Any] = {}
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        handler = signal.getsignal(number)
        if callable(handler):
            before[number] = handler
            signal.signal(number, lambda sign, frame: came.append((sign, frame)))
    try:
        yield
    finally:
        for sign, handler in before.items():
            signal.signal(sign, handler)
        for first, frame in came[:1]:
            before[first](first, frame)
