"""Failpoints: the durable steps of mlx, at each of which a test can kill it.

Off unless MLXREPO_FAILPOINT is set when mlx starts; then each costs one comparison of strings.
"""

from __future__ import annotations

import os
import signal

FAILPOINTS = (
    "write.before-rename",
    "write.after-rename",
    "publish.before-flush",
    "publish.before-rename",
    "publish.after-rename",
    "publish-all.before-flush",
    "publish-all.before-rename",
    "publish-all.after-rename",
    "adopt.before-link",
    "adopt.after-link",
    "move.before-rename",
    "move.after-rename",
    "move.copied",
    "move.before-remove",
    "materialize.before-rename",
    "push.sent",
    "push.before-index",
    "push.before-actions",
    "to-remote.arrived",
    "fetch.arrived",
    "remote-gc.written",
    "remote-gc.indexed",
    "remote-gc.removed",
    "gc.repacked",
    "gc.moved",
    "gc.brought-back",
    "drop.noted",
    "drop.cleared",
    "drop.removed",
)
_FAILPOINT, _, _HIT = os.environ.get("MLXREPO_FAILPOINT", "").partition(":")
_hits_left = int(_HIT or 1)


def failpoint(name: str) -> None:
    """Die here when MLXREPO_FAILPOINT is this name, or this `name:N` and it is the N-th time."""
    if name == _FAILPOINT:
        _hit()


def _hit() -> None:
    global _hits_left
    _hits_left -= 1
    if not _hits_left:
        os.kill(os.getpid(), signal.SIGKILL)
