"""A group of small commands to try the frame with."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import click
import pytest

from mlxrepo.cli.lazy import LazyGroup, Verb
from mlxrepo.cli.main import HELP
from mlxrepo.cli.options import Command, Group
from mlxrepo.cli.screen import Screen


@pytest.fixture
def seen() -> SimpleNamespace:
    """Tell what the fake commands were called with, and hold what they are to do."""
    return SimpleNamespace(screen=None, error=None, code=None)


@pytest.fixture
def group(seen: SimpleNamespace) -> Iterator[LazyGroup]:
    """A root with `probe` and `pair probe`, each in a module that is imported when it is run."""

    def act(screen: Screen) -> int | None:
        seen.screen = screen
        if seen.error is not None:
            raise seen.error
        code: int | None = seen.code
        return code

    modules = {"mlxfake_probe": _probe(act), "mlxfake_pair": _pair(act)}
    for name, command in modules.items():
        module: Any = ModuleType(name)
        module.command = command
        sys.modules[name] = module
    yield LazyGroup(
        "mlx",
        {
            "probe": Verb("mlxfake_probe", "Probe the frame", "Data"),
            "pair": Verb("mlxfake_pair", "Probe a group", "Compare"),
        },
        help=HELP,
    )
    for name in modules:
        del sys.modules[name]


def _probe(act: Any) -> click.Command:
    @click.command("probe", cls=Command, examples=[("mlx probe x", "probe x")])
    @click.argument("words", nargs=-1)
    @click.option("--deep", is_flag=True, help="Probe deeper.")
    @click.pass_obj
    def probe(screen: Screen, words: tuple[str, ...], deep: bool) -> int | None:
        """Probe the frame.

        And tell of it.
        """
        return act(screen)  # type: ignore[no-any-return]

    return probe


def _pair(act: Any) -> click.Group:
    @click.group("pair", cls=Group)
    def pair() -> None:
        """Probe a group."""

    @pair.command("probe", examples=[("mlx pair probe", "probe below")])
    @click.pass_obj
    def probe(screen: Screen) -> int | None:
        """Probe below."""
        return act(screen)  # type: ignore[no-any-return]

    return pair
