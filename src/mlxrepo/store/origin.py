"""A source behind a URL: what lies there, and how it is read once from beginning to end."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from mlxrepo.errors import EnvironmentFailed, InputError, MlxError
from mlxrepo.files import SMALL
from mlxrepo.paths import TEMP_PREFIX, bad_name, display
from mlxrepo.store.network import FIRST_WAIT, TIMEOUT, TRIES, Network
from mlxrepo.store.outbox import HELD, PIECE, File, Outbox, changed
from mlxrepo.store.parallel import parallel
from mlxrepo.store.refusals import is_transient, redacted, refusal
from mlxrepo.store.tree import Entry, Tree, check_depth, write_tree

Ignored = Callable[[str, bool], bool]

HELD_JOBS = 4  # files up to HELD read at a time; smaller ones as many as the server likes
_MARKS = (
    "ETag",
    "etag",
    "md5",
    "LastModified",
    "Last-Modified",
    "mtime",
    "last_modified",
    "created",
)
_SKIPPED = (".git", ".mlx")


class Item(NamedTuple):
    """A file of a source: its path below it ("" for the source itself), bytes, and mark."""

    path: str
    size: int
    mark: str


class Origin(Network):
    """A file or a folder behind a URL; credentials are the environment's."""

    role = "source"

    def __init__(self, url: str):
        self._is_http = url.startswith(("http://", "https://"))
        self._is_s3 = url.startswith(("s3://", "s3a://"))
        self._has_ranges = self._is_s3 or url.startswith("sftp://")
        super().__init__(url, {})

    def _options(self, options: Mapping[str, str]) -> dict[str, Any]:
        if self._is_s3:
            from mlxrepo.store.s3 import s3_options

            return s3_options(options)
        if self._is_http:
            from aiohttp import ClientTimeout

            # A large file takes longer than the five minutes that are usual; silence does not.
            slow = ClientTimeout(total=None, sock_connect=10, sock_read=60)
            identity = {"Accept-Encoding": "identity"}
            return {"client_kwargs": {"timeout": slow, "headers": identity}}
        return {}

    def _open(self, options: dict[str, Any]) -> Any:
        if self.url.startswith("sftp://"):
            from mlxrepo.store.sftp import open_files

            return open_files(self.url, self.role, TIMEOUT)
        found = super()._open(options)
        if self._is_s3:
            found.retries = 1  # the tries are counted here
        return found

    @property
    def name(self) -> str:
        """Return the last name in the URL."""
        path = urlsplit(self.url).path if self._is_http else self.url.partition("://")[2]
        return unquote(path.rpartition("/")[2]) if self._is_http else path.rpartition("/")[2]

    @property
    def shown(self) -> str:
        """Return the URL as it may be printed."""
        return redacted(self.url)

    def items(self, ignored: Ignored) -> list[Item]:
        """Return every file, sorted; the source itself where it is one, with the path "".

        Raises:
            InputError: when nothing is there, or a name cannot be kept.
        """
        try:
            found = self._try(self._info)
            if found["type"] == "file":
                return [self._item("", found)]
            rows = self._try("find", self._base, detail=True)
        except FileNotFoundError:
            raise InputError(f"nothing is at {self.shown}", hint="check the URL") from None
        cut = len(self._base) + 1 if self._base else 0
        # A key with / at its end stands for a folder, in the consoles of some clouds.
        below = {
            name[cut:]: row
            for name, row in rows.items()
            if row.get("type", "file") == "file" and not (name.endswith("/") and not row["size"])
        }
        kept = sorted(path for path in below if not _is_left_out(path, ignored))
        self._check(kept)
        return [self._item(path, below[path]) for path in kept]

    def _info(self) -> Mapping[str, Any]:
        try:
            return dict(self._ask("info", self._base))
        except FileNotFoundError as error:
            # To fsspec whatever a website answers, and that it does not, means absent.
            cause = error.__cause__ if self._is_http else None
            if cause is None or getattr(cause, "status", 0) in (404, 410):
                raise
            raise cause from None

    def _item(self, path: str, row: Mapping[str, Any]) -> Item:
        if row.get("size") is None:
            raise InputError(
                f"{self._named(path)} does not say how large it is",
                hint="download it, then mlx add it",
            )
        return Item(path, int(row["size"]), next((str(row[k]) for k in _MARKS if row.get(k)), ""))

    def _named(self, path: str) -> str:
        return display(f"{self.shown}/{path}" if path else self.shown)

    def _check(self, paths: list[str]) -> None:
        """Check that paths can be those of a folder.

        Raises:
            InputError: for a name that none can have, or a file that others lie below.
        """
        folders: set[str] = set()
        for path in paths:
            check_depth(path)
            for name in path.split("/"):
                if reason := bad_name(name):
                    raise InputError(
                        f'{self._named(path)}: the name "{display(name)}" {reason}',
                        hint="rename it there, or name it in .mlxignore",
                    )
            folders.update(_above(path))
        both = next((path for path in paths if path in folders), None)
        if both:
            raise InputError(
                f"{self._named(both)} is a file, and others lie below it as in a folder",
                hint="rename it there, or name it in .mlxignore",
            )
        if not paths:
            raise InputError(f"no file is at {self.shown} that is to be kept", hint=".mlxignore")

    # reading

    def file(self, item: Item) -> File:
        """Return an item as an outbox takes it."""
        name = self._named(item.path)
        return File(name, item.size, item.mark, lambda: self._chunks(item))

    def content(self, item: Item) -> tuple[Item, bytes]:
        """Return an item with all that it holds."""
        data = b"".join(self._chunks(item))
        if len(data) != item.size:
            raise changed(self._named(item.path))
        return item, data

    def _chunks(self, item: Item) -> Iterator[bytes]:
        """Read a file; after a failure that may pass it goes on where it was."""
        at, left = 0, TRIES
        while True:
            try:
                for data in self._pieces(item, at):
                    at, left = at + len(data), TRIES
                    yield data
                return
            except MlxError:
                raise
            except FileNotFoundError:
                raise EnvironmentFailed(
                    f"{self._named(item.path)} went away while it was read; nothing was recorded",
                    hint="is the source complete? then again: what arrived is not sent again",
                ) from None
            except Exception as error:
                left -= 1
                if not left or not is_transient(error):
                    raise refusal(error, self.url, self.role) from None
            time.sleep(FIRST_WAIT * 2 ** (TRIES - left))

    def _pieces(self, item: Item, at: int) -> Iterator[bytes]:
        full = self._full(item.path)
        if self._has_ranges:
            while at < item.size:
                end = min(item.size, at + HELD)
                yield bytes(self._try("cat_file", full, start=at, end=end))
                at = end
            return
        # Some servers do not know ranges, or give the whole file for each: one stream for all.
        options = {"block_size": 0} if self._is_http else {}
        with contextlib.closing(self._fs.open(full, "rb", **options)) as stream:
            if not self._is_http:
                stream.seek(at)
                at = 0
            while data := stream.read(PIECE):
                if at < len(data):
                    yield data[at:]
                at = max(0, at - len(data))


