"""mlx runs: naming a run, and what is listed, shown and printed of it."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from pipeline_project import Pipeline, until
from sandbox import Project

from mlxrepo.cli.main import run as command_line
from mlxrepo.commands.runs import list_runs, logs, show
from mlxrepo.errors import CannotDecide, InputError
from mlxrepo.pipeline.alive import hold

TALK = r"""
stages:
  talk:
    cmd: printf 'one\n\033[31mtwo\033[0m\nno end'; cp p.txt talk.txt
    deps: [p.txt]
    outs: [talk.txt]
  hush:
    cmd: cp talk.txt hush.txt
    deps: [talk.txt]
    outs: [hush.txt]
  last:
    cmd: echo done with it > last.txt; echo last
    deps: [hush.txt]
    outs: [last.txt]
"""


@pytest.fixture
def talk(tmp_path: Path) -> Pipeline:
    """Return a pipeline of three stages that has run twice."""
    pipe = Pipeline(Project.create(tmp_path / "project"))
    pipe.declare(TALK)
    for text in ("1", "2"):
        pipe.write("p.txt", text)
        pipe.outcomes("talk", "hush")
    return pipe


def ids(pipe: Pipeline) -> list[str]:
    return [run.id for run in pipe.project.do(list_runs, 100)]


def printed(pipe: Pipeline, *words: str) -> list[tuple[str, bytes]]:
    with pipe.project.repo() as repo:
        return [tuple(piece) for piece in logs(repo, words).pieces()]


TALKED = b"one\n\x1b[31mtwo\x1b[0m\nno end"


def test_runs_are_listed_newest_first_and_no_more_than_asked_for(talk: Pipeline) -> None:
    new, old = talk.project.do(list_runs, 100)
    assert new.begun > old.begun
    assert talk.project.do(list_runs, 1) == (new,)


def test_a_stage_chooses_the_runs_that_did_something_about_it(talk: Pipeline) -> None:
    talk.outcomes("last")
    [run, *_] = ids(talk)
    assert [r.id for r in talk.project.do(list_runs, 9, "last")] == [run]
    assert [r.id for r in talk.project.do(list_runs, 9, "talk")] == ids(talk)[1:]
    with pytest.raises(InputError, match='"lost"') as caught:
        talk.project.do(list_runs, 9, "lost")
    assert "last" in str(caught.value.hint)


def test_a_declared_stage_that_never_ran_is_in_no_run(talk: Pipeline) -> None:
    assert talk.project.do(list_runs, 9, "last") == ()


def test_a_run_is_named_by_any_unambiguous_part(talk: Pipeline) -> None:
    new, old = ids(talk)
    assert talk.project.do(show).run.id == new
    for run in (new, old):
        for text in (run, run[:-1], run.rpartition("-")[2]):
            assert talk.project.do(show, text).run.id == run
    with pytest.raises(InputError, match="several runs") as caught:
        talk.project.do(show, old[:4])
    assert old in caught.value.message
    assert new in caught.value.message
    with pytest.raises(InputError) as caught:
        talk.project.do(show, old.replace("-", "_"))
    assert str(caught.value.hint).startswith("did you mean 20")


def test_a_run_that_cannot_be_read_is_named(talk: Pipeline) -> None:
    new, _ = ids(talk)
    talk.path(f".git/mlx/runs/{new}/run.jsonl").write_bytes(b'{"format":2,"event":"begin"}\n')
    with pytest.raises(CannotDecide, match=new):
        talk.project.do(show, new)


def test_without_a_run_there_is_nothing_to_show(project: Project) -> None:
    assert project.do(list_runs, 9) == ()
    for verb in (show, logs):
        with pytest.raises(CannotDecide, match="no run is kept"):
            project.do(verb)


def test_logs_are_printed_whole_byte_by_byte(talk: Pipeline) -> None:
    _, old = ids(talk)
    assert printed(talk) == [("talk", TALKED)]
    assert printed(talk, "talk") == [("talk", TALKED)]
    assert printed(talk, old, "talk") == [("talk", TALKED)]
    assert printed(talk, "hush") == []


def test_a_stage_alone_means_the_last_run_of_it(talk: Pipeline) -> None:
    talk.outcomes("last")
    assert printed(talk) == [("last", b"last\n")]
    with talk.project.repo() as repo:
        assert logs(repo, ["talk"]).run.id == ids(talk)[1]


@pytest.mark.parametrize(
    ("words", "hint"), [(["tolk"], "talk"), (["20", "tolk"], "talk"), (["99"], "mlx runs list")]
)
def test_what_is_no_run_and_no_stage_is_refused(
    talk: Pipeline, words: list[str], hint: str
) -> None:
    if len(words) == 2:
        words[0] = ids(talk)[0]
    with pytest.raises(InputError) as caught:
        talk.project.do(logs, words)
    assert hint in str(caught.value.hint)


def test_a_stage_that_no_kept_run_ran_cannot_be_answered(talk: Pipeline) -> None:
    with pytest.raises(CannotDecide, match="last"):
        talk.project.do(logs, ["last"])


def test_following_prints_what_comes_until_the_run_ends(talk: Pipeline) -> None:
    new, _ = ids(talk)
    folder = talk.path(f".git/mlx/runs/{new}")
    lines = (folder / "run.jsonl").read_bytes().splitlines(keepends=True)
    # As it was while the stage ran.
    (folder / "run.jsonl").write_bytes(b"".join(line for line in lines[:2]))
    (folder / "talk" / "log").write_bytes(b"one\n")
    came: list[bytes] = []
    with talk.project.repo() as repo, talk.project.repo() as other:
        held = hold(other, new)
        held.__enter__()
        pieces = logs(repo, follow=True).pieces
        reader = threading.Thread(target=lambda: came.extend(piece.data for piece in pieces()))
        reader.start()
        until(lambda: came, "the first line")
        assert came == [b"one\n"]
        with open(folder / "talk" / "log", "ab") as log:
            log.write(b"two\n")
        until(lambda: len(came) > 1, "the second line")
        with open(folder / "talk" / "log", "ab") as log:
            log.write(b"three\n")
        held.__exit__(None, None, None)  # as a kill does
        reader.join(20)
    assert came == [b"one\n", b"two\n", b"three\n"]


# on the command line


class Screen:
    """A command line in this process, and what it printed."""

    def __init__(self, pipe: Pipeline, capture: pytest.CaptureFixture[str]):
        self.pipe = pipe
        self._capture = capture

    def run(self, *words: str, code: int = 0) -> str:
        self._capture.readouterr()
        found = command_line(["-C", str(self.pipe.root), "runs", *words])
        out, err = self._capture.readouterr()
        assert found == code, err
        return out

    def json(self, *words: str) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.run(*words, "--json"))
        return document


@pytest.fixture
def screen(talk: Pipeline, capfd: pytest.CaptureFixture[str]) -> Screen:
    return Screen(talk, capfd)


def test_the_list_has_a_line_for_each_run(screen: Screen) -> None:
    head, new, old = screen.run("list").splitlines()
    assert head.split() == ["run", "began", "outcome", "time", "stages", "command"]
    assert new.split()[0] == ids(screen.pipe)[0]
    assert "done" in new
    assert "2 ran" in old
    assert len(screen.run("list", "--limit", "1").splitlines()) == 2


def test_a_run_of_another_worktree_is_listed_with_it(screen: Screen) -> None:
    screen.pipe.project.commit()
    other = Pipeline(screen.pipe.project.worktree("other"))
    other.write("p.txt", "3")
    other.outcomes("talk")
    _, new, *olds = screen.run("list").splitlines()
    assert new.endswith(f"in {other.root}")
    assert not any(" in " in old for old in olds)


def test_a_run_is_shown_with_its_reasons(screen: Screen) -> None:
    facts, stages = screen.run("show").split("\n\n")
    assert f"worktree  {screen.pipe.root}" in facts
    assert "outcome   done in " in facts
    assert "p.txt changed" in stages
    screen.pipe.outcomes()
    assert "2 stages up to date" in screen.run("show")
    assert "hush   up-to-date" in screen.run("show", "-v")


def test_a_failure_is_shown_with_its_error(screen: Screen) -> None:
    screen.pipe.declare(TALK.replace("cp p.txt talk.txt", "exit 7"))
    screen.pipe.repro("hush")
    text = screen.run("show")
    assert "outcome   failed (exit 4) in " in text
    rows = {line.split()[0]: line.split()[1:3] for line in text.splitlines() if line}
    assert rows["talk"] == ["failed", "7"]
    assert rows["hush"] == ["blocked", "-"]
    assert "talk: stage talk failed: exit 7 from:" in text


def test_documents_have_every_value(screen: Screen) -> None:
    [run, _] = screen.json("list")["runs"]
    assert run["worktree"] == str(screen.pipe.root)
    assert run["counts"] == {"ran": 2}
    shown = screen.json("show", run["id"])
    assert shown["run"] == run
    talk, hush = shown["stages"]
    assert (talk["stage"], talk["outcome"], talk["exit_code"]) == ("talk", "ran", 0)
    assert [reason["what"] for reason in talk["reasons"]] == ["dep"]
    assert talk["key"] == screen.pipe.record("talk").key
    assert Path(talk["log"]).read_bytes() == TALKED
    assert hush["why"] == "talk.txt changed"
    assert shown["environment"]["packages"]


def test_logs_bear_the_names_of_stages_unless_one_is_asked_for(screen: Screen) -> None:
    screen.pipe.write("p.txt", "3")
    screen.pipe.outcomes()
    assert screen.run("logs") == "talk | one\ntalk | two\ntalk | no end\nlast | last\n"
    assert screen.run("logs", "talk") == TALKED.decode()
    *lines, end = map(json.loads, screen.run("logs", "talk", "--json").splitlines())
    assert (end["event"], end["outcome"]) == ("done", "done")
    assert [line["text"] for line in lines][::2] == ["one", "no end"]
    assert {(line["event"], line["stage"]) for line in lines} == {("line", "talk")}


def test_an_empty_list_is_said(project: Project, capfd: pytest.CaptureFixture[str]) -> None:
    screen = Screen(Pipeline(project), capfd)
    assert screen.run("list") == "no run is kept\n"
    assert screen.json("list")["runs"] == []
    screen.run("logs", code=3)
    assert not project.path(".git/mlx/runs").exists()
