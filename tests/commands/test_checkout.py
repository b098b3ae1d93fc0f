"""What `mlx checkout` promises: what is recorded comes back, what is the user's never goes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from sandbox import Killer, Project, copies, settle

from mlxrepo.commands.add import add
from mlxrepo.commands.checkout import checkout
from mlxrepo.commands.rm import rm
from mlxrepo.commands.status import status
from mlxrepo.errors import CannotDecide, InputError, Refused
from mlxrepo.store.subtree import find
from mlxrepo.temporaries import held_folder


@pytest.fixture
def two(project: Project) -> Project:
    """Two commits of a folder and a file, at the second."""
    project.commit("empty")
    project.fill("data/folder", 4)
    project.write("data/one.csv", "first")
    project.do(add, ["data/folder", "data/one.csv"])
    project.commit("first")
    project.write("data/folder/0000.txt", "second 0")
    project.path("data/folder/0001.txt").unlink()
    project.write("data/folder/new.txt", "second new")
    project.write("data/one.csv", "second")
    project.do(add, ["data/folder", "data/one.csv"])
    project.commit("second")
    return project


def lose(project: Project, path: str) -> None:
    """Take the object of one recorded file out of the store."""
    with project.repo() as repo:
        item = repo.observed.at(path)
        assert item is not None
        entry = find(repo.store.tree, item.entry, path[len(item.path) + 1 :])
        assert entry is not None
        Path(repo.store.path("blob", entry.oid)).unlink()


def test_git_checkout_and_mlx_checkout_go_back_exactly(two: Project) -> None:
    second = two.files("data")
    two.git("checkout", "-q", "HEAD~1")
    two.do(checkout)
    assert two.read("data/one.csv") == "first"
    assert "data/folder/0001.txt" in two.files("data")
    assert "data/folder/new.txt" not in two.files("data")
    assert two.do(status).clean
    two.git("checkout", "-q", "main")
    two.do(checkout)
    assert two.files("data") == second
    assert two.git("status", "--porcelain") == ""


def test_a_commit_that_lacks_the_dataset_takes_it_away_and_back(two: Project) -> None:
    before = two.files("data")
    two.git("checkout", "-q", "HEAD~2")
    two.do(checkout)
    assert not two.path("data").exists() or not two.files("data")
    two.git("checkout", "-q", "main")
    two.do(checkout)
    assert two.files("data") == before


def test_a_file_that_git_tracked_in_the_older_commit_is_git_s(project: Project) -> None:
    project.write("data/x.csv", "same")
    project.write("data/y.csv", "same too")
    project.commit("in git")
    project.git("rm", "-q", "-r", "--cached", "data")
    project.do(add, ["data/x.csv"])
    project.do(add, ["data/y.csv"])
    project.commit("in mlx")
    project.git("checkout", "-q", "HEAD~1")
    project.do(checkout)
    assert project.read("data/x.csv") == "same"
    assert project.git("status", "--porcelain") == ""
    project.git("checkout", "-q", "main")
    project.do(checkout)
    assert project.do(status).clean
    assert project.read("data/y.csv") == "same too"


def test_a_folder_that_becomes_single_datasets_and_back_loses_nothing(project: Project) -> None:
    project.fill("data", 3)
    project.do(add, ["data"])
    project.commit("folder")
    project.do(rm, ["data"], cached=True)
    project.do(add, ["data/0000.txt", "data/0001.txt"])
    project.commit("files")
    for rev, count in (("main~1", 3), ("main", 2), ("main~1", 3), ("main", 2)):
        project.git("checkout", "-q", rev)
        project.do(checkout)
        found = [path for path in project.files("data") if path.endswith(".txt")]
        assert len(found) >= count, rev
        assert project.do(status).clean, rev


def test_paths_bring_back_only_themselves(two: Project) -> None:
    two.write("data/one.csv", "first")  # its bytes are stored
    two.path("data/folder/0002.txt").unlink()
    two.path("data/folder/0003.txt").unlink()
    done = two.do(checkout, ["data/folder/0002.txt"])
    assert done.written == ("data/folder/0002.txt",)
    assert not two.path("data/folder/0003.txt").exists()
    assert two.read("data/one.csv") == "first"


def test_a_folder_above_means_all_in_it_and_a_path_named_twice_is_one(two: Project) -> None:
    two.path("data/one.csv").unlink()
    two.path("data/folder/0002.txt").unlink()
    targets = ["data", "data/folder", "data/folder/0002.txt", "data:one"]
    done = two.do(checkout, targets)
    assert sorted(done.written) == ["data/folder/0002.txt", "data/one.csv"]


def test_a_revision_is_brought_and_the_lockfile_stays(two: Project) -> None:
    lock = two.read("mlx.lock")
    two.do(checkout, ["data:one", "data/folder/0001.txt"], rev="HEAD~1")
    assert two.read("data/one.csv") == "first"
    assert two.path("data/folder/0001.txt").exists()
    assert two.read("mlx.lock") == lock
    assert not two.do(status).clean
    two.do(checkout)
    assert two.do(status).clean
    assert not two.path("data/folder/0001.txt").exists()


def test_a_revision_in_which_the_name_had_another_path(two: Project) -> None:
    two.do(rm, ["data:one"])
    two.write("moved/one.csv", "third")
    two.do(add, ["moved/one.csv"])
    two.commit("moved")
    two.do(checkout, ["data:one"], rev="HEAD~1")
    assert two.read("data/one.csv") == "second"
    assert "data/one.csv" not in two.untracked()


def test_unknown_things_are_errors(two: Project) -> None:
    for target in ("nothing", "data/folder/nothing", "data:nothing", "data:one@v2", "../x"):
        with pytest.raises(InputError):
            two.do(checkout, [target])
    with pytest.raises(InputError, match="recorded"):
        two.do(checkout, ["data/folder/0001.txt"])  # only the first commit has it
    with pytest.raises(CannotDecide):
        two.do(checkout, rev="nothing")


def test_unsaved_files_are_refused_and_nothing_at_all_is_touched(two: Project) -> None:
    two.path("data/folder/0003.txt").unlink()
    two.write("data/one.csv", "unsaved")
    before = two.files()
    with pytest.raises(Refused, match="one"):
        two.do(checkout, ["data/folder", "data/one.csv"])
    with pytest.raises(Refused, match="one"):
        two.do(checkout)
    assert two.files() == before


def test_force_replaces_them_and_keeps_a_copy(two: Project) -> None:
    two.write("data/one.csv", "unsaved")
    two.write("data/folder/0002.txt", "unsaved too")
    done = two.do(checkout, force=True)
    assert two.do(status).clean
    assert done.trash
    assert Path(done.trash, "data/one.csv").read_text() == "unsaved"
    assert Path(done.trash, "data/folder/0002.txt").read_text() == "unsaved too"


def test_the_user_s_own_files_in_a_tracked_folder_stay(two: Project) -> None:
    two.write("data/folder/mine.txt", "mine")
    two.git("stash", "-q", check=False)
    two.git("checkout", "-q", "HEAD~1")
    done = two.do(checkout)
    assert two.read("data/folder/mine.txt") == "mine"
    assert "data/folder/mine.txt" in done.kept
    two.git("checkout", "-q", "HEAD~1")
    two.do(checkout)
    assert set(two.files("data")) == {"data/folder/mine.txt"}


def test_a_file_where_a_folder_was_and_back(project: Project) -> None:
    project.fill("thing", 2)
    project.do(add, ["thing"])
    project.commit("folder")
    project.do(rm, ["thing"])
    project.write("thing", "a file")
    project.do(add, ["thing"])
    project.commit("file")
    project.do(checkout, rev="HEAD~1")
    assert set(project.files("thing")) == {"thing/0000.txt", "thing/0001.txt"}
    project.write("thing/mine.txt", "mine")
    with pytest.raises(Refused, match="mine"):
        project.do(checkout)
    done = project.do(checkout, force=True)
    assert project.read("thing") == "a file"
    assert done.trash
    assert Path(done.trash, "thing/mine.txt").read_text() == "mine"


def test_what_the_store_lacks_is_named_and_the_rest_is_brought(two: Project) -> None:
    lose(two, "data/folder/0002.txt")
    lose(two, "data/one.csv")
    other = two.worktree("other")
    done = other.do(checkout)
    assert set(done.missing) == {("data/folder/0002.txt", 1), ("data/one.csv", 1)}
    assert set(other.files("data")) == {
        "data/.gitignore",
        "data/folder/0000.txt",
        "data/folder/0003.txt",
        "data/folder/new.txt",
    }
    found = other.do(status)
    assert found.clean  # recorded, not here by no act of the user's
    assert sum(path.absent for path in found.paths) == 2
    other.do(add, ["data/folder"])
    assert other.do(status).paths[0].absent == 1


def test_a_file_is_not_taken_away_for_one_that_cannot_be_had(two: Project) -> None:
    two.do(checkout, rev="HEAD~1")
    lose(two, "data/folder/0000.txt")
    lose(two, "data/one.csv")
    done = two.do(checkout)
    assert {path for path, _ in done.missing} == {"data/folder/0000.txt", "data/one.csv"}
    assert two.read("data/one.csv") == "first"
    assert two.path("data/folder/0000.txt").exists()
    assert two.read("data/folder/new.txt") == "second new"


def test_a_lost_listing_stops_only_what_it_lists(two: Project) -> None:
    with two.repo() as repo:
        item = repo.observed.at("data/folder")
        assert item is not None
        Path(repo.store.path("tree", item.entry.oid)).unlink()
    other = two.worktree("other")
    done = other.do(checkout)
    assert done.missing == (("data/folder", 4),)
    assert other.read("data/one.csv") == "second"


def test_a_worktree_shares_the_store_and_re_hashes_nothing(two: Project) -> None:
    other = two.worktree("other")
    done = other.do(checkout)
    assert done.files == 5
    assert other.files("data") == two.files("data")
    settle()
    other.do(status)  # files of the last moment of a checkout are too young to be believed
    with other.repo() as repo:
        assert repo.store.root == str(two.path(".git/mlx"))
        scan = repo.scan()
        for item in repo.observed.tracked():
            assert scan.entry(item.path) == item.entry
        assert scan.read_files == 0


def test_nothing_to_do_touches_no_file(two: Project) -> None:
    settle()
    before = {path: os.stat(two.path(path)).st_ctime_ns for path in two.files()}
    done = two.do(checkout)
    assert not done.written
    assert not done.removed
    assert {path: os.stat(two.path(path)).st_ctime_ns for path in two.files()} == before


def test_a_broken_project_file_does_not_stop_it(two: Project) -> None:
    two.path("data/one.csv").unlink()
    two.write("mlx.yaml", "datasets: [\n")
    two.do(checkout)
    assert two.read("data/one.csv") == "second"


def test_a_planted_link_above_a_recorded_path_leads_nowhere(two: Project, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    two.do(rm, ["data/folder"])
    two.path("data/one.csv").unlink()
    for path in two.path("data").iterdir():
        path.unlink()
    two.path("data").rmdir()
    two.path("data").symlink_to(outside)
    with pytest.raises(Refused):
        two.do(checkout)
    assert not list(outside.iterdir())


def test_killed_at_any_step_it_can_be_repeated_and_git_sees_no_data(
    two: Project, tmp_path: Path, killer: Killer
) -> None:
    wanted = two.files("data")
    two.git("checkout", "-q", "HEAD~1")
    two.do(checkout)
    two.path("data/folder/0003.txt").unlink()
    two.git("checkout", "-q", "main")
    for step, copy in copies(two, tmp_path):
        if not killer.killed(step, copy, "checkout"):
            break
        assert not copy.untracked()
        copy.do(checkout)
        assert copy.files("data") == wanted
        assert copy.do(status).clean
    assert step >= 2


def test_links_inside_a_folder_come_back_and_can_be_added_alone(project: Project) -> None:
    project.write("data/deep/a.txt", "a")
    project.path("data/deep/link").symlink_to("../deep/a.txt")
    project.do(add, ["data"])
    project.path("data/deep/link").unlink()
    project.do(checkout, ["data/deep/link"])
    assert os.readlink(project.path("data/deep/link")) == "../deep/a.txt"
    project.path("data/deep/link").unlink()
    project.path("data/deep/link").symlink_to("a.txt")
    project.do(add, ["data/deep/link"])
    assert project.do(status).clean
    project.do(rm, ["data/deep/link"])
    assert not os.path.lexists(project.path("data/deep/link"))


def test_what_a_killed_checkout_left_goes_though_there_is_nothing_to_write(two: Project) -> None:
    two.do(checkout)
    places = ("data", "data/folder")
    for place in places:
        two.write(f"{place}/.mlx-tmp-dead/half")
    assert two.do(checkout).files == 0
    assert not list(two.root.rglob(".mlx-tmp-*"))


def test_what_a_living_writer_makes_is_left_alone(two: Project) -> None:
    two.do(checkout)
    folder = os.open(two.path("data/folder"), os.O_RDONLY)
    with held_folder(folder) as (_, name):
        two.do(checkout)
        assert two.path(f"data/folder/{name}").exists()
    os.close(folder)
