"""A user at a shell, for end-to-end tests: types into the installed `mlx`, as the README says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from sandbox import Project

MLX = Path(sys.executable).parent / "mlx"

# Each script reads and writes as the stage of its name declares, and notes in $RAN that it ran:
# the evidence of what ran is independent of mlx.
_NOTE = "import csv, json, os, pathlib\nopen(os.environ['RAN'], 'a').write('{name}\\n')\n"
_SCRIPTS = {
    "prepare": """
rows = [row for row in csv.DictReader(open("data/reviews.csv")) if row["text"].strip()]
pathlib.Path("prepared").mkdir(exist_ok=True)
json.dump(rows, open("prepared/rows.json", "w"))
print(len(rows), "rows prepared")
""",
    "featurize": """
rows = json.load(open("prepared/rows.json"))
pathlib.Path("features").mkdir(exist_ok=True)
with open("features/reviews.csv", "w") as file:
    for row in rows:
        file.write(f"{len(row['text'])},{row['text'].count('!')},{row['stars']}\\n")
""",
    "train": """
rounds = int(open("params.yaml").read().split("rounds:")[1].split()[0])
rows = [[int(cell) for cell in line.split(",")] for line in open("features/reviews.csv")]
weight = bias = 0.0
for _ in range(rounds):
    for length, marks, stars in rows:
        error = stars - (weight * marks + bias)
        weight, bias = weight + 0.05 * error * marks, bias + 0.05 * error
pathlib.Path("models").mkdir(exist_ok=True)
json.dump({"weight": weight, "bias": bias}, open("models/model.json", "w"))
""",
    "evaluate": """
model = json.load(open("models/model.json"))
rows = [[int(cell) for cell in line.split(",")] for line in open("features/reviews.csv")]
wrong = [abs(stars - model["weight"] * marks - model["bias"]) for _, marks, stars in rows]
metrics = {"error": {"mean": sum(wrong) / len(wrong)}, "rows": len(rows)}
json.dump(metrics, open("metrics.json", "w"))
""",
}
STAGES = tuple(_SCRIPTS)

PIPELINE = """
stages:
  prepare:
    cmd: python src/prepare.py
    deps: [data/reviews.csv, src/prepare.py]
    outs: [prepared/rows.json]
  featurize:
    cmd: python src/featurize.py
    deps: [prepared/rows.json, src/featurize.py]
    outs: [features/reviews.csv]
  train:
    cmd: python src/train.py
    deps: [features/reviews.csv, src/train.py]
    params: [train.rounds]
    outs: [models/model.json]
  evaluate:
    cmd: python src/evaluate.py
    deps: [features/reviews.csv, models/model.json, src/evaluate.py]
    metrics: [metrics.json]
"""
DATA = "id,text,stars\n1,good!,5\n2,bad,1\n3,fine!,4\n4,,3\n5,awful,1\n6,great!!,5\n"


class User(Project):
    """A user in a project's folder, with nothing but git and the installed `mlx`."""

    @classmethod
    def begin(cls, root: Path) -> User:
        """Start a project as the README does."""
        root.mkdir(parents=True, exist_ok=True)
        user = cls(root)
        user.git("init", "--quiet", "--initial-branch=main")
        user.ok("init")
        return user

    @classmethod
    def with_pipeline(cls, root: Path) -> User:
        """Start a project with a small CSV file, four scripts and their stages; nothing has run."""
        user = cls.begin(root)
        user.write("data/reviews.csv", DATA)
        user.ok("add", "data/reviews.csv")
        for name, script in _SCRIPTS.items():
            user.write(f"src/{name}.py", _NOTE.format(name=name) + script)
        user.write("params.yaml", "train:\n  rounds: 1\n")
        user.declare(PIPELINE)
        return user

    def declare(self, text: str) -> None:
        """Write below what stands in mlx.yaml."""
        self.write("mlx.yaml", self.read("mlx.yaml") + text)

    def environment(self) -> dict[str, str]:
        """Return the environment of a shell in which this Python's environment is active."""
        path = os.pathsep.join([str(MLX.parent), os.environ.get("PATH", os.defpath)])
        return {**os.environ, "PATH": path, "RAN": str(self._evidence)}

    def mlx(
        self, *words: str, folder: str = "", env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run the installed `mlx`."""
        return self.shell(str(MLX), *words, folder=folder, env=env)

    def shell(
        self, *command: str, folder: str = "", env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run one command in a folder of the project."""
        return subprocess.run(
            command,
            cwd=self.root / folder,
            env={**self.environment(), **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            encoding="utf-8",
            errors="surrogateescape",
        )

    def ok(self, *words: str, folder: str = "") -> str:
        """Run `mlx`, which has to succeed, and return its stdout."""
        done = self.mlx(*words, folder=folder)
        assert done.returncode == 0, f"mlx {' '.join(words)}: {done.stdout}{done.stderr}"
        return done.stdout

    def json(self, *words: str) -> Any:
        """Run `mlx … --json`, which has to succeed, and return the document."""
        return json.loads(self.ok(*words, "--json"))

    def fails(self, code: int, *words: str, folder: str = "") -> str:
        """Run `mlx`, which has to fail with `code` and without a traceback; return its stderr."""
        done = self.mlx(*words, folder=folder)
        said = f"mlx {' '.join(words)}: {done.stdout}{done.stderr}"
        assert done.returncode == code, said
        assert "error: " in done.stderr, said
        assert "Traceback" not in done.stderr, said
        return done.stderr

    def is_clean(self) -> bool:
        """Say whether neither mlx nor git sees anything to do."""
        states = self.json("status")
        return bool(states["clean"]) and not self.git("status", "--porcelain")

    def ran(self) -> list[str]:
        """Return the stages whose scripts ran since last asked."""
        names = self._evidence.read_text().split() if self._evidence.exists() else []
        self._evidence.unlink(missing_ok=True)
        return names

    def records(self, lock: str = "mlx.lock") -> dict[str, Any]:
        """Return the records of a lockfile by name, read without mlx."""
        _, *rest = [json.loads(line) for line in self.read(lock).splitlines() if line]
        return dict(zip(rest[::2], rest[1::2], strict=True))

    @property
    def _evidence(self) -> Path:
        return self.root.parent / f"{self.root.name}.ran"
