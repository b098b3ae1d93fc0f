"""Checking a store: nothing wrong is passed over, nothing good is thrown away."""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from rig import Rig, run, scratch, temporaries

from mlxrepo.hashing import blob_oid
from mlxrepo.store import check as checking
from mlxrepo.store import quarantine
from mlxrepo.store.check import NOTES, Notes, Tally, check, parts
from mlxrepo.store.inventory import Inventory, Key, list_packs, loose_key
from mlxrepo.store.needs import Walk
from mlxrepo.store.pack import FOOTER, ROW
from mlxrepo.store.tree import SPLIT_ABOVE

LARGE = b"x" * (9 << 20)


@pytest.fixture
def filled(rig: Rig) -> Rig:
    """A store with two packs, and large and small objects in files of their own."""
    for group in ("one", "two"):
        rig.keep({f"{n}": f"{group} {n}".encode() * 50 for n in range(40)})
    rig.write("large", LARGE)
    rig.write("small", b"small")
    rig.add("large")
    rig.add("small")
    return rig


def look(rig: Rig, notes: Notes | None = None) -> Tally:
    return check(str(rig.store_root), lambda key: True, notes=notes)


def spoil(path: Path, at: int) -> None:
    os.chmod(path, 0o644)
    data = bytearray(path.read_bytes())
    data[at] ^= 4
    path.write_bytes(data)


def pack_paths(rig: Rig) -> list[Path]:
    return [rig.store_root / file for file in list_packs(str(rig.store_root))]


def everything(rig: Rig) -> dict[Key, bytes]:
    """Return all that can be had."""
    inventory = Inventory(str(rig.store_root))
    keys = {copy for file in inventory.packs.values() for copy in _keys(file)}
    for part in parts(str(rig.store_root)):
        keys |= {key for file in part.files if (key := loose_key(file))}
    found = {key: inventory.read(key) for key in keys}
    return {key: data for key, data in found.items() if data is not None}


def _keys(pack):
    return [Key(slot.kind, oid) for oid, slot in pack.items()]


def test_every_object_is_read(filled: Rig) -> None:
    tally = look(filled)
    assert tally.faults == ()
    assert tally.objects == 2 * 41 + 2
    assert tally.bytes == sum(len(data) for data in everything(filled).values())


def test_a_flipped_bit_is_found_wherever_it_is(filled: Rig) -> None:
    chance = random.Random(7)
    for path in (*pack_paths(filled), Path(filled.store.path("blob", blob_oid(LARGE)))):
        good = path.read_bytes()
        for _ in range(10):
            at = chance.randrange(len(good))
            spoil(path, at)
            faults = look(filled).faults
            assert [fault.file for fault in faults] == [str(path.relative_to(filled.store_root))]
            path.write_bytes(good)
    assert look(filled).faults == ()


def test_a_file_that_is_no_object_is_passed_over(filled: Rig) -> None:
    folder = filled.store_root / "objects" / "ab"
    folder.mkdir(exist_ok=True)
    (folder / ".nfs00001").write_bytes(b"left by a file server")
    (folder / ".mlx-tmp-1").write_bytes(b"being written")
    assert look(filled).faults == ()


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink("small", path)])
def test_what_is_no_file_at_all_is_a_fault_and_blocks_nothing(
    filled: Rig, make: Callable[[Path], None]
) -> None:
    path = Path(filled.store.path("blob", blob_oid(b"small")))
    path.unlink()
    make(path)
    assert [fault.key for fault in look(filled).faults] == [Key("blob", blob_oid(b"small"))]
    move_away(filled)
    assert look(filled).faults == ()


def test_an_object_that_goes_while_it_is_checked_is_no_fault(filled: Rig) -> None:
    listed = list(parts(str(filled.store_root)))
    path = Path(filled.store.path("blob", blob_oid(b"small")))
    part = next(part for part in listed if path.match(f"*/{part.name}"))
    path.unlink()
    reader = checking._Reader(str(filled.store_root), lambda key: True, checking.SILENT)
    assert reader.check(part) == []


