"""The repository as a newcomer finds it: complete, consistent, tied to no machine."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

import mlxrepo

ROOT = Path(__file__).resolve().parents[1]
TEXTS = {".cff", ".cfg", ".in", ".json", ".md", ".py", ".sh", ".toml", ".txt", ".yaml", ".yml", ""}

EXPECTED = [
    ".ci/run",
    ".editorconfig",
    ".gitignore",
    ".pre-commit-config.yaml",
    "CHANGELOG.md",
    "CITATION.cff",
    "CODE_OF_CONDUCT.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "README.md",
    "SECURITY.md",
    "dev.py",
    "docs/adr/0000-template.md",
    "docs/adr/README.md",
    "docs/architecture.md",
    "docs/commands.md",
    "docs/formats.md",
    "docs/glossary.md",
    "docs/performance.md",
    "docs/tutorial.md",
    "examples/digits/README.md",
    "examples/digits/mlx.yaml",
    "examples/digits/run.py",
    "pyproject.toml",
    "src/mlxrepo/py.typed",
]


def project_files() -> list[Path]:
    """Every file that belongs to the project; caches and environments do not."""
    found = []
    for folder, names, files in os.walk(ROOT):
        here = Path(folder)
        kept = [n for n in names if n == ".ci" or not n.startswith(".")]
        names[:] = [
            n
            for n in kept
            if n not in ("__pycache__", "build", "dist") and not (here / n / "pyvenv.cfg").exists()
        ]
        found += [here / name for name in files if name != ".git"]
    return found


def text_files() -> list[Path]:
    return [path for path in project_files() if path.suffix in TEXTS]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def dev_commands() -> set[str]:
    """The commands that `python3 dev.py --help` offers."""
    done = subprocess.run(
        ["python3", str(ROOT / "dev.py"), "--help"], capture_output=True, text=True, check=True
    )
    return set(re.findall(r"python3 dev\.py (\w+)", done.stdout))


@pytest.mark.parametrize("name", EXPECTED)
def test_files_of_a_good_project_are_there(name: str) -> None:
    path = ROOT / name
    assert path.is_file()
    assert path.stat().st_size > 0 or path.name == "py.typed"


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "docs/tutorial.md", ".ci/run"])
def test_commands_told_to_a_newcomer_are_those_of_dev_py(name: str) -> None:
    told = set(re.findall(r"python3 dev\.py (\w+)", read(name)))
    assert told
    assert told <= dev_commands()


def test_readme_names_the_two_commands() -> None:
    assert {"example", "test"} <= set(
        re.findall(r"^python3 dev\.py (\w+)", read("README.md"), re.M)
    )


def test_dev_py_refuses_an_unknown_command_and_says_what_it_offers() -> None:
    done = subprocess.run(
        ["python3", str(ROOT / "dev.py"), "tset"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "dev.py test" in done.stdout


def test_no_file_names_a_place_of_one_machine() -> None:
    # Put together here, so that this file does not name them either.
    places = ["/" + "work/", "../" + "shared"]
    named = [
        f"{path.relative_to(ROOT)}: {place}"
        for path in text_files()
        for place in places
        if re.search(rf"(?<![\w.]){re.escape(place)}", path.read_text(encoding="utf-8"))
    ]
    assert named == []


def test_links_between_documents_lead_somewhere() -> None:
    broken = []
    for path in (p for p in project_files() if p.suffix == ".md" and "template" not in p.name):
        for link in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
            target = link.partition("#")[0]
            if "://" not in link and target and not (path.parent / target).exists():
                broken.append(f"{path.relative_to(ROOT)}: {link}")
    assert broken == []


def test_anchors_into_the_readme_are_headings_of_it() -> None:
    headings = re.findall(r"^#+ (.+)$", read("README.md"), re.M)
    known = {re.sub(r"[^\w\- ]", "", title).lower().replace(" ", "-") for title in headings}
    used = set()
    for path in (p for p in project_files() if p.suffix == ".md"):
        pattern = (
            r"\]\((?:[./]*README\.md)?#([\w-]+)\)"
            if path.name == "README.md"
            else (r"\]\([./]*README\.md#([\w-]+)\)")
        )
        used |= set(re.findall(pattern, path.read_text(encoding="utf-8")))
    assert used
    assert used <= known


def test_text_files_end_with_one_newline_and_no_line_with_spaces() -> None:
    untidy = []
    for path in text_files():
        text = path.read_text(encoding="utf-8")
        tidy = not text or (text.endswith("\n") and not text.endswith("\n\n"))
        if not tidy or re.search(r"[ \t]$", text, re.M):
            untidy.append(str(path.relative_to(ROOT)))
    assert untidy == []


def test_scripts_can_be_executed() -> None:
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    assert subprocess.run(["bash", "-n", str(ROOT / ".ci" / "run")], check=False).returncode == 0


def test_version_is_the_same_everywhere_it_is_written() -> None:
    assert f"\nversion: {mlxrepo.__version__}\n" in read("CITATION.cff")
    assert tomllib.loads(read("pyproject.toml"))["project"]["dynamic"] == ["version"]


def test_dev_py_asks_for_the_python_that_the_package_needs() -> None:
    needed = tomllib.loads(read("pyproject.toml"))["project"]["requires-python"]
    oldest = re.search(r"^OLDEST = \((\d+), (\d+)\)", read("dev.py"), re.M)
    assert oldest
    assert needed == f">={oldest[1]}.{oldest[2]}"


def test_license_is_the_whole_apache_license() -> None:
    text = read("LICENSE")
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_changelog_has_a_place_for_what_is_not_released() -> None:
    assert "\n## [Unreleased]\n" in read("CHANGELOG.md")
