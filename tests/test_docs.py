"""The generated documentation is current, and every command explains itself."""

from __future__ import annotations

import shlex
from pathlib import Path

import click
import pytest

from mlxrepo.cli.options import Command, Group
from mlxrepo.cli.reference import contexts, reference

ROOT = Path(__file__).parents[1]


def commands() -> dict[str, click.Context]:
    return {context.command_path: context for context in contexts()}


def test_the_command_reference_is_current() -> None:
    written = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    assert written == reference(), "python -m mlxrepo.cli.reference > docs/commands.md"


def test_every_command_has_help_and_examples_of_itself() -> None:
    for path, context in commands().items():
        command = context.command
        assert isinstance(command, Command | Group), path
        assert command.help, f"{path} has no help"
        assert command.examples, f"{path} has no examples"
        assert any(line.startswith(path) or path in line for line, _ in command.examples), path


def test_every_option_has_help() -> None:
    for path, context in commands().items():
        for param in context.command.params:
            if isinstance(param, click.Option):
                assert param.help, f"{path} {param.opts}"


def test_a_short_option_means_one_thing_everywhere() -> None:
    meaning: dict[str, tuple[str, str]] = {}
    for path, context in commands().items():
        for param in context.command.params:
            for short in [o for o in param.opts if len(o) == 2 and isinstance(param, click.Option)]:
                long = max(param.opts, key=len)
                known, where = meaning.setdefault(short, (long, path))
                assert known == long, f"{short} is {long} in {path} and {known} in {where}"


def test_the_examples_are_parsed_by_the_commands_that_they_show() -> None:
    known = commands()
    for path, context in known.items():
        for line, _ in getattr(context.command, "examples", ()):
            words = shlex.split(line.split(" | ")[0].split(" > ")[0].split(" && ")[0])
            if words[: len(path.split())] == path.split() and not isinstance(
                context.command, click.Group
            ):
                _parse(context, words[len(path.split()) :], line)


def _parse(context: click.Context, words: list[str], line: str) -> None:
    try:
        context.command.make_context(context.info_name, list(words), parent=context.parent)
    except click.UsageError as error:
        pytest.fail(f"{line}: {error.format_message()}")
