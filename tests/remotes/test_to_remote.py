"""`mlx add --to-remote`: data goes to the remote and is never stored here."""

from __future__ import annotations

import functools
import http.server
import json
import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import fsspec
import pytest
from places import Server, Spot, free_port
from sandbox import Killer, Project, settle

from mlxrepo.commands.add import add
from mlxrepo.commands.fetch import fetch
from mlxrepo.commands.push import push
from mlxrepo.commands.status import status
from mlxrepo.commands.to_remote import AddedThere, add_to_remote
from mlxrepo.errors import CannotDecide, EnvironmentFailed, InputError
from mlxrepo.store.door import Door
from mlxrepo.store.folder import Folder
from mlxrepo.store.opening import open_door
from mlxrepo.store.origin import Origin

MIB = 1 << 20


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder outside: small, middling and large files, a program, links, an empty folder."""
    place = Project(tmp_path / "elsewhere")  # which is none
    place.fill("lake/many", 40)
    place.write("lake/middle.bin", os.urandom(3 * MIB))
    place.write("lake/large.bin", os.urandom(21 * MIB))
    place.write("lake/bin/run", "#!/bin/sh\n").chmod(0o755)
    place.write("lake/bin/again", "file 1 of lake/many\n")
    place.path("lake/link").symlink_to("many/0001.txt")
    place.path("lake/empty").mkdir()
    return place.path("lake")


def sent(
    project: Project, source: object, dest: str | None = None, **options: object
) -> AddedThere:
    with project.repo() as repo:
        return add_to_remote(repo, str(source), dest, **options)  # type: ignore[arg-type]


def shape(folder: Path) -> dict[str, object]:
    """Return all that is in a folder: bytes, where links lead, who may be executed."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = f"-> {os.readlink(path)}"
        elif path.is_dir():
            found[name] = "folder"
        else:
            found[name] = (path.read_bytes(), bool(path.stat().st_mode & 0o100))
    return found


def store_size(project: Project) -> int:
    store = project.path(".git/mlx")
    return sum(path.stat().st_size for path in store.rglob("*") if path.is_file())


def pulled(project: Project, spot: Spot, name: str = "clone") -> Project:
    project.commit()
    other = Project(project.root.parent / name)
    project.git("clone", "--quiet", str(project.root), str(other.root))
    spot.configure(other)
    if spot.kind == "memory":
        from mlxrepo.commands.checkout import checkout

        other.do(fetch)
        other.do(checkout)
    else:
        done = other.mlx("pull")
        assert done.returncode == 0, done.stderr
    return other


# every remote


def test_a_folder_goes_there_and_comes_back(project: Project, spot: Spot, source: Path) -> None:
    spot.configure(project)
    done = sent(project, source, "data/lake")
    assert (done.path, done.address, done.entry.files, done.here) == (
        "data/lake", "data:lake", 45, False,
    )  # fmt: skip
    # Of the two in bin one is there twice; a link; four folders.
    assert done.sent.objects == 40 + 2 + 1 + 1 + 4
    assert set(done.to_commit) == {"data/.gitignore", "mlx.lock", "mlx.yaml"}
    assert not project.path("data/lake").exists()
    assert store_size(project) < MIB
    (item,) = project.do(status).paths
    assert (item.state, item.absent) == ("absent", 45)
    other = pulled(project, spot)
    assert shape(other.path("data/lake")) == shape(source)
    (again,) = project.do(push)
    assert (again.objects, again.missing) == (0, ())
    assert project.do(push, verify=True)[0].verified == done.sent.objects


def test_it_is_what_add_and_push_would_have_recorded(
    project: Project, folder: Spot, source: Path
) -> None:
    folder.configure(project)
    source.joinpath(".mlxignore").write_text("*.log\n!keep.log\n")
    source.joinpath("many/x.log").write_text("left out\n")
    source.joinpath("many/keep.log").write_text("kept\n")
    source.joinpath("many/__pycache__").mkdir()
    source.joinpath("many/__pycache__/x.pyc").write_text("left out\n")
    done = sent(project, source, "data/lake")
    other = Project.create(project.root.parent / "other")
    subprocess.run(["cp", "-a", str(source), str(other.root / "lake")], check=True)
    other.do(add, ["lake"])
    with other.repo() as repo:
        (item,) = repo.observed.tracked()
    assert done.entry == item.entry


