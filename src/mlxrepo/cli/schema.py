"""`mlx schema`: the JSON Schema of mlx.yaml."""

from __future__ import annotations

import json

import click

from mlxrepo.cli.console import out
from mlxrepo.cli.options import Command
from mlxrepo.repo.schema import json_schema


@click.command(
    "schema",
    cls=Command,
    examples=[
        ("mlx schema > .mlx-schema.json", "for an editor: # yaml-language-server: $schema=..."),
    ],
)
def command() -> None:
    """Print the JSON Schema of mlx.yaml.

    Editors that know JSON Schema complete keys and mark mistakes while you type.
    """
    out(json.dumps(json_schema(), indent=2))
