"""What runs, and the reasons that are told."""

from __future__ import annotations

import json

from pipeline_project import CHAIN, Pipeline

from mlxrepo.commands.checkout import checkout
from mlxrepo.commands.status import status

UP_TO_DATE = {"first": "up-to-date", "second": "up-to-date"}


def test_early_cutoff_stops_where_outs_are_equal(chain: Pipeline) -> None:
    chain.write("data.txt", "axx\n")
    assert chain.outcomes() == {"first": "ran", "second": "up-to-date"}


def test_going_back_restores_instead_of_running(chain: Pipeline) -> None:
    chain.write("params.yaml", "p: 2\n")
    assert chain.outcomes() == {"first": "up-to-date", "second": "ran"}
    chain.write("params.yaml", "p: 1\n")
    assert chain.outcomes() == {"first": "up-to-date", "second": "restored"}
    assert chain.read("second.txt") == "ap: 1\n"


def test_a_target_runs_what_it_needs_and_nothing_else(chain: Pipeline) -> None:
    chain.write("data.txt", "x\n")
    assert chain.outcomes("first") == {"first": "ran"}
    assert chain.outcomes("second.txt") == {"first": "up-to-date", "second": "ran"}


def test_force_runs_what_is_up_to_date(chain: Pipeline) -> None:
    assert chain.outcomes("first", force=True) == {"first": "ran"}
    assert chain.outcomes() == UP_TO_DATE


def test_renaming_a_stage_runs_nothing(chain: Pipeline) -> None:
    chain.declare(CHAIN.replace("second:", "renamed:"))
    assert chain.outcomes()["renamed"] == "restored"
    assert chain.recorded() == {"stage:first", "stage:renamed"}


def test_outs_of_a_renamed_stage_are_known_to_be_here(chain: Pipeline) -> None:
    chain.declare(CHAIN.replace("second:", "renamed:"))
    chain.outcomes()
    chain.path("second.txt").unlink()
    states = {item.stage: item.state for item in chain.project.do(status).stages}
    assert states == {"first": "up-to-date", "renamed": "stale"}


def test_renaming_a_stage_in_a_clone_that_knows_only_the_lockfile_runs_nothing(
    chain: Pipeline,
) -> None:
    for path in chain.path(".git/mlx/actions").rglob("*"):
        if path.is_file():
            path.unlink()
    chain.declare(CHAIN.replace("second:", "renamed:"))
    assert chain.outcomes() == {"first": "up-to-date", "renamed": "restored"}


def test_removing_a_stage_forgets_its_record_and_leaves_its_outs(chain: Pipeline) -> None:
    chain.declare(CHAIN.split("  second:")[0])
    assert chain.repro().forgotten == ("second",)
    assert chain.recorded() == {"stage:first"}
    assert chain.read("second.txt") == "ap: 1\n"


def test_yaml_1_1_truth_values_and_the_same_word_in_quotes_are_two_params(chain: Pipeline) -> None:
    chain.write("params.yaml", "p: NO\n")
    chain.outcomes()
    chain.write("params.yaml", 'p: "NO"\n')
    assert chain.outcomes()["second"] == "ran"
    chain.write("params.yaml", "p:  NO  # as before\n")
    assert chain.outcomes()["second"] == "restored"


def test_params_of_another_type_are_other_params(chain: Pipeline) -> None:
    chain.write("params.yaml", "p: 1.0\n")
    assert chain.whys()["second"] == "params.yaml:p 1 -> 1.0"
    chain.write("params.yaml", 'p: "1.0"\n')
    assert chain.whys()["second"] == "params.yaml:p 1.0 -> '1.0'"


def test_a_param_that_was_null_is_no_new_param(chain: Pipeline) -> None:
    chain.write("params.yaml", "p: null\n")
    chain.outcomes()
    chain.write("params.yaml", "p: 3\n")
    assert chain.whys()["second"] == "params.yaml:p None -> 3"


