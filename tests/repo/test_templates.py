"""`${…}`, vars, foreach and matrix: the stages that come out, and how each mistake is told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlxrepo.errors import InputError, Where
from mlxrepo.paths import RepoPath
from mlxrepo.repo import expand
from mlxrepo.repo.interpolate import OPEN, TemplateError, fill
from mlxrepo.repo.project import parse_project
from mlxrepo.repo.stage import ProjectFile, Stage

PARAMS = """\
lr: 1e-3
name: it's
train: {depth: 8, layers: [16, 32, 64]}
flag: true
nothing:
files: [a.csv, b c.csv]
options: {lr: 0.1, verbose: true, quiet: false, tags: [x, y z], model: {depth: 8}}
deep: {a: [[1]]}
seconds: 90
"""


def parse(text: str, files: dict[str, str] | None = None, path: str = "mlx.yaml") -> ProjectFile:
    known = {"params.yaml": PARAMS} if files is None else files

    def read(asked: RepoPath) -> bytes | None:
        return known[asked].encode() if asked in known else None

    return parse_project(text.encode(), RepoPath(path), read)


def one(body: str, files: dict[str, str] | None = None) -> Stage:
    """Return the stage with these keys, each on a line of its own."""
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    [stage] = parse(f"stages:\n  s:\n{lines}", files).stages
    return stage


def commands(text: str, files: dict[str, str] | None = None) -> dict[str, str]:
    return {stage.name: stage.cmd[0] for stage in parse(text, files).stages}


def refused(text: str, files: dict[str, str] | None = None) -> InputError:
    with pytest.raises(InputError) as caught:
        parse(text, files)
    assert caught.value.where is not None
    return caught.value


# --- filling in ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "command"),
    [
        ("x ${lr}", "x 0.001"),
        ("x ${ train.depth }", "x 8"),
        ("x ${train.layers[0]} ${train.layers.1} ${train.layers[-1]}", "x 16 32 64"),
        ("x ${train[depth]}", "x 8"),
        ("x ${flag} ${nothing}", "x true None"),
        ("x${lr}${lr}y", "x0.0010.001y"),
        (r"x \${HOME} ${lr}", "x ${HOME} 0.001"),
        (r"x \${HOME}", "x ${HOME}"),
        ("x $HOME $(date) {lr}", "x $HOME $(date) {lr}"),
        # the shell
        ("x ${name|q} ${name}", "x 'it'\"'\"'s' it's"),
        ("${name|q}", "'it'\"'\"'s'"),
        ("x ${files}", "x a.csv 'b c.csv'"),
        ("x ${files|q}", "x a.csv 'b c.csv'"),
        ("x ${options} y", "x --lr 0.1 --verbose --tags x 'y z' --model.depth 8 y"),
        ("x ${train.layers}", "x 16 32 64"),
    ],
)
def test_a_command_is_filled_in(template: str, command: str) -> None:
    assert one(f"cmd: {template}").cmd == (command,)


def test_a_block_is_filled_in_before_it_is_cut_into_commands() -> None:
    assert one("cmd: |\n  a ${lr}\n  b ${flag}").cmd == ("a 0.001", "b true")
    assert one("cmd: ${both}", {"params.yaml": "both: [one, two]"}).cmd == ("one", "two")
    assert one("cmd: [x, '${both}']", {"params.yaml": "both: [y, z]"}).cmd == ("x", "y", "z")


def test_a_value_that_stands_alone_keeps_its_type() -> None:
    stage = one(
        "cmd: x\nfrozen: ${flag}\ntimeout: ${seconds}\nretries: ${train.depth}\n"
        "resources: {mem: '${seconds}'}\nmeta: ['${train}', '${nothing}']\ndeps: ${files}"
    )

    assert (stage.frozen, stage.timeout, stage.retries) == (True, 90.0, 8)
    assert stage.resources.counters == (("mem", 90),)
    assert stage.meta == [{"depth": 8, "layers": [16, 32, 64]}, None]
    assert [dep.path for dep in stage.deps] == ["a.csv", "b c.csv"]


def test_a_number_that_stands_alone_where_text_belongs_is_its_text() -> None:
    stage = one("cmd: x\ndesc: ${lr}\nouts:\n  - ${seconds}\nparams:\n  - ${seconds}")

    assert (stage.desc, stage.outs[0].path, stage.params[0].key) == ("0.001", "90", "90")


def test_a_list_that_is_one_item_of_a_list_is_put_in() -> None:
    stage = one(
        "cmd: x\ndeps: [a.py, '${files}', z]\nouts: ['${made}']\nparams: ['${keys}', "
        "{c.yaml: ['${keys}']}]\nenv: ['${names}']",
        {"params.yaml": "files: [b, c]\nmade: [m, n]\nkeys: [p, q]\nnames: [A, B]"},
    )

    assert [dep.path for dep in stage.deps] == ["a.py", "b", "c", "z"]
    assert [out.path for out in stage.outs] == ["m", "n"]
    assert [(ref.file, ref.key) for ref in stage.params] == [
        ("params.yaml", "p"),
        ("params.yaml", "q"),
        ("c.yaml", "p"),
        ("c.yaml", "q"),
    ]
    assert stage.env == ("A", "B")


def test_a_list_in_a_list_of_meta_stays_one_item() -> None:
    assert one("cmd: x\nmeta: {deps: ['${train.layers}']}").meta == {"deps": [[16, 32, 64]]}


def test_a_command_of_a_model_is_filled_in_as_cmd_is() -> None:
    [model] = parse("models: {m: {path: m, predict: 'p ${files}'}}").artifacts

    assert dict(model.keys)["predict"] == "p a.csv 'b c.csv'"


def test_templates_work_in_every_key() -> None:
    files = {"params.yaml": "w: x\nn: 2\nb: false\nsize: 2GB\nt: 10m\nfile: p.json\nsh: zsh"}
    project = parse(
        """\
