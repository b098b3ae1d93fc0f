"""Templating: what DVC's user guide says of vars, `${…}`, foreach and matrix holds here too."""

from __future__ import annotations

from textwrap import indent
from typing import NamedTuple

import pytest
from both import Both

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(600)]

PARAMS = """\
train:
  lr: 0.1
  epochs: 3
  shuffle: true
  debug: false
  tag: plain
  title: two words
  layers: [8, 16]
nested:
  list:
    - name: first
    - name: second
args:
  foo: foo
  bar: 1
  on: true
  off: false
  nested:
    baz: two words
  list: [2, 3, qux]
cities: [us, gb]
models:
  cnn: {depth: 3, act: relu}
  rnn: {depth: 1, act: tanh}
grid:
  - {depth: 1, act: relu}
  - {depth: 2, act: tanh}
workdir: here
"""


class Case(NamedTuple):
    """Stages in a file, and what their commands note."""

    stages: str
    notes: list[str]
    vars: str = ""
    names: list[str] | None = None  # of the stages; left out where there is one, `s`


def echo(words: str, **keys: str) -> str:
    """Return a stage `s` that notes words."""
    more = "".join(f"  {key}: {value}\n" for key, value in keys.items())
    return f"s:\n  cmd: echo {words} >> $RAN\n{more}"


