"""What runs, and what it finds: stages in DVC and here do the same after the same change."""

from __future__ import annotations

from textwrap import indent

import pytest
from both import CHAIN, Both

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(600)]


def changed(text: str, stage: str, keys: str) -> str:
    """Return CHAIN with more keys in a stage."""
    assert f"  {stage}: {{" in text
    return text.replace(f"  {stage}: {{", f"  {stage}: {{{keys}, ")


# --- what runs after a change -------------------------------------------------------------------


def test_nothing_changed(chain: Both) -> None:
    assert chain.repro() == []


def test_a_dep_changed(chain: Both) -> None:
    chain.write("in.txt", "two\n")
    assert chain.repro() == ["a", "b", "c", "other"]


def test_outs_that_come_out_equal_end_the_wave(chain: Both) -> None:
    chain.write("in.txt", "only the first letter counts\n")
    assert chain.repro() == ["a", "other"]


def test_a_change_that_was_there_before_is_not_run_again(chain: Both) -> None:
    chain.write("in.txt", "two\n")
    chain.repro()
    chain.write("in.txt", "one\n")
    assert chain.repro() == []
    assert chain.read("c.txt") == "o"


def test_an_out_that_is_gone_comes_back_without_a_run(chain: Both) -> None:
    chain.remove("b.txt")
    assert chain.repro() == []
    assert chain.read("b.txt") == "o"


def test_an_out_that_was_edited_comes_back_without_a_run(chain: Both) -> None:
    chain.remove("b.txt")
    chain.write("b.txt", "by hand\n")
    assert chain.repro() == []
    assert chain.read("b.txt") == "o"


def test_a_command_changed(chain: Both) -> None:
    chain.declare(CHAIN.replace("cp a.txt b.txt", "cp  a.txt b.txt"))
    assert chain.repro() == ["b"]


def test_another_name_is_no_change(chain: Both) -> None:
    chain.declare(CHAIN.replace("  b: {", "  renamed: {"))
    assert chain.repro() == []


def test_the_order_of_deps_is_no_change(both: Both) -> None:
    text = "stages: {s: {cmd: 'echo s >> $RAN; touch o', deps: [%s], outs: [o]}}"
    both.write("x", "x")
    both.write("y", "y")
    both.declare(text % "x, y")
    assert both.repro() == ["s"]
    both.declare(text % "y, x")
    assert both.repro() == []


def test_desc_and_meta_are_no_change(chain: Both) -> None:
    chain.declare(changed(CHAIN, "b", "desc: what it does, meta: {a: 1}"))
    assert chain.repro() == []


def test_a_file_in_a_folder_that_is_a_dep(both: Both) -> None:
    both.write("data/x", "1")
    both.declare("stages: {s: {cmd: 'echo s >> $RAN; ls data > o', deps: [data], outs: [o]}}")
    assert both.repro() == ["s"]
    both.write("data/y", "2")
    assert both.repro() == ["s"]
    both.remove("data/y")
    assert both.repro() == []
    assert both.read("o") == "x\n"


# --- params -------------------------------------------------------------------------------------

