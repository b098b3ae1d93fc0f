"""What `mlx rm` promises: tracked things are forgotten, the only copy of anything never goes."""

from __future__ import annotations

from pathlib import Path

import pytest
from sandbox import Killer, Project, copies

from mlxrepo.commands.add import add
from mlxrepo.commands.checkout import checkout
from mlxrepo.commands.ls import ls
from mlxrepo.commands.repro import repro
from mlxrepo.commands.rm import rm
from mlxrepo.commands.status import status
from mlxrepo.errors import InputError, Refused
from mlxrepo.paths import TEMP_PREFIX, RepoPath


@pytest.fixture
def tracked(project: Project) -> Project:
    """A project with a folder of five files and a file, committed."""
    project.fill("data/folder", 5)
    project.write("data/one.csv", "one")
    project.do(add, ["data/folder", "data/one.csv"])
    project.commit()
    return project


def names(project: Project, target: str) -> set[str]:
    return {row.path for row in project.do(ls, target, recursive=True)}


def test_a_whole_artifact_leaves_workspace_lock_project_file_and_gitignore(
    tracked: Project,
) -> None:
    done = tracked.do(rm, ["data/folder"])
    assert set(done.to_commit) == {"mlx.lock", "mlx.yaml", "data/.gitignore"}
    assert not tracked.path("data/folder").exists()
    assert tracked.read("data/.gitignore") == "/one.csv\n"
    for file in ("mlx.lock", "mlx.yaml"):
        assert "data/folder" not in tracked.read(file)
    assert tracked.do(status).clean
    tracked.do(checkout, rev="HEAD")
    assert tracked.path("data/folder/0003.txt").exists()


def test_the_last_one_leaves_files_as_init_wrote_them(project: Project) -> None:
    before = project.files()
    project.write("a.csv")
    project.do(add, ["a.csv"])
    project.do(rm, ["data:a"])
    after = project.files()
    lock = after.pop("mlx.lock")
    assert lock.count(b"\n") == 1
    assert after.pop("mlx.yaml").strip() == before.pop("mlx.yaml").strip()
    assert after == before


def test_a_part_leaves_the_rest_as_it_was(tracked: Project) -> None:
    done = tracked.do(rm, ["data/folder/0001.txt", "data/folder/0003.txt"])
    assert done.to_commit == ("mlx.lock",)
    left = {f"data/folder/000{n}.txt" for n in (0, 2, 4)}
    assert names(tracked, "data/folder") == left
    assert set(tracked.files("data/folder")) == left
    assert tracked.do(status).clean


def test_a_part_of_what_is_removed_too_changes_nothing(tracked: Project) -> None:
    tracked.do(rm, ["data/folder/0001.txt", "data/folder", "data/folder"])
    assert tracked.do(status).clean
    assert {row.path for row in tracked.do(ls)} == {"data/one.csv"}


def test_every_file_of_a_folder_can_go_and_the_folder_stays_tracked(tracked: Project) -> None:
    tracked.do(rm, [f"data/folder/{n:04}.txt" for n in range(5)])
    assert tracked.do(status).clean
    tracked.write("data/folder/new.txt")
    tracked.do(add, ["data/folder"])
    assert names(tracked, "data/folder") == {"data/folder/new.txt"}


def test_a_dry_run_checks_and_removes_nothing(tracked: Project) -> None:
    before, ignored = tracked.files(), tracked.untracked()
    done = tracked.do(rm, ["data/folder"], dry_run=True)
    assert (done.paths, done.applied) == (("data/folder",), False)
    tracked.write("data/folder/mine.txt", "never recorded")
    assert tracked.do(rm, ["data/folder"], dry_run=True).kept == ("data/folder/mine.txt",)
    tracked.path("data/folder/mine.txt").unlink()
    assert (tracked.files(), tracked.untracked()) == (before, ignored)
    tracked.write("data/folder/0000.txt", "edited")
    with pytest.raises(Refused):
        tracked.do(rm, ["data/folder"], dry_run=True)


def test_cached_leaves_the_files_where_they_are(tracked: Project) -> None:
    tracked.do(rm, ["data/folder"], cached=True)
    assert len(tracked.files("data/folder")) == 5
    assert "data/folder/0001.txt" in tracked.untracked()
    tracked.do(rm, ["data/one.csv"], cached=True)
    tracked.do(checkout)
    assert tracked.read("data/one.csv") == "one"


def test_unsaved_bytes_are_refused_and_nothing_is_touched(tracked: Project) -> None:
    tracked.write("data/folder/0002.txt", "edited")
    before = tracked.files()
    with pytest.raises(Refused, match="0002"):
        tracked.do(rm, ["data/one.csv", "data/folder"])
    assert tracked.files() == before


