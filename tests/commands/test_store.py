"""What `mlx store` promises: at any moment the setting names a store that has every object."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sandbox import Killer, Project, copies

from mlxrepo.commands.add import add
from mlxrepo.commands.checkout import checkout
from mlxrepo.commands.doctor import doctor
from mlxrepo.commands.status import status
from mlxrepo.commands.store import store_dir, store_move
from mlxrepo.errors import Damaged, EnvironmentFailed, InputError, Refused
from mlxrepo.files import SMALL
from mlxrepo.hashing import blob_oid
from mlxrepo.repo.registered import registered
from mlxrepo.store.inventory import Inventory, Key
from mlxrepo.store.objects import Store
from mlxrepo.store.pack import PackWriter
from mlxrepo.store.rehouse import list_objects


@pytest.fixture
def filled(project: Project) -> Project:
    """A project with small files, deep folders and a large file, in packs and on their own."""
    project.fill("data/many", 40)
    project.write("data/many/deep/er/x.txt", "deep")
    project.write("large.bin", os.urandom(SMALL + 10))
    project.do(add, ["data/many", "large.bin"])
    project.write("data/many/0001.txt", "edited")
    project.do(add, ["data/many"])
    project.commit()
    return project


def restored(project: Project) -> None:
    """Remove the workspace's data and bring it back out of the store."""
    before = {path: data for path, data in project.files().items() if "ignore" not in path}
    shutil.rmtree(project.path("data/many"))
    project.path("large.bin").unlink()
    project.do(checkout)
    assert {path: data for path, data in project.files().items() if "ignore" not in path} == before


def objects(root: Path | str) -> set[tuple[str, str]]:
    return {tuple(key) for key in list_objects(Store(str(root)))}


def test_objects_move_and_the_setting_follows(filled: Project, tmp_path: Path) -> None:
    first = filled.root / ".git/mlx"
    assert filled.do(store_dir) == str(first)
    before = objects(first)
    done = filled.do(store_move, str(tmp_path / "else where/store"))
    assert (done.old, done.new) == (str(first), str(tmp_path / "else where/store"))
    assert filled.do(store_dir) == done.new
    assert objects(done.new) == before
    assert done.objects == len(before) > 40
    assert objects(first) == set()
    assert all(Inventory(done.new).has(key) for key in list_objects(Store(done.new)))
    assert filled.do(status).clean
    restored(filled)
    assert filled.do(store_move, done.new).objects == 0
    with filled.repo() as repo:
        assert [item.path for item in registered(done.new)] == [repo.common_dir]


def test_it_moves_back_and_again(filled: Project, tmp_path: Path) -> None:
    filled.do(store_move, str(tmp_path / "one"))
    filled.do(store_move, str(filled.root / ".git/mlx"))
    assert filled.do(store_dir) == str(filled.root / ".git/mlx")
    restored(filled)
    with filled.repo("data") as repo:
        assert store_move(repo, "../../two").new == str(tmp_path / "two")
    restored(filled)


def test_a_store_that_is_there_takes_them_in(filled: Project, tmp_path: Path) -> None:
    other = Project.create(tmp_path / "other")
    other.fill("data/many", 20)
    other.write("large.bin", b"z" * SMALL)
    other.do(add, ["data/many", "large.bin"])
    other.do(store_move, str(tmp_path / "team"))
    filled.do(store_move, str(tmp_path / "team"))
    assert len(registered(str(tmp_path / "team"))) == 2
    for project in (filled, other):
        restored(project)


def test_what_others_use_stays_where_it_was(filled: Project, tmp_path: Path) -> None:
    other = Project.create(tmp_path / "other")
    other.git("config", "mlx.store", str(tmp_path / "team"))
    other.fill("data/many", 20)
    other.write("large.bin", b"z" * SMALL)
    other.do(add, ["data/many", "large.bin"])
    assert other.do(status).clean
    filled.do(store_move, str(tmp_path / "team"))
    done = filled.do(store_move, str(tmp_path / "own"))
    assert done.kept_for == (str(other.root / ".git"),)
    assert [item.path for item in registered(str(tmp_path / "team"))] == list(done.kept_for)
    for project in (filled, other):
        restored(project)


