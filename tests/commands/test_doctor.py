"""What `mlx doctor` promises: what is wrong is named with what to do, and nothing stops it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from sandbox import Project

from mlxrepo.commands.add import add
from mlxrepo.commands.doctor import Check, doctor
from mlxrepo.commands.install import install
from mlxrepo.repo.moving import StoreMove, write_store_move
from mlxrepo.repo.repo import Repo
from mlxrepo.store import probe


def look(project: Project, name: str) -> list[Check]:
    """Return the checks of one name; every other one was made, too."""
    with Repo.find(str(project.root)) as repo:
        checks = doctor(repo)
    assert {check.name for check in checks} >= {"git", "store", "links", "free space", "leftovers"}
    assert all(check.advice for check in checks if check.verdict == "fail")
    return [check for check in checks if check.name == name]


def test_a_sound_project_has_nothing_to_do_and_nothing_is_left_behind(project: Project) -> None:
    project.write("a.csv")
    project.do(add, ["a.csv"])
    project.do(install)
    before = project.files(), sorted(os.listdir(project.root / ".git/mlx"))
    with project.repo() as repo:
        checks = doctor(repo)
    assert [check for check in checks if check.verdict != "ok"] == []
    assert (project.files(), sorted(os.listdir(project.root / ".git/mlx"))) == before


def test_a_clone_that_is_not_prepared_is_told(project: Project) -> None:
    settings, hooks = look(project, "clone")
    assert (settings.verdict, settings.advice) == ("warn", "mlx install")
    assert "merge.mlx.driver" in settings.found
    assert "pre-push" in hooks.found
    with project.repo() as repo:
        install(repo, with_hooks=False)
    (check,) = look(project, "clone")
    assert check.verdict == "ok"  # who wants no hooks is not told so for ever
    assert "post-checkout" in check.found
    project.do(install)
    (check,) = look(project, "clone")
    assert "prepared" in check.found
    hook = project.read(".git/hooks/pre-push")
    project.write(".git/hooks/pre-push", hook + "true  # what others add below is theirs\n")
    (check,) = look(project, "clone")
    assert "prepared" in check.found
    project.write(".git/hooks/pre-push", hook.replace("rev-list", "rev-parse"))
    (check,) = look(project, "clone")
    assert check.found.endswith("hooks pre-push")


def test_settings_that_mlx_does_not_know_are_named_with_the_nearest(project: Project) -> None:
    project.git("config", "mlx.lnik", "hardlink")
    (check,) = look(project, "settings")
    assert (check.verdict, check.advice) == ("warn", 'did you mean "link"?')
    assert "mlx.lnik" in check.found
    project.git("config", "--unset", "mlx.lnik")
    project.git("config", "mlx.GCGRACE", "3")
    assert look(project, "settings")[0].found == "mlx.gcGrace=3"


@pytest.mark.parametrize("key", ["url", "endpoint", "secretkey"])
def test_a_secret_in_a_remotes_settings_is_named_and_not_shown(project: Project, key: str) -> None:
    project.git("config", "mlx.remote.sec.url", "s3://b/p")
    project.git("config", f"mlx.remote.sec.{key}", "https://u:hunter2@b/p")
    warning, listed = look(project, "settings")
    assert (warning.verdict, warning.advice) == ("warn", "mlx remote rm sec")
    assert f"mlx.remote.sec.{key} holds a secret" in warning.found
    assert "mlx.remote.sec.url=" in listed.found
    assert "hunter2" not in warning.found + listed.found


def test_a_setting_of_no_meaning_fails_where_it_is_needed(project: Project) -> None:
    project.git("config", "mlx.link", "softlink")
    assert look(project, "links")[0].verdict == "fail"
    project.git("config", "mlx.link", "copy")
    project.git("config", "mlx.store", "relative")
    (check,) = look(project, "store")
    assert "absolute" in check.found
    assert "git config" in check.advice


def test_a_store_that_is_out_of_reach_fails(project: Project, tmp_path: Path) -> None:
    project.git("config", "mlx.store", str(tmp_path / "disk/store"))
    assert look(project, "store")[0].verdict == "ok"
    project.write("a.csv")
    project.do(add, ["a.csv"])
    (tmp_path / "disk").rename(tmp_path / "gone")
    (check,) = look(project, "store")
    assert check.verdict == "fail"
    assert "mounted" in check.advice


def test_a_damaged_pack_fails(project: Project) -> None:
    project.fill("data", 40)
    project.do(add, ["data"])
    (pack,) = (project.root / ".git/mlx/packs").iterdir()
    pack.chmod(0o644)
    pack.write_bytes(pack.read_bytes()[:-3])
    check = look(project, "store")[0]
    assert (check.verdict, check.advice) == ("fail", "mlx fsck --repair")


def test_a_project_file_that_cannot_be_read_fails_with_its_place(project: Project) -> None:
    project.write("mlx.yaml", "datasets: [x]\n")
    (check,) = look(project, "project")
    assert check.verdict == "fail"
    assert check.found.startswith("mlx.yaml:1")


def test_it_works_before_there_is_a_project(tmp_path: Path) -> None:
    project = Project(tmp_path / "plain")
    project.root.mkdir()
    project.git("init", "-q")
    assert look(project, "project")[0].advice == "mlx init"


def test_what_was_cut_off_is_named_with_what_completes_it(project: Project) -> None:
    with project.repo() as repo:
        write_store_move(repo, StoreMove("/a", "/b c"))
        os.makedirs(repo.worktree_file("aside"))
        Path(repo.worktree_file("aside"), "run.stage").write_text("{}")
    advice = [check.advice for check in look(project, "unfinished")]
    assert advice[0] == "mlx store move '/b c' completes it"
    assert advice[1].startswith("mlx repro")


def test_a_stat_cache_that_is_none_is_told(project: Project) -> None:
    with project.repo() as repo:
        path = Path(repo.worktree_file("stat.sqlite"))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"no data base at all")
    assert look(project, "stat cache")[0].verdict == "warn"


def test_flushing_that_is_off_is_told(project: Project) -> None:
    project.git("config", "mlx.fsync", "off")
    assert look(project, "flushing")[0].verdict == "warn"


@pytest.mark.parametrize("name", ["links", "workspace"])
def test_what_a_disk_cannot_do_is_told(
    project: Project, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    # No disk here is blind to case or without links: the answers of one are put in.
    monkeypatch.setattr(probe, "is_case_blind", lambda bench: True)
    answers = {"reflink": False, "hardlink": False, "symlink": True}
    monkeypatch.setattr(probe, "link_types", lambda source, target: answers)
    project.git("config", "mlx.link", "hardlink")
    (check,) = look(project, name)
    assert check.verdict == "warn"
    assert check.advice


def test_links_are_really_tried(tmp_path: Path) -> None:
    (tmp_path / "to").mkdir()
    found = probe.link_types(str(tmp_path), str(tmp_path / "to"))
    assert found["hardlink"] == (os.stat(tmp_path / "to/hardlink").st_nlink == 2)
    assert found["symlink"] == (tmp_path / "to/symlink").is_symlink()
    with probe.workbench("/dev/shm") as far:
        assert os.stat(far).st_dev != tmp_path.stat().st_dev
        assert not probe.link_types(str(tmp_path), far)["hardlink"]
        assert probe.disk_type(far) == "tmpfs"
    assert not os.path.exists(far)
