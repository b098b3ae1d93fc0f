"""Remotes of every kind, real ones: a folder, memory, and S3 by two servers on loopback."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import asyncssh
from sandbox import Project

KEY, SECRET = "tester-key", "tester-secret-that-nobody-may-see"
BUCKET = "bucket"
KINDS = ("folder", "memory", "rclone", "moto", "sftp")


class Spot(NamedTuple):
    """A remote that nobody has used: URL, options, and the folder behind it where there is one."""

    kind: str
    url: str
    options: Mapping[str, str]
    folder: Path | None

    def configure(self, project: Project, name: str = "origin") -> None:
        for key, value in {"url": self.url, **self.options}.items():
            project.git("config", f"mlx.remote.{name}.{key}", value)

    @property
    def files(self) -> list[Path]:
        assert self.folder is not None
        return sorted(path for path in self.folder.rglob("*") if path.is_file())


class Server(NamedTuple):
    """A server of S3 on loopback."""

    kind: str
    endpoint: str
    folder: Path | None

    def spot(self) -> Spot:
        project = f"project-{uuid.uuid4().hex[:12]}"
        folder = self.folder / BUCKET / project if self.folder is not None else None
        options = {"endpoint": self.endpoint, "region": "us-east-1"}
        return Spot(self.kind, f"s3://{BUCKET}/{project}", options, folder)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def _running(words: list[str], endpoint: str) -> Iterator[None]:
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            if _answers(endpoint):
                break
            assert process.poll() is None, f"{words[0]} ended with {process.returncode}"
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait()


def _answers(endpoint: str) -> bool:
    try:
        if "://" not in endpoint:
            host, _, port = endpoint.partition(":")
            socket.create_connection((host, int(port)), 5).close()
            return True
        urllib.request.urlopen(endpoint, timeout=5).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def _rclone() -> str:
    program = shutil.which("rclone", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    assert program, "pip install -e .[dev] brings rclone"
    return program


@contextlib.contextmanager
def rclone(folder: Path) -> Iterator[Server]:
    """Run `rclone serve s3`: credentials are checked, what is kept are plain files."""
    address = f"127.0.0.1:{free_port()}"
    words = [_rclone(), "serve", "s3", "--addr", address, "--auth-key", f"{KEY},{SECRET}"]
    words += ["--config", str(folder / "none.conf")]
    data = folder / "data"
    (data / BUCKET).mkdir(parents=True)
    with _running([*words, str(data)], f"http://{address}"):
        yield Server("rclone", f"http://{address}", data)


@contextlib.contextmanager
def moto() -> Iterator[Server]:
    """Run moto's server."""
    port = free_port()
    words = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with _running(words, f"http://127.0.0.1:{port}"):
        put = urllib.request.Request(f"http://127.0.0.1:{port}/{BUCKET}", method="PUT")
        put.add_header("Authorization", "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/s3/")
        urllib.request.urlopen(put).close()
        yield Server("moto", f"http://127.0.0.1:{port}", None)


def new_key(path: Path) -> None:
    """Write a key and, beside it with .pub, its public half."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    key.write_private_key(str(path))
    key.write_public_key(f"{path}.pub")
    path.chmod(0o600)


@contextlib.contextmanager
def sftp(folder: Path, home: Path) -> Iterator[str]:
    """Run `rclone serve sftp`, and put the key that it takes and its own into ~/.ssh."""
    ssh = home / ".ssh"
    ssh.mkdir(mode=0o700, exist_ok=True)
    for path in (ssh / "id_ed25519", folder / "host"):
        new_key(path)
    port = free_port()
    host = (folder / "host.pub").read_text()
    (ssh / "known_hosts").write_text(f"[127.0.0.1]:{port} {host}")
    data = folder / "data"
    data.mkdir()
    words = [_rclone(), "serve", "sftp", "--addr", f"127.0.0.1:{port}", "--user", "tester"]
    words += ["--authorized-keys", str(ssh / "id_ed25519.pub"), "--key", str(folder / "host")]
    words += ["--pass", SECRET]
    words += ["--config", str(folder / "none.conf")]
    with _running([*words, str(data)], f"127.0.0.1:{port}"):
        yield f"sftp://tester@127.0.0.1:{port}"


def sftp_spot(server: str) -> Spot:
    return Spot("sftp", f"{server}/project-{uuid.uuid4().hex[:12]}", {}, None)
