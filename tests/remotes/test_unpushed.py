"""mlx status --unpushed: what a remote lacks, for one listing."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from places import Spot
from sandbox import Project
from test_sharing import clone

from mlxrepo.commands.add import add
from mlxrepo.commands.push import push
from mlxrepo.commands.unpushed import unpushed
from mlxrepo.store.folder import Folder
from mlxrepo.store.objects import Store


def lacking(project: Project, *targets: str, remote: str | None = None) -> dict[str, int]:
    (found,) = project.do(unpushed, targets, remote=remote)
    return {path: amount.objects for path, amount in found.paths}


@pytest.fixture
def filled(project: Project) -> Project:
    project.fill("data", 20)
    project.write("model.bin", os.urandom(2 << 20))
    project.do(add, ["data", "model.bin"])
    project.commit()
    return project


def test_what_is_pushed_is_not_named_any_more(filled: Project, spot: Spot) -> None:
    spot.configure(filled)
    assert lacking(filled) == {"data": 21, "model.bin": 1}
    filled.do(push, ["data/0001.txt"])
    assert lacking(filled) == {"data": 19, "model.bin": 1}
    assert lacking(filled, "model.bin") == {"model.bin": 1}
    filled.do(push)
    assert lacking(filled) == {}
    filled.write("model.bin", "smaller\n")
    filled.do(add, ["model.bin"])
    assert lacking(filled) == {"model.bin": 1}
    filled.commit()
    filled.write("model.bin", "again another\n")
    filled.do(add, ["model.bin"])
    assert lacking(filled) == {"model.bin": 2}  # of HEAD, and of the workspace


@pytest.mark.parametrize(
    "words", [("push",), ("push", "--rev", "HEAD"), ("status", "--unpushed"), ("fetch",)]
)
def test_a_typo_below_a_tracked_folder_is_not_called_pushed(
    filled: Project, folder: Spot, words: tuple[str, ...]
) -> None:
    folder.configure(filled)
    filled.do(push)
    done = filled.mlx(*words, "data/0001.tx")
    assert (done.returncode, done.stdout) == (2, "")
    assert "data/0001.tx is not recorded in data" in done.stderr


def test_a_path_of_an_older_commit_is_found_among_all_branches(
    filled: Project, folder: Spot
) -> None:
    folder.configure(filled)
    filled.git("branch", "old")
    filled.path("data/0001.txt").unlink()
    filled.do(add, ["data"])
    filled.commit()
    done = filled.mlx("push", "--all-branches", "data/0001.txt")
    assert (done.returncode, done.stdout[:6]) == (0, "sent 3"), done.stderr


def test_a_script_learns_it_from_the_exit_code(filled: Project, folder: Spot) -> None:
    folder.configure(filled)
    done = filled.mlx("status", "--unpushed", "--exit-code")
    assert done.returncode == 1
    assert "unpushed: data  21 objects" in done.stdout
    assert "22 objects (2.0 MiB) not on origin" in done.stdout
    assert filled.mlx("status", "--unpushed").returncode == 0
    filled.do(push)
    done = filled.mlx("status", "--unpushed", "--exit-code", "--json")
    (found,) = json.loads(done.stdout)["unpushed"]
    assert (done.returncode, found["objects"], found["paths"]) == (0, 0, [])


def test_it_costs_one_listing_and_opens_no_folder(
    filled: Project, folder: Spot, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.configure(filled)
    filled.do(push)
    asked: list[str] = []

    def counted(name: str, real):  # type: ignore[no-untyped-def]
        def call(self, *args):  # type: ignore[no-untyped-def]
            asked.append(name)
            return real(self, *args)

        return call

    for name in ("files", "size", "read", "read_range"):
        monkeypatch.setattr(Folder, name, counted(name, getattr(Folder, name)))
    monkeypatch.setattr(Store, "read", counted("store", Store.read))
    assert lacking(filled) == {}
    assert asked == ["files"]


def test_no_remote_is_asked_without_the_word(filled: Project, folder: Spot) -> None:
    filled.git("config", "mlx.remote.origin.url", "s3://nowhere/at-all")
    filled.git("config", "mlx.remote.origin.endpoint", "http://127.0.0.1:9")
    assert filled.mlx("status").returncode == 0
    assert filled.mlx("status", "-r", "origin").returncode == 2


def test_outs_that_stay_here_do_not_count(project: Project, tmp_path: Path) -> None:
    for name in ("origin", "vault"):
        Spot("folder", str(tmp_path / name), {}, tmp_path / name).configure(project, name)
    project.git("config", "mlx.remote", "origin")
    outs = "[a.txt, {b.txt: {push: false}}, {c.txt: {remote: vault}}]"
    command = "for n in a b c; do echo $n > $n.txt; done"
    project.write("mlx.yaml", f"stages:\n  make:\n    cmd: {command}\n    outs: {outs}\n")
    assert project.mlx("repro").returncode == 0
    found = project.do(unpushed)
    assert {item.remote: [path for path, _ in item.paths] for item in found} == {
        "origin": ["a.txt"],
        "vault": ["c.txt"],
    }
    project.do(push)
    assert [item.paths for item in project.do(unpushed)] == [(), ()]


def test_an_out_that_stays_here_is_said_to_and_a_clone_is_told_who_makes_it(
    project: Project, tmp_path: Path, folder: Spot
) -> None:
    folder.configure(project)
    project.write(
        "mlx.yaml",
        "stages:\n  last:\n    cmd: echo a > a.txt; echo b > b.txt\n"
        "    outs: [a.txt, {b.txt: {push: false}}]\n",
    )
    assert project.mlx("repro").returncode == 0
    project.commit()
    for words in (("push", "b.txt"), ("status", "--unpushed", "b.txt")):
        said = project.mlx(*words).stdout
        assert "none of it belongs on origin: b.txt (push: false)" in said, words
    project.do(push)
    other = clone(project, folder)
    assert "b.txt (push: false)" in other.mlx("fetch", "b.txt").stdout
    for verb in ("pull", "checkout"):
        done = other.mlx(verb)
        assert done.returncode == 0, done.stderr
        assert "stays away: b.txt (push: false): mlx repro last makes it" in done.stderr
        assert "mlx pull brings" not in done.stderr
    found = json.loads(other.mlx("--json", "pull").stdout)["workspace"]
    assert (found["away"], found["missing"]) == ([{"path": "b.txt", "stage": "last"}], [])
    assert other.read("a.txt") == "a\n"


def test_what_is_on_neither_side_is_named(filled: Project, folder: Spot) -> None:
    folder.configure(filled)
    for path in filled.path(".git/mlx/objects").rglob("*"):
        if path.is_file() and path.stat().st_size > 1 << 20:
            path.unlink()
    (found,) = filled.do(unpushed, ["model.bin"])
    assert ([path for path, _ in found.missing], found.paths) == (["model.bin"], ())
