"""What a stage and a file can say besides commands and paths, and how each mistake is told."""

from __future__ import annotations

import pytest

from mlxrepo.errors import InputError, Where
from mlxrepo.paths import RepoPath
from mlxrepo.repo.project import parse_project
from mlxrepo.repo.stage import NOTHING, ProjectFile, Resources, Stage


def parse(text: str, path: str = "mlx.yaml") -> ProjectFile:
    return parse_project(text.encode(), RepoPath(path), lambda path: None)


def stage_of(body: str, path: str = "mlx.yaml") -> Stage:
    return parse(f"stages:\n  s: {{cmd: run, {body}}}\n", path).stages[0]


def test_what_is_not_said_is_as_usual() -> None:
    stage = stage_of("outs: [a], metrics: [m.json], plots: [p.csv]")

    assert (stage.shell, stage.env, stage.frozen, stage.always_changed) == (None, (), False, False)
    assert (stage.timeout, stage.retries, stage.resources, stage.meta) == (None, 0, NOTHING, None)
    assert [(o.kind, o.cache) for o in stage.outs] == [
        ("out", True),
        ("metric", False),
        ("plot", False),
    ]
    assert {(o.persist, o.push, o.remote, o.keys) for o in stage.outs} == {(False, True, None, ())}


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("90", 90), ("0.5", 0.5), ("90s", 90), ("10m", 600), ("1.5 h", 5400), ("2d", 172_800)],
)
def test_timeout(written: str, seconds: float) -> None:
    assert stage_of(f"timeout: {written}").timeout == seconds


@pytest.mark.parametrize(
    ("written", "count"),
    [
        ("8GB", 8e9),
        ("8G", 8e9),
        ("8 GiB", 8 * 1024**3),
        ("1.5kB", 1500),
        ("2TiB", 2 * 1024**4),
        ("512MB", 512e6),
        ("100B", 100),
        ("'100'", 100),
        ("100", 100),
        ("0", 0),
    ],
)
def test_mem_is_in_bytes(written: str, count: float) -> None:
    assert stage_of(f"resources: {{mem: {written}}}").resources.counters == (("mem", count),)


def test_resources() -> None:
    body = "resources: {gpu: 2, licences: 1, disk: 0.5, mutex: [db, api]}"

    assert stage_of(body).resources == Resources((("disk", 0.5), ("licences", 1)), ("api", "db"), 2)
    assert stage_of("resources: {mutex: db}").resources.mutexes == ("db",)


def test_flags_and_the_rest() -> None:
    stage = stage_of(
        "frozen: true, always_changed: true, retries: 3, env: [A, _b1], meta: [1, {a: }]"
    )

    assert (stage.frozen, stage.always_changed, stage.retries) == (True, True, 3)
    assert (stage.env, stage.meta) == (("A", "_b1"), [1, {"a": None}])


def test_the_shell_of_a_stage_goes_before_that_of_its_file() -> None:
    text = "shell: bash\nstages:\n  a: {cmd: x}\n  b: {cmd: x, shell: /bin/zsh}\n"

    assert [stage.shell for stage in parse(text).stages] == ["bash", "/bin/zsh"]


def test_options_of_outs() -> None:
    stage = stage_of(
        "outs: [{a: {persist: true, push: false, remote: big, cache: false}}, "
        "{b: {desc: d, type: model, labels: [x, y], meta: {k: [1]}}, c: {persist: true}}], "
        "metrics: [{m.json: {cache: true}}], plots: [{p.csv: {x: step, y: [a, b], title: T, "
        "x_label: X, y_label: Y, template: smooth, header: false, cache: true}}]"
    )
    a, b, c, m, p = stage.outs

    assert (a.persist, a.push, a.remote, a.cache) == (True, False, "big", False)
    assert b.keys == (
        ("desc", "d"), ("type", "model"), ("labels", ["x", "y"]), ("meta", {"k": [1]}),
    )  # fmt: skip
    assert (c.path, c.persist, m.cache, p.cache) == ("c", True, True, True)
    assert dict(p.keys) == {
        "x": "step", "y": ["a", "b"], "title": "T", "x_label": "X", "y_label": "Y",
        "template": "smooth", "header": False,
    }  # fmt: skip


def test_plots_at_the_top_name_files_and_columns() -> None:
    project = parse(
        """\
plots:
  - costs.png
  - loss.csv: {x: step, y: loss}
  - bare.csv:
  - both: {x: {old.csv: r}, y: {old.csv: p, new.csv: [p, q]}, title: T}
""",
        "sub/mlx.yaml",
    )

    assert project.plots == (
        "sub/costs.png", "sub/loss.csv", "sub/bare.csv", "sub/old.csv", "sub/new.csv",
    )  # fmt: skip
    assert [(drawn.name, drawn.where.line) for drawn in project.drawn] == [
        ("costs.png", 2), ("loss.csv", 3), ("bare.csv", 4), ("both", 5),
    ]  # fmt: skip
    assert [drawn[:2] for drawn in project.drawn if drawn.keys] == [
        ("loss.csv", (("x", "step"), ("y", "loss"))),
        (
            "both",
            (
                ("x", {"old.csv": "r"}),
                ("y", {"old.csv": "p", "new.csv": ["p", "q"]}),
                ("title", "T"),
            ),
        ),
    ]


