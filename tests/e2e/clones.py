"""Users whose git finds `mlx` on PATH, as in a shell: its hooks and drivers run for real."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from user import User


class Clone(User):
    """A clone in which `mlx install` was run."""

    @classmethod
    def with_data(cls, root: Path) -> Clone:
        """Make a prepared repository with a folder of two files in its first commit."""
        clone = cls.begin(root)
        assert isinstance(clone, Clone)
        clone.write("data/a.txt", "a of main\n")
        clone.write("data/b.txt", "b\n")
        clone.ok("add", "data")
        clone.ok("install")
        clone.commit("first")
        return clone

    def run(
        self, *words: str, code: int = 0, env: dict[str, str] | None = None, folder: str = ""
    ) -> str:
        """Run git, which has to end with `code`, and return what it said on stderr."""
        done = self.shell("git", *words, env=env, folder=folder)
        said = f"git {' '.join(words)}: {done.returncode}: {done.stdout}{done.stderr}"
        assert done.returncode == code, said
        assert "Traceback" not in done.stderr, said
        return done.stderr

    def commit(self, message: str = "change") -> str:
        """Commit all that git sees, with hooks."""
        self.run("add", "--all")
        self.run("commit", "--quiet", "--allow-empty", f"--message={message}")
        return self.git("rev-parse", "HEAD").strip()

    def branch_with(self, name: str, path: str, content: str) -> str:
        """Commit another content of a file of the data on a new branch, and return the commit."""
        self.run("checkout", "--quiet", "-b", name)
        self.write(path, content)
        self.ok("add", "data")
        return self.commit(name)

    def clone(self, place: Path, *, prepared: bool = True) -> Clone:
        """Clone it as a colleague does."""
        subprocess.run(
            ["git", "clone", "--quiet", str(self.root), str(place)],
            check=True, env=self.environment(),
        )  # fmt: skip
        other = Clone(place)
        if prepared:
            other.ok("install")
        return other


def without_mlx(tmp_path: Path) -> dict[str, str]:
    """Return an environment in which git and a shell are there, and mlx is not."""
    folder = tmp_path / "few programs"
    folder.mkdir(exist_ok=True)
    for name in ("git", "sh", "cat", "env", "sed"):
        found = shutil.which(name)
        assert found
        if not (folder / name).exists():
            os.symlink(found, folder / name)
    return {"PATH": str(folder)}


def hook(place: Path, text: str, *, mode: int = 0o755) -> bytes:
    """Write a hook of somebody else and return its bytes."""
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)
    place.chmod(mode)
    return place.read_bytes()