def test_killed_anywhere_a_store_with_everything_is_named_and_again_completes_it(
    filled: Project, tmp_path: Path, killer: Killer
) -> None:
    for step, copy in copies(filled, tmp_path):
        target = tmp_path / f"store{step}"
        before = objects(copy.root / ".git/mlx")
        if not killer.killed(step, copy, "store", "move", str(target)):
            break
        assert objects(copy.do(store_dir)) >= before
        copy.do(store_move, str(target))
        assert copy.do(store_dir) == str(target)
        assert objects(target) == before
        assert objects(copy.root / ".git/mlx") == set()
        restored(copy)
        assert [check.found for check in copy.do(doctor) if check.name == "unfinished"] == [
            "nothing"
        ]
    assert step > 5


@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_at_the_switch_a_store_with_everything_is_named(
    filled: Project, tmp_path: Path, moment: str
) -> None:
    git = shutil.which("git")
    assert git
    wrapper = tmp_path / "bin/git"
    wrapper.parent.mkdir()
    switch = f'{git} "$@";' if moment == "after" else ""
    wrapper.write_text(
        "#!/bin/sh\n"
        f'case "$*" in *"config --local mlx.store"*) {switch} kill -9 $PPID; exit;; esac\n'
        f'exec {git} "$@"\n'
    )
    wrapper.chmod(0o755)
    before = objects(filled.root / ".git/mlx")
    target = str(tmp_path / "store")
    done = filled.mlx(
        "store", "move", target, env={"PATH": f"{wrapper.parent}:{os.environ['PATH']}"}
    )
    assert done.returncode == -signal.SIGKILL
    named = filled.do(store_dir)
    assert named == (target if moment == "after" else str(filled.root / ".git/mlx"))
    assert objects(named) >= before
    filled.do(store_move, target)
    assert objects(target) == before
    assert objects(filled.root / ".git/mlx") == set()
    restored(filled)


def test_what_was_cut_off_after_the_switch_is_completed_before_another_begins(
    filled: Project, tmp_path: Path
) -> None:
    done = filled.do(store_move, str(tmp_path / "one"))
    with filled.repo() as repo:
        from mlxrepo.repo.moving import StoreMove, write_store_move

        write_store_move(repo, StoreMove(done.old, done.new))
    with pytest.raises(Refused, match="cut off"):
        filled.do(store_move, str(tmp_path / "two"))
    filled.do(store_move, done.new)
    filled.do(store_move, str(tmp_path / "two"))
    restored(filled)


def test_what_a_late_writer_left_in_the_old_place_is_told_and_taken_in(
    filled: Project, tmp_path: Path
) -> None:
    late = filled.repo()
    assert late.store.root
    filled.do(store_move, str(tmp_path / "one"))
    filled.write("late.csv", "late")
    add(late, ["late.csv"])
    late.close()
    found = [check for check in filled.do(doctor) if check.name == "unfinished"]
    assert "store move" in found[0].advice
    filled.do(store_move, str(tmp_path / "one"))
    filled.path("late.csv").unlink()
    filled.do(checkout, ["late.csv"])
    assert filled.read("late.csv") == "late"


def test_a_process_that_writes_stops_it_and_nothing_is_lost(
    filled: Project, tmp_path: Path
) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(filled.root)], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert writer.stdout
        assert writer.stdout.readline() == b"writing\n"
        with pytest.raises(EnvironmentFailed, match=str(writer.pid)):
            filled.do(store_move, str(tmp_path / "one"))
        restored(filled)
    finally:
        writer.communicate()
    filled.do(store_move, str(tmp_path / "one"))
    restored(filled)


_WRITER = """
import sys
from mlxrepo.repo.repo import Repo
with Repo.open(sys.argv[1]) as repo:
    with repo.store.lease.writing():
        pass
    print("writing", flush=True)
    sys.stdin.read()
"""


def test_a_damaged_object_stops_it_and_is_named(filled: Project, tmp_path: Path) -> None:
    with filled.repo() as repo:
        item = repo.observed.at("large.bin")
        assert item
        path = Path(repo.store.path("blob", item.entry.oid))
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(Damaged, match=item.entry.oid[:12]):
        filled.do(store_move, str(tmp_path / "one"))
    assert filled.do(store_dir) == str(filled.root / ".git/mlx")
    assert path.exists()


