"""Bad input: a sentence with its place and a way out, the exit code, and nothing touched."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from user import User

PROJECT = """\
datasets:
  raw:
    path: data/raw.csv
stages:
  first:
    cmd: cp data/raw.csv one.txt
    deps: [data/raw.csv]
    params: [speed]
    outs: [one.txt]
  second:
    cmd: cp one.txt two.txt
    deps: [one.txt]
    outs: [two.txt]
    metrics: [score.json]
models:
  held:
    path: data/held.csv
"""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make one project with recorded data, to be copied."""
    user = User.begin(tmp_path_factory.mktemp("template") / "project")
    user.write("data/raw.csv", "a\n")
    user.write("data/held.csv", "h\n")
    user.ok("add", "data/raw.csv")
    user.ok("add", "--kind", "model", "data/held.csv")
    user.write("params.yaml", "speed: 1\n")
    user.write("mlx.yaml", PROJECT)
    user.write("tracked.txt", "by git\n")
    user.commit("first")
    return user.root


@pytest.fixture
def user(template: Path, tmp_path: Path) -> User:
    shutil.copytree(template, tmp_path / "project", symlinks=True)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "mine.txt").write_text("mine\n")
    return User(tmp_path / "project")


def everything(user: User) -> dict[str, bytes]:
    """Return all files of the project and beside it by path, but for what lies in .git."""
    found = {}
    for here, folders, names in os.walk(user.root.parent):
        folders[:] = [name for name in folders if name != ".git"]
        for name in names:
            path = Path(here, name)
            if path.is_file() and path.name != f"{user.root.name}.ran":
                found[str(path.relative_to(user.root.parent))] = path.read_bytes()
    return found


class Case(NamedTuple):
    """A mistake in mlx.yaml: what is replaced by what, the place that is named, what is said."""

    old: str
    new: str
    place: str
    says: str


MISTAKES = {
    "unknown key": Case("    deps: [one.txt]", "    dep: [one.txt]", "12:5", '"deps"'),
    "unknown section": Case("stages:", "stagse:", "4:1", '"stages"'),
    "wrong type": Case("outs: [one.txt]", "outs: one.txt", "9:11", "[one.txt]"),
    "number for a command": Case("cmd: cp one.txt two.txt", "cmd: 5", "11:10", '"5"'),
    "duplicate key": Case("  second:", "  first:", "10:3", '"first" is given twice'),
    "cycle": Case("deps: [data/raw.csv]", "deps: [two.txt]", "5:3", "first needs second needs"),
    "its own out": Case("deps: [one.txt]", "deps: [two.txt]", "12:12", '"two.txt"'),
    "out declared twice": Case("[one.txt]\n  s", "[one.txt, two.txt]\n  s", "13:12", '"two.txt"'),
    "out inside another": Case("[one.txt]\n  s", "[one.txt, two.txt/x]\n  s", "9:21", '"two.txt"'),
    "out replaces mlx.lock": Case("outs: [two.txt]", "outs: [mlx.lock]", "13:12", "mlx.lock"),
    "out replaces .gitignore": Case("[two.txt]", "[.gitignore]", "13:12", ".gitignore"),
    "nobody makes the dep": Case("deps: [one.txt]", "deps: [on.txt]", "12:12", '"on.txt"'),
    "dep outside": Case("deps: [one.txt]", "deps: [../outside/mine.txt]", "12:12", "outside"),
    "absolute out": Case("outs: [two.txt]", "outs: [/tmp/two.txt]", "13:12", '"/tmp/two.txt"'),
    "out in .git": Case("outs: [two.txt]", "outs: [.git/hooks/x]", "13:12", ".git"),
    "no command": Case("    cmd: cp one.txt two.txt\n", "", "10:3", '"cmd"'),
    "bad name": Case("  second:", "  sec ond:", "10:3", '"sec ond"'),
    "a newer format": Case("datasets:\n  raw", "format: 2\ndatasets:\n  raw", "1:9", "2"),
    "a tab": Case("  second:", "\tsecond:", "10:1", "tab"),
    "not YAML": Case("cmd: cp one.txt two.txt", "cmd: cp: one.txt", "11:12", "quotes"),
    "git's conflict": Case("stages:", "<<<<<<< HEAD\nstages:", "4:1", "conflict"),
    "no such param": Case("params: [speed]", "params: [spede]", "8:14", '"speed"'),
    "no such params file": Case("[speed]", "[{p.yaml: [a]}]", "8:24", "p.yaml"),
    "param listed twice": Case("params: [speed]", "params: [speed, speed]", "8:21", "speed"),
    "dataset outside": Case("path: data/held.csv", "path: ../outside", "17:11", "outside"),
}


