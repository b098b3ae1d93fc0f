"""Durable writes and one-read hashing."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mlxrepo import files, reading
from mlxrepo.errors import EnvironmentFailed
from mlxrepo.files import SMALL, temp_file, write_atomic
from mlxrepo.hashing import blob_oid
from mlxrepo.reading import read_content

# one read


@pytest.mark.parametrize("size", [0, 1, SMALL - 1, SMALL, SMALL + 1, reading.CHUNK + 1])
@pytest.mark.parametrize("with_sink", [False, True])
def test_a_file_is_named_by_its_bytes_and_copied_on_the_way(
    tmp_path: Path, size: int, with_sink: bool
) -> None:
    data = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    (tmp_path / "file").write_bytes(data)
    with temp_file(str(tmp_path)) as (fd, copy):
        os.write(fd, b"from an earlier attempt")
        content = read_content(str(tmp_path / "file"), sink=fd if with_sink else None)
        if content.data is None and with_sink:
            assert Path(copy).read_bytes() == data
    assert content.oid == blob_oid(data)
    assert content.stat.size == size
    assert content.data == (data if size < SMALL else None)


@contextmanager
def writing(step: Callable[[int], None]) -> Iterator[None]:
    """Call `step` again and again while the block runs."""
    stop, started = threading.Event(), threading.Event()

    def work() -> None:
        number = 0
        while not stop.is_set():
            step(number)
            number += 1
            started.set()

    thread = threading.Thread(target=work)
    thread.start()
    started.wait()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_a_file_that_is_written_to_all_the_time_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(48 << 20))
    with path.open("r+b", buffering=0) as stream:

        def step(number: int) -> None:
            stream.seek(number * 4096 % (48 << 20))
            stream.write(b"x" * 512)

        with writing(step), pytest.raises(EnvironmentFailed, match="changes while it is read") as e:
            read_content(str(path))
    assert e.value.hint


def test_a_file_that_grows_is_read_whole_at_some_moment_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"")
    line = b"0123456789abcdef"
    with path.open("ab", buffering=0) as stream, writing(lambda _: stream.write(line) and None):
        for _ in range(200):
            try:
                content = read_content(str(path))
            except EnvironmentFailed:
                continue
            size = content.stat.size
            assert content.oid == blob_oid((line * (size // 16 + 1))[:size])


def test_a_file_replaced_while_it_is_read_is_never_a_mixture(tmp_path: Path) -> None:
    path, other = tmp_path / "file", tmp_path / "other"
    versions = [b"a" * (SMALL + 5), b"b" * (SMALL + 9)]
    known = {blob_oid(data) for data in versions}
    path.write_bytes(versions[0])

    def step(number: int) -> None:
        other.write_bytes(versions[number % 2])
        other.replace(path)

    with writing(step):
        for _ in range(20):
            try:
                assert read_content(str(path)).oid in known
            except EnvironmentFailed:
                continue


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda p: os.symlink("/etc/passwd", p)])
def test_only_a_regular_file_is_opened_and_nothing_blocks(tmp_path: Path, make) -> None:
    make(tmp_path / "thing")
    with pytest.raises((EnvironmentFailed, OSError)):
        read_content(str(tmp_path / "thing"))


def test_a_file_that_gives_more_than_it_has_is_an_error() -> None:
    """Files of /proc have no size, and what cannot be copied faithfully is not named either."""
    with pytest.raises(EnvironmentFailed, match="changes while it is read"):
        read_content("/proc/self/status")


def test_blocks_are_shared_or_the_disk_says_no(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a" * 5000)
    with open(tmp_path / "a", "rb") as source, open(tmp_path / "b", "w+b") as target:
        shared = reading.reflink(source.fileno(), target.fileno())
    assert (tmp_path / "b").read_bytes() == (b"a" * 5000 if shared else b"")


def test_a_clone_is_hashed_instead_of_its_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine's disk may not share blocks, so here the kernel's part is played by a copy."""
    (tmp_path / "file").write_bytes(b"s" * SMALL)

    def clone(source: int, target: int) -> bool:
        os.pwrite(target, b"c" * SMALL, 0)  # other bytes, to see whose name is given
        return True

    monkeypatch.setattr(reading, "reflink", clone)
    with temp_file(str(tmp_path)) as (fd, copy):
        content = read_content(str(tmp_path / "file"), sink=fd)
        assert content.oid == blob_oid(Path(copy).read_bytes()) == blob_oid(b"c" * SMALL)
    with open(tmp_path / "file", "rb") as source, open(tmp_path / "new", "w+b") as target:
        assert not reading.copy_verified(source.fileno(), target.fileno(), blob_oid(b"s" * SMALL))


# writing