@pytest.mark.parametrize("spoil", ["bytes", "circle"])
@pytest.mark.parametrize("name", ["large.bin", "data/many/0002.txt"])
def test_where_one_copy_is_damaged_a_good_one_is_taken(
    filled: Project, tmp_path: Path, name: str, spoil: str
) -> None:
    root = filled.root / ".git/mlx"
    data = filled.path(name).read_bytes()
    oid = blob_oid(data)
    store = Store(str(root))
    if name == "large.bin":
        pack = PackWriter(store.temp, store.pack_folder)
        pack.add("blob", oid, data)
        pack.close()
    loose = Path(store.path("blob", oid))
    loose.unlink(missing_ok=True)
    loose.parent.mkdir(exist_ok=True)
    if spoil == "bytes":
        loose.write_bytes(data[:-1] + b"!")
    else:
        loose.symlink_to(loose.name)
    done = filled.do(store_move, str(tmp_path / "one"))
    assert Inventory(done.new).has(Key("blob", oid))
    assert Store(done.new).read("blob", oid) == data
    restored(filled)


def test_a_damaged_copy_in_the_new_place_does_not_replace_the_good_one(
    filled: Project, tmp_path: Path
) -> None:
    with filled.repo() as repo:
        item = repo.observed.at("large.bin")
        assert item
        bad = Path(Store(str(tmp_path / "team")).path("blob", item.entry.oid))
    Store(str(tmp_path / "team")).prepare()
    bad.parent.mkdir(parents=True)
    bad.write_bytes(b"bad")
    with pytest.raises(Damaged, match="team"):
        filled.do(store_move, str(tmp_path / "team"))
    restored(filled)


@pytest.mark.parametrize(
    ("folder", "told"),
    [
        ("inside", "git would track"),
        (".", "git would track|lie in each other"),
        (".git/mlx/sub", "lie in each other"),
        (".git", "lie in each other"),
        ("../other", "git would track"),
        ("../other/sub", "git would track"),
        ("../full", "other things"),
        ("../file", "not a folder"),
    ],
)
def test_a_folder_that_is_not_for_a_store_is_refused(
    filled: Project, tmp_path: Path, folder: str, told: str
) -> None:
    Project.create(tmp_path / "other")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    before = objects(filled.root / ".git/mlx")
    with pytest.raises(InputError, match=told):
        filled.do(store_move, folder)
    assert filled.do(store_dir) == str(filled.root / ".git/mlx")
    assert objects(filled.root / ".git/mlx") == before
    filled.write(".gitignore", "/inside/\n")
    filled.do(store_move, "inside")
    restored(filled)


def test_a_store_whose_disk_is_not_there_is_not_left(filled: Project, tmp_path: Path) -> None:
    filled.do(store_move, str(tmp_path / "disk/store"))
    (tmp_path / "disk").rename(tmp_path / "unmounted")
    with pytest.raises(EnvironmentFailed, match="not there"):
        filled.do(store_move, str(tmp_path / "new"))
    assert "mounted" in next(c.advice for c in filled.do(doctor) if c.name == "store")


def test_links_into_the_store_have_to_become_files_first(filled: Project, tmp_path: Path) -> None:
    with filled.repo() as repo:
        item = repo.observed.at("large.bin")
        assert item
        target = repo.store.path("blob", item.entry.oid)
    filled.path("large.bin").unlink()
    filled.path("large.bin").symlink_to(target)
    with pytest.raises(InputError, match="symbolic link"):
        filled.do(store_move, str(tmp_path / "one"))
    assert filled.path("large.bin").exists()


def test_to_another_disk(filled: Project) -> None:
    other = Path("/dev/shm") / f"mlx-store-{os.getpid()}"
    try:
        assert os.stat("/dev/shm").st_dev != filled.root.stat().st_dev
        filled.do(store_move, str(other))
        restored(filled)
    finally:
        shutil.rmtree(other, ignore_errors=True)


# one that is configured by hand


