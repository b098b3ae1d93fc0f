"""A store of S3 that fails in every way: push and fetch converge, or end with a sentence.

Never a wrong byte in the workspace, and never a "pushed" that another clone cannot get.
"""

from __future__ import annotations

import itertools
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from faulty import FOR_EVER, Proxy, faulty
from places import Server, Spot
from sandbox import Project
from test_sharing import clone

from mlxrepo.commands.add import add
from mlxrepo.commands.checkout import checkout
from mlxrepo.commands.fetch import fetch
from mlxrepo.commands.push import push
from mlxrepo.commands.remote import try_remote
from mlxrepo.errors import EnvironmentFailed
from mlxrepo.store import network

LARGE = 9 << 20  # two parts
STALLED = 2  # seconds until one that stalls is given up; a busy machine takes a while, too
# What every push asks: a pack, a part of the large file, the end of it, an index, a listing.
SENT = (r"/packs/", r"partNumber=2", r"/indexes/", r"mlx\.json")


@pytest.fixture
def proxy(rclone: Server) -> Iterator[Proxy]:
    with faulty(rclone) as found:
        yield found


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "FIRST_WAIT", 0.002)


@pytest.fixture
def honest(rclone: Server) -> Spot:
    return rclone.spot()


@pytest.fixture
def filled(project: Project, proxy: Proxy, honest: Spot) -> Project:
    project.fill("data", 30)
    project.write("data/large.bin", os.urandom(LARGE))
    project.do(add, ["data"])
    project.commit()
    proxy.spot(honest).configure(project)
    return project


def all_arrived(project: Project, honest: Spot) -> None:
    """Check that a fresh clone gets everything at the honest end."""
    other = clone(project, honest, "witness")
    (done,) = other.do(fetch)
    assert (done.missing, done.damaged) == ((), ())
    other.do(checkout)
    assert other.files("data") == project.files("data")


def fetched_through(project: Project, proxy: Proxy, honest: Spot) -> Project:
    other = clone(project, honest)
    proxy.spot(honest).configure(other)
    return other


def impatient(project: Project) -> None:
    """Let a project give up soon when an answer does not come."""
    project.git("config", "mlx.remote.origin.timeout", str(STALLED))


@pytest.mark.parametrize("how", ["500 503 429", "reset down", "reset up", "flip up"])
def test_a_push_gets_over_what_fails_a_few_times(
    filled: Project, proxy: Proxy, honest: Spot, how: str
) -> None:
    statuses = itertools.cycle(how.split() if how[0].isdigit() else [how])
    faults = [proxy.break_("PUT", where, next(statuses), 2) for where in SENT]
    if how not in ("reset up", "flip up"):
        asked = [("GET", "list-type"), ("HEAD", "repos"), ("POST", "uploads"), ("POST", "Id=")]
        faults += [proxy.break_(method, where, next(statuses)) for method, where in asked]
    (done,) = filled.do(push)
    assert done.objects == 32
    assert all(fault.hits for fault in faults)
    all_arrived(filled, honest)


PUSHES = [
    ("500", r"/packs/"),
    ("503", r"partNumber=2"),
    ("429", r"/indexes/"),
    ("reset up", r"partNumber=2"),
    ("flip up", r"partNumber=2"),
    ("flip up", r"/indexes/"),
]


@pytest.mark.parametrize(("how", "where"), PUSHES)
def test_a_push_that_cannot_be_says_so_and_goes_on_later(
    filled: Project, proxy: Proxy, honest: Spot, how: str, where: str
) -> None:
    fault = proxy.break_("PUT", where, how, FOR_EVER)
    with pytest.raises(EnvironmentFailed) as caught:
        filled.do(push)
    assert caught.value.message.startswith("the remote s3://")
    assert caught.value.hint
    # Two packs, trees and files; a part goes with another upload when the server dropped its
    # own; and aiohttp itself tries again when a connection was reset.
    assert network.TRIES <= fault.hits <= 4 * network.TRIES
    proxy.mend()
    filled.do(push)
    all_arrived(filled, honest)


@pytest.mark.parametrize("how", ["500", "reset down", "truncate", "flip down"])
def test_a_fetch_gets_over_what_fails_once(
    filled: Project, proxy: Proxy, honest: Spot, how: str
) -> None:
    filled.do(push)
    other = fetched_through(filled, proxy, honest)
    places = (r"/packs/", r"/objects/", r"/indexes/", r"list-type", r"mlx\.json")
    faults = [proxy.break_("GET", where, how) for where in places]
    (done,) = other.do(fetch)
    assert (done.missing, done.damaged) == ((), ())
    assert all(fault.hits for fault in faults)
    other.do(checkout)
    assert other.files("data") == filled.files("data")