@pytest.mark.parametrize("size", [0, 5, MIB - 1, MIB, 8 * MIB + 1, 33 * MIB])
def test_a_single_file_of_any_size(project: Project, folder: Spot, size: int) -> None:
    folder.configure(project)
    place = project.root.parent / "one.bin"
    place.write_bytes(os.urandom(size))
    done = sent(project, place)
    assert (done.path, done.entry.kind, done.entry.size) == ("one.bin", "file", size)
    other = pulled(project, folder)
    assert other.path("one.bin").read_bytes() == place.read_bytes()


def test_a_path_of_the_worktree_stays_where_it_is(project: Project, folder: Spot) -> None:
    folder.configure(project)
    project.fill("data/big", 30)
    project.write("data/big/large.bin", os.urandom(9 * MIB))
    done = sent(project, "data/big")
    assert (done.path, done.here) == ("data/big", True)
    assert store_size(project) < MIB
    assert [item.state for item in project.do(status).paths] == ["clean"]
    assert len(project.files("data/big")) == 31
    assert sent(project, "data/big").sent.objects == 0
    other = pulled(project, folder)
    assert other.files("data") == project.files("data")
    # Without a copy here checkout brings it from nowhere, pull does.
    project.path("data/big/0001.txt").unlink()
    assert project.mlx("pull").returncode == 0
    assert project.files("data") == other.files("data")


def test_a_tracked_path_that_is_not_here_is_recorded_anew(
    project: Project, folder: Spot, source: Path
) -> None:
    folder.configure(project)
    first = sent(project, source, "lake")
    source.joinpath("many/0001.txt").write_text("another\n")
    second = sent(project, source, "lake")
    assert second.old == first.entry
    assert second.sent.objects == 3  # the file, and the two folders above it
    other = pulled(project, folder)
    assert shape(other.path("lake")) == shape(source)


# sources behind a URL


class Lake(NamedTuple):
    """A folder of S3 and a copy of it on this machine."""

    url: str
    door: Door
    copy: Path