def test_a_configured_store_is_made_and_knows_who_uses_it(project: Project, tmp_path: Path) -> None:
    root = tmp_path / "team/of mine/store"
    project.git("config", "mlx.store", str(root))
    project.fill("data/many", 40)
    project.write("large.bin", os.urandom(SMALL))
    assert project.mlx("add", "data/many", "large.bin").returncode == 0
    assert [item.path for item in registered(str(root))] == [str(project.root / ".git")]
    assert objects(root)
    assert objects(project.root / ".git/mlx") == set()
    restored(project)


def test_a_configured_store_that_was_only_asked_for_takes_another_one_in(
    filled: Project, tmp_path: Path
) -> None:
    other = Project.create(tmp_path / "other")
    other.git("config", "mlx.store", str(tmp_path / "team"))
    other.do(status)
    filled.do(store_move, str(tmp_path / "team"))
    assert len(registered(str(tmp_path / "team"))) == 2
    restored(filled)


def test_while_its_disk_is_away_nothing_is_made_in_its_place(
    filled: Project, tmp_path: Path
) -> None:
    filled.do(store_move, str(tmp_path / "disk/store"))
    filled.git("config", "mlx.shared", "group")
    (tmp_path / "disk").rename(tmp_path / "unmounted")
    filled.write("new.csv", "new")
    before = filled.files()
    for words in (["add", "new.csv"], ["fsck"], ["checkout"], ["rm", "data/many"]):
        done = filled.mlx(*words)
        assert done.returncode == 5, words
        assert str(tmp_path / "disk/store") in done.stderr
        assert "mount" in done.stderr
        assert filled.files() == before, words
    assert filled.mlx("status").returncode == 0
    assert not (tmp_path / "disk").exists()
    (tmp_path / "unmounted").rename(tmp_path / "disk")
    restored(filled)


def test_a_dry_run_checks_and_moves_nothing(filled: Project, tmp_path: Path) -> None:
    before = objects(filled.root / ".git/mlx")
    target = str(tmp_path / "one")
    done = filled.mlx("store", "move", "-n", "-y", target)
    assert done.stdout == f"would move {len(before)} objects to {target}\n"
    assert filled.do(store_dir) == str(filled.root / ".git/mlx")
    assert not Path(target).exists()
    assert objects(filled.root / ".git/mlx") == before
    with pytest.raises(InputError, match="lie in each other"):
        filled.do(store_move, ".git", dry_run=True)
    assert filled.mlx("store", "move", "-y", target).returncode == 0
    assert filled.do(store_dir) == target


# shared by a group


def test_a_shared_store_gives_its_folders_to_the_group(filled: Project, tmp_path: Path) -> None:
    filled.git("config", "mlx.shared", "group")
    root = filled.do(store_move, str(tmp_path / "team")).new
    folders = [here for here, _, _ in os.walk(root)]
    assert len(folders) > 3
    assert {oct(os.stat(folder).st_mode & 0o2070) for folder in folders} == {"0o2070"}
    filled.git("config", "mlx.shared", "everybody")
    with pytest.raises(InputError, match="everybody"):
        filled.do(store_dir)


def test_a_store_that_becomes_shared_later_is_opened_too(filled: Project) -> None:
    filled.git("config", "mlx.shared", "group")
    root = filled.do(store_dir)
    modes = {os.stat(here).st_mode & 0o2070 for here, _, _ in os.walk(os.path.join(root, "packs"))}
    assert modes == {0o2070}


USERS = (61001, 61002)
GROUP = 61000


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Make a folder that every user can reach; pytest's own are for one."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder).resolve()


