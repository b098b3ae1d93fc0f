"""A store, a stat cache and a workspace in one folder, for the tests of this room."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hypothesis import strategies as st

from mlxrepo.hashing import Oid, tree_oid
from mlxrepo.paths import RepoPath, bad_name
from mlxrepo.store.materialize import Workspace, Write
from mlxrepo.store.objects import Batch, Store
from mlxrepo.store.snapshot import Scan, nothing_ignored
from mlxrepo.store.statcache import StatCache
from mlxrepo.store.tree import Entry, parse, write_tree

# A folder as a plain value: a name leads to a file's bytes or to another folder.
Model = dict[str, "bytes | Model"]


class Memory:
    """Tree nodes in a dict: `put` and `node` as the functions of tree.py want them."""

    def __init__(self) -> None:
        self.nodes: dict[Oid, bytes] = {}

    def put(self, data: bytes) -> Oid:
        oid = tree_oid(data)
        self.nodes[oid] = data
        return oid

    def tree(self, oid: Oid) -> dict[str, Entry]:
        return parse(self.nodes[oid], oid, self.nodes.__getitem__)


class Rig:
    def __init__(self, folder: Path):
        self.root = folder / "work"
        self.root.mkdir(parents=True)
        self.store_root = folder / "store"
        self.store = Store(str(self.store_root))
        self.cache_path = folder / "cache" / "stat.db"
        self.cache = StatCache(str(self.cache_path))

    def write(self, path: str, content: bytes = b"content") -> Path:
        full = self.root / path
        full.parent.mkdir(parents=True, exist_ok=True)
        full.write_bytes(content)
        return full

    def fresh(self) -> None:
        """Forget what is in memory, as the next command does."""
        self.cache.close()
        self.cache = StatCache(str(self.cache_path))
        self.store = Store(str(self.store_root))

    def scan(self, ignored: Callable[[str, bool], bool] = nothing_ignored) -> Scan:
        return Scan(str(self.root), self.cache, self.store, ignored=ignored)

    def look(self, path: str) -> Entry | None:
        return self.scan().entry(RepoPath(path))

    def add(self, path: str, *, top: str | None = None) -> Entry:
        with self.store.batch() as batch:
            scan = Scan(str(self.root), self.cache, self.store, batch=batch)
            entry = scan.entry(RepoPath(path), top=RepoPath(top) if top else None)
        assert entry is not None
        return entry

    def keep(self, model: Model | bytes | None) -> Entry | None:
        """Put a value into the store without a workspace."""
        if model is None:
            return None
        with self.store.batch() as batch:
            return put_model(model, batch)

    @property
    def workspace(self) -> Workspace:
        return Workspace(str(self.root), self.store, self.cache)

    def materialize(self, path: str, entry: Entry, *, replace: bool = False) -> None:
        self.workspace.write([Write(RepoPath(path), entry, replace, RepoPath(path))])

    def read(self, path: str) -> Model | bytes | None:
        """Return what is on disk as a value, read by plain Python."""
        return read_model(self.root / path)


def put_model(model: Model | bytes, batch: Batch) -> Entry:
    if isinstance(model, bytes):
        return Entry("file", batch.put("blob", model), len(model))
    tree = {name: put_model(item, batch) for name, item in model.items()}
    return write_tree(tree, batch.put_tree)


def write_model(path: Path, model: Model | bytes | None) -> None:
    if isinstance(model, bytes):
        path.write_bytes(model)
    elif model is not None:
        path.mkdir()
        for name, item in model.items():
            write_model(path / name, item)


def read_model(path: Path) -> Model | bytes | None:
    if path.is_dir():
        return {child.name: read_model(child) for child in path.iterdir()}  # type: ignore[misc]
    return path.read_bytes() if path.exists() else None


def flat(model: Model | bytes | None, path: str = "") -> dict[str, bytes]:
    """Return the files of a value by path."""
    if model is None:
        return {}
    if isinstance(model, bytes):
        return {path: model}
    found: dict[str, bytes] = {}
    for name, item in model.items():
        found.update(flat(item, f"{path}/{name}" if path else name))
    return found


def files_of(rig_tree: Callable[[Oid], dict[str, Entry]], entry: Entry | None, path: str = ""):
    """Return the oids of the files below an entry by path."""
    if entry is None:
        return {}
    if entry.kind != "tree":
        return {path: entry.oid}
    found: dict[str, Oid] = {}
    for name, item in rig_tree(entry.oid).items():
        found.update(files_of(rig_tree, item, f"{path}/{name}" if path else name))
    return found


def temporaries(folder: Path) -> list[str]:
    """Return every temporary that is left anywhere below a folder."""
    return [
        os.path.join(here, name)
        for here, folders, names in os.walk(folder)
        for name in (*folders, *names)
        if name.startswith(".mlx-tmp-")
    ]


@contextmanager
def scratch() -> Iterator[Path]:
    """Make a folder for one of many examples, in memory where it can be: each flushes files."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


def run(code: str, *args: object, **env: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, args)],
        env={**os.environ, **env},
        capture_output=True,
        check=False,
        text=True,
    )


def as_nobody(action: Callable[[], None]) -> None:
    """Run `action` without the rights of root, in a child process; its failure is ours."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            if os.getuid() == 0:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            action()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def _is_usable(name: str) -> bool:
    return bad_name(name) is None


# Any bytes that may be a file name, as Python sees them.
names = (
    st.binary(min_size=1, max_size=12)
    .map(lambda raw: raw.decode("utf-8", "surrogateescape"))
    .filter(_is_usable)
)


def models(contents: st.SearchStrategy[bytes], names: st.SearchStrategy[str]):
    """Small folders in folders, where a name may be a file here and a folder there."""
    return st.recursive(
        st.dictionaries(names, contents, max_size=3),
        lambda below: st.dictionaries(names, contents | below, max_size=3),
        max_leaves=6,
    )
