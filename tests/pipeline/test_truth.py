"""What is recorded was made from what is recorded."""

from __future__ import annotations

import os

import pytest
from pipeline_project import CHAIN, Pipeline

from mlxrepo.commands.add import add
from mlxrepo.commands.checkout import checkout
from mlxrepo.commands.lock_check import lock_check
from mlxrepo.errors import StageFailed


def test_an_input_edited_while_its_stage_runs_is_not_recorded(chain: Pipeline) -> None:
    chain.declare(
        CHAIN.replace("head -c 1 data.txt", "echo edited >> data.txt; head -c 2 data.txt")
    )
    report = chain.failure()
    assert isinstance(report.error, StageFailed)
    assert "data.txt changed while" in report.error.message
    assert chain.read("first.txt") == "a"
    assert chain.record("first").cmd == ("head -c 1 data.txt > first.txt",)
    assert chain.kept_by_runs() == {"first.txt": "ab"}


def test_a_param_edited_while_its_stage_runs_is_not_recorded(chain: Pipeline) -> None:
    chain.declare(CHAIN.replace("cat first", "sed -i s/1/1.0/ params.yaml; cat first"))
    assert "params.yaml changed while" in chain.error().message
    assert chain.read("second.txt") == "ap: 1\n"


def test_a_command_that_deletes_its_input_is_not_recorded(chain: Pipeline) -> None:
    chain.declare(CHAIN.replace("head -c 1 data.txt > first.txt", "mv data.txt first.txt"))
    assert "data.txt disappeared while" in chain.error().message
    assert chain.read("first.txt") == "a"
    assert chain.kept_by_runs() == {"first.txt": "abc\n"}


def test_a_stage_that_spoils_the_out_of_another_is_not_recorded(chain: Pipeline) -> None:
    chain.declare(CHAIN.replace("cat first", "echo >> first.txt; cat first"))
    assert "first.txt changed while" in chain.error().message
    assert chain.record("second").cmd == ("cat first.txt params.yaml > second.txt",)
    assert chain.outcomes("first") == {"first": "restored"}


def test_an_edited_dataset_is_recorded_before_it_is_used(chain: Pipeline) -> None:
    with chain.project.repo() as repo:
        add(repo, ["data.txt"])
    chain.write("data.txt", "new\n")
    done = chain.repro()
    assert [updated.path for updated in done.updated] == ["data.txt"]
    chain.write("data.txt", "newer\n")
    chain.repro()
    with chain.project.repo() as repo:
        assert repo.observed.at("data.txt").entry == chain.record("first").deps[0].entry
        assert repo.store.is_whole(chain.record("first").deps[0].entry)


def test_absent_files_of_a_dependency_are_brought_and_their_deletion_is_seen(
    pipe: Pipeline,
) -> None:
    pipe.project.fill("data", 3)
    pipe.one("ls data > list.txt", deps=["data"], outs=["list.txt"])
    with pipe.project.repo() as repo:
        add(repo, ["data"])
    pipe.project.commit()
    other = Pipeline(pipe.project.worktree("other"))
    assert not other.path("data").exists()
    assert other.outcomes() == {"only": "ran"}
    assert other.read("list.txt") == "0000.txt\n0001.txt\n0002.txt\n"
    other.path("data/0001.txt").unlink()
    done = other.repro()
    assert [updated.deleted for updated in done.updated] == [("0001.txt",)]
    assert other.read("list.txt") == "0000.txt\n0002.txt\n"


def test_a_dependency_inside_a_dataset(pipe: Pipeline) -> None:
    pipe.project.fill("data", 3)
    pipe.one("cp data/0001.txt out.txt", deps=["data/0001.txt"], outs=["out.txt"])
    with pipe.project.repo() as repo:
        add(repo, ["data"])
    pipe.outcomes()
    pipe.write("data/0000.txt", "not read\n")
    assert pipe.outcomes() == {"only": "up-to-date"}
    pipe.write("data/0001.txt", "read\n")
    assert pipe.outcomes() == {"only": "ran"}
    pipe.project.commit()
    other = Pipeline(pipe.project.worktree("other"))
    assert other.outcomes() == {"only": "restored"}
    assert not other.path("data").exists()
    other.outcomes(force=True)
    assert os.listdir(other.path("data")) == ["0001.txt"]


def test_what_a_stage_made_under_its_old_name_counts_no_more(chain: Pipeline) -> None:
    """The old record stays until everything is run: it is not what `second` reads now."""
    chain.declare(CHAIN.replace("first:", "a:").replace("head -c 1", "head -c 2"))
    assert chain.outcomes("a") == {"a": "ran"}
    assert chain.recorded() == {"stage:a", "stage:first", "stage:second"}
    chain.project.commit()
    clone = Pipeline(chain.project.worktree("clone"))
    for pipe in (chain, clone):
        states = {item.stage: item.state for item in pipe.project.do(lock_check)}
        assert states == {"a": "fresh", "second": "stale"}
    ahead = clone.outcomes(dry_run=True, allow_missing=True)
    assert ahead == {"a": "up-to-date", "second": "run"}
    clone.project.do(checkout)
    assert clone.read("first.txt") == "ab"


@pytest.mark.parametrize(
    ("old", "new"),
    [('"auc":0.5', '"auc":0.99'), ('"cmd":["echo', '"cmd":["true; echo'), ('"p":1', '"p":2')],
)
def test_a_record_that_a_hand_changed_is_no_longer_up_to_date(
    pipe: Pipeline, old: str, new: str
) -> None:
    pipe.write("params.yaml", "p: 1\n")
    cmd = "echo '{\"auc\": 0.5}' > m.json"
    pipe.one(cmd, params=["p"], metrics=["m.json"])
    pipe.outcomes()
    lock = pipe.read("mlx.lock")
    assert old in lock
    pipe.write("mlx.lock", lock.replace(old, new))
    [checked] = pipe.project.do(lock_check)
    assert (checked.state, checked.why) == ("stale", "its record was changed by hand")
    assert pipe.whys() == {"only": "its record was changed by hand"}
    assert pipe.read("mlx.lock") == lock
    assert pipe.outcomes() == {"only": "up-to-date"}


def test_data_that_is_edited_while_the_pipeline_runs_is_recorded_before_it_is_read(
    pipe: Pipeline,
) -> None:
    pipe.write("code", "1\n")
    pipe.write("data.txt", "1\n")
    pipe.declare("""
        stages:
          first: {cmd: cp code a; echo 2 > data.txt, deps: [code], outs: [a]}
          second: {cmd: cat a data.txt > b, deps: [a, data.txt], outs: [b]}
    """)
    pipe.project.do(add, ["data.txt"])
    assert pipe.outcomes() == {"first": "ran", "second": "ran"}
    with pipe.project.repo() as repo:
        for dep in pipe.record("second").deps:
            assert dep.path == "a" or repo.store.is_whole(dep.entry)
        recorded = repo.observed.at("data.txt")
    assert recorded is not None
    assert recorded.entry in [dep.entry for dep in pipe.record("second").deps]
    assert pipe.outcomes() == {"first": "up-to-date", "second": "up-to-date"}