CASES = {
    # values
    "a param of the default file": Case(echo("${train.lr}"), ["0.1"]),
    "several in a text": Case(echo("${train.epochs}-${train.tag}"), ["3-plain"]),
    "true and false": Case(echo("${train.shuffle} ${train.debug}"), ["true false"]),
    "an item of a list": Case(echo("${train.layers[1]}"), ["16"]),
    "an item by a dot": Case(echo("${train.layers.0}"), ["8"]),
    "a key of an item": Case(echo("${nested.list[1].name}"), ["second"]),
    "spaces inside the braces": Case(echo("${ train.lr }"), ["0.1"]),
    "text is not quoted": Case(echo("${train.title}"), ["two words"]),
    "an escape": Case("s:\n  cmd: TAG=x; echo \\${TAG} >> $RAN\n", ["x"]),
    "a variable of the shell": Case("s:\n  cmd: TAG=x; echo $TAG >> $RAN\n", ["x"]),
    "a map becomes arguments": Case(
        "s:\n  cmd: \"printf '%s|' ${args} >> $RAN\"\n",
        ["--foo|foo|--bar|1|--on|--nested.baz|two words|--list|2|3|qux|"],
    ),
    "a cmd that is only a value": Case(
        "s:\n  cmd: ${run}\n", ["whole"], "vars:\n  - run: echo whole >> $RAN\n"
    ),
    "a list of commands": Case(
        "s:\n  cmd:\n    - echo ${train.lr} >> $RAN\n    - echo ${train.tag} >> $RAN\n",
        ["0.1", "plain"],
    ),
    # vars
    "inline": Case(echo("${x} ${y.z}"), ["1 two"], "vars:\n  - x: 1\n  - y: {z: two}\n"),
    "of files": Case(
        echo("${y} ${j} ${t.x} ${P} ${C.attr} ${D.k}"),
        ["yaml json toml py attr v"],
        "vars:\n  - more.yaml\n  - more.json\n  - more.toml\n  - more.py\n",
    ),
    "keys of a file": Case(echo("${a} ${b}"), ["1 2"], "vars:\n  - some.yaml:a,b\n"),
    "maps of the same name are merged": Case(
        echo("${train.lr} ${train.extra}"), ["0.1 more"], "vars:\n  - train: {extra: more}\n"
    ),
    "of a stage": Case(echo("${x}", vars="[{x: own}]"), ["own"]),
    "of a stage, a file": Case(echo("${y}", vars="[more.yaml]"), ["yaml"]),
    # where
    "in deps, outs and params": Case(
        "s:\n  cmd: cp ${in} ${out} && echo ${out} >> $RAN\n  deps: ['${in}']\n"
        "  outs: ['${out}']\n  params: ['train.${which}']\n",
        ["made.txt"],
        "vars:\n  - in: given.txt\n  - out: made.txt\n  - which: lr\n",
    ),
    "the key of an out": Case(
        "s:\n  cmd: echo 1 > made.txt; echo ran >> $RAN\n  outs:\n    - ${o}: {cache: false}\n",
        ["ran"],
        "vars:\n  - o: made.txt\n",
    ),
    "wdir": Case("s:\n  cmd: basename $PWD >> $RAN\n  wdir: ${workdir}\n", ["here"]),
    "desc and meta": Case(echo("x", desc="about ${train.tag}", meta="{a: '${train.lr}'}"), ["x"]),
    # foreach
    "foreach, a list": Case(
        "s:\n  foreach: [a, 2, 0.5]\n  do:\n    cmd: echo ${item} >> $RAN\n",
        ["0.5", "2", "a"],
        names=["s@0.5", "s@2", "s@a"],
    ),
    "foreach, true and false": Case(
        "s:\n  foreach: [true, false]\n  do:\n    cmd: echo ${item} >> $RAN\n",
        ["false", "true"],
        names=["s@false", "s@true"],
    ),
    "foreach, a map": Case(
        "s:\n  foreach:\n    a: {x: 1}\n    b: {x: 2}\n  do:\n"
        "    cmd: echo ${key} ${item.x} >> $RAN\n",
        ["a 1", "b 2"],
        names=["s@a", "s@b"],
    ),
    "foreach, a map of plain values": Case(
        "s:\n  foreach: {a: 1, b: 2}\n  do:\n    cmd: echo ${key} ${item} >> $RAN\n",
        ["a 1", "b 2"],
        names=["s@a", "s@b"],
    ),
    "foreach, a list of maps": Case(
        "s:\n  foreach:\n    - {x: 1}\n    - {x: 2}\n  do:\n    cmd: echo ${item.x} >> $RAN\n",
        ["1", "2"],
        names=["s@0", "s@1"],
    ),
    "foreach, a value": Case(
        "s:\n  foreach: ${cities}\n  do:\n    cmd: echo ${item} >> $RAN\n",
        ["gb", "us"],
        names=["s@gb", "s@us"],
    ),
    "foreach, a map that is a value": Case(
        "s:\n  foreach: ${models}\n  do:\n    cmd: echo ${key} ${item.depth} >> $RAN\n",
        ["cnn 3", "rnn 1"],
        names=["s@cnn", "s@rnn"],
    ),
    "foreach, items with values in them": Case(
        "s:\n  foreach:\n    - {x: '${train.lr}'}\n    - {x: 2}\n  do:\n"
        "    cmd: echo ${item.x} >> $RAN\n",
        ["0.1", "2"],
        names=["s@0", "s@1"],
    ),
    "foreach, outs of the items": Case(
        "s:\n  foreach: [a, b]\n  do:\n    cmd: echo ${item} | tee -a $RAN > ${item}.out\n"
        "    outs: ['${item}.out']\n"
        "t:\n  cmd: cat a.out b.out >> $RAN\n  deps: [a.out, b.out]\n",
        ["a", "a", "b", "b"],
        names=["s@a", "s@b", "t"],
    ),
    "foreach with a matrix in wdir and params": Case(
        "s:\n  foreach: [here, there]\n  do:\n    cmd: basename $PWD >> $RAN\n    wdir: ${item}\n",
        ["here", "there"],
        names=["s@here", "s@there"],
    ),
    # matrix
    "matrix, two axes": Case(
        "s:\n  matrix:\n    x: [a, b]\n    y: [1, 2]\n"
        "  cmd: echo ${item.x} ${item.y} ${key} >> $RAN\n",
        ["a 1 a-1", "a 2 a-2", "b 1 b-1", "b 2 b-2"],
        names=["s@a-1", "s@a-2", "s@b-1", "s@b-2"],
    ),
    "matrix, items that are maps and lists": Case(
        "s:\n  matrix:\n    m: [{name: x}, {name: y}]\n    l: [[1, 2], [3]]\n"
        "  cmd: echo ${item.m.name} ${item.l[0]} >> $RAN\n",
        ["x 1", "x 3", "y 1", "y 3"],
        names=["s@m0-l0", "s@m0-l1", "s@m1-l0", "s@m1-l1"],
    ),
    "matrix, axes that are values": Case(
        "s:\n  matrix:\n    city: ${cities}\n    g: ${grid}\n"
        "  cmd: echo ${item.city} ${item.g.act} >> $RAN\n",
        ["gb relu", "gb tanh", "us relu", "us tanh"],
        names=["s@gb-g0", "s@gb-g1", "s@us-g0", "s@us-g1"],
    ),
    "matrix, true and numbers": Case(
        "s:\n  matrix:\n    a: [true, false]\n    b: [0.1, 2]\n"
        "  cmd: echo ${item.a} ${item.b} >> $RAN\n",
        ["false 0.1", "false 2", "true 0.1", "true 2"],
        names=["s@false-0.1", "s@false-2", "s@true-0.1", "s@true-2"],
    ),
    "matrix, deps and outs": Case(
        "s:\n  matrix:\n    x: [a, b]\n  cmd: cp given.txt ${item.x}.out; echo ${item.x} >> $RAN\n"
        "  deps: [given.txt]\n  outs: ['${item.x}.out']\n",
        ["a", "b"],
        names=["s@a", "s@b"],
    ),
    "matrix, a map of an item as arguments": Case(
        "s:\n  matrix:\n    g: ${grid}\n  cmd: echo x ${item.g} >> $RAN\n",
        ["x --depth 1 --act relu", "x --depth 2 --act tanh"],
        names=["s@g0", "s@g1"],
    ),
}

