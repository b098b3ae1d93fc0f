"""What is asked of git: the same answer for one path and for more than a command line can hold."""

from __future__ import annotations

import pytest
from sandbox import Project

from mlxrepo.repo.git import Git

OTHERS = [f"data/some folder/with a rather long name/{number:06}.bin" for number in range(30_000)]


@pytest.fixture
def some(project: Project) -> Project:
    """A project whose git tracks a file, a folder, and names that git could take for patterns."""
    for path in ("one.txt", "folder/a/b.txt", "folder.txt", "*.md", "x.md", ":(top)y", "ünï"):
        project.write(path)
    project.commit()
    return project


ASKED = ["one.txt", "folder", "*.md", ":(top)y", "ünï", "nothing", "fold"]
TRACKED = {"one.txt", "folder/a/b.txt", "*.md", ":(top)y", "ünï"}


@pytest.mark.parametrize("others", [[], OTHERS], ids=["few", "many"])
def test_what_git_tracks_at_or_below_paths(some: Project, others: list[str]) -> None:
    git = Git(str(some.root))
    found = git.tracked([*ASKED, *others])
    assert len(found) == len(TRACKED)
    assert set(found) == TRACKED
    assert git.tracked(others) == []


@pytest.mark.parametrize("others", [[], OTHERS], ids=["few", "many"])
def test_which_files_are_not_committed(some: Project, others: list[str]) -> None:
    git = Git(str(some.root))
    assert git.uncommitted([*ASKED, *others]) == []
    for path in ("one.txt", "*.md", "x.md", "new/file", "new/other"):
        some.write(path, "changed")
    assert git.uncommitted(["one.txt", "*.md", "new/file", *others]) == [
        "*.md",
        "new/file",
        "one.txt",
    ]
