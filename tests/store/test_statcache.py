"""The stat cache: it may save time, and is never believed on a doubt."""

from __future__ import annotations

import os
import sqlite3
import tempfile
import time
from pathlib import Path

import pytest
from rig import Rig, as_nobody

from mlxrepo.files import Stat, stat_of
from mlxrepo.hashing import blob_oid
from mlxrepo.paths import RepoPath
from mlxrepo.store.snapshot import Scan
from mlxrepo.store.statcache import RACY_NS, Folder, Seen, StatCache, listing_print
from mlxrepo.store.tree import Entry

OLD = Entry("file", blob_oid(b"old"), 3)


def settle() -> None:
    """Wait until what was just written is no longer racy."""
    time.sleep(2 * RACY_NS / 1e9)


def look(rig: Rig, path: str = "data") -> tuple[Entry | None, int]:
    """Look at a path as the next command does; also say how many files were read."""
    rig.fresh()
    scan = rig.scan()
    entry = scan.entry(RepoPath(path))
    rig.cache.save()
    return entry, scan.read_files


@pytest.fixture
def settled(rig: Rig) -> Rig:
    """A folder and a single file that the cache knows."""
    for name in ("data/a", "data/sub/b", "data/sub/\udcff\n", "one"):
        rig.write(name, b"old")
    (rig.root / "data" / "link").symlink_to("a")
    settle()
    assert look(rig)[1] == 3
    assert look(rig, "one")[1] == 1
    return rig


def test_what_did_not_change_is_not_read_again(settled: Rig) -> None:
    assert look(settled) == (look(settled)[0], 0)
    assert look(settled, "one") == (OLD, 0)


def test_only_what_changed_is_read_again(settled: Rig) -> None:
    settled.write("data/sub/b", b"new content")
    assert look(settled)[1] == 1


