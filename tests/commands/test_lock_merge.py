"""lock merge on real git merges without a driver: what it writes, asks, refuses and leaves."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping

import pytest
from pipeline_project import Pipeline
from sandbox import Project, copies

from mlxrepo.commands.add import add
from mlxrepo.commands.checkout import checkout
from mlxrepo.commands.gc import gc
from mlxrepo.commands.lock_merge import LockMerged, lock_merge, lock_merge_files
from mlxrepo.commands.mv import mv
from mlxrepo.commands.rm import rm
from mlxrepo.commands.status import status
from mlxrepo.errors import CannotDecide, InputError, Refused
from mlxrepo.pipeline.actioncache import ActionCache
from mlxrepo.repo.lockfile import DataRecord, StageRecord, parse_lock


class Branches:
    """A project with a folder and a file, and branches off it."""

    def __init__(self, project: Project):
        self.project = project
        project.fill("data/images", 6)
        project.write("base.csv", "base")
        project.do(add, ["data/images", "base.csv"])
        project.commit("base")

    def branch(self, name: str, work: Callable[[Project], object]) -> None:
        """Make a branch off main, do something on it, and commit."""
        self.project.git("checkout", "--quiet", "--force", "-b", name, "main")
        self.project.do(checkout, force=True)
        work(self.project)
        self.project.commit(name)

    def merge(self, name: str) -> None:
        self.project.git("merge", "--no-edit", name, check=False)

    def lock_merge(self, **answers: list[str]) -> LockMerged:
        return self.project.do(lock_merge, **answers)

    def finish(self) -> None:
        """Do what lock merge names as the next commands, and commit."""
        self.project.git("add", "--all")
        self.project.git("commit", "--quiet", "--no-edit")
        self.project.do(checkout)

    def is_clean(self) -> bool:
        return self.project.do(status).clean and not self.project.git("status", "--porcelain")


@pytest.fixture
def two(project: Project) -> Branches:
    return Branches(project)


def adds(files: Mapping[str, str], *paths: str) -> Callable[[Project], object]:
    """Return what writes files and adds paths (default: those)."""

    def work(project: Project) -> None:
        for path, text in files.items():
            project.write(path, text)
        project.do(add, paths or list(files))

    return work


IMAGES = "data/images"


def test_both_add_files_to_a_folder_and_datasets_of_their_own(two: Branches) -> None:
    two.branch("one", adds({f"{IMAGES}/one.txt": "1", "one.csv": "1"}, IMAGES, "one.csv"))
    two.branch("two", adds({f"{IMAGES}/two.txt": "2", "two.csv": "2"}, IMAGES, "two.csv"))
    two.merge("one")
    assert set(two.project.git("diff", "--name-only", "--diff-filter=U").split()) == {
        ".gitignore", "mlx.lock", "mlx.yaml"
    }  # fmt: skip

    done = two.lock_merge()
    assert done.settled
    assert done.files == (".gitignore", "mlx.yaml", "mlx.lock")
    assert (done.ours, done.theirs) == (("data:two",), ("data:one",))
    assert [(f.path, f.ours, f.theirs) for f in done.folders] == [(IMAGES, 1, 1)]
    two.finish()
    assert two.is_clean()
    assert {p.name for p in two.project.path(IMAGES).iterdir()} > {"one.txt", "two.txt"}
    assert two.project.read("one.csv") + two.project.read("two.csv") == "12"
    assert two.project.read(".gitignore").split() == ["/base.csv", "/one.csv", "/two.csv"]


def test_a_path_that_both_changed_asks_and_nothing_is_written_before_it_is_answered(
    two: Branches,
) -> None:
    name = f"{IMAGES}/0001.txt"
    two.branch("one", adds({name: "one", f"{IMAGES}/0002.txt": "one"}, IMAGES))
    two.branch("two", adds({name: "two", f"{IMAGES}/0003.txt": "two"}, IMAGES))
    two.merge("one")
    before = two.project.read("mlx.lock")
    done = two.lock_merge()
    assert not done.settled
    assert [(q.path, q.name) for q in done.questions] == [(name, "data:images")]
    assert two.project.read("mlx.lock") == before

    assert two.lock_merge(theirs=["data"]).settled
    two.finish()
    assert two.is_clean()
    assert [two.project.read(f"{IMAGES}/000{n}.txt") for n in (1, 2, 3)] == ["one", "one", "two"]


@pytest.mark.parametrize("word", [".", "base.csv", "data:base", "./base.csv"])
def test_an_answer_is_a_path_a_folder_or_a_name(two: Branches, word: str) -> None:
    two.branch("one", adds({"base.csv": "one"}))
    two.branch("two", adds({"base.csv": "two"}))
    two.merge("one")
    assert two.lock_merge(theirs=[word]).settled
    two.finish()
    assert two.is_clean()
    assert two.project.read("base.csv") == "one"


def test_answers_that_mean_nothing_are_refused(two: Branches) -> None:
    two.branch("one", adds({"base.csv": "one"}))
    two.branch("two", adds({"base.csv": "two"}))
    two.merge("one")
    with pytest.raises(InputError, match="nothing asks") as caught:
        two.lock_merge(ours=["base.cvs"])
    assert caught.value.hint == "did you mean base.csv?"
    with pytest.raises(InputError, match="both sides"):
        two.lock_merge(ours=["base.csv"], theirs=["./base.csv"])


def test_nothing_to_merge_is_no_error(two: Branches) -> None:
    assert two.lock_merge(ours=["."]) == LockMerged()


def test_the_same_once_more_gives_the_same_and_what_came_after_is_not_overwritten(
    two: Branches,
) -> None:
    two.branch("one", adds({f"{IMAGES}/one.txt": "1"}, IMAGES))
    two.branch("two", adds({f"{IMAGES}/two.txt": "2"}, IMAGES))
    two.merge("one")
    two.lock_merge()
    text = two.project.read("mlx.lock")
    two.lock_merge()
    assert two.project.read("mlx.lock") == text

    two.project.do(checkout)
    two.project.write("base.csv", "new")
    two.project.do(add, ["base.csv"])
    text = two.project.read("mlx.lock")
    with pytest.raises(Refused, match="none of the versions") as caught:
        two.lock_merge()
    assert caught.value.where is not None
    assert '"size":3' in text.splitlines()[caught.value.where.line - 1]
    assert two.project.read("mlx.lock") == text


def test_removed_here_and_changed_there(two: Branches) -> None:
    two.branch("one", adds({"base.csv": "one"}))
    two.branch("two", lambda project: project.do(rm, ["base.csv"]))
    two.merge("one")
    done = two.lock_merge()
    assert [q.what for q in done.questions] == ["ours removed it, theirs changed it"]
    before = two.project.files()
    assert two.lock_merge(ours=["base.csv"]).settled
    with two.project.repo() as repo:
        assert "data:base" not in repo.declared.artifacts
        assert "data:base" not in repo.observed.locks["mlx.lock"]

    for path, content in before.items():
        two.project.write(path, content)
    assert two.lock_merge(theirs=["base.csv"]).settled
    two.finish()  # git took the row and the line for removed: both are there again
    assert two.is_clean()
    assert two.project.read("base.csv") == "one"
    assert "base.csv" not in two.project.git("ls-files")


def test_moved_here_and_changed_there_is_both(two: Branches) -> None:
    two.branch("one", adds({"base.csv": "one"}))
    two.branch("two", lambda project: project.do(mv, "base.csv", "moved.csv"))
    two.merge("one")
    assert two.lock_merge().settled
    two.finish()
    assert two.project.read("moved.csv") == "one"


def test_one_name_for_two_datasets_asks_once(two: Branches) -> None:
    two.branch("one", adds({"one/labels.csv": "1"}))
    two.branch("two", adds({"two/labels.csv": "2"}))
    two.merge("one")
    done = two.lock_merge()
    assert [q.name for q in done.questions] == ["data:labels"]
    assert two.lock_merge(theirs=["data:labels"]).settled
    two.finish()
    assert two.project.read("one/labels.csv") == "1"
    with two.project.repo() as repo:
        assert repo.declared.artifacts["data:labels"].path == "one/labels.csv"


def test_two_names_for_one_place_ask_and_the_other_row_goes_too(two: Branches) -> None:
    def named(name: str, text: str) -> Callable[[Project], object]:
        def work(project: Project) -> None:
            project.write("labels.csv", text)
            project.do(add, ["labels.csv"], name=name)

        return work

    two.branch("one", named("theirs", "1"))
    two.branch("two", named("mine", "2"))
    two.merge("one")
    [question] = two.lock_merge().questions
    assert question.what == "data:mine and data:theirs would be at one place"
    assert two.lock_merge(ours=["labels.csv"]).settled
    two.finish()
    assert two.is_clean()
    with two.project.repo() as repo:
        assert "data:theirs" not in repo.declared.artifacts


def test_empty_folders_of_both_sides_are_there(two: Branches) -> None:
    def makes(name: str) -> Callable[[Project], object]:
        def work(project: Project) -> None:
            project.path(f"{IMAGES}/{name}").mkdir()
            project.do(add, [IMAGES])

        return work

    two.branch("one", makes("one"))
    two.branch("two", makes("two"))
    two.merge("one")
    assert two.lock_merge().settled
    two.finish()
    assert two.is_clean()
    assert two.project.path(f"{IMAGES}/one").is_dir()
    assert two.project.path(f"{IMAGES}/two").is_dir()


# other files


def test_lines_of_the_users_conflict_and_their_file_is_left_alone(two: Branches) -> None:
    def work(name: str) -> Callable[[Project], object]:
        def edit(project: Project) -> None:
            project.write(f"{name}.csv", name)
            project.do(add, [f"{name}.csv"])
            project.write("mlx.yaml", project.read("mlx.yaml") + f"params: [{name}.yaml]\n")
            project.write(".gitignore", f"*.{name}\n" + project.read(".gitignore"))

        return edit

    two.branch("one", work("one"))
    two.branch("two", work("two"))
    two.merge("one")
    before = two.project.read("mlx.yaml"), two.project.read(".gitignore")
    done = two.lock_merge()
    assert not done.settled
    assert done.files == ("mlx.lock",)
    assert done.left == (".gitignore", "mlx.yaml")
    assert (two.project.read("mlx.yaml"), two.project.read(".gitignore")) == before


def test_a_row_with_the_users_comment_keeps_it(two: Branches) -> None:
    def commented(project: Project) -> None:
        adds({"two.csv": "2"})(project)
        text = project.read("mlx.yaml").replace("  two:\n", "  # the second\n  two:\n")
        project.write("mlx.yaml", text)

    two.branch("one", adds({"one.csv": "1"}))
    two.branch("two", commented)
    two.merge("one")
    two.lock_merge()
    assert "# the second" in two.project.read("mlx.yaml")


def test_other_edits_of_mlx_yaml_come_along(two: Branches) -> None:
    def with_stage(project: Project) -> None:
        adds({"one.csv": "1"})(project)
        text = "# ours\nparams: [p.yaml]\n" + project.read("mlx.yaml")
        project.write("mlx.yaml", text)

    two.branch("one", adds({"two.csv": "2"}))
    two.branch("two", with_stage)
    two.merge("one")
    assert two.lock_merge().settled
    text = two.project.read("mlx.yaml")
    assert text.startswith("# ours\nparams: [p.yaml]\n")
    with two.project.repo() as repo:
        assert set(repo.declared.artifacts) == {"data:images", "data:base", "data:one", "data:two"}


def test_what_somebody_has_settled_is_left_alone(two: Branches) -> None:
    two.branch("one", adds({"one.csv": "1"}))
    two.branch("two", adds({"two.csv": "2"}))
    two.merge("one")
    ours = two.project.git("show", ":2:mlx.yaml")
    two.project.write("mlx.yaml", ours)
    assert two.lock_merge().files == (".gitignore", "mlx.lock")
    assert two.project.read("mlx.yaml") == ours


def test_a_file_with_lines_of_ones_own_is_refused_and_nothing_is_written(two: Branches) -> None:
    two.branch("one", adds({"one.csv": "1"}))
    two.branch("two", adds({"two.csv": "2"}))
    two.merge("one")
    two.project.write("mlx.yaml", two.project.read("mlx.yaml") + "# half of my work\n")
    before = two.project.files()
    with pytest.raises(Refused) as caught:
        two.lock_merge()
    assert caught.value.where is not None
    assert caught.value.where.file == "mlx.yaml"
    assert two.project.files() == before


# stages


def runs(value: int) -> Callable[[Project], object]:
    def work(project: Project) -> None:
        project.write("params.yaml", f"p: {value}\n")
        pipeline = Pipeline(project)
        assert set(pipeline.outcomes().values()) <= {"ran", "up-to-date"}

    return work


@pytest.fixture
def ran(project: Project) -> Branches:
    """A pipeline whose second stage two branches run, each with a param of its own."""
    Pipeline(project).chain()
    two = Branches(project)
    two.branch("one", runs(11))
    two.branch("two", runs(22))
    return two


def test_a_stage_that_both_ran_is_marked_and_both_results_stay_reachable(ran: Branches) -> None:
    shutil.rmtree(ran.project.path(".git/mlx/actions"))  # as in a clone
    ran.merge("one")
    done = ran.lock_merge()
    assert done.unverified == ("second",)
    record = Pipeline(ran.project).record("second")
    assert record.state == {"unverified": True}
    cache = ActionCache(str(ran.project.path(".git/mlx/actions")))
    for branch in ("one", "two"):
        lock = parse_lock(ran.project.git("show", f"{branch}:mlx.lock").encode(), "mlx.lock")
        then = lock["stage:second"]
        assert isinstance(then, StageRecord)
        [result] = cache.get(then.key)  # type: ignore[arg-type]
        assert result.outs == then.outs


def test_repro_takes_up_the_side_whose_inputs_the_merge_has(ran: Branches) -> None:
    shutil.rmtree(ran.project.path(".git/mlx/actions"))
    ran.merge("one")
    ran.lock_merge()
    ran.project.write("params.yaml", "p: 11\n")
    pipeline = Pipeline(ran.project)
    assert pipeline.outcomes()["second"] == "restored"
    assert pipeline.record("second").state is None
    assert "p: 11" in ran.project.read("second.txt")


def test_a_record_changed_by_hand_is_not_put_where_results_are_found(ran: Branches) -> None:
    shutil.rmtree(ran.project.path(".git/mlx/actions"))
    text = ran.project.read("mlx.lock").replace("cat first.txt", "cat other.txt")
    ran.project.write("mlx.lock", text)
    ran.project.commit("by hand")
    ran.merge("one")
    assert ran.lock_merge().unverified == ("second",)
    assert len(list(ran.project.path(".git/mlx/actions").iterdir())) == 1


# where the versions come from


def test_marks_that_somebody_committed_are_settled_from_the_merges_parents(two: Branches) -> None:
    two.branch("one", adds({f"{IMAGES}/one.txt": "1", "one.csv": "1"}, IMAGES, "one.csv"))
    two.branch("two", adds({f"{IMAGES}/two.txt": "2", "two.csv": "2"}, IMAGES, "two.csv"))
    two.merge("one")
    two.project.git("add", "--all")
    staged = two.project.path("mlx.lock").read_bytes()
    assert two.lock_merge().settled  # while git waits for the commit
    good = two.project.files()
    two.project.write("mlx.lock", staged)
    for name in ("mlx.yaml", ".gitignore"):
        two.project.git("checkout", "--", name)
    two.project.git("commit", "--quiet", "--no-edit")
    two.project.git("commit", "--quiet", "--allow-empty", "--message=more")

    assert two.lock_merge().settled
    assert two.project.files() == good


def doubled(two: Branches) -> str:
    """Make a merge that git takes for clean and that doubles a record, and return its lock."""
    two.branch("one", adds({"base.csv": "one"}))
    two.branch("two", adds({"base.csv": "two"}))
    one, mine = (two.project.git("show", f"{name}:mlx.lock") for name in ("one", "two"))
    record = one[one.index('"data:base"') :]
    two.project.git("merge", "--no-commit", "--strategy=ours", "one")
    two.project.write("mlx.lock", f"{mine}\n{record}")
    two.project.git("add", "mlx.lock")
    two.project.git("commit", "--quiet", "--no-edit")
    return two.project.read("mlx.lock")


def test_a_record_that_a_clean_merge_doubled_is_settled_from_the_merges_parents(
    two: Branches,
) -> None:
    text = doubled(two)
    with pytest.raises(InputError, match="twice") as caught:
        two.project.do(status)
    assert "mlx lock merge" in str(caught.value.hint)
    assert [q.path for q in two.lock_merge().questions] == ["base.csv"]
    assert two.project.read("mlx.lock") == text
    assert two.lock_merge(theirs=["base.csv"]).settled
    two.project.do(checkout)
    assert two.project.read("base.csv") == "one"


def test_a_broken_lock_that_no_merge_made_is_named_with_its_line(two: Branches) -> None:
    text = two.project.read("mlx.lock")
    two.project.write("mlx.lock", text[: len(text) // 2])
    with pytest.raises(InputError, match="no merge") as caught:
        two.lock_merge()
    assert caught.value.where is not None
    assert caught.value.hint
    assert two.project.read("mlx.lock") == text[: len(text) // 2]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text.replace('"format":1', '"format":2'), "another mlx"),
        (lambda text: text[: len(text) - 30], "not JSON"),
        (lambda text: text.replace('"kind"', '"sort"', 1), "unknown key"),
    ],
)
def test_a_side_that_cannot_be_read_is_named_and_nothing_is_written(
    two: Branches, damage: Callable[[str], str], message: str
) -> None:
    two.branch("one", adds({"base.csv": "one"}))
    two.project.write("mlx.lock", damage(two.project.read("mlx.lock")))
    two.project.commit("damaged")
    two.branch("two", adds({"base.csv": "two"}))
    two.merge("one")
    before = two.project.files()
    with pytest.raises(InputError, match=message) as caught:
        two.lock_merge()
    assert caught.value.where is not None
    assert caught.value.where.file == "mlx.lock (theirs)"
    assert caught.value.hint
    assert two.project.files() == before


def test_in_a_clone_without_the_listings_it_cannot_be_decided(two: Branches) -> None:
    two.branch("one", adds({f"{IMAGES}/one.txt": "1"}, IMAGES))
    two.branch("two", adds({f"{IMAGES}/two.txt": "2"}, IMAGES))
    two.project.git("clone", "--quiet", str(two.project.root), "../clone")
    clone = Project(two.project.root.parent / "clone")
    clone.git("merge", "--no-edit", "origin/one", check=False)
    before = clone.files()
    with pytest.raises(CannotDecide, match=IMAGES):
        clone.do(lock_merge)
    assert clone.files() == before


def test_rebase_and_cherry_pick_are_merges_too(two: Branches) -> None:
    two.branch("one", adds({f"{IMAGES}/one.txt": "1", "one.csv": "1"}, IMAGES, "one.csv"))
    two.branch("two", adds({f"{IMAGES}/two.txt": "2", "two.csv": "2"}, IMAGES, "two.csv"))
    two.project.git("rebase", "one", check=False)
    done = two.lock_merge()
    assert (done.ours, done.theirs) == (("data:one",), ("data:two",))
    two.project.git("add", "--all")
    two.project.git("-c", "core.editor=true", "rebase", "--continue")
    two.project.do(checkout)
    assert two.is_clean()
    assert two.project.read("one.csv") + two.project.read("two.csv") == "12"


# git's driver


def as_files(two: Branches, names: tuple[str, str, str]) -> list[str]:
    """Write the locks of three commits as git does for a driver, and return their names."""
    for number, commit in enumerate(names):
        text = two.project.git("show", f"{commit}:mlx.lock") if commit else ""
        two.project.write(f".merge_file_{number}", text)
    return [f".merge_file_{number}" for number in range(3)]


def test_the_driver_writes_the_result_into_ours(two: Branches) -> None:
    two.branch("one", adds({f"{IMAGES}/one.txt": "1"}, IMAGES))
    two.branch("two", adds({f"{IMAGES}/two.txt": "2"}, IMAGES))
    names = as_files(two, ("main", "two", "one"))
    assert two.project.do(lock_merge_files, *names, "mlx.lock").settled
    found = parse_lock(two.project.path(names[1]).read_bytes(), "mlx.lock")["data:images"]
    assert isinstance(found, DataRecord)
    with two.project.repo() as repo:
        assert {"one.txt", "two.txt"} < repo.store.tree(found.entry.oid).keys()
        assert repo.store.is_whole(found.entry)


def test_what_asks_stands_in_conflict_and_the_rest_is_merged(two: Branches) -> None:
    two.branch("one", adds({f"{IMAGES}/one.txt": "1", "base.csv": "one"}, IMAGES, "base.csv"))
    two.branch("two", adds({f"{IMAGES}/two.txt": "2", "base.csv": "two"}, IMAGES, "base.csv"))
    names = as_files(two, ("main", "two", "one"))
    done = two.project.do(lock_merge_files, *names, "mlx.lock")
    assert [q.path for q in done.questions] == ["base.csv"]
    lines = two.project.read(names[1]).splitlines()
    at = lines.index("<<<<<<< ours")
    assert lines[at + 1] == lines[at + 4] == '"data:base"'
    assert [lines[at + 3], lines[at + 6]] == ["=======", ">>>>>>> theirs"]
    assert '"files":8' in lines[lines.index('"data:images"') + 1]


def test_without_an_ancestor_equal_records_are_one(two: Branches) -> None:
    two.branch("one", adds({"one.csv": "1"}))
    two.branch("two", adds({"two.csv": "2"}))
    names = as_files(two, ("", "two", "one"))
    assert two.project.do(lock_merge_files, *names, "mlx.lock").settled


def test_killed_anywhere_the_same_command_completes_it(two: Branches, tmp_path, killer) -> None:
    two.branch("one", adds({f"{IMAGES}/one.txt": "1", "one.csv": "1"}, IMAGES, "one.csv"))
    two.branch("two", adds({f"{IMAGES}/two.txt": "2", "two.csv": "2"}, IMAGES, "two.csv"))
    two.merge("one")
    whole = Project(tmp_path / "whole")
    shutil.copytree(two.project.root, whole.root, symlinks=True)
    whole.do(lock_merge)
    for step, copy in copies(two.project, tmp_path / "copies"):
        if not killer.killed(step, copy, "lock", "merge"):
            assert step > 3
            break
        copy.do(lock_merge)
        assert copy.files() == whole.files()


def test_a_merge_of_three_is_not_taken_apart(two: Branches) -> None:
    for name in ("one", "two", "three"):
        two.branch(name, adds({"base.csv": name}))
    two.project.git("merge", "--quiet", "--strategy=ours", "--no-edit", "one", "two")
    lock = two.project.read("mlx.lock")
    two.project.write("mlx.lock", f"{lock}\n" + lock[lock.index('"data:base"') :])
    two.project.git("commit", "--quiet", "--all", "--amend", "--no-edit")
    with pytest.raises(CannotDecide, match="3 branches") as caught:
        two.lock_merge()
    assert caught.value.hint


def test_a_broken_lock_is_taken_from_the_merge_that_broke_it_and_not_from_a_later_one(
    two: Branches,
) -> None:
    text = doubled(two)
    two.project.git("branch", "broken")
    two.project.git("checkout", "--quiet", "-b", "side", "broken~1")
    two.project.write("notes.md")
    two.project.commit("notes")
    two.project.git("checkout", "--quiet", "broken")
    two.project.git("merge", "--no-edit", "--strategy=ours", "side")
    assert two.project.read("mlx.lock") == text
    assert two.lock_merge(ours=["base.csv"]).settled
    assert two.lock_merge() == LockMerged()


def test_a_merge_in_a_linked_worktree_is_its_own(two: Branches) -> None:
    two.branch("one", adds({f"{IMAGES}/one.txt": "1"}, IMAGES))
    two.branch("two", adds({f"{IMAGES}/two.txt": "2"}, IMAGES))
    other = two.project.worktree("three")
    other.git("merge", "--no-edit", "one", check=False)
    assert two.lock_merge() == LockMerged()
    assert [folder.path for folder in other.do(lock_merge).folders] == [IMAGES]
    other.git("add", "mlx.lock")
    other.git("commit", "--quiet", "--no-edit")
    other.do(checkout)
    assert {"one.txt", "two.txt"} < {path.name for path in other.path(IMAGES).iterdir()}


def test_new_listings_are_in_the_store_before_the_lock_names_them(two: Branches) -> None:
    """Gc finds nothing to take of what the merged lock needs, and the files are all there."""
    for name in ("one", "two"):
        two.branch(name, adds({f"{IMAGES}/{name}/deep/{name}.txt": name}, IMAGES))
    two.merge("one")
    two.lock_merge()
    two.project.do(gc, apply=True, grace=0)
    with two.project.repo() as repo:
        [record] = [item for item in repo.observed.tracked() if item.path == IMAGES]
        assert repo.store.is_whole(record.entry)
