"""`mlx completion`: the script that teaches a shell to complete mlx."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from mlxrepo.cli.console import emit_json, out
from mlxrepo.cli.options import Command
from mlxrepo.cli.screen import Screen

SHELLS = ("bash", "zsh", "fish")


@click.command(
    "completion",
    cls=Command,
    examples=[
        ('eval "$(mlx completion bash)"', "in ~/.bashrc"),
        ('eval "$(mlx completion zsh)"', "in ~/.zshrc, after compinit"),
        ("mlx completion fish > ~/.config/fish/completions/mlx.fish", "once"),
    ],
)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_obj
def command(screen: Screen, shell: str) -> None:
    """Print the completion script of a shell.

    The script asks mlx itself, so it stays right when mlx is updated.
    """
    script = completion_script(shell)
    if screen.json:
        emit_json("completion", {"shell": shell, "script": script})
    else:
        out(script)


def completion_script(shell: str) -> str:
    """Return the script for one of `SHELLS`."""
    found = get_completion_class(shell)
    assert found is not None, shell
    complete = found(command, {}, "mlx", "_MLX_COMPLETE")
    # Not `complete.source()`: for bash it starts one, to print a warning about its version.
    return (complete.source_template % complete.source_vars()).strip()