PARAMS = {
    "a key": ("params: [lr]", "params.yaml", "lr: 1\n", "lr: 2\n", "lr: 1\nother: 3\n"),
    "a key inside": (
        "params: [a.b]", "params.yaml", "a: {b: 1}\n", "a: {b: 2}\n", "a: {b: 1, c: 2}\n",
    ),
    "a map": (
        "params: [a]", "params.yaml", "a: {b: 1}\n", "a: {b: 1, c: 2}\n", "a: {b: 1}\nd: 1\n",
    ),
    "another file": (
        "params: [{p.json: [lr]}]", "p.json", '{"lr": 1}', '{"lr": 2}', '{"lr": 1, "x": 2}',
    ),
    "TOML": (
        "params: [{p.toml: [a.lr]}]", "p.toml", "[a]\nlr = 1\n", "[a]\nlr = 2\n",
        "[a]\nlr = 1\nx = 1\n",
    ),
    "Python": (
        "params: [{p.py: [LR]}]", "p.py", "LR = 1\n", "LR = 2\n", "LR = 1  # still\nX = 2\n",
    ),
    "an attribute of a class": (
        "params: [{p.py: [C.lr]}]", "p.py", "class C:\n    lr = 1\n", "class C:\n    lr = 2\n",
        "class C:\n    lr = 1\n    x = 2\n",
    ),
    "a whole file": (
        "params: [{p.yaml: }]", "p.yaml", "a: 1\n", "a: 1\nb: 2\n", "# a comment\na: 1\n",
    ),
    "a list": ("params: [l]", "params.yaml", "l: [1, 2]\n", "l: [2, 1]\n", "l: [1, 2]\nx: 1\n"),
    "true": ("params: [t]", "params.yaml", "t: true\n", "t: false\n", "t: true\nx: 1\n"),
    "null": ("params: [t]", "params.yaml", "t: null\n", "t: 0\n", "t:\n"),
}  # fmt: skip


@pytest.mark.parametrize("name", PARAMS)
def test_a_param_changed_or_only_its_neighbour(both: Both, name: str) -> None:
    keys, file, before, after, neighbour = PARAMS[name]
    both.declare(f"stages:\n  s:\n    cmd: echo s >> $RAN; touch o\n    {keys}\n    outs: [o]\n")
    both.write(file, before)
    assert both.repro() == ["s"]
    both.write(file, neighbour)
    assert both.repro() == []
    both.write(file, after)
    assert both.repro() == ["s"]
    both.write(file, before)
    assert both.repro() == []


@pytest.mark.parametrize("params", ["params: [nothing]", "params: [{nothing.yaml: [lr]}]"])
def test_a_param_that_is_nowhere_is_refused(both: Both, params: str) -> None:
    both.write("params.yaml", "lr: 1\n")
    both.declare(f"stages:\n  s:\n    cmd: echo s >> $RAN; touch o\n    {params}\n    outs: [o]\n")
    both.refused()


# --- commands -----------------------------------------------------------------------------------


SHAPES = {
    "list": lambda lines: f"stages:\n  s:\n    cmd: {lines}\n",
    "lines": lambda lines: "stages:\n  s:\n    cmd: |\n" + indent("\n".join(lines), " " * 6) + "\n",
}


@pytest.mark.parametrize("shape", SHAPES)
def test_commands_stop_at_the_first_that_fails(both: Both, shape: str) -> None:
    both.declare(SHAPES[shape](["echo 1 >> $RAN", "false", "echo 3 >> $RAN"]))
    assert both.fails() == ["1"]


@pytest.mark.parametrize("shape", SHAPES)
def test_each_command_has_a_shell_of_its_own(both: Both, shape: str) -> None:
    both.write("sub/x", "")
    both.declare(SHAPES[shape](["X=1; cd sub", "echo $X $(basename $PWD) >> $RAN"]))
    theirs, ours = both.apart()
    assert (theirs.ran, ours.ran) == (["in-dvc"], ["in-mlx"])


def test_a_text_that_is_folded_is_one_command(both: Both) -> None:
    both.declare("""
        stages:
          s:
            cmd: >
              echo one
              two
              >> $RAN
        """)
    assert both.repro() == ["one two"]


def test_wdir_is_where_the_command_runs(both: Both) -> None:
    both.write("sub/x", "")
    both.declare("stages: {s: {cmd: 'basename $PWD >> $RAN', wdir: sub}}")
    assert both.repro() == ["sub"]


def test_a_stage_that_writes_no_out_fails(both: Both) -> None:
    both.declare("stages: {s: {cmd: 'echo s >> $RAN', outs: [o]}}")
    assert both.fails() == ["s"]


# --- outs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("keys", "lines"), [("", 1), (": {persist: true}", 2)])
def test_an_out_stays_in_place_only_if_it_persists(both: Both, keys: str, lines: int) -> None:
    both.write("in.txt", "1\n")
    both.declare(
        "stages:\n  s:\n    cmd: echo s >> $RAN; cat in.txt >> o\n    deps: [in.txt]\n"
        f"    outs:\n      - o{keys}\n"
    )
    assert both.repro() == ["s"]
    both.write("in.txt", "2\n")
    assert both.repro() == ["s"]
    assert len(both.read("o").splitlines()) == lines


