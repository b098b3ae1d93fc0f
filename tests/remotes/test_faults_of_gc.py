"""A gc of a remote that fails in every way: what is needed stays, and it goes on later."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from faulty import FOR_EVER, Proxy, faulty
from places import Server, Spot
from sandbox import Project
from test_upkeep import checked, collected, gets_all, with_garbage

from mlxrepo.errors import MlxError
from mlxrepo.store import network


@pytest.fixture
def proxy(rclone: Server) -> Iterator[Proxy]:
    with faulty(rclone) as found:
        yield found


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "FIRST_WAIT", 0.002)
    monkeypatch.setattr("mlxrepo.store.intent.WAITING", 0.2)


@pytest.fixture
def honest(rclone: Server) -> Spot:
    return rclone.spot()


@pytest.fixture
def shared(project: Project, proxy: Proxy, honest: Spot) -> Project:
    with_garbage(project, proxy.spot(honest))
    return project


def sound(project: Project, honest: Spot, name: str) -> None:
    gets_all(project, honest, name)
    assert checked(project, data=True).flaws == ()


FAULTS = [
    ("DELETE", "packs", "503"),
    ("PUT", "indexes", "flip up"),
    ("GET", "list-type.*indexes", "stale"),
    ("GET", "/packs/", "flip down"),
]
MORE = [
    ("DELETE", "indexes", "500"),
    ("DELETE", "objects", "reset down"),
    ("PUT", "swept", "500"),
    ("GET", "list-type.*packs", "500"),
    ("GET", "list-type.*objects", "stale"),
]
FAULTS += [pytest.param(*more, marks=pytest.mark.nightly) for more in MORE]


@pytest.mark.parametrize(("method", "where", "how"), FAULTS)
def test_a_gc_that_fails_harms_nothing_and_goes_on_later(
    shared: Project, proxy: Proxy, honest: Spot, method: str, where: str, how: str
) -> None:
    fault = proxy.break_(method, where, how, FOR_EVER)
    with contextlib.suppress(MlxError):
        collected(shared, grace=0)
    assert fault.hits
    fault.left = 0
    sound(shared, honest, "early")
    for _ in range(2):
        collected(shared, grace=0)
    assert collected(shared, grace=0).files.objects == 0
    sound(shared, honest, "late")
