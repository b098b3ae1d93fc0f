"""The tools that are measured: how each is set up and asked for the same work."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent


def environment() -> dict[str, str]:
    """Return an environment in which no tool reads the user's settings or asks the network."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("GIT_", "DVC_", "MLXREPO_"))}
    return {
        **kept,
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_AUTHOR_NAME": "bench",
        "GIT_AUTHOR_EMAIL": "bench@example.org",
        "GIT_COMMITTER_NAME": "bench",
        "GIT_COMMITTER_EMAIL": "bench@example.org",
        "DVC_NO_ANALYTICS": "1",
    }


def run(words: list[str], folder: Path) -> float:
    """Run a command and return its wall seconds."""
    started = time.perf_counter()
    done = subprocess.run(words, cwd=folder, env=environment(), capture_output=True, check=False)
    seconds = time.perf_counter() - started
    if done.returncode:
        text = (done.stdout + done.stderr).decode(errors="replace")[-2000:]
        raise SystemExit(f"{' '.join(words)} in {folder}: exit {done.returncode}\n{text}")
    return seconds


def floor(step: str, source: Path, target: Path) -> float:
    """Run a floor in a process of its own; its imports are not counted."""
    words = [sys.executable, str(HERE / "floors.py"), step, str(source), str(target)]
    out = subprocess.run(words, capture_output=True, check=True, text=True).stdout
    return float(out)


@dataclass(frozen=True)
class Tool:
    """A tool by name with its command lines; git stands for itself."""

    name: str
    program: str
    version: str

    def init(self, folder: Path) -> None:
        """Make `folder` a repository of this tool."""
        folder.mkdir(parents=True)
        run(["git", "init", "-q", "-b", "main"], folder)
        if self.name != "git":
            run([self.program, "init", "-q"], folder)

    def add(self, folder: Path, path: str) -> float:
        """Record a path."""
        return run([self.program, "add", path], folder)

    def status(self, folder: Path) -> float:
        """Ask what changed."""
        return run([self.program, "status"], folder)

    def checkout(self, folder: Path, path: str) -> float:
        """Bring a path back."""
        if self.name == "git":
            return run(["git", "checkout", "-q", "--", path], folder)
        return run([self.program, "checkout"], folder)

    def commit(self, folder: Path, message: str) -> None:
        """Commit what the tool wants committed."""
        run(["git", "add", "-A"], folder)
        run(["git", "commit", "-q", "-m", message], folder)

    def switch(self, folder: Path, rev: str) -> float:
        """Go to another commit, data included; for mlx and DVC git's part is not counted."""
        seconds = run(["git", "-c", "advice.detachedHead=false", "checkout", "-q", rev], folder)
        return seconds if self.name == "git" else run([self.program, "checkout"], folder)


def peers(environment_folder: Path) -> dict[str, Tool]:
    """Return mlx, DVC (installed from PyPI into its own environment) and git."""
    dvc = environment_folder / "bin" / "dvc"
    if not dvc.exists():
        print("installing dvc ...", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", str(environment_folder)], check=True)
        pip = [str(environment_folder / "bin" / "pip"), "install", "-q", "dvc"]
        subprocess.run(pip, check=True)
    mlx = str(Path(sys.executable).parent / "mlx")
    return {
        name: Tool(name, program, _version(program))
        for name, program in (("mlx", mlx), ("dvc", str(dvc)), ("git", "git"))
    }


def _version(program: str) -> str:
    out = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    return out.strip().split()[-1]
