"""Snapshots: what is on disk becomes objects, exactly, or an error that names it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rig import Rig, as_nobody, flat, models, names, scratch, write_model
from test_statcache import settle

from mlxrepo.errors import EnvironmentFailed, InputError
from mlxrepo.hashing import blob_oid
from mlxrepo.paths import RepoPath
from mlxrepo.store.snapshot import Scan
from mlxrepo.store.tree import DEPTH_MAX

contents = st.sampled_from([b"", b"1", b"two"])


@given(models(contents, names))
@example({"\udcff": {"\n": b"1", "empty": {}}, "caf\u00e9": b""})
@settings(max_examples=40, deadline=None)
def test_any_folder_is_stored_and_comes_back(model) -> None:
    with scratch() as folder:
        rig = Rig(folder)
        write_model(rig.root / "data", model)
        entry = rig.add("data")
        assert entry.files == len(flat(model))
        assert entry == rig.keep(model) == rig.look("data")
        rig.fresh()
        rig.materialize("back", entry)
        assert rig.read("back") == model
        assert rig.look("back") == entry


def test_executable_bits_links_and_empty_things_come_back(rig: Rig) -> None:
    rig.write("data/run.sh").chmod(0o744)
    rig.write("data/plain").chmod(0o600)
    (rig.root / "data/empty/deep").mkdir(parents=True)
    (rig.root / "data/in").symlink_to("plain")
    (rig.root / "data/empty/up").symlink_to("../run.sh")
    (rig.root / "data/folder").symlink_to("empty/deep")
    (rig.root / "data/not-yet").symlink_to("absent")  # absent by design, in a partial worktree
    entry = rig.add("data")
    rig.materialize("back", entry)
    back = rig.root / "back"
    assert os.access(back / "run.sh", os.X_OK)
    assert not (back / "plain").stat().st_mode & 0o111
    assert {name: os.readlink(back / name) for name in ("in", "empty/up", "folder")} == {
        "in": "plain", "empty/up": "../run.sh", "folder": "empty/deep",
    }  # fmt: skip
    assert (back / "empty/deep").is_dir()
    assert rig.look("back") == entry


@pytest.mark.parametrize("depth", [1, 60, DEPTH_MAX])
def test_deep_folders_come_back(rig: Rig, depth: int) -> None:
    path = "/".join(["d"] * depth)
    rig.write(f"{path}/file")
    entry = rig.add("d")
    rig.materialize("back", entry)
    assert (rig.root / path.replace("d", "back", 1) / "file").read_bytes() == b"content"
    assert rig.look("back") == entry


def test_folders_beyond_the_limit_are_refused(rig: Rig) -> None:
    rig.write("/".join(["d"] * (DEPTH_MAX + 2)) + "/file")
    with pytest.raises(InputError, match="nested deeper"):
        rig.add("d")


def test_what_is_not_data_is_left_out(rig: Rig) -> None:
    rig.write("data/a")
    clean = rig.look("data")
    rig.write("data/.git/config")
    rig.write("data/.mlx/x")
    rig.write("data/.mlx-tmp-0123456789abcdef")
    rig.write("data/.mlx-tmp-fedcba9876543210/half")
    rig.write("data/sub/.git/config")  # a folder of nothing but what is left out is left out too
    rig.write("data/gone/.mlx-tmp-0/half")
    assert rig.look("data") == clean == rig.add("data")
    (rig.root / "data/empty").mkdir()
    assert rig.look("data") != clean


def test_what_is_ignored_is_not_even_opened(rig: Rig) -> None:
    rig.write("data/a")
    clean = rig.look("data")
    os.mkfifo(rig.root / "data/pipe")
    rig.write("data/cache/x")
    scan = rig.scan(ignored=lambda path, is_folder: path in ("data/pipe", "data/cache"))
    assert scan.entry(RepoPath("data")) == clean


# what is refused, by name


def refused(rig: Rig, path: str = "data", *, kind: type[Exception] = InputError) -> str:
    with pytest.raises(kind) as caught:
        rig.add(path)
    assert caught.value.hint  # type: ignore[attr-defined]
    return str(caught.value)


@pytest.mark.parametrize(
    ("mode", "word"), [(0o010600, "FIFO"), (0o140600, "socket")], ids=["fifo", "socket"]
)
def test_a_special_file_is_refused_by_name(rig: Rig, mode: int, word: str) -> None:
    rig.write("data/a")
    os.mknod(rig.root / "data/odd", mode)
    assert f"data/odd is a {word}" in refused(rig)
    with pytest.raises(InputError, match=f"is a {word}"):
        rig.look("data/odd")


def test_a_device_is_refused_by_name(rig: Rig) -> None:
    with pytest.raises(InputError, match="null is a character device"):
        Scan("/dev", rig.cache, rig.store).entry(RepoPath("null"))


@pytest.mark.parametrize(
    "target", ["/etc/passwd", "../outside", "..", "sub/../../outside", "sub/../a", "x" * 300]
)
def test_a_link_that_leaves_or_may_leave_is_refused_by_name(rig: Rig, target: str) -> None:
    rig.write("outside")
    rig.write("data/sub/a")
    (rig.root / "data/link").symlink_to(target)
    if target.startswith("x"):  # a long name inside is a name
        rig.add("data")
        return
    assert f'data/link is a symbolic link to "{target}"' in refused(rig)


def test_a_link_in_a_circle_is_refused_by_name(rig: Rig) -> None:
    rig.write("data/a")
    (rig.root / "data/one").symlink_to("two")
    (rig.root / "data/two").symlink_to("one")
    assert "circle" in refused(rig)


def test_a_link_may_lead_to_anything_in_its_tracked_folder(rig: Rig) -> None:
    rig.write("data/a")
    (rig.root / "data/sub").mkdir()
    (rig.root / "data/sub/link").symlink_to("../a")
    settle()  # so that the cache knows the folder
    whole = rig.add("data")
    with pytest.raises(InputError, match="leaves"):
        rig.add("data/sub")
    part = rig.add("data/sub", top="data")
    assert part == rig.store.tree(whole.oid)["sub"]
    assert rig.add("data/sub/link", top="data") == rig.store.tree(part.oid)["link"]
    assert rig.scan().entry(RepoPath("data/sub/link"), top=RepoPath("data")).kind == "symlink"


def test_a_dependency_that_is_a_link_is_what_it_leads_to(rig: Rig) -> None:
    rig.write("real/a", b"1")
    (rig.root / "link").symlink_to("real")
    (rig.root / "file").symlink_to("real/a")
    (rig.root / "dangling").symlink_to("nothing")
    (rig.root / "loop").symlink_to("loop")
    assert rig.look("link") == rig.look("real")
    assert rig.look("file") == rig.look("real/a")
    assert rig.look("dangling") is rig.look("loop") is rig.look("nothing") is None


@pytest.mark.parametrize("name", [".GIT", "git~1", ".mlx "])
def test_a_name_that_opens_the_repository_elsewhere_is_refused(rig: Rig, name: str) -> None:
    rig.write(f"data/{name}")
    with pytest.raises(InputError, match="reserved"):
        rig.add("data")


@pytest.mark.parametrize("what", ["file", "folder"])
def test_what_cannot_be_read_is_named(what: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        rig = Rig(Path(folder, "rig"))
        rig.write("data/sub/file")
        path = rig.root / ("data/sub/file" if what == "file" else "data/sub")
        path.chmod(0)

        def check() -> None:
            with pytest.raises(EnvironmentFailed) as caught:
                rig.look("data")
            assert str(caught.value).startswith(f"{path.relative_to(rig.root)} cannot be read")
            assert "permissions" in str(caught.value.hint)

        as_nobody(check)
        path.chmod(0o755)


def test_a_file_that_goes_away_meanwhile_is_named(rig: Rig) -> None:
    path = rig.write("data/a")
    rig.write("data/b")

    def vanish(name: str, is_folder: bool) -> bool:
        path.unlink(missing_ok=True)
        return False

    with pytest.raises(EnvironmentFailed, match="data"):
        rig.scan(ignored=vanish).entry(RepoPath("data"))


# what a scan without a batch knows


def test_a_look_stores_nothing_and_still_knows_its_trees(rig: Rig) -> None:
    rig.write("data/sub/a", b"1")
    for _ in range(2):  # the second time the folder is recognised, and its tree made on demand
        rig.fresh()
        scan = rig.scan()
        entry = scan.entry(RepoPath("data"))
        sub = scan.tree(entry.oid)["sub"]
        assert scan.tree(sub.oid)["a"].oid == blob_oid(b"1")
        assert not rig.store.has("tree", entry.oid)
        rig.cache.save()
        os.utime(rig.root / "data", (0, 0))
        settle()
    assert not rig.store_root.exists()


def test_a_folder_that_the_cache_knows_is_stored_all_the_same(rig: Rig) -> None:
    """The cache was filled by a look, which stores nothing, or the store was thrown away."""
    rig.write("data/sub/a", b"1")
    settle()
    entry = rig.look("data")
    rig.fresh()
    assert rig.add("data") == entry
    assert rig.store.is_whole(entry)


def test_progress_counts_every_file_whether_it_is_read_or_not(rig: Rig) -> None:
    class Counter:
        count = 0

        def start(self, what: str, total: int | None = None, unit: str = "files") -> None: ...

        def advance(self, amount: int = 1) -> None:
            self.count += amount

        def done(self) -> None: ...

    for name in "abc":
        rig.write(f"data/{name}")
    settle()
    for _ in range(2):
        counter = Counter()
        rig.fresh()
        Scan(str(rig.root), rig.cache, rig.store, progress=counter).entry(RepoPath("data"))
        rig.cache.save()
        assert counter.count == 3
