"""gc: nothing needed is ever removed, whatever it is that needs it; what goes can come back."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sandbox import Killer, Project, copies
from storage import DAY, age, contents, is_whole, store_of

from mlxrepo.commands.add import add
from mlxrepo.commands.checkout import checkout
from mlxrepo.commands.fsck import fsck
from mlxrepo.commands.gc import Collected, empty_trash, forget, gc, undo
from mlxrepo.commands.rm import rm
from mlxrepo.commands.status import status
from mlxrepo.errors import CannotDecide, Damaged, InputError, Refused
from mlxrepo.store.objects import Store
from mlxrepo.store.tree import Entry


@pytest.fixture
def base(project: Project) -> Project:
    """Return a project in which everything is committed, and data/ is tracked as it is first."""
    project.fill("data", 3)
    project.do(add, ["data"])
    project.commit("base")
    return project


def collect(project: Project) -> Collected:
    age(project)
    return project.do(gc, apply=True)


def recorded(project: Project, path: str = "data") -> Entry:
    with project.repo() as repo:
        item = repo.observed.at(path)
        assert item is not None
        return item.entry


def change(project: Project) -> Entry:
    """Record other data, which nothing but the workspace knows yet: two files and a listing."""
    project.write("data/new.txt", "new")
    project.write("data/newer.txt", "newer")
    project.do(add, ["data"])
    return recorded(project)


def leave(project: Project, *, expire: bool = True) -> None:
    """Let workspace, placed and (if `expire`) reflogs forget everything but what HEAD has."""
    project.git("restore", "mlx.lock")
    project.do(checkout, force=True)
    if expire:
        project.git("reflog", "expire", "--expire=now", "--all")


# what may hold data: each gets the changed data into one place, and out of all others


def on_a_branch(project: Project) -> None:
    project.git("switch", "-qc", "side")
    project.commit()
    project.git("switch", "-q", "main")
    leave(project)


def by_a_tag(project: Project) -> None:
    project.git("checkout", "-q", "--detach")
    project.commit()
    project.git("tag", "-a", "-m", "x", "v1")
    project.git("switch", "-q", "main")
    leave(project)


def in_the_second_stash(project: Project) -> None:
    project.git("stash")
    project.write("mlx.yaml", "# other\n")
    project.git("stash")
    leave(project, expire=False)


def in_the_reflog(project: Project) -> None:
    project.commit()
    project.git("reset", "--quiet", "--hard", "HEAD~1")
    project.git("update-ref", "-d", "ORIG_HEAD")
    leave(project, expire=False)


def at_a_detached_worktree(project: Project) -> None:
    commit = project.commit()
    project.git("worktree", "add", "--quiet", "--detach", str(project.root.parent / "wt"), commit)
    project.git("reset", "--quiet", "--hard", "HEAD~1")
    project.git("update-ref", "-d", "ORIG_HEAD")
    leave(project)


def in_the_index(project: Project) -> None:
    project.git("add", "mlx.lock")
    project.git("restore", "--source=HEAD", "--worktree", "mlx.lock")
    project.do(checkout, force=True)


def in_the_index_of_a_worktree(project: Project) -> None:
    other = project.worktree("wt")
    shutil.copy(project.path("mlx.lock"), other.path("mlx.lock"))
    other.git("add", "mlx.lock")
    other.git("restore", "--source=HEAD", "--worktree", "mlx.lock")
    leave(project)


def in_a_merge(project: Project) -> None:
    project.git("switch", "-qc", "side")
    project.commit()
    project.git("switch", "-q", "main")
    project.git("merge", "--quiet", "--no-ff", "--no-commit", "--strategy=ours", "side")
    project.git("branch", "-qD", "side")
    leave(project)


def in_a_rebase(project: Project) -> None:
    project.git("switch", "-qc", "side")
    project.commit()
    project.git("-c", "sequence.editor=sed -i s/^pick.*/break/", "rebase", "-i", "HEAD~1")
    project.git("update-ref", "-d", "ORIG_HEAD")
    project.git("update-ref", "-d", "refs/heads/side")
    leave(project)


def in_a_bisection_of_a_worktree(project: Project) -> None:
    commit = project.commit()
    project.git("reset", "--quiet", "--hard", "HEAD~1")
    project.git("update-ref", "-d", "ORIG_HEAD")
    other = project.worktree("wt")
    other.git("update-ref", "refs/bisect/bad", commit)
    leave(project)


def in_an_experiment(project: Project) -> None:
    project.commit()
    project.git("update-ref", "refs/mlx/exp/x", "HEAD")
    project.git("reset", "--quiet", "--hard", "HEAD~1")
    project.git("update-ref", "-d", "ORIG_HEAD")
    leave(project)


def in_the_workspace(project: Project) -> None:
    project.path(".git/mlx/worktree/placed.json").unlink()


def in_the_workspace_of_a_worktree(project: Project) -> None:
    other = project.worktree("wt")
    shutil.copy(project.path("mlx.lock"), other.path("mlx.lock"))
    leave(project)


def where_it_was_placed(project: Project) -> None:
    project.git("restore", "mlx.lock")


HOLDERS = [
    on_a_branch,
    by_a_tag,
    in_the_second_stash,
    in_the_reflog,
    at_a_detached_worktree,
    in_the_index,
    in_the_index_of_a_worktree,
    in_a_merge,
    in_a_rebase,
    in_a_bisection_of_a_worktree,
    in_an_experiment,
    in_the_workspace,
    in_the_workspace_of_a_worktree,
    where_it_was_placed,
]


@pytest.mark.parametrize("hold", HOLDERS, ids=lambda f: f.__name__)
def test_what_anything_names_stays(base: Project, hold: Callable[[Project], None]) -> None:
    first = recorded(base)
    entry = change(base)
    hold(base)
    done = collect(base)
    assert done.unneeded.objects == 0
    assert is_whole(base, entry)
    assert is_whole(base, first)


def test_what_nothing_names_goes_and_the_rest_works(base: Project) -> None:
    first = recorded(base)
    entry = change(base)
    leave(base)
    age(base)
    before = contents(base)
    told = base.do(gc)
    assert not told.applied
    assert contents(base) == before
    done = collect(base)
    assert done.unneeded == told.unneeded
    assert done.unneeded.objects == 3
    assert not is_whole(base, entry)
    assert is_whole(base, first)
    assert base.do(status).clean
    assert collect(base).unneeded.objects == 0


def test_data_that_is_added_again_after_its_objects_went_is_whole(base: Project) -> None:
    change(base)
    files = base.files("data")
    leave(base)
    assert collect(base).unneeded.objects
    for path, data in files.items():
        base.write(path, data)
    base.do(add, ["data"])
    assert is_whole(base, recorded(base))


def test_young_objects_stay_for_the_grace_period(base: Project) -> None:
    entry = change(base)
    leave(base)
    age(base, days=13)
    done = base.do(gc, apply=True)
    assert (done.unneeded.objects, done.young.objects) == (0, 3)
    assert is_whole(base, entry)
    base.git("config", "mlx.gcGrace", "12.5")
    assert base.do(gc).unneeded.objects == 3
    assert base.do(gc, grace=20).unneeded.objects == 0
    base.git("config", "mlx.gcGrace", "soon")
    with pytest.raises(InputError, match="gcGrace"):
        base.do(gc)


# running processes


@contextmanager
def process(project: Project, code: str) -> Iterator[subprocess.Popen[str]]:
    """Run Python on the project's store and hold it where `code` ends."""
    script = (
        "import sys; from mlxrepo.repo.repo import Repo\n"
        "repo = Repo.open(sys.argv[1]); store = repo.store\n"
        f"{code}\nprint('ready', flush=True); sys.stdin.read()"
    )
    held = subprocess.Popen(
        [sys.executable, "-c", script, str(project.root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert held.stdout
    assert held.stdout.readline() == "ready\n"
    try:
        yield held
    finally:
        held.kill()
        held.communicate()


def test_what_a_running_process_reuses_stays_with_all_below_it(base: Project) -> None:
    entry = change(base)
    leave(base)
    with process(base, f"with store.batch() as b: assert b.has('tree', {entry.oid!r})"):
        assert collect(base).unneeded.objects == 0
        assert is_whole(base, entry)
    assert collect(base).unneeded.objects == 3


def test_what_a_running_process_has_just_written_stays_without_any_grace(base: Project) -> None:
    age(base)
    with process(base, "with store.batch() as b: b.put('blob', b'new')"):
        done = base.do(gc, apply=True, grace=0)
        assert (done.unneeded.objects, done.young.objects) == (0, 1)
    assert base.do(gc, apply=True, grace=0).unneeded.objects == 1


def test_what_was_recorded_while_gc_looked_stays(
    base: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = change(base)
    lock = base.path("mlx.lock").read_bytes()
    leave(base)
    age(base)
    import mlxrepo.store.gc as store_gc

    decide = store_gc.decide

    def meanwhile(*args: object, **options: object) -> object:
        plan = decide(*args, **options)  # type: ignore[arg-type]
        assert plan.garbage.objects == 3
        base.path("mlx.lock").write_bytes(lock)  # a writer came, recorded and ended
        return plan

    monkeypatch.setattr(store_gc, "decide", meanwhile)
    base.do(gc, apply=True)
    assert is_whole(base, entry)


# packs


def large(number: int) -> str:
    return f"file {number} of data\n" * 50


@pytest.fixture
def packed(project: Project) -> Project:
    """Return a project with a pack of which a few objects are needed, the most of it is not."""
    project.commit()
    for number in range(60):
        project.write(f"data/{number:04}.txt", large(number))
    project.do(add, ["data"])
    for number in range(10, 60):
        project.path(f"data/{number:04}.txt").unlink()
    project.do(add, ["data"])
    project.commit()
    assert len(list((store_of(project) / "packs").iterdir())) == 1
    return project


def test_a_pack_that_is_mostly_dead_is_written_anew(packed: Project) -> None:
    before = contents(packed)
    entry = recorded(packed)
    done = collect(packed)
    assert (done.packs, done.unneeded.objects) == (1, 51)
    after = contents(packed)
    (old,) = (name for name in before if name.startswith("packs/"))
    (new,) = (name for name in after if name.startswith("packs/"))
    assert len(after[new]) < len(before[old]) / 2
    assert is_whole(packed, entry)
    shutil.rmtree(packed.path("data"))
    assert packed.do(checkout, force=True).files == 10
    assert collect(packed).unneeded.objects == 0


def test_a_pack_that_is_mostly_needed_stays_as_it_is(packed: Project) -> None:
    for number in range(10, 40):
        packed.write(f"data/{number:04}.txt", large(number))
    packed.do(add, ["data"])
    before = contents(packed)
    done = collect(packed)
    assert (done.unneeded.objects, done.packs) == (0, 0)
    assert done.wedged.objects == 21
    assert contents(packed) == before


def test_a_pack_of_nothing_that_is_needed_goes_whole(packed: Project) -> None:
    packed.do(rm, ["data"])
    packed.git("checkout", "-q", "--orphan", "new")
    packed.commit()
    packed.git("branch", "-qD", "main")
    packed.git("reflog", "expire", "--expire=now", "--all")
    done = collect(packed)
    assert done.packs == 0
    assert contents(packed) == {}


def test_a_pack_with_a_damaged_object_is_left_to_fsck(packed: Project) -> None:
    (path,) = (store_of(packed) / "packs").iterdir()
    data = bytearray(path.read_bytes())
    at = data.index(b"file 3 of data")
    data[at] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)
    before = contents(packed)
    collect(packed)
    assert contents(packed).items() >= before.items()


def test_a_reader_that_knows_the_old_pack_finds_its_objects_in_the_new_one(
    packed: Project,
) -> None:
    with packed.repo() as repo:
        entry = recorded(packed)
        oids = [child.oid for child in repo.store.tree(entry.oid).values()]
        assert repo.store.has("blob", oids[0])
        collect(packed)
        for oid in oids:
            assert repo.store.read("blob", oid)


# the trash


@pytest.mark.parametrize("kind", ["base", "packed"])
def test_undo_brings_everything_back_byte_for_byte(
    kind: str, request: pytest.FixtureRequest
) -> None:
    project: Project = request.getfixturevalue(kind)
    entry = change(project)
    leave(project)
    before = contents(project)
    assert collect(project).trash
    assert not is_whole(project, entry)
    told = project.do(undo, apply=False)
    assert not is_whole(project, entry)
    assert project.do(undo) == told
    assert contents(project).items() >= before.items()
    assert is_whole(project, entry)
    done = project.do(gc, apply=True)
    assert done.unneeded.objects == 0, "what the user wanted back is young again"
    with pytest.raises(CannotDecide):
        project.do(undo)


def test_fsck_finds_what_it_misses_in_the_trash(base: Project) -> None:
    entry = change(base)
    lock = base.path("mlx.lock").read_bytes()
    leave(base)
    collect(base)
    base.path("mlx.lock").write_bytes(lock)
    base.do(fsck, repair=True)
    assert is_whole(base, entry)


def test_undo_takes_one_gc_at_a_time_the_last_first(base: Project) -> None:
    entries = []
    for count in (5, 9):
        base.fill("data", count)
        base.do(add, ["data"])
        entries.append(recorded(base))
        leave(base)
        collect(base)
    base.do(undo)
    assert [is_whole(base, entry) for entry in entries] == [False, True]
    base.do(undo)
    assert [is_whole(base, entry) for entry in entries] == [True, True]


def test_emptying_the_trash_frees_all_of_it_when_it_is_meant(base: Project) -> None:
    change(base)
    leave(base)
    done = collect(base)
    told = base.do(empty_trash)
    assert told == done.unneeded
    assert base.do(empty_trash, apply=True) == told
    assert base.do(empty_trash).objects == 0
    with pytest.raises(CannotDecide):
        base.do(undo)


def test_trash_goes_when_its_grace_is_over_and_not_before(base: Project) -> None:
    base.write("data/0000.txt", "only copy")
    trash = base.do(checkout, force=True).trash
    assert trash
    change(base)
    leave(base)
    collected = collect(base).trash
    assert collected
    assert base.do(gc, apply=True, grace=0).expired.objects == 0
    then = time.time() - 15 * DAY
    os.utime(trash, (then, then))
    done = base.do(gc)
    assert (done.expired.objects, done.expired.size) == (1, len("only copy"))
    assert Path(trash).exists()
    base.do(gc, apply=True)
    assert not Path(trash).exists()
    assert Path(collected).exists()


def test_killed_at_any_step_nothing_needed_is_lost_and_again_finishes_it(
    packed: Project, tmp_path: Path, killer: Killer
) -> None:
    entry = recorded(packed)
    packed.fill("more", 4)
    packed.do(add, ["more"])
    packed.git("restore", ".")
    packed.do(checkout, force=True)
    age(packed)
    before = contents(packed)
    for step, copy in copies(packed, tmp_path):
        if not killer.killed(step, copy, "gc", "--yes"):
            break
        assert is_whole(copy, entry)
        for _ in range(2):
            copy.do(gc, apply=True)
            assert is_whole(copy, entry)
        assert copy.do(status).clean
        while any((store_of(copy) / "trash").iterdir()):
            copy.do(undo)
        assert contents(copy).items() >= before.items()
    assert step >= 5


# several repositories, and what cannot be known


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Project, Project]:
    """Return two projects that share a store, each with data of its own."""
    found = []
    for name in ("one", "two"):
        project = Project.create(tmp_path / name)
        project.git("config", "mlx.store", str(tmp_path / "store"))
        project.fill(name, 3)
        project.do(add, [name])
        project.commit()
        project.do(status)
        found.append(project)
    return found[0], found[1]


def test_a_shared_store_keeps_what_any_repository_needs(pair: tuple[Project, Project]) -> None:
    one, two = pair
    done = collect(one)
    assert done.unneeded.objects == 0
    assert len(done.repositories) == 2
    assert is_whole(two, recorded(two, "two"))
    two.fill("two", 5)  # never committed, known from the workspace alone
    two.do(add, ["two"])
    two.path(".git/mlx/worktree/placed.json").unlink()
    assert collect(one).unneeded.objects == 0


def test_a_store_inside_a_repository_is_that_one_s_too(tmp_path: Path, base: Project) -> None:
    guest = Project.create(tmp_path / "guest")
    guest.git("config", "mlx.store", str(base.path(".git/mlx")))
    assert collect(guest).unneeded.objects == 0
    assert is_whole(base, recorded(base))


def test_a_project_that_was_moved_with_its_store_blocks_nothing(base: Project) -> None:
    base.do(status)
    base.root.rename(base.root.parent / "elsewhere")
    moved = Project(base.root.parent / "elsewhere")
    assert collect(moved).unneeded.objects == 0


def test_a_repository_out_of_reach_blocks_until_the_user_says_it_is_gone(
    pair: tuple[Project, Project],
) -> None:
    one, two = pair
    entry = recorded(two, "two")
    with pytest.raises(Refused, match="two"):
        one.do(forget, str(two.root))
    two.root.rename(two.root.parent / "away")
    age(one)
    with pytest.raises(CannotDecide, match="two") as caught:
        one.do(gc, apply=True)
    assert "--forget" in str(caught.value.hint)
    with pytest.raises(InputError, match="registered"):
        one.do(forget, "nowhere")
    one.do(forget, str(two.root), apply=False)
    with pytest.raises(CannotDecide):
        one.do(gc)
    one.do(forget, str(two.root))
    assert collect(one).unneeded.objects == 4
    assert not is_whole(one, entry)
    assert is_whole(one, recorded(one, "one"))


def test_a_lockfile_that_cannot_be_read_stops_it_and_is_named(
    pair: tuple[Project, Project],
) -> None:
    one, two = pair
    two.path("mlx.lock").write_text('{"format":1,"oid":"blake3"}\n"data:x"\n')
    age(one)
    before = contents(one)
    with pytest.raises(InputError) as caught:
        one.do(gc, apply=True)
    assert str(two.path("mlx.lock")) in str(caught.value)
    assert contents(one) == before


def test_a_shallow_clone_collects_nothing(base: Project, tmp_path: Path) -> None:
    base.commit()
    clone = Project(tmp_path / "clone")
    source = f"file://{base.root}"
    subprocess.run(["git", "clone", "-q", "--depth=1", source, str(clone.root)], check=True)
    clone.fill("extra", 2)
    clone.do(add, ["extra"])
    age(clone)
    with pytest.raises(CannotDecide, match="shallow"):
        clone.do(gc, apply=True)


def test_a_clone_that_has_little_of_the_data_collects_all_the_same(
    base: Project, tmp_path: Path
) -> None:
    clone = Project(tmp_path / "clone")
    subprocess.run(["git", "clone", "-q", str(base.root), str(clone.root)], check=True)
    clone.fill("extra", 2)
    clone.do(add, ["extra"])
    clone.git("restore", ".")
    clone.path(".git/mlx/worktree/placed.json").unlink()
    done = collect(clone)
    assert (done.absent, done.unneeded.objects) == (1, 3)


def test_a_damaged_listing_stops_it_and_so_does_one_in_the_quarantine(base: Project) -> None:
    entry = recorded(base)
    path = Path(Store(str(store_of(base))).path("tree", entry.oid))
    data = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(data.replace(b"mlx", b"xlm"))
    age(base)
    with pytest.raises(Damaged, match="other bytes"):
        base.do(gc, apply=True)
    away = store_of(base) / "quarantine/now" / path.relative_to(store_of(base))
    away.parent.mkdir(parents=True)
    path.rename(away)
    with pytest.raises(Damaged, match="quarantine"):
        base.do(gc, apply=True)
    assert len(contents(base)) == 3
    path.write_bytes(data)
    assert collect(base).unneeded.objects == 0


def test_a_damaged_pack_stops_it(packed: Project) -> None:
    (path,) = (store_of(packed) / "packs").iterdir()
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(Damaged):
        collect(packed)


def test_without_a_store_there_is_nothing_to_do(project: Project) -> None:
    done = project.do(gc, apply=True)
    assert (done.unneeded.objects, done.needed.objects) == (0, 0)


# a full disk


@pytest.fixture
def small(project: Project, tmp_path: Path) -> Iterator[Project]:
    """Return a project whose store lies on a disk of 2 MiB and few files."""
    disk = tmp_path / "disk"
    disk.mkdir()
    options = "size=2m,nr_inodes=60"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(disk)], check=True)
    project.git("config", "mlx.store", str(disk))
    try:
        yield project
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def fill_with_bytes(disk: Path) -> None:
    with open(disk / "filler", "wb", buffering=0) as stream:
        while True:
            stream.write(bytes(1024))


