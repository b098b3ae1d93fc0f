"""The live view of a run at a real terminal: it comes, it goes, and it garbles nothing."""

from __future__ import annotations

import re
from pathlib import Path

from test_terminal import Terminal
from user import User

SPEAKERS = """
stages:
  loud:
    cmd: |
      for i in $(seq 30); do printf '\\033[31mline %s\\033[2A\\033[K\\n' $i; sleep 0.05; done
      for i in $(seq 900); do if [ -e "$GO" ]; then break; fi; sleep 0.02; done
    outs: []
  quiet:
    cmd: for i in $(seq 900); do if [ -e "$GO" ]; then break; fi; sleep 0.02; done
  bars:
    cmd: for i in 10 50 100; do printf "$i%%\\r"; sleep 0.05; done; echo
  after:
    cmd: cp made.txt after.txt
    deps: [made.txt]
    outs: [after.txt]
  make:
    cmd: until [ -e "$GO" ]; do sleep 0.02; done; echo x > made.txt
    outs: [made.txt]
"""


class Screen:
    """What stands on a terminal after all that was written to it: as much of it as rich uses."""

    def __init__(self, said: str, width: int = 80):
        self.rows: list[list[str]] = [[]]
        self.row = self.col = 0
        self.width = width
        for piece in re.findall(r"\x1b\[\??[0-9;]*[A-Za-z]|.", said, re.DOTALL):
            self._take(piece)

    def _take(self, piece: str) -> None:
        if piece == "\n":
            self.row += 1
        elif piece == "\r":
            self.col = 0
        elif piece.startswith("\x1b["):
            count = int(piece[2:-1]) if piece[2:-1].isdigit() else 0
            if piece.endswith("A"):
                self.row = max(0, self.row - max(1, count))
            elif piece.endswith("K") and count == 2:
                self._line().clear()
            else:
                assert piece.endswith(("m", "h", "l")), piece
        else:
            assert piece.isprintable(), repr(piece)
            if self.col == self.width:
                self.row, self.col = self.row + 1, 0
            line = self._line()
            line += [" "] * (self.col + 1 - len(line))
            line[self.col] = piece
            self.col += 1

    def _line(self) -> list[str]:
        while len(self.rows) <= self.row:
            self.rows.append([])
        return self.rows[self.row]

    def text(self) -> list[str]:
        """Return the lines that are not empty."""
        return [row for line in self.rows if (row := "".join(line).rstrip())]


def test_the_view_tells_what_runs_and_leaves_only_the_lines(user: User, tmp_path: Path) -> None:
    user.write("mlx.yaml", user.read("mlx.yaml") + SPEAKERS)
    terminal = Terminal(user, "repro", "-j", "4", env={"GO": str(tmp_path / "go")})
    terminal.until("line 30")
    counts = "3 running, 1 done, 1 waiting"
    terminal.until(counts)
    during = Screen(terminal.said[: terminal.said.rindex(counts) + len(counts)]).text()
    assert [re.split(r"\s{2,}", row)[0].split()[0] for row in during[-4:-1]] == [
        "loud",
        "quiet",
        "make",
    ]
    assert re.search(r"\d\.\d s$", during[-4])
    (tmp_path / "go").touch()
    assert terminal.end() == 0
    after = Screen(terminal.said).text()
    assert [row for row in after if row.startswith("loud | ")] == [
        f"loud | line {number}" for number in range(1, 31)
    ]
    assert "bars | 100%" in after
    assert not [row for row in after if "running," in row and "waiting" in row]
    assert [row for row in after if "ran in" in row or ": ran" in row]
    assert after[-2:] == ["5 stages: 5 ran", "next: git add -A && git commit"]
    assert terminal.said.count("\x1b[?25l") == terminal.said.count("\x1b[?25h")  # the cursor


def test_the_colour_of_a_line_ends_with_it(user: User) -> None:
    user.write("mlx.yaml", "stages: {only: {cmd: \"printf '\\\\033[31mred\\\\n'\"}}\n")
    terminal = Terminal(user, "repro")
    assert terminal.end() == 0
    assert "\x1b[31mred\x1b[0m" in terminal.said
    plain = Terminal(user, "--no-color", "repro", "--force")
    assert plain.end() == 0
    assert "\x1b[31m" not in plain.said
    assert "only | red" in plain.said


def test_there_is_no_view_where_nobody_watches(user: User) -> None:
    user.write("mlx.yaml", "stages: {only: {cmd: sleep 1}}\n")
    for words, env in (
        (["repro", "--force"], {"TERM": "dumb"}),
        (["repro", "--force"], {"CI": "true"}),
        (["-q", "repro", "--force"], {}),
        (["--json", "repro", "--force"], {}),
    ):
        terminal = Terminal(user, *words, env=env)
        assert terminal.end() == 0
        assert "1 running" not in terminal.said
        assert "\x1b[?25l" not in terminal.said


def test_an_interrupted_run_leaves_the_terminal_as_it_was(user: User) -> None:
    user.write("mlx.yaml", "stages: {only: {cmd: echo begun; sleep 300}}\n")
    terminal = Terminal(user, "repro")
    terminal.until("1 running")
    terminal.type(b"\x03")
    assert terminal.end() == 130
    assert terminal.said.count("\x1b[?25l") == terminal.said.count("\x1b[?25h") == 1
    assert Screen(terminal.said.replace("^C", "")).text()[-1] == "interrupted"
