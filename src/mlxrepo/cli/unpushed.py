"""What `mlx status --unpushed` shows."""

from __future__ import annotations

from mlxrepo.cli import units
from mlxrepo.cli.console import emit_json, out
from mlxrepo.cli.screen import Screen
from mlxrepo.cli.sharing import belonging, show_missing
from mlxrepo.commands.unpushed import Unpushed, unpushed
from mlxrepo.paths import display
from mlxrepo.repo.repo import Repo


def show_unpushed(
    screen: Screen, repo: Repo, targets: tuple[str, ...], remote: str | None, exit_code: bool
) -> int:
    """Tell what remotes lack; return 1 if something, and `exit_code` was asked for."""
    found = unpushed(repo, targets, remote=remote)
    if screen.json:
        emit_json("status", {"unpushed": [_document(item) for item in found]})
    else:
        for item in found:
            _show(screen, item)
    return int(exit_code and any(item.paths or item.missing for item in found))


def _show(screen: Screen, found: Unpushed) -> None:
    place = f"{found.remote} ({display(found.url)})"
    for path, amount in found.paths:
        objects = units.count(amount.objects, "object")
        out(f"  unpushed: {display(path)}  {objects}, {units.size(amount.size)}")
    total = found.total
    if total.objects:
        objects = units.count(total.objects, "object")
        out(f"{objects} ({units.size(total.size)}) not on {place}: mlx push")
    elif found.elsewhere:
        out(f"nothing to push: {belonging(found.remote, found.elsewhere)}")
    elif not found.missing:
        out(f"nothing to push: everything is on {place}")
    show_missing(screen, found.missing)


def _document(found: Unpushed) -> dict[str, object]:
    return {
        "remote": found.remote,
        "url": found.url,
        "objects": found.total.objects,
        "bytes": found.total.size,
        "paths": [
            {"path": path, "objects": amount.objects, "bytes": amount.size}
            for path, amount in found.paths
        ],
        "missing": [{"path": path, "oid": oid} for path, oid in found.missing],
    }
