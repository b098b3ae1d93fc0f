"""What is true of stages, found out by running their commands again, with nothing of mlx.

The lockfile, mlx.yaml and action cache are read as JSON and YAML; only listings of folders come
from the store, which has tests of its own.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from toys import SOURCE_FOLDERS, outs_of

from mlxrepo.errors import ObjectMissing
from mlxrepo.hashing import blob_oid, tree_oid
from mlxrepo.repo.repo import Repo
from mlxrepo.store.subtree import walk
from mlxrepo.store.tree import Entry, write_tree

Files = dict[str, bytes]  # by path
Names = dict[str, str]  # path -> oid
Record = dict[str, Any]


def oid(data: bytes) -> str:
    """Return the name of a blob."""
    return str(blob_oid(data))


def covers(top: str, path: str) -> bool:
    """Say whether `path` is `top`, below it, or what it means as a pattern."""
    if "*" in top:
        return fnmatchcase(path, top) and path.count("/") == top.count("/")
    return path == top or path.startswith(top + "/")


def below(files: Mapping[str, Any], tops: Iterable[str]) -> dict[str, Any]:
    """Return the files at and below some paths."""
    tops = list(tops)
    return {path: data for path, data in files.items() if any(covers(top, path) for top in tops)}


def read_lock(text: str) -> dict[str, Record]:
    """Return the records of a lockfile by name; none where it cannot be read."""
    try:
        _, *rest = [json.loads(line) for line in text.splitlines() if line]
    except ValueError:
        return {}
    return dict(zip(rest[::2], rest[1::2], strict=False))


def places_of(record: Record) -> list[Record]:
    """Return what a record says lies here: a data path, or a stage's outs."""
    return list(record.get("outs", [record] if "path" in record else []))


