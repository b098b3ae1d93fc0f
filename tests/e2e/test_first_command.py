"""The README's first command as a stranger types it: not root, an odd path, a new clone."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOBODY = 65534
AS_NOBODY = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
PIP_SETTINGS = (".config/pip/pip.conf", ".pip/pip.conf")  # how this machine reaches PyPI


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder with an odd name that belongs to a user without rights."""
    folder = Path(tempfile.mkdtemp(prefix="mlx nobody ü "))
    for name in PIP_SETTINGS:
        mine = Path(pwd.getpwuid(os.getuid()).pw_dir, name)
        if mine.exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(mine, folder / name)
    yield folder
    shutil.rmtree(folder)


def copy_of_the_project(folder: Path) -> Path:
    """Copy what git has, or would add, as a clone would bring it."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    clone = folder / "a clone"
    for name in filter(None, os.fsdecode(listed.stdout).split("\0")):
        if (ROOT / name).is_file():
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, clone / name)
    return clone


@pytest.mark.root
@pytest.mark.debian
@pytest.mark.slow
def test_the_first_command_of_the_readme_works_for_a_user_without_rights(home: Path) -> None:
    command = next(
        line.partition("#")[0].split()
        for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("python3 dev.py example")
    )
    clone = copy_of_the_project(home)
    subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", home], check=True)
    kept = ("LANG", "SSL_CERT_FILE", "https_proxy", "HTTPS_PROXY")
    environment = {
        name: value
        for name, value in os.environ.items()
        if name in kept or (name.startswith("PIP_") and "CONFIG" not in name)
    }
    environment |= {"HOME": str(home), "TMPDIR": str(home), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [*AS_NOBODY, *command],
        cwd=clone,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "Data, features and model of the first commit are back, byte for byte." in done.stdout
    assert {path.owner() for path in (clone / ".venv").iterdir()} == {"nobody"}
