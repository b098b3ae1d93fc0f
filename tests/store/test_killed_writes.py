"""Killed at any durable step, the same work done again gives the same result."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from rig import Rig, run, temporaries

from mlxrepo.failpoints import FAILPOINTS
from mlxrepo.files import SMALL
from mlxrepo.paths import RepoPath
from mlxrepo.store.subtree import walk

# The others have tests of their own: test_gc.py, test_publishing.py and tests/remotes.
OTHERS = ("gc.", "move.", "push.", "fetch.", "to-remote.", "remote-gc.", "drop.")
POINTS = [point for point in FAILPOINTS if not point.startswith(OTHERS)]

WORK = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from rig import Rig
from mlxrepo.files import write_atomic
from mlxrepo.paths import RepoPath
from mlxrepo.store.materialize import Side, Workspace, plan
from mlxrepo.store.objects import Store
from mlxrepo.store.snapshot import Scan
from mlxrepo.store.statcache import StatCache

folder = Path(sys.argv[1])
store = Store(str(folder / "store"), link=sys.argv[3])
cache = StatCache(str(folder / "cache" / "stat.db"))
with store.batch() as batch:
    entry = Scan(str(folder / "work"), cache, store, batch=batch).entry(RepoPath("data"))
write_atomic(str(folder / "work" / "lock"), repr(entry).encode())
scan = Scan(str(folder / "work"), cache, store)
for name in ("out", "half"):
    path = RepoPath(name)
    here = scan.entry(path)
    side = Side(here, here, entry)
    steps = plan(path, side, scan.tree, store.has_entry, top=path)
    Workspace(str(folder / "work"), store, cache).apply(steps)
cache.close()
"""


@pytest.mark.parametrize("point", POINTS)
def test_killed_anywhere_and_done_again_it_is_the_same(rig: Rig, point: str) -> None:
    for number in range(30):
        rig.write(f"data/small/{number}", b"%d" % number)
    rig.write("data/large", b"large" * (SMALL // 4))
    rig.write("data/run").chmod(0o755)
    rig.write("half/small/3", b"3")  # one of the places is filled file by file
    here = Path(__file__).parent
    link = "hardlink" if point.startswith(("adopt", "publish-all")) else "copy"
    killed = run(WORK, rig.root.parent, here, link, MLXREPO_FAILPOINT=point)
    assert killed.returncode == -9, killed.stderr
    truth = rig.look("data")
    for name in ("out", "half"):  # whatever is there now is whole files, and no temporary
        assert _files(rig, name).items() <= _files(rig, "data").items()
    lock = rig.root / "lock"
    assert not lock.exists() or lock.read_text() == repr(truth)
    done = run(WORK, rig.root.parent, here, link)
    assert done.returncode == 0, done.stderr
    rig.fresh()
    assert rig.look("data") == rig.look("out") == rig.look("half") == truth
    assert lock.read_text() == repr(truth)
    assert rig.store.is_whole(truth)
    assert temporaries(rig.root.parent) == []
    assert sorted(os.listdir(rig.root)) == ["data", "half", "lock", "out"]


def _files(rig: Rig, name: str) -> dict[str, str]:
    scan = rig.scan()
    entry = scan.entry(RepoPath(name))
    return {path: item.oid for path, item in walk(scan.tree, entry)} if entry else {}
