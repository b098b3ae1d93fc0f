"""Streams, colours, JSON, tables, figures, and the bar."""

from __future__ import annotations

import io
import json
import os
import pty
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from mlxrepo.cli import console, units
from mlxrepo.cli.bar import Bar
from mlxrepo.cli.screen import Screen
from mlxrepo.cli.tables import cell_width, markdown_table, table

SCREEN = Screen(cwd="/")
Capture = pytest.CaptureFixture[str]

PYTHON = shlex.quote(sys.executable)  # the tests may run in a path with spaces


@pytest.fixture(autouse=True)
def buffered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the child processes buffer their output, as a user's do."""
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)


def python(code: str, **environ: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        env={**os.environ, **environ},
        check=False,
    )


def test_results_go_to_stdout_and_talk_to_stderr(capsys: Capture) -> None:
    console.out("result")
    console.say(SCREEN, "talk")
    console.detail(SCREEN, "unasked")
    console.detail(SCREEN._replace(verbose=True), "asked")
    assert capsys.readouterr() == ("result\n", "talk\nasked\n")


def test_quiet_silences_talk_but_no_warning_and_no_result(capsys: Capture) -> None:
    quiet = SCREEN._replace(quiet=True, verbose=True)
    console.out("result")
    console.say(quiet, "talk")
    console.detail(quiet, "more talk")
    console.warn(quiet, "mind this")
    assert capsys.readouterr() == ("result\n", "warning: mind this\n")


@pytest.mark.parametrize(
    "environ",
    [
        {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "C.UTF-8"},
    ],
)
def test_any_name_can_be_printed_in_any_locale(environ: dict[str, str]) -> None:
    code = (
        "from mlxrepo.cli import console; console.prepare();"
        r"console.out('n\xe9 \udcff'); console.tell('n\xe9 \udcff');"
        r"console.emit_json('ls', {'name': 'n\xe9 \udcff'})"
    )
    done = python(code, **environ)
    assert done.returncode == 0
    first, rest = done.stdout.split(b"\n", 1)
    assert first in ("né \\udcff".encode(), b"n\\xe9 \\udcff")
    assert done.stderr == first + b"\n"
    assert json.loads(rest)["name"] == "n\xe9 \udcff"


def test_a_reader_who_leaves_ends_the_command_without_a_word(tmp_path: Path) -> None:
    code = "from mlxrepo.__main__ import main; main()"
    command = f"{{ {PYTHON} -c '{code}' -h; echo $? >&3; }} 3>code | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, cwd=tmp_path, check=False)
    assert done.stderr == b""
    assert (tmp_path / "code").read_text() in ("141\n", "0\n")


LOUD = """
import sys
from mlxrepo.cli import console, main
main._invoke = lambda group, args: [console.out(sys.argv[1]) for _ in range(int(sys.argv[2]))] and 0
main.main()
"""


def test_a_long_result_ends_like_git_when_its_reader_leaves(tmp_path: Path) -> None:
    (tmp_path / "loud.py").write_text(LOUD)
    command = f"{{ {PYTHON} loud.py {'x' * 100} 3000; echo $? >&3; }} 3>code | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, cwd=tmp_path, check=False)
    assert done.stdout == b"x" * 100 + b"\n"
    assert done.stderr == b""
    assert (tmp_path / "code").read_text() == "141\n"


@pytest.mark.parametrize("lines", ["3", "3000"])
def test_a_result_that_cannot_be_written_is_an_error_said_once(lines: str) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-c", LOUD, "x" * 100, lines],
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert done.returncode == 5
    assert done.stderr == (
        b"error: cannot write the result to standard output: No space left on device\n"
    )


def test_a_name_that_the_terminal_cannot_show_does_not_end_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOUD, b"n\xff \xc3\xa9", "1"],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii:strict", "PYTHONUTF8": "1"},
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, b"n\\udcff \\xe9\n")


