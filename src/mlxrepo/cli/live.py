"""The live view of a run: a line for each running stage, and the counts; on a terminal only.

Importing rich takes as long as many a stage, so it is done when a stage has lasted.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import TYPE_CHECKING

from mlxrepo.cli import units
from mlxrepo.paths import display

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

AFTER_SECONDS = 0.5  # a view that appears sooner only flickers
ROWS_MAX = 12
_ORDER = ("running", "done", "cached", "failed", "waiting")
_WORDS = {"ran": "done", "restored": "cached", "up-to-date": "cached", "failed": "failed"}


class View:
    """What runs and how far the run is, drawn below the lines that are printed meanwhile.

    Its own thread draws; nothing here prints, so it may be told from any thread.
    """

    def __init__(self, shown: list[Live], after: float = AFTER_SECONDS):
        """Make a view that puts its display into `shown` while it is on the screen."""
        self._shown = shown
        self._after = after
        self._lock = threading.Lock()
        self._total = 0
        self._running: dict[str, float] = {}
        self._ended: Counter[str] = Counter()
        self._timer: threading.Timer | None = None
        self._live: Live | None = None
        self._closed = False

    def expect(self, stages: int) -> None:
        """Say how many stages the run is about."""
        self._total = stages

    def start(self, stage: str) -> None:
        """Take note that a stage has started."""
        with self._lock:
            self._running[stage] = time.monotonic()
            if self._timer is None and not self._closed:
                self._timer = threading.Timer(self._after, self._show)
                self._timer.daemon = True
                self._timer.start()

    def end(self, stage: str, outcome: str) -> None:
        """Take note of what became of a stage."""
        with self._lock:
            self._running.pop(stage, None)
            self._ended[_WORDS.get(outcome, outcome)] += 1

    def close(self) -> None:
        """Take the view off the screen."""
        with self._lock:
            self._closed = True
            timer, live, self._live = self._timer, self._live, None
        if timer is not None:
            timer.cancel()
        if live is not None:
            self._shown.remove(live)
            live.stop()

    def _show(self) -> None:
        live = _live_display(self)
        with self._lock:
            # The run may have ended while rich was loading.
            if self._closed:
                return
            self._live = live
            self._shown.append(live)
        live.start()  # draws, for which it needs the lock
        with self._lock:
            ended = self._live is None
        if ended:
            live.stop()

    def __rich__(self) -> RenderableType:
        """Draw."""
        from rich.table import Table
        from rich.text import Text

        with self._lock:
            running, ended, total = dict(self._running), Counter(self._ended), self._total
        grid = Table.grid(padding=(0, 1))
        grid.add_column(no_wrap=True, overflow="ellipsis")
        grid.add_column(no_wrap=True, justify="right")
        now = time.monotonic()
        for stage, begun in list(running.items())[:ROWS_MAX]:
            grid.add_row(Text(display(stage)), Text(units.duration(now - begun), "dim"))
        ended["running"] = len(running)
        ended["waiting"] = max(0, total - sum(ended.values()))
        parts = [f"{ended[word]} {word}" for word in _ORDER if ended[word] or word == "running"]
        grid.add_row(Text(", ".join(parts), "dim"), "")
        return grid


def _live_display(view: View) -> Live:
    from rich.console import Console
    from rich.live import Live

    # Redirecting would send results, which belong on stdout, to the view's stderr.
    return Live(
        view,
        console=Console(stderr=True),
        refresh_per_second=4,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
