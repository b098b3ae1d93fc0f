"""What `mlx init` promises: a project from nothing, and nothing of the user's is replaced."""

from __future__ import annotations

from pathlib import Path

import pytest
from sandbox import Project

from mlxrepo.commands.add import add
from mlxrepo.commands.init import init
from mlxrepo.commands.status import status
from mlxrepo.errors import InputError, Refused
from mlxrepo.repo.repo import Repo


@pytest.fixture
def bare(tmp_path: Path) -> Project:
    """A git repository without a project."""
    project = Project(tmp_path / "a folder")
    project.root.mkdir()
    project.git("init", "-q")
    return project


def start(project: Project, folder: str = "") -> tuple[set[str], set[str]]:
    with Repo.find(str(project.root / folder)) as repo:
        done = init(repo)
    return set(done.created), set(done.present)


def test_what_it_writes_is_a_valid_project_and_all_of_it_is_for_git(bare: Project) -> None:
    assert start(bare) == ({"mlx.yaml", ".mlxignore", ".gitattributes"}, set())
    assert bare.untracked() == {"mlx.yaml", ".mlxignore", ".gitattributes"}
    assert bare.do(status).clean


def test_twice_changes_nothing(bare: Project) -> None:
    start(bare)
    before = bare.files()
    assert start(bare) == (set(), {"mlx.yaml", ".mlxignore", ".gitattributes"})
    assert bare.files() == before


def test_what_is_there_stays(bare: Project) -> None:
    bare.write("mlx.yaml", "datasets: {}  # mine\n")
    bare.write(".gitattributes", "*.ipynb -text")
    bare.write(".mlxignore", "*.tmp\n")
    assert start(bare) == ({".gitattributes"}, {"mlx.yaml", ".mlxignore"})
    assert bare.read("mlx.yaml") == "datasets: {}  # mine\n"
    assert bare.read(".gitattributes").startswith("*.ipynb -text\nmlx.lock ")
    assert "merge: mlx" in bare.git("check-attr", "-a", "sub/mlx.lock")


def test_in_a_sub_folder_it_makes_a_nested_project_file(bare: Project) -> None:
    start(bare)
    bare.path("sub").mkdir()
    assert start(bare, "sub") == ({"sub/mlx.yaml"}, {".mlxignore", ".gitattributes"})
    bare.write("sub/x.csv")
    with bare.repo("sub") as repo:
        add(repo, ["x.csv"])
    assert bare.path("sub/mlx.lock").exists()


def test_outside_of_git_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        Repo.find(str(tmp_path))
    assert caught.value.hint == "git init, then mlx init"


def test_without_a_project_commands_say_what_to_do(bare: Project) -> None:
    with pytest.raises(InputError) as caught:
        bare.repo()
    assert caught.value.hint == "mlx init"


def test_a_planted_link_is_not_written_through(bare: Project, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine\n")
    bare.path(".gitattributes").symlink_to(victim)
    with pytest.raises(Refused):
        start(bare)
    assert victim.read_text() == "mine\n"
