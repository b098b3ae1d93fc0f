"""The floors of the house (docs/architecture.md): imports point down, nothing goes in a circle."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

SRC = Path(__file__).parent.parent / "src" / "mlxrepo"

FLOORS = {"store": 1, "repo": 2, "pipeline": 3, "commands": 4, "cli": 5}
MAX_LINES = 400
MAX_FUNCTION = 50

# Heavy packages, and the only places that may import them.
HEAVY = {
    "yaml": {"yamlfile"},
    "rich": {"cli.bar", "cli.live"},
    "pathspec": {"repo.ignore"},
    "sqlite3": {"store.statcache"},
    "blake3": {"hashing"},
    "xxhash": {"hashing"},
    "click": {"cli.*", "__main__"},
    "fsspec": {"store.network"},
    "asyncssh": {"store.sftp"},
    "zstandard": {"store.remotepack"},
    "s3fs": set(),
    "pandas": {"rows.diff", "rows.tables"},
    "pyarrow": set(),
    "joblib": set(),
    "git": set(),
}
FORBIDDEN_NAMES = {"utils", "helpers", "common", "manager", "handler", "base", "misc", "backend"}


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(SRC.rglob("*.py")):
        parts = path.relative_to(SRC).with_suffix("").parts
        yield ".".join(parts if parts[-1] != "__init__" else parts[:-1]), path


def imported(path: Path) -> Iterator[tuple[str, bool]]:
    """Yield every imported name, and whether it stands under TYPE_CHECKING."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            typing_only.update(id(child) for child in ast.walk(node))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) in typing_only) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            module = node.module or ""
            for alias in node.names:
                full = f"{module}.{alias.name}"
                yield (full if module_exists(full) else module), id(node) in typing_only


def module_exists(name: str) -> bool:
    if not name.startswith("mlxrepo."):
        return False
    path = SRC.joinpath(*name.split(".")[1:])
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def floor(module: str) -> int:
    return FLOORS.get(module.split(".")[0], 5 if module == "__main__" else 0)


def own(path: Path) -> list[str]:
    names = [
        name.removeprefix("mlxrepo").lstrip(".")
        for name, _ in imported(path)
        if name == "mlxrepo" or name.startswith("mlxrepo.")
    ]
    return [name for name in names if name]


def test_imports_point_down() -> None:
    wrong = [
        f"{module} imports {name}"
        for module, path in modules()
        for name in own(path)
        if floor(name) > floor(module)
    ]
    assert not wrong


def test_nothing_goes_round_in_a_circle() -> None:
    TopologicalSorter({module: own(path) for module, path in modules()}).prepare()


def test_commands_do_not_know_each_other() -> None:
    wrong = [
        f"{module} imports {name}"
        for module, path in modules()
        if module.startswith("commands.")
        for name in own(path)
        if name.startswith("commands.")
    ]
    assert not wrong


@pytest.mark.parametrize("package", sorted(HEAVY))
def test_heavy_packages_stay_in_their_rooms(package: str) -> None:
    rooms = HEAVY[package]
    wrong = [
        module
        for module, path in modules()
        for name, typing_only in imported(path)
        if name.split(".")[0] == package and not typing_only
        if module not in rooms and f"{module.split('.')[0]}.*" not in rooms
    ]
    assert not wrong


def test_only_one_module_starts_git() -> None:
    wrong = [
        module
        for module, path in modules()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and node.value == "git" and module != "repo.git"
        if "subprocess" in path.read_text(encoding="utf-8")
    ]
    assert not wrong


def test_files_are_short() -> None:
    long = {m: n for m, p in modules() if (n := len(p.read_text().splitlines())) > MAX_LINES}
    assert not long


def test_functions_are_short() -> None:
    long = [
        f"{module}.{node.name}"
        for module, path in modules()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if (node.end_lineno or 0) - node.lineno + 1 > MAX_FUNCTION
    ]
    assert not long


def test_names_say_what_is_inside() -> None:
    assert not [m for m, _ in modules() if FORBIDDEN_NAMES & set(m.split("."))]


DURABLE = {"rename", "replace", "link", "fsync", "truncate"}


def test_one_module_owns_durable_writes() -> None:
    """Files that mlx depends on are created, renamed and flushed through files.py alone.

    The writers of workspace files (by descriptor) and of packs use its pieces; nobody else calls
    the system for it.
    """
    rooms = {"files", "store.materialize", "store.links"}
    wrong = [
        f"{module}: os.{node.func.attr}"
        for module, path in modules()
        if module not in rooms
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        if isinstance(node.func.value, ast.Name) and node.func.value.id == "os"
        if node.func.attr in DURABLE
    ]
    assert not wrong