@pytest.mark.root
def test_two_users_of_a_group_share_a_store(open_folder: Path) -> None:
    team = open_folder / "team"
    team.mkdir()
    os.chown(team, USERS[0], GROUP)
    homes = [open_folder / str(user) for user in USERS]
    for user, home in zip(USERS, homes, strict=True):
        home.mkdir()
        os.chown(home, user, GROUP)
        _as(user, home, "git", "init", "--quiet", ".")
        _as(user, home, "git", "config", "mlx.store", str(team / "store"))
        _as(user, home, "git", "config", "mlx.shared", "group")
        _mlx(user, home, "init")
    team.chmod(0o2770)
    for number in range(30):
        for home in homes:
            (home / "data").mkdir(exist_ok=True)
            (home / f"data/{number}.txt").write_text(f"the same {number}")
            (home / f"data/own{number}.txt").write_text(f"{home.name} {number}")
    for user, home in zip(USERS, homes, strict=True):
        (home / "big.bin").write_bytes(b"x" * (SMALL + 5))
        _as(0, home, "chown", "-R", f"{user}:{GROUP}", str(home))
        _mlx(user, home, "add", "data", "big.bin")
    for user, home in reversed(list(zip(USERS, homes, strict=True))):
        shutil.rmtree(home / "data")
        (home / "big.bin").unlink()
        for link in ("copy", "hardlink"):  # the other's objects are copied where links are refused
            _as(user, home, "git", "config", "mlx.link", link)
            (home / "big.bin").unlink(missing_ok=True)
            _mlx(user, home, "checkout")
            assert (home / "big.bin").stat().st_size == SMALL + 5
        assert len(list((home / "data").iterdir())) == 60
    assert len(list((team / "store/repos").iterdir())) == 2
    _mlx(USERS[1], homes[1], "store", "move", str(homes[1] / ".git/own store"))
    _mlx(USERS[0], homes[0], "checkout", "--force")
    assert _mlx(USERS[1], homes[1], "status").startswith("clean")


@pytest.mark.root
def test_users_who_let_nobody_in_share_a_store_all_the_same(open_folder: Path) -> None:
    team = open_folder / "team"
    team.mkdir()
    os.chown(team, USERS[0], GROUP)
    team.chmod(0o2770)
    homes = [_home(open_folder / str(user), user, team / "store") for user in USERS]
    one, two = homes
    for user, home in zip(USERS, homes, strict=True):
        (home / "one.csv").write_text("the same")  # on its own
        (home / "data").mkdir()
        for number in range(30):  # in a pack
            (home / f"data/{number}").write_text(f"the same {number}")
        (home / "big.bin").write_bytes(b"x" * (SMALL + 5))
        (home / "own.csv").write_text(home.name)
        _as(0, home, "chown", "-R", f"{user}:{GROUP}", str(home))
        _mlx(user, home, "add", "data", "one.csv", "big.bin", "own.csv", umask="077")
        _as(user, home, "git", "add", "-A")
    private = [path for path in (team / "store").rglob("*") if path.stat().st_mode & 0o040 != 0o040]
    assert [path for path in private if path.name != "fsck.json"] == []
    shutil.rmtree(two / "data")
    for name in ("one.csv", "big.bin"):
        (two / name).unlink()
    _mlx(USERS[1], two, "checkout", umask="077")
    assert (two / "data/7").read_text() == "the same 7"
    _as(0, one, "chmod", "-R", "g+rX", str(one))  # gc and fsck ask all repositories
    assert "sound" in _mlx(USERS[1], two, "fsck", "--data", umask="077")
    # What the workspace gets is nobody else's.
    assert (two / "one.csv").stat().st_mode & 0o077 == 0
    # The lease of one user is seen by the gc of the other.
    _age(team / "store")
    held = subprocess.Popen(
        [sys.executable, "-c", _AS_USER, str(USERS[0]), str(GROUP), "077", _HOLD],
        cwd=one, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=_env(one),
    )  # fmt: skip
    try:
        assert held.stdout
        assert held.stdout.readline() == "held\n"
        _mlx(USERS[1], two, "gc", "--yes", "--grace", "0", umask="077")
        oid = blob_oid(b"held by one")
        assert Store(str(team / "store")).has("blob", oid)
    finally:
        held.communicate()
    _mlx(USERS[1], two, "gc", "--yes", "--grace", "0", umask="077")
    assert not Store(str(team / "store")).has("blob", oid)


HIDDEN = [
    (".", 0o700),
    (".git", 0o700),
    (".git/HEAD", 0o600),
    (".git/refs/heads", 0o700),
    (".git/refs/heads/main", 0o600),
    (".git/logs/refs/heads", 0o700),
    (".git/logs/HEAD", 0o600),
    (".git/index", 0o600),
    (".git/objects", 0o700),
    (".git/mlx", 0o700),
    (".git/mlx/worktree/placed.json", 0o600),
    ("sub", 0o700),
    ("sub/mlx.lock", 0o600),
]


