"""The command reference, from every command's own help.

python -m mlxrepo.cli.reference > docs/commands.md
"""

from __future__ import annotations

from collections.abc import Iterator

import click

from mlxrepo.cli.lazy import COMMANDS
from mlxrepo.cli.main import root

WIDTH = 80

INTRODUCTION = """\
# Commands

Generated from the commands' own help by `python -m mlxrepo.cli.reference > docs/commands.md`;
a test fails when it is out of date. `mlx COMMAND -h` prints the same.
"""


def reference() -> str:
    """Return the whole reference as Markdown."""
    sections = [INTRODUCTION, _contents()]
    sections += [_section(context) for context in contexts()]
    return "\n".join(sections)


def contexts() -> Iterator[click.Context]:
    """Yield a context for mlx and for every command of it, groups before their commands."""
    yield from _walk(root(), "mlx", None)


def _walk(
    command: click.Command, name: str, parent: click.Context | None
) -> Iterator[click.Context]:
    context = click.Context(
        command, info_name=name, parent=parent, terminal_width=WIDTH, max_content_width=WIDTH
    )
    yield context
    if isinstance(command, click.Group):
        for child_name in command.list_commands(context):
            child = command.get_command(context, child_name)
            if child is not None and not child.hidden:
                yield from _walk(child, child_name, context)


def _contents() -> str:
    lines = []
    for heading in filter(None, dict.fromkeys(verb.heading for verb in COMMANDS.values())):
        names = [name for name, verb in COMMANDS.items() if verb.heading == heading]
        links = ", ".join(f"[{name}](#mlx-{name})" for name in names)
        lines.append(f"- {heading}: {links}")
    return "\n".join(lines) + "\n"


def _section(context: click.Context) -> str:
    path = context.command_path
    level = "##" if path.count(" ") < 2 else "###"
    return f"{level} {path}\n\n```text\n{context.get_help()}\n```\n"


if __name__ == "__main__":
    print(reference(), end="")