datasets: {raw: {path: 'data/${w}', desc: 'all of ${w}'}}
models: {m: {path: '${w}.pkl', approvals: '${n}', predict: 'p ${w}'}}
shell: ${sh}
stages:
  s:
    cmd: [a, 'b ${w}']
    wdir: src/${w}
    desc: does ${w}
    deps: ['${w}/in']
    params: ['${w}.lr', {'${file}': ['${w}']}]
    outs:
      - ${w}/out: {cache: '${b}', remote: '${w}', desc: '${w}', labels: ['${w}'], meta: {k: '${n}'}}
      - {'${w}.bin': {push: '${b}', persist: '${b}', type: '${w}'}}
    metrics: ['${w}.json']
    plots: [{'${w}.csv': {x: '${w}', header: '${b}'}}]
    env: ['V_${w}']
    timeout: ${t}
    retries: ${n}
    resources: {mem: '${size}', gpu: '${n}', mutex: ['${w}'], slots: '${n}'}
    frozen: ${b}
    always_changed: ${b}
    meta: {a: ['${n}']}
params: ['${file}']
metrics: ['${w}2.json']
plots: ['${w}.png']
environment: {files: ['${w}.lock'], variables: ['E_${w}']}
""",
        files,
    )
    [stage] = project.stages
    first, second, *_ = stage.outs

    assert [(a.path, a.desc) for a in project.artifacts] == [
        ("data/x", "all of x"),
        ("x.pkl", None),
    ]
    assert project.artifacts[1].keys == (("approvals", 2), ("predict", "p x"))
    assert (stage.cmd, stage.wdir, stage.desc, stage.shell) == (
        ("a", "b x"),
        "src/x",
        "does x",
        "zsh",
    )
    assert [(ref.file, ref.key) for ref in stage.params] == [
        ("params.yaml", "x.lr"),
        ("p.json", "x"),
    ]
    assert (first.path, first.cache, first.remote) == ("x/out", False, "x")
    assert first.keys == (("desc", "x"), ("labels", ["x"]), ("meta", {"k": 2}))
    assert (second.path, second.push, second.persist) == ("x.bin", False, False)
    assert stage.outs[3].keys == (("x", "x"), ("header", False))
    assert (stage.env, stage.timeout, stage.retries) == (("V_x",), 600.0, 2)
    assert stage.resources == ((("mem", 2e9), ("slots", 2)), ("x",), 2)
    assert stage.meta == {"a": [2]}
    assert (project.params, project.metrics, project.plots) == (
        ("p.json",),
        ("x2.json",),
        ("x.png",),
    )
    assert project.environment == (("x.lock",), False, ("E_x",))


def test_what_was_put_in_is_not_looked_at_again() -> None:
    files = {"params.yaml": "a: '${b} \\${c} $(rm -rf /)'\nb: no"}

    assert one("cmd: echo ${a}", files).cmd == (r"echo ${b} \${c} $(rm -rf /)",)


def test_yaml_of_params_is_read_as_mlx_yaml_is() -> None:
    files = {"params.yaml": "no: no\non: 012\nday: 2024-01-31\nhex: 0x10"}

    assert one("cmd: x ${no} ${on} ${day} ${hex}", files).cmd == ("x no 12 2024-01-31 16",)


texts = st.text(st.sampled_from("a${}[].|q\\ '\n#:") | st.characters(codec="utf-8"))


@given(texts)
def test_a_text_without_a_template_is_unchanged(text: str) -> None:
    text = text.replace(OPEN, "$ {")
    asked: list[tuple[str, ...]] = []

    assert fill(text, asked.append, lambda count: None) == text
    assert asked == []


@given(texts, st.recursive(texts | st.integers() | st.booleans(), st.lists, max_leaves=4))
def test_a_template_only_ever_looks_up_names(text: str, value: object) -> None:
    """Whatever is in braces, what comes out is the text with looked up values put in."""
    looked_up: list[tuple[str, ...]] = []

    def find(path: tuple[str, ...]) -> object:
        looked_up.append(path)
        return value

    try:
        filled = fill(text, find, lambda count: None)
    except TemplateError:
        return
    if not looked_up:
        assert filled == text.replace("\\${", "${")
    elif filled is not value:
        assert isinstance(filled, str)
    for path in looked_up:
        assert all(word and not set(word) & set(".[]{}|$") for word in path)


@pytest.mark.parametrize("name", ["__class__", "a.__class__", "a.keys", "f.__globals__", "a[:]"])
def test_attributes_of_python_are_no_names(name: str) -> None:
    with pytest.raises(InputError):
        one(f"cmd: x ${{{name}}}", {"params.yaml": "a: {b: 1}\nf: text"})


# --- vars ---------------------------------------------------------------------------------------

FILES = {
    "v.yaml": "a: 1\nb: {c: 2}",
    "v.json": '{"d": [3], "e": null}',
    "v.toml": "f = 4\n[g]\nh = 5.5\n",
    "v.py": "I = 6\nclass J:\n    k = 7\n    def __init__(self):\n        self.l = 8\nM = I + 1\n",
    "sub/v.yaml": "n: 9",
    "sub/params.yaml": "n: 10",
}


def test_vars_come_from_maps_and_from_files_of_every_format() -> None:
    text = """\
