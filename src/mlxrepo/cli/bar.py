"""The progress bar: the only importer of rich, and only once work has lasted."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlxrepo.cli import units

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

# A bar that appears sooner only flickers.
AFTER_SECONDS = 0.5


@dataclass(slots=True)
class _Work:
    what: str
    total: int | None
    unit: str
    begun: float
    done: int = 0


class Bar:
    """A progress bar on stderr, one line for each piece of work begun and not done.

    Counting is cheap; the drawing thread reads the counts when it draws. Safe to call from any
    thread.
    """

    def __init__(
        self, shown: list[Live], say: Callable[[str], None], after: float = AFTER_SECONDS
    ) -> None:
        """Make a bar that puts its display into `shown` while it is on the screen.

        `say` prints a line beside it.
        """
        self._shown = shown
        self.note = say
        self._after = after
        self._works: list[_Work] = []
        self._lock = threading.RLock()
        self._timer: threading.Timer | None = None
        self._live: Live | None = None

    def start(self, what: str, total: int | None = None, unit: str = "files") -> None:
        """Begin a piece of work; the bar appears if it lasts."""
        with self._lock:
            self._works.append(_Work(what, total, unit, time.monotonic()))
            if self._timer is None and self._live is None:
                self._timer = threading.Timer(self._after, self._show)
                self._timer.daemon = True
                self._timer.start()

    def advance(self, amount: int = 1) -> None:
        """Count units of the work begun last."""
        with self._lock:
            if self._works:
                self._works[-1].done += amount

    def done(self) -> None:
        """End the work begun last; with the outermost the bar goes."""
        with self._lock:
            if self._works:
                self._works.pop()
            finished = not self._works
        if finished:
            self.close()

    def close(self) -> None:
        """Take the bar off the screen, whatever is still under way."""
        with self._lock:
            timer, self._timer = self._timer, None
            live, self._live = self._live, None
            self._works.clear()
        if timer is not None:
            timer.cancel()
        if live is not None:
            self._shown.remove(live)
            live.stop()

    def _show(self) -> None:
        live = _live_display(self._draw)
        with self._lock:
            # The work may have ended while rich was loading.
            if self._timer is None:
                return
            self._timer, self._live = None, live
            self._shown.append(live)
            # Inside the lock: a bar that is closed meanwhile must not start after it was stopped.
            live.start()

    def _draw(self) -> RenderableType:
        with self._lock:
            works = [(w.what, w.total, w.done, w.unit, w.begun) for w in self._works]
        return _grid(works)


def _live_display(draw: Callable[[], RenderableType]) -> Live:
    from rich.console import Console
    from rich.live import Live

    # Redirecting would send results, which belong on stdout, to the bar's stderr.
    return Live(
        console=Console(stderr=True),
        get_renderable=draw,
        refresh_per_second=8,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )


def _grid(works: list[tuple[str, int | None, int, str, float]]) -> RenderableType:
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 1))
    for is_bar in (False, True, False, False, False):  # the bar alone gives way
        grid.add_column(
            no_wrap=True, min_width=4 if is_bar else None, max_width=28 if is_bar else None
        )
    for what, total, done, unit, begun in works:
        bar = ProgressBar(total=total, completed=done, pulse=total is None)
        elapsed = time.monotonic() - begun
        pace = Text(_pace(done, total, elapsed) if unit == "bytes" else "")
        figure = Text(_figure(done, total, unit))
        grid.add_row(Text(what), bar, figure, Text(units.duration(elapsed)), pace)
    return grid


def _pace(done: int, total: int | None, elapsed: float) -> str:
    """Return how fast it goes, and how long the rest takes at that."""
    if not done or elapsed <= 0:
        return ""
    rate = done / elapsed
    left = f", {units.duration((total - done) / rate)} left" if total and total > done else ""
    return f"{units.size(int(rate))}/s{left}"


def _figure(done: int, total: int | None, unit: str) -> str:
    if unit == "bytes":
        return units.size(done) + (f" of {units.size(total)}" if total is not None else "")
    return f"{done:,}" + (f" of {total:,}" if total is not None else "") + f" {unit}"
