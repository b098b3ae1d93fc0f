"""The main job as the README tells it, and what a user does next."""

from __future__ import annotations

from pathlib import Path

import pytest
from blake3 import blake3
from user import STAGES, User


def outs_of(user: User) -> dict[str, str]:
    """Return path -> oid of all that the lockfile names."""
    records = user.records()
    entries = [record for name, record in records.items() if not name.startswith("stage:")]
    entries += [
        out for name, record in records.items() if "stage:" in name for out in record["outs"]
    ]
    return {entry["path"]: entry["oid"] for entry in entries}


def hashes(user: User, paths: dict[str, str]) -> dict[str, str]:
    return {path: blake3(user.path(path).read_bytes()).hexdigest() for path in paths}


@pytest.mark.parametrize("name", ["project", "Mein Ordner ü данные"])
def test_the_transcript_of_the_readme(tmp_path: Path, name: str) -> None:
    user = User.with_pipeline(tmp_path / name)

    said = user.ok("repro")
    assert user.ran() == list(STAGES)
    assert [line.split(":")[0] for line in said.splitlines() if ": ran" in line] == list(STAGES)
    user.commit("first model")
    first = outs_of(user)
    assert hashes(user, first) == first
    assert "data/reviews.csv" not in user.git("ls-files")
    assert "metrics.json" in user.git("ls-files").split()

    assert "nothing to do" in user.ok("repro")
    assert user.ran() == []

    user.write("params.yaml", "train:\n  rounds: 20\n")
    user.ok("repro")
    assert user.ran() == ["train", "evaluate"]

    compared = {row["metric"]: row for row in user.json("metrics", "diff")["metrics"]}
    mean = compared["error.mean"]
    assert mean["change"] == pytest.approx(mean["new"] - mean["old"])
    assert mean["new"] < mean["old"]
    assert "rows" not in compared  # equal
    user.git("commit", "-qam", "more rounds")
    second = outs_of(user)
    assert second["models/model.json"] != first["models/model.json"]

    user.git("checkout", "--quiet", "HEAD~1")
    user.ok("checkout")
    assert hashes(user, first) == first
    assert user.ran() == []
    assert user.is_clean()
    user.ok("status", "--exit-code")
    assert "nothing to do" in user.ok("repro")

    user.git("checkout", "--quiet", "main")
    user.ok("checkout")
    assert hashes(user, second) == second
    assert user.is_clean()
    assert user.ran() == []


def test_a_comment_in_a_script_reruns_its_stage_and_no_other(analyst: User) -> None:
    analyst.ok("repro")
    analyst.ran()
    analyst.write("src/prepare.py", "# a remark\n" + analyst.read("src/prepare.py"))
    analyst.ok("repro")
    assert analyst.ran() == ["prepare"]


def test_earlier_params_bring_the_earlier_model_back_without_running(analyst: User) -> None:
    analyst.ok("repro")
    model = analyst.read("models/model.json")
    analyst.write("params.yaml", "train:\n  rounds: 9\n")
    analyst.ok("repro")
    assert analyst.read("models/model.json") != model
    analyst.ran()
    analyst.write("params.yaml", "train:\n  rounds: 1\n")
    assert "restored" in analyst.ok("repro")
    assert analyst.read("models/model.json") == model
    assert analyst.ran() == []


def test_edited_data_runs_what_it_reaches_and_is_recorded(analyst: User) -> None:
    analyst.ok("repro")
    analyst.commit("first")
    analyst.ran()
    analyst.write("data/reviews.csv", analyst.read("data/reviews.csv") + "7,again!,4\n")
    assert "modified: data/reviews.csv" in analyst.ok("status")
    analyst.ok("repro")
    assert analyst.ran() == list(STAGES)
    recorded = analyst.records()["data:reviews"]["oid"]
    assert recorded == blake3(analyst.path("data/reviews.csv").read_bytes()).hexdigest()
    analyst.commit("more data")
    analyst.git("checkout", "--quiet", "HEAD~1")
    analyst.ok("checkout")
    assert "again" not in analyst.read("data/reviews.csv")
    assert analyst.is_clean()


def test_going_back_never_replaces_an_edit_that_was_not_recorded(analyst: User) -> None:
    analyst.ok("repro")
    analyst.commit("first")
    analyst.write("data/reviews.csv", analyst.read("data/reviews.csv") + "7,again!,4\n")
    analyst.ok("repro")
    analyst.commit("second")
    analyst.write("data/reviews.csv", "my only copy\n")
    analyst.git("checkout", "--quiet", "HEAD~1")
    before = analyst.files()
    assert "data/reviews.csv" in analyst.fails(1, "checkout")
    assert analyst.files() == before
    analyst.ok("checkout", "--force")
    assert analyst.is_clean()
    kept = [path.read_text() for path in analyst.path(".git/mlx/trash").rglob("reviews.csv")]
    assert kept == ["my only copy\n"]


def test_a_failing_stage_is_named_and_the_last_good_model_stays(analyst: User) -> None:
    analyst.ok("repro")
    analyst.commit("first")
    analyst.ran()
    model = analyst.read("models/model.json")
    broken = "pathlib.Path('models/model.json').write_text('half')\nraise SystemExit('no luck')\n"
    analyst.write("src/train.py", "import pathlib\n" + broken)
    done = analyst.mlx("repro")
    assert done.returncode == 4
    assert "no luck" in done.stdout + done.stderr
    assert "stage train failed" in done.stderr
    assert analyst.read("models/model.json") == model
    analyst.git("checkout", "src/train.py")
    assert analyst.is_clean()


def test_a_command_that_sends_all_its_output_to_a_file_is_waited_for(user: User) -> None:
    user.declare(
        "stages:\n"
        "  quiet:\n"
        "    cmd: exec sh -c 'sleep 0.3; echo done > out.txt' > log.txt 2>&1\n"
        "    outs: [out.txt]\n"
    )
    user.ok("repro")
    assert user.read("out.txt") == "done\n"


def test_a_quick_command_ends_well_every_time(user: User) -> None:
    names = [f"copy{number}" for number in range(12)]
    rows = [f"  {name}:\n    cmd: cp mlx.yaml {name}\n    outs: [{name}]\n" for name in names]
    user.declare("stages:\n" + "".join(rows))
    user.ok("repro")
    assert all(user.read(name) == user.read("mlx.yaml") for name in names)