@pytest.mark.parametrize(
    ("how", "where"),
    [("503", r"/packs/"), ("reset down", r"/objects/"), ("truncate", r"/indexes/")],
)
def test_a_fetch_that_cannot_be_says_so_and_goes_on_later(
    filled: Project, proxy: Proxy, honest: Spot, how: str, where: str
) -> None:
    filled.do(push)
    other = fetched_through(filled, proxy, honest)
    fault = proxy.break_("GET", where, how, FOR_EVER)
    with pytest.raises(EnvironmentFailed) as caught:
        other.do(fetch)
    assert caught.value.message.startswith("the remote s3://")
    assert 0 < fault.hits <= 4 * network.TRIES  # parts side by side
    proxy.mend()
    (done,) = other.do(fetch)
    assert (done.missing, done.damaged) == ((), ())
    other.do(checkout)
    assert other.files("data") == filled.files("data")


@pytest.mark.parametrize("where", [r"/packs/\w", r"/objects/\w", r"/indexes/\w"])
def test_a_download_that_is_always_wrong_is_never_taken(
    filled: Project, proxy: Proxy, honest: Spot, where: str
) -> None:
    filled.do(push)
    other = fetched_through(filled, proxy, honest)
    proxy.break_("GET", where, "flip down", FOR_EVER)
    done = other.mlx("pull")
    assert done.returncode in (1, 5)
    assert "other bytes than" in done.stderr
    came = other.files("data")
    assert "data/large.bin" not in came
    assert came.items() <= filled.files("data").items()
    proxy.mend()
    assert other.mlx("pull").returncode == 0
    assert other.files("data") == filled.files("data")


