"""What mlx drop frees is on a remote, right, and comes back; what is not stays."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest
from places import Spot
from sandbox import Killer, Project
from storage import object_files, store_of

from mlxrepo.commands.add import add
from mlxrepo.commands.checkout import checkout
from mlxrepo.commands.drop import Dropped, drop
from mlxrepo.commands.fetch import fetch
from mlxrepo.commands.fsck import fsck
from mlxrepo.commands.push import push
from mlxrepo.commands.status import status
from mlxrepo.errors import CannotDecide, InputError, Refused

DAY = 86_400
LARGE = 3 << 20


@pytest.fixture
def filled(project: Project) -> Project:
    """Small files of a kilobyte and a large one, committed."""
    for number in range(20):
        project.write(f"data/a/{number}.bin", os.urandom(1000))
        project.write(f"data/b/{number}.bin", os.urandom(1000))
    project.write("data/large.bin", os.urandom(LARGE))
    project.do(add, ["data"])
    project.commit()
    return project


def shared(project: Project, spot: Spot) -> Project:
    spot.configure(project)
    project.do(push)
    return project


def bytes_of(project: Project) -> int:
    """Return how much the objects of the store take on the disk."""
    root = store_of(project)
    folders = [root / name for name in ("objects", "packs")]
    return sum(f.stat().st_size for top in folders for f in top.rglob("*") if f.is_file())


def state(project: Project) -> tuple[str, int, str]:
    (found,) = project.do(status).paths
    return found.state, found.absent, found.origin


def bring(project: Project, *targets: str) -> None:
    project.do(fetch, targets)
    project.do(checkout, targets)


def test_what_is_dropped_frees_its_space_is_absent_and_comes_back(
    filled: Project, spot: Spot
) -> None:
    before = shared(filled, spot).files("data")
    done = filled.do(drop, ["data"])
    assert (done.freed.objects, done.files, done.unproven) == (41, 41, ())
    assert filled.files("data") == {}
    assert not filled.path("data").exists()
    assert bytes_of(filled) < 10_000  # listings
    assert state(filled) == ("absent", 41, "dropped here")
    assert filled.do(fsck).sound
    bring(filled)
    assert filled.files("data") == before
    assert state(filled) == ("clean", 0, "")


def test_nothing_takes_what_was_dropped_for_deleted(filled: Project, folder: Spot) -> None:
    lock = shared(filled, folder).read("mlx.lock")
    filled.do(drop, ["data/a"])
    assert state(filled) == ("clean", 20, "dropped here")
    for words in (("add", "-u"), ("add", "data"), ("checkout", "data/b")):
        assert filled.mlx(*words).returncode == 0
        assert filled.read("mlx.lock") == lock
    filled.write("data/b/more.bin", "more\n")
    filled.do(add, ["data"])
    bring(filled)
    assert len(filled.files("data/a")) == 20
    assert filled.read("data/b/more.bin") == "more\n"


def test_a_part_goes_alone(filled: Project, folder: Spot) -> None:
    before = shared(filled, folder).files("data")
    done = filled.do(drop, ["data/large.bin"])
    assert (done.freed.objects, done.freed.size, done.files) == (1, LARGE, 1)
    assert filled.files("data").keys() == before.keys() - {"data/large.bin"}
    bring(filled, "data/large.bin")
    assert filled.files("data") == before


def test_what_the_remote_lacks_stays_and_is_named(filled: Project, folder: Spot) -> None:
    shared(filled, folder)
    filled.write("data/new.bin", os.urandom(2000))
    filled.do(add, ["data"])
    done = filled.mlx("drop", "data")
    assert done.returncode == 1
    assert "data/new.bin: it is not there (origin)" in done.stderr
    assert list(filled.files("data")) == ["data/new.bin"]
    assert filled.mlx("checkout", "data/new.bin").returncode == 0
    filled.path("data/new.bin").unlink()
    assert [change.word for change in filled.do(status).paths[0].changes] == ["deleted"]
    filled.do(checkout, ["data/new.bin"])
    assert len(filled.path("data/new.bin").read_bytes()) == 2000


def test_a_damaged_copy_on_the_remote_keeps_the_local_one(filled: Project, folder: Spot) -> None:
    before = shared(filled, folder).files("data")
    for path in [*folder.files]:
        if path.suffix == ".pack" or path.parent.parent.name == "objects":
            data = bytearray(path.read_bytes())
            data[20] ^= 1
            path.chmod(0o644)
            path.write_bytes(data)
    done = filled.do(drop, ["data"])
    # One file in the pack of files, and the large one; the other pack is of folders.
    assert (
        sorted(item.why for item in done.unproven)
        == ["its copy there is not what its name says"] * 2
    )
    stayed = filled.files("data")
    assert len(stayed) == 2
    assert stayed.items() <= before.items()
    filled.path("data/large.bin").unlink()
    filled.do(checkout, ["data/large.bin"])
    assert filled.files("data") == stayed


@pytest.fixture
def twice(project: Project, folder: Spot) -> Project:
    """Two versions of a folder; `data/keep.bin`, alone in its file in the store, is in both."""
    project.write("data/keep.bin", os.urandom(LARGE))
    for number in range(2):
        project.write("data/other.bin", f"{number}\n")
        project.do(add, ["data"])
        project.commit()
    folder.configure(project)
    return project


def spoil(path: Path) -> None:
    """Let a file rot on the disk: zeros, and everything else about it as it was."""
    found = path.stat()
    path.chmod(0o644)
    path.write_bytes(bytes(found.st_size))
    path.chmod(found.st_mode)
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


def spoil_large(project: Project) -> None:
    (path,) = (p for p in object_files(project) if p.stat().st_size == LARGE)
    spoil(path)


def hints(text: str) -> list[str]:
    return [line.removeprefix("hint: ") for line in text.splitlines() if "hint: " in line]


def test_a_file_stays_when_the_store_that_keeps_it_has_it_damaged(twice: Project) -> None:
    before = twice.files("data")
    spoil_large(twice)
    done = twice.mlx("drop", "data")
    assert done.returncode == 1
    assert "data/keep.bin: it is not there (origin)" in done.stderr
    assert twice.files("data") == before
    assert hints(done.stderr) == ["mlx fsck --data --repair, mlx push, then again"]
    for words in (("fsck", "--data", "--repair"), ("push",), ("drop", "data")):
        assert twice.mlx(*words).returncode == 0, words
    assert twice.files("data") == {}
    bring(twice)
    assert twice.files("data") == before


def test_a_file_goes_when_the_remote_has_it_right_and_the_store_not(twice: Project) -> None:
    twice.do(push)
    before = twice.files("data")
    spoil_large(twice)
    assert twice.do(drop, ["data"]).unproven == ()
    assert twice.files("data") == {}
    assert twice.mlx("fsck", "--data", "--repair").returncode == 0
    bring(twice)
    assert twice.files("data") == before


def test_files_that_came_another_way_are_looked_for_on_the_remote_too(
    filled: Project, folder: Spot
) -> None:
    other = Project(filled.root.parent / "clone")
    filled.git("clone", "--quiet", str(filled.root), str(other.root))
    folder.configure(other)
    shutil.copytree(filled.path("data"), other.path("data"), dirs_exist_ok=True)
    before = other.files("data")
    assert state(other)[0] == "clean"
    assert other.mlx("drop", "data").returncode == 1  # nobody has pushed
    assert other.files("data") == before
    shared(filled, folder)
    assert other.mlx("drop", "data").returncode == 0
    assert other.files("data") == {}
    bring(other)
    assert other.files("data") == before


def test_what_to_do_about_a_damaged_copy_on_the_remote_works(filled: Project, folder: Spot) -> None:
    shared(filled, folder)
    (copy,) = (path for path in folder.files if path.stat().st_size == LARGE)
    spoil(copy)
    done = filled.mlx("drop", "data/large.bin")
    assert done.returncode == 1
    assert hints(done.stderr) == ["mlx remote fsck origin --data --repair, then again"]
    assert filled.mlx("remote", "fsck", "origin", "--data", "--repair").returncode == 0
    assert filled.mlx("drop", "data/large.bin").returncode == 0


@pytest.mark.parametrize("change", ["modified", "deleted"])
def test_a_changed_workspace_is_refused_whole(filled: Project, folder: Spot, change: str) -> None:
    shared(filled, folder)
    if change == "modified":
        filled.write("data/a/1.bin", "mine\n")
    else:
        filled.path("data/a/1.bin").unlink()
    before, size = filled.files("data"), bytes_of(filled)
    with pytest.raises(Refused, match=r"data/a/1\.bin is not as it is recorded"):
        filled.do(drop, ["data"])
    assert (filled.files("data"), bytes_of(filled)) == (before, size)
    filled.do(drop, ["data/b"])
    assert filled.files("data").keys() == {p for p in before if not p.startswith("data/b/")}


def test_files_of_the_user_s_own_stay(filled: Project, folder: Spot) -> None:
    shared(filled, folder)
    filled.write("data/a/own.txt", "mine\n")
    filled.do(drop, ["data"])
    assert list(filled.files("data")) == ["data/a/own.txt"]


def test_what_another_path_needs_stays(filled: Project, folder: Spot) -> None:
    filled.write("copy.bin", filled.path("data/large.bin").read_bytes())
    filled.do(add, ["copy.bin"])
    shared(filled, folder)
    done = filled.do(drop, ["data"])
    assert (done.freed.objects, done.shared.objects) == (40, 1)
    filled.path("copy.bin").unlink()
    filled.do(checkout, ["copy.bin"])
    assert filled.path("copy.bin").stat().st_size == LARGE


def test_what_another_worktree_has_stays(filled: Project, folder: Spot) -> None:
    shared(filled, folder)
    other = filled.worktree("other")
    other.do(checkout)
    done = filled.do(drop, ["data"])
    assert (done.freed.objects, done.files) == (0, 41)
    other.path("data/large.bin").unlink()
    other.do(checkout)
    assert len(other.files("data")) == 41
    filled.do(checkout)
    filled.git("worktree", "remove", "--force", str(other.root))
    assert filled.do(drop, ["data"]).freed.objects == 41


def test_what_another_repository_of_the_store_needs_stays(filled: Project, folder: Spot) -> None:
    shared(filled, folder)
    other = Project(filled.root.parent / "other")
    filled.git("clone", "--quiet", str(filled.root), str(other.root))
    other.git("config", "mlx.store", str(store_of(filled)))
    other.do(checkout)
    done = filled.do(drop, ["data"])
    assert (done.freed.objects, done.shared.objects) == (0, 41)
    other.path("data/large.bin").unlink()
    other.do(checkout)
    assert len(other.files("data")) == 41


def test_what_a_running_mlx_relies_on_stays(filled: Project, folder: Spot) -> None:
    shared(filled, folder)
    with filled.repo() as repo:
        (item,) = repo.observed.tracked()
        assert repo.store.pin(item.entry)
        assert filled.mlx("drop", "data").returncode == 0
        assert filled.files("data") == {}
        repo.store.refresh()
        assert repo.store.is_whole(item.entry)
    assert filled.do(drop, ["data"]).freed.objects == 41


@pytest.mark.parametrize("link", ["hardlink", "symlink"])
def test_links_into_the_store_go_too(project: Project, folder: Spot, link: str) -> None:
    project.git("config", "mlx.link", link)
    for number in range(3):
        project.write(f"data/{number}.bin", os.urandom(2 << 20))
    project.path("data/name").symlink_to("1.bin")
    project.do(add, ["data"])
    project.mlx("checkout", "--relink")
    project.commit()
    shared(project, folder)
    before = [project.path(f"data/{number}.bin").read_bytes() for number in range(3)]
    done = project.do(drop, ["data"])
    assert (done.freed.objects, done.files, done.unproven) == (4, 4, ())
    assert not project.path("data").exists()
    bring(project)
    assert os.readlink(project.path("data/name")) == "1.bin"
    assert [project.path(f"data/{number}.bin").read_bytes() for number in range(3)] == before


def test_everything_wants_a_yes(filled: Project, folder: Spot) -> None:
    shared(filled, folder)
    done = filled.mlx("drop")
    assert (done.returncode, len(filled.files("data"))) == (2, 41)
    assert "mlx drop --yes" in done.stderr
    done = filled.mlx("drop", "-n")
    assert (done.returncode, len(filled.files("data"))) == (0, 41)
    assert "would drop 41 objects, 3.0 MiB, and 41 workspace files" in done.stdout
    assert filled.mlx("drop", "--yes").returncode == 0
    assert filled.files("data") == {}


def test_without_a_remote_nothing_goes(filled: Project) -> None:
    with pytest.raises(CannotDecide, match="there is no remote"):
        filled.do(drop, ["data"])
    assert len(filled.files("data")) == 41


def test_a_folder_that_is_here_in_part_goes_at_once(filled: Project, folder: Spot) -> None:
    shared(filled, folder)
    other = Project(filled.root.parent / "clone")
    filled.git("clone", "--quiet", str(filled.root), str(other.root))
    folder.configure(other)
    bring(other, "data/large.bin", "data/a/1.bin")
    done = other.do(drop, ["data"])
    assert (done.freed.objects, done.shared.objects, done.files) == (2, 0, 2)
    assert state(other) == ("absent", 41, "dropped here")


def test_what_had_to_stay_goes_once_it_is_on_the_remote(filled: Project, folder: Spot) -> None:
    shared(filled, folder)
    filled.write("data/new.bin", os.urandom(2000))
    filled.do(add, ["data"])
    assert len(filled.do(drop, ["data"]).unproven) == 1
    filled.do(push)
    done = filled.do(drop, ["data"])
    assert (done.freed.objects, done.files) == (1, 1)  # HEAD needs the others


def test_a_link_to_what_is_placed_beside_the_record_keeps_its_bytes(
    project: Project, folder: Spot
) -> None:
    project.git("config", "mlx.link", "symlink")
    project.write("data/one.bin", os.urandom(LARGE))
    project.do(add, ["data"])
    project.commit()
    shutil.copy(project.path("data/one.bin"), project.path("data/two.bin"))
    project.do(add, ["data"])
    project.mlx("checkout", "--relink")
    assert project.path("data/two.bin").is_symlink()
    shared(project, folder)
    project.git("checkout", "HEAD", "--", "mlx.lock")
    before = project.path("data/two.bin").read_bytes()
    done = project.do(drop, ["data"])
    assert (done.freed.objects, done.files) == (0, 1)
    assert not project.path("data/one.bin").exists()
    assert project.path("data/two.bin").read_bytes() == before


# old versions


@pytest.fixture
def versions(project: Project, folder: Spot, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Five versions of a file, each ten days younger than the one before, and a constant one."""
    project.write("fixed.bin", os.urandom(5000))
    for number in range(5):
        when = f"{int(time.time()) - (4 - number) * 10 * DAY} +0000"
        monkeypatch.setenv("GIT_COMMITTER_DATE", when)
        project.write("model.bin", os.urandom(2 << 20))
        project.do(add, ["model.bin", "fixed.bin"])
        project.commit(f"v{number}")
        project.git("tag", f"v{number}")
    monkeypatch.delenv("GIT_COMMITTER_DATE")
    return shared(project, folder)


