"""mlx repro: what is refused before anything runs, the look ahead, and the screen."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pipeline_project import CHAIN, Pipeline
from sandbox import Project

from mlxrepo.commands.add import add
from mlxrepo.errors import InputError, ObjectMissing


@pytest.fixture
def pipe(tmp_path: Path) -> Pipeline:
    """Return a new project to declare stages in."""
    return Pipeline(Project.create(tmp_path / "project"))


@pytest.fixture
def chain(pipe: Pipeline) -> Pipeline:
    """Return a pipeline of two stages that has run."""
    return pipe.chain()


@pytest.mark.parametrize(
    ("stage", "place", "says", "hint"),
    [
        ("deps: [dta.txt]", "4:12", '"dta.txt"', "did you mean data.txt?"),
        ("deps: [nothing]", "4:12", '"nothing"', "create it, or let a stage make it"),
        ("params: [lrr]", "4:14", '"lrr"', 'did you mean "lr"?'),
        ("params: [{parms.yaml: [lr]}]", "4:28", "parms.yaml", "did you mean params.yaml?"),
    ],
)
def test_an_input_that_is_nowhere_is_named_with_its_place(
    pipe: Pipeline, stage: str, place: str, says: str, hint: str
) -> None:
    pipe.write("data.txt")
    pipe.write("params.yaml", "lr: 1\n")
    pipe.write("mlx.yaml", f"stages:\n  only:\n    cmd: touch ran\n    {stage}\n")
    with pytest.raises(InputError) as caught:
        pipe.repro()
    assert str(caught.value.where) == f"mlx.yaml:{place}"
    assert says in caught.value.message
    assert caught.value.hint == hint
    assert not pipe.path("ran").exists()


def test_a_circle_is_named_with_its_place(pipe: Pipeline) -> None:
    pipe.write(
        "mlx.yaml",
        "stages:\n"
        "  a: {cmd: x, deps: [two], outs: [one]}\n"
        "  b: {cmd: x, deps: [one], outs: [two]}\n",
    )
    with pytest.raises(InputError, match="a needs b needs a") as caught:
        pipe.repro()
    assert str(caught.value.where) == "mlx.yaml:2:3"


def test_an_out_behind_a_link_is_refused_and_nothing_behind_it_moves(pipe: Pipeline) -> None:
    outside = pipe.root.parent / "outside"
    outside.mkdir()
    (outside / "mine.txt").write_text("mine\n")
    pipe.path("link").symlink_to(outside)
    pipe.one("echo x > link/mine.txt", outs=["link/mine.txt"])
    with pytest.raises(InputError, match="symbolic link"):
        pipe.repro(force=True)
    assert (outside / "mine.txt").read_text() == "mine\n"


def test_a_clone_without_the_data_says_so_and_moves_nothing(chain: Pipeline) -> None:
    with chain.project.repo() as repo:
        add(repo, ["data.txt"])
    chain.outcomes()
    chain.project.commit()
    chain.project.git("clone", "--quiet", str(chain.root), str(chain.root.parent / "clone"))
    clone = Pipeline(Project(chain.root.parent / "clone"))
    error = clone.error()
    assert isinstance(error, ObjectMissing)
    assert error.exit_code == 3
    assert "data.txt" in error.message
    assert "recorded but not here" in error.message


def test_a_look_ahead_changes_nothing_on_disk(chain: Pipeline) -> None:
    chain.write("params.yaml", "p: 2\n")
    chain.path("first.txt").unlink()
    before = everything(chain.root)
    assert chain.outcomes(dry_run=True) == {"first": "restore", "second": "run"}
    chain.write("data.txt", "abc\n")
    chain.declare(CHAIN.replace("head -c", "head  -c"))
    before |= everything(chain.root)
    assert chain.outcomes(dry_run=True) == {"first": "run", "second": "may-run"}
    assert everything(chain.root) == before


def everything(root: Path) -> dict[str, tuple[int, int]]:
    """Return what lies in a project; only the stat cache, which is disposable, is left out."""
    return {
        str(path): (path.lstat().st_mtime_ns, path.lstat().st_ino)
        for path in root.rglob("*")
        if not path.is_dir() and path.name != "stat.sqlite"
    }


def test_json_is_a_stream_of_lines_also_when_a_stage_fails(pipe: Pipeline) -> None:
    pipe.declare("""
        stages:
          good: {cmd: "printf 'a\\\\377\\\\n'", outs: []}
          bad: {cmd: "echo why; exit 7", outs: [out]}
        """)
    done = pipe.project.mlx("--json", "repro", "-j", "1")
    assert done.returncode == 4
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event.get("event") for event in events] == [
        "start", "line", "end", "start", "line", "end", "done", None,
    ]  # fmt: skip
    assert events[1]["text"] == "a\\xff"
    assert events[5]["tail"] == ["why"]
    assert events[6]["stages"] == {"good": "ran", "bad": "failed"}
    assert events[7]["error"]["exit_code"] == 4


def test_a_failure_shows_the_last_lines_also_when_quiet(pipe: Pipeline) -> None:
    pipe.one("echo the cause; exit 1")
    done = pipe.project.mlx("-q", "repro")
    assert done.returncode == 4
    assert done.stderr.startswith("only | the cause\nmlx.yaml:2:3: error: stage only failed")