def test_a_replaced_file_keeps_its_permissions_whatever_the_umask(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(0o664)
    before = os.umask(0o077)
    try:
        write_atomic(str(path), b"new")
        write_atomic(str(tmp_path / "fresh"), b"new")
    finally:
        os.umask(before)
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o664
    assert stat.S_IMODE((tmp_path / "fresh").stat().st_mode) == 0o600


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(TypeError):
        write_atomic(str(path), "no bytes")  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_readers_see_the_old_bytes_or_the_new_ones(tmp_path: Path) -> None:
    path = tmp_path / "file"
    versions = {b"a" * 100_000, b"b" * 50_000}
    listed = sorted(versions)
    write_atomic(str(path), listed[0])
    with writing(lambda number: write_atomic(str(path), listed[number % 2])):
        for _ in range(100):
            assert path.read_bytes() in versions


WRITE = "import sys; from mlxrepo.files import write_atomic; write_atomic(sys.argv[1], b'new')"


@pytest.mark.parametrize(
    ("point", "left"), [("write.before-rename", b"old"), ("write.after-rename", b"new")]
)
def test_a_killed_write_leaves_one_or_the_other_and_the_next_one_cleans_up(
    tmp_path: Path, point: str, left: bytes
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    command = [sys.executable, "-c", WRITE, str(path)]
    done = subprocess.run(command, env={**os.environ, "MLXREPO_FAILPOINT": point}, check=False)
    assert done.returncode == -9
    assert path.read_bytes() == left
    assert subprocess.run(command, check=False).returncode == 0
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["file"]


def test_what_a_living_writer_is_at_is_left_alone(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        with temp_file(str(tmp_path)) as (_, file), files.temp_folder(fd) as folder:
            os.mkdir("inside", dir_fd=folder)
            for _ in range(2):
                write_atomic(str(tmp_path / "other"), b"")
            assert os.path.exists(file)
            assert os.listdir(folder) == ["inside"]
    finally:
        os.close(fd)
    assert os.listdir(tmp_path) == ["other"]


def test_a_planted_link_is_no_temporary(tmp_path: Path) -> None:
    kept, work = tmp_path / "kept", tmp_path / "work"
    kept.mkdir()
    work.mkdir()
    (kept / "file").write_bytes(b"")
    (work / ".mlx-tmp-0").symlink_to(kept)
    (work / ".mlx-tmp-1").symlink_to(kept / "file")
    write_atomic(str(work / "other"), b"")
    assert os.listdir(kept) == ["file"]
    assert len(os.listdir(work)) == 3


def test_a_planted_pipe_stops_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".mlx-tmp-0")
    write_atomic(str(tmp_path / "other"), b"")
    assert os.listdir(tmp_path) == ["other"]


def test_a_new_folder_cleans_up_as_a_new_file_does(tmp_path: Path) -> None:
    (tmp_path / ".mlx-tmp-0").mkdir()
    place = os.open(tmp_path, os.O_RDONLY)
    with files.temp_folder(place):
        assert not (tmp_path / ".mlx-tmp-0").exists()
    os.close(place)


def test_a_temporary_in_a_folder_that_is_gone_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    place = os.open(tmp_path / "gone", os.O_RDONLY)
    (tmp_path / "gone").rmdir()
    with pytest.raises(FileNotFoundError), files.temp_folder(place):
        pass
    os.close(place)


def test_a_link_that_takes_the_place_of_a_temporary_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "kept").mkdir()
    real = os.mkdir

    def planted(name: str, mode: int, *, dir_fd: int) -> None:
        real(name, mode, dir_fd=dir_fd)
        os.rmdir(name, dir_fd=dir_fd)
        os.symlink("kept", name, dir_fd=dir_fd)

    monkeypatch.setattr(os, "mkdir", planted)
    place = os.open(tmp_path, os.O_RDONLY)
    with pytest.raises(OSError), files.temp_folder(place):  # noqa: PT011
        pass
    os.close(place)


def test_whatever_lies_at_a_path_is_removed_but_not_behind_a_link(tmp_path: Path) -> None:
    (tmp_path / "folder" / "below").mkdir(parents=True)
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    (tmp_path / "target").mkdir()
    for name in ("folder", "file", "link", "nothing"):
        files.remove_any(str(tmp_path / name))
    assert os.listdir(tmp_path) == ["target"]


def test_a_new_file_in_the_folder_of_a_group_is_readable_for_the_group(tmp_path: Path) -> None:
    shared, own = tmp_path / "shared", tmp_path / "own"
    for folder in (shared, own):
        folder.mkdir()
    shared.chmod(0o2770)
    before = os.umask(0o077)
    try:
        for folder in (shared, own):
            write_atomic(str(folder / "below" / "file"), b"")
    finally:
        os.umask(before)
    assert stat.S_IMODE((shared / "below").stat().st_mode) == 0o2770
    assert stat.S_IMODE((shared / "below" / "file").stat().st_mode) == 0o640
    assert stat.S_IMODE((own / "below" / "file").stat().st_mode) == 0o600


def test_what_a_link_points_to_is_replaced_and_the_link_stays(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real/file")
    write_atomic(str(tmp_path / "link"), b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "file").read_bytes() == b"new"


def test_a_file_is_in_the_way_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(FileExistsError):
        files.make_folder(str(tmp_path / "file" / ""))
    with pytest.raises((FileExistsError, NotADirectoryError)):
        write_atomic(str(tmp_path / "file" / "below"), b"")
    assert os.listdir(tmp_path) == ["file"]


def test_what_must_not_be_removed_is_told_as_such() -> None:
    with tempfile.TemporaryDirectory() as folder:  # pytest's own are for one user
        kept = Path(folder, "kept")
        kept.write_bytes(b"")
        os.chmod(folder, 0o755)
        child = os.fork()
        if child == 0:
            if os.getuid() == 0:
                os.setuid(65534)
            else:
                os.chmod(folder, 0o555)
            try:
                files.remove_any(str(kept))
            except PermissionError:
                os._exit(0)
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        os.chmod(folder, 0o755)
        assert kept.exists()
