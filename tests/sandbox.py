"""A real project in a folder of its own, for tests: real git, real files."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from mlxrepo.commands.init import init
from mlxrepo.repo.repo import Repo

P = ParamSpec("P")
R = TypeVar("R")


class Project:
    """A git worktree with mlx in it; `repo()` opens it afresh, as each command does."""

    def __init__(self, root: Path):
        self.root = root

    @classmethod
    def create(cls, root: Path) -> Project:
        """Make a git repository and an mlx project in the folder `root`."""
        root.mkdir(parents=True, exist_ok=True)
        project = cls(root)
        project.git("init", "--quiet", "--initial-branch=main")
        with Repo.find(str(root)) as repo:
            init(repo)
        return project

    def repo(self, folder: str = "") -> Repo:
        """Open the project as a command started in `folder` does."""
        return Repo.open(str(self.root / folder))

    def do(self, verb: Callable[Concatenate[Repo, P], R], *args: P.args, **options: P.kwargs) -> R:
        """Call a command's function on the project opened afresh."""
        with self.repo() as repo:
            return verb(repo, *args, **options)

    def path(self, path: str) -> Path:
        """Return the full path of a file."""
        return self.root / path

    def write(self, path: str, content: str | bytes = "content\n") -> Path:
        """Write a file and the folders above it."""
        full = self.root / path
        full.parent.mkdir(parents=True, exist_ok=True)
        full.write_bytes(content.encode() if isinstance(content, str) else content)
        return full

    def fill(self, folder: str, count: int) -> None:
        """Write `count` small files, each with bytes of its own."""
        for number in range(count):
            self.write(f"{folder}/{number:04}.txt", f"file {number} of {folder}\n")

    def read(self, path: str) -> str:
        """Return the text of a file."""
        return (self.root / path).read_text()

    def git(self, *words: str, check: bool = True) -> str:
        """Run git here and return what it printed."""
        done = subprocess.run(
            ["git", *words],
            cwd=self.root,
            capture_output=True,
            check=False,
            encoding="utf-8",
            errors="surrogateescape",
        )
        if check and done.returncode:
            raise AssertionError(f"git {' '.join(words)} failed: {done.stderr}{done.stdout}")
        return done.stdout

    def commit(self, message: str = "change") -> str:
        """Commit everything git sees and return the commit."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", f"--message={message}")
        return self.git("rev-parse", "HEAD").strip()

    def commit_only(self, *paths: str) -> None:
        """Commit some files and leave the others as they are."""
        self.git("add", "--", *paths)
        self.git("commit", "--quiet", "--message=some")

    def untracked(self) -> set[str]:
        """Return what `git status` calls untracked, every file by its path."""
        rows = self.git("status", "--porcelain", "-z", "--untracked-files=all").split("\0")
        return {row[3:] for row in rows if row.startswith("?? ")}

    def worktree(self, name: str) -> Project:
        """Add a git worktree beside this one, at a new branch of its name."""
        path = self.root.parent / name
        self.git("worktree", "add", "--quiet", "-b", name, str(path))
        return Project(path)

    def mlx(
        self, *words: str, folder: str = "", env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run the command line in a process of its own."""
        return subprocess.run(
            [sys.executable, "-m", "mlxrepo", *words],
            cwd=self.root / folder,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            encoding="utf-8",
            errors="surrogateescape",
        )

    def files(self, folder: str = "") -> dict[str, bytes]:
        """Return the workspace files below a folder by path, without git's own."""
        found: dict[str, bytes] = {}
        for here, folders, names in os.walk(self.root / folder):
            if ".git" in folders:
                folders.remove(".git")
            for name in names:
                full = Path(here, name)
                if full.is_file() and not full.is_symlink() and name != ".git":
                    found[str(full.relative_to(self.root))] = full.read_bytes()
        return found


class Killer:
    """Runs command lines and kills each at one of its durable steps.

    One process that has done no work itself forks a child for each: that is fast, and the child
    has its threads to itself.
    """

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _KILLER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def killed(self, step: int, project: Project, *words: str) -> bool:
        """Run `mlx WORDS` and kill it at its durable step `step`; say whether it got there."""
        assert self._process.stdin
        assert self._process.stdout
        job = json.dumps([step, ["-q", "-C", str(project.root), *words]])
        print(job, file=self._process.stdin, flush=True)
        code = int(self._process.stdout.readline())
        assert code in (0, -signal.SIGKILL), f"mlx {words} ended with {code}"
        return code != 0

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


_KILLER = """
import json, os, signal, sys
from mlxrepo import files
from mlxrepo.cli.main import run

for line in sys.stdin:
    step, words = json.loads(line)
    child = os.fork()
    if child == 0:
        os.dup2(2, 1)
        left = iter(range(step))
        files.failpoint = lambda name: next(left, None) is None and os.kill(os.getpid(), 9)
        os._exit(run(words))
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def copies(project: Project, folder: Path) -> Iterator[tuple[int, Project]]:
    """Yield 0, 1, 2 … each with a copy of the project of its own."""
    for number in range(60):
        place = folder / f"copy{number}"
        shutil.copytree(project.root, place, symlinks=True)
        yield number, Project(place)
    raise AssertionError("it never came to its end")


def settle() -> None:
    """Wait until files just written are old enough for their stat to be believed."""
    time.sleep(0.03)
