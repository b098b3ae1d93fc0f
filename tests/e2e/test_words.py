"""Help, completion and hints: what mlx tells the user to type can be typed."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from user import User

SHELLS = ("bash", "zsh", "fish")


def helps(user: User, *group: str) -> dict[tuple[str, ...], str]:
    """Return the help of a command, of every command that it lists, and so on."""
    text = user.ok(*group, "-h")
    found = {group: text}
    for name in re.findall(r"^  ([a-z]+) {2,}[A-Z]", text.partition("Usage: ")[2], re.M):
        found |= helps(user, *group, name)
    return found


def test_the_help_of_every_command_shows_examples_of_itself(tmp_path: Path) -> None:
    user = User(tmp_path)  # no project, no git: help needs neither
    found = helps(user)
    assert {(), ("add",), ("repro",), ("metrics", "diff"), ("completion",)} <= set(found)
    for words, text in found.items():
        command = " ".join(("mlx", *words))
        examples, _, rest = text.partition("Usage: ")
        assert examples.startswith("Examples:\n"), command
        assert re.search(rf"^  (.*\W)?{command}\b", examples, re.M), command
        assert rest.startswith(command), command
    assert user.ok("repro", "--help") == found["repro",]


def test_completion_is_valid_in_the_shells_that_are_here(user: User) -> None:
    scripts = {shell: user.ok("completion", shell) for shell in SHELLS}
    assert all("mlx" in script for script in scripts.values())
    here = [shell for shell in SHELLS if shutil.which(shell)]
    assert "bash" in here
    for shell in here:
        parsed = subprocess.run(
            [shell, "-n"], input=scripts[shell], capture_output=True, text=True, check=False
        )
        assert (parsed.returncode, parsed.stderr) == (0, ""), shell


@pytest.mark.debian
@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_completion_is_valid_in_zsh_and_fish(user: User, shell: str, tmp_path: Path) -> None:
    script = tmp_path / "completion"
    script.write_text(user.ok("completion", shell))
    parsed = user.shell(shell, "-n", str(script))
    assert (parsed.returncode, parsed.stderr) == (0, "")


@pytest.mark.parametrize(
    ("typed", "offers"),
    [("mlx sta", "status"), ("mlx repro --fo", "--force"), ("mlx metrics d", "diff")],
)
def test_bash_completes(user: User, typed: str, offers: str) -> None:
    words = typed.split()
    script = f"""
        eval "$(mlx completion bash)"
        COMP_WORDS=({" ".join(words)}) COMP_CWORD={len(words) - 1}
        $(complete -p mlx | sed 's/.*-F \\([^ ]*\\) .*/\\1/') mlx
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = user.shell("bash", "-c", script)
    assert done.stderr == ""
    assert offers in [line.strip() for line in done.stdout.splitlines()]


def next_of(said: subprocess.CompletedProcess[str]) -> str:
    """Return the command that mlx says comes next."""
    assert said.returncode == 0, said.stderr
    found = re.search(r"^next: (git add .*?) && git commit", said.stderr, re.M)
    assert found, said.stderr
    return found[1]


@pytest.mark.parametrize("folder", ["", "below it"])
def test_what_is_next_can_be_typed_where_one_stands(tmp_path: Path, folder: str) -> None:
    user = User(tmp_path / "project")
    user.path(folder).mkdir(parents=True)
    user.git("init", "--quiet")
    follow = ["init"], ["add", "my data.csv"], ["rm", "--cached", "my data.csv"]
    for words in follow:
        (user.root / folder / "my data.csv").write_text("a\n")
        said = user.mlx(*words, folder=folder)
        typed = user.shell("sh", "-c", next_of(said), folder=folder)
        assert typed.returncode == 0, (next_of(said), typed.stderr)
        unstaged = user.git("status", "--porcelain").splitlines()
        assert [row for row in unstaged if row[1] != " " and "my data" not in row] == []
        user.git("commit", "--quiet", "-m", words[0])


def test_nothing_is_next_when_git_has_nothing_to_commit(analyst: User) -> None:
    analyst.ok("repro")
    analyst.commit("first")
    analyst.path("models/model.json").unlink()
    for words in (["repro"], ["add", "data/reviews.csv"], ["add", "-u"], ["repro", "--force"]):
        said = analyst.mlx(*words)
        assert said.returncode == 0
        assert not analyst.git("status", "--porcelain")
        assert "git commit" not in said.stderr, (words, said.stderr)


def test_a_hint_with_a_path_can_be_typed_where_one_stands(tmp_path: Path) -> None:
    user = User.begin(tmp_path / "project")
    user.write("my data/a b.csv", "a\n")
    user.git("add", "my data")
    said = user.fails(2, "add", "my data")
    hint = re.search(r"^hint: (git rm .*), then (mlx add .*)$", said, re.M)
    assert hint, said
    for typed in hint.groups():
        done = user.shell("sh", "-c", typed)
        assert done.returncode == 0, (typed, done.stderr)
    user.path("elsewhere").mkdir()
    said = user.fails(2, "cat", "my data/a b.csv", folder="elsewhere")
    hint = re.search(r"^hint: did you mean (.*)\?$", said, re.M)
    assert hint, said
    assert user.shell("sh", "-c", f"mlx cat {hint[1]}", folder="elsewhere").stdout == "a\n"


def test_the_hint_about_an_edited_out_names_what_helps(analyst: User) -> None:
    analyst.ok("repro")
    analyst.commit("first")
    analyst.write("models/model.json", "by hand\n")
    said = analyst.fails(1, "checkout")
    assert "models/model.json" in said
    assert "mlx add" not in said  # which refuses outs
    assert "--force" in said
