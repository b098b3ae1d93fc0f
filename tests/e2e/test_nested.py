"""Projects below the project: an mlx.yaml of its own for a part of the repository."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from user import User

NESTED = """stages:
  train:
    cmd: python -c "import shutil; shutil.copy('../clean.csv', 'model.bin')"
    deps: [../clean.csv, ../data/holdout.csv]
    params: [depth]
    outs: [model.bin]
    wdir: .
"""
ROOT = """
stages:
  clean:
    cmd: sort data/raw.csv > clean.csv
    deps: [data/raw.csv]
    outs: [clean.csv]
  report:
    cmd: wc -c < team a/model.bin > report.txt
    deps: [team a/model.bin]
    outs: [report.txt]
""".replace("< team a/", '< "team a"/')


@pytest.fixture
def team(tmp_path: Path) -> User:
    """A repository whose folder `team a` has a project file; stages need each other both ways."""
    user = User.begin(tmp_path / "project")
    user.path("team a").mkdir()
    user.ok("init", folder="team a")
    user.write("data/raw.csv", "b\na\n")
    user.write("data/holdout.csv", "c\n")
    user.ok("add", "../data/raw.csv", "../data/holdout.csv", folder="team a")
    user.declare(ROOT)
    user.write("team a/mlx.yaml", user.read("team a/mlx.yaml") + NESTED)
    user.write("team a/params.yaml", "depth: 3\n")
    return user


def done(user: User, *words: str, folder: str = "") -> dict[str, str]:
    """Run repro and return stage -> how it ended."""
    *_, last = user.ok("repro", *words, "--json", folder=folder).splitlines()
    ended: dict[str, str] = json.loads(last)["stages"]
    return ended


def test_stages_need_each_other_across_project_files(team: User) -> None:
    assert done(team) == {"clean": "ran", "team a/mlx.yaml:train": "ran", "report": "ran"}
    assert team.read("team a/model.bin") == "a\nb\n"
    assert set(team.records()) == {"data:raw", "data:holdout", "stage:clean", "stage:report"}
    assert set(team.records("team a/mlx.lock")) == {"stage:train"}
    team.commit("first")
    assert team.is_clean()
    team.write("team a/params.yaml", "depth: 4\n")
    again = done(team)
    assert (again["clean"], again["team a/mlx.yaml:train"]) == ("up-to-date", "ran")
    assert again["report"] == "up-to-date"  # the model has come out equal


def test_without_targets_a_command_means_the_repository_also_in_the_folder_below(
    team: User,
) -> None:
    assert len(done(team, folder="team a")) == 3
    assert "clean.csv" in team.ok("ls", folder="team a")


def test_one_stage_is_named_by_its_file_and_name_or_by_its_out(team: User) -> None:
    assert set(done(team, "team a/mlx.yaml:train")) == {"clean", "team a/mlx.yaml:train"}
    assert set(done(team, "model.bin", folder="team a")) == {"clean", "team a/mlx.yaml:train"}


def test_going_back_brings_the_outs_of_both_files(team: User) -> None:
    done(team)
    team.commit("first")
    team.write("data/raw.csv", "z\n")
    done(team)
    team.commit("second")
    assert team.read("team a/model.bin") == "z\n"
    team.git("checkout", "--quiet", "HEAD~1")
    team.ok("checkout")
    assert team.read("team a/model.bin") == "a\nb\n"
    assert team.is_clean()


def test_a_mistake_is_placed_in_the_file_below(team: User) -> None:
    text = team.read("team a/mlx.yaml").replace("    params:", "    prams:")
    team.write("team a/mlx.yaml", text)
    line = text[: text.rindex("    prams:")].count("\n") + 1
    said = team.fails(2, "repro")
    assert f"team a/mlx.yaml:{line}:5: error: " in said
    assert '"params"' in said


def test_a_path_below_is_added_to_the_nearest_project_file(team: User) -> None:
    team.write("team a/extra/x.txt")
    team.ok("add", "team a/extra")
    assert "extra" in team.read("team a/mlx.yaml").split("datasets:\n")[-1]
    assert team.records("team a/mlx.lock")["data:extra"]["path"] == "team a/extra"
