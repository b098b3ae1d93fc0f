"""The wiring of `mlx fsck`: words, documents and exit codes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from sandbox import Project

from mlxrepo.commands.add import add
from mlxrepo.hashing import blob_oid


@pytest.fixture
def hurt(project: Project) -> Project:
    """A project with one object damaged that is in the workspace still."""
    project.write("a.csv", "content")
    project.do(add, ["a.csv"])
    project.commit("first")
    oid = blob_oid(b"content")
    path = Path(project.path(f".git/mlx/objects/{oid[:2]}/{oid[2:]}"))
    os.chmod(path, 0o644)
    path.write_bytes(b"CONTENT")
    return project


def test_damage_exits_with_1_until_it_is_mended(hurt: Project) -> None:
    assert hurt.mlx("fsck").returncode == 0
    found = hurt.mlx("fsck", "--data")
    assert found.returncode == 1
    oid = blob_oid(b"content")
    assert f"damaged: blob {oid[:12]}: it holds other bytes than its name says" in found.stdout
    assert "needed by a.csv of data:a: workspace, index, " in found.stdout
    assert "mlx fsck --repair" in found.stderr
    planned = hurt.mlx("fsck", "--data", "-n")
    assert planned.returncode == 1
    assert "can be repaired from a.csv" in planned.stdout
    done = hurt.mlx("fsck", "--data", "--repair")
    assert done.returncode == 0
    assert "repaired from a.csv" in done.stdout
    assert ".git/mlx/quarantine/" in done.stderr
    assert "the store is sound" in hurt.mlx("fsck", "--data").stdout


def test_what_stays_lost_exits_with_1(hurt: Project) -> None:
    hurt.path("a.csv").unlink()
    done = hurt.mlx("fsck", "--data", "--repair")
    assert done.returncode == 1
    assert "no good copy is at hand" in done.stdout
    assert "1 damaged, 0 mended, 1 lost" in done.stdout


def test_the_document_says_all(hurt: Project) -> None:
    document = json.loads(hurt.mlx("fsck", "--sample", "100%", "--json").stdout)
    assert document["command"] == "fsck"
    assert not document["sound"]
    (finding,) = document["findings"]
    assert (finding["state"], finding["oid"]) == ("damaged", blob_oid(b"content"))
    assert {"path": "a.csv", "address": "data:a", "where": "workspace"} in finding["needs"]


def test_a_history_that_cannot_be_told_exits_with_3(hurt: Project) -> None:
    hurt.write("mlx.lock", "<<<<<<< HEAD\n" + hurt.read("mlx.lock"))
    done = hurt.mlx("fsck")
    assert done.returncode == 3
    assert "mlx.lock" in done.stderr


@pytest.mark.parametrize("share", ["0", "101%", "x", "5.5", ""])
def test_a_share_that_is_none_exits_with_2(project: Project, share: str) -> None:
    done = project.mlx("fsck", "--sample", share)
    assert done.returncode == 2
    assert "1% to 100%" in done.stderr