vars: [v.yaml, v.json, v.toml, v.py, sub/v.yaml, {o: {p: 11}}, {o: {q: 12}}]
stages:
  s: {cmd: 'x ${a} ${b.c} ${d[0]} ${e} ${f} ${g.h} ${I} ${J.k} ${J.l} ${n} ${o.p} ${o.q}'}
"""
    assert commands(text, FILES) == {"s": "x 1 2 3 None 4 5.5 6 7 8 9 11 12"}
    assert parse(text, FILES).read == (
        "params.yaml", "v.yaml", "v.json", "v.toml", "v.py", "sub/v.yaml",
    )  # fmt: skip


def test_some_keys_of_a_file() -> None:
    text = "vars: ['v.yaml:a,b']\nstages: {s: {cmd: 'x ${a} ${b.c}'}}"
    only = "vars: ['v.yaml:a']\nstages: {s: {cmd: 'x ${b.c}'}}"

    assert commands(text, FILES) == {"s": "x 1 2"}
    assert refused(only, FILES).message == 'nothing gives the name "b"'


def test_files_are_found_beside_the_mlx_yaml_and_not_in_wdir() -> None:
    text = "stages: {s: {cmd: 'x ${n}', wdir: deep}}"
    with_file = "vars: [../v.yaml]\nstages: {s: {cmd: 'x ${a}', vars: [v.yaml], wdir: deep}}"

    assert parse(text, FILES, "sub/mlx.yaml").stages[0].cmd == ("x 10",)
    with pytest.raises(InputError) as caught:
        parse(with_file, FILES, "sub/mlx.yaml")
    assert caught.value.message == '"n" of sub/v.yaml is given already, by sub/params.yaml'


def test_a_stage_has_vars_of_its_own() -> None:
    text = """\
