"""Gates on metrics with real git: 0 passes, 1 fails, 3 cannot decide; none passes on what is stale.

Each test types `mlx metrics diff … --fail-if …`. The stage `evaluate` takes its numbers from
given.json; what it measures depends on params.yaml too, and on what `prepare` makes.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pipeline_project import Pipeline
from sandbox import Project
from user import User

PIPELINE = """\
datasets:
  raw: {path: raw.csv}
stages:
  prepare:
    cmd: cat raw.csv > prepared.txt
    deps: [raw.csv]
    outs: [prepared.txt]
  evaluate:
    cmd: cp given.json m.json
    deps: [prepared.txt, given.json]
    params: [lr, {more.json: [depth]}]
    metrics: [m.json]
"""


class Gated(User):
    """A user with two commits, `v1` and `main`, whose records hold."""

    def measure(self, **values: float) -> None:
        """Let the stages run on given numbers."""
        self.write("given.json", json.dumps(values))
        self.ok("repro", "-q")

    def gate(self, condition: str, *words: str) -> tuple[int, str]:
        """Ask a gate; return its exit code and what it said on stderr."""
        done = self.mlx("metrics", "diff", *words, "--fail-if", condition)
        assert "Traceback" not in done.stderr
        return done.returncode, done.stderr

    def codes(self, condition: str, *words: str) -> tuple[int, int]:
        """Ask a gate and, where it has an answer, its opposite."""
        code = self.gate(condition, *words)[0]
        return code, code if code == 3 else self.gate(f"not ({condition})", *words)[0]


DECIDED = {(0, 1), (1, 0)}
UNDECIDED = (3, 3)


@pytest.fixture
def user(tmp_path: Path) -> Gated:
    user = Gated(tmp_path / "project")
    user.root.mkdir()
    user.git("init", "--quiet", "--initial-branch=main")
    user.ok("init")
    user.write("raw.csv", "1\n")
    user.write("params.yaml", "lr: 0.1\n")
    user.write("more.json", '{"depth": 3}')
    user.write("mlx.yaml", PIPELINE)
    user.ok("add", "raw.csv")
    user.measure(auc=0.8, f1=0.5, n=3)
    user.commit()
    user.git("tag", "v1")
    user.measure(auc=0.75, f1=0.6, n=3)
    user.commit()
    return user


# --- what is decided ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("condition", "code"),
    [
        ("auc < base.auc", 1),
        ("auc < base.auc - 0.1", 0),
        ("auc < base.auc - 0.1 or f1 < 0.8", 1),
        ("m.json:auc < 0.7", 0),
        ("evaluate:m.json:auc < 0.7", 0),
        ("base.evaluate:m.json:auc < 0.9", 1),
        ("params.lr == base.params.lr", 1),
        ("params.more.json:depth > 3", 0),
        ("data:raw != base.data:raw", 0),
        ("not (auc > 0.7 and f1 > 0.5)", 0),
    ],
)
def test_a_gate_fails_when_it_is_true(user: Gated, condition: str, code: int) -> None:
    assert user.gate(condition, "v1", "HEAD")[0] == code
    assert user.gate(condition, "v1")[0] == code


def test_it_says_with_which_numbers(user: Gated) -> None:
    code, said = user.gate("auc < base.auc", "v1")
    assert code == 1
    assert "gate failed: auc < base.auc  (auc = 0.75, base.auc = 0.8)" in said
    code, said = user.gate("auc > base.auc", "v1")
    assert code == 0
    assert "gate passed: not auc > base.auc" in said
    done = user.mlx("-q", "metrics", "diff", "v1", "--fail-if", "auc < base.auc")
    assert "gate failed" in done.stderr
    document = json.loads(user.mlx("metrics", "diff", "v1", "--json", "--fail-if", "x < 1").stdout)
    assert document["gate"]["verdict"] == "undecided"
    assert "has no metric x" in document["gate"]["reasons"][0]


def test_a_wrong_expression_is_misuse_even_where_nothing_is_recorded(tmp_path: Path) -> None:
    user = Gated.begin(tmp_path / "empty")
    said = user.fails(2, "metrics", "diff", "--fail-if", "auc = 1")
    assert "auc = 1\n      ^" in said
    assert "write `==`" in said
    assert "neither true nor false" in user.fails(2, "metrics", "diff", "--fail-if", "auc - 1")
    user.fails(2, "metrics", "diff", "--fail-if", "")


# --- what is not there ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        ("acu < 0.1", "has no metric acu (did you mean auc?)"),
        ("auc < 0.1 and acu < 0.1", "has no metric acu"),
        ("auc < 0.1 or base.acu < 0.1", "v1 has no metric acu"),
        ("champion.auc < 0.1", "has no metric champion.auc"),
        ("params.lrs < 1", "the workspace has no params.lrs (did you mean params.lr?)"),
        ("m.jsn:auc < 0.1", "did you mean m.json:auc?"),
        ("data:rows == 'x'", "has no data:rows on record"),
        ("auc < 'good'", "cannot be compared"),
        ("auc / (n - n) < 1", "divides by (n - n), which is 0"),
    ],
)
def test_what_is_missing_or_no_number_is_undecided(
    user: Gated, condition: str, reason: str
) -> None:
    assert user.codes(condition, "v1") == UNDECIDED
    said = user.gate(condition, "v1", "--allow-stale")
    assert said[0] == 3
    assert reason in said[1]


def test_nan_is_undecided_and_infinity_is_a_number(user: Gated) -> None:
    user.measure(auc=float("nan"), f1=float("inf"), n=3)
    assert user.codes("auc < 0.1", "v1") == UNDECIDED
    assert "auc is NaN" in user.gate("auc < 0.1")[1]
    assert user.codes("f1 > 1", "v1") == (1, 0)
    user.commit()
    assert user.codes("base.auc < 0.1") == UNDECIDED


def test_a_name_in_two_files_is_undecided_and_both_are_named(user: Gated) -> None:
    second = "  second: {cmd: cp given.json n.json, deps: [given.json], metrics: [n.json]}\n"
    user.write("mlx.yaml", user.read("mlx.yaml") + second)
    user.ok("repro", "-q")
    code, said = user.gate("auc < 0.1", "v1")
    assert code == 3
    assert "auc is in several files of the workspace: write m.json:auc or n.json:auc" in said
    assert user.gate("n.json:auc < 0.1 or m.json:auc < 0.1", "v1")[0] == 0
    assert user.gate("base.auc < 0.1", "v1")[0] == 0  # there it is in one


def test_a_param_in_two_files_and_one_that_yaml_reads_in_two_ways(user: Gated) -> None:
    user.write("more.json", '{"depth": 3, "lr": 1}')
    code, said = user.gate("params.lr > 1", "--allow-stale")
    assert code == 3
    assert "write params.more.json:lr or params.params.yaml:lr" in said
    user.write("more.json", '{"depth": 3}')
    user.write("params.yaml", "lr: no\n")
    code, said = user.gate("params.lr == 'no'", "--allow-stale")
    assert code == 3
    assert "is 'no' in YAML 1.2 and False in YAML 1.1" in said


def test_a_stage_that_never_ran_has_no_metrics(user: Gated) -> None:
    user.write("mlx.yaml", user.read("mlx.yaml") + "  new: {cmd: 'false', metrics: [new.json]}\n")
    assert user.codes("new < 1", "v1") == UNDECIDED
    assert user.codes("auc < 1", "v1") == (1, 0)  # others are as fresh as before


def test_without_a_base_there_is_no_answer(tmp_path: Path, user: Gated) -> None:
    fresh = Gated.begin(tmp_path / "other")
    assert fresh.gate("auc < 1")[0] == 3
    fresh.commit()
    assert fresh.gate("auc < 1")[0] == 3
    assert user.gate("auc < 1", "nowhere")[0] == 3
    assert user.gate("auc < 1", "v1", "nowhere")[0] == 3


# --- what does not hold ---------------------------------------------------------------------------


def stale_param(user: Gated) -> None:
    user.write("params.yaml", "lr: 0.2\n")


def stale_dep(user: Gated) -> None:
    user.write("given.json", '{"auc": 1}')


def stale_upstream(user: Gated) -> None:
    user.write("raw.csv", "2\n")
    user.ok("add", "raw.csv")


def edited_metrics(user: Gated) -> None:
    user.write("m.json", '{"auc": 0.99, "f1": 0.99, "n": 3}')


def edited_record(user: Gated) -> None:
    text = user.read("mlx.lock")
    user.write("mlx.lock", text.replace('"auc":0.75', '"auc":0.99'))
    assert user.read("mlx.lock") != text


def deleted_metrics(user: Gated) -> None:
    user.path("m.json").unlink()


def changed_command(user: Gated) -> None:
    user.write("mlx.yaml", user.read("mlx.yaml").replace("cp given", "cp -f given"))


def renamed_stage(user: Gated) -> None:
    user.write("mlx.yaml", user.read("mlx.yaml").replace("evaluate:", "assess:"))


def deleted_dep(user: Gated) -> None:
    user.path("given.json").unlink()


def unverified(user: Gated) -> None:
    text = user.read("mlx.lock")
    at = text.index('"stage:evaluate"')
    user.write("mlx.lock", text[:at] + text[at:].replace("}]", '}],"state":{"unverified":true}', 1))


def edited_data(user: Gated) -> None:
    user.write("raw.csv", "2\n")


def edited_out(user: Gated) -> None:
    user.write("prepared.txt", "2\n")


def broken_params(user: Gated) -> None:
    user.write("params.yaml", "<<<<<<< ours\nlr: 1\n=======\nlr: 2\n>>>>>>> theirs\n")


WAYS = [
    stale_param,
    stale_dep,
    stale_upstream,
    edited_metrics,
    edited_record,
    deleted_metrics,
    changed_command,
    renamed_stage,
    deleted_dep,
    broken_params,
]


@pytest.mark.parametrize("spoil", WAYS, ids=lambda way: way.__name__)
def test_no_gate_passes_on_what_does_not_hold(user: Gated, spoil: object) -> None:
    """In the workspace, as a commit that is judged, and as the commit compared with."""
    assert callable(spoil)
    spoil(user)
    assert user.codes("auc < 0.1", "v1") == UNDECIDED
    assert user.codes("f1 > 2 or n < base.n", "v1") == UNDECIDED
    said = user.gate("auc < 0.1", "v1")[1]
    assert "auc of the workspace is " in said
    assert "* workspace: m.json is " in said
    user.commit()
    assert user.codes("auc < 0.1", "v1", "HEAD") == UNDECIDED
    assert user.codes("base.auc < 0.1", "HEAD", "v1") == UNDECIDED
    assert user.codes("auc < 0.1", "v1", "HEAD", "--allow-stale") in DECIDED
    assert user.codes("auc < 0.1", "HEAD", "v1") in DECIDED  # v1 holds, and nothing else is asked


@pytest.mark.parametrize("spoil", [edited_data, edited_out], ids=lambda way: way.__name__)
def test_no_gate_on_the_workspace_passes_with_other_data_than_is_recorded(
    user: Gated, spoil: object
) -> None:
    assert callable(spoil)
    spoil(user)
    assert user.codes("auc < 0.1", "v1") == UNDECIDED
    assert user.codes("auc < 0.1", "v1", "HEAD") == (0, 1)  # git has what was measured
    assert user.codes("auc < 0.1", "v1", "--allow-stale") == (0, 1)


def test_data_that_was_edited_is_no_operand(user: Gated) -> None:
    edited_data(user)
    assert user.codes("data:raw != base.data:raw", "v1") == UNDECIDED
    assert user.codes("data:raw != base.data:raw", "v1", "HEAD") == (0, 1)


@pytest.mark.parametrize(
    "spoil", [edited_record, edited_metrics, deleted_metrics, stale_param], ids=lambda w: w.__name__
)
def test_a_frozen_stage_is_not_believed_for_that(user: Gated, spoil: object) -> None:
    assert callable(spoil)
    frozen = user.read("mlx.yaml").replace("  evaluate:", "  evaluate:\n    frozen: true")
    user.write("mlx.yaml", frozen)
    user.commit()
    assert user.codes("auc < 0.1", "v1") == (0, 1)
    spoil(user)
    assert user.codes("auc < 0.1", "v1") == UNDECIDED
    user.commit()
    assert user.codes("auc < 0.1", "v1", "HEAD") == UNDECIDED


def test_numbers_that_only_the_store_could_confirm_are_unknown_without_it(
    user: Gated, tmp_path: Path
) -> None:
    cached = user.read("mlx.yaml").replace("metrics: [m.json]", "metrics: [m.json: {cache: true}]")
    user.write("mlx.yaml", cached)
    user.git("rm", "-q", "--cached", "m.json")
    user.ok("repro", "-q")
    user.commit()
    assert user.codes("auc < 0.1", "HEAD", "HEAD") == (0, 1)
    clone = Gated(tmp_path / "clone")
    user.git("clone", "-q", str(user.root), str(clone.root))
    assert clone.codes("auc < 0.1", "HEAD", "HEAD") == UNDECIDED
    assert "mlx fetch m.json" in clone.gate("auc < 0.1", "HEAD", "HEAD")[1]
    edited_record(user)
    user.commit()
    user.write("m.json", "{}")
    assert user.codes("auc < 0.1", "HEAD", "HEAD") == UNDECIDED


def test_every_condition_that_is_given_counts(user: Gated) -> None:
    words = ("metrics", "diff", "v1", "--fail-if", "auc < base.auc")
    assert user.mlx(*words, "--fail-if", "auc < 0.05").returncode == 1
    assert user.mlx(*words[:3], "--fail-if", "auc < 0.05", "--fail-if", "f1 < 0").returncode == 0
    assert user.mlx(*words[:3], "--fail-if", "auc < 0.05)", "--fail-if", "(f1 < 0").returncode == 2


def test_an_empty_revision_is_none(user: Gated) -> None:
    """As `"$BASE"` is in a CI job where nobody has set it."""
    assert user.gate("auc < base.auc", "")[0] == 2


def test_one_name_in_another_file_at_the_base_is_undecided(user: Gated) -> None:
    moved = user.read("mlx.yaml").replace("m.json", "o.json")
    user.write("mlx.yaml", moved)
    user.measure(auc=0.9)
    code, said = user.gate("auc < base.auc", "v1")
    assert code == 3
    assert "write o.json:auc and base.m.json:auc" in said
    assert user.codes("o.json:auc < base.m.json:auc", "v1") == (0, 1)


def test_a_metric_that_reads_as_a_difference_needs_backticks(user: Gated) -> None:
    user.measure(val=0.9, auc=0.8, **{"val-auc": 0.2})
    code, said = user.gate("val-auc < 0.1", "HEAD")
    assert code == 3
    assert "there is a metric `val-auc`: put backticks around it" in said
    assert user.codes("`val-auc` < 0.1", "HEAD") == (0, 1)
    assert user.codes("val - auc < 0.05", "HEAD") == (0, 1)


def test_a_number_that_is_there_twice_is_no_metric(user: Gated) -> None:
    user.write("given.json", '{"a": {"b": 0.1}, "a.b": 0.9}')
    assert '"a.b" is there twice' in user.fails(4, "repro", "-q")


def test_a_model_that_a_stage_makes_is_an_operand_while_it_holds(user: Gated) -> None:
    user.write("mlx.yaml", user.read("mlx.yaml") + "models:\n  it: {path: prepared.txt}\n")
    user.commit()
    assert user.codes("model:it == base.model:it", "HEAD", "HEAD") == (1, 0)
    user.write("raw.csv", "9\n")
    user.ok("add", "raw.csv")
    assert user.codes("model:it == base.model:it", "HEAD") == UNDECIDED


@pytest.mark.parametrize("value", ["1e999", "NaN", '"0.9"', "[1]", '{"a":1}', '{"$float":"x"}'])
def test_a_lock_with_a_metric_that_is_no_number_is_told_by_its_line(
    user: Gated, value: str
) -> None:
    user.write("mlx.lock", user.read("mlx.lock").replace('"auc":0.75', f'"auc":{value}'))
    code, said = user.gate("auc < 0.1", "HEAD")
    assert code == 3
    assert "mlx.lock:" in said
    user.fails(3, "lock", "check")


def test_an_unverified_record_is_unknown(user: Gated) -> None:
    unverified(user)
    assert user.codes("auc < 0.1", "v1") == UNDECIDED
    assert "m.json is unknown" in user.gate("auc < 0.1", "v1")[1]
    user.ok("repro", "-q")
    assert user.codes("auc < 0.1", "v1") in DECIDED


def test_after_the_stages_ran_it_is_decided_again(user: Gated) -> None:
    stale_param(user)
    assert user.codes("auc < 0.1", "v1") == UNDECIDED
    user.ok("repro", "-q")
    assert user.codes("auc < 0.1", "v1") == (0, 1)


def test_an_accepted_record_counts_as_lock_check_says(user: Gated) -> None:
    stale_param(user)
    user.ok("accept", "evaluate", "-m", "only a comment")
    assert user.codes("auc < 0.1", "v1") == (0, 1)


def test_a_file_that_no_stage_makes_says_what_it_says(user: Gated) -> None:
    user.write("mlx.yaml", user.read("mlx.yaml") + "metrics: [by-hand.yaml]\n")
    user.write("by-hand.yaml", "cost: 5\n")
    user.commit()
    assert user.codes("cost > 4", "v1", "HEAD") == (1, 0)
    user.write("by-hand.yaml", "cost: 3\n")
    assert user.codes("cost > 4") == (0, 1)


@pytest.mark.parametrize("cache", ["true", "false"])
def test_a_file_in_a_folder_that_a_stage_makes_is_not_taken_for_one_by_hand(
    user: Gated, cache: str
) -> None:
    stage = "  report: {cmd: mkdir -p out && cp given.json out/r.json, deps: [given.json], "
    user.write(
        "mlx.yaml",
        user.read("mlx.yaml")
        + stage
        + f"outs: [out: {{cache: {cache}}}]}}\nmetrics: [out/r.json]\n",
    )
    user.measure(auc=0.5, cost=5)
    kept = (0, 1) if cache == "false" else UNDECIDED
    assert user.codes("`out/r.json:cost` > 9", "v1") == kept
    user.write("out/r.json", '{"cost": 1}')
    assert user.codes("`out/r.json:cost` > 9", "v1") == UNDECIDED
    user.commit()
    assert user.codes("`out/r.json:cost` > 9", "v1", "HEAD") == UNDECIDED


# --- merges ---------------------------------------------------------------------------------------


def test_a_merge_of_both_branches_metrics_is_undecided(user: Gated) -> None:
    """Plain git merge, no driver: it conflicts in mlx.lock; nothing of it is believed."""
    user.git("checkout", "-q", "-b", "side", "v1")
    user.measure(auc=0.9, f1=0.9, n=4)
    user.commit()
    user.git("merge", "main", check=False)
    assert "<<<<<<<" in user.read("mlx.lock")
    assert user.codes("auc < 0.1", "v1") == UNDECIDED
    assert "mlx lock merge" in user.gate("auc < 0.1", "v1")[1]
    user.commit()  # with the markers in it
    assert user.codes("auc < 0.1", "v1", "HEAD") == UNDECIDED
    assert user.codes("auc < 0.1", "HEAD", "v1") == UNDECIDED
    said = user.gate("auc < 0.1", "v1", "HEAD")[1]
    assert "HEAD:mlx.lock:" in said


@pytest.mark.parametrize("side", ["--ours", "--theirs"])
def test_taking_one_side_of_the_lock_does_not_make_it_hold(user: Gated, side: str) -> None:
    user.git("checkout", "-q", "-b", "side", "v1")
    user.write("params.yaml", "lr: 0.5\n")
    user.measure(auc=0.9, f1=0.9, n=4)
    user.commit()
    user.git("merge", "main", check=False)
    user.git("checkout", side, "mlx.lock", "m.json", "given.json")
    user.commit()
    code = user.mlx("lock", "check").returncode
    # The params of the side branch won: only its own numbers are of them.
    assert user.codes("auc < 0.1", "v1", "HEAD") == ((0, 1) if side == "--ours" else UNDECIDED)
    assert (code == 0) == (side == "--ours")


def test_a_merge_without_a_conflict_that_nobody_measured_is_stale(user: Gated) -> None:
    """One branch changes a param and its numbers, the other the data: git is content."""
    user.git("checkout", "-q", "-b", "side", "v1")
    user.write("raw.csv", "other\n")
    user.ok("add", "raw.csv")
    user.ok("repro", "-q", "prepare")
    user.commit()
    user.git("merge", "-q", "main")
    assert user.codes("auc < 0.1", "v1") == UNDECIDED
    assert user.codes("auc < 0.1", "v1", "HEAD") == UNDECIDED
    user.ok("repro", "-q")
    assert user.codes("auc < 0.1", "v1") == (0, 1)


# --- clones that lack something -------------------------------------------------------------------


def test_a_shallow_clone_is_undecided_where_it_lacks_the_base(tmp_path: Path, user: Gated) -> None:
    user.git("clone", "-q", "--depth=1", f"file://{user.root}", str(tmp_path / "clone"))
    clone = Gated(tmp_path / "clone")
    assert clone.gate("auc < 0.1", "v1")[0] == 3
    assert clone.codes("auc < 0.1") == (0, 1)
    clone.git("fetch", "-q", "--depth=1", "origin", "tag", "v1")
    assert clone.codes("auc < base.auc", "v1", "HEAD") == (1, 0)


def test_a_partial_clone_fetches_nothing_unasked_and_says_what_to_do(
    tmp_path: Path, user: Gated
) -> None:
    user.git("config", "uploadpack.allowFilter", "true")
    user.git("clone", "-q", "--filter=blob:none", f"file://{user.root}", str(tmp_path / "clone"))
    clone = Gated(tmp_path / "clone")
    code, said = clone.gate("auc < 0.1", "v1")
    assert code == 3
    assert "git fetch --refetch --no-filter" in said
    assert clone.mlx("metrics", "show", "--all-tags").returncode == 3
    clone.git("fetch", "-q", "--refetch", "--no-filter")
    assert clone.codes("auc < base.auc", "v1") == (1, 0)


def test_it_works_in_a_linked_worktree_on_no_branch_and_with_foreign_variables_of_git(
    tmp_path: Path, user: Gated
) -> None:
    user.git("worktree", "add", "-q", "--detach", str(tmp_path / "linked"), "v1")
    linked = Gated(tmp_path / "linked")
    assert linked.codes("auc > base.auc", "main") == (1, 0)
    done = linked.mlx(
        "metrics", "diff", "main", "--fail-if", "auc > base.auc",
        env={"GIT_DIR": str(tmp_path / "nowhere"), "GIT_INDEX_FILE": "/nowhere"},
    )  # fmt: skip
    assert done.returncode == 1


# --- tables ---------------------------------------------------------------------------------------


def test_goals_say_what_is_better(user: Gated) -> None:
    goals = "goals:\n  auc: {better: higher, tolerance: 0.05}\n  m.json:f1: {better: lower}\n"
    user.write("mlx.yaml", user.read("mlx.yaml") + goals)
    said = user.ok("metrics", "diff", "v1", "--md")
    assert "| m.json | auc | 0.8 | 0.75 | -0.05 | within tolerance |" in said
    assert "| m.json | f1 | 0.5 | 0.6 | +0.1 | worse |" in said
    assert "| n |" not in said
    rows = {row["metric"]: row for row in user.json("metrics", "diff", "v1", "--all")["metrics"]}
    assert rows["auc"]["direction"] == "higher"
    assert rows["auc"]["tolerance"] == 0.05
    assert rows["f1"]["verdict"] == "worse"
    assert (rows["n"]["direction"], rows["n"]["verdict"], rows["n"]["change"]) == (None, None, 0)
    back = user.ok("metrics", "diff", "HEAD", "v1")  # the goals are those of v1: none
    assert "verdict" not in back


def test_precision_and_csv(user: Gated) -> None:
    user.measure(auc=0.123456789, f1=0.6, n=3)
    assert "0.123457" in user.ok("metrics", "diff")
    assert "0.12 " in user.ok("metrics", "diff", "--precision", "2")
    assert user.ok("metrics", "diff", "v1", "--csv").splitlines() == [
        "file,metric,old,new,change,verdict,old_state,new_state",
        "m.json,auc,0.8,0.123456789,-0.676543211,,fresh,fresh",
        "m.json,f1,0.5,0.6,0.09999999999999998,,fresh,fresh",
    ]
    user.fails(2, "metrics", "diff", "--csv", "--md")
    assert user.mlx("metrics", "show", "--csv", "--json").returncode == 2


def test_revisions_stand_side_by_side(user: Gated) -> None:
    stale_param(user)
    user.commit()
    user.git("tag", "v10")
    user.git("tag", "v2", "HEAD~1")
    user.git("branch", "other", "v1")
    assert user.ok("metrics", "show", "--rev", "v1", "--rev", "HEAD").splitlines() == [
        "file    metric   v1   HEAD",
        "m.json  auc     0.8  0.75*",
        "m.json  f1      0.5   0.6*",
        "m.json  n         3     3*",
    ]
    done = user.mlx("metrics", "show", "--all-tags", "--all-branches")
    assert done.stdout.splitlines() == [
        "rev      auc    f1   n",
        "main   0.75*  0.6*  3*",
        "other    0.8   0.5   3",
        "v1       0.8   0.5   3",
        "v2      0.75   0.6   3",
        "v10    0.75*  0.6*  3*",
    ]
    assert "* v10: m.json is stale, by stage evaluate: params.yaml:lr 0.1 -> 0.2" in done.stderr
    rows = user.ok("metrics", "show", "--all-tags", "--csv").splitlines()
    assert rows[0] == "rev,file,metric,value,state"
    assert rows[-1] == "v10,m.json,n,3,stale"
    [one] = user.json("metrics", "show", "--rev", "v10")["revisions"]
    assert one["files"]["m.json"]["state"] == "stale"
    assert one["commit"] == user.git("rev-parse", "v10").strip()


def test_targets_are_stages_and_files(user: Gated) -> None:
    user.write("mlx.yaml", user.read("mlx.yaml") + "metrics: [by/hand.json]\n")
    user.write("by/hand.json", '{"cost": 5}')
    assert list(user.json("metrics", "show")["metrics"]) == ["by/hand.json", "m.json"]
    assert list(user.json("metrics", "show", "evaluate")["metrics"]) == ["m.json"]
    assert list(user.json("metrics", "show", "by")["metrics"]) == ["by/hand.json"]
    assert list(user.json("metrics", "show", "m.json", "by/hand.json")["metrics"]) == [
        "by/hand.json",
        "m.json",
    ]
    assert list(
        json.loads(user.ok("metrics", "show", "hand.json", "--json", folder="by"))["metrics"]
    )
    assert 'did you mean "evaluate"?' in user.fails(2, "metrics", "show", "evalute")


def test_tags_with_nothing_on_record_are_named_and_tags_of_no_commit_left_out(user: Gated) -> None:
    user.git("tag", "a-file", "HEAD:m.json")
    user.git("tag", "-a", "-m", "annotated", "noted", "v1")
    empty = user.git("commit-tree", "-m", "empty", user.git("mktree", "--missing").strip()).strip()
    user.git("tag", "before", empty)
    done = user.mlx("metrics", "show", "--all-tags")
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["file", *["m.json"] * 3]
    assert done.stdout.splitlines()[0].split() == ["file", "metric", "before", "noted", "v1"]
    assert "nothing is recorded at before" in done.stderr
    assert user.mlx("metrics", "show", "--rev", "before").returncode == 3
    user.git("tag", "-d", "v1", "noted")
    assert user.mlx("metrics", "show", "--all-tags").returncode == 3


def test_names_that_need_quotes_and_files_in_folders(tmp_path: Path) -> None:
    pipe = Pipeline(Project.create(tmp_path / "project"))
    values = {"top-5 acc": 0.5, "größe": 1, "a:b": 2}
    pipe.write("given.json", json.dumps(values))
    pipe.write("reports/.keep", "")
    pipe.one("cp given.json reports/m.json", deps=["given.json"], metrics=["reports/m.json"])
    pipe.outcomes()
    pipe.project.commit()
    for condition, code in {
        "`top-5 acc` < 0.6": 1,
        "`reports/m.json`:`top-5 acc` < 0.6": 1,
        "`reports/m.json:größe` > 1": 0,
        "only:`reports/m.json`:größe < 2": 1,
        "`a:b` == 2 and base.`a:b` == 2": 1,
        "top-5 acc < 0.6": 2,
        "`top-5` < 0.6": 3,
    }.items():
        done = pipe.project.mlx("metrics", "diff", "--fail-if", condition)
        assert done.returncode == code, condition


def test_a_narrow_terminal_loses_no_number(user: Gated) -> None:
    """Tables are the same everywhere: a terminal wraps lines, nothing is cut off."""
    wide = user.mlx("metrics", "diff", "v1")
    narrow = user.mlx("metrics", "diff", "v1", env={"COLUMNS": "10"})
    assert narrow.stdout == wide.stdout
    assert "0.75" in narrow.stdout
