"""`mlx doctor`: is everything here as mlx needs it?"""

from __future__ import annotations

from dataclasses import asdict

import click

from mlxrepo.cli.console import emit_json, out, paint
from mlxrepo.cli.options import Command
from mlxrepo.cli.screen import Screen
from mlxrepo.commands.doctor import FAIL, OK, WARN, doctor
from mlxrepo.repo.repo import Repo

_STYLES = {OK: "green", WARN: "yellow", FAIL: "red"}


@click.command(
    "doctor",
    cls=Command,
    examples=[
        ("mlx doctor", "what is found here, and what to do about it"),
        ("mlx --json doctor", "for a report"),
    ],
)
@click.pass_obj
def command(screen: Screen) -> int:
    """Look at git, disks, settings and store.

    Links and flushing are tried in temporary files. It exits with 1 when something fails.
    """
    with Repo.find(screen.cwd) as repo:
        checks = doctor(repo)
    failed = any(check.verdict == FAIL for check in checks)
    if screen.json:
        emit_json("doctor", {"checks": [asdict(check) for check in checks], "failed": failed})
        return int(failed)
    width = max(len(check.name) for check in checks)
    for check in checks:
        verdict = paint(screen, f"{check.verdict:<4}", _STYLES[check.verdict])
        out(f"{verdict}  {check.name:<{width}}  {check.found}")
        if check.advice:
            out(f"{'':<6}{'':<{width}}  -> {check.advice}")
    return int(failed)
