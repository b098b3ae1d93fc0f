"""A proxy on loopback that stands before a real server of S3 and breaks what it is told to break.

It forwards every request as it came, with the Host that the client signed, on a connection of its
own. What a test asks for with `break_` happens to the next requests that fit.
"""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

from places import Server, Spot

FOR_EVER = 1_000_000
_HOP = {"connection", "keep-alive", "transfer-encoding", "expect", "te", "upgrade"}
_TAG = re.compile(rb"(<ETag>(?:&quot;|\")?)([0-9a-f]+)((?:&quot;|\")?</ETag>)")
_ENTRY = re.compile(rb"<Contents>.*?</Contents>", re.DOTALL)


@dataclass
class Fault:
    """Something to break: for the requests of a method whose path or query has `where` in it.

    `how` is a status (503) or a code of S3 with one ("ExpiredToken 400"), which is answered
    without asking the server; "reset down" and "truncate" end the answer's body half way, with and
    without an RST; "reset up" ends the request's; "stall" never answers; "flip down" and "flip up"
    change one byte of the answer's or the request's body; "stale" leaves the keys that were
    written last out of a listing.
    """

    method: str
    where: str
    how: str
    left: int
    after: int = 0
    hidden: int = 1
    hits: int = 0

    def fits(self, method: str, target: str) -> bool:
        return bool(self.left) and method == self.method and bool(re.search(self.where, target))


@dataclass
class Proxy:
    """The faults of one proxy, and what it has seen."""

    server: Server
    endpoint: str = ""
    credulous: bool = False  # tell other ETags than the server's: they are no MD5 then
    faults: list[Fault] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    written: list[str] = field(default_factory=list)
    lock: Any = field(default_factory=threading.Lock)
    closing: threading.Event = field(default_factory=threading.Event)
    stalled: threading.Event = field(default_factory=threading.Event)

    def break_(
        self, method: str, where: str, how: str, times: int = 1, *, after: int = 0, hidden: int = 1
    ) -> Fault:
        """Break the next `times` requests that fit, once `after` of them have gone well."""
        fault = Fault(method, where, how, times, after, hidden)
        self.faults.append(fault)
        return fault

    def mend(self) -> None:
        """Break nothing any more."""
        self.faults.clear()

    def spot(self, honest: Spot, **options: str) -> Spot:
        """Return the same place as it is seen through the proxy."""
        return honest._replace(options={**honest.options, "endpoint": self.endpoint, **options})

    def fault(self, method: str, target: str) -> Fault | None:
        with self.lock:
            self.asked.append(f"{method} {target}")
            for fault in self.faults:
                if fault.fits(method, target):
                    if fault.after:
                        fault.after -= 1
                        continue
                    fault.left -= 1
                    fault.hits += 1
                    return fault
        return None


@contextlib.contextmanager
def faulty(server: Server) -> Iterator[Proxy]:
    """Run a proxy in front of a server."""
    proxy = Proxy(server)
    handler = type("Handler", (_Handler,), {"proxy": proxy})
    listener = _Listener(("127.0.0.1", 0), handler)
    proxy.endpoint = f"http://127.0.0.1:{listener.server_address[1]}"
    thread = threading.Thread(target=listener.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.closing.set()
        listener.shutdown()
        thread.join()
        listener.socket.close()


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients go away in these tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: Proxy

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def _serve(self) -> None:
        proxy, method = self.proxy, self.command
        fault = proxy.fault(method, unquote(self.path))
        how = fault.how if fault else ""
        length = int(self.headers.get("Content-Length") or 0)
        if how == "reset up":
            self.rfile.read(length // 2)
            return self._reset()
        body = self.rfile.read(length)
        if how == "stall":
            proxy.stalled.set()
            proxy.closing.wait()
            return self._reset()
        if fault and re.match(r"\d|\w+ \d", how):
            return self._refuse(*reversed(how.split()))
        if how == "flip up":
            body = _flipped(body)
        status, headers, answer = self._forwarded(body)
        if method == "PUT" and status == 200:
            proxy.written.append(unquote(urlsplit(self.path).path))
        if fault and how == "stale":
            answer = self._without_newest(answer, fault.hidden)
        elif how == "flip down":
            answer = _flipped(answer)
        self._answer(status, headers, answer, how)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _serve  # noqa: N815

    def _forwarded(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        address = urlsplit(self.proxy.server.endpoint)
        there = http.client.HTTPConnection(str(address.hostname), address.port)
        try:
            there.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in _HOP:
                    there.putheader(name, value)
            if self.proxy.credulous:
                body = _TAG.sub(_backwards, body)
            there.endheaders(body or None)
            answer = there.getresponse()
            headers = [(k, v) for k, v in answer.getheaders() if k.lower() not in _HOP]
            return answer.status, headers, answer.read()
        finally:
            there.close()

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes, how: str) -> None:
        self.send_response_only(status)
        head = self.command == "HEAD"
        for name, value in headers:
            if name.lower() == "etag" and self.proxy.credulous:
                value = value[::-1]
            if head or name.lower() != "content-length":
                self.send_header(name, value)
        if not head:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if how in ("reset down", "truncate"):
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            self.close_connection = True
            if how == "reset down":
                self._reset()
            return
        if not head:
            self.wfile.write(body)

    def _refuse(self, status: str, code: str = "") -> None:
        code = code or {"500": "InternalError", "503": "SlowDown"}.get(status, "TooManyRequests")
        said = f"<Error><Code>{code}</Code><Message>the proxy says so</Message></Error>".encode()
        self._answer(int(status), [("Content-Type", "application/xml")], said, "")

    def _reset(self) -> None:
        """End the connection with an RST."""
        self.close_connection = True
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.connection.close()

    def _without_newest(self, listing: bytes, count: int) -> bytes:
        newest = self.proxy.written[-count:]

        def is_newest(entry: bytes) -> bool:
            key = re.search(rb"<Key>(.*?)</Key>", entry)
            assert key
            return any(path.endswith("/" + key[1].decode()) for path in newest)

        return _ENTRY.sub(lambda m: b"" if is_newest(m[0]) else m[0], listing)


def _backwards(tag: re.Match[bytes]) -> bytes:
    return tag[1] + tag[2][::-1] + tag[3]


def _flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
