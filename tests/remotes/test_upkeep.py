"""gc and fsck of remotes: what is needed stays, what is not goes in time, damage is found."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest
from places import Spot
from sandbox import Project
from test_sharing import clone, got, prepared, sent

from mlxrepo.commands.add import add
from mlxrepo.commands.checkout import checkout
from mlxrepo.commands.push import push
from mlxrepo.commands.remote_fsck import RemoteChecked, remote_fsck
from mlxrepo.commands.remote_gc import RemoteCollected, remote_gc
from mlxrepo.errors import CannotDecide, EnvironmentFailed, InputError
from mlxrepo.repo.wanted import Scope
from mlxrepo.store.door import Found
from mlxrepo.store.folder import Folder
from mlxrepo.store.intent import Intent
from mlxrepo.store.remote import Remote

MOMENT = 1 / 86_400  # a second, in days
GARBAGE = 2 << 20  # bytes of the large object that nothing needs


def collected(project: Project, **options: object) -> RemoteCollected:
    return project.do(remote_gc, apply=True, **options)  # type: ignore[arg-type]


def checked(project: Project, **options: object) -> RemoteChecked:
    return project.do(remote_fsck, **options)  # type: ignore[arg-type]


def forget_history(project: Project) -> None:
    project.git("reflog", "expire", "--expire=now", "--expire-unreachable=now", "--all")
    project.git("gc", "--quiet", "--prune=now")


@pytest.fixture
def shared(project: Project, spot: Spot) -> Project:
    """A project whose branch `old` was pushed, with data of its own, and is gone."""
    return with_garbage(project, spot)


def with_garbage(project: Project, spot: Spot) -> Project:
    prepared(project, spot)
    project.git("checkout", "--quiet", "-b", "old")
    project.fill("data/many", 200)
    project.write("data/many/f7.txt", "only of old\n")
    project.write("data/large.bin", os.urandom(GARBAGE))
    project.do(add, ["data"])
    project.commit()
    sent(project)
    project.git("checkout", "--quiet", "-")
    project.do(checkout, force=True)
    project.git("branch", "--quiet", "-D", "old")
    forget_history(project)
    return project


def gets_all(project: Project, spot: Spot, name: str) -> None:
    other = clone(project, spot, name)
    assert got(other).missing == ()
    other.do(checkout)
    assert other.files("data") == project.files("data")


def test_what_nothing_needs_is_condemned_and_goes_when_its_time_is_over(
    shared: Project, spot: Spot
) -> None:
    first = collected(shared)
    assert first.expired.objects == first.files.objects == 0
    assert first.waiting.objects > 2
    gets_all(shared, spot, "between")
    again = collected(shared, grace=0)
    assert again.expired == first.waiting
    assert again.files.size > GARBAGE
    assert checked(shared, data=True).flaws == ()
    gets_all(shared, spot, "after")
    last = collected(shared, grace=0)  # and the packs that were written anew
    assert last.expired.objects == last.waiting.objects == 0
    assert collected(shared, grace=0).files.objects == 0
    assert checked(shared, data=True).flaws == ()
    gets_all(shared, spot, "last")
    assert sent(shared).objects == 0


def test_a_dry_run_changes_nothing(project: Project, folder: Spot) -> None:
    with_garbage(project, folder)
    before = {path: path.stat().st_mtime_ns for path in folder.files}
    found = project.do(remote_gc, grace=0)
    assert found.expired.objects
    assert not found.applied
    assert {path: path.stat().st_mtime_ns for path in folder.files} == before


def test_what_is_pushed_again_is_condemned_no_more(project: Project, folder: Spot) -> None:
    with_garbage(project, folder)
    other = clone(project, folder, "other")
    waiting = collected(project).waiting.objects
    time.sleep(1.1)
    got(other)
    other.do(checkout)
    other.write("data/many/f7.txt", "only of old\n")
    other.do(add, ["data"])
    other.commit()
    pushed = sent(other)
    assert pushed.objects >= 2  # the file was there, and is not relied on
    found = collected(project, grace=MOMENT)
    assert 0 < found.expired.objects < waiting
    gets_all(other, folder, "third")


def test_clones_without_data_collect_too(project: Project, folder: Spot) -> None:
    with_garbage(project, folder)
    other = clone(project, folder, "other")
    found = collected(other, grace=0)
    assert found.needed == 308
    assert found.expired.objects
    assert checked(project, data=True).flaws == ()
    gets_all(project, folder, "third")


def test_another_repository_has_to_be_at_hand_or_left_out(
    project: Project, folder: Spot, tmp_path: Path
) -> None:
    with_garbage(project, folder)
    other = Project.create(tmp_path / "second")
    other.write("mine.bin", os.urandom(2 << 20))
    other.do(add, ["mine.bin"])
    other.commit("another first commit")
    folder.configure(other)
    sent(other)
    with pytest.raises(CannotDecide, match="also keeps data for second"):
        collected(project, grace=0)
    found = collected(project, grace=0, clones=[str(other.root)])
    assert found.expired.objects
    gets_all_of = clone(other, folder, "third")
    assert got(gets_all_of).missing == ()
    with pytest.raises(InputError, match='lists no repository "nobody"'):
        collected(project, without=["nobody"])
    assert collected(project, grace=0, without=["second"]).expired.size >= 2 << 20


def test_a_shallow_clone_does_not_know_what_is_needed(project: Project, folder: Spot) -> None:
    prepared(project, folder)
    project.write("more.txt")
    project.commit()
    path = project.root.parent / "shallow"
    project.git("clone", "--quiet", "--depth=1", f"file://{project.root}", str(path))
    other = Project(path)
    folder.configure(other)
    with pytest.raises(CannotDecide, match="shallow"):
        collected(other)


def test_all_of_the_git_remotes_has_to_be_here(project: Project, folder: Spot) -> None:
    prepared(project, folder)
    other = clone(project, folder)
    project.write("more.txt")
    project.commit()
    with pytest.raises(CannotDecide, match="are not here"):
        collected(other)
    other.git("fetch", "--quiet")
    collected(other)
    other.git("remote", "set-url", "origin", str(project.root) + "-gone")
    with pytest.raises(EnvironmentFailed, match="cannot be asked"):
        collected(other)


def test_folders_that_are_nowhere_stop_it(project: Project, folder: Spot) -> None:
    project.fill("data/a", 3)
    project.do(add, ["data"])
    project.commit()
    folder.configure(project)
    other = clone(project, folder)
    other.write("b.txt")
    other.do(add, ["b.txt"])
    other.commit()
    assert sent(other).missing
    with pytest.raises(CannotDecide, match="neither here nor on the remote"):
        collected(other)
    assert collected(other, force=True).waiting.objects == 0


def test_many_small_pushes_become_few_files(project: Project, folder: Spot) -> None:
    folder.configure(project)
    for number in range(20):
        project.write(f"data/{number}.txt", f"{number}\n" * 100)
        project.do(add, ["data"])
        project.commit()
        sent(project)
    assert len(list((folder.folder or Path()).glob("packs/*"))) == 40
    collected(project, grace=0)
    collected(project, grace=0)
    assert len(list((folder.folder or Path()).glob("packs/*"))) == 2
    assert len(list((folder.folder or Path()).glob("indexes/*"))) == 2  # and the note of the sweep
    assert sent(project).objects == 0
    gets_all(project, folder, "other")


@pytest.mark.parametrize("point", ["written", "indexed", "removed", "removed:2"])
def test_a_gc_that_was_killed_harms_nothing_and_goes_on(
    project: Project, folder: Spot, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_garbage(project, folder)
    killed = project.mlx(
        "remote", "gc", "--yes", "--grace=0", env={"MLXREPO_FAILPOINT": f"remote-gc.{point}"}
    )
    assert killed.returncode == -9
    gets_all(project, folder, "early")
    assert checked(project, data=True).flaws == ()
    monkeypatch.setattr("mlxrepo.store.intent.WAITING", 0.2)
    for _ in range(2):
        collected(project, grace=0)
    assert project.do(remote_gc, grace=0).files.objects == 0
    assert checked(project, data=True).flaws == ()
    assert not list((folder.folder or Path()).glob("indexes/gc-*"))
    gets_all(project, folder, "late")


def test_a_push_that_a_gc_crossed_sends_again_what_it_took(
    project: Project, folder: Spot, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared(project, folder)
    other = clone(project, folder, "other")
    project.write("data/new.bin", os.urandom(3 << 20))
    project.do(add, ["data"])
    project.commit()
    publish = Remote.publish
    crossed = []

    def with_gc(remote: Remote, spots: list[object]) -> object:
        if not crossed:
            crossed.append(True)
            assert other.do(remote_gc, apply=True, grace=0).files.objects == 2
        return publish(remote, spots)  # type: ignore[arg-type]

    monkeypatch.setattr(Remote, "publish", with_gc)
    project.do(lambda repo: None)
    # Its remotes of git know nothing of the new commit: for it nothing is needed.
    other.git("remote", "remove", "origin")
    assert sent(project).missing == ()
    assert crossed
    assert checked(project, data=True).flaws == ()
    gets_all(project, folder, "third")


def test_what_a_push_came_to_name_is_spared(
    project: Project, folder: Spot, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_garbage(project, folder)
    large = next(path for path in folder.files if path.stat().st_size == GARBAGE).read_bytes()
    other = clone(project, folder, "other")
    assert collected(other).waiting.objects
    project.write("data/large.bin", large)
    project.do(add, ["data"])
    project.commit()
    other.git("remote", "remove", "origin")

    def with_push(remote: Remote) -> Intent:
        intent = Intent(remote)
        with monkeypatch.context() as patch:  # it would wait for the gc to end
            patch.setattr("mlxrepo.commands.push.was_undone", lambda *_: False)
            assert sent(project).missing == ()
        return intent

    monkeypatch.setattr("mlxrepo.store.remotegc.Intent", with_push)
    assert collected(other, grace=0).spared >= 1
    assert checked(project, data=True).flaws == ()
    gets_all(project, folder, "third")


def test_copies_of_the_same_objects_become_one(
    project: Project, folder: Spot, tmp_path: Path
) -> None:
    prepared(project, folder)
    other = clone(project, folder, "other")
    got(other)
    elsewhere = Spot("folder", str(tmp_path / "elsewhere"), {}, tmp_path / "elsewhere")
    elsewhere.configure(other, "elsewhere")
    for targets in (["data/train"], ["data/many"], []):
        other.do(push, targets, remote="elsewhere")
    shutil.copytree(tmp_path / "elsewhere", folder.url, dirs_exist_ok=True)
    twice = sum(path.stat().st_size for path in folder.files)
    for _ in range(2):
        collected(project, grace=0)
    assert sum(path.stat().st_size for path in folder.files) < twice
    assert checked(project, data=True).flaws == ()
    gets_all(project, folder, "third")


@pytest.mark.parametrize("left_out", ["indexes", "packs", "objects"])
def test_a_listing_that_leaves_something_out_stops_it(
    project: Project, folder: Spot, left_out: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_garbage(project, folder)
    before = folder.files
    files = Folder.files

    def short(door: Folder, where: str) -> list[Found]:
        found = files(door, where)
        return found[1:] if where == left_out else found

    with monkeypatch.context() as patch:
        patch.setattr(Folder, "files", short)
        with pytest.raises(EnvironmentFailed, match="nothing can be removed safely"):
            collected(project, grace=0)
    assert folder.files == before
    collected(project, grace=0)
    gets_all(project, folder, "other")


# fsck


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.chmod(0o644)
    path.write_bytes(bytes(data))


def damage(folder: Spot, what: str) -> None:
    assert folder.folder is not None
    if what == "pack":
        flip(max(folder.folder.glob("packs/*"), key=lambda path: path.stat().st_size), 50)
    elif what == "large":
        flip(next(folder.folder.glob("objects/*/*")), 1 << 20)
    elif what == "cut":
        os.truncate(next(folder.folder.glob("objects/*/*")), 1000)
    elif what == "absent":
        max(folder.folder.glob("packs/*"), key=lambda path: path.stat().st_size).unlink()
    else:
        flip(next(folder.folder.glob("indexes/*")), 200)


@pytest.mark.parametrize("what", ["pack", "large", "cut", "absent", "index"])
def test_damage_on_a_remote_is_found_and_mended(project: Project, folder: Spot, what: str) -> None:
    prepared(project, folder)
    (folder.folder or Path()).chmod(0o755)
    for path in folder.files:
        path.chmod(0o644)
    assert checked(project, data=True).flaws == ()
    damage(folder, what)
    found = checked(project, data=True)
    assert found.flaws
    assert not found.is_sound
    if what in ("cut", "absent", "index"):
        assert checked(project).flaws
    planned = checked(project, data=True, repair=True, dry_run=True)
    assert planned.flaws == found.flaws
    mended = checked(project, data=True, repair=True)
    assert mended.is_sound
    sent(project)  # what a damaged index named is sent again
    assert checked(project, data=True).flaws == ()
    gets_all(project, folder, "other")


def test_what_is_damaged_there_and_not_here_is_named(project: Project, folder: Spot) -> None:
    prepared(project, folder)
    other = clone(project, folder, "other")
    damage(folder, "large")
    found = checked(other, data=True, repair=True)
    assert not found.is_sound
    assert len(found.lost) == 1
    assert checked(other, data=True).flaws == ()
    assert [path for path, _ in got(other).missing] == ["data"]
    assert sent(project, scope=Scope()).objects == 1
    gets_all(project, folder, "third")


def test_exit_codes_and_words(project: Project, folder: Spot) -> None:
    with_garbage(project, folder)
    told = project.mlx("remote", "gc")
    assert told.returncode == 0
    assert "would wait" in told.stdout
    assert "mlx remote gc origin --yes does it" in told.stderr
    assert project.mlx("remote", "gc", "origin", "-y").returncode == 0
    assert project.mlx("remote", "fsck").returncode == 0
    damage(folder, "cut")
    found = project.mlx("remote", "fsck")
    assert found.returncode == 1
    assert "bytes of" in found.stdout
    assert "--repair" in found.stderr


def cached_index(project: Project) -> list[Path]:
    return list(project.path(".git/mlx/remotes/origin/indexes").glob("*"))


@pytest.mark.parametrize("copy", [True, False])
def test_a_damaged_index_is_written_anew_from_what_is_there(
    project: Project, folder: Spot, copy: bool
) -> None:
    prepared(project, folder)
    other = clone(project, folder, "other")
    if copy:
        other.do(remote_gc)  # it reads, and keeps, the indexes
    damage(folder, "index")
    assert checked(other, repair=True).is_sound
    assert checked(other, data=True).flaws == ()
    for _ in range(2):
        collected(other, grace=0)
    gets_all(project, folder, "third")


@pytest.mark.parametrize("left_out", ["packs", "objects"])
def test_a_listing_that_leaves_something_out_is_no_damage(
    project: Project, folder: Spot, left_out: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared(project, folder)
    before, files = folder.files, Folder.files

    def short(door: Folder, where: str) -> list[Found]:
        found = files(door, where)
        return found[1:] if where == left_out else found

    monkeypatch.setattr(Folder, "files", short)
    with pytest.raises(EnvironmentFailed, match="leaves out"):
        checked(project, repair=True)
    assert folder.files == before


# what counts


def test_a_branch_of_the_git_remote_counts_though_no_ref_here_names_it(
    project: Project, folder: Spot
) -> None:
    prepared(project, folder)
    project.git("checkout", "--quiet", "-b", "feature")
    project.write("data/feature.bin", os.urandom(2 << 20))
    project.do(add, ["data"])
    project.commit()
    sent(project)
    project.git("checkout", "--quiet", "-")
    path = project.root.parent / "single"
    project.git("clone", "--quiet", "--single-branch", f"file://{project.root}", str(path))
    other = Project(path)
    folder.configure(other)
    with pytest.raises(CannotDecide, match="refs/heads/feature for one"):
        collected(other, grace=0)
    other.git("fetch", "--quiet", "origin", "feature")
    other.git("fetch", "--quiet", "origin", "HEAD")  # FETCH_HEAD names something else now
    assert collected(other, grace=0).expired.objects == 0
    project.git("checkout", "--quiet", "feature")
    project.do(checkout, force=True)
    gets_all(project, folder, "third")


def test_a_clock_that_is_behind_the_newest_commit_stops_it(project: Project, folder: Spot) -> None:
    prepared(project, folder)
    tomorrow = str(int(time.time()) + 86_400)
    project.write("more.txt")
    project.git("add", "more.txt")
    os.environ["GIT_COMMITTER_DATE"] = f"{tomorrow} +0000"
    try:
        project.git("commit", "--quiet", "-m", "from the future")
    finally:
        del os.environ["GIT_COMMITTER_DATE"]
    with pytest.raises(EnvironmentFailed, match="newer than the clock"):
        collected(project)


def test_a_name_that_several_repositories_have_is_refused(
    project: Project, folder: Spot, tmp_path: Path
) -> None:
    prepared(project, folder)
    for where in ("one", "two"):
        other = Project.create(tmp_path / where / "same")
        other.write("mine.txt", where)
        other.do(add, ["mine.txt"])
        other.commit(f"first of {where}")
        folder.configure(other)
        sent(other)
    with pytest.raises(InputError, match='2 repositories "same"'):
        collected(project, without=["same"])


def test_repositories_that_are_not_listed_any_more_stop_it(
    project: Project, folder: Spot, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared(project, folder)
    files = Folder.files

    def short(door: Folder, where: str) -> list[Found]:
        return [] if where == "repos" else files(door, where)

    monkeypatch.setattr(Folder, "files", short)
    with pytest.raises(EnvironmentFailed, match="listing of repos/"):
        collected(project)


def test_a_newer_format_stops_it_though_all_indexes_are_known(
    project: Project, folder: Spot
) -> None:
    prepared(project, folder)
    marker = Path(folder.url) / "mlx.json"
    marker.chmod(0o644)
    marker.write_text('{"format":2,"oid":"blake3"}\n')
    with pytest.raises(InputError, match="newer format"):
        collected(project)


def test_a_gc_that_stood_still_removes_nothing_more(
    project: Project, folder: Spot, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_garbage(project, folder)
    monkeypatch.setattr("mlxrepo.store.intent.STILL", -1)
    with pytest.raises(EnvironmentFailed, match="stood still"):
        collected(project, grace=0)
    monkeypatch.undo()
    gets_all(project, folder, "other")
    collected(project, grace=0)
    assert checked(project, data=True).flaws == ()


def test_a_shallow_clone_that_pushed_is_part_of_the_whole(project: Project, folder: Spot) -> None:
    prepared(project, folder)
    project.write("more.txt")
    project.commit()
    path = project.root.parent / "job"
    project.git("clone", "--quiet", "--depth=1", f"file://{project.root}", str(path))
    job = Project(path)
    folder.configure(job)
    job.write("result.bin", os.urandom(2 << 20))
    job.do(add, ["result.bin"])
    sent(job)
    assert len(list(Path(folder.url).glob("repos/*"))) == 2
    assert collected(project).waiting.objects == 1


def test_results_of_stages_that_git_keeps_stay(project: Project, folder: Spot) -> None:
    stage = "{cmd: cp a.txt b.txt, deps: [a.txt], outs: [{b.txt: {cache: false}}]}"
    project.write("a.txt", "a\n")
    project.write("mlx.yaml", f"stages:\n  copy: {stage}\n")
    assert project.mlx("repro").returncode == 0
    project.commit()
    folder.configure(project)
    assert sent(project).actions == 1
    other = clone(project, folder)
    assert collected(other, grace=0).expired.objects == 0
    assert len(list(Path(folder.url).glob("actions/*/*"))) == 1