def test_of_several_copies_the_right_one_is_read(filled: Rig) -> None:
    inventory = Inventory(str(filled.store_root))
    for key, data in everything(filled).items():
        if len(data) < 1000:
            path = Path(filled.store.path(*key))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            path.write_bytes(data[:-1] + b"?")
    packed = [key for pack in inventory.packs.values() for key in _keys(pack)]
    assert [inventory.read(key) for key in packed] == [everything(filled)[key] for key in packed]
    assert inventory.read(Key("blob", blob_oid(b"small"))) is None


# going on where it was stopped


def test_a_check_that_was_killed_goes_on(filled: Rig) -> None:
    code = """
import os, sys, time
from mlxrepo.store import check
check.NOTE_SECONDS, check.WORKERS = 0, 1

class Killer:
    def start(self, what, total, unit): pass
    def done(self): pass
    def advance(self, amount):
        if amount > 1 << 20:  # the large file comes behind the packs
            while not os.path.exists(os.path.join(sys.argv[1], check.NOTES)):
                time.sleep(0.01)
            os.kill(os.getpid(), 9)

check.check(sys.argv[1], lambda key: True, notes=check.Notes(sys.argv[1]), progress=Killer())
"""
    assert run(code, filled.store_root).returncode == -9
    tally = look(filled, Notes(str(filled.store_root)))
    assert tally.noted > 0
    assert tally.objects < 2 * 41 + 2
    assert not (filled.store_root / NOTES).exists()
    assert look(filled, Notes(str(filled.store_root))).objects == 2 * 41 + 2