@pytest.fixture
def lake(rclone: Server, source: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """Put the source to S3, at an endpoint that the environment names."""
    source.joinpath("link").unlink()
    source.joinpath("empty").rmdir()
    source.joinpath("bin/run").chmod(0o644)
    spot = rclone.spot()
    door = open_door(spot.url, spot.options)
    for path in source.rglob("*"):
        if path.is_file():
            door.write(str(path.relative_to(source)), path.read_bytes())
    monkeypatch.setenv("AWS_ENDPOINT_URL", rclone.endpoint)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    return Lake(spot.url, door, source)


def test_a_folder_of_s3_becomes_a_dataset(project: Project, folder: Spot, lake: Lake) -> None:
    folder.configure(project)
    lake.door.write("many/__pycache__/x.pyc", b"left out by .mlxignore")
    done = project.mlx("add", "--to-remote", lake.url, "data/lake", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["entry"]["files"], told["sent"]["objects"]) == (44, 40 + 2 + 1 + 3)
    assert store_size(project) < MIB
    other = pulled(project, folder)
    assert shape(other.path("data/lake")) == shape(lake.copy)


def test_a_file_of_s3_goes_to_s3(project: Project, rclone: Server, lake: Lake) -> None:
    spot = rclone.spot()
    spot.configure(project)
    done = project.mlx("add", "--to-remote", f"{lake.url}/large.bin", "data/")
    assert done.returncode == 0, done.stderr
    other = pulled(project, spot)
    assert other.path("data/large.bin").read_bytes() == (lake.copy / "large.bin").read_bytes()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def website(source: Path) -> Iterator[str]:
    """A server without ranges."""
    handler = functools.partial(_Quiet, directory=str(source))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("name", ["large.bin", "middle.bin", "many/0001.txt"])
def test_a_file_of_a_website(
    project: Project, folder: Spot, website: str, source: Path, name: str
) -> None:
    folder.configure(project)
    done = project.mlx("add", "--to-remote", f"{website}/{name}", "data/it")
    assert done.returncode == 0, done.stderr
    other = pulled(project, folder)
    assert other.path("data/it").read_bytes() == (source / name).read_bytes()


def test_what_is_not_at_a_url_is_named(project: Project, folder: Spot, website: str) -> None:
    folder.configure(project)
    project.commit()
    with pytest.raises(InputError, match=f"nothing is at {website}/none"):
        sent(project, f"{website}/none")
    with pytest.raises(InputError, match="nothing here speaks gopher:// of the source gopher://x"):
        sent(project, "gopher://x/y")
    assert project.untracked() == set()


def test_the_errors_of_a_source_are_not_the_remotes(
    project: Project, folder: Spot, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.configure(project)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr("mlxrepo.store.network.FIRST_WAIT", 0.001)
    with pytest.raises(EnvironmentFailed, match="the source s3://lake/x cannot be reached"):
        sent(project, "s3://lake/x")


@pytest.mark.parametrize("code", [403, 503])
def test_what_a_website_refuses_is_not_absent(
    project: Project, folder: Spot, website: str, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    folder.configure(project)
    monkeypatch.setattr("mlxrepo.store.network.FIRST_WAIT", 0.001)
    monkeypatch.setattr(_Quiet, "send_head", lambda self: self.send_error(code))
    word = "is closed to these credentials" if code == 403 else "is overloaded or out of order"
    with pytest.raises(EnvironmentFailed, match=f"the source {website}/x {word}"):
        sent(project, f"{website}/x")


def test_a_website_that_does_not_answer_is_not_absent(
    project: Project, folder: Spot, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.configure(project)
    monkeypatch.setattr("mlxrepo.store.network.FIRST_WAIT", 0.001)
    with pytest.raises(EnvironmentFailed, match=r"the source http.* cannot be reached"):
        sent(project, f"http://127.0.0.1:{free_port()}/x")


def test_a_secret_in_a_url_is_not_shown(project: Project, folder: Spot, website: str) -> None:
    folder.configure(project)
    url = f"{website}/middle.bin?X-Amz-Signature=0123secret"
    done = project.mlx("add", "--to-remote", url, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["path"] == "middle.bin"
    failed = project.mlx("add", "--to-remote", url.replace("middle", "none"), "x")
    assert failed.returncode == 2
    assert "0123secret" not in done.stdout + done.stderr + failed.stdout + failed.stderr


def remembered(files: dict[str, bytes]) -> str:
    """Return the URL of a folder in memory with these files."""
    root = uuid.uuid4().hex
    memory = fsspec.filesystem("memory")
    for path, data in files.items():
        memory.store[f"/{root}/{path}"] = _file(memory, f"/{root}/{path}", data)
    return f"memory://{root}"


def _file(memory: object, path: str, data: bytes) -> object:
    from fsspec.implementations.memory import MemoryFile

    return MemoryFile(memory, path, data)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("a/../b.txt", "is not a file name"),
        ("a//b.txt", "is not a file name"),
        ("x/.GIT/config", "is reserved for the repository itself"),
        ("x" * 300, "is longer than 255 bytes"),
        ("ok.txt/below", "is a file, and others lie below it"),
    ],
)
def test_names_that_cannot_be_kept_are_refused_before_anything_is_written(
    project: Project, folder: Spot, bad: str, reason: str
) -> None:
    folder.configure(project)
    project.commit()
    url = remembered({"ok.txt": b"ok\n", bad: b"bad\n"})
    with pytest.raises(InputError, match=reason):
        sent(project, url, "lake")
    assert project.untracked() == set()
    assert not (folder.folder or Path()).exists()


# refusals


def test_where_it_cannot_be_tracked(project: Project, folder: Spot, source: Path) -> None:
    with pytest.raises(CannotDecide, match="there is no remote yet"):
        sent(project, source, "lake")
    folder.configure(project)
    project.write("here/file.txt")
    project.write("in-git/file.txt")
    project.write("tracked/file.txt")
    project.do(add, ["tracked"])
    project.commit_only("in-git", "mlx.yaml")
    before = project.untracked()
    for dest, reason in (
        ("here", "is here already"),
        ("in-git", "is here already"),
        ("here/file.txt/x", "here/file.txt is a file"),
        ("tracked", "would be recorded over it"),
        ("tracked/below", "lies inside tracked, which is tracked"),
        ("mlx.yaml", "belongs in git"),
        ("../out", "lies outside the repository"),
        (".", "the whole repository cannot be data"),
    ):
        with pytest.raises(InputError, match=reason):
            sent(project, source, dest)
    with pytest.raises(InputError, match="holds this repository"):
        sent(project, project.root.parent, "all")
    with pytest.raises(InputError, match="is not there"):
        sent(project, project.root.parent / "none")
    assert project.untracked() == before
    assert not (folder.folder or Path()).exists()


def test_what_cannot_be_kept_is_refused_before_anything_is_sent(
    project: Project, folder: Spot, source: Path
) -> None:
    folder.configure(project)
    os.mkfifo(source / "pipe")
    with pytest.raises(InputError, match="lake/pipe is a FIFO"):
        sent(project, source, "lake")
    assert not (folder.folder or Path()).exists()


def test_a_dry_run_says_how_much(project: Project, folder: Spot, source: Path) -> None:
    folder.configure(project)
    project.commit()
    done = project.mlx("add", "--to-remote", "-n", str(source), "data/lake")
    assert "would add data/lake (data:lake): 45 files, 24.0 MiB" in done.stdout
    assert project.untracked() == set()
    assert not (folder.folder or Path()).exists()


def test_the_two_forms_are_not_mixed(project: Project) -> None:
    for words in (
        ("--to-remote",),
        ("--to-remote", "a", "b", "c"),
        ("-r", "x", "data"),
        ("-n", "x"),
    ):
        done = project.mlx("add", *words)
        assert (done.returncode, "mlx add --to-remote SOURCE [DEST]" in done.stderr) == (2, True)


# memory


def test_memory_does_not_grow_with_the_file(project: Project, folder: Spot) -> None:
    folder.configure(project)
    place = project.root.parent / "huge.bin"
    with place.open("wb") as stream:
        for number in range(256):
            stream.write(number.to_bytes(4, "big") * (MIB // 4))
    small = project.root.parent / "small.bin"
    small.write_bytes(b"small")
    peaks = [_peak(project, str(path)) for path in (small, place)]
    assert peaks[1] - peaks[0] < 80 * MIB
    other = pulled(project, folder)
    with place.open("rb") as one, other.path("huge.bin").open("rb") as two:
        while data := one.read(MIB):
            assert two.read(MIB) == data


def _peak(project: Project, source: str) -> int:
    """Return the most memory, in bytes, that adding a source took."""
    script = (
        "import resource, sys\n"
        "from mlxrepo.cli.main import run\n"
        "code = run(sys.argv[1:])\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)\n"
        "sys.exit(code)\n"
    )
    words = [sys.executable, "-c", script, "-q", "-C", str(project.root), "add", "--to-remote"]
    done = subprocess.run([*words, source], capture_output=True, text=True, check=True)
    return int(done.stdout.split()[-1])


# kills, and sources that change


@pytest.mark.parametrize("point", ["to-remote.arrived", "to-remote.arrived:2", "push.before-index"])
def test_what_arrived_before_a_kill_is_not_sent_again(
    project: Project, folder: Spot, source: Path, point: str
) -> None:
    folder.configure(project)
    settle()
    words = ("add", "--to-remote", str(source), "lake")
    assert project.mlx(*words, env={"MLXREPO_FAILPOINT": point}).returncode == -9
    before = {path: path.stat().st_mtime_ns for path in folder.files if ".mlx-tmp" not in path.name}
    assert any("objects" in path.parts or path.suffix == ".pack" for path in before)
    done = project.mlx(*words, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["resumed"] >= 1
    after = {path: path.stat().st_mtime_ns for path in folder.files}
    assert {path: after[path] for path in before} == before
    assert not list(project.path(".git/mlx/remotes/origin/adding").iterdir())
    other = pulled(project, folder)
    assert shape(other.path("lake")) == shape(source)


def test_a_file_that_arrived_is_not_read_again(
    project: Project, folder: Spot, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.configure(project)
    die = {"MLXREPO_FAILPOINT": "push.before-index"}
    assert project.mlx("add", "--to-remote", lake.url, "lake", env=die).returncode == -9
    read: list[str] = []
    real = Origin._pieces

    def counted(self: Origin, item, at: int):  # type: ignore[no-untyped-def]
        read.append(item.path)
        return real(self, item, at)

    monkeypatch.setattr(Origin, "_pieces", counted)
    done = sent(project, lake.url, "lake")
    assert read == []
    assert done.sent.resumed == 43


def test_it_can_be_killed_at_any_durable_step(
    project: Project, folder: Spot, source: Path, killer: Killer
) -> None:
    folder.configure(project)
    settle()
    words = ("add", "--to-remote", str(source), "lake")
    for step in range(0, 200, 5):
        was_killed = killer.killed(step, project, *words)
        if not was_killed:
            break
        # A record is never there before what it names.
        with project.repo() as repo:
            if list(repo.observed.tracked()):
                assert project.do(push, ["lake"])[0].objects == 0
    else:
        raise AssertionError("it never came to its end")
    assert step > 5
    assert project.mlx(*words).returncode == 0
    other = pulled(project, folder)
    assert shape(other.path("lake")) == shape(source)


def test_a_source_that_goes_away_half_way_is_named_and_nothing_is_recorded(
    project: Project, folder: Spot, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.configure(project)
    project.commit()
    source.joinpath("large2.bin").write_bytes(os.urandom(9 * MIB))
    real = Folder.send_chunks

    def removing(self: Folder, path: str, size: int, chunks: object, *rest: object) -> bool:
        done = real(self, path, size, chunks, *rest)  # type: ignore[arg-type]
        for file in source.glob("large*.bin"):
            file.unlink()
        return done

    monkeypatch.setattr(Folder, "send_chunks", removing)
    with pytest.raises(EnvironmentFailed, match=r"lake/large.*\.bin cannot be read"):
        sent(project, source, "lake")
    assert project.untracked() == set()
    assert project.git("status", "--porcelain") == ""


def test_a_large_file_that_changes_while_it_is_sent_never_lies_there_whole(
    project: Project, folder: Spot, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.configure(project)
    project.commit()
    large = source / "large.bin"
    real = Folder.send_chunks

    def changing(self: Folder, path: str, size: int, chunks: object, *rest: object) -> bool:
        with large.open("r+b") as stream:
            stream.seek(20 * MIB)
            stream.write(b"changed")
        return real(self, path, size, chunks, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Folder, "send_chunks", changing)
    with pytest.raises(EnvironmentFailed, match=r"large\.bin changes while it is read"):
        sent(project, source, "lake")
    assert project.git("status", "--porcelain") == ""
    assert not [path for path in folder.files if path.stat().st_size == 21 * MIB]
    monkeypatch.undo()
    sent(project, source, "lake")
    other = pulled(project, folder)
    assert shape(other.path("lake")) == shape(source)


def test_a_folder_of_s3_that_changes_meanwhile_is_not_recorded(
    project: Project, folder: Spot, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.configure(project)
    project.commit()
    real = Folder.send_chunks

    def changing(self: Folder, path: str, size: int, chunks: object, *rest: object) -> bool:
        done = real(self, path, size, chunks, *rest)  # type: ignore[arg-type]
        lake.door.write("many/0007.txt", b"another text")
        return done

    with monkeypatch.context() as patch:
        patch.setattr(Folder, "send_chunks", changing)
        with pytest.raises(EnvironmentFailed, match=r"many/0007\.txt changes while it is read"):
            sent(project, lake.url, "lake")
    assert project.git("status", "--porcelain") == ""
    lake.copy.joinpath("many/0007.txt").write_text("another text")
    sent(project, lake.url, "lake")
    other = pulled(project, folder)
    assert shape(other.path("lake")) == shape(lake.copy)


def test_a_dropped_connection_goes_on_where_it_was(
    project: Project, folder: Spot, website: str, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.configure(project)
    monkeypatch.setattr("mlxrepo.store.origin.FIRST_WAIT", 0.001)
    dropped: list[int] = []
    real = Origin._pieces

    def dropping(self: Origin, item, at: int):  # type: ignore[no-untyped-def]
        for number, data in enumerate(real(self, item, at)):
            if number == 2 and len(dropped) < 4:
                dropped.append(at)
                raise ConnectionResetError("reset by peer")
            yield data

    monkeypatch.setattr(Origin, "_pieces", dropping)
    sent(project, f"{website}/large.bin", "it")
    assert len(dropped) == 4
    other = pulled(project, folder)
    assert other.path("it").read_bytes() == (source / "large.bin").read_bytes()
