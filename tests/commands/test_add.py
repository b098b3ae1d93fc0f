"""What `mlx add` promises: nothing of the user's reaches git, nothing is recorded by halves."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sandbox import Killer, Project, copies, settle
from storage import object_files

from mlxrepo.commands.add import add, add_modified
from mlxrepo.commands.checkout import checkout
from mlxrepo.commands.repro import repro
from mlxrepo.commands.status import status
from mlxrepo.errors import EnvironmentFailed, InputError, MlxError, Refused
from mlxrepo.store.subtree import find, walk


def refusal(project: Project, *paths: str, **options: str) -> MlxError:
    """Return why nothing was added, and check that nothing was written either."""
    before, ignored = project.files(), project.untracked()
    with pytest.raises(InputError) as caught:
        project.do(add, paths, **options)
    assert project.files() == before
    assert project.untracked() == ignored
    return caught.value


def recorded(project: Project, path: str) -> dict[str, str]:
    """Return the files recorded below a tracked path, with their oids."""
    with project.repo() as repo:
        item = repo.observed.at(path)
        assert item is not None
        return {name: entry.oid for name, entry in walk(repo.store.tree, item.entry)}


# what it writes


def test_a_file_is_stored_declared_recorded_and_hidden_from_git(project: Project) -> None:
    project.write("data/reviews.csv", "a,b\n")
    done = project.do(add, ["data/reviews.csv"])
    assert [item.address for item in done.updated] == ["data:reviews"]
    assert set(done.to_commit) == {"data/.gitignore", "mlx.yaml", "mlx.lock"}
    assert project.read("data/.gitignore") == "/reviews.csv\n"
    assert project.untracked() >= set(done.to_commit)
    assert "data/reviews.csv" not in project.untracked()
    assert project.do(status).clean


def test_comments_and_order_of_the_project_file_stay_and_entries_come_sorted(
    project: Project,
) -> None:
    text = "# ours\ndatasets:\n  beta:  # kept\n    path: b.csv\n\nmodels: {}  # later\n"
    project.write("mlx.yaml", text)
    project.write("b.csv")
    project.write("alpha.csv")
    project.write("gamma.csv", "3\n")
    project.do(add, ["gamma.csv", "alpha.csv"])
    assert project.read("mlx.yaml") == (
        "# ours\ndatasets:\n  alpha:\n    path: alpha.csv\n  beta:  # kept\n    path: b.csv\n"
        "  gamma:\n    path: gamma.csv\n\nmodels: {}  # later\n"
    )


def test_the_same_command_again_changes_nothing(project: Project) -> None:
    project.fill("data/x", 3)
    project.do(add, ["data/x"])
    before = project.files()
    done = project.do(add, ["data/x"])
    assert not done.updated[0].changes
    assert done.updated[0].new_objects == 0
    assert project.files() == before


def test_names_are_derived_and_do_not_collide(project: Project) -> None:
    names = {
        "a/x.csv": "x",
        "b/x.csv": "b-x",
        "c/b/x.csv": "c-b-x",
        "x.tar.gz": "x-2",
        "./-y-.csv": "y",
        # What begins a target is no name.
        "data": "dataset",
        "ä ö.csv": "dataset-2",
        "d/data.csv": "d-data",
        "model.pkl": "models",
        "feature.csv": "features",
        "exp.json": "experiment",
    }
    for path in names:
        project.write(path)
    done = project.do(add, list(names))
    assert [item.address for item in done.updated] == [f"data:{name}" for name in names.values()]
    assert project.do(status).clean


def test_it_goes_to_the_nearest_project_file_with_its_lock_beside_it(project: Project) -> None:
    project.write("sub/mlx.yaml", "# sub\n")
    project.write("sub/deep/x.csv")
    done = project.do(add, ["sub/deep/x.csv"])
    assert set(done.to_commit) == {"sub/deep/.gitignore", "sub/mlx.yaml", "sub/mlx.lock"}
    assert "path: deep/x.csv" in project.read("sub/mlx.yaml")
    assert not project.path("mlx.lock").exists()
    assert project.do(status, ["data:x"]).paths[0].state == "clean"


def test_it_works_from_a_sub_folder(project: Project) -> None:
    project.write("sub/data.csv")
    with project.repo("sub") as repo:
        assert add(repo, ["data.csv"]).updated[0].path == "sub/data.csv"


def test_names_that_need_care_are_hidden_from_git_exactly(project: Project) -> None:
    names = ["a b.csv", "tail ", "-dash", "#hash", "!bang", "star*", "ques?", "[set]"]
    names += ["back\\slash"]
    names += ["new\nline", "carriage\r", "tab\t", 'quo"te', "ünï", "'"]
    for name in names:
        project.write(f"data/{name}", name)
    project.write("data/starfish", "not hidden")
    project.do(add, [f"data/{name}" for name in names])
    assert {path for path in project.untracked() if path.startswith("data/")} == {
        "data/.gitignore",
        "data/starfish",
    }
    assert project.do(status).clean
    for name in names:
        project.path(f"data/{name}").unlink()
    project.do(checkout)
    assert all(project.path(f"data/{name}").read_bytes() == name.encode() for name in names)


def test_a_file_whose_name_is_no_text_is_kept_in_a_folder_and_refused_alone(
    project: Project,
) -> None:
    name = os.fsdecode(b"caf\xe9.csv")
    project.write(f"data/{name}", "x")
    refusal(project, f"data/{name}")
    project.do(add, ["data"])
    project.path(f"data/{name}").unlink()
    project.do(checkout)
    assert project.path(f"data/{name}").read_text() == "x"


def test_a_tilde_at_the_start_of_a_name_is_no_home(project: Project) -> None:
    project.write("~x.csv")
    project.do(add, ["~x.csv"])
    assert project.do(status).clean


@pytest.mark.parametrize("rules", ["*.csv\n!keep.csv\n", "/keep.csv\n!*.csv\n", "*\n!*.csv\n"])
def test_rules_that_take_a_path_back_are_outdone(project: Project, rules: str) -> None:
    project.write(".gitignore", rules)
    project.write("keep.csv")
    project.do(add, ["keep.csv"])
    assert "keep.csv" not in project.untracked()
    assert project.read(".gitignore").startswith(rules)


def test_what_only_this_clone_ignores_is_hidden_for_the_others_too(project: Project) -> None:
    project.write(".git/info/exclude", "*.csv\n")
    project.write("a.csv")
    project.do(add, ["a.csv"])
    assert project.read(".gitignore") == "/a.csv\n"


def test_a_committed_rule_that_hides_the_path_is_enough(project: Project) -> None:
    project.write(".gitignore", "data/\n")
    project.write("data/a.csv")
    done = project.do(add, ["data"])
    assert project.read(".gitignore") == "data/\n"
    assert ".gitignore" not in done.to_commit


# what it refuses


def test_paths_outside_the_repository_are_refused(project: Project, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/x.csv").write_text("x")
    project.path("link").symlink_to(tmp_path / "outside")
    for path in ("../outside/x.csv", str(tmp_path / "outside/x.csv"), "link/x.csv", "/", "~/x"):
        assert refusal(project, path).exit_code == 2
    assert sorted(os.listdir(tmp_path / "outside")) == ["x.csv"]


@pytest.mark.parametrize("path", [".", "", ".git/config", ".git", "mlx.yaml", ".gitattributes"])
def test_what_belongs_to_the_repository_itself_is_refused(project: Project, path: str) -> None:
    refusal(project, path)


def test_a_folder_with_a_project_file_in_it_is_refused(project: Project) -> None:
    project.write("sub/mlx.yaml", "# sub\n")
    project.write("sub/data.csv")
    assert "sub/mlx.yaml" in refusal(project, "sub").message


def test_overlaps_are_refused(project: Project) -> None:
    project.write("data/a/x.csv")
    project.write("data/b/y.csv")
    project.do(add, ["data/a"])
    assert "data/a" in refusal(project, "data").message
    assert "overlap" in refusal(project, "data/b", "data/b/y.csv").message


def test_files_that_git_tracks_are_refused_with_the_way_out(project: Project) -> None:
    project.write("data/a.csv")
    project.write("data/b.csv", "b\n")
    project.commit()
    error = refusal(project, "data")
    assert "1 more file" in error.message
    hint = error.hint or ""
    assert hint == "git rm -r --cached data, then mlx add data"
    project.git(*hint.split(", then ")[0].split()[1:])
    project.do(add, ["data"])
    assert project.untracked() == {".gitignore", "mlx.lock"}


def test_special_files_are_refused_and_leave_no_trace(project: Project) -> None:
    project.write("data/fine.txt")
    os.mkfifo(project.path("data/fifo"))
    assert "FIFO" in refusal(project, "data").message
    assert "FIFO" in refusal(project, "data/fifo").message
    project.path("data/fifo").unlink()
    # A socket's path may be no longer than 108 bytes, so it is bound from inside its folder.
    here = os.getcwd()
    os.chdir(project.path("data"))
    try:
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind("socket")
    finally:
        os.chdir(here)
    assert "socket" in refusal(project, "data").message


def test_links_are_refused_where_they_lead_out_of_what_is_tracked(project: Project) -> None:
    project.write("data/a.csv")
    project.write("b.csv")
    project.path("data/inside").symlink_to("a.csv")
    project.path("outside").symlink_to("data/a.csv")
    assert "symbolic link" in refusal(project, "outside").message
    project.do(add, ["data"])
    project.path("data/leaves").symlink_to("../b.csv")
    with pytest.raises(InputError, match="leaves"):
        project.do(add, ["data"])


def test_one_bad_path_among_good_ones_leaves_all_as_they_were(project: Project) -> None:
    project.write("good.csv")
    os.mkfifo(project.path("bad"))
    refusal(project, "good.csv", "missing.csv")
    refusal(project, "good.csv", "bad")


def test_what_a_stage_makes_is_refused(project: Project) -> None:
    project.write("mlx.yaml", "stages:\n  make:\n    cmd: echo hi > out.txt\n    outs: [out.txt]\n")
    project.write("out.txt")
    assert "mlx repro make" in (refusal(project, "out.txt").hint or "")


def test_what_a_forgotten_stage_made_can_be_added_after_repro(project: Project) -> None:
    project.write("mlx.yaml", "stages:\n  make:\n    cmd: echo hi > out.txt\n    outs: [out.txt]\n")
    project.do(repro)
    project.write("mlx.yaml", "datasets: {}\n")
    assert "no longer declared" in refusal(project, "out.txt").message
    project.do(repro)
    project.do(add, ["out.txt"])
    assert project.do(status).clean


def test_a_taken_name_and_another_kind_are_refused(project: Project) -> None:
    project.write("a.csv")
    project.write("b.csv")
    project.do(add, ["a.csv"])
    assert "taken" in refusal(project, "b.csv", name="a").message
    assert "data:a" in refusal(project, "a.csv", kind="model").message
    assert "data:a" in refusal(project, "a.csv", name="other").message
    refusal(project, "b.csv", name="../b")


def test_a_project_file_that_cannot_be_edited_is_found_before_anything_is_written(
    project: Project,
) -> None:
    project.write("mlx.yaml", "datasets: {a: {path: a.csv}}\n")
    project.write("b.csv")
    refusal(project, "b.csv")


@pytest.mark.parametrize("name", [".gitignore", "mlx.lock", "mlx.yaml"])
def test_a_planted_link_leads_no_write_out_of_the_repository(
    project: Project, tmp_path: Path, name: str
) -> None:
    victim = tmp_path / "victim"
    text = project.read("mlx.yaml") if name == "mlx.yaml" else ""
    victim.write_text(text)
    if name == "mlx.lock":
        project.write("other.csv")
        project.do(add, ["other.csv"])
        victim.write_text(text := project.read("mlx.lock"))
    project.path(name).unlink(missing_ok=True)
    project.path(name).symlink_to(victim)
    project.write("data.csv")
    with pytest.raises(Refused, match="symbolic link"):
        project.do(add, ["data.csv"])
    assert victim.read_text() == text


# a path inside a tracked folder; absent and deleted


def test_a_path_inside_a_tracked_folder_updates_that_path_only(project: Project) -> None:
    project.fill("data", 3)
    project.do(add, ["data"])
    before = recorded(project, "data")
    project.write("data/0000.txt", "edited")
    project.write("data/0001.txt", "edited too")
    project.write("data/new.txt", "new")
    done = project.do(add, ["data/0000.txt"])
    assert [(change.path, change.word) for change in done.updated[0].changes] == [
        ("0000.txt", "modified")
    ]
    after = recorded(project, "data")
    assert after.keys() == before.keys()
    assert after["0001.txt"] == before["0001.txt"]


def test_deleted_files_are_named_and_recorded(project: Project) -> None:
    project.fill("data", 3)
    project.do(add, ["data"])
    project.path("data/0001.txt").unlink()
    done = project.do(add, ["data"])
    assert done.updated[0].deleted == ("0001.txt",)
    assert recorded(project, "data").keys() == {"0000.txt", "0002.txt"}
    project.path("data/0002.txt").unlink()
    assert project.do(add, ["data/0002.txt"]).updated[0].deleted == ("0002.txt",)


@pytest.mark.parametrize("path", ["data/typo.txt", "data/0000.txt/below", "data/no/such"])
def test_a_path_that_is_nowhere_is_an_error_also_inside_a_tracked_folder(
    project: Project, path: str
) -> None:
    project.fill("data", 1)
    project.do(add, ["data"])
    assert "is not here" in refusal(project, path).message


def test_what_mlxignore_leaves_out_cannot_be_added_into_a_folder(project: Project) -> None:
    project.write(".mlxignore", "*.tmp\nbuild/\n")
    project.fill("data", 1)
    project.write("data/x.tmp")
    project.write("data/build/y.txt")
    project.do(add, ["data"])
    assert recorded(project, "data").keys() == {"0000.txt"}
    for path in ("data/x.tmp", "data/build/y.txt", "data/build"):
        assert ".mlxignore" in refusal(project, path).message


def test_a_worktree_with_one_file_of_two_thousand_keeps_the_folder_whole(
    project: Project,
) -> None:
    project.fill("data/folder", 2000)
    project.do(add, ["data/folder"])
    project.commit()
    before = recorded(project, "data/folder")
    other = project.worktree("other")
    other.do(checkout, ["data/folder/0007.txt"])
    assert other.files("data/folder").keys() == {"data/folder/0007.txt"}
    assert other.do(status).clean
    assert other.do(status).paths[0].absent == 1999

    other.write("data/folder/0007.txt", "edited")
    done = other.do(add, ["data/folder/0007.txt"]).updated[0]
    assert [change.path for change in done.changes] == ["0007.txt"]
    after = recorded(other, "data/folder")
    assert {name for name in before if before[name] != after.get(name)} == {"0007.txt"}
    assert after.keys() == before.keys()
    # The blob, the folder as recorded, and the folder as it is here.
    assert done.new_objects == 3

    other.write("data/folder/0007.txt", "edited again")
    whole = other.do(add, ["data/folder"]).updated[0]
    assert (whole.absent, len(whole.changes)) == (1999, 1)
    assert len(recorded(other, "data/folder")) == 2000
    other.path("data/folder/0007.txt").unlink()
    assert other.do(add, ["data/folder"]).updated[0].deleted == ("0007.txt",)
    assert len(recorded(other, "data/folder")) == 1999


def test_update_records_what_changed_and_nothing_else(project: Project) -> None:
    for name in ("a", "b", "c"):
        project.write(f"{name}.csv", name)
    project.do(add, ["a.csv", "b.csv", "c.csv"])
    project.write("b.csv", "edited")
    done = project.do(add_modified)
    assert [item.path for item in done.updated] == ["b.csv"]
    assert project.do(status).clean
    assert not project.do(add_modified).updated


def test_update_stops_before_it_records_when_a_whole_path_is_gone(project: Project) -> None:
    project.write("a.csv")
    project.write("b.csv", "b")
    project.do(add, ["a.csv", "b.csv"])
    lock = project.read("mlx.lock")
    project.write("a.csv", "edited")
    project.path("b.csv").unlink()
    with pytest.raises(Refused, match="is gone") as caught:
        project.do(add_modified)
    assert "mlx rm b.csv" in (caught.value.hint or "")
    assert project.read("mlx.lock") == lock


# a disk that is too small


def on_small_disk(project: Project, folder: Path, size: str) -> None:
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)], check=True)
    project.git("config", "mlx.store", str(folder / "store"))


@pytest.fixture
def small(project: Project, tmp_path: Path) -> Iterator[Project]:
    """Return a project whose store is on a disk of 8 MiB."""
    on_small_disk(project, tmp_path / "disk", "8m")
    try:
        yield project
    finally:
        subprocess.run(["umount", "--lazy", str(tmp_path / "disk")], check=True)


@pytest.mark.root
@pytest.mark.parametrize("count", [1, 12])
def test_what_a_disk_cannot_take_is_refused_before_anything_is_written(
    small: Project, tmp_path: Path, count: int
) -> None:
    for number in range(count):
        small.write(f"data/{number}", os.urandom((9 << 20) // count))
    before, ignored = small.files(), small.untracked()
    with pytest.raises(EnvironmentFailed) as caught:
        small.do(add, ["data"])
    assert caught.value.exit_code == 5
    free = shutil.disk_usage(tmp_path / "disk").free
    said = [int(n.replace(",", "")) for n in re.findall(r"[\d,]{5,}", caught.value.message)]
    assert said[0] > 9 << 20
    assert abs(said[1] - free) < 100_000
    hint = caught.value.hint or ""
    assert all(way in hint for way in ("mlx gc", "mlx.link hardlink", "reflink", "store move"))
    assert (small.files(), small.untracked()) == (before, ignored)
    assert not list((tmp_path / "disk/store").rglob("objects/*"))


@pytest.mark.root
def test_only_what_is_new_has_to_fit(small: Project) -> None:
    for number in range(5):
        small.write(f"data/{number}", os.urandom(1 << 20))
    settle()
    small.do(add, ["data"])
    small.write("data/ignored.pyc", os.urandom(3 << 20))
    small.write("data/new", b"new")
    assert small.do(add, ["data"]).updated[0].new_bytes < 10_000
    for number in range(6):  # each of them would fit
        small.write(f"data/new{number}", os.urandom(700_000))
    before = object_files(small)
    with pytest.raises(EnvironmentFailed, match="storing this takes 4,"):
        small.do(add_modified)
    assert object_files(small) == before
    for number in range(6):
        small.path(f"data/new{number}").unlink()
    small.path("data/0").write_bytes(os.urandom(2 << 20))
    small.do(add, ["data"])


def test_a_sparse_file_that_no_disk_holds_is_refused(project: Project) -> None:
    huge = project.write("huge.bin", "")
    os.truncate(huge, 3 << 40)
    with pytest.raises(EnvironmentFailed, match=r"3,298,\d{3},\d{3},\d{3} bytes"):
        project.do(add, ["huge.bin"])
    assert "huge.bin" in project.untracked()
    assert not project.path("mlx.lock").exists()


def test_what_is_too_large_for_the_disk_is_linked_where_that_is_wanted(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlxrepo.repo import room

    project.write("large.bin", os.urandom(900_000))
    project.write("script.sh", os.urandom(900_000)).chmod(0o755)
    # No real disk is that full for one test alone: it is said to be.
    monkeypatch.setattr(room, "free_bytes", lambda root: 1 << 20)
    with pytest.raises(EnvironmentFailed):
        project.do(add, ["large.bin", "script.sh"])
    project.git("config", "mlx.link", "hardlink")
    project.do(add, ["large.bin", "script.sh"])
    assert project.path("large.bin").stat().st_nlink == 2
    project.write("other.sh", os.urandom(900_000)).chmod(0o755)
    project.write("third.sh", os.urandom(900_000)).chmod(0o755)
    with pytest.raises(EnvironmentFailed):  # a hard link to the store cannot be executable
        project.do(add, ["other.sh", "third.sh"])


# kills and company


def test_killed_at_any_step_git_never_sees_the_data_and_again_gives_the_same(
    project: Project, tmp_path: Path, killer: Killer
) -> None:
    project.fill("data/small", 20)
    project.write("data/large.bin", b"x" * (2 << 20))
    project.commit_only(".gitattributes", ".mlxignore", "mlx.yaml")
    names = ["data/small", "data/large.bin"]
    done: dict[str, bytes] = {}
    for step, copy in copies(project, tmp_path):
        if not killer.killed(step, copy, "add", *names):
            break
        begun = copy.path("data/.gitignore").exists()
        seen = {path for path in copy.untracked() if path.startswith("data/")}
        assert seen == {"data/.gitignore"} or not begun, f"git sees {seen} after step {step}"
        copy.do(status)
        copy.do(add, names)
        assert copy.do(status).clean
        done = done or settled(copy)
        assert settled(copy) == done, f"another result after step {step}"
    assert step >= 10


def settled(project: Project) -> dict[str, bytes]:
    """Return the files but for what a killed writer left, which git must not see."""
    left = {path for path in project.files() if ".mlx-tmp-" in path}
    assert not left & project.untracked()
    return {path: data for path, data in project.files().items() if path not in left}


def at_once(project: Project, commands: list[list[str]]) -> None:
    """Run command lines at the same time; each has to succeed."""
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "mlxrepo", *words],
            cwd=project.root,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for words in commands
    ]
    said = [process.communicate()[1] for process in running]
    assert [process.returncode for process in running] == [0] * len(commands), said


def test_two_at_once_on_different_paths_both_count(project: Project) -> None:
    names = [f"part{number}" for number in range(4)]
    for name in names:
        project.fill(f"data/{name}", 30)
    at_once(project, [["add", f"data/{name}"] for name in names])
    assert project.untracked() & set(project.files("data")) == {"data/.gitignore"}
    found = project.do(status)
    assert found.clean
    assert {path.address for path in found.paths} == {f"data:{name}" for name in names}


def test_two_at_once_inside_one_folder_lose_nothing(project: Project) -> None:
    project.fill("data", 40)
    project.do(add, ["data"])
    for number in range(4):
        project.write(f"data/{number:04}.txt", f"edited {number}")
    at_once(project, [["add", f"data/{number:04}.txt"] for number in range(4)])
    assert project.do(status).clean


def test_an_add_between_two_looks_of_another_is_not_lost(project: Project) -> None:
    project.fill("data", 3)
    project.do(add, ["data"])
    project.write("data/0000.txt", "edited first")
    project.write("data/0001.txt", "edited second")
    with project.repo() as slow:
        assert slow.observed.at("data") is not None  # it has read the lockfile
        project.do(add, ["data/0000.txt"])
        add(slow, ["data/0001.txt"])
    assert project.do(status).clean


def test_adding_again_reads_no_file_that_did_not_change(project: Project) -> None:
    project.fill("data", 5)
    settle()
    project.do(add, ["data"])
    with project.repo() as repo:
        scan = repo.scan()
        item = repo.observed.at("data")
        assert item is not None
        assert scan.entry(item.path) == item.entry
        assert scan.read_files == 0
        assert find(repo.store.tree, item.entry, "0001.txt") is not None
