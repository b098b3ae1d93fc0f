"""How the user wants to be answered: the value that the global options add up to."""

from __future__ import annotations

from typing import NamedTuple


class Screen(NamedTuple):
    """What was asked for on the command line; `cwd` is where the command works, after every -C.

    The process itself stays where it was started: resolve what the user typed against `cwd`.
    """

    cwd: str
    quiet: bool = False
    verbose: bool = False
    json: bool = False
    color: bool = True
    debug: bool = False
