"""One conformance suite for every door, and what refusals say."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from places import SECRET, Server, Spot, free_port

from mlxrepo.errors import Damaged, EnvironmentFailed, InputError, MlxError
from mlxrepo.hashing import blob_oid
from mlxrepo.store.door import Door, Found
from mlxrepo.store.opening import open_door
from mlxrepo.store.s3 import S3


@pytest.fixture
def spot(any_spot: Spot) -> Spot:
    """The conformance suite is for all of them."""
    return any_spot


@pytest.fixture
def door(spot: Spot) -> Door:
    return open_door(spot.url, spot.options)


def test_a_new_remote_is_empty(door: Door) -> None:
    assert door.files("") == []
    assert door.files("packs") == []
    assert door.size("mlx.json") is None
    with pytest.raises(FileNotFoundError):
        door.read("mlx.json")
    with pytest.raises(FileNotFoundError):
        door.read_range("packs/x.pack", 0, 10)


def test_what_is_written_is_there(door: Door) -> None:
    data = os.urandom(100_000)
    door.write("packs/a.pack", data)
    assert door.size("packs/a.pack") == len(data)
    assert door.read("packs/a.pack") == data
    assert door.read_range("packs/a.pack", 0, 1) == data[:1]
    assert door.read_range("packs/a.pack", 5_000, 77_777) == data[5_000:77_777]
    assert door.read_range("packs/a.pack", 99_990, 100_000) == data[-10:]


def test_an_empty_file_is_a_file(door: Door) -> None:
    door.write("actions/k/empty", b"")
    assert door.size("actions/k/empty") == 0
    assert door.read("actions/k/empty") == b""


def test_a_listing_names_what_is_below_and_nothing_else(door: Door) -> None:
    for path in ("packs/a", "packs/b", "packs-more/c", "objects/ab/cd", "mlx.json"):
        door.write(path, path.encode())
    assert sorted(door.files("packs")) == [Found("packs/a", 7), Found("packs/b", 7)]
    assert door.files("objects") == [Found("objects/ab/cd", 13)]
    assert len(door.files("")) == 5


def test_writing_again_replaces(door: Door) -> None:
    door.write("x", b"old")
    door.write("x", b"newer")
    assert (door.size("x"), door.read("x")) == (5, b"newer")


def test_a_large_file_goes_in_parts(door: Door, tmp_path: Path) -> None:
    data = os.urandom(21 << 20)
    (tmp_path / "large").write_bytes(data)
    told: list[int] = []
    door.send("objects/ab/large", str(tmp_path / "large"), blob_oid(data), told.append)
    assert sum(told) == len(data)
    assert len(told) > 2  # the bar moves on the way
    assert door.size("objects/ab/large") == len(data)
    assert door.read_range("objects/ab/large", 20 << 20, 21 << 20) == data[20 << 20 :]
    assert door.read("objects/ab/large") == data


def test_a_blob_that_is_another_is_not_sent(door: Door, tmp_path: Path) -> None:
    """Where it can be told in time; where it cannot, it is read back."""
    (tmp_path / "large").write_bytes(os.urandom(9 << 20))
    try:
        believed = door.send("objects/ab/large", str(tmp_path / "large"), blob_oid(b"another"))
    except Damaged:
        assert door.size("objects/ab/large") is None
    else:
        assert not believed


def test_a_door_that_was_stopped_asks_nothing_more(door: Door, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(os.urandom(9 << 20))
    door.stop()
    with pytest.raises(EnvironmentFailed, match="stopped"):
        door.send("objects/ab/large", str(tmp_path / "large"), blob_oid(b""))


def test_a_large_file_goes_from_pieces_that_nobody_keeps(door: Door) -> None:
    data = os.urandom(21 << 20)
    lengths = (1, 5_000_000, 123, 9_000_000, len(data))

    def pieces() -> Iterator[bytes]:
        at = 0
        for length in lengths:
            yield data[at : at + length]
            at += length

    door.send_chunks("objects/ab/pieces", len(data), pieces)
    assert door.size("objects/ab/pieces") == len(data)
    assert door.read("objects/ab/pieces") == data


def test_pieces_that_break_off_leave_no_whole_file(door: Door) -> None:
    class Gone(MlxError):
        pass

    def pieces() -> Iterator[bytes]:
        yield bytes(17 << 20)
        raise Gone("the source went away")

    with pytest.raises(Gone, match="the source went away"):
        door.send_chunks("objects/ab/pieces", 18 << 20, pieces)
    assert door.size("objects/ab/pieces") is None
    assert door.files("objects") == []
    door.send_chunks("objects/ab/pieces", 2, lambda: [b"o", b"k"])
    assert door.read("objects/ab/pieces") == b"ok"


def test_a_part_that_fails_is_sent_again_alone(
    rclone: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlxrepo.store.network.FIRST_WAIT", 0.001)
    data = os.urandom(20 << 20)
    tried: list[object] = []
    real = S3._ask

    def failing(self: S3, what: str, *args: object, **options: object) -> object:
        tried.append(options.get("PartNumber", args))
        if args == ("upload_part",) and tried.count(options["PartNumber"]) < 3:
            raise ConnectionResetError("reset by peer")
        return real(self, what, *args, **options)

    monkeypatch.setattr(S3, "_ask", failing)
    spot = rclone.spot()
    door = open_door(spot.url, spot.options)
    read: list[int] = []

    def pieces() -> Iterator[bytes]:
        for at in range(0, len(data), 3 << 20):
            read.append(at)
            yield data[at : at + (3 << 20)]

    door.send_chunks("objects/ab/pieces", len(data), pieces)
    assert door.read("objects/ab/pieces") == data
    assert sorted(map(tried.count, (1, 2, 3))) == [3, 3, 3]
    assert len(read) == len(set(read))


def test_what_is_deleted_is_gone_and_deleting_nothing_is_no_error(door: Door) -> None:
    door.write("tmp/x", b"x")
    door.delete("tmp/x")
    door.delete("tmp/x")
    assert door.size("tmp/x") is None


# refusals


def test_an_absent_bucket_is_not_an_empty_remote(rclone: Server, moto: Server) -> None:
    for server in (rclone, moto):
        spot = server.spot()
        door = open_door("s3://no-such-bucket-here/project", spot.options)
        with pytest.raises(EnvironmentFailed, match="a bucket that does not exist"):
            door.files("indexes")
        with pytest.raises(EnvironmentFailed, match="a bucket that does not exist"):
            door.write("mlx.json", b"{}")


def test_wrong_credentials_are_said_to_be_wrong_and_not_shown(
    rclone: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET + "-wrong")
    spot = rclone.spot()
    with pytest.raises(EnvironmentFailed, match="credentials") as caught:
        open_door(spot.url, spot.options).files("indexes")
    assert SECRET not in f"{caught.value} {caught.value.hint}"


def test_missing_credentials_are_said_to_be_missing(
    rclone: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    spot = rclone.spot()
    with pytest.raises(EnvironmentFailed, match="wants credentials, and none were found"):
        open_door(spot.url, spot.options).files("indexes")


def test_a_host_out_of_reach_is_said_to_be_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlxrepo.store.network.FIRST_WAIT", 0.001)
    endpoint = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(EnvironmentFailed, match="cannot be reached"):
        open_door("s3://bucket/x", {"endpoint": endpoint}).files("indexes")


def test_a_folder_whose_disk_is_away_is_not_an_empty_remote(tmp_path: Path) -> None:
    door = open_door(str(tmp_path / "media" / "usb"), {})
    with pytest.raises(EnvironmentFailed, match="is not there"):
        door.files("indexes")
    with pytest.raises(EnvironmentFailed, match="is not there"):
        door.write("mlx.json", b"{}")
    assert not (tmp_path / "media").exists()


def test_a_protocol_that_nothing_speaks_is_named() -> None:
    with pytest.raises(InputError, match="nothing here speaks gopher://"):
        open_door("gopher://host/x", {})