def test_an_out_without_cache_is_left_to_git(both: Both) -> None:
    both.declare("""
        stages:
          s:
            cmd: echo s >> $RAN; echo 1 > kept; echo 1 > ours
            outs: [kept, ours: {cache: false}]
        """)
    assert both.repro() == ["s"]
    for side in (both.dvc, both.mlx):
        rules = (side.root / ".gitignore").read_text()
        assert "/kept" in rules
        assert "/ours" not in rules


def test_the_same_out_of_two_stages_is_refused(both: Both) -> None:
    both.declare("stages: {a: {cmd: touch x, outs: [x]}, b: {cmd: touch x, outs: [x]}}")
    both.refused()


def test_an_out_inside_another_is_refused(both: Both) -> None:
    both.declare("stages: {a: {cmd: mkdir x, outs: [x]}, b: {cmd: touch x/y, outs: [x/y]}}")
    both.refused()


def test_a_circle_is_refused(both: Both) -> None:
    both.declare(
        "stages: {a: {cmd: touch x, deps: [y], outs: [x]}, b: {cmd: touch y, deps: [x], outs: [y]}}"
    )
    both.refused()


def test_metrics_and_plots_that_git_keeps_carry_the_graph(both: Both) -> None:
    both.declare("""
        stages:
          m:
            cmd: echo m >> $RAN; echo '{"a":1}' > m.json; echo '[]' > p.json
            metrics: [m.json: {cache: false}]
            plots: [p.json: {cache: false, x: step, title: what}]
          n: {cmd: echo n >> $RAN, deps: [m.json, p.json], outs: []}
        """)
    assert both.names() == ["m", "n"]
    assert both.repro() == ["m", "n"]


# --- frozen, always_changed ---------------------------------------------------------------------


def test_a_frozen_stage_does_not_look_at_its_deps(chain: Both) -> None:
    chain.declare(changed(CHAIN, "b", "frozen: true"))
    chain.write("in.txt", "two\n")
    assert chain.repro() == ["a", "other"]
    assert chain.read("c.txt") == "o"


def test_what_a_frozen_stage_needs_is_not_run_for_its_sake(chain: Both) -> None:
    chain.declare(changed(CHAIN, "b", "frozen: true"))
    chain.write("in.txt", "two\n")
    assert chain.repro("c") == []
    assert chain.repro("b") == []


def test_a_stage_that_thaws_runs(chain: Both) -> None:
    chain.declare(changed(CHAIN, "b", "frozen: true"))
    chain.write("in.txt", "two\n")
    chain.repro()
    chain.declare(CHAIN)
    assert chain.repro() == ["b", "c"]


def test_force_does_not_run_a_frozen_stage(chain: Both) -> None:
    chain.declare(changed(CHAIN, "b", "frozen: true"))
    assert chain.repro("--force", "--single-item", "b") == []


def test_a_stage_that_is_always_changed_runs_and_its_outs_decide_about_the_rest(
    chain: Both,
) -> None:
    chain.declare(changed(CHAIN, "b", "always_changed: true"))
    assert chain.repro() == ["b"]
    assert chain.repro() == ["b"]


# --- targets and flags --------------------------------------------------------------------------


def test_a_target_and_what_it_needs(chain: Both) -> None:
    chain.write("in.txt", "two\n")
    assert chain.repro("b") == ["a", "b"]


def test_single_item(chain: Both) -> None:
    chain.write("in.txt", "two\n")
    assert chain.repro("--single-item", "b") == []
    assert chain.repro("--single-item", "a") == ["a"]
    assert chain.repro("--single-item", "c") == []
    assert chain.repro("--single-item", "b") == ["b"]


def test_downstream(chain: Both) -> None:
    chain.write("in.txt", "two\n")
    assert chain.repro("--downstream", "b") == []
    assert chain.repro("--downstream", "a") == ["a", "b", "c"]


