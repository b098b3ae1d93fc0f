"""The same project twice: once for the real DVC, once for mlx."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import NamedTuple

# DVC's words of `repro`, and ours where they differ.
WORDS = {"--single-item": "--single", "--dry": "--dry-run", "--glob": None}


CHAIN = """
stages:
  a: {cmd: 'echo a >> $RAN; head -c 1 in.txt > a.txt', deps: [in.txt], outs: [a.txt]}
  b: {cmd: 'echo b >> $RAN; cp a.txt b.txt', deps: [a.txt], outs: [b.txt]}
  c: {cmd: 'echo c >> $RAN; cp b.txt c.txt', deps: [b.txt], outs: [c.txt]}
  other: {cmd: 'echo other >> $RAN; cp in.txt other.txt', deps: [in.txt], outs: [other.txt]}
"""


class Outcome(NamedTuple):
    """What a run came to: whether it succeeded, and what the commands noted, sorted."""

    ok: bool
    ran: list[str]


class Side:
    """A project of one tool. Commands note in `$RAN` that they ran, and with which words."""

    def __init__(self, tool: str, words: list[str], root: Path):
        self.tool = tool
        self.root = root
        self._words = words
        self._ran = root.with_suffix(".ran")

    def init(self) -> None:
        """Make the project."""
        self.root.mkdir(parents=True)
        self._run("git", "init", "--quiet", "--initial-branch=main")
        done = self._run(*self._words, "init", "--quiet")
        assert done.returncode == 0, done.stderr

    def copied(self, folder: Path) -> Side:
        """Return a copy of the project in another folder: quicker than to make one."""
        shutil.copytree(self.root, folder / self.root.name, symlinks=True)
        return Side(self.tool, self._words, folder / self.root.name)

    def _run(self, *words: str, folder: str = "") -> subprocess.CompletedProcess[str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        return subprocess.run(
            words,
            cwd=self.root / folder,
            env={**kept, "RAN": str(self._ran), "SHELL": "/bin/sh", "DVC_NO_ANALYTICS": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            text=True,
        )

    def ask(self, *words: str, folder: str = "") -> subprocess.CompletedProcess[str]:
        """Run the tool."""
        done = self._run(*self._words, *words, folder=folder)
        assert "Traceback" not in done.stderr, done.stderr
        assert done.returncode != 70, done.stderr
        return done

    def repro(self, *words: str, folder: str = "") -> Outcome:
        """Run the pipeline."""
        done = self.ask("repro", *words, folder=folder)
        ran = sorted(self._ran.read_text().splitlines()) if self._ran.exists() else []
        self._ran.unlink(missing_ok=True)
        print(f"{self.tool} repro {' '.join(words)}: {done.returncode} {ran}")
        print(done.stdout + done.stderr)
        return Outcome(done.returncode == 0, ran)

    def names(self) -> list[str]:
        """Return the names of all stages, sorted."""
        if self.tool == "dvc":
            return sorted(self.ask("stage", "list", "--name-only").stdout.split())
        done = self.ask("--json", "stage", "list")
        assert done.returncode == 0, done.stderr
        return sorted(stage["stage"] for stage in json.loads(done.stdout)["stages"])


class Both:
    """Two projects with the same files, asked the same."""

    def __init__(self, dvc: Side, mlx: Side):
        self.dvc = dvc
        self.mlx = mlx

    @classmethod
    def create(cls, folder: Path, dvc: Path) -> Both:
        """Make a project of each tool below `folder`."""
        both = cls(
            Side("dvc", [str(dvc)], folder / "in-dvc"),
            Side("mlx", [sys.executable, "-m", "mlxrepo"], folder / "in-mlx"),
        )
        both.dvc.init()
        both.mlx.init()
        return both

    def copied(self, folder: Path) -> Both:
        """Return a copy of both projects in another folder."""
        return Both(self.dvc.copied(folder), self.mlx.copied(folder))

    def declare(self, text: str, *, mlx: str | None = None, folder: str = "") -> None:
        """Write the same text as dvc.yaml and as mlx.yaml, or another one for mlx."""
        for side, content in (self.dvc, text), (self.mlx, mlx or text):
            path = side.root / folder / f"{side.tool}.yaml"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(dedent(content))

    def write(self, path: str, text: str) -> None:
        """Write a file into both."""
        for side in (self.dvc, self.mlx):
            full = side.root / path
            full.parent.mkdir(parents=True, exist_ok=True)
            full.write_text(text)

    def remove(self, path: str) -> None:
        """Delete a file in both."""
        for side in (self.dvc, self.mlx):
            (side.root / path).unlink()

    def read(self, path: str) -> str:
        """Return the text of a file, which has to be the same in both."""
        ours, theirs = ((side.root / path).read_text() for side in (self.mlx, self.dvc))
        assert ours == theirs
        return ours

    def exists(self, path: str) -> bool:
        """Say whether a path is there, which has to be the same in both."""
        ours, theirs = ((side.root / path).exists() for side in (self.mlx, self.dvc))
        assert ours == theirs
        return ours

    def names(self) -> list[str]:
        """Return the names of the stages, which have to be the same in both."""
        ours, theirs = self.mlx.names(), self.dvc.names()
        assert ours == theirs
        return ours

    def apart(self, *words: str, folder: str = "") -> tuple[Outcome, Outcome]:
        """Run `repro` with DVC's words in both; return what DVC did and what mlx did."""
        ours = [WORDS.get(word, word) for word in words]
        return (
            self.dvc.repro(*words, folder=folder),
            self.mlx.repro(*[word for word in ours if word], folder=folder),
        )

    def repro(self, *words: str, folder: str = "") -> list[str]:
        """Run `repro` in both, which has to succeed and run the same; return what ran."""
        theirs, ours = self.apart(*words, folder=folder)
        assert theirs.ok
        assert ours == theirs
        return ours.ran

    def fails(self, *words: str) -> list[str]:
        """Run `repro` in both, which has to fail after running the same; return what ran."""
        theirs, ours = self.apart(*words)
        assert not theirs.ok
        assert ours == theirs
        return ours.ran

    def refused(self) -> None:
        """Both refuse the file, and run nothing."""
        assert self.fails() == []