@pytest.mark.parametrize("path", ["one", "data/a"])
def test_an_edit_that_keeps_size_and_time_is_seen(settled: Rig, path: str) -> None:
    before = os.stat(settled.root / path)
    settled.write(path, b"new")
    os.utime(settled.root / path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = os.stat(settled.root / path)
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    settle()
    entry, read = look(settled, path)
    assert (entry, read) == (Entry("file", blob_oid(b"new"), 3), 1)


def test_another_file_renamed_into_place_is_seen(settled: Rig) -> None:
    before = look(settled)[0]
    other = settled.write("other", b"new")
    stat = os.stat(settled.root / "data/a")
    os.utime(other, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    settle()
    other.replace(settled.root / "data/a")
    assert look(settled)[0] != before


def test_a_permission_a_name_a_target_and_an_empty_folder_are_seen(settled: Rig) -> None:
    entries = {look(settled)[0]}
    (settled.root / "data/a").chmod(0o755)
    entries.add(look(settled)[0])
    (settled.root / "data/a").rename(settled.root / "data/A")
    entries.add(look(settled)[0])
    (settled.root / "data/link").unlink()
    (settled.root / "data/link").symlink_to("A")
    entries.add(look(settled)[0])
    (settled.root / "data/empty").mkdir()
    entries.add(look(settled)[0])
    assert len(entries) == 5


# the racy rule


@pytest.mark.parametrize("path", ["data", "one"])
def test_a_file_just_written_is_read_once_more(rig: Rig, path: str) -> None:
    rig.write("data/a")
    rig.write("one")
    assert [look(rig, path)[1], look(rig, path)[1]] == [1, 1]
    settle()
    assert [look(rig, path)[1], look(rig, path)[1]] == [1, 0]


def test_a_file_from_the_future_is_read_every_time(rig: Rig) -> None:
    path = rig.write("data/a")
    ahead = time.time_ns() + 10**12
    os.utime(path, ns=(ahead, ahead))
    settle()
    assert [look(rig)[1], look(rig)[1]] == [1, 1]


@pytest.mark.parametrize("young", ["mtime", "ctime"])
def test_a_folder_with_one_young_file_is_not_recognised_as_a_whole(rig: Rig, young: str) -> None:
    now = time.time_ns()
    times = {"mtime": now - 10**12, "ctime": now - 10**12}
    calm = Stat(size=3, inode=1, mode=0o100644, **times)
    racy = Stat(size=3, inode=2, mode=0o100644, **{**times, young: now - RACY_NS // 2})
    files = {"calm": Seen(calm, OLD), "racy": Seen(racy, OLD)}
    print_ = listing_print([("calm", calm), ("racy", racy)], [])
    rig.cache.put("data", Folder(print_, OLD, files), now)
    row = rig.cache.get("data")
    assert row is not None
    assert row.print != print_
    assert row.files == {"calm": files["calm"]}
    rig.cache.put("data", Folder(print_, OLD, files), now + RACY_NS)
    row = rig.cache.get("data")
    assert row is not None
    assert (row.print, row.files) == (print_, files)


# damage


def damage_is_harmless(rig: Rig) -> None:
    """Look, and compare with what a new cache says; then it has to work again."""
    found = look(rig)[0], look(rig, "one")[0]
    other = StatCache(str(rig.cache_path.with_name("other.db")))
    scan = Scan(str(rig.root), other, rig.store)
    assert found == (scan.entry(RepoPath("data")), scan.entry(RepoPath("one")))
    assert look(rig)[1] == 0


@pytest.mark.parametrize("garbage", [b"", b"no database", b"SQLite format 3\0" + b"?" * 5000])
def test_a_file_that_is_no_database_is_made_anew(settled: Rig, garbage: bytes) -> None:
    settled.cache.close()
    settled.cache_path.write_bytes(garbage)
    damage_is_harmless(settled)


@pytest.mark.parametrize("statement", [
    "UPDATE folder SET row = x'00'", "UPDATE folder SET row = 'text'",
    "UPDATE folder SET row = NULL", "UPDATE folder SET row = substr(row, 1, length(row) - 1)",
    "UPDATE folder SET row = (SELECT row FROM folder ORDER BY path LIMIT 1)",
    "UPDATE folder SET row = row || x'00'", "DROP TABLE folder", "PRAGMA user_version = 1",
    "ALTER TABLE folder RENAME COLUMN row TO other",
])  # fmt: skip
def test_a_garbage_row_or_table_is_not_believed(settled: Rig, statement: str) -> None:
    settled.cache.close()
    with sqlite3.connect(settled.cache_path) as db:
        db.execute(statement)
    db.close()
    damage_is_harmless(settled)


def test_no_flipped_byte_of_the_database_changes_an_answer(settled: Rig) -> None:
    settled.cache.close()
    good = settled.cache_path.read_bytes()
    truth = look(settled)[0]
    used = [at for at in range(len(good)) if good[at]]
    for at in used[:: max(1, len(used) // 120)]:
        settled.cache.close()
        settled.cache_path.write_bytes(good[:at] + bytes([good[at] ^ 0x55]) + good[at + 1 :])
        assert look(settled)[0] == truth, at


def test_a_cache_that_cannot_be_made_is_no_error(rig: Rig) -> None:
    rig.write("data/a", b"old")
    rig.cache_path.parent.write_bytes(b"a file where the folder should be")
    assert look(rig)[1] == 1
    rig.cache.close()


def test_a_cache_that_another_process_holds_is_no_error_and_not_thrown_away(settled: Rig) -> None:
    settled.cache.close()
    with sqlite3.connect(settled.cache_path, timeout=0) as other:
        other.execute("BEGIN EXCLUSIVE")
        cache = StatCache(str(settled.cache_path))
        cache._open = lambda: sqlite3.connect(settled.cache_path, timeout=0)  # type: ignore[method-assign]  # do not wait
        scan = Scan(str(settled.root), cache, settled.store)
        entry = scan.entry(RepoPath("data"))
        cache.close()
        other.rollback()
    other.close()
    assert look(settled) == (entry, 0)


def test_a_cache_in_a_read_only_folder_is_read_and_not_written() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        rig = Rig(Path(folder, "rig"))
        rig.write("data/a", b"old")
        settle()
        truth = look(rig)[0]
        rig.cache.close()
        rig.cache_path.chmod(0o444)
        rig.cache_path.parent.chmod(0o555)

        def check() -> None:
            assert look(rig) == (truth, 0)
            scan = Scan(str(rig.root), rig.cache, rig.store)
            rig.cache.put("other", Folder(b"", OLD, {}), 0)
            rig.cache.close()
            assert scan.entry(RepoPath("data")) == truth

        as_nobody(check)
        assert os.listdir(rig.cache_path.parent) == ["stat.db"]
        rig.cache_path.parent.chmod(0o755)


def test_the_print_of_a_listing_tells_listings_apart(rig: Rig) -> None:
    stat = stat_of(os.stat(rig.write("a")))
    oid = blob_oid(b"")
    prints = [
        listing_print(*listing)
        for listing in (
            ([], []),
            ([("a", stat)], []),
            ([("b", stat)], []),
            ([("a", stat), ("b", stat)], []),
            ([("a", stat._replace(inode=0))], []),
            ([], [("a", oid)]),
            ([("a", stat)], [("b", oid)]),
            ([("a", stat)], [("b", blob_oid(b"x"))]),
        )
    ]
    assert len(set(prints)) == len(prints)
    assert listing_print([("b", stat), ("a", stat)], []) == prints[3]
