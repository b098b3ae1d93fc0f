"""The table of commands, the global options, and the words of git and DVC."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import SimpleNamespace

import click
import pytest
from click.shell_completion import ShellComplete

from mlxrepo.cli.lazy import COMMANDS, LazyGroup
from mlxrepo.cli.main import root, run
from mlxrepo.cli.options import first_line
from mlxrepo.cli.screen import Screen
from mlxrepo.cli.words import FOREIGN, LATER, advice


@pytest.mark.parametrize("name", COMMANDS)
def test_the_table_says_of_a_command_what_it_says_of_itself(name: str) -> None:
    command = importlib.import_module(COMMANDS[name].module).command
    assert isinstance(command, click.Command)
    assert command.name == name
    assert first_line(command.help) == COMMANDS[name].help


def test_help_lists_every_command_under_its_heading(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["-h"]) == 0
    text = capsys.readouterr().out
    headings = ("Data", "Pipeline", "Compare", "Share", "Store", "Set-up")
    places = [text.index(f"\n{heading}:") for heading in headings]
    assert places == sorted(places)
    for name, verb in COMMANDS.items():
        if not verb.heading:
            assert f"\n  {name} " not in text  # nobody types it
            continue
        line = next(line for line in text.split("\n") if line.startswith(f"  {name} "))
        assert line.endswith(verb.help)
        assert max(p for p in places if p < text.index(line)) == text.index(f"\n{verb.heading}:")


def test_the_examples_come_first_in_the_help_of_a_command(
    group: LazyGroup, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["probe", "-h"], group) == 0
    text = capsys.readouterr().out
    assert text.startswith("Examples:\n  mlx probe x  probe x\n")
    assert text.index("Usage: mlx probe") < text.index("--deep")
    assert "-C DIR, -q, -v, --json" in text


GIVEN = Screen(cwd="", quiet=True, verbose=True, json=True, color=False, debug=True)
ALL = ["-q", "-v", "--json", "--no-color", "--debug"]


@pytest.mark.parametrize("cut", range(len(ALL) + 1))
@pytest.mark.parametrize("verb", [["probe"], ["pair", "probe"]])
def test_global_options_mean_the_same_on_both_sides_of_the_command(
    group: LazyGroup, seen: SimpleNamespace, cut: int, verb: list[str]
) -> None:
    assert run([*ALL[:cut], *verb, *ALL[cut:]], group) == 0
    assert seen.screen == GIVEN._replace(cwd=str(Path.cwd()))


def test_global_options_are_taken_between_a_group_and_its_command(
    group: LazyGroup, seen: SimpleNamespace
) -> None:
    assert run(["-q", "pair", "--json", "probe", "--debug"], group) == 0
    assert seen.screen is not None
    assert (seen.screen.quiet, seen.screen.json, seen.screen.debug) == (True, True, True)
    assert (seen.screen.verbose, seen.screen.color) == (False, True)


def test_each_folder_given_with_c_is_entered_from_the_one_before(
    group: LazyGroup, seen: SimpleNamespace, tmp_path: Path
) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert run(["-C", str(tmp_path), "-C", "a", "-C", "", "probe", "-C", "b"], group) == 0
    assert seen.screen is not None
    assert seen.screen.cwd == str(tmp_path / "a" / "b")
    assert Path.cwd() != tmp_path / "a" / "b"


def test_a_folder_that_is_not_there_is_named(
    group: LazyGroup, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["-C", str(tmp_path / "none"), "probe"], group) == 2
    assert f'there is no folder "{tmp_path}/none"' in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["stauts"], "did you mean `status`?"),
        (["commit"], "git commits; `mlx add` records data"),
        (["comit"], "git commits; `mlx add` records data"),
        (["remove", "x"], "use `mlx rm`"),
        (["move", "a", "b"], "use `mlx mv`"),
        (["exp", "run"], "use `mlx repro`, and commit what it made with git"),
        (["purge"], "`mlx purge` is not available in this version"),
        (["qqqq"], "see `mlx -h`"),
    ],
)
def test_an_unknown_command_is_answered_with_the_one_that_was_meant(
    words: list[str], hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(words) == 2
    expected = f'error: "{words[0]}" is not a command of mlx\n\nhint: {hint}\n'
    assert capsys.readouterr().err == expected


@pytest.mark.parametrize("word", ["unlock", "freeze", "gc", "unprotect", "move", "checkout-index"])
def test_words_of_other_tools_never_end_in_an_invented_command(word: str) -> None:
    text = advice([word], COMMANDS)
    for part in (text or "").split("`mlx ")[1:]:
        name = part.split("`")[0].split()[0]
        assert name in COMMANDS or "not available" in str(text)


def test_every_command_that_advice_names_exists_or_will() -> None:
    for text in FOREIGN.values():
        for part in text.split("`mlx ")[1:]:
            name = part.split("`")[0].split()[0]
            assert name in COMMANDS or name in LATER or name in ("-h", "--version", "COMMAND")


def test_advice_names_a_later_command_once_it_is_there() -> None:
    assert advice(["move"], {*COMMANDS, "mv"}) == "use `mlx mv`"
    assert advice(["bisect"], COMMANDS) == "`mlx bisect` is not available in this version"


def test_an_unknown_command_of_a_group_is_answered_from_the_group(
    group: LazyGroup, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["pair", "prob"], group) == 2
    assert "hint: did you mean `probe`?" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["-q"], ["pair"]])
def test_a_group_without_a_command_shows_its_help_as_an_error(
    group: LazyGroup, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(words, group) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "Usage: mlx" in said.err


def test_a_group_without_a_command_is_an_error_in_json_too(
    group: LazyGroup, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["--json"], group) == 2
    assert json.loads(capsys.readouterr().out)["error"]["message"] == "no command is given"


def test_completion_offers_commands_from_the_table_alone() -> None:
    complete = ShellComplete(root(), {}, "mlx", "_MLX_COMPLETE")
    found = {item.value: item.help for item in complete.get_completions([], "c")}
    assert found == {n: v.help for n, v in COMMANDS.items() if n.startswith("c")}


def test_completion_offers_the_options_of_a_command(group: LazyGroup) -> None:
    complete = ShellComplete(group, {}, "mlx", "_MLX_COMPLETE")
    found = {item.value for item in complete.get_completions(["probe"], "--d")}
    assert found == {"--deep", "--debug"}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_script_calls_mlx_back(
    shell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert f"_MLX_COMPLETE={shell}_complete" in script
    assert run(["completion", shell, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == 1
    assert document["command"] == "completion"
    assert document["script"] == script.strip()