def noted(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the notes of a check that found everything good and was killed at its end."""
    monkeypatch.setattr(checking, "NOTE_SECONDS", 0.0)
    notes = Notes(str(rig.store_root))
    monkeypatch.setattr(notes, "drop", lambda: None)
    look(rig, notes)
    assert look_again(rig) == 0


def look_again(rig: Rig) -> int:
    """Return how many objects a check reads that believes the notes."""
    notes = Notes(str(rig.store_root))
    notes.drop = lambda: None  # type: ignore[method-assign]
    return look(rig, notes).objects


def test_what_changed_since_is_read_again(filled: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    noted(filled, monkeypatch)
    spoil(pack_paths(filled)[0], 100)
    assert len(look(filled, Notes(str(filled.store_root))).faults) == 1


def test_what_is_damaged_is_never_noted(filled: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil(pack_paths(filled)[0], 100)
    monkeypatch.setattr(checking, "NOTE_SECONDS", 0.0)
    for _ in range(2):
        notes = Notes(str(filled.store_root))
        notes.drop = lambda: None  # type: ignore[method-assign]
        assert len(look(filled, notes).faults) == 1


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"format":9}', b'{"format":1,"begun":"x"}'])
def test_notes_that_make_no_sense_are_forgotten(filled: Rig, text: bytes) -> None:
    (filled.store_root / NOTES).write_bytes(text)
    assert look(filled, Notes(str(filled.store_root))).objects == 2 * 41 + 2


def test_old_notes_are_forgotten(filled: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    noted(filled, monkeypatch)
    later = time.time() + checking.NOTES_AGE
    monkeypatch.setattr(checking.time, "time", lambda: later)
    assert look_again(filled) == 2 * 41 + 2


def test_a_store_that_may_only_be_read_can_be_checked(filled: Rig) -> None:
    # A process of its own: a fork of this one would lack the threads that hash large files.
    code = """
import os, sys
from mlxrepo.store import check
check.NOTE_SECONDS = 0
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
tally = check.check(sys.argv[1], lambda key: True, notes=check.Notes(sys.argv[1]))
print(tally.objects, len(tally.faults))
"""
    with scratch() as folder:
        os.chmod(folder, 0o755)
        shutil.copytree(filled.store_root, folder / "store")
        for here, _, _ in os.walk(folder / "store"):
            os.chmod(here, 0o555)
        done = run(code, folder / "store")
        for here, _, _ in os.walk(folder / "store"):
            os.chmod(here, 0o755)
    assert done.stdout.split() == [str(2 * 41 + 2), "0"], done.stderr


# quarantine


def move_away(rig: Rig) -> str:
    folder = quarantine.new_folder()
    quarantine.move_away(str(rig.store_root), look(rig).faults, folder)
    return folder


def test_a_pack_whose_table_is_gone_bad_gives_back_its_objects(filled: Rig) -> None:
    good = everything(filled)
    path = pack_paths(filled)[0]
    data = path.read_bytes()
    table = len(data) - FOOTER.size - 41 * ROW.size
    for at in (0, table, table + 32, table + 40, table + ROW.size * 20, len(data) - 60, -1):
        spoil(path, at)
        move_away(filled)
        assert look(filled).faults == ()
        lost = good.keys() - everything(filled).keys()
        assert len(lost) <= 1
        shutil.rmtree(filled.store_root / "packs")
        for old in (filled.store_root / quarantine.FOLDER).glob(f"*/packs/{path.name}"):
            old.unlink()
        path.parent.mkdir()
        path.write_bytes(data)
        good = everything(filled)


def test_a_pack_that_was_cut_off_in_its_table_gives_back_what_the_rest_names(filled: Rig) -> None:
    path = pack_paths(filled)[0]
    before = everything(filled)
    os.truncate(path, path.stat().st_size - FOOTER.size - 10 * ROW.size - 7)
    move_away(filled)
    assert len(before.keys() - everything(filled).keys()) == 11


def test_packs_under_each_others_names_come_right(filled: Rig) -> None:
    before = everything(filled)
    one, two = pack_paths(filled)
    contents = one.read_bytes(), two.read_bytes()
    os.chmod(one, 0o644)
    os.chmod(two, 0o644)
    one.write_bytes(contents[1])
    two.write_bytes(contents[0])
    assert len(look(filled).faults) == 2
    move_away(filled)
    assert look(filled).faults == ()
    assert everything(filled) == before
    assert set(pack_paths(filled)) == {one, two}


def test_a_pack_with_nothing_good_in_it_leaves_nothing_behind(filled: Rig) -> None:
    path = pack_paths(filled)[0]
    path.chmod(0o644)
    path.write_bytes(bytes(path.stat().st_size))
    folder = move_away(filled)
    assert (filled.store_root / folder / "packs" / path.name).exists()
    assert len(pack_paths(filled)) == 1
    assert temporaries(filled.store_root) == []


def test_a_pack_that_was_on_its_way_back_gets_there(
    filled: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = everything(filled)
    spoil(pack_paths(filled)[0], 100)
    with monkeypatch.context() as patch:
        patch.setattr(quarantine, "_publish", lambda root, folder: None)
        move_away(filled)
    assert len(pack_paths(filled)) == 1
    quarantine.finish(str(filled.store_root))
    assert len(before.keys() - everything(filled).keys()) == 1
    assert len(pack_paths(filled)) == 2


def test_what_was_mended_meanwhile_stays(filled: Rig) -> None:
    path = Path(filled.store.path("blob", blob_oid(b"small")))
    path.chmod(0o644)
    path.write_bytes(b"SMALL")
    faults = look(filled).faults
    path.write_bytes(b"small")
    root = str(filled.store_root)
    assert quarantine.move_away(root, faults, quarantine.new_folder()) == []
    assert path.read_bytes() == b"small"


# what is needed


def test_lost_nodes_of_a_split_folder_are_named_each(rig: Rig) -> None:
    count = SPLIT_ABOVE * 2
    entry = rig.keep({f"{n}": b"same" for n in range(count)})
    assert entry is not None
    inventory = Inventory(str(rig.store_root))
    assert Walk(inventory).lost(entry) == ()
    nodes = [key for key in everything(rig) if key.kind == "tree" and key.oid != entry.oid]
    bad = {nodes[0], nodes[-1]}
    files = {copy.file for key in bad for copy in inventory.copies(key)}
    inventory.known_bad.update((file, key) for key in bad for file in files)
    assert {item.key for item in Walk(inventory).lost(entry)} == bad


def test_a_folder_that_is_no_folder_is_told_and_stops_nothing(rig: Rig) -> None:
    rig.keep(b"content")
    with rig.store.batch() as batch:
        oid = batch.put_tree(b"mlx tree 1\nnonsense\n")
    from mlxrepo.store.tree import Entry

    walk = Walk(Inventory(str(rig.store_root)))
    assert [item.key for item in walk.lost(Entry("tree", oid, 0))] == [Key("tree", oid)]
    assert "malformed" in walk.faults[0].why
