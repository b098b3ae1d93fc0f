"""Take out, one at a time, each statement that makes writes durable or paths safe; who notices?

    python tests/mutations.py [WORD...]     only those that hold one of the words

Each is taken out of a copy of the project in a temporary folder, and the tests that should notice
run there. What they do not notice is listed at the end, and the exit status is 1.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]

_WRITES = (
    "test_files.py",
    "test_publishing.py",
    "test_power_cuts.py",
    "store/test_killed_writes.py",
)
_PATHS = (
    "store/test_workspace_paths.py",
    "store/test_materialize.py",
    "store/test_killed_writes.py",
    "commands/test_checkout.py",
)
_FILES = (
    "fsync|sync_\\w+|_flush|rename|_rename_all|unlink|f?chmod|flock|link|_freshen|utime|_give_mode"
    "|_let_group_in|make_folder|remove_dead|remove_any|copystat"
)
_GC = ("test_power_cuts.py", "store/test_gc_faults.py", "commands/test_gc.py")
# A file, the calls that count there, and the tests that should notice when one is missing.
ROOMS = {
    "files.py": (_FILES, _WRITES),
    "temporaries.py": ("flock|unlink|rmtree|remove_dead|mkdir", _WRITES),
    "store/gc.py": ("sync_folders|move|remove_any|utime|unlink", _GC),
    "store/materialize.py": (
        "rename|_rename|check_depth|remove_dead|_remove_left|fchmod|_unlink",
        _PATHS,
    ),
}
# A check is an `if` that gives up.
_GIVES_UP = re.compile(r"^(raise\b|return None$|return False$)")
_MARKERS = "not nightly and not debian and not browser" + " and not root" * bool(os.getuid())
_FLAGS = ("O_NOFOLLOW", "O_NONBLOCK", "O_EXCL")
# In a new folder of its own nothing is in the way of a file, and nothing can be planted.
_IN_A_NEW_FOLDER = "O_CREAT"


class Mutant(NamedTuple):
    """One statement less: a file of the package, the line, what was there and what is there now."""

    file: str
    line: int
    old: str
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {' '.join(self.old.split())[:70]}"


def mutants() -> Iterator[Mutant]:
    """Yield everything that can be taken out."""
    for file, (calls, _) in ROOMS.items():
        source = (ROOT / "src" / "mlxrepo" / file).read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Expr | ast.If) and (_gives_up(node) or _calls(calls, node)):
                yield _without(file, source, node)
        yield from _without_flags(file, source)


def _calls(names: str, node: ast.stmt) -> bool:
    call = node.value if isinstance(node, ast.Expr) else None
    return isinstance(call, ast.Call) and bool(
        re.fullmatch(rf"(\w+\.)?({names})", ast.unparse(call.func))
    )


def _gives_up(node: ast.stmt) -> bool:
    if not isinstance(node, ast.If) or node.orelse:
        return False
    return bool(_GIVES_UP.match(ast.unparse(node.body[-1])))


def _without(file: str, source: str, node: ast.stmt) -> Mutant:
    lines = source.splitlines(keepends=True)
    first, last = node.lineno - 1, node.end_lineno or node.lineno
    old = "".join(lines[first:last])
    lines[first:last] = [" " * node.col_offset + "pass\n"]
    return Mutant(file, node.lineno, old, "".join(lines))


def _without_flags(file: str, source: str) -> Iterator[Mutant]:
    for flag in _FLAGS:
        for found in re.finditer(rf" \| os\.{flag}\b", source):
            text = source[: found.start()] + source[found.end() :]
            line = source.count("\n", 0, found.start()) + 1
            old = source.splitlines()[line - 1]
            if _IN_A_NEW_FOLDER not in old:
                yield Mutant(file, line, f"{flag} in {old}", text)


def who_notices(mutant: Mutant, copy: Path) -> str:
    """Return the test that fails, or hangs, without it; nothing when none does."""
    target = copy / "src" / "mlxrepo" / mutant.file
    whole = target.read_text(encoding="utf-8")
    target.write_text(mutant.text, encoding="utf-8")
    shaky: list[str] = []
    try:
        while True:  # a test that fails once, and then not, has noticed something else: the load
            test = first_failure(ROOMS[mutant.file][1], copy, shaky)
            if "::" not in test or first_failure((test,), copy):
                return test
            shaky.append(test)
    finally:
        target.write_text(whole, encoding="utf-8")


def first_failure(tests: tuple[str, ...], copy: Path, without: Iterable[str] = ()) -> str:
    """Run tests in the copy and return the first that fails, from the folder of tests on."""
    skipped = [f"--deselect=tests/{test}" for test in without]
    options = [*skipped, "-x", "-q", "-p", "no:cacheprovider", "--timeout=60", "-m", _MARKERS]
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *options, *(str(copy / "tests" / t) for t in tests)],
            cwd=copy,
            env={**os.environ, "PYTHONPATH": str(copy / "src"), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            check=False,
            text=True,
            timeout=600,
        )
    except subprocess.TimeoutExpired:
        return "it hangs"
    if not done.returncode:
        return ""
    found = re.search(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
    return found[1].removeprefix("tests/") if found else "it hangs or cannot be imported"


def main(words: list[str]) -> int:
    """Try them all and list what nobody notices."""
    survivors = []
    with tempfile.TemporaryDirectory(prefix="mlx-mutations-") as folder:
        copy = Path(folder)
        shutil.copytree(ROOT / "src", copy / "src", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(ROOT / "tests", copy / "tests")
        shutil.copy(ROOT / "pyproject.toml", copy)
        for tests in sorted({tests for _, tests in ROOMS.values()}):
            broken = first_failure(tests, copy)
            if broken:
                sys.exit(f"{broken} fails with nothing taken out")
        for mutant in mutants():
            if words and not any(word in str(mutant) for word in words):
                continue
            begun = time.monotonic()
            test = who_notices(mutant, copy)
            survivors += [] if test else [mutant]
            print(f"{time.monotonic() - begun:5.1f} s  {mutant}  <- {test or 'NOBODY'}", flush=True)
    print(f"\n{len(survivors)} survived", *survivors, sep="\n  ")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
