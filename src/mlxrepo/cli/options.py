"""What every verb shares: the global options, the value they settle, and the shape of its help.

The global options stand before the verb or after it and mean the same: each level of the command
line adds what it was given to the `Screen` that it found in click's `ctx.obj`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from mlxrepo.cli import console
from mlxrepo.cli.screen import Screen
from mlxrepo.errors import InputError
from mlxrepo.nearest import nearest
from mlxrepo.paths import display

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

# What to type, and what it does.
Example = tuple[str, str]

SHELL_NAMES = "-C DIR, -q, -v, --json, --no-color, --debug, -h"


class Misuse(click.UsageError):
    """A command line that mlx does not understand, with the one that was probably meant."""

    def __init__(self, message: str, hint: str | None, ctx: click.Context | None = None) -> None:
        super().__init__(message, ctx)
        self.hint = hint


class NoCommand(click.UsageError):
    """A group was named without one of its commands: its help is the answer."""


class GlobalOption(click.Option):
    """An option of every command, listed in full only in the help of `mlx` itself."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Return the help line, or None below the root, where one line names them all."""
        return super().get_help_record(ctx) if ctx.parent is None else None


class Command(click.Command):
    """A verb: takes the global options, and shows its examples before anything else.

    Its callback takes the Screen first (`@click.pass_obj`) and returns None or an exit code.
    """

    def __init__(
        self,
        name: str | None,
        *,
        callback: Callable[..., Any] | None = None,
        params: list[click.Parameter] | None = None,
        help: str | None = None,
        examples: Sequence[Example] = (),
    ) -> None:
        super().__init__(
            name,
            callback=callback,
            params=[*(params or ()), *global_options()],
            help=help,
            short_help=first_line(help),
            add_help_option=False,
        )
        self.examples = tuple(examples)

    def invoke(self, ctx: click.Context) -> Any:
        """Run it; in a clone that is not prepared, say so once."""
        found = super().invoke(ctx)
        screen = ctx.obj
        is_read = isinstance(screen, Screen) and not (screen.quiet or screen.json)
        if is_read and self.name not in _PREPARING:
            _hint_once(screen)
        return found

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples, then click's usual sections."""
        write_examples(formatter, self.examples)
        super().format_help(ctx, formatter)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Name the global options in one line."""
        write_global_options(ctx, formatter)


class Group(click.Group):
    """A verb with verbs of its own, such as `mlx metrics show|diff`."""

    command_class = Command

    def __init__(
        self,
        name: str | None,
        *,
        callback: Callable[..., Any] | None = None,
        params: list[click.Parameter] | None = None,
        help: str | None = None,
        examples: Sequence[Example] = (),
    ) -> None:
        super().__init__(
            name,
            callback=callback,
            params=[*(params or ()), *global_options()],
            help=help,
            short_help=first_line(help),
            add_help_option=False,
            no_args_is_help=False,
            subcommand_metavar="COMMAND ...",
        )
        self.examples = tuple(examples)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the options before the command.

        Raises:
            NoCommand: when nothing is left to be the command.
        """
        rest = super().parse_args(ctx, args)
        if not ctx.resilient_parsing and not _has_command(ctx):
            raise NoCommand("no command is given", ctx)
        return rest

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that `args` begins with.

        Raises:
            Misuse: when there is none; its hint says what was probably meant.
        """
        if not ctx.resilient_parsing and self.get_command(ctx, args[0]) is None:
            message = f'"{args[0]}" is not a command of {ctx.command_path}'
            raise Misuse(message, self.advise(ctx, args), ctx)
        return super().resolve_command(ctx, args)

    def advise(self, ctx: click.Context, args: list[str]) -> str | None:
        """Say what was probably meant by the unknown command that `args` begins with."""
        return did_you_mean(args[0], self.list_commands(ctx))

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples, then click's usual sections."""
        write_examples(formatter, self.examples)
        super().format_help(ctx, formatter)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Name the global options in one line."""
        write_global_options(ctx, formatter)


_PREPARING = ("install", "uninstall", "hook")

# Set where nobody reads along, or where mlx is called by git.
_UNREAD = ("CI", "GIT_DIR", "GIT_INDEX_FILE", "MLXREPO_NO_HOOKS")


def _hint_once(screen: Screen) -> None:
    """Tell the user of a clone that `mlx install` is still to be run."""
    from mlxrepo.repo.prepared import should_hint

    if not any(map(os.environ.get, _UNREAD)) and should_hint(screen.cwd):
        console.say(
            screen,
            "note: git does not know mlx in this clone yet: mlx install sets merge driver, "
            "textconv and hooks (said once)",
        )


def global_options() -> list[click.Parameter]:
    """Make one set of the options that every command takes."""
    return [
        GlobalOption(
            ["-C", "global_cwd"],
            metavar="DIR",
            multiple=True,
            help="Work as if started in DIR.",
            expose_value=False,
            callback=_enter,
            shell_complete=_complete_folder,
        ),
        _flag("-q", "--quiet", help="Print results and errors only."),
        _flag("-v", "--verbose", help="Say more about what is done."),
        _flag("--json", help="Print one JSON document instead of text."),
        _flag("--no-color", help="Print without colours."),
        _flag("--debug", help="Show the traceback of an error."),
        GlobalOption(
            ["-h", "--help", "global_help"],
            is_flag=True,
            is_eager=True,
            help="Show this help.",
            expose_value=False,
            callback=_show_help,
        ),
    ]


def first_line(help: str | None) -> str | None:
    """Return the first line of a docstring without its full stop: the short help."""
    return help.strip().splitlines()[0].rstrip(".") if help and help.strip() else None


def did_you_mean(word: str, known: Sequence[str]) -> str | None:
    """Return a hint with the known word closest to `word`, or None."""
    close = nearest(word, known)
    return f"did you mean `{close}`?" if close else None


def write_examples(formatter: click.HelpFormatter, examples: Sequence[Example]) -> None:
    """Write the section that stands first in every help."""
    if examples:
        with formatter.section("Examples"):
            formatter.write_dl(list(examples), col_max=46)
        formatter.write_paragraph()


def write_global_options(ctx: click.Context, formatter: click.HelpFormatter) -> None:
    """Write the line that stands for the global options below the root."""
    if ctx.parent is not None:
        formatter.write_paragraph()
        formatter.write_text(f"As for every command: {SHELL_NAMES} (see `mlx -h`).")


def _has_command(ctx: click.Context) -> bool:
    # click keeps the first word that is no option here; 8.2 renamed the attribute.
    kept = vars(ctx)
    return bool(kept.get("_protected_args") or kept.get("protected_args"))


def _flag(*names: str, help: str) -> GlobalOption:
    storage = "global_" + names[-1].lstrip("-").replace("-", "_")
    return GlobalOption(
        [*names, storage], is_flag=True, help=help, expose_value=False, callback=_settle
    )


# What a flag changes.
_SETS: dict[str, Callable[[Screen], Screen]] = {
    "global_quiet": lambda screen: screen._replace(quiet=True),
    "global_verbose": lambda screen: screen._replace(verbose=True),
    "global_json": lambda screen: screen._replace(json=True),
    "global_no_color": lambda screen: screen._replace(color=False),
    "global_debug": lambda screen: screen._replace(debug=True),
}


def _settle(ctx: click.Context, param: click.Parameter, given: bool) -> None:
    """Set the flag if it is given here; one that was set further left stays set."""
    if given and param.name is not None:
        ctx.obj = _SETS[param.name](_screen(ctx))


def _enter(ctx: click.Context, param: click.Parameter, folders: tuple[str, ...]) -> None:
    """Apply each -C to the folder that the ones before it led to, as git does."""
    if ctx.resilient_parsing:
        return
    screen = _screen(ctx)
    for folder in folders:
        cwd = os.path.join(screen.cwd, folder) if folder else screen.cwd
        if not os.path.isdir(cwd):
            raise InputError(f'-C: there is no folder "{display(cwd)}"')
        screen = screen._replace(cwd=cwd)
    ctx.obj = screen


def _screen(ctx: click.Context) -> Screen:
    found = ctx.obj
    return found if isinstance(found, Screen) else Screen(cwd=_current_folder())


def _current_folder() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:
        raise InputError(
            "the current folder does not exist any more", hint="cd to one that does"
        ) from None


def _show_help(ctx: click.Context, param: click.Parameter, given: bool) -> None:
    if given and not ctx.resilient_parsing:
        console.out(ctx.get_help())
        ctx.exit()


def _complete_folder(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, type="dir")]
