"""How lower floors report long work without knowing a screen."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Told what long work does; the screen decides whether and how to show it."""

    def start(self, what: str, total: int | None = None, unit: str = "files") -> None:
        """Begin a piece of work of `total` units (None: unknown)."""

    def advance(self, amount: int = 1) -> None:
        """Count `amount` more units as done."""

    def done(self) -> None:
        """End the piece of work begun last."""

    def note(self, text: str) -> None:
        """Tell what the user has to know while it goes on, such as whom it waits for."""


class Silent:
    """The progress of somebody who does not watch."""

    def start(self, what: str, total: int | None = None, unit: str = "files") -> None:
        """Ignore it."""

    def advance(self, amount: int = 1) -> None:
        """Ignore it."""

    def done(self) -> None:
        """Ignore it."""

    def note(self, text: str) -> None:
        """Ignore it."""


SILENT = Silent()