vars: [{b: 1}]
stages:
  s: {cmd: 'x ${b} ${c}', vars: [{c: 2}]}
  t: {cmd: 'x ${b} ${c}', vars: [{c: 3}]}
  u:
    foreach: [4, 5]
    do: {cmd: 'x ${item} ${c}', vars: [{c: 6}]}
  v:
    matrix: {i: [7]}
    vars: [{c: 8}]
    cmd: x ${item.i} ${c}
"""
    assert commands(text, {}) == {
        "s": "x 1 2", "t": "x 1 3", "u@4": "x 4 6", "u@5": "x 5 6", "v@7": "x 7 8",
    }  # fmt: skip


def test_without_a_template_no_file_is_read() -> None:
    assert parse("stages: {s: {cmd: x, deps: [$HOME]}}").read == ()
    assert parse("stages: {s: {foreach: [a], do: {cmd: x}}}").read == ()
    assert parse("stages: {s: {cmd: '${lr}'}}").read == ("params.yaml",)
    assert parse("vars: [{a: 1}]", {}).read == ("params.yaml",)  # asked for; it is not here


def test_the_same_file_may_be_named_again() -> None:
    text = "vars: [params.yaml, v.yaml, v.yaml]\nstages: {s: {cmd: '${a}', vars: [v.yaml]}}"

    assert commands(text, {**FILES, "params.yaml": "x: 0"}) == {"s": "1"}


BAD_VARS = [
    ("vars: {a: 1}", (1, 7), '"vars" must be a list of files and maps, not a map', 'with "- "'),
    ("vars: [3]", (1, 8), 'an item of "vars" must be a file or a map, not 3', None),
    ("vars: [none.yaml]", (1, 8), 'there is no file "none.yaml"', "whatever wdir is"),
    ("vars: [v.txt]", (1, 8), '"v.txt" cannot hold params', ".toml, .py"),
    ("vars: ['v.yaml:aa']", (1, 8), 'no key "aa" in v.yaml', 'did you mean "a"?'),
    ("vars: [list.yaml]", (1, 8), "list.yaml must be a map of names, not a list", None),
    ("vars: [../v.yaml]", (1, 8), "outside the repository", None),
    ("vars: [v.yaml, {a: 2}]", (1, 16), "in line 1 is given already, by v.yaml", "one name"),
    ("vars: [{b: {c: 1}}, v.yaml]", (1, 21), '"b.c" of v.yaml is given already', None),
    ("vars: [v.yaml, 'v.yaml:a']", (1, 16), '"a" of v.yaml:a is given already', None),
    ("vars: [{a: '${b}'}]", (1, 12), "not filled in inside vars", "the value itself"),
    ("vars: ['${a}.yaml']", (1, 8), "not filled in inside vars", None),
    (
        "stages:\n  s: {cmd: x, vars: [{a: '${b}'}]}",
        (2, 26),
        "not filled in inside vars",
        None,
    ),
    (
        "stages:\n  s: {foreach: [1], do: {cmd: x, vars: [{item: 1}]}}",
        (2, 40),
        '"item" of "vars" of stage "s" in line 2 is what the items themselves are called',
        "another name",
    ),
]


@pytest.mark.parametrize(("text", "place", "told", "hint"), BAD_VARS, ids=[b[2] for b in BAD_VARS])
def test_bad_vars(text: str, place: tuple[int, int], told: str, hint: str | None) -> None:
    error = refused(text, {**FILES, "list.yaml": "[1]"})

    assert told in error.message
    assert error.where == Where("mlx.yaml", *place)
    assert (hint or "") in (error.hint or "")


def test_a_broken_params_file_is_told_with_its_own_place() -> None:
    error = refused("stages: {s: {cmd: '${a}'}}", {"params.yaml": "a: 1\na: 2"})

    assert str(error) == 'params.yaml:2:1: the key "a" is given twice; first in line 1'


# --- foreach and matrix ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("foreach", "cmd", "made"),
    [
        ("[us, eu]", "x ${item}", {"s@us": "x us", "s@eu": "x eu"}),
        ("[1, 2.50, true]", "x ${item}", {"s@1": "x 1", "s@2.5": "x 2.5", "s@true": "x true"}),
        ("{a: 1, b: [2, 3]}", "${key} ${item}", {"s@a": "a 1", "s@b": "b 2 3"}),
        ("{a: {n: 1}, b: {n: 2}}", "${key} ${item.n}", {"s@a": "a 1", "s@b": "b 2"}),
        ("[{n: 1}, {n: 2}]", "x ${item.n}", {"s@0": "x 1", "s@1": "x 2"}),
        ("[[1, 2], [3]]", "x ${item[0]} ${item}", {"s@0": "x 1 1 2", "s@1": "x 3 3"}),
        ("'${train.layers}'", "x ${item}", {"s@16": "x 16", "s@32": "x 32", "s@64": "x 64"}),
        ("'${train}'", "x ${key}", {"s@depth": "x depth", "s@layers": "x layers"}),
        ("['${train.depth}', b]", "x ${item}", {"s@8": "x 8", "s@b": "x b"}),
        ("['${lr}-${flag}']", "x ${item}", {"s@0.001-true": "x 0.001-true"}),
    ],
)
def test_foreach_makes_a_stage_of_each_item(foreach: str, cmd: str, made: dict[str, str]) -> None:
    text = f"stages:\n  s:\n    foreach: {foreach}\n    do:\n      cmd: {cmd}\n"

    assert commands(text) == made
    assert {stage.base for stage in parse(text).stages} == {"s"}


@pytest.mark.parametrize(
    ("matrix", "cmd", "made"),
    [
        (
            "{m: [cnn, mlp], n: [1, 2]}",
            "${item.m} ${item.n} ${key}",
            {
                "s@cnn-1": "cnn 1 cnn-1",
                "s@cnn-2": "cnn 2 cnn-2",
                "s@mlp-1": "mlp 1 mlp-1",
                "s@mlp-2": "mlp 2 mlp-2",
            },
        ),
        (
            "{m: [{name: cnn, d: 3}, {name: mlp}], n: [x]}",
            "${item.m.name} ${item.n}",
            {"s@m0-x": "cnn x", "s@m1-x": "mlp x"},
        ),
        ("{f: [[a, b], [c]]}", "x ${item.f}", {"s@f0": "x a b", "s@f1": "x c"}),
        ("{deps: ['${train.layers}']}", "x ${item.deps}", {"s@deps0": "x 16 32 64"}),
        ("{n: '${train.layers}'}", "x ${item.n}", {"s@16": "x 16", "s@32": "x 32", "s@64": "x 64"}),
        ("{n: ['${lr}', 2]}", "x ${item.n}", {"s@0.001": "x 0.001", "s@2": "x 2"}),
        ("{o: ['${options}']}", "x ${item.o.lr}", {"s@o0": "x 0.1"}),
    ],
)
def test_matrix_makes_a_stage_of_each_combination(
    matrix: str, cmd: str, made: dict[str, str]
) -> None:
    assert commands(f"stages:\n  s:\n    matrix: {matrix}\n    cmd: {cmd}\n") == made


def test_items_reach_every_key_of_their_stage() -> None:
    stages = parse(
        """\
