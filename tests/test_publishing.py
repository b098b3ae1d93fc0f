"""Publishing and moving: what has a name is whole; what moves is at one place, or whole at both."""

from __future__ import annotations

import ast
import errno
import os
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlxrepo import files
from mlxrepo.failpoints import FAILPOINTS
from mlxrepo.files import write_atomic

LONG_AGO = 1_000_000_000


def publish(folder: Path, data: bytes = b"data") -> Path:
    final = folder / "objects" / "ab" / "cd"
    fd, temp = files.open_temp(str(folder / "tmp"))
    os.write(fd, data)
    files.publish(fd, temp, str(final))
    os.close(fd)
    assert os.listdir(folder / "tmp") == []
    return final


def publish_both(folder: Path) -> list[Path]:
    finals = [folder / "trees" / "ab" / name for name in ("1", "2")]
    items = [(b"data", str(final)) for final in finals]
    files.publish_all(str(folder / "tmp"), items, "batch")
    return finals


def test_what_is_published_is_read_only_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        finals = [publish(tmp_path), *publish_both(tmp_path)]
    finally:
        os.umask(before)
    for final in finals:
        assert stat.S_IMODE(final.stat().st_mode) == 0o444
        assert final.read_bytes() == b"data"
    assert os.listdir(tmp_path / "tmp") == []


def test_what_is_there_already_is_kept_and_counts_as_new(tmp_path: Path) -> None:
    finals = [publish(tmp_path), *publish_both(tmp_path)]
    inodes = [final.stat().st_ino for final in finals]
    for final in finals:
        os.utime(final, (LONG_AGO, LONG_AGO))
    publish(tmp_path, b"other")
    publish_both(tmp_path)
    assert [final.stat().st_ino for final in finals] == inodes
    assert all(final.read_bytes() == b"data" for final in finals)
    assert all(final.stat().st_mtime > LONG_AGO + 1 for final in finals)
    assert os.listdir(tmp_path / "tmp") == []


def adopt(path: Path, final: Path) -> files.Stat | None:
    return files.adopt(str(path), files.stat_of(path.lstat()), str(final), flush=True)


def test_an_adopted_file_is_the_object_and_read_only(tmp_path: Path) -> None:
    path, final = tmp_path / "file", tmp_path / "objects" / "cd"
    path.write_bytes(b"data")
    assert adopt(path, final) == files.stat_of(path.lstat())
    assert path.samefile(final)
    assert stat.S_IMODE(final.stat().st_mode) == 0o444


def test_a_file_that_is_not_adopted_stays_as_it_was(tmp_path: Path, other_disk: Path) -> None:
    path, final = tmp_path / "file", tmp_path / "objects" / "cd"
    path.write_bytes(b"data")
    path.chmod(0o640)
    final.parent.mkdir()
    final.write_bytes(b"data")
    os.utime(final, (LONG_AGO, LONG_AGO))
    assert adopt(path, final) is None
    assert final.stat().st_mtime > LONG_AGO + 1
    assert adopt(path, other_disk / "cd") is None
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert not (other_disk / "cd").exists()


def test_a_file_that_changed_since_it_was_read_is_not_adopted(tmp_path: Path) -> None:
    path, final = tmp_path / "file", tmp_path / "objects" / "cd"
    path.write_bytes(b"data")
    found = files.stat_of(path.lstat())
    path.write_bytes(b"other")
    assert files.adopt(str(path), found, str(final), flush=True) is None
    assert not final.exists()
    assert path.stat().st_mode & stat.S_IWUSR


# moving


