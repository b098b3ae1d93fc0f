"""Links instead of copies: `mlx.link` hardlink and symlink, and edits through them."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path

import pytest
from rig import Rig

from mlxrepo.errors import Damaged, ObjectMissing
from mlxrepo.files import SMALL
from mlxrepo.paths import RepoPath
from mlxrepo.store.objects import Store
from mlxrepo.store.statcache import StatCache


def linked(rig: Rig, kind: str) -> Rig:
    rig.store = Store(str(rig.store_root), link=kind)
    return rig


def again(rig: Rig) -> None:
    """Forget what is in memory, and keep the way of linking."""
    rig.cache.close()
    rig.cache = StatCache(str(rig.cache_path))
    rig.store = Store(str(rig.store_root), link=rig.store.link)


@pytest.mark.parametrize("size", [3, SMALL + 1])
def test_a_file_added_by_hard_link_is_the_object_and_read_only(rig: Rig, size: int) -> None:
    file = rig.write("data", b"x" * size)
    entry = linked(rig, "hardlink").add("data")
    found = os.stat(rig.store.path("blob", entry.oid))
    assert found.st_ino == file.stat().st_ino
    assert file.stat().st_mode & 0o777 == 0o444
    assert rig.look("data") == entry


@pytest.mark.parametrize("kind", ["hardlink", "symlink"])
def test_what_is_put_by_links_is_the_objects_and_clean(rig: Rig, kind: str) -> None:
    for number in range(40):
        rig.write(f"data/{number}", b"%d" % number)
    rig.write("data/large", b"l" * (SMALL + 1))
    entry = linked(rig, kind).add("data")
    rig.materialize("out", entry)
    again(rig)
    for name in ("7", "large"):
        assert os.path.samefile(rig.root / "out" / name, rig.store.path("blob", oid(rig, name)))
    assert (rig.root / "out" / "7").is_symlink() == (kind == "symlink")
    scan = rig.scan()
    assert scan.entry(RepoPath("out")) == entry
    assert scan.read_files == 0
    assert rig.add("out") == entry


def oid(rig: Rig, name: str) -> str:
    entry = rig.look(f"data/{name}")
    assert entry is not None
    return entry.oid


def test_an_executable_is_copied(rig: Rig) -> None:
    rig.write("run").chmod(0o755)
    entry = linked(rig, "hardlink").add("run")
    rig.materialize("out", entry)
    assert (rig.root / "out").stat().st_nlink == 1
    assert rig.look("out") == entry


def test_another_disk_gets_copies(rig: Rig) -> None:
    if os.stat("/dev/shm").st_dev == os.stat(rig.root).st_dev:
        pytest.fail("this test needs two file systems: /dev/shm and the temporary folder")
    place = Path(tempfile.mkdtemp(dir="/dev/shm"))
    try:
        rig.store = Store(str(place / "store"), link="hardlink")
        rig.write("data", b"bytes")
        entry = rig.add("data")
        rig.materialize("out", entry)
        assert (rig.root / "out").stat().st_nlink == 1
        assert (rig.root / "data").stat().st_nlink == 1
        assert (rig.root / "out").read_bytes() == b"bytes"
    finally:
        shutil.rmtree(place)


def edit(path: Path, content: bytes) -> None:
    """Write into the file itself, as a program does that ignores its mode."""
    mode = path.stat().st_mode
    path.chmod(0o644)
    with path.open("r+b") as stream:
        stream.write(content)
    path.chmod(mode)


@pytest.mark.parametrize("kind", ["hardlink", "symlink"])
def test_an_edit_through_a_link_is_noticed_and_reaches_no_other_place(rig: Rig, kind: str) -> None:
    rig.write("data/file", b"good")
    entry = linked(rig, kind).add("data")
    rig.materialize("out", entry)
    again(rig)
    assert rig.look("out") == entry
    edit((rig.root / "out" / "file").resolve(), b"evil")
    again(rig)
    found = rig.look("out")
    assert found is not None
    assert found != entry
    with pytest.raises((Damaged, ObjectMissing)):
        rig.materialize("elsewhere", entry)
    assert not (rig.root / "elsewhere").exists()


def test_an_object_edited_through_a_hard_link_goes_to_quarantine(rig: Rig) -> None:
    rig.write("data", b"good")
    entry = linked(rig, "hardlink").add("data")
    time.sleep(0.05)  # older than the racy window, so that its stat is remembered
    rig.look("data")
    edit(rig.root / "data", b"evil")
    again(rig)
    assert rig.look("data") != entry
    assert not rig.store.has("blob", entry.oid)
    assert [p.read_bytes() for p in (rig.store_root / "quarantine").rglob("blob-*")] == [b"evil"]


def test_an_object_that_was_touched_is_hashed_before_it_is_linked(rig: Rig) -> None:
    rig.write("data", b"good")
    entry = linked(rig, "hardlink").add("data")
    (rig.root / "data").unlink()
    path = Path(rig.store.path("blob", entry.oid))
    os.utime(path, ns=(0, 0))
    rig.materialize("out", entry)
    assert (rig.root / "out").read_bytes() == b"good"
    edit(path, b"evil")
    with pytest.raises(Damaged):
        rig.materialize("again", entry)
