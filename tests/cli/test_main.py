"""The error border: every way a command can fail, as its user sees it."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from mlxrepo import __version__
from mlxrepo.cli import failures
from mlxrepo.cli.lazy import LazyGroup
from mlxrepo.cli.main import run
from mlxrepo.cli.report import redact, write_report
from mlxrepo.errors import (
    CannotDecide,
    Damaged,
    EnvironmentFailed,
    InputError,
    MlxError,
    ObjectMissing,
    Refused,
    StageFailed,
    Where,
)

Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize(
    ("kind", "code", "word"),
    [
        (InputError, 2, "input"),
        (Refused, 1, "refused"),
        (Damaged, 1, "damaged"),
        (ObjectMissing, 3, "object_missing"),
        (CannotDecide, 3, "cannot_decide"),
        (StageFailed, 4, "stage_failed"),
        (EnvironmentFailed, 5, "environment_failed"),
    ],
)
def test_each_error_has_its_exit_code_and_word(
    group: LazyGroup,
    seen: SimpleNamespace,
    capsys: Capture,
    kind: type[MlxError],
    code: int,
    word: str,
) -> None:
    seen.error = kind("it went wrong", hint="do it right")
    assert run(["probe"], group) == code
    assert capsys.readouterr() == ("", "error: it went wrong\n\nhint: do it right\n")
    assert run(["probe", "--json"], group) == code
    said = capsys.readouterr()
    assert said.err == ""
    assert json.loads(said.out) == {
        "schema": 1,
        "error": {
            "kind": word,
            "message": "it went wrong",
            "hint": "do it right",
            "where": None,
            "exit_code": code,
        },
    }


def test_the_place_in_a_file_stands_in_front(
    group: LazyGroup, seen: SimpleNamespace, capsys: Capture
) -> None:
    seen.error = InputError('unknown key "outz"', where=Where("sub/mlx.yaml", 3, 5))
    assert run(["probe"], group) == 2
    assert capsys.readouterr().err == 'sub/mlx.yaml:3:5: error: unknown key "outz"\n'
    assert run(["--json", "probe"], group) == 2
    where = json.loads(capsys.readouterr().out)["error"]["where"]
    assert where == {"file": "sub/mlx.yaml", "line": 3, "col": 5}


def test_a_message_cannot_steer_the_terminal(
    group: LazyGroup, seen: SimpleNamespace, capsys: Capture
) -> None:
    seen.error = InputError("two\nlines \x1b[2J \udcff")
    run(["probe"], group)
    assert capsys.readouterr().err == "error: two\nlines \\x1b[2J \\udcff\n"


@pytest.mark.parametrize(("code", "exits"), [(None, 0), (0, 0), (1, 1), (3, 3)])
def test_what_a_command_returns_is_the_exit_code(
    group: LazyGroup, seen: SimpleNamespace, code: int | None, exits: int
) -> None:
    seen.code = code
    assert run(["probe"], group) == exits
    assert run(["pair", "probe"], group) == exits


def test_a_misspelt_option_is_corrected(group: LazyGroup, capsys: Capture) -> None:
    assert run(["probe", "--depe"], group) == 2
    said = capsys.readouterr().err
    assert "error: no such option" in said
    assert "hint: did you mean `--deep`?" in said


def test_wrong_usage_points_to_the_help_of_the_command(group: LazyGroup, capsys: Capture) -> None:
    assert run(["pair", "probe", "extra", "--json"], group) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["kind"] == "usage"
    assert error["hint"] == "see `mlx pair probe -h`"


def test_json_after_two_dashes_is_a_path_not_an_option(group: LazyGroup, capsys: Capture) -> None:
    assert run(["probe", "--depe", "--", "--json"], group) == 2
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "no space left on the disk"),
        (errno.EACCES, "permission denied"),
        (errno.EROFS, "the file system is read-only"),
        (errno.EMFILE, "too many open files"),
        (errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY)),
    ],
)
def test_a_failure_of_the_system_names_the_path(
    group: LazyGroup, seen: SimpleNamespace, capsys: Capture, number: int, words: str
) -> None:
    seen.error = OSError(number, os.strerror(number), b"data/r\xffw")
    assert run(["probe"], group) == 5
    said = capsys.readouterr().err
    assert said.startswith(f"error: data/r\\udcffw: {words}\n\nhint: ")


def test_a_failed_rename_names_both_paths() -> None:
    failure = failures.explain(OSError(errno.EACCES, "no", "old", None, "new"))
    assert failure is not None
    assert failure.message.startswith("old and new: ")


def test_a_failure_of_the_system_without_a_number_keeps_its_own_words() -> None:
    failure = failures.explain(TimeoutError("the bucket does not answer"))
    assert failure is not None
    assert (failure.message, failure.exit_code) == ("the bucket does not answer", 5)


def test_an_interrupt_is_said_in_a_word(
    group: LazyGroup, seen: SimpleNamespace, capsys: Capture
) -> None:
    seen.error = KeyboardInterrupt()
    assert run(["probe"], group) == 130
    assert capsys.readouterr() == ("", "\ninterrupted\n")
    assert run(["probe", "--json"], group) == 130
    assert json.loads(capsys.readouterr().out)["error"]["kind"] == "interrupted"


def test_a_bug_is_reported_outside_the_worktree(
    group: LazyGroup,
    seen: SimpleNamespace,
    capsys: Capture,
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SECRET_OF_MINE", "hunter2")
    seen.error = ZeroDivisionError("by zero")
    (project / "deep").mkdir()
    assert run(["-C", str(project / "deep"), "probe", "s3://me:pw@host/x"], group) == 70
    said = capsys.readouterr().err
    assert said.startswith("error: this is a bug in mlx (ZeroDivisionError: by zero)\n")
    assert "Traceback" not in said
    report = next((project / ".git" / "mlx" / "reports").iterdir())
    assert str(report) in said
    text = report.read_text()
    assert f"mlx {__version__}" in text
    assert "ZeroDivisionError: by zero" in text
    assert "'probe', 's3://***@host/x'" in text
    assert "hunter2" not in text
    assert report.stat().st_mode & 0o077 == 0


def test_a_bug_outside_a_project_is_reported_among_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "t"))
    (tmp_path / "t").mkdir()
    (tmp_path / "plain").mkdir()
    written = write_report(ValueError("x"), ["probe"], str(tmp_path / "plain"))
    assert written is not None
    assert Path(written).parent == tmp_path / "t"
    assert list((tmp_path / "plain").iterdir()) == []


def test_a_bug_whose_report_cannot_be_written_is_still_told(
    group: LazyGroup,
    seen: SimpleNamespace,
    capsys: Capture,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    seen.error = RuntimeError("odd")
    assert run(["-C", str(tmp_path), "probe"], group) == 70
    assert "hint: no report could be written; run it again with --debug" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://user:pw@host/a", "https://***@host/a"),
        ("https://host/a?X-Amz-Signature=abc&x=1", "https://host/a?X-Amz-Signature=***&x=1"),
        ("api_key='abc'", "api_key='***'"),
        ("AWS_SECRET_ACCESS_KEY=abc", "AWS_SECRET_ACCESS_KEY=***"),
        ("https://host/a?sig=abc", "https://host/a?sig=***"),
        ("mail me@host", "mail me@host"),
        ("KeyError: 'lr'", "KeyError: 'lr'"),
    ],
)
def test_secrets_do_not_enter_a_report(text: str, shown: str) -> None:
    assert redact(text) == shown


@pytest.mark.parametrize("error", [InputError("typed wrongly"), ZeroDivisionError("by zero")])
def test_debug_shows_the_traceback_on_stderr(
    group: LazyGroup,
    seen: SimpleNamespace,
    capsys: Capture,
    error: Exception,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    seen.error = error
    run(["-C", str(tmp_path), "probe", "--debug", "--json"], group)
    said = capsys.readouterr()
    assert "Traceback (most recent call last)" in said.err
    assert str(error) in said.err
    assert json.loads(said.out)["error"]["message"]


def test_a_folder_that_was_deleted_under_us_is_said(
    group: LazyGroup, capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert run(["probe"], group) == 2
    assert "the current folder does not exist any more" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_command_tidily(number: int) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", WAITING], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert out == "tidied\n"
    assert err == "\ninterrupted\n"


def test_a_hangup_that_nohup_ignores_stays_ignored() -> None:
    code = f"import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n{WAITING}"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGHUP)
    time.sleep(0.2)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=20) == 130


WAITING = """
import sys, time, types, click
from mlxrepo.cli import main
from mlxrepo.cli.lazy import LazyGroup, Verb
from mlxrepo.cli.options import Command

@click.command("wait", cls=Command)
def wait():
    try:
        print("ready", flush=True)
        time.sleep(30)
    finally:
        print("tidied")

sys.modules["mlxfake"] = types.SimpleNamespace(command=wait)
main.root = lambda: LazyGroup("mlx", {"wait": Verb("mlxfake", "Wait", "Data")})
sys.argv = ["mlx", "wait"]
main.main()
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Make what passes for a git repository with a store."""
    (tmp_path / ".git" / "mlx").mkdir(parents=True)
    (tmp_path / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    return tmp_path