def test_a_store_that_stops_answering_is_left_and_found_again(
    filled: Project, proxy: Proxy, honest: Spot, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient(filled)
    monkeypatch.setattr(network, "TRIES", 1)
    fault = proxy.break_("PUT", "/packs/", "stall", FOR_EVER)
    with pytest.raises(EnvironmentFailed, match="stopped answering"):
        filled.do(push)
    assert fault.hits
    proxy.mend()
    monkeypatch.undo()
    proxy.break_("PUT", "/packs/", "stall")
    filled.do(push)
    all_arrived(filled, honest)
    other = fetched_through(filled, proxy, honest)
    impatient(other)
    faults = [proxy.break_("GET", where, "stall") for where in ("/packs/", "/objects/")]
    assert other.do(fetch)[0].missing == ()
    assert all(fault.hits for fault in faults)


def test_an_end_whose_answer_was_lost_is_no_failure(
    filled: Project, proxy: Proxy, honest: Spot
) -> None:
    """The parts were put together; asked again, the store knows of no such upload."""
    fault = proxy.break_("POST", "uploadId=", "reset down")
    assert filled.do(push)[0].objects == 32
    assert fault.hits == 1
    all_arrived(filled, honest)


def test_a_listing_that_is_late_makes_no_false_claim(
    filled: Project, proxy: Proxy, honest: Spot
) -> None:
    filled.do(push)
    filled.write("data/more.txt", "more\n")
    filled.do(add, ["data"])
    filled.commit()
    filled.do(push)
    stale = proxy.break_("GET", "list-type", "stale", FOR_EVER)
    # Who reads it misses the new, by name.
    other = fetched_through(filled, proxy, honest)
    (done,) = other.do(fetch)
    assert [path for path, _ in done.missing] == ["data"]
    assert stale.hits == 1
    # Who sends by it sends what is there already, and loses nothing.
    assert filled.do(push)[0].objects == 2
    proxy.mend()
    all_arrived(filled, honest)


def test_what_came_wrong_is_kept_asked_for_again_and_reported(
    filled: Project, proxy: Proxy, honest: Spot
) -> None:
    filled.do(push)
    other = fetched_through(filled, proxy, honest)
    for where in (r"/packs/\w", r"/objects/\w"):
        proxy.break_("GET", where, "flip down")
    (done,) = other.do(fetch)
    assert (done.missing, done.damaged) == ((), ())
    assert done.quarantine
    kept = {path.name: path.read_bytes() for path in Path(done.quarantine).iterdir()}
    assert len(kept) == done.wrong == 2
    assert max(len(data) for data in kept.values()) == LARGE
    other.do(checkout)
    assert other.files("data") == filled.files("data")


def test_what_always_comes_wrong_is_reported_with_its_place(
    filled: Project, proxy: Proxy, honest: Spot
) -> None:
    filled.do(push)
    other = fetched_through(filled, proxy, honest)
    proxy.break_("GET", r"/objects/\w", "flip down", FOR_EVER)
    done = other.mlx("fetch")
    assert done.returncode == 1
    assert "on origin with other bytes than the name says, not taken: 1 object" in done.stderr
    (folder,) = other.path(".git/mlx/quarantine").iterdir()
    assert f"what came is in {folder}" in done.stderr
    assert [path.stat().st_size for path in folder.rglob("*") if path.is_file()] == [LARGE]
    assert not any(other.path(".git/mlx/incoming").iterdir())


# Ctrl-C


@pytest.mark.parametrize("where", [r"/packs/\w", r"/objects/\w"])
def test_ctrl_c_ends_a_fetch_that_waits_and_keeps_what_came(
    filled: Project, proxy: Proxy, honest: Spot, where: str
) -> None:
    filled.do(push)
    other = fetched_through(filled, proxy, honest)
    proxy.break_("GET", where, "stall", FOR_EVER, after=1)
    interrupted(other, proxy, "fetch")
    trees = [path for path in other.path(".git/mlx/trees").rglob("*") if path.is_file()]
    assert trees
    proxy.mend()
    assert other.mlx("pull").returncode == 0
    assert other.files("data") == filled.files("data")


@pytest.mark.parametrize("where", [r"/packs/", r"partNumber=2"])
def test_ctrl_c_ends_a_push_that_waits(
    filled: Project, proxy: Proxy, honest: Spot, where: str
) -> None:
    proxy.break_("PUT", where, "stall", FOR_EVER)
    interrupted(filled, proxy, "push")
    proxy.mend()
    filled.do(push)
    all_arrived(filled, honest)


def interrupted(project: Project, proxy: Proxy, *words: str) -> None:
    """Run a command until a request of it stalls, and press Ctrl-C.

    Nothing else ends it: the store never answers, and the timeout is longer than this test's.
    """
    project.git("config", "mlx.remote.origin.timeout", "3000")
    process = subprocess.Popen(
        [sys.executable, "-m", "mlxrepo", *words],
        cwd=project.root,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert proxy.stalled.wait(100)
    time.sleep(0.3)  # the other requests come to their ends
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=100)
    assert process.returncode == 130, said
    assert said.strip().splitlines()[-1] == "interrupted"


# stores that check nothing


@pytest.fixture
def unchecked(moto: Server, project: Project) -> Iterator[tuple[Proxy, Spot]]:
    """A project to be pushed to a store that takes any body."""
    project.fill("data", 3)
    project.write("data/large.bin", os.urandom(LARGE))
    project.do(add, ["data"])
    project.commit()
    with faulty(moto) as proxy:
        honest = moto.spot()
        proxy.spot(honest).configure(project)
        yield proxy, honest


@pytest.mark.parametrize("credulous", [False, True])
def test_a_store_that_checks_nothing_is_not_believed(
    project: Project, unchecked: tuple[Proxy, Spot], credulous: bool
) -> None:
    """Its ETags give it away; where they are no MD5, with keys of one's own, it is read back."""
    proxy, honest = unchecked
    proxy.credulous = credulous
    faults = [proxy.break_("PUT", where, "flip up") for where in SENT]
    project.do(push)
    assert [fault.hits for fault in faults] == [1] * len(SENT)
    all_arrived(project, honest)


@pytest.mark.parametrize("where", [r"/packs/", r"partNumber=2", r"/indexes/"])
def test_a_store_that_keeps_other_bytes_is_never_said_to_have_them(
    project: Project, unchecked: tuple[Proxy, Spot], where: str
) -> None:
    proxy, honest = unchecked
    proxy.break_("PUT", where, "flip up", FOR_EVER)
    with pytest.raises(EnvironmentFailed, match="with other bytes than were sent, twice"):
        project.do(push)
    proxy.mend()
    project.do(push)  # finds the wrong ones, though their size is right
    all_arrived(project, honest)


def test_what_can_be_believed_is_not_read_back(
    project: Project, unchecked: tuple[Proxy, Spot]
) -> None:
    proxy, _ = unchecked
    project.do(push)
    assert not [line for line in proxy.asked if re.search(r"GET [^?]*/(packs|objects)/", line)]


def test_the_test_notes_whether_other_bytes_are_refused(
    filled: Project, proxy: Proxy, rclone: Server, moto: Server
) -> None:
    """What is noted saves the reading back where ETags are no MD5; but only for this place."""
    proxy.credulous = True
    answers = []
    for server in (rclone, moto):
        proxy.server = server
        steps = filled.do(try_remote)[1]
        assert all(step.works for step in steps)
        answers.append([step.why for step in steps if step.what == "check what arrives"])
    assert answers == [[""], ["no: what nothing else vouches for is read back"]]
    proxy.server = rclone
    filled.do(push)
    assert [line for line in proxy.asked if re.search(r"GET [^?]*/(packs|objects)/", line)]
    filled.do(try_remote)
    filled.write("data/more.txt", "more\n")
    filled.do(add, ["data"])
    proxy.asked.clear()
    filled.do(push)
    assert not [line for line in proxy.asked if re.search(r"GET [^?]*/(packs|objects)/", line)]
    proxy.spot(rclone.spot()).configure(filled)  # another place of the same name
    filled.do(push)
    assert [line for line in proxy.asked if re.search(r"GET [^?]*/(packs|objects)/", line)]
