"""The root command, and the one border where errors become sentences and exit codes."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from itertools import pairwise
from typing import NoReturn

import click

import mlxrepo
from mlxrepo.cli import console, failures
from mlxrepo.cli.failures import Failure
from mlxrepo.cli.lazy import COMMANDS, LazyGroup
from mlxrepo.cli.options import NoCommand
from mlxrepo.cli.screen import Screen
from mlxrepo.errors import EnvironmentFailed

COMPLETE_VARIABLE = "_MLX_COMPLETE"

# What a process that SIGPIPE ended exits with; git does the same under `| head`.
PIPE_CLOSED = 141

HELP = "Versions data, models and the pipeline between them, beside the code in git."

EXAMPLES = (
    ("mlx init", "make this git repository an mlx project"),
    ("mlx add data/raw", "record a folder of data"),
    ("mlx repro", "run the stages whose inputs changed"),
    ("git commit -am 'more trees'", "one commit pins code, data and models"),
    ("mlx metrics diff", "compare the workspace with HEAD"),
    ("git checkout HEAD~1 && mlx checkout", "go back, data and models too"),
)

EPILOG = """\
Exit codes:
  0  done, or yes             4    a stage failed
  1  the answer is no         5    the environment failed: worth a retry
  2  usage                    70   a bug in mlx
  3  cannot be decided        130  interrupted

`mlx COMMAND -h` shows its examples. The options above may also follow the command.
"""


def main() -> NoReturn:
    """Run mlx on the process's own arguments and exit with its code."""
    console.prepare()
    _heed_signals()
    sys.exit(run(sys.argv[1:]))


def root() -> LazyGroup:
    """Build the `mlx` command."""
    version = click.Option(
        ["--version"],
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_show_version,
        help="Show the version.",
    )
    return LazyGroup("mlx", COMMANDS, params=[version], help=HELP, epilog=EPILOG, examples=EXAMPLES)


def run(args: Sequence[str], group: click.Group | None = None) -> int:
    """Run one command line and return its exit code; no exception passes but SystemExit."""
    try:
        return _run(args, group or root())
    except console.OutputClosed:
        return PIPE_CLOSED
    except EnvironmentFailed as error:
        # What is left is the error itself that could not be printed as JSON.
        console.tell(f"error: {error}")
        return error.exit_code


def asked(args: Sequence[str]) -> Screen:
    """Read from the bare words how errors are to be shown: the parser may be what failed."""
    words = list(args)
    if "--" in words:
        words = words[: words.index("--")]
    cwd = ""
    for word, following in pairwise([*words, ""]):
        if word.startswith("-C"):
            cwd = os.path.join(cwd, word[2:] or following)
    return Screen(
        cwd=cwd or os.curdir,
        json="--json" in words,
        color="--no-color" not in words,
        debug="--debug" in words,
    )


def _run(args: Sequence[str], group: click.Group) -> int:
    try:
        code = _invoke(group, args)
        console.flush()
        return code
    except (SystemExit, console.OutputClosed):
        raise
    except NoCommand as error:
        return _show_group(error, asked(args))
    except BaseException as error:
        return _fail(error, args, asked(args))


def _invoke(group: click.Group, args: Sequence[str]) -> int:
    """Run the command; it returns an exit code, or None for 0."""
    instruction = os.environ.get(COMPLETE_VARIABLE)
    if instruction:
        # Only a shell that completes needs it.
        from click.shell_completion import shell_complete

        return shell_complete(group, {}, "mlx", COMPLETE_VARIABLE, instruction)
    # click's own main would turn errors into its own sentences, so it is not used.
    try:
        with group.make_context("mlx", list(args)) as context:
            code = group.invoke(context)
    except click.exceptions.Exit as done:
        return done.exit_code
    return code if isinstance(code, int) else 0


def _fail(error: BaseException, args: Sequence[str], screen: Screen) -> int:
    failure = failures.explain(error)
    if failure is None:
        # Loaded for bugs only: it needs traceback, platform and the like.
        from mlxrepo.cli.report import write_report

        failure = failures.bug(error, write_report(error, args, screen.cwd))
    if screen.debug:
        _show_traceback(error)
    _show(failure, screen)
    return failure.exit_code


def _show(failure: Failure, screen: Screen) -> None:
    if screen.json:
        console.emit_line({"error": failure.document()})
        return
    if failure.exit_code == failures.INTERRUPTED:
        console.tell("\ninterrupted")
        return
    failures.tell(failure, screen)


def _show_traceback(error: BaseException) -> None:
    import traceback

    console.tell("".join(traceback.format_exception(error)))


def _show_group(error: NoCommand, screen: Screen) -> int:
    """Answer a group without a command with its help; nothing was done, so the exit code is 2."""
    if screen.json or error.ctx is None:
        return _fail(error, (), screen)
    console.tell(error.ctx.get_help())
    return failures.USAGE


def _show_version(ctx: click.Context, param: click.Parameter, given: bool) -> None:
    if given and not ctx.resilient_parsing:
        console.out(f"mlx {mlxrepo.__version__}")
        ctx.exit()


def _heed_signals() -> None:
    """Let SIGTERM and SIGHUP end a command as Ctrl-C does, with everything tidied up.

    A signal that the parent had ignored, as nohup does, stays ignored.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)
