"""What `mlx mv` promises: everything that names the data follows it, and nothing is read again."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from sandbox import Killer, Project, copies, settle

from mlxrepo.commands.add import add
from mlxrepo.commands.checkout import checkout
from mlxrepo.commands.mv import mv
from mlxrepo.commands.repro import repro
from mlxrepo.commands.rm import rm
from mlxrepo.commands.status import status
from mlxrepo.errors import EnvironmentFailed, InputError, Refused
from mlxrepo.paths import ROOT, RepoPath

STAGES = """\
stages:
  # reads all of it
  all:
    cmd: cat data/folder/0001.txt > all.txt
    deps:
    - data/folder        # the whole
    - ./data/folder/sub  # a part
    outs: [all.txt]
  other:
    cmd: cat one.csv > other.txt
    wdir: data
    deps: [data/one.csv, 'data/folder.csv']
    params:
    - data/folder/p.yaml: [lr]
    outs: [data/other.txt]
"""


@pytest.fixture
def tracked(project: Project) -> Project:
    """A project with a folder, two files and stages that read them."""
    project.fill("data/folder", 4)
    project.write("data/folder/sub/x.txt", "x")
    project.write("data/folder/p.yaml", "lr: 1\n")
    project.write("data/one.csv", "one")
    project.write("data/folder.csv", "its name begins alike")
    project.do(add, ["data/folder", "data/one.csv", "data/folder.csv"])
    project.write("mlx.yaml", project.read("mlx.yaml") + STAGES)
    settle()
    project.do(repro)
    project.do(status)
    project.commit()
    return project


def read_again(project: Project, *paths: str) -> int:
    """Return how many files a look at the paths has to read."""
    with project.repo() as repo:
        scan = repo.scan()
        for path in paths:
            assert scan.entry(RepoPath(path)) is not None
        return scan.read_files


def changed(project: Project) -> list[str]:
    """Return the data that is not as it is recorded."""
    return [row.path for row in project.do(status).paths if row.state != "clean"]


def stat_of(path: Path) -> tuple[int, ...]:
    found = path.lstat()
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_mode


def test_files_declaration_record_and_ignore_line_go_together(tracked: Project) -> None:
    before = tracked.read("mlx.lock")
    done = tracked.do(mv, "data/one.csv", "archive/old/uno.csv")
    assert (done.old, done.new, done.address) == ("data/one.csv", "archive/old/uno.csv", "data:one")
    assert tracked.read("archive/old/uno.csv") == "one"
    assert not tracked.path("data/one.csv").exists()
    assert tracked.read("archive/old/.gitignore") == "/uno.csv\n"
    assert "one.csv" not in tracked.read("data/.gitignore")
    assert "path: archive/old/uno.csv" in tracked.read("mlx.yaml")
    data = '"data:one"\n{"kind":"file","oid":'
    assert tracked.read("mlx.lock").count(data) == before.count(data) == 1
    assert set(done.to_commit) == {
        "mlx.yaml", "mlx.lock", "data/.gitignore", "archive/old/.gitignore"
    }  # fmt: skip
    assert changed(tracked) == []
    tracked.git("add", "--", *done.to_commit)
    assert tracked.untracked() == set()


def test_only_paths_change_in_the_project_file(tracked: Project) -> None:
    before = tracked.read("mlx.yaml")
    tracked.do(mv, "data/folder", "new place")
    assert tracked.read("mlx.yaml") == (
        before.replace("path: data/folder\n", "path: new place\n")
        .replace("- data/folder  ", "- new place  ")
        .replace("- ./data/folder/sub ", "- new place/sub ")
        .replace("- data/folder/p.yaml:", "- new place/p.yaml:")
    )


def test_a_moved_folder_is_the_same_folder_and_nothing_is_read_again(tracked: Project) -> None:
    before = {path: stat_of(tracked.path(path)) for path in tracked.files("data/folder")}
    inode = tracked.path("data/folder").stat().st_ino
    read_again(tracked, "data/folder/0001.txt", "data/folder/sub")
    assert read_again(tracked, "data/folder", "data/folder/0001.txt", "data/folder/sub") == 0
    tracked.do(mv, "data/folder", "images")
    assert tracked.path("images").stat().st_ino == inode
    after = {path: stat_of(tracked.path(path)) for path in tracked.files("images")}
    assert after == {path.replace("data/folder", "images"): s for path, s in before.items()}
    assert read_again(tracked, "images", "images/0001.txt", "images/sub") == 0


def test_a_moved_file_is_not_read_again_but_a_changed_one_is(tracked: Project) -> None:
    tracked.do(mv, "data/one.csv", "uno.csv")
    assert read_again(tracked, "uno.csv") == 0
    found = tracked.path("uno.csv").stat()
    tracked.write("uno.csv", "two")
    os.utime(tracked.path("uno.csv"), ns=(found.st_atime_ns, found.st_mtime_ns))
    assert read_again(tracked, "uno.csv") == 1
    tracked.do(mv, "uno.csv", "data/uno.csv")
    assert changed(tracked) == ["data/uno.csv"]


def test_stages_that_read_it_are_named_and_stale_and_the_others_are_not(tracked: Project) -> None:
    assert tracked.do(status).clean
    done = tracked.do(mv, "data/folder", "images")
    assert set(done.stages) == {"all", "other"}
    assert done.named == ("the command of stage all",)
    tracked.write("mlx.yaml", tracked.read("mlx.yaml").replace("cat data/folder/", "cat images/"))
    # No run with the new path took place, so none is recorded.
    outcomes = {report.stage: report.outcome for report in tracked.do(repro).stages}
    assert outcomes == {"all": "ran", "other": "ran"}
    done = tracked.do(mv, "data/one.csv", "data/two.csv")
    assert done.stages == ("other",)
    assert done.named == ("the command of stage other",)


def test_a_folder_takes_it_in_and_a_name_can_be_given(tracked: Project) -> None:
    tracked.write("archive/readme.md", "kept by git")
    assert tracked.do(mv, "data:one", "archive/").new == "archive/one.csv"
    assert tracked.do(mv, "data:one", "archive/uno.csv").new == "archive/uno.csv"
    with tracked.repo("archive") as repo:
        assert mv(repo, "uno.csv", "..").new == "uno.csv"


def test_what_is_absent_or_deleted_stays_so_under_its_new_path(tracked: Project) -> None:
    other = tracked.worktree("other")
    other.do(mv, "data/one.csv", "uno.csv")
    tracked.path("data/one.csv").unlink()
    tracked.do(mv, "data/one.csv", "uno.csv")
    states = {}
    for project in (other, tracked):
        (row,) = [row for row in project.do(status).paths if row.path == "uno.csv"]
        states[project.root.name] = row.state
    assert states == {"other": "absent", "project": "deleted"}
    assert not other.path("uno.csv").exists()
    other.do(checkout, ["uno.csv"])
    assert other.read("uno.csv") == "one"


def test_edits_that_are_not_recorded_move_along(tracked: Project) -> None:
    tracked.write("data/folder/0002.txt", "edited")
    tracked.write("data/folder/new.txt", "new")
    tracked.do(mv, "data/folder", "images")
    (row,) = [row for row in tracked.do(status).paths if row.changes]
    assert [change.path for change in row.changes] == ["0002.txt", "new.txt"]


def test_a_nested_project_file_names_it_from_its_folder(project: Project) -> None:
    project.write("sub/mlx.yaml", "# sub\n")
    project.write("sub/x.csv", "x")
    project.do(add, ["sub/x.csv"])
    project.write(
        "mlx.yaml", "stages:\n  s: {cmd: cat sub/x.csv > y, deps: [sub/x.csv], outs: [y]}\n"
    )
    done = project.do(mv, "sub/x.csv", "x, y.csv")
    assert "path: ../x, y.csv" in project.read("sub/mlx.yaml").replace('"', "")
    assert 'deps: ["x, y.csv"]' in project.read("mlx.yaml")
    assert {"sub/mlx.yaml", "sub/mlx.lock", "mlx.yaml"} <= set(done.to_commit)
    assert changed(project) == []


@pytest.mark.parametrize(
    ("source", "target", "error", "told"),
    [
        ("data/one.csv", "data/folder.csv", Refused, "here already"),
        ("data/one.csv", "data/folder", InputError, "cannot hold other data"),
        ("data/one.csv", "data/folder/in.csv", InputError, "cannot hold other data"),
        ("data/one.csv", "all.txt/in.csv", InputError, "cannot hold other data"),
        ("data/one.csv", "../one.csv", InputError, "outside"),
        ("data/one.csv", ".git/one.csv", InputError, "reserved"),
        ("data/one.csv", "mlx.yaml/x", InputError, "is a file"),
        ("data/one.csv", "data/params.yaml/", InputError, "no folder"),
        ("data/one.csv", "new/.gitignore", InputError, "belongs in git"),
        ("data/one.csv", "left.tmp", InputError, "left out"),
        ("data/one.csv", "in-git.txt", InputError, "git tracks"),
        ("data/folder", "data/folder/sub2", InputError, "into itself"),
        ("data/folder/0001.txt", "x.txt", InputError, "part of data/folder"),
        ("all.txt", "x.txt", InputError, "made by stage all"),
        ("data", "x", InputError, "holds data/"),
        ("nothing", "x", InputError, "not tracked"),
        ("data:nothing", "x", InputError, "not tracked"),
    ],
)
def test_what_cannot_be_moved_there_is_refused_before_anything_is_touched(
    tracked: Project, source: str, target: str, error: type[Exception], told: str
) -> None:
    tracked.write(".mlxignore", "*.tmp\n")
    tracked.write("in-git.txt")
    tracked.commit()
    tracked.path("in-git.txt").unlink()
    before = tracked.files()
    with pytest.raises(error, match=told):
        tracked.do(mv, source, target)
    assert tracked.files() == before
    assert tracked.do(mv, "data/one.csv", "fine.csv").new == "fine.csv"


def test_a_path_that_comes_from_an_anchor_is_refused_before_anything_is_touched(
    tracked: Project,
) -> None:
    text = tracked.read("mlx.yaml").replace("path: data/one.csv", "path: &one data/one.csv")
    tracked.write("mlx.yaml", text + "    desc: *one\n")
    before = tracked.files()
    with pytest.raises(InputError, match="cannot"):
        tracked.do(mv, "data/one.csv", "uno.csv")
    assert tracked.files() == before


def test_a_link_in_the_way_leads_nowhere(tracked: Project, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    tracked.path("link").symlink_to(outside)
    with pytest.raises(InputError, match="outside"):
        tracked.do(mv, "data/one.csv", "link/one.csv")
    assert list(outside.iterdir()) == []


def test_a_dry_run_says_the_same_and_does_nothing(tracked: Project) -> None:
    before, ignored = tracked.files(), tracked.untracked()
    told = tracked.do(mv, "data/folder", "moved", dry_run=True)
    assert not told.applied
    assert (tracked.files(), tracked.untracked()) == (before, ignored)
    with pytest.raises(InputError, match="into itself"):
        tracked.do(mv, "data/folder", "data/folder/sub/new", dry_run=True)
    done = tracked.do(mv, "data/folder", "moved")
    assert done.applied
    assert replace(told, applied=True) == done


def test_it_waits_for_nobody_and_disturbs_no_run(tracked: Project) -> None:
    with (
        tracked.repo() as repo,
        repo.claims("mlx repro").wait((), print, shared=[ROOT]),
        pytest.raises(EnvironmentFailed, match=r"worktree is in use by process \d+ \(mlx repro\)"),
    ):
        tracked.do(mv, "data/one.csv", "uno.csv")
    assert tracked.do(mv, "data/one.csv", "uno.csv").new == "uno.csv"


@pytest.mark.parametrize("words", [("data/one.csv", "far/uno.csv"), ("data/folder", "images")])
def test_killed_anywhere_the_same_command_completes_it(
    tracked: Project, tmp_path: Path, killer: Killer, words: tuple[str, str]
) -> None:
    for step, copy in copies(tracked, tmp_path):
        data = {path: stat_of(copy.path(path)) for path in copy.files("data")}
        if not killer.killed(step, copy, "mv", *words):
            break
        assert not [path for path in copy.untracked() if path.endswith((".csv", ".txt"))]
        done = copy.do(mv, *words)
        assert not copy.path(words[0]).exists()
        assert {stat_of(copy.path(path))[0] for path in copy.files()} >= {
            stat[0] for path, stat in data.items() if not path.endswith(".gitignore")
        }
        assert changed(copy) == []
        copy.git("add", "--", *done.to_commit)
        copy.git("commit", "--quiet", "--message=moved")
        assert copy.git("status", "--porcelain") == ""
        copy.do(rm, [words[1]])  # nothing of the old state is in the way of anything
    assert step > 5


def test_another_move_does_not_begin_before_the_one_that_was_cut_off(
    tracked: Project, killer: Killer
) -> None:
    assert killer.killed(4, tracked, "mv", "data/one.csv", "uno.csv")
    with pytest.raises(Refused, match="cut off") as caught:
        tracked.do(mv, "data/folder", "images")
    assert caught.value.hint
    assert "mlx mv data/one.csv uno.csv" in caught.value.hint
    tracked.do(mv, "data:one", "uno.csv")
    assert tracked.do(mv, "data/folder", "images").new == "images"


def test_a_path_that_a_template_names_is_refused_before_anything_is_touched(
    tracked: Project,
) -> None:
    tracked.write(
        "mlx.yaml",
        tracked.read("mlx.yaml").replace("- data/folder  ", "- ${where}/folder  ")
        + "vars: [{where: data}]\n",
    )
    before = tracked.read("mlx.yaml")
    with tracked.repo() as repo, pytest.raises(InputError, match="by a template"):
        mv(repo, "data/folder", "elsewhere")
    assert tracked.read("mlx.yaml") == before
    assert tracked.path("data/folder").is_dir()
    assert not tracked.path("elsewhere").exists()