@pytest.mark.root
def test_a_repository_that_cannot_be_read_is_named_and_blocks(open_folder: Path) -> None:
    team = open_folder / "team"
    team.mkdir()
    os.chown(team, USERS[0], GROUP)
    team.chmod(0o2770)
    one, two = (_home(open_folder / str(user), user, team / "store") for user in USERS)
    (one / "sub").mkdir()
    (one / "sub/mlx.yaml").write_text("# sub\n")
    for user, home, name in ((USERS[0], one, "sub/one.csv"), (USERS[1], two, "two.csv")):
        (home / name).write_text(name)
        _as(0, home, "chown", "-R", f"{user}:{GROUP}", str(home))
        _mlx(user, home, "add", name)
        _as(user, home, "git", "add", "-A")
        _as(user, home, "git", "-c", "user.name=n", "-c", "user.email=e", "commit", "-qm", "c")
    _as(0, one, "chmod", "-R", "g+rX", str(one))
    _mlx(USERS[1], two, "gc")
    for path, mode in HIDDEN:
        before = (one / path).stat().st_mode
        (one / path).chmod(mode)
        for words in (("gc",), ("fsck",)):
            said = _mlx(USERS[1], two, *words, status=3)
            assert f"{one} uses this store and cannot be read" in said, (path, words)
        if path.startswith(".git") or path == ".":
            known = 1 if "mlx" in path else 3  # then its setting can be read
            _mlx(USERS[1], two, "gc", "--forget", str(one / ".git"), "--yes", status=known)
        (one / path).chmod(before)
    _mlx(USERS[1], two, "gc")


def _home(home: Path, user: int, store: Path) -> Path:
    """Make a project of a user, in a folder that is open to nobody else but its group."""
    home.mkdir()
    os.chown(home, user, GROUP)
    _as(user, home, "git", "init", "--quiet", "--initial-branch=main", ".")
    _as(user, home, "git", "config", "mlx.store", str(store))
    _as(user, home, "git", "config", "mlx.shared", "group")
    _mlx(user, home, "init", umask="077")
    return home


def _age(root: Path) -> None:
    for path in root.rglob("*"):
        if path.is_file():
            os.utime(path, (0, 0))


def _mlx(user: int, home: Path, *words: str, umask: str = "022", status: int = 0) -> str:
    """Run mlx as another user, who may not be able to read the interpreter's own files."""
    code = (sys.executable, "-c", _AS_USER, str(user), str(GROUP), umask, "")
    return _as(0, home, *code, *words, status=status)


# Put something that was in the store into it again, and hold it.
_HOLD = """
import sys
from mlxrepo.repo.repo import Repo
with Repo.open(".") as repo:
    with repo.store.batch() as batch:
        batch.put("blob", b"held by one")
    with repo.store.batch() as batch:
        assert not batch.put("blob", b"held by one") is None
    print("held", flush=True)
    sys.stdin.read()
"""


_AS_USER = """
import ctypes, difflib, email.parser, importlib, os, pkgutil, sqlite3, subprocess, sys
import pathspec, xxhash, yaml, mlxrepo
for module in pkgutil.walk_packages(mlxrepo.__path__, "mlxrepo."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
from mlxrepo.yamlfile import read
read(b"a: 1", "")
pathspec.GitIgnoreSpec.from_lines(["x"]).check_file("y")
user, group, umask, code, *words = sys.argv[1:]
os.setgroups([])
os.setgid(int(group))
os.setuid(int(user))
os.umask(int(umask, 8))
if code:
    exec(code)
    sys.exit()
sys.exit(importlib.import_module("mlxrepo.cli.main").run(words))
"""


def _env(home: Path) -> dict[str, str]:
    return {**os.environ, "HOME": str(home), "GIT_CONFIG_GLOBAL": str(home / ".gitconfig")}


def _as(user: int, home: Path, *words: str, status: int = 0) -> str:
    """Run a command as a user; return what it says, also on stderr when it has to fail."""
    done = subprocess.run(
        words, cwd=home, user=user, group=GROUP if user else 0, extra_groups=[],
        capture_output=True, text=True, check=False,
        env=_env(home),
    )  # fmt: skip
    assert done.returncode == status, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr if status else done.stdout