def test_bytes_that_the_store_lost_are_unsaved_too(tracked: Project) -> None:
    with tracked.repo() as repo:
        item = repo.observed.at("data/one.csv")
        assert item is not None
        Path(repo.store.path("blob", item.entry.oid)).unlink()
    with pytest.raises(Refused, match="one"):
        tracked.do(rm, ["data/one.csv"])
    assert tracked.read("data/one.csv") == "one"


def test_force_keeps_a_copy(tracked: Project) -> None:
    tracked.write("data/folder/0002.txt", "edited")
    done = tracked.do(rm, ["data/folder"], force=True)
    assert not tracked.path("data/folder").exists()
    assert done.trash
    assert Path(done.trash, "data/folder/0002.txt").read_text() == "edited"


def test_files_that_mlx_never_had_stay(tracked: Project) -> None:
    tracked.write("data/folder/mine.txt", "mine")
    done = tracked.do(rm, ["data/folder"])
    assert done.kept == ("data/folder/mine.txt",)
    assert tracked.files("data/folder") == {"data/folder/mine.txt": b"mine"}


def test_recorded_files_go_also_where_it_was_not_mlx_that_put_them_here(tracked: Project) -> None:
    other = tracked.worktree("other")
    for path, data in tracked.files("data/folder").items():
        other.write(path, data)
    assert other.do(rm, ["data/folder"]).kept == ()
    assert not other.path("data/folder").exists()


def test_what_is_absent_can_be_removed(tracked: Project) -> None:
    other = tracked.worktree("other")
    other.do(rm, ["data/folder/0001.txt", "data/one.csv"])
    assert len(names(other, "data/folder")) == 4
    assert other.do(status).clean


def test_what_is_not_tracked_or_made_by_a_stage_is_refused(tracked: Project) -> None:
    tracked.write("mlx.yaml", "stages:\n  make:\n    cmd: echo hi > out.txt\n    outs: [out.txt]\n")
    tracked.do(repro)
    for target in ("mlx.yaml", "data:nothing", "data/folder/nothing", "out.txt", "../x", "data"):
        with pytest.raises(InputError):
            tracked.do(rm, [target])
    assert tracked.read("out.txt") == "hi\n"


def test_what_is_no_longer_declared_can_be_forgotten(tracked: Project) -> None:
    tracked.write("mlx.yaml", "datasets: {}\n")
    assert tracked.do(status).leftover == ("data:folder", "data:one")
    tracked.do(rm, ["data:folder", "data:one"], cached=True)
    assert tracked.do(status).clean


def test_an_entry_of_a_nested_project_file_goes_from_there(project: Project) -> None:
    project.write("sub/mlx.yaml", "# sub\n")
    project.write("sub/x.csv")
    project.do(add, ["sub/x.csv"])
    done = project.do(rm, ["data:x"])
    assert set(done.to_commit) == {"sub/mlx.yaml", "sub/mlx.lock"}
    assert project.read("sub/mlx.yaml").strip() == "# sub"


def test_a_project_file_that_cannot_be_edited_stops_it_before_files_go(tracked: Project) -> None:
    tracked.write("mlx.yaml", "datasets: {folder: {path: data/folder}}\n")
    with pytest.raises(InputError):
        tracked.do(rm, ["data/folder"])
    assert len(tracked.files("data/folder")) == 5


def test_killed_at_any_step_git_never_sees_the_data_and_again_finishes_it(
    tracked: Project, tmp_path: Path, killer: Killer
) -> None:
    for step, copy in copies(tracked, tmp_path):
        if not killer.killed(step, copy, "rm", "data/folder", "data/one.csv"):
            break
        assert not {path for path in copy.untracked() if path.startswith("data/")}
        with copy.repo() as repo:
            left = [item.address for item in repo.observed.tracked()]
            assert left or not repo.placed
        if left:
            copy.do(rm, left)
        assert copy.do(status).clean
        assert not list(copy.root.rglob(f"{TEMP_PREFIX}*"))
        assert not copy.path("data/folder").exists()
    assert step >= 3


def test_killed_at_any_step_a_part_can_be_forgotten_again(
    tracked: Project, tmp_path: Path, killer: Killer
) -> None:
    for step, copy in copies(tracked, tmp_path):
        if not killer.killed(step, copy, "rm", "data/folder/0000.txt"):
            break
        with copy.repo() as repo:
            folder = repo.observed.at(RepoPath("data/folder"))
            assert folder
            is_recorded = "0000.txt" in repo.store.tree(folder.entry.oid)
            assert is_recorded or repo.placed[folder.path] == folder.entry
        if is_recorded:
            copy.do(rm, ["data/folder/0000.txt"])
        assert copy.do(status).clean
    assert step >= 2