def is_here(project: Project, rev: str) -> bool:
    with project.repo() as repo:
        _, observed = repo.views(rev)
        return all(repo.store.is_whole(item.entry) for item in observed.tracked())


def left(project: Project) -> list[int]:
    return [number for number in range(5) if is_here(project, f"v{number}")]


def gone(project: Project, *targets: str, **options: object) -> Dropped:
    return project.do(drop, targets, **options)  # type: ignore[arg-type]


def test_all_but_the_last_versions_go(versions: Project) -> None:
    assert gone(versions, keep_last=2, dry_run=True).freed == (3, 6 << 20)
    assert left(versions) == [0, 1, 2, 3, 4]
    assert gone(versions, keep_last=2).freed == (3, 6 << 20)
    assert left(versions) == [3, 4]
    assert versions.path("model.bin").exists()
    assert versions.do(fsck).sound
    assert versions.mlx("fetch", "--rev", "v1").returncode == 0
    assert left(versions) == [1, 3, 4]


def test_what_only_old_commits_name_goes(versions: Project) -> None:
    # v2 was recorded 20 days ago, and no younger commit names it.
    assert gone(versions, older_than=15 * DAY).freed.objects == 3
    assert left(versions) == [3, 4]


def test_an_old_version_that_a_young_commit_still_names_stays(versions: Project) -> None:
    versions.do(checkout, rev="v0")
    versions.do(add, ["model.bin"])
    versions.write("other.bin", "other\n")
    versions.do(add, ["other.bin"])
    versions.commit("back to v0, and something else")
    versions.do(push)
    gone(versions, older_than=15 * DAY)
    assert left(versions) == [0, 3, 4]


