"""What the tests of remotes start with."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import places
import pytest
from places import KEY, KINDS, SECRET, Server, Spot


@pytest.fixture(scope="session", autouse=True)
def _credentials(_own_environment: None) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", KEY)
        patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        yield


@pytest.fixture(scope="session")
def rclone(tmp_path_factory: pytest.TempPathFactory, _credentials: None) -> Iterator[Server]:
    with places.rclone(tmp_path_factory.mktemp("rclone")) as server:
        yield server


@pytest.fixture(scope="session")
def moto(_credentials: None) -> Iterator[Server]:
    with places.moto() as server:
        yield server


@pytest.fixture(scope="session")
def sftp_server(tmp_path_factory: pytest.TempPathFactory, _credentials: None) -> Iterator[str]:
    home = Path(os.environ["HOME"])
    with places.sftp(tmp_path_factory.mktemp("sftp"), home) as server:
        yield server


@pytest.fixture
def sftp(sftp_server: str) -> Spot:
    return places.sftp_spot(sftp_server)


@pytest.fixture
def folder(tmp_path: Path) -> Spot:
    return Spot("folder", str(tmp_path / "remote"), {}, tmp_path / "remote")


@pytest.fixture(params=["folder", "rclone", "sftp"])
def spot(request: pytest.FixtureRequest) -> Spot:
    """A remote of each kind that differs in what it can do."""
    return _spot(request)


@pytest.fixture(params=KINDS)
def any_spot(request: pytest.FixtureRequest) -> Spot:
    """A remote of each kind."""
    return _spot(request)


def _spot(request: pytest.FixtureRequest) -> Spot:
    if request.param == "memory":
        return Spot("memory", f"memory://{uuid.uuid4().hex}", {}, None)
    found = request.getfixturevalue(request.param)
    return found if isinstance(found, Spot) else found.spot()