@pytest.fixture
def other_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a folder on another file system than the temporary one."""
    assert os.stat("/dev/shm").st_dev != os.stat(tmp_path).st_dev, "this needs two file systems"
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


def make(root: Path, *, mtime: int = LONG_AGO) -> None:
    """Make a folder with a file of each kind, with times and permission bits to be known by."""
    (root / "below" / "empty").mkdir(parents=True)
    (root / "below" / "run").write_bytes(b"run")
    (root / "below" / "run").chmod(0o750)
    (root / "private").write_bytes(b"private")
    (root / "private").chmod(0o600)
    (root / "link").symlink_to("nowhere")
    (root / "below" / "empty").chmod(0o700)
    for path in (*sorted(root.rglob("*"), reverse=True), root):
        os.utime(path, (mtime, mtime), follow_symlinks=False)


def look(root: Path) -> dict[str, tuple[int, int, bytes]]:
    found = {}
    for path in (root, *root.rglob("*")):
        one = path.lstat()
        data = b"" if not stat.S_ISREG(one.st_mode) else path.read_bytes()
        data = os.fsencode(os.readlink(path)) if path.is_symlink() else data
        found[str(path.relative_to(root))] = (one.st_mode, one.st_mtime_ns, data)
    return found


@pytest.mark.parametrize("name", [".", "link", "private", "below"])
@pytest.mark.parametrize("far", [False, True], ids=["rename", "copy"])
def test_what_moves_keeps_its_permissions_and_times(
    tmp_path: Path, other_disk: Path, name: str, far: bool
) -> None:
    make(tmp_path / "source")
    source = tmp_path / "source" / name
    before = look(source)
    target = (other_disk if far else tmp_path) / "new" / "place"
    files.move(str(source), str(target))
    assert look(target) == before
    assert not os.path.lexists(source)
    assert os.listdir(target.parent) == ["place"]
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".mlx-tmp-")]


def test_a_move_that_fails_leaves_the_source_and_no_half_target(
    tmp_path: Path, other_disk: Path
) -> None:
    make(tmp_path / "source")
    os.mkfifo(tmp_path / "source" / "pipe")  # what cannot be copied
    with pytest.raises(OSError):  # noqa: PT011
        files.move(str(tmp_path / "source"), str(other_disk / "target"))
    assert os.listdir(other_disk) == []
    assert (tmp_path / "source" / "below" / "run").read_bytes() == b"run"
    with pytest.raises(FileNotFoundError):
        files.move(str(tmp_path / "nothing"), str(tmp_path / "target"))


def test_a_full_folder_is_in_the_way_of_a_move_and_loses_nothing(
    tmp_path: Path, other_disk: Path
) -> None:
    make(tmp_path / "source")
    for target in (tmp_path / "target", other_disk / "target"):
        make(target, mtime=LONG_AGO + 9)
        before = look(target), look(tmp_path / "source")
        with pytest.raises(OSError) as e:  # noqa: PT011
            files.move(str(tmp_path / "source"), str(target))
        assert e.value.errno in (errno.ENOTEMPTY, errno.EEXIST)
        assert (look(target), look(tmp_path / "source")) == before


def test_what_does_not_move_on_one_disk_is_not_copied(tmp_path: Path) -> None:
    make(tmp_path / "source")
    before = look(tmp_path / "source" / "below")
    with pytest.raises(OSError) as e:  # noqa: PT011
        files.move(str(tmp_path / "source"), str(tmp_path / "source" / "target"))
    assert e.value.errno == errno.EINVAL
    assert look(tmp_path / "source" / "below") == before


MOVE = "import sys; from mlxrepo.files import move; move(*sys.argv[1:])"


@pytest.mark.parametrize(
    ("point", "here", "there"),
    [
        ("move.before-rename", True, False),
        ("move.copied", True, False),
        ("move.before-remove", True, True),
    ],
)
def test_a_killed_move_to_another_disk_leaves_a_whole_folder_here_or_there(
    tmp_path: Path, other_disk: Path, point: str, here: bool, there: bool
) -> None:
    source, target = tmp_path / "source", other_disk / "target"
    make(source)
    whole = look(source)
    assert killed_at(point, MOVE, source, target)
    assert (source.exists(), target.exists()) == (here, there)
    assert all(look(path) == whole for path in (source, target) if path.exists())
    files.write_atomic(str(other_disk / "next"), b"")
    assert not [name for name in os.listdir(other_disk) if name.startswith(".mlx-tmp-")]


def test_a_folder_that_goes_is_gone_at_once(
    tmp_path: Path, other_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of a folder, left by a kill while it is removed, would pass for the folder."""
    make(tmp_path / "source")
    seen = []

    def looked_at(path: str) -> None:
        seen.append(path)
        assert not (tmp_path / "source").exists()

    monkeypatch.setattr(files, "remove_any", looked_at)
    files.move(str(tmp_path / "source"), str(other_disk / "target"))
    assert len(seen) == 1
    monkeypatch.undo()
    write_atomic(str(tmp_path / "next"), b"")
    assert os.listdir(tmp_path) == ["next"]


# failpoints


def killed_at(point: str, code: str, *args: Path) -> bool:
    env = {**os.environ, "MLXREPO_FAILPOINT": point}
    done = subprocess.run([sys.executable, "-c", code, *map(str, args)], env=env, check=False)
    assert done.returncode in (0, -9)
    return done.returncode == -9


TWICE = """
import sys
from mlxrepo.files import write_atomic
write_atomic(sys.argv[1], b"1")
write_atomic(sys.argv[1], b"2")
"""


@pytest.mark.parametrize(("hit", "left"), [("", b"0"), (":1", b"0"), (":2", b"1"), (":3", b"2")])
def test_a_failpoint_kills_at_the_hit_that_is_asked_for(
    tmp_path: Path, hit: str, left: bytes
) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"0")
    assert killed_at(f"write.before-rename{hit}", TWICE, file) == (hit != ":3")
    assert file.read_bytes() == left


def test_every_failpoint_is_listed_and_every_listed_one_is_there() -> None:
    called = []
    for path in Path(files.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("failpoint"):
                [name] = node.args
                assert isinstance(name, ast.Constant), f"{path}:{node.lineno}: not a plain name"
                called.append(name.value)
    assert set(called) == set(FAILPOINTS)
    assert len(set(FAILPOINTS)) == len(FAILPOINTS)


def test_a_failpoint_costs_nothing_when_it_is_off() -> None:
    begun = time.process_time()
    for _ in range(100_000):
        files.failpoint("write.before-rename")
    assert time.process_time() - begun < 0.2  # 2 µs each, a hundredth of the cheapest write
