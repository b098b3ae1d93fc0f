"""`mlx remote`: where data is shared."""

from __future__ import annotations

import click

from mlxrepo.cli import remotecare, units
from mlxrepo.cli.console import emit_json, out, say, warn
from mlxrepo.cli.options import Group
from mlxrepo.cli.screen import Screen
from mlxrepo.cli.tables import table
from mlxrepo.cli.words import FOREIGN_REMOTE
from mlxrepo.commands.remote import (
    Step,
    add_remote,
    default_remote,
    remotes,
    remove_remote,
    try_remote,
)
from mlxrepo.paths import display
from mlxrepo.repo.remotes import GIT, RemoteSpec
from mlxrepo.repo.repo import Repo


class RemoteGroup(Group):
    """The verbs of remotes, with what people bring from git and DVC."""

    def advise(self, ctx: click.Context, args: list[str]) -> str | None:
        """Say what was probably meant by the unknown command that `args` begins with."""
        return FOREIGN_REMOTE.get(args[0]) or super().advise(ctx, args)


@click.group(
    "remote",
    cls=RemoteGroup,
    examples=[
        ("mlx remote add origin s3://bucket/project", "written into mlx.yaml"),
        ("mlx remote add usb /media/usb/project", "only for this clone: git's settings"),
        ("mlx remote test origin", "does it work, and how fast?"),
    ],
)
def command() -> None:
    """Say where data is shared."""


command.add_command(remotecare.gc)
command.add_command(remotecare.fsck)


@command.command(
    "add",
    examples=[
        ("mlx remote add origin s3://bucket/project", "a bucket"),
        ("mlx remote add lab s3://data/p --endpoint https://s3.lab.example", "of your own server"),
        ("mlx remote add usb /media/usb/project", "a folder"),
    ],
)
@click.argument("name")
@click.argument("url")
@click.option("--endpoint", metavar="URL", help="The server, when it is not the usual one.")
@click.option("--region", metavar="NAME", help="The region of the server.")
@click.option("--profile", metavar="NAME", help="The profile of your credentials.")
@click.option("--anonymous", is_flag=True, help="Ask without credentials.")
@click.option(
    "--timeout", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS",
    help="How long to wait for each answer (30).",
)  # fmt: skip
@click.pass_obj
def add(
    screen: Screen,
    name: str,
    url: str,
    endpoint: str | None,
    region: str | None,
    profile: str | None,
    anonymous: bool,
    timeout: float | None,
) -> None:
    """Add a remote.

    A URL goes into mlx.yaml, for everybody; a local path, or a host of this machine, into git's
    settings of this clone. Secrets are refused in both.
    """
    given = {"endpoint": endpoint, "region": region, "profile": profile}
    options = {key: value for key, value in given.items() if value is not None}
    options |= {"anonymous": "true"} if anonymous else {}
    options |= {"timeout": f"{timeout:g}"} if timeout is not None else {}
    with Repo.open(screen.cwd) as repo:
        spec = add_remote(repo, name, url, options)
    if screen.json:
        emit_json("remote add", _document(spec))
        return
    out(f"added {spec.name}: {display(spec.shown)} (in {spec.source})")
    if spec.source != GIT:
        say(screen, "next: git add mlx.yaml && git commit, so that others have it too")


@command.command("list", examples=[("mlx remote list", "every remote; * is the default")])
@click.pass_obj
def list_(screen: Screen) -> None:
    """List the remotes."""
    with Repo.open(screen.cwd) as repo:
        found = remotes(repo)
    if screen.json:
        rows = [{**_document(item.spec), "default": item.is_default} for item in found]
        emit_json("remote list", {"remotes": rows})
        return
    for line in (_row(item.spec, item.is_default) for item in found):
        out(line)
    for fault in (item.spec.fault for item in found):
        if fault:
            warn(screen, str(fault))
            say(screen, f"hint: {fault.hint}")
    if not found:
        say(screen, "there is no remote yet: mlx remote add origin URL")


def _row(spec: RemoteSpec, is_default: bool) -> str:
    mark = "*" if is_default else " "
    return f"{mark} {spec.name}  {display(spec.shown)}  ({spec.source})"


@command.command(
    "default",
    examples=[
        ("mlx remote default", "which one it is"),
        ("mlx remote default backup", "another one, for this clone"),
    ],
)
@click.argument("name", required=False)
@click.pass_obj
def default(screen: Screen, name: str | None) -> None:
    """Show the default remote, or choose one for this clone.

    For everybody: `default: true` beside its url in mlx.yaml. A single remote is the default.
    """
    with Repo.open(screen.cwd) as repo:
        spec = default_remote(repo, name)
    if screen.json:
        emit_json("remote default", _document(spec))
    else:
        out(spec.name)


@command.command("rm", examples=[("mlx remote rm usb", "what is on it stays")])
@click.argument("name")
@click.pass_obj
def rm(screen: Screen, name: str) -> None:
    """Forget a remote; what is on it stays."""
    with Repo.open(screen.cwd) as repo:
        spec = remove_remote(repo, name)
    if screen.json:
        emit_json("remote rm", _document(spec))
    else:
        out(f"forgot {spec.name}: {display(spec.shown)}")


@command.command("test", examples=[("mlx remote test origin", "each thing that mlx asks of it")])
@click.argument("name", required=False)
@click.pass_obj
def test(screen: Screen, name: str | None) -> int:
    """Try everything on a remote that mlx does with one.

    A file of 1 MiB is written, read, listed and removed again.
    """
    with Repo.open(screen.cwd) as repo:
        spec, steps = try_remote(repo, name)
    works = all(step.works for step in steps)
    if screen.json:
        rows = [
            {"what": s.what, "works": s.works, "seconds": round(s.seconds, 4), "why": s.why}
            for s in steps
        ]
        emit_json("remote test", {**_document(spec), "works": works, "steps": rows})
        return 0 if works else 5
    rows_ = [("ok" if s.works else "FAILED", s.what, _pace(s), display(s.why)) for s in steps]
    out(table(rows_, align="llrl"))
    out(f"{spec.name} ({display(spec.shown)}) {'works' if works else 'does not work'}")
    if not works:
        say(screen, f"next: mend that, then mlx remote test {spec.name} again")
    return 0 if works else 5


def _pace(step: Step) -> str:
    """Return how fast a step was: a rate where a whole file went, else a time."""
    if step.works and step.size and step.seconds > 0:
        return f"{units.size(int(step.size / step.seconds))}/s"
    return f"{step.seconds * 1000:.0f} ms" if step.seconds < 1 else units.duration(step.seconds)


def _document(spec: RemoteSpec) -> dict[str, object]:
    return {
        "name": spec.name,
        "url": spec.shown,
        "options": dict(spec.options),
        "source": spec.source,
    }