def test_closed_standard_streams_are_not_given_to_the_next_file(tmp_path: Path) -> None:
    code = (
        "import os; from mlxrepo.cli import console; console.prepare();"
        "number = os.open('precious', os.O_CREAT | os.O_WRONLY);"
        "console.out('result'); console.flush(); console.tell('talk'); assert number > 2"
    )
    command = f'{PYTHON} -c "{code}" <&- >&- 2>&-'
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, check=False)
    assert done.returncode == 0
    assert (tmp_path / "precious").read_bytes() == b""


def test_bytes_are_printed_as_they_are_and_in_order() -> None:
    code = (
        "from mlxrepo.cli import console; console.out('first');"
        r"console.out_bytes(b'\xff\x00\n'); console.out('last')"
    )
    assert python(code).stdout == b"first\n\xff\x00\nlast\n"


@pytest.mark.parametrize(
    ("environ", "terminal", "wanted"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"NO_COLOR": "1"}, True, False),
        ({"NO_COLOR": ""}, True, True),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, True, False),
        ({"FORCE_COLOR": "1"}, False, True),
        ({"FORCE_COLOR": "0"}, False, False),
        ({"CLICOLOR_FORCE": "1"}, False, True),
        ({"CLICOLOR": "0"}, True, False),
        ({"TERM": "dumb"}, True, False),
        ({"TERM": "dumb", "FORCE_COLOR": "1"}, True, True),
    ],
)
def test_colours_follow_the_conventions(
    environ: Mapping[str, str], terminal: bool, wanted: bool
) -> None:
    assert console.wants_color(environ, terminal) is wanted


def test_no_color_on_the_command_line_beats_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert console.paint(SCREEN, "x", "red") == "\x1b[31mx\x1b[0m"
    assert console.paint(SCREEN._replace(color=False), "x", "red") == "x"


def test_json_is_one_versioned_document_that_any_parser_reads(capsys: Capture) -> None:
    console.emit_json("metrics", {"auc": float("nan"), "best": [1.5, -float("inf")]})

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    assert json.loads(capsys.readouterr().out, parse_constant=refuse) == {
        "schema": 1,
        "command": "metrics",
        "auc": "NaN",
        "best": [1.5, "-Infinity"],
    }


def test_each_event_of_a_stream_is_one_line(capsys: Capture) -> None:
    console.emit_event("repro", {"stage": "a\nb"})
    console.emit_event("repro", {"stage": "c"})
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["stage"] for line in lines] == ["a\nb", "c"]


