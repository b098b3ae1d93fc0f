"""Out of space, of descriptors, of rights: mlx says so, leaves no harm, and again it works."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from storage import age, store_of
from user import User

from mlxrepo.paths import TEMP_PREFIX

ENVIRONMENT = 5
NOBODY = 65534


def assert_explained(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """Check that mlx gave up with a sentence that says what, where and what to do."""
    said = done.stdout + done.stderr
    assert done.returncode == ENVIRONMENT, said
    assert "error: " in done.stderr, said
    assert "hint: " in done.stderr, said
    assert "Traceback" not in done.stderr, said
    assert TEMP_PREFIX not in done.stderr, said
    for word in words:
        assert word in done.stderr, said


def assert_clean(user: User, store: Path | None = None) -> None:
    user.ok("fsck", "--data")
    for folder in (user.root, store or store_of(user)):
        assert [str(path) for path in folder.rglob(f"{TEMP_PREFIX}*")] == []


# a full disk


class Disk:
    """A small disk in memory."""

    def __init__(self, place: Path):
        self.place = place

    def resize(self, **limits: int) -> None:
        """Set `size` in bytes and the number of files, `nr_inodes`."""
        options = ",".join(["remount", *(f"{name}={value}" for name, value in limits.items())])
        subprocess.run(["mount", "-o", options, str(self.place)], check=True)

    def leave_bytes(self, count: int) -> None:
        now = os.statvfs(self.place)
        self.resize(size=(now.f_blocks - now.f_bfree) * now.f_frsize + count)

    def leave_files(self, count: int) -> None:
        now = os.statvfs(self.place)
        self.resize(nr_inodes=now.f_files - now.f_ffree + count)

    def enlarge(self) -> None:
        self.resize(size=64 << 20, nr_inodes=10_000)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    place = tmp_path / "disk"
    place.mkdir()
    options = "size=64m,nr_inodes=10000"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(place)], check=True)
    yield Disk(place)
    subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.mark.root
@pytest.mark.parametrize(
    "shrink",
    [lambda disk: disk.leave_bytes(2 << 20), lambda disk: disk.leave_files(4)],
    ids=["bytes", "files"],
)
@pytest.mark.parametrize("link", ["copy", "hardlink"])
def test_add_to_a_full_store(
    user: User, disk: Disk, shrink: Callable[[Disk], None], link: str
) -> None:
    user.git("config", "mlx.store", str(disk.place / "store"))
    user.git("config", "mlx.link", link)
    user.write("first.txt", "first\n")
    user.ok("add", "first.txt")
    before = user.files()
    for number in range(6):
        user.write(f"data/{number}.bin", os.urandom(1 << 20) + b"%d" % number)
    user.fill("data/small", 60)
    shrink(disk)
    done = user.mlx("add", "data")
    assert_explained(done, str(disk.place))
    assert "no space left" in done.stderr or " free" in done.stderr  # noticed late, or at once
    assert {path: user.files()[path] for path in before} == before | _hidden(user)
    disk.enlarge()
    user.ok("add", "data")
    assert_clean(user)


def _hidden(user: User) -> dict[str, bytes]:
    """Return .gitignore, which is written first so that git never sees the data."""
    return {".gitignore": user.files()[".gitignore"]}


@pytest.mark.root
@pytest.mark.parametrize("words", [("checkout",), ("checkout", "--force")])
def test_checkout_to_a_full_disk(disk: Disk, words: tuple[str, ...]) -> None:
    user = User.begin(disk.place / "project")
    user.fill("data/small", 30)
    user.write("data/large.bin", os.urandom(3 << 20))
    user.write("other.bin", os.urandom(2 << 20))
    user.ok("add", "data", "other.bin")
    user.commit()
    shutil.rmtree(user.path("data"))
    user.path("other.bin").unlink()
    whole = user.files()
    disk.leave_bytes(64 << 10)
    assert_explained(user.mlx(*words), str(disk.place), "no space left")
    assert user.files().items() >= whole.items()
    disk.enlarge()
    user.ok(*words)
    assert user.is_clean()
    assert_clean(user)


@pytest.mark.root
def test_gc_on_a_full_disk(disk: Disk) -> None:
    user = User.begin(disk.place / "project")
    user.write("keep.bin", os.urandom(1 << 20))
    user.ok("add", "keep.bin")
    user.commit()
    user.write("drop.bin", os.urandom(2 << 20))
    user.ok("add", "drop.bin")
    user.ok("rm", "drop.bin")
    user.git("restore", ".")
    age(user)
    disk.leave_bytes(0)
    user.ok("gc", "--yes")
    user.ok("gc", "--empty-trash", "--yes")
    disk.enlarge()
    assert_clean(user)
    user.path("keep.bin").unlink()
    user.ok("checkout")
    assert user.is_clean()


# limits of the process


def limited(user: User, limit: int, value: int, *words: str) -> subprocess.CompletedProcess[str]:
    """Run mlx with a limit on what the system gives it."""
    return subprocess.run(
        [sys.executable, "-m", "mlxrepo", *words],
        cwd=user.root,
        env=user.environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(limit, (value, value)),
    )


@pytest.fixture
def filled(user: User) -> User:
    """A project with data that is not added yet."""
    user.fill("data/small", 60)
    user.write("data/large.bin", os.urandom(3 << 20))
    return user


def test_add_where_no_large_file_may_be_written(filled: User) -> None:
    assert_explained(
        limited(filled, resource.RLIMIT_FSIZE, 1 << 20, "add", "data"), ".git/mlx", "large"
    )
    filled.ok("add", "data")
    assert_clean(filled)


def test_checkout_where_no_large_file_may_be_written(filled: User) -> None:
    filled.ok("add", "data")
    filled.commit()
    whole = filled.files()
    shutil.rmtree(filled.path("data"))
    done = limited(filled, resource.RLIMIT_FSIZE, 1 << 20, "checkout")
    assert_explained(done, str(filled.root), "large")
    assert filled.files().items() <= whole.items()
    filled.ok("checkout")
    assert filled.files() == whole
    assert_clean(filled)


def test_gc_where_no_large_file_may_be_written(filled: User) -> None:
    """It moves, and writes nothing large."""
    make_garbage(filled)
    done = limited(filled, resource.RLIMIT_FSIZE, 1 << 20, "gc", "--yes")
    assert done.returncode == 0, done.stderr
    assert_clean(filled)


def make_garbage(user: User) -> None:
    user.ok("add", "data")
    user.ok("rm", "data")
    age(user)


def make_absent(user: User) -> None:
    user.ok("add", "data")
    user.commit()
    shutil.rmtree(user.path("data"))


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (lambda user: None, ("add", "data")),
        (make_absent, ("checkout",)),
        (make_garbage, ("gc", "--yes")),
    ],
    ids=["add", "checkout", "gc"],
)
def test_few_descriptors(
    filled: User, prepare: Callable[[User], None], words: tuple[str, ...]
) -> None:
    prepare(filled)
    failed = 0
    for limit in range(5, 40):  # from not enough for anything to enough
        done = limited(filled, resource.RLIMIT_NOFILE, limit, *words)
        if done.returncode == 0:
            break
        if "mlxrepo" in done.stderr and "import" in done.stderr:
            continue  # not even Python could start
        assert_explained(done, "too many open files", "ulimit -n")
        failed += 1
    assert failed
    assert done.returncode == 0
    filled.ok(*words)
    assert_clean(filled)


# a store that this user may not write


class Guest(User):
    """A user without rights, in a project of their own, with somebody else's store."""

    def mlx(
        self, *words: str, folder: str = "", env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", _AS_NOBODY, *words],
            cwd=self.root / folder,
            env={**self.environment(), "HOME": str(self.root), **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )


# Everything is imported first: the interpreter may lie where nobody may read.
_AS_NOBODY = """
import ctypes, difflib, email.parser, importlib, os, pkgutil, sqlite3, subprocess, sys
import pathspec, xxhash, yaml, mlxrepo
for module in pkgutil.walk_packages(mlxrepo.__path__, "mlxrepo."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
from mlxrepo.yamlfile import read
read(b"a: 1", "")
pathspec.GitIgnoreSpec.from_lines(["x"]).check_file("y")
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
sys.exit(importlib.import_module("mlxrepo.cli.main").run(sys.argv[1:]))
"""


@pytest.fixture
def guest() -> Iterator[Guest]:
    """Return a project of nobody's whose store is root's: readable, with one version in it."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        place = Path(folder).resolve()
        user = User.begin(place / "project")
        user.git("config", "mlx.store", str(place / "store"))
        user.fill("data", 30)
        user.write("large.bin", os.urandom(2 << 20))
        user.ok("add", "data", "large.bin")
        user.commit()
        user.write("garbage.txt", "garbage")
        user.ok("add", "garbage.txt")
        user.ok("rm", "garbage.txt")
        subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", user.root], check=True)
        yield Guest(user.root)


@pytest.mark.root
def test_a_store_that_may_only_be_read(guest: Guest) -> None:
    store = str(guest.root.parent / "store")
    guest.write("new.txt", "new\n")
    os.chown(guest.path("new.txt"), NOBODY, NOBODY)
    before = guest.files()
    assert_explained(guest.mlx("add", "new.txt"), store, "permission denied")
    assert_explained(guest.mlx("gc", "--yes", "--grace", "0"), store)
    assert {path: guest.files()[path] for path in before} == before | _hidden(guest)
    guest.path("large.bin").unlink()
    guest.ok("checkout")  # what is there can be read
    assert guest.path("large.bin").exists()
    subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", store], check=True)
    guest.ok("add", "new.txt")
    assert_clean(guest, Path(store))