def test_the_reasons_name_what_changed(chain: Pipeline) -> None:
    chain.write("extra.txt", "")
    chain.write("data.txt", "b\n")
    chain.declare(CHAIN.replace("deps: [data.txt]", "deps: [data.txt, extra.txt]"))
    assert chain.whys()["first"] == "data.txt changed, extra.txt is a new dep"
    chain.declare(CHAIN.replace("head -c 1 ", "head -c  1 "))
    assert chain.whys()["first"] == "the command changed, extra.txt is no longer a dep"
    chain.path("second.txt").unlink()
    assert chain.whys()["second"] == "second.txt is missing"


def test_a_params_file_that_a_stage_makes(pipe: Pipeline) -> None:
    pipe.write("seed.txt", "lr: 1\n")
    pipe.declare("""
        stages:
          tune: {cmd: cp seed.txt best.yaml, deps: [seed.txt], outs: [best.yaml]}
          use: {cmd: cp best.yaml used.txt, params: [{best.yaml: [lr]}], outs: [used.txt]}
        """)
    assert pipe.outcomes() == {"tune": "ran", "use": "ran"}
    pipe.write("seed.txt", "lr: 2\n")
    assert pipe.outcomes(dry_run=True) == {"tune": "run", "use": "may-run"}
    assert pipe.outcomes() == {"tune": "ran", "use": "ran"}
    assert pipe.read("used.txt") == "lr: 2\n"
    pipe.write("seed.txt", "lr: 1\n")
    assert pipe.outcomes(dry_run=True) == {"tune": "restore", "use": "restore"}
    assert pipe.outcomes() == {"tune": "restored", "use": "restored"}


def test_a_dependency_that_is_a_folder_with_outs_of_others_in_it(pipe: Pipeline) -> None:
    pipe.write("box/own.txt", "own\n")
    pipe.declare("""
        stages:
          make: {cmd: cp params.yaml box/made.txt, params: [p], outs: [box/made.txt]}
          list: {cmd: ls box > list.txt, deps: [box], outs: [list.txt]}
        """)
    pipe.write("params.yaml", "p: 1\n")
    assert pipe.outcomes() == {"make": "ran", "list": "ran"}
    assert pipe.read("list.txt") == "made.txt\nown.txt\n"
    pipe.write("params.yaml", "p: 2\n")
    pipe.outcomes()
    pipe.write("params.yaml", "p: 1\n")
    pipe.path("box/made.txt").unlink()
    assert pipe.outcomes(dry_run=True) == {"make": "restore", "list": "restore"}
    assert pipe.outcomes() == {"make": "restored", "list": "restored"}


def test_a_chain_of_many_stages(pipe: Pipeline) -> None:
    count = 1500
    stages = {
        f"s{n}": {"cmd": f"cp f{n} f{n + 1}", "deps": [f"f{n}"], "outs": [f"f{n + 1}"]}
        for n in reversed(range(count))
    }
    pipe.declare(json.dumps({"stages": stages}))
    pipe.write("f0", "x")
    foreseen = pipe.outcomes(dry_run=True)
    assert list(foreseen) == [f"s{n}" for n in range(count)]
    assert list(foreseen.values()) == ["run"] + ["may-run"] * (count - 1)


def test_what_is_restored_is_what_checkout_restores(chain: Pipeline) -> None:
    chain.project.commit()
    for name in ("first.txt", "second.txt"):
        chain.path(name).unlink()
    with chain.project.repo() as repo:
        checkout(repo)
    assert chain.outcomes() == UP_TO_DATE


def test_a_dep_inside_the_folder_of_a_stage_that_just_ran(pipe: Pipeline) -> None:
    pipe.declare("""
        stages:
          split:
            cmd: mkdir -p parts/deep; echo a > parts/deep/a
            outs: [parts]
          train:
            cmd: cat parts/deep/a > model
            deps: [parts/deep]
            outs: [model]
    """)
    assert pipe.outcomes() == {"split": "ran", "train": "ran"}
