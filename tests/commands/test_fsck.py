"""What `mlx fsck` promises: it finds what is damaged, says who needs it, and loses nothing."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from faults import objects, store_files
from sandbox import Killer, Project, copies, settle

from mlxrepo.commands.add import add
from mlxrepo.commands.fsck import LOST, REMOVED, REPAIRED, Checked, Finding, fsck
from mlxrepo.commands.rm import rm
from mlxrepo.errors import InputError
from mlxrepo.hashing import blob_oid
from mlxrepo.paths import RepoPath
from mlxrepo.repo.losses import look, needed_roots
from mlxrepo.repo.repair import _take
from mlxrepo.store.inventory import Inventory, Key
from mlxrepo.store.pack import PackWriter
from mlxrepo.store.quarantine import FOLDER as QUARANTINE
from mlxrepo.store.quarantine import REBUILT, salvage
from mlxrepo.store.search import Found
from mlxrepo.store.tree import Entry

BIG = bytes(range(256)) * 5000


def store_of(project: Project) -> Path:
    return project.path(".git/mlx")


def loose(project: Project, content: bytes) -> Path:
    oid = blob_oid(content)
    return store_of(project) / "objects" / oid[:2] / oid[2:]


def spoil(path: Path, at: int = 0) -> None:
    """Flip one bit."""
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    os.chmod(path, 0o644)
    path.write_bytes(data)


def check(project: Project, *targets: str, **options: object) -> Checked:
    return project.do(fsck, targets, **options)  # type: ignore[arg-type]


def only(checked: Checked) -> Finding:
    assert len(checked.findings) == 1, checked.findings
    return checked.findings[0]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in store_files(folder)}


@pytest.fixture
def tracked(project: Project) -> Project:
    """Two artifacts in a commit: a file of its own, and a folder whose files are in a pack."""
    project.write("big.bin", BIG)
    project.fill("data", 30)
    project.do(add, ["big.bin", "data"])
    project.commit("first")
    return project


# finding


def test_a_sound_store_is_left_as_it_is(tracked: Project) -> None:
    before = contents(store_of(tracked))
    done = check(tracked, data=True, repair=True)
    assert done.sound
    assert not done.findings
    assert done.objects == len(objects(store_of(tracked)))
    assert done.bytes == sum(map(len, objects(store_of(tracked)).values()))
    assert contents(store_of(tracked)) == before
    assert not (store_of(tracked) / QUARANTINE).exists()


def test_without_data_what_is_missing_or_cut_off_is_found(tracked: Project) -> None:
    os.truncate(loose(tracked, BIG), 100)
    assert only(check(tracked)).state == "damaged"
    loose(tracked, BIG).unlink()
    missing = only(check(tracked))
    assert (missing.state, missing.oid, missing.file) == ("missing", blob_oid(BIG), "")


def test_only_data_reads_every_byte(tracked: Project) -> None:
    spoil(loose(tracked, BIG), 1000)
    assert check(tracked).sound
    assert only(check(tracked, data=True)).oid == blob_oid(BIG)
    assert only(check(tracked, sample=100)).oid == blob_oid(BIG)


def test_a_record_with_a_wrong_size_is_no_damage(tracked: Project) -> None:
    lock = tracked.read("mlx.lock")
    tracked.write("mlx.lock", lock.replace(str(len(BIG)), str(len(BIG) + 1)))
    assert check(tracked).sound


def test_it_names_everybody_who_needs_it(tracked: Project) -> None:
    first = tracked.git("rev-parse", "HEAD").strip()
    tracked.write("unrelated", "x")
    tracked.commit("second")
    tracked.do(rm, ["big.bin"])
    third = tracked.commit("third")
    loose(tracked, BIG).unlink()
    needs = only(check(tracked)).needs
    assert {(need.path, need.address) for need in needs} == {("big.bin", "data:big")}
    places = {need.where for need in needs}
    assert any(first.startswith(place) for place in places)
    assert not any(third.startswith(place) for place in places)
    assert not {"workspace", "placed"} & places


@pytest.fixture
def pair(tracked: Project, tmp_path: Path) -> tuple[Project, Project]:
    """Return a project, and another one with other data of the same name in the same store."""
    other = Project.create(tmp_path / "other")
    other.git("config", "mlx.store", str(store_of(tracked)))
    other.write("big.bin", BIG[::-1])
    other.write("placed.bin", b"placed" * (1 << 18))
    other.do(add, ["big.bin", "placed.bin"])
    other.do(rm, ["placed.bin"], cached=True)
    other.commit("other")
    return tracked, other


def test_what_other_repositories_of_the_store_need_is_needed(pair: tuple[Project, Project]) -> None:
    mine, other = pair
    loose(mine, BIG[::-1]).unlink()
    loose(mine, b"placed" * (1 << 18)).unlink()
    found = only(check(mine))
    assert found.state == "missing"
    assert {(need.path, need.address) for need in found.needs} == {("big.bin", "data:big")}
    commit = other.git("rev-parse", "HEAD")[:12]
    places = {f"{place} of {other.root}" for place in ("workspace", "index", commit)}
    assert {need.where for need in found.needs} == places
    assert check(mine, "data:big", "data").sound
    assert only(check(mine, repair=True)).outcome == LOST
    assert only(check(other, repair=True)).outcome == REPAIRED
    assert check(mine).sound


def test_damage_that_only_another_repository_cares_for_is_not_just_put_away(
    pair: tuple[Project, Project],
) -> None:
    mine, _ = pair
    spoil(loose(mine, BIG[::-1]))
    found = only(check(mine, data=True, repair=True))
    assert (found.state, found.outcome) == ("damaged", LOST)


def test_a_repository_that_cannot_be_asked_is_named(pair: tuple[Project, Project]) -> None:
    mine, other = pair
    assert check(mine).unknown == ""
    other.write("mlx.lock", "broken")
    assert str(other.root) in check(mine).unknown
    other.root.rename(other.root.parent / "elsewhere")
    found = check(mine)
    assert str(other.root) in found.unknown
    assert "out of reach" in found.unknown
    assert found.sound


def test_what_is_below_a_folder_is_named_by_its_whole_path(tracked: Project) -> None:
    tracked.write("data/deep/er/file", "deep")
    tracked.do(add, ["data"])
    loose(tracked, b"deep").unlink()
    paths = {need.path for need in only(check(tracked)).needs}
    assert paths == {"data/deep/er/file"}


def test_targets_narrow_what_is_read(tracked: Project) -> None:
    spoil(loose(tracked, BIG), 1000)
    assert check(tracked, "data", data=True).sound
    assert check(tracked, "data/0001.txt", data=True).objects < 5
    assert only(check(tracked, "data:big", data=True)).oid == blob_oid(BIG)
    with pytest.raises(InputError):
        check(tracked, "nothing")


def test_a_target_below_what_is_lost_is_lost(tracked: Project) -> None:
    tracked.fill("few", 2)
    tracked.do(add, ["few"])
    shutil.rmtree(store_of(tracked) / "trees")
    assert {need.path for need in only(check(tracked, "few/0001.txt")).needs} == {"few"}


def test_what_is_packed_anew_meanwhile_is_not_missing(tracked: Project) -> None:
    with tracked.repo() as repo:
        inventory = Inventory(repo.store.root)
        (old,) = (store_of(tracked) / "packs").iterdir()
        writer = PackWriter(repo.store.temp, str(old.parent))
        for key, data in [*salvage(str(old)), (Key("blob", blob_oid(b"new")), b"new")]:
            writer.add(key.kind, key.oid, data)
        writer.close()
        old.unlink()
        assert look(needed_roots(repo)[0], inventory).losses == {}


def test_a_store_of_a_newer_format_is_refused(tracked: Project) -> None:
    (store_of(tracked) / "format").write_text("2 blake4\n")
    with pytest.raises(InputError, match="format 2 blake4"):
        check(tracked)


def test_objects_are_checked_also_when_a_lockfile_cannot_be_read(tracked: Project) -> None:
    tracked.write("mlx.lock", "<<<<<<< HEAD\n" + tracked.read("mlx.lock"))
    spoil(loose(tracked, BIG), 1000)
    done = check(tracked, data=True)
    assert "mlx.lock" in done.unknown
    assert only(done).oid == blob_oid(BIG)


def test_in_a_shallow_clone_the_workspace_speaks_for_itself(
    tracked: Project, tmp_path: Path
) -> None:
    tracked.commit("second")
    tracked.git("clone", "--quiet", "--depth=1", f"file://{tracked.root}", str(tmp_path / "c"))
    clone = Project(tmp_path / "c")
    shutil.copytree(store_of(tracked), store_of(clone))
    done = check(clone, data=True)
    assert done.unknown
    assert done.sound
    loose(clone, BIG).unlink()
    assert "workspace" in {need.where for need in only(check(clone)).needs}


def test_a_file_that_was_only_placed_is_needed_by_nobody(tracked: Project) -> None:
    """Such an entry is compared, never read: git may keep the file itself."""
    entry = Entry("file", blob_oid(b"never stored"), 12)
    with tracked.repo() as repo:
        repo.update_placed(lambda placed: placed.update({RepoPath("metrics.json"): entry}))
    assert check(tracked).sound


# mending


def mended(project: Project) -> Finding:
    """Repair the store of a project in which one thing is wrong, and check that it is right."""
    done = check(project, data=True, repair=True)
    assert done.sound
    assert check(project, data=True).findings == ()
    return only(done)


def test_a_good_copy_is_taken_from_the_workspace(tracked: Project) -> None:
    spoil(loose(tracked, BIG), 1000)
    assert mended(tracked).source == "big.bin"
    assert loose(tracked, BIG).read_bytes() == BIG


def test_a_file_that_was_moved_by_hand_inside_its_folder_is_found(tracked: Project) -> None:
    tracked.write("data/large", BIG[::-1])
    tracked.do(add, ["data"])
    os.rename(tracked.path("data/large"), tracked.path("data/huge"))
    loose(tracked, BIG[::-1]).unlink()
    assert mended(tracked).source == "data/huge"


def test_a_file_that_is_tracked_no_more_is_a_good_copy(tracked: Project) -> None:
    tracked.do(rm, ["big.bin"], cached=True)
    spoil(loose(tracked, BIG))
    assert mended(tracked).source == "big.bin"


def test_a_good_copy_is_taken_from_another_worktree(tracked: Project) -> None:
    other = tracked.worktree("other")
    other.write("big.bin", BIG)
    tracked.path("big.bin").unlink()
    spoil(loose(tracked, BIG))
    assert mended(tracked).source == str(other.path("big.bin"))


def test_a_good_copy_is_taken_from_the_trash(tracked: Project) -> None:
    trash = store_of(tracked) / "trash" / "gc-1" / "objects" / "ab"
    trash.mkdir(parents=True)
    shutil.move(loose(tracked, BIG), trash / "cd")
    tracked.path("big.bin").unlink()
    assert mended(tracked).source.startswith(".git/mlx/trash/gc-1/")


def test_whole_packs_in_the_trash_are_looked_through(tracked: Project) -> None:
    trash = store_of(tracked) / "trash" / "gc-1" / "packs"
    shutil.move(store_of(tracked) / "packs", trash)
    shutil.rmtree(tracked.path("data"))
    done = check(tracked, data=True, repair=True)
    assert done.sound
    assert {item.outcome for item in done.findings} == {REPAIRED}
    assert check(tracked, data=True).sound


def test_what_gc_took_away_is_found_in_its_trash(tracked: Project) -> None:
    tracked.fill("few", 2)
    tracked.do(add, ["few"])
    tree = next(path for path in store_files(store_of(tracked)) if "trees" in path.parts)
    trash = store_of(tracked) / "trash" / "gc-1" / "trees"
    trash.mkdir(parents=True)
    shutil.move(tree, trash / (tree.parent.name + tree.name))
    shutil.rmtree(tracked.path("few"))
    assert mended(tracked).source.startswith(".git/mlx/trash/gc-1/trees/")


def test_swapped_objects_are_told_apart(tracked: Project) -> None:
    tracked.write("other.bin", BIG[::-1])
    tracked.do(add, ["other.bin"])
    for name in ("big.bin", "other.bin"):
        tracked.path(name).unlink()
    one, two = loose(tracked, BIG), loose(tracked, BIG[::-1])
    os.rename(one, one.parent / "x")
    os.rename(two, one)
    os.rename(one.parent / "x", two)
    done = check(tracked, data=True, repair=True)
    assert done.sound
    assert one.read_bytes() == BIG
    assert two.read_bytes() == BIG[::-1]


def test_links_are_made_again_from_the_workspace(tracked: Project) -> None:
    os.symlink("0001.txt", tracked.path("data/link"))
    tracked.do(add, ["data"])
    spoil(loose(tracked, b"0001.txt"))
    assert mended(tracked).source == "data/link"


def test_a_source_that_changes_is_not_believed(tracked: Project) -> None:
    found: dict[Key, str] = {}
    other = Key("blob", blob_oid(b"something else"))
    with tracked.repo() as repo, repo.store.batch() as batch:
        _take(batch, Found(other, str(tracked.path("big.bin")), None), found)
    assert not found


def test_trees_are_made_again_from_the_workspace(tracked: Project) -> None:
    tracked.fill("data/sub/sub", 3)
    tracked.do(add, ["data"])
    shutil.rmtree(store_of(tracked) / "trees")
    done = check(tracked, data=True, repair=True)
    assert done.sound
    assert len([item for item in done.findings if item.kind == "tree"]) == 3
    assert check(tracked, data=True).findings == ()


def test_one_bad_object_costs_a_pack_nothing_else(tracked: Project) -> None:
    before = objects(store_of(tracked))
    pack = next((store_of(tracked) / "packs").iterdir())
    shutil.rmtree(tracked.path("data"))
    spoil(pack, 10)
    done = check(tracked, data=True, repair=True)
    assert only(done).outcome == LOST
    after = objects(store_of(tracked))
    assert before.keys() - after.keys() == {(only(done).kind, only(done).oid)}
    assert not pack.exists()
    assert (store_of(tracked) / str(done.quarantine) / "packs" / pack.name).exists()


def test_what_nobody_needs_goes_to_the_quarantine(tracked: Project) -> None:
    with tracked.repo() as repo, repo.store.batch() as batch:
        batch.put("blob", b"garbage")
    spoil(loose(tracked, b"garbage"))
    assert mended(tracked).outcome == REMOVED


def test_only_what_is_lost_is_told_as_lost(tracked: Project) -> None:
    tracked.write("big.bin", "a new version")
    tracked.do(add, ["big.bin"])
    tracked.commit("second")
    spoil(loose(tracked, BIG))
    done = check(tracked, data=True, repair=True)
    assert only(done).outcome == LOST
    assert not done.sound
    again = check(tracked, data=True)
    assert (only(again).state, only(again).oid) == ("missing", blob_oid(BIG))


def test_a_file_that_was_changed_is_no_good_copy(tracked: Project) -> None:
    spoil(loose(tracked, BIG))
    spoil(tracked.path("big.bin"))
    assert only(check(tracked, data=True, repair=True)).outcome == LOST
    assert not loose(tracked, BIG).exists()


def test_a_damaged_copy_beside_a_good_one_is_taken_away(tracked: Project) -> None:
    content = tracked.path("data/0001.txt").read_bytes()
    shutil.rmtree(tracked.path("data"))
    loose(tracked, content).parent.mkdir(exist_ok=True)
    loose(tracked, content).write_bytes(b"rubbish")
    assert mended(tracked).outcome == REPAIRED


def test_a_dry_run_says_the_same_and_does_nothing(tracked: Project) -> None:
    tracked.write("big.bin", "a new version")
    tracked.fill("few", 2)
    tracked.do(add, ["big.bin", "few"])
    tracked.commit("second")
    spoil(loose(tracked, BIG))
    spoil(next((store_of(tracked) / "packs").iterdir()), 10)
    shutil.rmtree(store_of(tracked) / "trees")
    before = contents(store_of(tracked))
    told = check(tracked, data=True, repair=True, dry_run=True)
    assert not told.sound
    assert contents(store_of(tracked)) == before
    assert not (store_of(tracked) / QUARANTINE).exists()
    assert {item.outcome for item in told.findings} == {LOST, REPAIRED}
    assert set(told.findings) == set(check(tracked, data=True, repair=True).findings)


def test_a_dry_run_finds_folders_that_the_stat_cache_knows(tracked: Project) -> None:
    tracked.fill("few/er", 2)
    settle()
    tracked.do(add, ["few"])
    for tree in (store_of(tracked) / "trees").glob("*/*"):
        spoil(tree)
    told = check(tracked, repair=True, dry_run=True)
    assert {(item.kind, item.source) for item in told.findings if item.needs} == {("tree", "few")}


def test_a_pack_that_a_killed_repair_left_behind_is_put_back(tracked: Project) -> None:
    (pack,) = (store_of(tracked) / "packs").iterdir()
    rebuilt = store_of(tracked) / QUARANTINE / "then" / REBUILT
    rebuilt.mkdir(parents=True)
    shutil.move(pack, rebuilt)
    assert check(tracked, repair=True).findings == ()
    assert pack.exists()


def test_a_repair_that_was_killed_is_finished_by_the_next(
    tracked: Project, killer: Killer, tmp_path: Path
) -> None:
    spoil(loose(tracked, BIG))
    spoil(next((store_of(tracked) / "packs").iterdir()), 10)
    for step, copy in copies(tracked, tmp_path):
        killed = killer.killed(step, copy, "fsck", "--data", "--repair")
        assert check(copy, data=True, repair=True).sound
        assert check(copy, data=True).findings == ()
        if not killed:
            break