@pytest.mark.parametrize(
    ("environ", "terminal", "wanted"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"CI": "true"}, True, False),
        ({"CI": "false"}, True, True),
        ({"TERM": "dumb"}, True, False),
    ],
)
def test_a_bar_is_for_somebody_who_watches(
    environ: Mapping[str, str], terminal: bool, wanted: bool
) -> None:
    assert console.wants_bar(environ, terminal) is wanted


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("asked", [{"quiet": True}, {"json": True}])
def test_no_bar_for_who_asked_for_quiet_or_json(
    asked: dict[str, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert isinstance(console.progress(SCREEN), Bar)
    progress = console.progress(Screen("/", **asked))
    progress.start("work")
    assert not isinstance(progress, Bar)
    progress.note("waits for somebody")
    assert ("waits" in sys.stderr.getvalue()) is not asked.get("quiet", False)  # type: ignore[attr-defined]


BARRED = """
import sys, time
from mlxrepo.cli import console
from mlxrepo.cli.screen import Screen
screen = Screen("/")
bar = console.progress(screen)
bar.start("hashing", 4 * 1024, "bytes")
for _ in range(4):
    time.sleep(float(sys.argv[1]))
    bar.advance(1024)
    console.out("result")
    console.say(screen, "talk")
time.sleep(float(sys.argv[1]))
bar.done()
console.out("after rich: " + str("rich" in sys.modules))
"""


def on_terminal(code: str, *args: str) -> tuple[str, str]:
    """Run code with stderr on a terminal and stdout in a pipe; return what each got."""
    ours, theirs = pty.openpty()
    environ = {k: v for k, v in os.environ.items() if k not in ("CI", "NO_COLOR")}
    process = subprocess.Popen(
        [sys.executable, "-c", code, *args],
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
        env={**environ, "TERM": "xterm"},
    )
    os.close(theirs)
    seen = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:
            break
        if not piece:
            break
        seen += piece
    os.close(ours)
    out, _ = process.communicate(timeout=20)
    return out, seen.decode()


def test_the_bar_appears_when_work_lasts_and_leaves_results_alone() -> None:
    out, err = on_terminal(BARRED, "0.4")
    assert out == "result\n" * 4 + "after rich: True\n"
    assert "hashing" in err
    assert "of 4.0 KiB" in err
    assert err.count("talk") == 4
    assert "\x1b[?25h" in err[err.rindex("\x1b[?25l") :], "the cursor is shown again"


def test_short_work_shows_nothing_and_loads_no_rich() -> None:
    out, err = on_terminal(BARRED, "0.01")
    assert out.endswith("after rich: False\n")
    assert err.replace("\r", "") == "talk\n" * 4


def test_a_bar_that_is_closed_early_never_appears() -> None:
    shown: list[object] = []
    bar = Bar(shown, print, after=0.05)  # type: ignore[arg-type]
    bar.start("work")
    bar.close()
    bar.advance()
    bar.done()
    time.sleep(0.15)
    assert shown == []


def test_columns_are_aligned_by_what_a_terminal_shows() -> None:
    rows = [["数据", "1"], ["\x1b[31mred\x1b[0m", "1000"]]
    assert table(rows, ["name", "size"], "lr").split("\n") == [
        "name  size",
        "数据     1",
        "\x1b[31mred\x1b[0m   1000",
    ]


def test_a_table_has_no_trailing_spaces_and_may_have_no_headers() -> None:
    assert table([["a", ""], ["bcd", "e"]]) == "a\nbcd  e"
    assert table([]) == ""


def test_wide_and_combining_characters_are_measured() -> None:
    assert [cell_width(t) for t in ("abc", "数据", "e\u0301", "\x1b[1mx\x1b[0m")] == [3, 4, 1, 1]


def test_a_markdown_table_cannot_be_broken_by_its_cells() -> None:
    assert markdown_table([["a|b\nc", "<i>"]], ["name", "new"], "lr").split("\n") == [
        "| name | new |",
        "| --- | ---: |",
        "| a\\|b<br>c | \\<i\\> |",
    ]


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (1024**2 - 1, "1.0 MiB"),
        (20 * 1024**3, "20.0 GiB"),
        (3 * 1024**6, "3072.0 PiB"),
    ],
)
def test_sizes_are_binary_and_never_show_1024_of_a_unit(number: int, text: str) -> None:
    assert units.size(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.6, "1 min 00 s"),
        (185, "3 min 05 s"),
        (3599.7, "1 h 00 min"),
        (7320, "2 h 02 min"),
    ],
)
def test_durations_are_rounded_within_their_unit(seconds: float, text: str) -> None:
    assert units.duration(seconds) == text


def test_counts_agree_with_their_noun() -> None:
    assert [units.count(n, "file") for n in (0, 1, 2000)] == ["0 files", "1 file", "2,000 files"]
    assert units.count(2, "entry", "entries") == "2 entries"


def test_the_bar_tells_the_pace_and_what_is_left() -> None:
    from mlxrepo.cli.bar import _pace

    assert _pace(0, 10**9, 3.0) == ""
    assert _pace(50_000_000, 100_000_000, 10.0) == f"{units.size(5_000_000)}/s, 10 s left"
    assert _pace(100_000_000, 100_000_000, 10.0) == f"{units.size(10_000_000)}/s"
    assert _pace(50_000_000, None, 10.0) == f"{units.size(5_000_000)}/s"


@pytest.mark.parametrize("width", [60, 80, 120])
def test_each_line_of_the_bar_fits_the_screen(width: int) -> None:
    from rich.console import Console

    from mlxrepo.cli.bar import _grid

    begun = time.monotonic() - 30
    work = ("fetch from origin", 300 << 20, 77 << 20, "bytes", begun)
    console = Console(width=width, file=io.StringIO(), force_terminal=False)
    with console.capture() as caught:
        console.print(_grid([work, work]))
    lines = caught.get().splitlines()
    assert len(lines) == 2
    assert all("MiB" in line for line in lines)