def test_no_version_at_all_is_kept_when_nought_are_asked_for(versions: Project) -> None:
    done = gone(versions, "model.bin", keep_last=0)
    assert (done.freed.objects, done.files) == (5, 1)
    assert left(versions) == []
    assert versions.path("fixed.bin").exists()
    bring(versions)
    assert left(versions) == [4]


def test_a_part_of_old_versions_goes_where_some_were_never_here(
    filled: Project, folder: Spot
) -> None:
    filled.write("data/a/0.bin", os.urandom(2 << 20))
    filled.do(add, ["data"])
    filled.commit()
    shared(filled, folder)
    other = Project(filled.root.parent / "clone")
    filled.git("clone", "--quiet", str(filled.root), str(other.root))
    folder.configure(other)
    bring(other)
    assert gone(other, "data/a", keep_last=1).freed.objects == 0  # it has the last version only
    done = gone(filled, "data/a", keep_last=1)
    assert (done.freed.objects, done.wedged.objects, done.files) == (0, 1, 0)  # in a pack
    assert gone(other, "data/a", keep_last=0).freed.objects == 20


@pytest.mark.parametrize("choice", ["keep_last", "older_than"])
def test_an_old_version_that_is_in_the_workspace_stays(versions: Project, choice: str) -> None:
    versions.git("config", "mlx.link", "symlink")
    versions.do(checkout, rev="v1")
    assert versions.path("model.bin").is_symlink()
    before = versions.path("model.bin").read_bytes()
    options = {"keep_last": 1} if choice == "keep_last" else {"older_than": 5.0 * DAY}
    assert gone(versions, **options).freed.objects == 3
    assert versions.path("model.bin").read_bytes() == before
    assert left(versions) == [1, 4]