def _above(path: str) -> Iterator[str]:
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


def _is_left_out(path: str, ignored: Ignored) -> bool:
    names = path.split("/")
    if any(name in _SKIPPED or name.startswith(TEMP_PREFIX) for name in names):
        return True
    return ignored(path, False) or any(ignored(folder, True) for folder in _above(path))


def gather(origin: Origin, items: list[Item], outbox: Outbox) -> Entry:
    """Put every file of a source into an outbox and return the entry of it all.

    Raises:
        EnvironmentFailed: when a file cannot be read, or changes meanwhile.
    """
    entries: dict[str, Entry] = {}

    def to_read(low: int, high: int) -> Iterator[Item]:
        for item in items:
            if low <= item.size < high:
                oid = outbox.put_noted(origin.file(item))
                if oid is None:
                    yield item
                else:
                    entries[item.path] = Entry("file", oid, item.size)

    for low, high, jobs in ((0, SMALL, origin.jobs), (SMALL, HELD + 1, HELD_JOBS)):
        for item, data in parallel(origin.content, to_read(low, high), jobs):
            oid = outbox.put_data(origin.file(item), data)
            entries[item.path] = Entry("file", oid, item.size)
    for item in items:
        if item.size > HELD:
            oid = outbox.put_chunks(origin.file(item))
            entries[item.path] = Entry("file", oid, item.size)
    return entries[""] if "" in entries else _folder(entries, outbox)


def _folder(entries: dict[str, Entry], outbox: Outbox) -> Entry:
    """Write the trees of files by path, those deepest down first."""
    trees: dict[str, Tree] = {"": {}}
    for path, entry in entries.items():
        folder, _, name = path.rpartition("/")
        trees.setdefault(folder, {})[name] = entry
        for above in _above(path):
            trees.setdefault(above, {})
    for folder in sorted(trees.keys() - {""}, key=lambda path: path.count("/"), reverse=True):
        above, _, name = folder.rpartition("/")
        trees[above][name] = write_tree(trees[folder], outbox.put_tree)
    return write_tree(trees[""], outbox.put_tree)
