"""`mlx add --to-remote` on the screen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlxrepo.cli import render, units
from mlxrepo.cli.console import emit_json, out, say
from mlxrepo.cli.screen import Screen
from mlxrepo.cli.sharing import transfer
from mlxrepo.commands.to_remote import AddedThere, add_to_remote
from mlxrepo.paths import display
from mlxrepo.repo.repo import Repo


def run(repo: Repo, words: Sequence[str], **options: Any) -> AddedThere:
    """Call the command with SOURCE and, where it is given, DEST."""
    return add_to_remote(repo, *words, **options)


def show(screen: Screen, repo: Repo, done: AddedThere) -> None:
    """Tell what was done."""
    if screen.json:
        emit_json("add", document(done))
        return
    place = f"{done.remote} ({display(done.url)})"
    what = f"{display(done.path)} ({done.address}): {render.totals(done.entry)}"
    if not done.applied:
        out(f"would add {what} from {done.source} to {place}")
        return
    out(f"{'updated' if done.old else 'added'} {what} from {done.source}")
    sent = done.sent
    parts = [f"sent {units.count(sent.objects, 'object')} ({transfer(sent.bytes, sent.stored)})"]
    if not sent.objects:
        parts = ["nothing to send"]
    if sent.resumed:
        parts.append(f"{units.count(sent.resumed, 'object')} there already")
    out(f"{', '.join(parts)}: everything is on {place}")
    if done.to_commit:
        say(screen, render.next_step(repo.root, done.to_commit))
    if not done.here:
        say(screen, f"its files are not here; mlx pull {repo.place.word(done.path)} brings them")


def document(done: AddedThere) -> dict[str, Any]:
    """Return it for --json."""
    entry = render.entry_json(done.entry) or {}
    if not done.applied:
        del entry["oid"]
    return {
        "source": done.source,
        "path": done.path,
        "name": done.address,
        "entry": entry,
        "old": render.entry_json(done.old),
        "here": done.here,
        "remote": done.remote,
        "url": done.url,
        "sent": {
            "objects": done.sent.objects,
            "bytes": done.sent.bytes,
            "stored": done.sent.stored,
        },
        "resumed": done.sent.resumed,
        "to_commit": list(done.to_commit),
        "applied": done.applied,
    }