def fill_with_files(disk: Path) -> None:
    for number in range(100):
        (disk / f"filler{number}").touch()


@pytest.mark.root
@pytest.mark.parametrize(
    ("fill", "lost"), [(fill_with_bytes, 0), (fill_with_files, 1)], ids=["bytes", "files"]
)
def test_on_a_full_disk_it_still_works(
    small: Project, fill: Callable[[Path], None], lost: int
) -> None:
    disk = store_of(small)
    small.write("keep.bin", os.urandom(300_000))
    small.do(add, ["keep.bin"])
    small.commit()
    small.write("drop.bin", os.urandom(1_200_000))
    small.do(add, ["drop.bin"])
    small.git("restore", ".")
    small.do(checkout, force=True)
    age(small)
    with pytest.raises(OSError, match="No space"):
        fill(disk)
    done = small.do(gc, apply=True)
    # Where not even a folder can be made for it, what is to go has to go for good.
    assert (done.unneeded.objects, done.lost.objects) == (1, lost)
    assert small.do(empty_trash, apply=True).objects == 1 - lost
    (disk / "filler0").unlink(missing_ok=True)
    (disk / "room").write_bytes(bytes(1_000_000))
    small.path("keep.bin").unlink()
    assert small.do(checkout, force=True).files == 1
