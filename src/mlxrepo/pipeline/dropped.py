"""Outs that `mlx drop` took away: absent, and yet what is recorded of them holds."""

from __future__ import annotations

from mlxrepo.errors import ObjectMissing
from mlxrepo.paths import RepoPath, display, is_inside
from mlxrepo.pipeline.inputs import Inputs
from mlxrepo.repo.dropped import FILE, read_dropped
from mlxrepo.repo.lockfile import Output, StageRecord
from mlxrepo.repo.repo import Repo
from mlxrepo.repo.stage import Stage
from mlxrepo.store.compare import same
from mlxrepo.store.subtree import find
from mlxrepo.store.tree import Entry

Present = dict[RepoPath, Entry | None]


class DroppedOuts:
    """What was dropped in this worktree, as far as it concerns outs."""

    def __init__(self, repo: Repo, inputs: Inputs):
        self._repo = repo
        self._inputs = inputs
        self._dropped = read_dropped(repo.worktree_file(FILE))

    def filled(self, record: StageRecord | None, present: Present) -> Present:
        """Return what counts at outs: dropped ones as they are recorded.

        What the store has (again) is not filled in: it is restored.
        """
        counts = dict(present)
        for out in record.outs if record and self._dropped else ():
            if not same(counts.get(out.path), out.entry) and self._is_away(out):
                counts[out.path] = self._inputs.entry(out.path)
        return counts

    def check_persisting(self, stage: Stage, record: StageRecord | None, present: Present) -> None:
        """Check that a stage which has to run finds what it goes on from.

        Raises:
            ObjectMissing: when an out that persists was dropped.
        """
        lasting = {out.path for out in stage.outs if out.persist}
        for out in record.outs if record and self._dropped else ():
            if out.path in lasting and present.get(out.path) is None and self._is_away(out):
                raise ObjectMissing(
                    f"{display(out.path)} was dropped here, and stage {stage.address} goes on from "
                    "what it holds",
                    hint=f"mlx pull {display(out.path)}",
                    where=stage.where,
                )

    def _is_away(self, out: Output) -> bool:
        return self._was_dropped(out) and not self._repo.store.is_whole(out.entry)

    def _was_dropped(self, out: Output) -> bool:
        for path, oid in self._dropped.items():
            if is_inside(path, out.path):
                try:
                    part = find(self._repo.store.tree, out.entry, path[len(out.path) + 1 :])
                except ObjectMissing:
                    return False
                if part is not None and part.oid == oid:
                    return True
        return False
