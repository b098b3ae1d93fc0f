"""A remote that somebody shows with a server of web pages: it can be read, and only that."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from places import Spot
from sandbox import Project
from test_sharing import clone, prepared

from mlxrepo.commands.push import push
from mlxrepo.errors import EnvironmentFailed


class Handler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def shown(folder: Spot) -> Iterator[Spot]:
    assert folder.folder
    handler = functools.partial(Handler, directory=str(folder.folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield Spot("http", f"http://127.0.0.1:{server.server_address[1]}", {}, folder.folder)
        server.shutdown()
        thread.join()


def test_what_lies_behind_a_server_that_lists_is_read_and_not_written(
    project: Project, folder: Spot, shown: Spot
) -> None:
    prepared(project, folder)
    other = clone(project, shown)
    done = other.mlx("pull")
    assert done.returncode == 0, done.stderr
    assert other.files("data") == project.files("data")
    other.write("data/train/new.txt", "new\n")
    assert other.mlx("add", "data").returncode == 0
    with pytest.raises(EnvironmentFailed, match="can only be read through this protocol"):
        other.do(push)


def test_a_server_that_does_not_list_is_not_an_empty_remote(
    project: Project, folder: Spot, shown: Spot
) -> None:
    prepared(project, folder)
    assert folder.folder
    (folder.folder / "indexes/index.html").write_text("<p>nothing to see</p>")
    done = clone(project, shown).mlx("pull")
    assert done.returncode == 5, done.stderr
    assert "does not list its folders" in done.stderr