stages:
  s:
    matrix: {m: [cnn, mlp], size: [1, 2]}
    cmd: train
    wdir: src/${item.m}
    deps: ['in/${item.m}.csv']
    outs: [{'out/${key}.pkl': {desc: 'of ${item.m}'}}]
    resources: {mem: '${item.size}GB'}
    timeout: ${item.size}
"""
    ).stages
    last = stages[-1]

    assert (last.name, last.wdir, last.deps[0].path) == ("s@mlp-2", "src/mlp", "in/mlp.csv")
    assert (last.outs[0].path, last.outs[0].keys) == ("out/mlp-2.pkl", (("desc", "of mlp"),))
    assert (last.resources.counters, last.timeout) == ((("mem", 2e9),), 2.0)
    assert {stage.where.line for stage in stages} == {2}


@pytest.mark.parametrize(
    ("item", "name"),
    [
        ("a/b c", "s@a_b_c"),
        ("a..b", "s@a_b"),
        ("uv.lock", "s@uv_lock"),
        ("v1.", "s@v1_"),
        ("lr=0.1,x+y", "s@lr=0.1,x+y"),
        ("日本", "s@日本"),
        ("-1", "s@-1"),
        ("a@b:c", "s@a_b_c"),
        ("$(x)\n", "s@_x_"),
    ],
)
def test_what_no_name_can_hold_becomes_an_underscore(item: str, name: str) -> None:
    import json

    text = f"stages:\n  s:\n    foreach: [{json.dumps(item)}]\n    do: {{cmd: 'x ${{item|q}}'}}\n"

    assert [stage.name for stage in parse(text, {}).stages] == [name]


def test_item_and_key_go_before_params_of_that_name() -> None:
    files = {"params.yaml": "item: global\nkey: global"}
    text = """\