@pytest.mark.parametrize("case", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_in_the_project_file_is_placed_before_anything_runs(
    user: User, case: Case
) -> None:
    text = user.read("mlx.yaml")
    assert text.count(case.old) == 1
    user.write("mlx.yaml", text.replace(case.old, case.new))
    before = everything(user)
    said = user.fails(2, "repro")
    assert f"mlx.yaml:{case.place}: error: " in said
    assert case.says in said
    assert everything(user) == before


def test_a_folder_to_work_in_that_is_not_here_is_named(user: User) -> None:
    wdir = "    outs: [one.txt]\n    wdir: nowhere\n"
    user.write("mlx.yaml", PROJECT.replace("    outs: [one.txt]\n", wdir))
    said = user.fails(2, "repro")
    assert "mlx.yaml:" in said
    assert "nowhere" in said


def test_a_missing_out_is_named_and_the_log_kept(user: User) -> None:
    user.write("mlx.yaml", PROJECT.replace("cp data/raw.csv one.txt", "echo hello"))
    said = user.fails(4, "repro")
    assert re.search(r"^mlx\.yaml:9:\d+: error: .*first.*one\.txt", said, re.M), said


def link_out(user: User) -> None:
    user.path("link").symlink_to("../outside")


def fifo(user: User) -> None:
    os.mkfifo(user.path("pipe"))


def folder_with_fifo(user: User) -> None:
    user.write("box/a.txt")
    os.mkfifo(user.path("box/pipe"))


def folder_around_data(user: User) -> None:
    user.write("data/other.csv")


def nothing(user: User) -> None:
    pass


class Refusal(NamedTuple):
    """A path that cannot be added, what makes it so, and what is said."""

    path: str
    before: Callable[[User], None]
    says: str


REFUSALS = {
    "not here": Refusal("data/rwa.csv", nothing, "data/rwa.csv"),
    "outside": Refusal("../outside/mine.txt", nothing, "outside the repository"),
    "absolute and outside": Refusal("/etc/hostname", nothing, "outside the repository"),
    "everything": Refusal(".", nothing, "the whole repository"),
    "git's own": Refusal(".git/config", nothing, ".git"),
    "tracked by git": Refusal("tracked.txt", nothing, "git rm -r --cached tracked.txt"),
    "around other data": Refusal("data", folder_around_data, "data/raw.csv"),
    "a stage's out": Refusal("one.txt", lambda user: user.write("one.txt") and None, "first"),
    "a symbolic link": Refusal("link", link_out, "symbolic link"),
    "behind a symbolic link": Refusal("link/mine.txt", link_out, "outside"),
    "a FIFO": Refusal("pipe", fifo, "FIFO"),
    "a FIFO in a folder": Refusal("box", folder_with_fifo, "box/pipe"),
    "mlx.yaml": Refusal("mlx.yaml", nothing, "mlx.yaml"),
    "mlx.lock": Refusal("mlx.lock", nothing, "mlx.lock"),
    ".mlxignore": Refusal(".mlxignore", nothing, ".mlxignore"),
    "a .gitignore": Refusal("data/.gitignore", nothing, ".gitignore"),
    "an untracked .gitignore": Refusal(
        "new/.gitignore", lambda user: user.write("new/.gitignore") and None, ".gitignore"
    ),
}


@pytest.mark.parametrize("case", REFUSALS.values(), ids=REFUSALS)
def test_what_cannot_be_data_is_refused_and_nothing_changes(user: User, case: Refusal) -> None:
    case.before(user)
    before = everything(user)
    assert case.says in user.fails(2, "add", case.path)
    assert everything(user) == before


def test_an_out_behind_a_planted_link_is_refused_and_what_it_leads_to_stays(user: User) -> None:
    user.write("mlx.yaml", PROJECT.replace("two.txt", "link/mine.txt"))
    user.path("link").mkdir()
    user.write("params.yaml", "speed: 2\n")
    user.write("score.json", "{}")
    user.write("mlx.yaml", user.read("mlx.yaml").replace("    metrics: [score.json]\n", ""))
    user.ok("repro")
    shutil.rmtree(user.path("link"))
    link_out(user)
    outside = user.root.parent / "outside"
    for words in (["checkout"], ["checkout", "--force"], ["repro"], ["repro", "--force"]):
        said = user.mlx(*words)
        assert said.returncode in (1, 2), (words, said)
        assert "link" in said.stderr
        assert [path.name for path in outside.iterdir()] == ["mine.txt"], words
        assert (outside / "mine.txt").read_text() == "mine\n", words


def test_a_lockfile_cannot_send_a_checkout_outside(user: User) -> None:
    lock = user.read("mlx.lock")
    for bad in ("../outside/mine.txt", "/tmp/mlx-evil", ".git/hooks/post-checkout"):
        user.write("mlx.lock", lock.replace("data/raw.csv", bad))
        before = everything(user)
        assert "mlx.lock:4:" in user.fails(2, "checkout", "--force")
        assert everything(user) == before
        assert not user.path(".git/hooks/post-checkout").exists()


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["stauts"], 2, "`status`"),
        (["commit"], 2, "git commits"),
        (["remove", "data/raw.csv"], 2, "`mlx rm`"),
        (["repro", "frist"], 2, "first"),
        (["checkout", "data/rwa.csv"], 2, "data/raw.csv"),
        (["cat", "data:rwa"], 2, "data:raw"),
        (["rm", "nothing.csv"], 2, "nothing.csv"),
        (["repro", "--froce"], 2, "--force"),
        (["add"], 2, "mlx add"),
        (["checkout", "--rev", "nope"], 3, "nope"),
        (["metrics", "diff", "nope"], 3, "nope"),
        (["metrics", "show", "--rev", "HEAD~5"], 3, "HEAD~5"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_word_is_answered_with_the_right_one(
    user: User, words: list[str], code: int, says: str
) -> None:
    before = everything(user)
    said = user.fails(code, *words)
    assert says in said
    assert "hint: " in said
    assert everything(user) == before


def test_outside_of_git_and_outside_of_a_project_the_first_step_is_named(tmp_path: Path) -> None:
    alone = User(tmp_path / "alone")
    alone.root.mkdir()
    for words in (["status"], ["init"]):
        assert "git init" in alone.fails(2, *words)
    alone.git("init", "--quiet")
    for words in (["add", "x"], ["metrics", "diff"]):
        assert "mlx init" in alone.fails(2, *words)
    assert sorted(path.name for path in alone.root.iterdir()) == [".git"]


def test_without_a_commit_a_comparison_says_so(tmp_path: Path) -> None:
    user = User.begin(tmp_path / "new")
    for words in (["metrics", "diff"], ["params", "diff"], ["checkout", "--rev", "HEAD"]):
        assert "no commit" in user.fails(3, *words)


def test_an_error_is_one_json_document_when_json_is_asked_for(user: User) -> None:
    user.write("mlx.yaml", PROJECT.replace("deps: [one", "depz: [one"))
    done = user.mlx("status", "--json")
    assert done.returncode == 2
    error = json.loads(done.stdout or done.stderr)["error"]
    assert error["exit_code"] == 2
    assert (error["where"]["file"], error["where"]["line"]) == ("mlx.yaml", 12)