def test_the_environment() -> None:
    text = "environment: {files: [../uv.lock], interpreter: python, variables: [CUDA]}"

    assert parse(text, "sub/mlx.yaml").environment == (("uv.lock",), True, ("CUDA",))
    assert parse("environment: {}").environment == ((), False, ())
    assert parse("").environment is None


def test_patterns_of_deps_and_of_keys_are_kept() -> None:
    stage = stage_of("deps: ['data/**/*.csv', 'a[1].txt', plain], params: ['train.*', train.lr]")

    assert [(dep.path, dep.glob) for dep in stage.deps] == [
        ("data/**/*.csv", True),
        ("a[1].txt", True),
        ("plain", False),
    ]
    assert [(ref.key, ref.glob) for ref in stage.params] == [("train.*", True), ("train.lr", False)]


def test_params_of_python_files_and_of_several_files_in_one_item() -> None:
    stage = stage_of("params: [{conf.py: [Train.lr], b.json: , c.toml: [x]}]")

    assert [(ref.file, ref.key) for ref in stage.params] == [
        ("conf.py", "Train.lr"),
        ("b.json", None),
        ("c.toml", "x"),
    ]


BAD = [
    ("timeout: 5 minutes", (2, 26), '"timeout" of stage "s" must be a number of seconds', None),
    ("timeout: 0", (2, 26), "would stop every run", "more than 0"),
    ("timeout: 0m", (2, 26), "would stop every run", None),
    ("timeout: .inf", (2, 26), "would stop every run", None),
    ("timeout: -1", (2, 26), "not a number: -1", None),
    ("timeout: true", (2, 26), "not a truth value", None),
    ("retries: -1", (2, 26), "a whole number, 0 or more", None),
    ("retries: 1.5", (2, 26), "a whole number, 0 or more", None),
    ("frozen: 1", (2, 25), "true or false, not a number", None),
    ("always_changed: 'yes'", (2, 33), "true or false, not text", None),
    ("env: PATH", (2, 22), "a list of names of variables", "write a list: [PATH]"),
    ("env: [A=1]", (2, 23), "one item is text: A=1", None),
    ('env: ["A\\n"]', (2, 23), "one item is text: A", None),
    ("env: [A, A]", (2, 26), 'the environment variable "A" is listed twice', None),
    ("shell: bash -c", (2, 24), '"bash -c" is no shell', "without arguments"),
    ("shell: ''", (2, 24), '"" is no shell', None),
    ("resources: {mem: lots}", (2, 34), "one item is text: lots", None),
    ("resources: {mem: -1}", (2, 34), "one item is a number: -1", None),
    ("resources: {mem: 8XB}", (2, 34), "one item is text: 8XB", None),
    ("resources: {gpu: 0.5}", (2, 34), "one item is a number: 0.5", None),
    ("resources: {slots: two}", (2, 36), "one item is text: two", None),
    ("resources: {slots: .inf}", (2, 36), ".inf of slots is no amount", None),
    ("resources: {mutex: [a, a]}", (2, 40), 'the mutex "a" is listed twice', None),
    ("resources: {mutex: 3}", (2, 36), "one item is a number: 3", None),
    ("outs: ['a/*.csv']", (2, 24), 'the out "a/*.csv" is a pattern', "the folder"),
    ("metrics: ['m?.json']", (2, 27), 'the metric "m?.json" is a pattern', None),
    ("deps: ['d/*.csv'], outs: [d/a.csv]", (2, 24), '"d/*.csv" of stage "s" holds its own', None),
    ("deps: ['**'], outs: [d/a.csv]", (2, 24), 'the dep "**" of stage "s" holds', None),
    ("outs: [{a: {persits: true}}]", (2, 29), 'unknown key "persits"', 'did you mean "persist"?'),
    ("outs: [{a: {x: step}}]", (2, 29), 'unknown key "x" in "outs"', None),
    ("outs: [{a: {labels: x}}]", (2, 37), "one item is text: x", "write a list: [x]"),
    ("plots: [{a: {tmplate: x}}]", (2, 30), 'unknown key "tmplate"', 'did you mean "template"?'),
    ("plots: [{a: {y: 3}}]", (2, 33), "one item is a number: 3", None),
    ("foreahc: [a]", (2, 17), 'unknown key "foreahc"', 'did you mean "foreach"?'),
]


@pytest.mark.parametrize(("body", "place", "told", "hint"), BAD, ids=[b[0] for b in BAD])
def test_a_wrong_key_is_told_with_its_place_and_a_way_out(
    body: str, place: tuple[int, int], told: str, hint: str | None
) -> None:
    with pytest.raises(InputError) as caught:
        stage_of(body)

    assert told in caught.value.message
    assert caught.value.where == Where("mlx.yaml", *place)
    assert (hint or "") in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("environment: {interpreter: node}", "one item is text: node"),
        ("environment: {file: [a]}", 'unknown key "file"'),
        ("environment: {files: [a, ./a]}", 'the file "a" is listed twice'),
        ("environment: {variables: [A, A]}", 'the variable "A" is listed twice'),
        ("environment: [a]", "must be a map of"),
        ("shell: [bash]", '"shell" must be text'),
        ("plots: [{a: {z: 1}}]", 'unknown key "z"'),
        ("plots: {a: {x: b}}", '"plots" must be a list'),
    ],
)
def test_wrong_keys_of_a_file(text: str, told: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(text)

    assert told in caught.value.message
    assert caught.value.where