def test_an_age_is_a_number_with_its_unit(versions: Project) -> None:
    assert versions.mlx("drop", "--older-than", "15").returncode == 2
    done = versions.mlx("drop", "--older-than", "15d", "--json")
    assert done.returncode == 0, done.stderr
    assert left(versions) == [3, 4]
    with pytest.raises(InputError, match="two ways to choose"):
        gone(versions, keep_last=1, older_than=1.0)


# outs, and kills


def test_a_dropped_out_is_recorded_and_its_stage_up_to_date(project: Project, folder: Spot) -> None:
    from mlxrepo.commands.repro import repro

    stages = {
        "make": "{cmd: head -c 9000 /dev/urandom > big.bin, outs: [big.bin]}",
        "keep": "{cmd: head -c 9000 /dev/urandom > own.bin, outs: [{own.bin: {push: false}}]}",
        "count": "{cmd: wc -c < big.bin > count.txt, deps: [big.bin], outs: [count.txt]}",
    }
    text = "".join(f"  {name}: {stage}\n" for name, stage in stages.items())
    project.write("mlx.yaml", f"stages:\n{text}")
    project.do(repro)
    project.commit()
    shared(project, folder)
    before = project.path("big.bin").read_bytes()
    done = project.do(drop, ["make", "keep"])
    assert (done.freed.objects, done.local) == (1, ("own.bin",))
    assert project.path("own.bin").exists()
    states = {stage.stage: stage.state for stage in project.do(status).stages}
    assert states == {"make": "absent", "keep": "up-to-date", "count": "up-to-date"}
    assert project.mlx("lock", "check").returncode == 0
    bring(project)
    assert project.path("big.bin").read_bytes() == before


