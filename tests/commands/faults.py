"""A small project with a store of every shape, and single faults in that store."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from sandbox import Project

from mlxrepo.commands.add import add
from mlxrepo.hashing import Oid
from mlxrepo.store.objects import FOLDERS
from mlxrepo.store.pack import Pack
from mlxrepo.store.tree import Entry, parse

TRACKED = ("data", "more", "large.bin")
KINDS = ("flip", "truncate", "delete", "swap", "extend")


class Patient:
    """A project whose store is hurt, looked at, and made well again, many times."""

    def __init__(self, folder: Path):
        self.project = Project.create(folder / "project")
        self.state = self.project.path(".git/mlx")
        self._well = folder / "well"
        self._fill()
        shutil.copytree(self.state, self._well)
        self.files = self.data()
        self.objects = objects(self.state)
        self.now = self._objects_of_now()

    def _fill(self) -> None:
        """Two versions: the workspace has the second, of the first only the store has all."""
        project = self.project
        project.fill("data/many", 30)
        project.write("data/empty", b"")
        project.write("data/deep/er/file", "deep\n")
        project.write("large.bin", random.Random(1).randbytes((1 << 20) + 5))
        project.do(add, ["data", "large.bin"])
        project.commit("one")
        self.old = self.data()
        project.write("data/many/0003.txt", "another version\n")
        project.write("data/few", "few\n")
        project.fill("more", 40)
        project.do(add, ["data", "more"])
        project.commit("two")

    def _objects_of_now(self) -> set[tuple[str, str]]:
        with self.project.repo() as repo:
            entries = [item.entry for item in repo.observed.tracked()]
        return self.with_all_below(key_of(e) for e in entries)

    def with_all_below(self, keys: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
        """Return objects with all that they are made of, as the store is when it is well."""
        found: set[tuple[str, str]] = set()
        left = list(keys)
        while left:
            kind, oid = left.pop()
            found.add((kind, oid))
            if kind == "tree":
                tree = parse(self.objects[kind, oid], Oid(oid), lambda node: b"")
                left += [key_of(e) for e in tree.values()]
        return found

    def data(self) -> dict[str, bytes]:
        """Return the tracked files of the workspace by path."""
        found = self.project.files()
        return {path: data for path, data in found.items() if path.split("/")[0] in TRACKED}

    def take_data_away(self) -> Path:
        """Move all tracked files out of the workspace."""
        aside = self.project.root.parent / "aside"
        aside.mkdir()
        for name in TRACKED:
            os.rename(self.project.path(name), aside / name)
        return aside

    def empty_workspace(self) -> None:
        """Remove the tracked files, and all that is remembered of this worktree."""
        for name in TRACKED:
            shutil.rmtree(self.project.path(name), ignore_errors=True)
            self.project.path(name).unlink(missing_ok=True)
        shutil.rmtree(self.state / "worktree", ignore_errors=True)

    def bring_data_back(self, aside: Path) -> None:
        """Put the tracked files where they were, in place of whatever is there."""
        self.empty_workspace()
        for name in TRACKED:
            os.rename(aside / name, self.project.path(name))
        aside.rmdir()

    def heal(self) -> None:
        """Bring the whole store back."""
        shutil.rmtree(self.state)
        shutil.copytree(self._well, self.state)


def key_of(entry: Entry) -> tuple[str, str]:
    """Return the kind and the oid of the object that an entry names."""
    return ("tree" if entry.kind == "tree" else "blob"), entry.oid


def store_files(root: Path) -> list[Path]:
    """Return the files of a store that hold objects, in an order that stays."""
    folders = (*FOLDERS.values(), "packs")
    return sorted(path for f in folders for path in (root / f).rglob("*") if path.is_file())


def objects(root: Path) -> dict[tuple[str, str], bytes]:
    """Return every object of a sound store, read without its reader."""
    found: dict[tuple[str, str], bytes] = {}
    for path in store_files(root):
        if path.suffix == ".pack":
            data = path.read_bytes()
            for oid, slot in Pack(str(path)).items():
                found[slot.kind, oid] = data[slot.offset : slot.offset + slot.length]
        else:
            kind = "blob" if path.parts[-3] == "objects" else "tree"
            found[kind, path.parts[-2] + path.parts[-1]] = path.read_bytes()
    return found


class Fault(NamedTuple):
    """What was done to which file."""

    kind: str
    file: str


def hurt(root: Path, chance: random.Random) -> Fault:
    """Do one random fault to a store; never one that leaves its bytes as they were."""
    while True:
        kind = chance.choice(KINDS)
        files = store_files(root)
        path = chance.choice(files)
        before = path.read_bytes()
        if kind == "swap":
            other = chance.choice([file for file in files if file.suffix == path.suffix])
            _swap(path, other)
        else:
            _DO[kind](path, before, chance)
        if not path.exists() or path.read_bytes() != before:
            return Fault(kind, str(path.relative_to(root)))


def _write(path: Path, data: bytes) -> None:
    os.chmod(path, 0o644)
    path.write_bytes(data)
    os.chmod(path, 0o444)


def _flip(path: Path, data: bytes, chance: random.Random) -> None:
    if data:
        hurt = bytearray(data)
        hurt[chance.randrange(len(hurt))] ^= 1 << chance.randrange(8)
        _write(path, bytes(hurt))


def _truncate(path: Path, data: bytes, chance: random.Random) -> None:
    if data:
        _write(path, data[: chance.randrange(len(data))])


def _delete(path: Path, data: bytes, chance: random.Random) -> None:
    path.unlink()


def _extend(path: Path, data: bytes, chance: random.Random) -> None:
    _write(path, data + chance.randbytes(chance.randrange(1, 100)))


def _swap(path: Path, other: Path) -> None:
    one, two = path.read_bytes(), other.read_bytes()
    _write(path, two)
    _write(other, one)


_DO = {"flip": _flip, "truncate": _truncate, "delete": _delete, "extend": _extend}