class Truth:
    """Runs commands on given files, each once; knows the bytes of every oid that it saw."""

    def __init__(self) -> None:
        self._made: dict[Any, Files | None] = {}
        self._bytes: dict[str, bytes] = {}
        self._listings: dict[str, Names] = {}
        self.runs = 0

    def learn(self, files: Files) -> Files:
        """Remember bytes by their oid."""
        self._bytes.update({oid(data): data for data in files.values()})
        for top in SOURCE_FOLDERS:  # what was read need not be in the store: git may keep it
            self._learn_listing({p[len(top) + 1 :]: d for p, d in below(files, [top]).items()})
        return files

    def _learn_listing(self, files: Files) -> Entry:
        names = {path: oid(data) for path, data in files.items()}
        tree: dict[str, Entry] = {}
        for path, data in files.items():
            name, _, rest = path.partition("/")
            if rest:
                inner = {p[len(name) + 1 :]: d for p, d in below(files, [name]).items()}
                tree[name] = self._learn_listing(inner)
            else:
                tree[name] = Entry("file", blob_oid(data), len(data))
        entry = write_tree(tree, tree_oid)
        self._listings[entry.oid] = names
        return entry

    # commands

    def made(self, cmd: str, files: Files, params: Mapping[str, Any], outs: list[str]):
        """Return what a command makes of exactly these files and params; None where it fails."""
        key = (cmd, tuple(sorted(files.items())), tuple(sorted(params.items())), tuple(outs))
        if key not in self._made:
            self._made[key] = self._run(cmd, files, params, outs)
        return self._made[key]

    def _run(self, cmd: str, files: Files, params: Mapping[str, Any], outs: list[str]):
        self.runs += 1
        with tempfile.TemporaryDirectory() as folder:
            rows = "".join(f"{key}: {value}\n" for key, value in sorted(params.items()))
            for path, data in {**files, "params.yaml": rows.encode()}.items():
                Path(folder, path).parent.mkdir(parents=True, exist_ok=True)
                Path(folder, path).write_bytes(data)
            for out in outs:
                Path(folder, out).parent.mkdir(parents=True, exist_ok=True)
            done = subprocess.run(
                ["sh", "-c", cmd], cwd=folder, stdin=subprocess.DEVNULL, capture_output=True
            )
            if done.returncode:
                return None
            found = {
                str(path.relative_to(folder)): path.read_bytes()
                for out in outs
                for path in [Path(folder, out), *Path(folder, out).rglob("*")]
                if path.is_file()
            }
        return self.learn(found)

    def of_stage(self, stage: Record, files: Files) -> Files | None:
        """Return what a stage of mlx.yaml makes of the files that it declares to read."""
        values = params_in(files.get("params.yaml", b""))
        params = {key: values[key] for key in stage.get("params", []) if key in values}
        return self.made(stage["cmd"], below(files, stage["deps"]), params, outs_of(stage))

    def of_action(self, action: Record, outs: list[str], repo: Repo) -> Names | None:
        """Return what a recorded action makes, or None where it fails; from bytes by their oids."""
        files: Files = {}
        for path, kind, name in action["deps"]:
            files.update(self.files(repo, path, kind, name))
        values = action.get("params", {}).get("params.yaml", {})
        [cmd] = action["cmd"]
        made = self.made(cmd, files, values, outs)
        return None if made is None else {path: oid(data) for path, data in made.items()}

    # what names mean

    def names(self, repo: Repo, path: str, kind: str, name: str) -> Names:
        """Return the files at and below an entry at `path`, by name."""
        if kind != "tree":
            return {path: name}
        if name not in self._listings:
            entry = Entry(kind, name, 0)  # type: ignore[arg-type]
            self._listings[name] = {at: e.oid for at, e in walk(repo.store.tree, entry)}
        return {f"{path}/{at}": found for at, found in self._listings[name].items()}

    def files(self, repo: Repo, path: str, kind: str, name: str) -> Files:
        """Return the files at and below an entry at `path`, with their bytes."""
        found = self.names(repo, path, kind, name)
        return {at: self._content(repo, blob) for at, blob in found.items()}

    def _content(self, repo: Repo, name: str) -> bytes:
        if name not in self._bytes:
            self._bytes[name] = repo.store.read("blob", name)  # type: ignore[arg-type]
        return self._bytes[name]

    def recorded(self, repo: Repo, record: Record) -> Files:
        """Return what a record says lies here."""
        found: Files = {}
        for place in places_of(record):
            found.update(self.files(repo, place["path"], place["kind"], place["oid"]))
        return found

    # views

    def counted(self, repo: Repo, here: Files, lock: Mapping[str, Record]) -> Files:
        """Return what is here and what is absent: recorded, but never put into this worktree."""
        found = dict(here)
        placed: Names = {}
        for path, entry in repo.placed.items():
            placed.update(self.names(repo, path, entry.kind, entry.oid))
        for record in lock.values():
            for path, data in self.recorded(repo, record).items():
                if not any(covers(p, path) or covers(path, p) for p in (*here, *placed)):
                    found[path] = data
        return found

    def as_recorded(self, repo: Repo, here: Files, lock: Mapping[str, Record]) -> Files:
        """Return what git tells: its own files as they are here, the store's as recorded."""
        tops = [p for r in lock.values() for p in places_of(r) if p.get("cache", True)]
        hidden = below(here, [place["path"] for place in tops])
        found = {path: data for path, data in here.items() if path not in hidden}
        for place in tops:
            found.update(self.files(repo, place["path"], place["kind"], place["oid"]))
        return found

    def untrue(self, repo: Repo, action: Record, outs: list[Record]) -> str:
        """Say what is wrong with a claim that an action made these outs; "" if it holds."""
        try:
            made = self.of_action(action, [out["path"] for out in outs], repo)
        except ObjectMissing:  # a folder that was edited again, and had an empty folder in it
            assert any(dep[0] in SOURCE_FOLDERS for dep in action["deps"])
            return ""
        claimed: Names = {}
        for out in outs:
            claimed.update(self.names(repo, out["path"], out["kind"], out["oid"]))
        return "" if made == claimed else f"{action['cmd']} makes {made} and not {claimed}"


def params_in(data: bytes) -> dict[str, int]:
    """Return what stands in the params file."""
    rows = [line.split(": ") for line in data.decode().splitlines() if ": " in line]
    return {key: int(value) for key, value in rows if value.isdigit()}


def entries(actions: Path, known: set[str]) -> Iterable[tuple[str, Record]]:
    """Yield the entries of the action cache that are not known yet."""
    for path in actions.glob("*/*"):
        if path.name not in known and ".mlx-tmp" not in path.name:
            try:
                yield path.name, json.loads(path.read_bytes())
            except ValueError:
                continue
