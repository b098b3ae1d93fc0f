"""mlx repro: which stages a run is about, and what counts as a reason to run."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from pipeline_project import Pipeline
from sandbox import Project

from mlxrepo.errors import InputError

# raw -> clean -> train -> report, and beside them: clean -> stats, apart
TREE = """
stages:
  raw: {cmd: cp source.txt raw.txt, deps: [source.txt], outs: [raw.txt]}
  clean: {cmd: cp raw.txt clean.txt, deps: [raw.txt], outs: [clean.txt]}
  train: {cmd: cp clean.txt model.txt, deps: [clean.txt], outs: [model.txt]}
  report: {cmd: cp model.txt report.txt, deps: [model.txt], outs: [report.txt]}
  stats: {cmd: cp clean.txt stats.txt, deps: [clean.txt], outs: [stats.txt]}
  apart: {cmd: cp other.txt apart.txt, deps: [other.txt], outs: [apart.txt]}
"""


@pytest.fixture
def tree(tmp_path: Path) -> Pipeline:
    """Return a pipeline of six stages that has not run."""
    pipe = Pipeline(Project.create(tmp_path / "project"))
    pipe.write("source.txt", "1\n")
    pipe.write("other.txt", "1\n")
    pipe.declare(TREE)
    return pipe


def ran(outcomes: dict[str, str]) -> set[str]:
    return {stage for stage, outcome in outcomes.items() if outcome == "ran"}


def chosen(pipe: Pipeline, *targets: str, **options: object) -> str:
    """Return the stages that a run would be about, in order."""
    return " ".join(report.stage for report in pipe.repro(*targets, dry_run=True, **options).stages)


def test_each_way_to_select(tree: Pipeline) -> None:
    assert chosen(tree, "train") == "raw clean train"
    assert chosen(tree, "model.txt") == "raw clean train"
    assert chosen(tree, "stats", "apart") == "raw clean stats apart"
    assert chosen(tree, "train", single=True) == "train"
    assert chosen(tree, "train", downstream=True) == "train report"
    assert chosen(tree, "clean", downstream=True) == "clean train report stats"
    assert chosen(tree, start=("clean",)) == "clean train report stats"
    assert chosen(tree, end=("train",)) == "raw clean train"
    assert chosen(tree, start=("clean",), end=("train",)) == "clean train"
    assert chosen(tree, start=("train", "stats")) == "train report stats"
    assert chosen(tree, "report", start=("train",)) == "train report"
    assert chosen(tree) == chosen(tree, single=True) == "raw clean train report stats apart"


def test_stages_of_a_foreach_are_named_alone_together_and_by_a_pattern(tree: Pipeline) -> None:
    tree.declare("""
        stages:
          part:
            foreach: [us, uk]
            do: {cmd: "echo ${item} > ${item}.txt", outs: ["${item}.txt"]}
        """)
    assert chosen(tree, "part@us") == "part@us"
    assert chosen(tree, "part") == chosen(tree, "part@*") == "part@us part@uk"


def test_a_selection_that_makes_no_sense_is_refused(tree: Pipeline) -> None:
    with pytest.raises(InputError, match="none is named"):
        tree.repro(downstream=True)
    for options in ({"downstream": True}, {"start": ("raw",)}, {"end": ("train",)}):
        with pytest.raises(InputError, match="--single"):
            tree.repro("train", single=True, **options)
    with pytest.raises(InputError, match='"trian" is no stage') as caught:
        tree.repro(end=("trian",))
    assert caught.value.hint == "did you mean train?"


def test_single_and_downstream_leave_what_is_above_as_it_is(tree: Pipeline) -> None:
    tree.outcomes()
    tree.write("source.txt", "2\n")
    assert tree.outcomes("train", single=True) == {"train": "up-to-date"}
    tree.path("raw.txt").write_text("by hand\n")
    assert tree.outcomes("clean", downstream=True, end=("train",)) == {
        "clean": "ran",
        "train": "ran",
    }
    assert tree.read("model.txt") == "by hand\n"
    assert ran(tree.outcomes()) == {"raw", "clean", "train", "report", "stats"}


def test_records_of_stages_that_are_not_declared_go_with_a_whole_run_only(tree: Pipeline) -> None:
    tree.outcomes()
    tree.declare(TREE.replace("  apart:", "  other:"))
    for options in ({"start": ("clean",)}, {"end": ("clean",)}):
        assert tree.repro(**options).forgotten == ()
    assert tree.repro().forgotten == ("apart",)


def test_force_runs_the_selected_stages(tree: Pipeline) -> None:
    tree.outcomes()
    assert tree.outcomes("train", single=True, force=True) == {"train": "ran"}
    assert ran(tree.outcomes("clean", force=True)) == {"raw", "clean"}


def test_without_the_run_cache_what_is_not_on_record_runs(tree: Pipeline) -> None:
    tree.outcomes("apart")
    tree.write("other.txt", "2\n")
    tree.outcomes("apart")
    tree.write("other.txt", "1\n")
    assert tree.outcomes("apart", run_cache=False, dry_run=True) == {"apart": "run"}
    assert tree.outcomes("apart", dry_run=True) == {"apart": "restore"}
    assert tree.outcomes("apart", run_cache=False) == {"apart": "ran"}
    tree.path("apart.txt").unlink()
    assert tree.outcomes("apart", run_cache=False) == {"apart": "restored"}  # it is on record


FAILING = """
stages:
  bad: {cmd: "echo half > bad.txt; exit 3", outs: [bad.txt]}
  needs: {cmd: cp bad.txt needs.txt, deps: [bad.txt], outs: [needs.txt]}
  too: {cmd: cp needs.txt too.txt, deps: [needs.txt], outs: [too.txt]}
  good: {cmd: echo good > good.txt, outs: [good.txt]}
  after: {cmd: cp good.txt after.txt, deps: [good.txt], outs: [after.txt]}