def test_a_stage_that_has_to_run_asks_for_what_was_dropped(project: Project, folder: Spot) -> None:
    grow = "{cmd: echo x >> log.txt, outs: [{log.txt: {persist: true}}]}"
    make = "{cmd: echo 1 > one.txt, outs: [one.txt]}"
    read = "{cmd: wc -c < one.txt > two.txt, deps: [one.txt], outs: [two.txt]}"
    text = f"stages:\n  grow: {grow}\n  make: {make}\n  read: {read}\n"
    project.write("mlx.yaml", text)
    assert project.mlx("repro").returncode == 0
    project.commit()
    shared(project, folder)
    project.do(drop, ["grow", "make"])
    done = project.mlx("repro")
    assert "nothing to do: 3 stages up to date" in done.stdout + done.stderr
    project.write("mlx.yaml", text.replace("echo x", "echo y").replace("wc -c", "wc"))
    for stage, path in (("grow", "log.txt"), ("read", "one.txt")):
        done = project.mlx("repro", stage)
        assert (done.returncode, f"mlx pull {path}" in done.stderr) == (3, True), done.stderr
    assert project.mlx("pull").returncode == 0
    assert project.mlx("repro").returncode == 0
    assert project.read("log.txt") == "x\ny\n"


def test_a_drop_can_be_killed_at_any_durable_step(
    filled: Project, folder: Spot, killer: Killer, tmp_path: Path
) -> None:
    before = shared(filled, folder).files("data")
    for step in range(60):
        copy = Project(tmp_path / f"copy{step}")
        shutil.copytree(filled.root, copy.root, symlinks=True)
        was_killed = killer.killed(step, copy, "drop", "data")
        assert copy.files("data").items() <= before.items()
        (found,) = copy.do(status).paths
        assert (found.changes, found.state in ("clean", "absent")) == ((), True)
        assert copy.do(fsck).sound
        assert copy.mlx("drop", "data").returncode == 0
        assert (copy.files("data"), bytes_of(copy) < 10_000) == ({}, True)
        bring(copy)
        assert copy.files("data") == before
        shutil.rmtree(copy.root)
        if not was_killed:
            break
    else:
        raise AssertionError("it never came to its end")
    assert step > 5


def test_status_says_why_something_is_absent(filled: Project, folder: Spot) -> None:
    shared(filled, folder)
    other = Project(filled.root.parent / "clone")
    filled.git("clone", "--quiet", str(filled.root), str(other.root))
    folder.configure(other)
    assert state(other) == ("absent", 41, "never fetched here")
    assert "mlx pull data:dataset brings it" in other.mlx("status").stdout
    other.do(fetch)
    assert state(other) == ("absent", 41, "in the store")
    assert "mlx checkout data:dataset brings it" in other.mlx("status").stdout
    other.do(checkout)
    other.do(drop, ["data/a"])
    assert state(other) == ("clean", 20, "dropped here")
