"""The commands by name. `mlx --help` and completion read this table and import none of them."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, cast

import click

from mlxrepo.cli.options import Example, Group, did_you_mean
from mlxrepo.cli.words import advice

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class Verb(NamedTuple):
    """Where a command is written, and what `mlx --help` says of it.

    The module holds it under the name `command`; `help` is the first line of its docstring.
    """

    module: str
    help: str
    heading: str


DATA, PIPELINE, COMPARE, STORE, SET_UP = "Data", "Pipeline", "Compare", "Store", "Set-up"
SHARE = "Share"
HIDDEN = ""  # the heading of what no user types

# In the order of the help, under the headings in the order in which they first appear.
COMMANDS: dict[str, Verb] = {
    "add": Verb("mlxrepo.cli.add", "Record files and folders in the store", DATA),
    "rm": Verb("mlxrepo.cli.rm", "Stop tracking data and remove it from the workspace", DATA),
    "mv": Verb("mlxrepo.cli.mv", "Give tracked data another path", DATA),
    "status": Verb("mlxrepo.cli.status", "Show what differs from what is recorded", DATA),
    "checkout": Verb("mlxrepo.cli.checkout", "Bring the workspace to what is recorded", DATA),
    "ls": Verb("mlxrepo.cli.ls", "List what is tracked", DATA),
    "cat": Verb("mlxrepo.cli.cat", "Print one tracked file, of now or of a revision", DATA),
    "repro": Verb("mlxrepo.cli.repro", "Bring the pipeline up to date", PIPELINE),
    "why": Verb("mlxrepo.cli.why", "Explain what repro would do about a stage", PIPELINE),
    "accept": Verb(
        "mlxrepo.cli.accept", "Take present outs as the result of present inputs", PIPELINE
    ),
    "verify": Verb("mlxrepo.cli.verify", "Check stages against what is recorded", PIPELINE),
    "runs": Verb("mlxrepo.cli.runs", "List what runs did, and show what they printed", PIPELINE),
    "dag": Verb("mlxrepo.cli.dag", "Draw the pipeline", PIPELINE),
    "stage": Verb("mlxrepo.cli.stage", "Declare stages and list them", PIPELINE),
    "lock": Verb("mlxrepo.cli.lock", "Settle a lockfile after a merge, or check it", PIPELINE),
    "diff": Verb("mlxrepo.cli.diff", "Show what differs between revisions", COMPARE),
    "log": Verb("mlxrepo.cli.log", "Show the commits in which something changed", COMPARE),
    "metrics": Verb("mlxrepo.cli.metrics", "Show metrics, compare them, and answer gates", COMPARE),
    "params": Verb("mlxrepo.cli.params", "Compare parameters", COMPARE),
    "plots": Verb("mlxrepo.cli.plots", "Draw plots, and lay revisions over each other", COMPARE),
    "push": Verb("mlxrepo.cli.push", "Send data to a remote", SHARE),
    "fetch": Verb("mlxrepo.cli.fetch", "Get data from a remote into the store", SHARE),
    "pull": Verb("mlxrepo.cli.pull", "Get data from a remote into the workspace", SHARE),
    "drop": Verb("mlxrepo.cli.drop", "Free local copies of what a remote has", SHARE),
    "remote": Verb("mlxrepo.cli.remote", "Say where data is shared", SHARE),
    "gc": Verb("mlxrepo.cli.gc", "Free the space of what nothing needs", STORE),
    "du": Verb("mlxrepo.cli.du", "Show what uses the space of the store", STORE),
    "fsck": Verb("mlxrepo.cli.fsck", "Check the store, and mend it", STORE),
    "unprotect": Verb("mlxrepo.cli.unprotect", "Make linked files private and writable", STORE),
    "store": Verb("mlxrepo.cli.store", "Show where the objects are, or move them", STORE),
    "init": Verb("mlxrepo.cli.init", "Make this git repository an mlx project", SET_UP),
    "install": Verb(
        "mlxrepo.cli.install", "Prepare this clone: merge driver, textconv and hooks", SET_UP
    ),
    "uninstall": Verb("mlxrepo.cli.uninstall", "Undo mlx install", SET_UP),
    "doctor": Verb("mlxrepo.cli.doctor", "Look at git, disks, settings and store", SET_UP),
    "schema": Verb("mlxrepo.cli.schema", "Print the JSON Schema of mlx.yaml", SET_UP),
    "completion": Verb("mlxrepo.cli.completion", "Print the completion script of a shell", SET_UP),
    "hook": Verb("mlxrepo.cli.hook", "Do what a hook of git is for", HIDDEN),
}


class LazyGroup(Group):
    """A group that imports a command when it is run, and not before."""

    def __init__(
        self,
        name: str,
        verbs: Mapping[str, Verb],
        *,
        params: list[click.Parameter] | None = None,
        help: str | None = None,
        epilog: str | None = None,
        examples: Sequence[Example] = (),
    ) -> None:
        super().__init__(name, params=params, help=help, examples=examples)
        self.verbs = dict(verbs)
        self.epilog = epilog

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the help."""
        return [name for name, verb in self.verbs.items() if verb.heading != HIDDEN]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command, or return None when no command has that name."""
        verb = self.verbs.get(cmd_name)
        if verb is None:
            return None
        return cast(click.Command, importlib.import_module(verb.module).command)

    def advise(self, ctx: click.Context, args: list[str]) -> str | None:
        """Look the unknown words up among git's and DVC's, then among our own misspelt."""
        return advice(args, self.verbs) or did_you_mean(args[0], self.list_commands(ctx))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands under their headings."""
        for heading in filter(None, dict.fromkeys(verb.heading for verb in self.verbs.values())):
            rows = [(n, v.help) for n, v in self.verbs.items() if v.heading == heading]
            with formatter.section(heading):
                formatter.write_dl(_aligned(rows, max(map(len, self.verbs))))

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the epilog as it stands, line by line."""
        if self.epilog:
            formatter.write_paragraph()
            formatter.write(self.epilog.rstrip() + "\n")

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete the name of a command from the table, or an option as click does."""
        from click.shell_completion import CompletionItem

        items = [
            CompletionItem(name, help=verb.help)
            for name, verb in self.verbs.items()
            if name.startswith(incomplete) and verb.heading != HIDDEN
        ]
        return items + click.Command.shell_complete(self, ctx, incomplete)


def _aligned(rows: list[tuple[str, str]], width: int) -> list[tuple[str, str]]:
    """Pad the names so that every section of the help has its second column at one place."""
    return [(name.ljust(width), text) for name, text in rows]