"""


def test_a_failure_stops_the_run_and_keep_going_stops_only_what_needs_it(tree: Pipeline) -> None:
    tree.declare(FAILING)
    told = {r.stage: (r.outcome, r.why) for r in tree.repro(jobs=1).stages if not r.error}
    assert told == {
        "needs": ("blocked", "bad failed"),
        "too": ("blocked", "bad failed"),
        "good": ("skipped", "bad failed"),
        "after": ("skipped", "bad failed"),
    }
    for jobs in (1, 4):
        done = tree.repro(jobs=jobs, keep_going=True, force=True)
        assert {r.stage: r.outcome for r in done.stages} == {
            "bad": "failed",
            "needs": "blocked",
            "too": "blocked",
            "good": "ran",
            "after": "ran",
        }
        assert tree.recorded() == {"stage:good", "stage:after"}
        assert not tree.path("bad.txt").exists()


def test_what_runs_beside_a_failure_ends_and_is_recorded(tree: Pipeline) -> None:
    tree.declare("""
        stages:
          bad: {cmd: "until [ -e begun ]; do sleep 0.01; done; exit 1", outs: [bad.txt]}
          slow: {cmd: "touch begun; sleep 0.3; echo slow > slow.txt", outs: [slow.txt]}
          later: {cmd: touch later.txt, outs: [later.txt]}
        """)
    done = {r.stage: r.outcome for r in tree.repro(jobs=2).stages}
    assert done == {"bad": "failed", "slow": "ran", "later": "skipped"}
    assert tree.recorded() == {"stage:slow"}


def test_keep_going_tells_every_failure_and_exits_with_4(tree: Pipeline) -> None:
    tree.declare(FAILING.replace("cp good.txt after.txt", "echo no; exit 5"))
    done = tree.project.mlx("repro", "--keep-going", "-j", "1")
    assert done.returncode == 4
    assert "stage bad failed: exit 3" in done.stderr
    assert "stage after failed: exit 5" in done.stderr
    assert "5 stages: 2 failed, 2 blocked, 1 ran" in done.stderr


def test_a_dry_run_answers_scripts_by_its_exit_code(tree: Pipeline) -> None:
    words = ("repro", "--dry-run", "--exit-code")
    assert tree.project.mlx(*words).returncode == 1
    assert tree.project.mlx("repro", "--dry-run").returncode == 0
    tree.outcomes()
    assert tree.project.mlx(*words).returncode == 0
    tree.path("apart.txt").unlink()
    assert tree.project.mlx(*words).returncode == 0  # it is restored, no command runs
    tree.write("other.txt", "new\n")
    assert tree.project.mlx(*words).returncode == 1
    refused = tree.project.mlx("repro", "--exit-code")
    assert refused.returncode == 2
    assert "--dry-run" in refused.stderr


# what is missing


def clone_of(pipe: Pipeline) -> Pipeline:
    """Return a clone: it has what git keeps, and no store."""
    pipe.project.commit()
    place = pipe.root.parent / "clone"
    pipe.project.git("clone", "--quiet", str(pipe.root), str(place))
    return Pipeline(Project(place))


def test_a_clone_without_data_is_up_to_date_when_missing_is_allowed(tree: Pipeline) -> None:
    tree.outcomes()
    clone = clone_of(tree)
    assert set(clone.outcomes(dry_run=True).values()) == {"run", "may-run"}
    assert set(clone.outcomes(dry_run=True, allow_missing=True).values()) == {"up-to-date"}
    assert set(clone.outcomes(allow_missing=True).values()) == {"up-to-date"}
    assert not clone.path("raw.txt").exists()


def test_what_changed_runs_though_missing_is_allowed(tree: Pipeline) -> None:
    tree.outcomes()
    clone = clone_of(tree)
    clone.write("other.txt", "new\n")
    changed = clone.outcomes(allow_missing=True)
    assert changed.pop("apart") == "ran"
    assert set(changed.values()) == {"up-to-date"}
    clone.path("apart.txt").write_text("by hand\n")  # that is not missing
    assert clone.outcomes("apart", allow_missing=True) == {"apart": "restored"}


def test_deleted_data_counts_as_missing_too(tree: Pipeline) -> None:
    tree.outcomes()
    for name in ("source.txt", "raw.txt", "clean.txt"):
        tree.path(name).unlink()
    assert set(tree.outcomes(allow_missing=True).values()) == {"up-to-date"}
    with pytest.raises(InputError, match=r"source\.txt"):
        tree.repro()


def test_a_deleted_file_of_a_dataset_counts_as_missing_too(tree: Pipeline) -> None:
    for name in "ab":
        tree.write(f"data/{name}.txt", name)
    tree.project.mlx("add", "data")
    tree.declare("stages: {only: {cmd: ls data > list.txt, deps: [data], outs: [list.txt]}}")
    tree.outcomes()
    tree.path("data/a.txt").unlink()
    assert tree.outcomes(dry_run=True) == {"only": "run"}
    assert tree.outcomes(dry_run=True, allow_missing=True) == {"only": "up-to-date"}
    assert tree.outcomes(allow_missing=True) == {"only": "up-to-date"}
    tree.write("data/c.txt", "c")  # new data is recorded, what is missing stays so
    assert tree.outcomes(allow_missing=True) == {"only": "ran"}
    listed = tree.project.mlx("ls", "data").stdout
    assert all(name in listed for name in ("a.txt", "b.txt", "c.txt"))


def test_a_stage_that_has_to_run_without_its_data_says_what_it_lacks(tree: Pipeline) -> None:
    tree.outcomes()
    clone = clone_of(tree)
    clone.declare(TREE.replace("cp model.txt", "cp -p model.txt"))
    [failed] = [r for r in clone.repro(allow_missing=True).stages if r.error]
    assert failed.stage == "report"
    assert "model.txt is recorded but not here" in str(failed.error)
    shutil.rmtree(clone.root / ".git/mlx", ignore_errors=True)
    tree.path("source.txt").unlink()
    tree.declare(TREE.replace("cp source.txt", "cp -p source.txt"))
    error = next(r.error for r in tree.repro("raw", allow_missing=True).stages if r.error)
    assert "source.txt is not here, and stage raw has to run: the command changed" in str(error)
