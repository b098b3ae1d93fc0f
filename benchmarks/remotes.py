"""Sharing data: a folder and S3 on loopback, many small files and one large one."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cases import make_large
from contenders import Cost, Tool, environment, run
from measure import Row, Setting, make_files, timed

KEY, SECRET, BUCKET = "bench-key-1", "bench-secret-1", "bucket"
SMALL, LARGE, MANY = "10,000 x 4 KB", "1 GiB", "100,000 objects"


def remotes(setting: Setting) -> Iterator[Row]:
    """Push, push again and pull, through a folder and through S3."""
    os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"] = KEY, SECRET
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    # rclone sends the checksum of the whole with a part, which DVC takes for an error.
    os.environ["AWS_RESPONSE_CHECKSUM_VALIDATION"] = "when_required"
    sources = setting.folder / "shared-sources"
    make_files(sources / "small", 500 if setting.quick else 10_000, 4096)
    (sources / "large").mkdir()
    make_large(sources / "large" / "data.bin", (64 << 20) if setting.quick else (1 << 30))
    with _serving(setting) as port:
        for place in ("folder", "S3"):
            for source, title, goal in (
                (sources / "small", SMALL, "mlx <= dvc / 8"),
                (sources / "large", LARGE, "mlx <= rclone"),
            ):
                yield from _shared(setting, place, port, source, title, goal)
        yield from _counted(setting, port, sources / "small")
        yield from _many(setting, port)


def _shared(
    setting: Setting, place: str, port: int, source: Path, title: str, goal: str
) -> Iterator[Row]:
    rows = {
        "push": Row(f"{place}, {title}: push", goal),
        "again": Row(f"{place}, {title}: push again", "mlx < 0.5 s"),
        "pull": Row(f"{place}, {title}: pull into a fresh clone", goal),
    }
    if title == LARGE:  # what a store beside the workspace costs is in the pull
        rows["fetch"] = Row(f"{place}, {title}: fetch, one copy (rclone: its pull)", goal)
    peak = Row(f"{place}, {title}: most memory of push and pull", "mlx < 200", unit="MB")
    for turn in range(setting.repeat):
        for name, tool in setting.tools.items():
            top = setting.folder / f"shared-{place}-{source.name}-{name}-{turn}"
            url = str(top / "remote") if place == "folder" else f"s3://{BUCKET}/{top.name}"
            if name == "rclone":
                costs = _rclone_turn(tool, top, url, port, source, rows)
            else:
                costs = _turn(tool, top, url, port, source, rows)
            peak.note(name, max(cost.peak for cost in costs) / 1e6)
            shutil.rmtree(top)
    yield from (*rows.values(), peak)


def _turn(
    tool: Tool, top: Path, url: str, port: int, source: Path, rows: dict[str, Row]
) -> list[Cost]:
    first, second = top / "first", top / "second"
    top.mkdir()
    _filled(tool, first, source)
    _configure(tool, first, url, port)
    costs = [timed(rows["push"], tool.name, lambda: run([tool.program, "push"], first))]
    timed(rows["again"], tool.name, lambda: run([tool.program, "push"], first))
    for verb, clone in (("pull", second), ("fetch", top / "third")):
        if verb in rows:
            run(["git", "clone", "-q", str(first), str(clone)], top)
            _configure(tool, clone, url, port)
            step = partial(run, [tool.program, verb], clone)
            costs.append(timed(rows[verb], tool.name, step))
    return costs


def _filled(tool: Tool, folder: Path, source: Path) -> None:
    tool.init(folder)
    shutil.copytree(source, folder / "data")
    tool.add(folder, "data")
    tool.commit(folder, "first")


def _configure(tool: Tool, folder: Path, url: str, port: int) -> None:
    endpoint = f"http://127.0.0.1:{port}"
    s3 = url.startswith("s3:")
    if tool.name == "mlx":
        options = ["--endpoint", endpoint, "--region", "us-east-1"] if s3 else []
        run([tool.program, "remote", "add", "origin", url, *options], folder)
        return
    run([tool.program, "remote", "add", "--local", "-d", "origin", url], folder)
    if s3:
        for key, value in (("endpointurl", endpoint), ("region", "us-east-1")):
            run([tool.program, "remote", "modify", "--local", "origin", key, value], folder)


def _rclone_turn(
    tool: Tool, top: Path, url: str, port: int, source: Path, rows: dict[str, Row]
) -> list[Cost]:
    """Copy with 32 transfers, the floor of a tool that keeps files as they are."""
    top.mkdir()
    there = _rclone_place(url, port)
    words = [tool.program, "copy", "--transfers", "32", "--checkers", "32"]
    words += ["--config", str(top / "none.conf")]
    push = [*words, str(source), there]
    costs = [timed(rows["push"], tool.name, lambda: run(push, top))]
    timed(rows["again"], tool.name, lambda: run(push, top))
    pull = [*words, there, str(top / "second")]
    costs.append(timed(rows["pull"], tool.name, lambda: run(pull, top)))
    if "fetch" in rows:
        rows["fetch"].note(tool.name, costs[-1].seconds)
    return costs


def _rclone_place(url: str, port: int) -> str:
    if not url.startswith("s3:"):
        return url
    options = f"provider=Rclone,env_auth=true,region=us-east-1,endpoint='http://127.0.0.1:{port}'"
    return f":s3,{options}:{url.removeprefix('s3://')}"


# --- how many requests ----------------------------------------------------------------------------


def _counted(setting: Setting, port: int, source: Path) -> Iterator[Row]:
    rows = {
        "push": Row(f"S3, {SMALL}: push", "mlx <= dvc / 50", unit="requests"),
        "again": Row(f"S3, {SMALL}: push again", "", unit="requests"),
        "pull": Row(f"S3, {SMALL}: pull", "mlx <= dvc / 50", unit="requests"),
    }
    for name, tool in setting.tools.items():
        if name == "rclone":
            continue
        top = setting.folder / f"counted-{name}"
        top.mkdir()
        first, second = top / "first", top / "second"
        _filled(tool, first, source)
        with _counting(port) as (own, count):
            _configure(tool, first, f"s3://{BUCKET}/{top.name}", own)
            for key, folder, verb in (
                ("push", first, "push"),
                ("again", first, "push"),
                ("pull", second, "pull"),
            ):
                if key == "pull":
                    run(["git", "clone", "-q", str(first), str(second)], top)
                    _configure(tool, second, f"s3://{BUCKET}/{top.name}", own)
                before = count()
                run([tool.program, verb], folder)
                rows[key].note(name, count() - before)
    yield from rows.values()


@contextlib.contextmanager
def _counting(port: int) -> Iterator[tuple[int, Callable[[], int]]]:
    """Run a proxy that counts requests; it takes time, so nothing is timed through it."""
    lock, seen = threading.Lock(), [0]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _forward(self) -> None:
            with lock:
                seen[0] += 1
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            there = HTTPConnection("127.0.0.1", port, timeout=60)
            try:
                there.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
                for key, value in self.headers.items():
                    there.putheader(key, value)
                there.endheaders(body)
                answer = there.getresponse()
                data = answer.read()
            except (OSError, HTTPException):
                self.send_error(502)
                return
            finally:
                there.close()
            self.send_response(answer.status)
            for key, value in answer.getheaders():
                if key.lower() not in ("transfer-encoding", "connection", "content-length"):
                    self.send_header(key, value)
            size = answer.getheader("Content-Length") if self.command == "HEAD" else len(data)
            self.send_header("Content-Length", str(size or 0))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _forward  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1], lambda: seen[0]
    finally:
        server.shutdown()
        server.server_close()


# --- many objects ---------------------------------------------------------------------------------


def _many(setting: Setting, port: int) -> Iterator[Row]:
    """Ask whether all is there, of a project with many objects."""
    tool = setting.tools["mlx"]
    top = setting.folder / "many"
    make_files(top / "source", 2_000 if setting.quick else 100_000, 100, per_folder=1_000)
    _filled(tool, top / "first", top / "source")
    _configure(tool, top / "first", f"s3://{BUCKET}/many", port)
    push = Row(f"S3, {MANY} of 100 bytes: push")
    push.note("mlx", run([tool.program, "push"], top / "first").seconds)
    again = Row(f"S3, {MANY}: push again", "mlx < 0.5 s")
    unpushed = Row(f"S3, {MANY}: `status --unpushed`", "mlx < 0.5 s")
    asking = [tool.program, "status", "--unpushed"]
    for _ in range(3 * setting.repeat):
        timed(again, "mlx", lambda: run([tool.program, "push"], top / "first"))
        timed(unpushed, "mlx", lambda: run(asking, top / "first"))
    yield from (push, again, unpushed)


# --- the server -----------------------------------------------------------------------------------


@contextlib.contextmanager
def _serving(setting: Setting) -> Iterator[int]:
    """Serve a folder as S3 on loopback."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = int(listener.getsockname()[1])
    data = setting.folder / "s3"
    (data / BUCKET).mkdir(parents=True)
    words = [setting.tools["rclone"].program, "serve", "s3", "--addr", f"127.0.0.1:{port}"]
    words += ["--auth-key", f"{KEY},{SECRET}", "--config", str(setting.folder / "none.conf")]
    process = subprocess.Popen(
        [*words, str(data)], env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait()
