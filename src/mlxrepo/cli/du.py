"""`mlx du`: what uses the space."""

from __future__ import annotations

import click

from mlxrepo.cli import units
from mlxrepo.cli.console import emit_json, out, progress
from mlxrepo.cli.options import Command
from mlxrepo.cli.screen import Screen
from mlxrepo.cli.tables import table
from mlxrepo.commands.du import Artifact, DiskUsage, Version, du
from mlxrepo.paths import display
from mlxrepo.repo.repo import Repo

SHOWN_VERSIONS = 10
_HEADERS = ("unique", "shared", "", "")


@click.command(
    "du",
    cls=Command,
    examples=[
        ("mlx du", "every artifact and every version of it"),
        ("mlx du model:fraud data/images", "two of them"),
    ],
)
@click.argument("targets", nargs=-1)
@click.pass_obj
def command(screen: Screen, targets: tuple[str, ...]) -> None:
    """Show what uses the space of the store.

    Unique is what goes when a version goes; shared is what others need too.
    """
    with Repo.find(screen.cwd) as repo:
        found = du(repo, targets, progress=progress(screen))
    if screen.json:
        emit_json("du", _document(found))
        return
    rows = [row for artifact in found.artifacts for row in _rows(screen, artifact)]
    if rows:
        out(table(rows, _HEADERS, "rrll"))
        out()
    totals = [
        ("store", found.loose + found.packs, "loose and packed"),
        ("packs", found.packs, "of it"),
        ("shared", found.shared, "of it: needed by several artifacts"),
        ("rest", found.rest, "of it: not recorded here (mlx gc tells what can go)"),
        ("trash", found.trash, "beside it: mlx gc --empty-trash frees it"),
    ]
    out(table([(name, units.size(size), what) for name, size, what in totals], align="lrl"))


def _rows(screen: Screen, artifact: Artifact) -> list[tuple[str, str, str, str]]:
    name = artifact.address or "no longer recorded"
    rows = [(units.size(artifact.unique), "", display(artifact.path), display(name))]
    shown = artifact.versions if screen.verbose else artifact.versions[:SHOWN_VERSIONS]
    for version in shown:
        sizes = units.size(version.unique), units.size(version.shared)
        rows.append((*sizes, f"  {version.entry.oid[:12]}", _where(version)))
    if len(shown) < len(artifact.versions):
        rows.append(("", "", f"  and {len(artifact.versions) - len(shown)} more (-v)", ""))
    return rows


def _where(version: Version) -> str:
    places = ["workspace"] if version.in_workspace else []
    if version.commits:
        commits = units.count(len(version.commits), "commit")
        places.append(f"{commits} ({version.commits[0]})")
    if version.absent:
        places.append(f"{units.size(version.absent)} not in the store")
    return ", ".join(places)


def _document(found: DiskUsage) -> dict[str, object]:
    return {
        "artifacts": [_artifact(artifact) for artifact in found.artifacts],
        "loose": found.loose,
        "packs": found.packs,
        "shared": found.shared,
        "rest": found.rest,
        "trash": found.trash,
    }


def _artifact(artifact: Artifact) -> dict[str, object]:
    return {
        "name": artifact.address,
        "path": artifact.path,
        "unique": artifact.unique,
        "versions": [_version(version) for version in artifact.versions],
    }


def _version(version: Version) -> dict[str, object]:
    return {
        "kind": version.entry.kind,
        "oid": version.entry.oid,
        "size": version.entry.size,
        "unique": version.unique,
        "shared": version.shared,
        "absent": version.absent,
        "workspace": version.in_workspace,
        "commits": list(version.commits),
    }
