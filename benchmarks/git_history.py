"""A long git history with metrics, seeded: for mlx and DVC alike, by one `git fast-import`.

    python benchmarks/git_history.py FOLDER [COMMITS [CHANGES [SEED]]]

makes a repository in FOLDER, in which `mlx init` was run. Of its commits (2,000) some (200, each
with a tag) change params and metrics, as a run of the stage would; the others change notes. The
records are whole: `mlx lock check` calls each of them fresh.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from mlxrepo.codec import canonical
from mlxrepo.hashing import ACTION_CONTEXT, Oid, blob_oid, keyed_oid
from mlxrepo.paths import RepoPath
from mlxrepo.pipeline.sound import describe_record
from mlxrepo.repo.lockfile import (
    DataRecord,
    Input,
    Output,
    Record,
    StageRecord,
    encode_lock,
)
from mlxrepo.store.tree import Entry

PIPELINE = """\
stages:
  evaluate:
    cmd: python src/evaluate.py
    deps: [src/evaluate.py, data/reviews.csv]
    params: [train.lr, train.rounds]
    metrics: [metrics.json]
"""
CODE = b"print('trained')\n"
OTHERS = 300  # files beside, in folders of ten


def lock(lr: float, rounds: int, metrics: bytes) -> bytes:
    """Return the lockfile that a run of the stage leaves."""
    data = Entry("file", Oid("ab" * 32), 1 << 30)
    record = StageRecord(
        key="",
        cmd=("python src/evaluate.py",),
        wdir=RepoPath(""),
        deps=(
            Input(RepoPath("data/reviews.csv"), data),
            Input(RepoPath("src/evaluate.py"), Entry("file", blob_oid(CODE), len(CODE))),
        ),
        params={"params.yaml": {"train.lr": lr, "train.rounds": rounds}},
        environment={},
        outs=(
            Output(
                RepoPath("metrics.json"),
                "metric",
                False,
                Entry("file", blob_oid(metrics), len(metrics)),
            ),
        ),
        metrics={"metrics.json": json.loads(metrics)},
    )
    key = keyed_oid(ACTION_CONTEXT, canonical(describe_record(record)))
    records: dict[str, Record] = {
        "data:reviews": DataRecord(RepoPath("data/reviews.csv"), data),
        "stage:evaluate": record._replace(key=key),
    }
    return encode_lock(records)


def run_of(chance: random.Random) -> dict[str, bytes]:
    """Return the files that one run of the stage leaves, and its params."""
    lr, rounds = round(chance.uniform(0.01, 0.5), 4), chance.randrange(10, 100)
    names = ("auc", "f1", "loss", "precision", "recall")
    metrics = json.dumps({name: round(chance.random(), 6) for name in names}).encode()
    return {
        "params.yaml": f"train:\n  lr: {lr}\n  rounds: {rounds}\n".encode(),
        "metrics.json": metrics,
        "mlx.lock": lock(lr, rounds, metrics),
    }


def stream(commits: int, changes: int, seed: int, settled: dict[str, bytes]) -> Iterator[bytes]:
    """Yield what `git fast-import` reads; `settled` are the files of the first commit."""
    chance = random.Random(seed)
    first = {
        **settled,
        "src/evaluate.py": CODE,
        "dvc.yaml": PIPELINE.replace("[metrics.json]", "[metrics.json: {cache: false}]").encode(),
        **{f"notes/{n // 10:02}/{n:03}.md": b"# note\n" for n in range(OTHERS)},
    }
    every = max(1, commits // changes)
    for number in range(commits):
        files = dict(first) if number == 0 else {}
        is_run = number % every == 0 and number // every < changes
        if is_run:
            files.update(run_of(chance))
        else:
            note = chance.randrange(OTHERS)
            files[f"notes/{note // 10:02}/{note:03}.md"] = f"# note {number}\n".encode()
        yield f"commit refs/heads/main\nmark :{number + 1}\n".encode()
        yield f"committer bench <bench@example.org> {1_700_000_000 + number} +0000\n".encode()
        yield b"data 6\ncommit\n" + (f"from :{number}\n".encode() if number else b"")
        for path, data in files.items():
            yield f"M 100644 inline {path}\ndata {len(data)}\n".encode() + data + b"\n"
        if is_run:
            tag = f"refs/tags/run-{number // every}"
            yield f"reset {tag}\nfrom :{number + 1}\n\n".encode()
    yield b"done\n"


def build(folder: Path, commits: int = 2_000, changes: int = 200, seed: int = 1) -> None:
    """Fill a repository in which `mlx init` was run and nothing is committed."""
    project = folder / "mlx.yaml"
    head = "datasets:\n  reviews: {path: data/reviews.csv}\n"
    project.write_text(head + PIPELINE)
    names = ("mlx.yaml", ".mlxignore", ".gitattributes")
    settled = {name: (folder / name).read_bytes() for name in names}
    settled[".gitignore"] = b"/data/reviews.csv\n"
    subprocess.run(
        ["git", "fast-import", "--quiet", "--done"],
        cwd=folder,
        input=b"".join(stream(commits, changes, seed, settled)),
        check=True,
    )
    subprocess.run(["git", "reset", "--quiet", "--hard", "main"], cwd=folder, check=True)
    subprocess.run(["git", "gc", "--quiet"], cwd=folder, check=True)


if __name__ == "__main__":
    build(Path(sys.argv[1]), *map(int, sys.argv[2:]))