REFUSED = {
    "an unknown name": (echo("${train.lrr}"), ""),
    "an unknown index": (echo("${train.layers[7]}"), ""),
    "a hole that is not closed by its name": (echo("${train.}"), ""),
    "a list in a path": (echo("x", deps="['a${cities}']"), ""),
    "a name that is given twice": (echo("x"), "vars:\n  - workdir: again\n"),
    "a vars file that is not there": (echo("x"), "vars:\n  - nothing.yaml\n"),
    "a key that a vars file lacks": (echo("x"), "vars:\n  - some.yaml:nothing\n"),
    "a hole in vars": (echo("${x}"), "vars:\n  - x: ${train.lr}\n"),
    "foreach without do": ("s:\n  foreach: [a]\n", ""),
    "do without foreach": ("s:\n  do:\n    cmd: echo x >> $RAN\n", ""),
    "foreach beside cmd": (
        "s:\n  foreach: [a]\n  cmd: echo x >> $RAN\n  do: {cmd: echo x >> $RAN}\n",
        "",
    ),
    "foreach over a text": ("s:\n  foreach: ${train.tag}\n  do: {cmd: echo x >> $RAN}\n", ""),
    "matrix beside foreach": (
        "s:\n  matrix: {x: [1]}\n  foreach: [a]\n  do: {cmd: echo x >> $RAN}\n",
        "",
    ),
    "item outside of foreach": (echo("${item}"), ""),
    "nested lists as arguments": (echo("${m}"), "vars:\n  - m: {a: [[1], [2]]}\n"),
}


def fill(both: Both, case: tuple[str, str]) -> None:
    stages, variables = case
    both.write("params.yaml", PARAMS)
    both.write("given.txt", "given\n")
    both.write("more.yaml", "y: yaml\n")
    both.write("more.json", '{"j": "json"}\n')
    both.write("more.toml", '[t]\nx = "toml"\n')
    both.write("more.py", 'P = "py"\nclass C:\n    attr = "attr"\nD = {"k": "v"}\n')
    both.write("some.yaml", "a: 1\nb: 2\ntrain: {lr: another}\n")
    for folder in ("here", "there"):
        both.write(f"{folder}/inside.txt", "inside\n")
    both.declare(f"{variables}stages:\n{indent(stages, '  ')}")


@pytest.mark.parametrize("name", CASES)
def test_a_template_means_the_same(both: Both, name: str) -> None:
    case = CASES[name]
    fill(both, (case.stages, case.vars))
    assert both.names() == (case.names or ["s"])
    assert both.repro() == case.notes


@pytest.mark.parametrize("name", REFUSED)
def test_what_one_refuses_the_other_refuses(both: Both, name: str) -> None:
    fill(both, REFUSED[name])
    both.refused()


def test_a_group_and_an_item_are_targets(both: Both) -> None:
    both.declare("""
        stages:
          s:
            foreach: [a, b]
            do:
              cmd: echo ${item} | tee -a $RAN > ${item}.out
              outs: ['${item}.out']
          t:
            matrix: {x: [1, 2]}
            cmd: echo ${item.x} | tee -a $RAN > ${item.x}.out
            outs: ['${item.x}.out']
        """)
    assert both.repro("s@b") == ["b"]
    assert both.repro("s") == ["a"]
    assert both.repro("--glob", "t@*") == ["1", "2"]


def test_a_changed_value_runs_only_the_items_that_use_it(both: Both) -> None:
    both.declare("""
        stages:
          s:
            foreach: ${models}
            do:
              cmd: echo ${key} ${item.depth} | tee -a $RAN > ${key}.out
              outs: ['${key}.out']
        """)
    both.write("params.yaml", PARAMS)
    assert both.repro() == ["cnn 3", "rnn 1"]
    both.write("params.yaml", PARAMS.replace("depth: 3", "depth: 4"))
    assert both.repro() == ["cnn 4"]