def test_downstream_starts_at_the_target(chain: Both) -> None:
    text = CHAIN.replace("cp a.txt b.txt", "cp  a.txt b.txt; echo >> b.txt")
    chain.declare(text)
    chain.write("in.txt", "two\n")
    assert chain.repro("--downstream", "b") == ["b", "c"]


def test_force_one_stage(chain: Both) -> None:
    assert chain.repro("--force", "--single-item", "b") == ["b"]


def test_force_a_target_forces_what_it_needs(chain: Both) -> None:
    assert chain.repro("--force", "b") == ["a", "b"]


def test_dry_runs_nothing(chain: Both) -> None:
    chain.write("in.txt", "two\n")
    assert chain.repro("--dry") == []


def test_no_run_cache(chain: Both) -> None:
    chain.write("in.txt", "two\n")
    chain.repro()
    chain.write("in.txt", "one\n")
    assert chain.repro("--no-run-cache") == ["a", "b", "c", "other"]


BROKEN = CHAIN.replace("cp a.txt b.txt", "false")


def test_a_failure_stops_what_needs_it(both: Both) -> None:
    both.write("in.txt", "one\n")
    both.declare(BROKEN)
    assert both.fails("c") == ["a", "b"]
    both.declare(CHAIN)
    assert both.repro("c") == ["b", "c"]


def test_keep_going(both: Both) -> None:
    both.write("in.txt", "one\n")
    both.declare(BROKEN)
    assert both.fails("--keep-going") == ["a", "b", "other"]
    both.declare(CHAIN)
    assert both.repro() == ["b", "c"]


def test_allow_missing(chain: Both) -> None:
    chain.remove("b.txt")
    assert chain.repro("--allow-missing") == []


def test_a_file_in_a_folder_below(both: Both) -> None:
    both.write("in.txt", "one\n")
    both.declare("stages: {s: {cmd: 'echo top >> $RAN; cp in.txt o', deps: [in.txt], outs: [o]}}")
    both.declare(
        "stages: {s: {cmd: 'echo sub >> $RAN; cp ../o o', deps: [../o], outs: [o]}}", folder="sub"
    )
    for side, file in (both.dvc, "sub/dvc.yaml:s"), (both.mlx, "sub/mlx.yaml:s"):
        assert side.repro(file) == (True, ["sub", "top"])


def test_sections_that_stand_at_the_top(both: Both) -> None:
    both.write("p.yaml", "a: 1\n")
    both.write("m.json", '{"a": 1}')
    both.write("p.csv", "x,y\n1,2\n")
    both.declare("""
        params: [p.yaml]
        metrics: [m.json]
        plots:
          - p.csv
          - curve: {x: {p.csv: x}, y: {p.csv: [y]}, title: what}
        stages: {s: {cmd: echo s >> $RAN}}
        """)
    assert both.repro() == ["s"]


@pytest.mark.parametrize("name", ["a@b", "''", "{a: b}"])
def test_a_name_that_cannot_be_is_refused(both: Both, name: str) -> None:
    both.declare(f"stages:\n  {name}:\n    cmd: echo ran >> $RAN\n")
    both.refused()


@pytest.mark.parametrize(
    "text",
    [
        "stages: {s: {deps: [x]}}",
        "stages: {s: {cmd: echo x >> $RAN, dep: [x]}}",
        "stages: {s: {cmd: echo x >> $RAN, deps: x}}",
        "stages: {s: {cmd: echo x >> $RAN, frozen: 1}}",
        "stages: {s: {cmd: echo x >> $RAN, outs: [{o: {cach: true}}]}}",
        "stages: {s: {cmd: echo x >> $RAN, deps: [nothing]}}",
        "stages: [s]",
        "stages: {s: {cmd: echo x >> $RAN}",
        "stage: {s: {cmd: echo x >> $RAN}}",
    ],
)
def test_a_wrong_file_is_refused(both: Both, text: str) -> None:
    both.declare(text)
    both.refused()