stages:
  a: {cmd: '${item} ${key}'}
  b: {foreach: [1], do: {cmd: '${item} ${key}'}}
  c: {foreach: {k: 1}, do: {cmd: '${item} ${key}'}}
"""

    assert commands(text, files) == {"a": "global global", "b@1": "1 global", "c@k": "1 k"}


# --- mistakes -------------------------------------------------------------------------------------

BAD = [
    # names that nothing gives
    ("stages:\n  s:\n    cmd: x ${lrr}", (3, 12), 'nothing gives the name "lrr"', "mean ${lr}?"),
    ("stages:\n  s:\n    cmd: 'x ${lrr}'", (3, 13), 'nothing gives the name "lrr"', "mean ${lr}?"),
    ("stages:\n  s:\n    cmd: |\n      a\n      b ${z}", (5, 1), 'the name "z"', None),
    (
        "stages:\n  s:\n    cmd: x ${train.dpth}",
        (3, 12),
        'no "dpth" in ${train}',
        "did you mean ${train.depth}?",
    ),
    ("stages:\n  s: {cmd: 'x ${HOME}'}", (2, 15), '"HOME"', r"of the shell write \${HOME}"),
    ("stages:\n  s: {cmd: 'x ${files[2]}'}", (2, 15), 'no "2" in ${files}', "it has 0, 1"),
    ("stages:\n  s: {cmd: 'x ${lr.a}'}", (2, 15), 'no "a" in ${lr}', "a single value"),
    (
        "stages:\n  s: {foreach: [{n: 1}, {m: 2}], do: {cmd: '${item.n}'}}",
        (2, 45),
        'no "n" in ${item}, in stage "s@1"',
        "it has m",
    ),
    ("stages:\n  s: {foreach: [a], do: {cmd: '${key}'}}", (2, 32), 'the name "key"', None),
    # spelling
    ("stages:\n  s: {cmd: 'x ${lr'}", (2, 15), '"${" without its "}"', r"\${ is the text itself"),
    ("stages:\n  s: {cmd: 'x ${}'}", (2, 15), '"${}" names nothing', "write a name"),
    ("stages:\n  s: {cmd: 'x ${a..b}'}", (2, 15), "names nothing", None),
    ("stages:\n  s: {cmd: 'x ${a[0}'}", (2, 15), "names nothing", None),
    ("stages:\n  s: {cmd: 'x ${lr|upper}'}", (2, 15), 'unknown filter "upper"', "|q quotes"),
    # values that do not fit
    ("stages:\n  s: {cmd: x, desc: 'x ${files}'}", (2, 24), "${files} is a list", "in cmd it can"),
    ("stages:\n  s: {cmd: 'x ${deep}'}", (2, 15), "list or map inside a list", "name one value"),
    ("stages:\n  s: {cmd: '${options}'}", (2, 12), "must be a command or a list", None),
    ("stages:\n  s: {cmd: x, deps: ['${train}']}", (2, 22), "one item is a map", None),
    ("stages:\n  s: {cmd: x, deps: ['${nothing}']}", (2, 22), "one item is empty", None),
    ("stages:\n  s: {cmd: x, timeout: '${name}'}", (2, 24), "not text: it's", None),
    ("stages:\n  s: {cmd: x, frozen: '${lr}'}", (2, 23), "not a number: 0.001", None),
    ("stages:\n  s: {cmd: x, outs: [{'${train}': {}}]}", (2, 23), "has to be text", None),
    (
        "stages:\n  s: {cmd: x, outs: [{'${lr}': {}, '0.001': {}}]}",
        (2, 36),
        'the key "0.001" is given twice',
        None,
    ),
    ("stages:\n  '${name}': {cmd: x}", (2, 3), "not filled in in names", None),
    ("format: '${one}'", (1, 9), '"format" must be a whole number', None),
    # foreach
    ("stages:\n  s: {foreach: [a]}", (2, 3), 'has "foreach" and no "do"', "and do:"),
    ("stages:\n  s: {do: {cmd: x}}", (2, 3), 'has "do" and no "foreach"', "write foreach:"),
    (
        "stages:\n  s: {foreach: [a], do: {cmd: x}, deps: [b]}",
        (2, 35),
        '"deps" of stage "s" stands beside "foreach"',
        "put it into do:",
    ),
    ("stages:\n  s: {foreach: [a], do: {matrix: {b: [1]}, cmd: x}}", (2, 26), "inside", None),
    ("stages:\n  s: {foreach: [a], do: x}", (2, 25), '"do" of stage "s" must be a map', None),
    ("stages:\n  s: {foreach: [a], do: {deps: [b]}}", (2, 3), 'stage "s@a" has no "cmd"', None),
    ("stages:\n  s: {foreach: [], do: {cmd: x}}", (2, 16), "not an empty list", None),
    ("stages:\n  s: {foreach: {}, do: {cmd: x}}", (2, 16), "not an empty map", None),
    ("stages:\n  s: {foreach: 3, do: {cmd: x}}", (2, 16), 'not "3"', None),
    ("stages:\n  s: {foreach: '${lr}', do: {cmd: x}}", (2, 16), 'not "0.001"', None),
    ("stages:\n  s: {foreach: [''], do: {cmd: x}}", (2, 3), "an empty item", "its keys are"),
    (
        f"stages:\n  s: {{foreach: [{'a' * 201}], do: {{cmd: x}}}}",
        (2, 3),
        'an item that begins with "aaaaaaaaaaaaaaaaaaaa"',
        "its keys are",
    ),
    (
        "stages:\n  s: {foreach: [a, a], do: {cmd: x}}",
        (2, 3),
        'the items "a" twice of stage "s" would both be s@a',
        "its keys are the names",
    ),
    (
        "stages:\n  s: {foreach: [a/b, a b], do: {cmd: x}}",
        (2, 3),
        'the items "a/b" and "a b" of stage "s" would both be s@a_b',
        None,
    ),
    (
        "stages:\n  s: {foreach: [a, b], do: {cmd: x, outs: [m]}}",
        (2, 44),
        'of stage "s@b" is also the out of stage "s@a"',
        "models/${item}.pkl",
    ),
    # matrix
    ("stages:\n  s: {matrix: {}, cmd: x}", (2, 15), "must be a map of axes", "write matrix:"),
    ("stages:\n  s: {matrix: [a], cmd: x}", (2, 15), "must be a map of axes", None),
    ("stages:\n  s: {matrix: {a: []}, cmd: x}", (2, 19), 'the axis "a" of stage "s"', "take"),
    ("stages:\n  s: {matrix: {a: 3}, cmd: x}", (2, 19), 'not "3"', None),
    ("stages:\n  s: {matrix: {a: [1]}}", (2, 3), 'stage "s@1" has no "cmd"', None),
    (
        "stages:\n  s: {matrix: {a: [1]}, foreach: [2], do: {cmd: x}}",
        (2, 7),
        '"matrix" of stage "s" stands beside "foreach"',
        None,
    ),
    ("stages:\n  a/b: {foreach: [1], do: {cmd: x}}", (2, 3), '"a/b" cannot be the name', None),
    ("stages:\n  a b: {matrix: {c: [1]}, cmd: x}", (2, 3), '"a b" cannot be the name', None),
    ("stages:\n  s@1: {cmd: x}", (2, 3), '"s@1" cannot be the name', None),
]


@pytest.mark.parametrize(("text", "place", "told", "hint"), BAD, ids=[bad[2] for bad in BAD])
def test_a_wrong_template_is_told_with_its_place_and_a_way_out(
    text: str, place: tuple[int, int], told: str, hint: str | None
) -> None:
    error = refused(text)

    assert told in error.message
    assert error.where == Where("mlx.yaml", *place)
    assert (hint or "") in (error.hint or "")


# --- bounds ---------------------------------------------------------------------------------------


def test_a_matrix_that_would_never_end_is_refused_at_once() -> None:
    axes = ", ".join(f"a{i}: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]" for i in range(12))

    error = refused(f"stages:\n  s: {{matrix: {{{axes}}}, cmd: x}}")

    assert "1,000,000,000,000 stages; an mlx.yaml may have 50,000" in error.message


def test_too_many_stages_of_all_groups_together_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(expand, "MAX_STAGES", 5)
    text = "stages:\n  a: {foreach: [1, 2, 3], do: {cmd: x}}\n  b: {matrix: {c: [1, 2]}, cmd: x}\n"
    more = "  c: {foreach: [1], do: {cmd: x}}\n"

    assert len(parse(text).stages) == 5
    assert 'stage "c" makes 1 stages; an mlx.yaml may have 5' in refused(text + more).message


def test_values_that_multiply_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expand, "MAX_NODES", 10_000)
    monkeypatch.setattr(expand, "MAX_TEXT", 100_000)
    big = {"params.yaml": f"list: {list(range(500))}\ntext: {'x' * 5000}"}
    lists = "stages: {s: {cmd: x, meta: [" + "'${list}', " * 30 + "]}}"
    text = "stages: {s: {cmd: '" + "${text}" * 30 + "'}}"

    assert "more than 10,000 values" in refused(lists, big).message
    assert "of text" in refused(text, big).message


def test_stages_that_share_a_big_body_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expand, "MAX_NODES", 10_000)
    body = f"stages: {{s: {{foreach: {list(range(100))}, do: {{cmd: x, meta: {[0] * 200}}}}}}}"

    assert "more than 10,000 values" in refused(body).message


def test_deep_files_and_billions_of_laughs_end_in_a_sentence() -> None:
    deep = "stages:\n  s:\n    cmd: ${a}\n    meta: " + "[" * 5000
    laughs = "a0: &a0 [x, x]\n" + "".join(
        f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 40)
    )

    assert refused(deep).message == "more than 64 levels of nesting"
    assert "aliases repeat more than" in refused(laughs).message
    assert (
        "levels of nesting"
        in refused("stages: {s: {cmd: '${a}'}}", {"params.yaml": "a: " + "[" * 5000}).message
    )
