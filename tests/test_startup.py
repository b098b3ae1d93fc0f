"""What a start of mlx loads: asserted on modules, not on a clock."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from sandbox import Project

from mlxrepo import __version__
from mlxrepo.cli.lazy import COMMANDS
from mlxrepo.commands.add import add
from mlxrepo.commands.repro import repro

HEAVY = {
    "yaml",
    "rich",
    "pandas",
    "joblib",
    "fsspec",
    "git",
    "pathspec",
    "s3fs",
    "numpy",
    "zstandard",
}

LIST_MODULES = """
import sys
from mlxrepo.__main__ import main
sys.argv = ["mlx", *sys.argv[1:]]
try:
    main()
finally:
    print(*sys.modules, file=sys.stderr)
"""


# What a look at a small project does without; each costs a fiftieth of it or more.
NEEDLESS = {
    *HEAVY, "dataclasses", "shutil", "lzma", "tempfile", "random", "heapq",
    "mlxrepo.yamlfile", "mlxrepo.repo.items", "mlxrepo.repo.interpolate",
    "mlxrepo.store.materialize",
}  # fmt: skip


def loaded(*args: str, cwd: Path | None = None) -> set[str]:
    """Return the modules that one command line loads."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", LIST_MODULES, *args],
        cwd=cwd, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return set(done.stderr.split())


def test_the_version_is_answered_without_click() -> None:
    modules = loaded("--version")
    assert not modules & {*HEAVY, "click", "mlxrepo.cli", "json", "re", "dataclasses"}


@pytest.mark.parametrize("args", [("--help",), ("-h",), ("-q", "--version")])
def test_help_loads_no_command_and_nothing_heavy(args: tuple[str, ...]) -> None:
    modules = loaded(*args)
    assert "click" in modules
    assert not modules & {*HEAVY, "json.tool", "importlib.metadata", "traceback", "subprocess"}
    assert not modules & {verb.module for verb in COMMANDS.values()}
    assert not {m for m in modules if m.startswith("mlxrepo.commands")}


def test_running_one_command_loads_no_other() -> None:
    modules = loaded("completion", "bash")
    expected = {COMMANDS["completion"].module}
    assert modules & {verb.module for verb in COMMANDS.values()} == expected


def test_a_look_at_a_project_of_data_loads_what_it_needs(project: Project) -> None:
    project.write("data/file.csv")
    project.do(add, ["data"])
    loaded("status", cwd=project.root)  # an mlx.yaml that was written just now is parsed
    modules = loaded("status", cwd=project.root)
    assert "mlxrepo.commands.status" in modules
    assert modules & NEEDLESS == set()
    assert not {name for name in modules if name.startswith("mlxrepo.pipeline")}


def test_a_look_at_a_pipeline_loads_no_journal_and_nothing_that_runs(project: Project) -> None:
    project.write("mlx.yaml", "stages: {one: {cmd: echo > out, outs: [out]}}\n")
    project.do(repro)
    loaded("status", cwd=project.root)
    modules = loaded("status", cwd=project.root)
    assert "mlxrepo.pipeline.judge" in modules
    running = {"journal", "journaling", "earlier", "engine", "executor", "packages", "aside"}
    assert modules & {*NEEDLESS, *(f"mlxrepo.pipeline.{name}" for name in running)} == set()


@pytest.mark.parametrize("words", [("diff",), ("diff", "HEAD", "HEAD"), ("log",)])
def test_a_comparison_loads_no_pandas_and_no_pipeline(
    project: Project, words: tuple[str, ...]
) -> None:
    project.write("data/file.csv")
    project.do(add, ["data"])
    project.commit()
    project.write("data/file.csv", "changed\n")
    loaded("status", cwd=project.root)  # an mlx.yaml that was written just now is parsed
    modules = loaded(*words, cwd=project.root)
    assert modules & HEAVY <= {"pathspec"}, "which a folder that changed asks for"
    assert not {name for name in modules if name.startswith("mlxrepo.pipeline")}


def test_at_the_end_nothing_is_looked_through_for_circles() -> None:
    code = LIST_MODULES.replace("*sys.modules", "__import__('gc').get_freeze_count()")
    done = subprocess.run(
        [sys.executable, "-c", code, "-h"], capture_output=True, text=True, check=True
    )
    assert int(done.stderr) > 1000


def test_the_version_is_the_package_s() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mlxrepo", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"mlx {__version__}\n"


@pytest.mark.parametrize("args", [["--version"], ["-h"], ["completion", "fish"], ["nonsense"]])
def test_modules_of_the_user_s_project_are_never_imported(args: list[str], tmp_path: Path) -> None:
    for name in ("mlx", "click", "yaml", "xxhash", "json", "signal", "difflib", "blake3"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported from the project')\n")
    done = subprocess.run(
        [sys.executable, "-m", "mlxrepo", *args],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "imported from the project" not in done.stderr
    assert done.returncode == (2 if args == ["nonsense"] else 0)
