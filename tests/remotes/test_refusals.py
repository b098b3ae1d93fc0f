"""What refuses half way: each its own sentence and next step, and none an "object missing"."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from faulty import FOR_EVER, Proxy, faulty
from places import Server, Spot, free_port, new_key
from sandbox import Project
from test_sharing import clone

from mlxrepo.commands.add import add
from mlxrepo.commands.push import push
from mlxrepo.errors import EnvironmentFailed, InputError
from mlxrepo.store import network
from mlxrepo.store.opening import open_door

REFUSALS = {
    "ExpiredToken 400": "says that the credentials have expired",
    "RequestTimeTooSkewed 403": "finds the clock of this machine wrong",
    "AccessDenied 403": "is closed to these credentials",
    "InvalidAccessKeyId 403": "does not know these credentials",
}


@pytest.fixture
def proxy(rclone: Server) -> Iterator[Proxy]:
    with faulty(rclone) as found:
        yield found


@pytest.fixture
def filled(project: Project) -> Project:
    project.fill("data", 5)
    project.do(add, ["data"])
    project.commit()
    return project


@pytest.mark.parametrize("method", ["PUT", "HEAD", "GET"])
@pytest.mark.parametrize("how", REFUSALS)
def test_each_refusal_half_way_has_its_sentence(
    proxy: Proxy, rclone: Server, how: str, method: str
) -> None:
    spot = proxy.spot(rclone.spot())
    door = open_door(spot.url, spot.options)
    door.write("packs/a", b"before")
    assert door.size("packs/a") == 6
    proxy.break_(method, "/packs/a", how, FOR_EVER)
    if method == "HEAD":  # its answer has no words, so another is asked for
        proxy.break_("GET", "/packs/a", how, FOR_EVER)
    ask = {
        "PUT": lambda: door.write("packs/a", b"after"),
        "HEAD": lambda: door.size("packs/a"),
        "GET": lambda: door.read_range("packs/a", 0, 3),
    }[method]
    with pytest.raises(EnvironmentFailed, match=REFUSALS[how]) as caught:
        ask()
    assert caught.value.hint
    assert len(proxy.asked) <= 6  # no use in trying again


def test_a_push_whose_credentials_expire_goes_on_with_new_ones(
    filled: Project, proxy: Proxy, rclone: Server
) -> None:
    honest = rclone.spot()
    proxy.spot(honest).configure(filled)
    proxy.break_("PUT", "/packs/", "ExpiredToken 400", FOR_EVER, after=1)
    done = filled.mlx("push")
    assert (done.returncode, done.stdout) == (5, "")
    assert "the credentials have expired" in done.stderr
    assert "log in again, then the same" in done.stderr
    proxy.mend()
    done = filled.mlx("push")
    assert done.returncode == 0, done.stderr
    other = clone(filled, honest)
    assert other.mlx("pull").returncode == 0
    assert other.files("data") == filled.files("data")


def test_a_remote_that_may_only_be_read_is_read(
    filled: Project, proxy: Proxy, rclone: Server
) -> None:
    honest = rclone.spot()
    honest.configure(filled)
    filled.do(push)
    other = clone(filled, honest)
    proxy.spot(honest).configure(other)
    proxy.break_("PUT", "", "AccessDenied 403", FOR_EVER)
    assert other.mlx("pull").returncode == 0
    other.write("data/new.txt", "new\n")
    other.do(add, ["data"])
    done = other.mlx("push")
    assert done.returncode == 5
    assert "is closed to these credentials" in done.stderr
    assert "ask its owner for the right to do this" in done.stderr


def test_a_host_out_of_reach_is_no_missing_object(
    filled: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network, "FIRST_WAIT", 0.001)
    endpoint = f"http://127.0.0.1:{free_port()}"
    Spot("", "s3://bucket/x", {"endpoint": endpoint}, None).configure(filled)
    with pytest.raises(EnvironmentFailed, match="cannot be reached"):
        filled.do(push)


def test_a_timeout_that_is_no_time_is_refused() -> None:
    for text in ("soon", "0", "-1", "nan", "inf"):
        with pytest.raises(InputError, match=f'the timeout "{text}"'):
            open_door("s3://bucket/x", {"timeout": text})


@pytest.mark.root
def test_a_disk_that_is_full_is_said_to_be_full(filled: Project, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)], check=True)
    try:
        Spot("folder", str(disk / "remote"), {}, None).configure(filled)
        filled.write("large.bin", os.urandom(6 << 20))
        filled.do(add, ["large.bin"])
        filled.commit()
        done = filled.mlx("push")
        assert done.returncode == 5
        assert "has no space left" in done.stderr
        assert "make room there" in done.stderr
        subprocess.run(["mount", "-o", "remount,size=32m", str(disk)], check=True)
        assert filled.mlx("push").returncode == 0
        assert filled.mlx("push", "--verify").returncode == 0
    finally:
        subprocess.run(["umount", str(disk)], check=True)


# sftp


def test_a_host_with_an_unknown_key_is_refused(
    sftp: Spot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = Path(os.environ["HOME"], ".ssh/known_hosts")
    before = known.read_text()
    for text in ("", before.split(" ", 1)[0] + " " + _another_key(tmp_path)):
        known.write_text(text)
        try:
            with pytest.raises(EnvironmentFailed, match="shows a key that is not in") as caught:
                open_door(sftp.url, {}).files("indexes")
            assert "compare the key" in (caught.value.hint or "")
            assert known.read_text() == text
        finally:
            known.write_text(before)


def _another_key(folder: Path) -> str:
    path = folder / "another"
    if not path.exists():
        new_key(path)
    return Path(f"{path}.pub").read_text()


def test_a_host_that_takes_none_of_the_keys_says_so(
    sftp: Spot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = Path(os.environ["HOME"], ".ssh")
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True)
    (home / ".ssh/known_hosts").write_text((mine / "known_hosts").read_text())
    monkeypatch.setenv("HOME", str(home))
    with pytest.raises(EnvironmentFailed, match="lets none of your keys in"):
        open_door(sftp.url, {}).files("indexes")


def test_ssh_config_names_hosts_ports_and_keys(
    sftp: Spot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = Path(os.environ["HOME"], ".ssh")
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True)
    place, _, folder = sftp.url.removeprefix("sftp://tester@").partition("/")
    (home / ".ssh/config").write_text(
        f"Host lab\n  HostName 127.0.0.1\n  Port {place.partition(':')[2]}\n  User tester\n"
        f"  IdentityFile {mine}/id_ed25519\n  UserKnownHostsFile {mine}/known_hosts\n"
    )
    monkeypatch.setenv("HOME", str(home))
    open_door(f"sftp://lab/{folder}", {}).write("a", b"by another name")
    monkeypatch.undo()
    assert open_door(sftp.url, {}).read("a") == b"by another name"


def test_a_file_that_is_cut_off_on_its_way_is_none(
    sftp: Spot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    door = open_door(sftp.url, {})
    door.write("objects/aa/old", b"old")
    (tmp_path / "large").write_bytes(bytes(5 << 20))
    monkeypatch.setattr(network, "FIRST_WAIT", 0.001)

    def told(amount: int) -> None:
        raise OSError("cut off")

    for name in ("new", "old"):
        with pytest.raises(EnvironmentFailed, match="cut off"):
            door.send(f"objects/aa/{name}", str(tmp_path / "large"), "0" * 64, told)  # type: ignore[arg-type]
    assert [found.path for found in door.files("")] == ["objects/aa/old"]
    assert door.read("objects/aa/old") == b"old"


def test_without_its_package_sftp_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "asyncssh", None)
    with pytest.raises(InputError, match="nothing here speaks sftp://") as caught:
        open_door("sftp://host/x", {})
    assert caught.value.hint == "pip install 'mlxrepo[sftp]'"


def test_what_does_not_answer_at_all_is_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "FIRST_WAIT", 0.001)
    with pytest.raises(EnvironmentFailed, match="cannot be reached"):
        open_door(f"sftp://127.0.0.1:{free_port()}/x", {}).files("")
