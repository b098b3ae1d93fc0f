"""A real Chromium without a window, driven through its own pipe: what a page does when opened."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any, NamedTuple

PATIENCE = 60.0  # seconds until a test says that a page will not come


class Opened(NamedTuple):
    """What came of opening a page: complaints, addresses it asked for, and what was asked of it."""

    complaints: list[str]
    requests: list[str]
    answers: list[Any]


class Browser:
    """One process of Chromium; `open` looks at one page after the other."""

    def __init__(self, folder: Path):
        program = shutil.which("chromium")
        assert program, "no chromium: apt install chromium (.ci/debian-packages)"
        commands, self._to = os.pipe()
        self._back, answers = os.pipe()
        words = [program, "--headless=new", "--remote-debugging-pipe", "--disable-gpu",
                 "--no-first-run", "--disable-extensions", "--disable-dev-shm-usage",
                 f"--user-data-dir={folder}"]  # fmt: skip
        if os.geteuid() == 0:
            words.append("--no-sandbox")  # which Chromium cannot have as root
        self._log = (folder.parent / f"{folder.name}.log").open("wb")
        # It reads from descriptor 3 and writes to 4; the shell puts ours there.
        shell = f'exec "$@" 3<&{commands} 4>&{answers}'
        self._process = subprocess.Popen(
            ["bash", "-c", shell, "bash", *words],
            pass_fds=(commands, answers),
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )
        os.close(commands)
        os.close(answers)
        self._read = b""
        self._count = 0
        self._events: list[dict[str, Any]] = []

    def close(self) -> None:
        """End the browser."""
        try:
            self._ask("Browser.close")
        except AssertionError:
            self._process.kill()
        self._process.wait(PATIENCE)
        os.close(self._to)
        os.close(self._back)
        self._log.close()

    def open(self, page: Path, *questions: str, until: str = "true", dark: bool = False) -> Opened:
        """Open a file, wait until an expression is true there, and ask for others."""
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        session = self._ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._ask(f"{domain}.enable", session)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._ask("Emulation.setEmulatedMedia", session, features=[scheme])
        self._events.clear()
        self._ask("Page.navigate", session, url=page.as_uri())
        end = time.monotonic() + PATIENCE
        ready = f"document.readyState === 'complete' && ({until})"
        while not self._value(session, ready):
            assert time.monotonic() < end, f"{page} is never ready: {self._told()}"
            time.sleep(0.05)
        answers = [self._value(session, question) for question in questions]
        opened = Opened(*self._told(), answers)
        self._ask("Target.closeTarget", targetId=target)
        return opened

    def _told(self) -> tuple[list[str], list[str]]:
        complaints, requests = [], []
        for event in self._events:
            method, params = event["method"], event["params"]
            if method == "Runtime.exceptionThrown":
                complaints.append(json.dumps(params["exceptionDetails"]))
            elif method == "Runtime.consoleAPICalled" and params["type"] != "log":
                complaints.append(json.dumps(params["args"]))
            elif method == "Log.entryAdded":
                complaints.append(params["entry"]["text"])
            elif method == "Network.requestWillBeSent":
                requests.append(params["request"]["url"])
        return complaints, requests

    def _value(self, session: str, expression: str) -> Any:
        answer = self._ask("Runtime.evaluate", session, expression=expression, returnByValue=True)
        return answer["result"].get("value")

    def _ask(self, method: str, session: str = "", **params: Any) -> dict[str, Any]:
        self._count += 1
        question = {"id": self._count, "method": method, "params": params}
        if session:
            question["sessionId"] = session
        os.write(self._to, json.dumps(question).encode() + b"\0")
        while True:
            message = self._next()
            if message.get("id") == self._count:
                assert "error" not in message, f"{method}: {message['error']}"
                return dict(message["result"])
            if "method" in message:
                self._events.append(message)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._read:
            data = os.read(self._back, 1 << 16)
            assert data, "Chromium is gone"
            self._read += data
        message, _, self._read = self._read.partition(b"\0")
        return dict(json.loads(message))
