"""Plots as they are declared at a revision or here, and the bytes of their files there."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, TypeGuard

from mlxrepo.errors import InputError, MlxError, ObjectMissing
from mlxrepo.paths import RepoPath, ancestors, display, name_of, parent, relative
from mlxrepo.pipeline.freshness import FRESH, freshness
from mlxrepo.plots.build import Content
from mlxrepo.plots.model import IMAGES, TABLES, Curve, Wanted, extension
from mlxrepo.repo.committed import RepoAt
from mlxrepo.repo.declared import Declared
from mlxrepo.repo.gitobjects import FOLDER
from mlxrepo.repo.observed import Tracked, counting
from mlxrepo.repo.repo import Repo
from mlxrepo.store.subtree import find, walk
from mlxrepo.store.tree import Entry

SIZE_MAX = 64 << 20  # bytes of a file that is drawn
FILES_MAX = 200  # of a folder
_LOOKS = ("title", "x_label", "y_label", "template", "header", "x", "y")


def declared_plots(declared: Declared) -> dict[str, Wanted]:
    """Return the plots that are declared, by name: a path, or the name given to several files.

    What the top-level `plots` says of a stage's plot goes before what the stage says.
    """
    found: dict[str, Wanted] = {}
    for path, (stage, out) in declared.outs.items():
        if out.kind == "plot":
            keys = {name: value for name, value in out.keys if name in _LOOKS}
            folder = parent(stage.file)
            found[path] = _wanted(path, keys, folder)._replace(where=out.where, stage=stage.address)
    for file in declared.files:
        folder = parent(file.path)
        for drawn in file.drawn:
            given = dict(drawn.keys)
            named = any(isinstance(given.get(axis), dict) for axis in ("x", "y"))
            name = os.path.join(folder, drawn.name) if named else relative(drawn.name, folder)
            keys = {**(found[name].keys if name in found else {}), **given}
            wanted = _wanted(name, keys, folder)
            makers = {maker.address for f in wanted.files if (maker := declared.maker(f))}
            address = makers.pop() if len(makers) == 1 else ""
            found[name] = wanted._replace(where=drawn.where, stage=address)
    return found


def wanted_file(path: str, x: str | None, y: Sequence[str], keys: Mapping[str, Any]) -> Wanted:
    """Return a plot of one file, whether it is declared or not."""
    return _wanted(path, {**keys, "x": x, "y": list(y) or None}, RepoPath(""))


def _wanted(name: str, keys: dict[str, Any], folder: RepoPath) -> Wanted:
    """Pair the columns for y with those for x: of the same file, else in their order."""
    x, y = keys.get("x"), keys.get("y")
    xs = {relative(file, folder): column for file, column in x.items()} if _is_map(x) else {}
    if isinstance(y, dict):
        ys = [(relative(file, folder), c) for file, given in y.items() for c in _columns(given)]
    else:  # y stands in the file of x, when one is named
        ys = [(next(iter(xs), RepoPath(name)), column) for column in _columns(y)]
    order = list(xs.items())
    curves = []
    for i, (file, column) in enumerate(ys):
        if not xs:
            curves.append(Curve(file, x, file, column))
        elif file in xs:
            curves.append(Curve(file, xs[file], file, column))
        else:
            x_file, x_column = order[i] if len(order) == len(ys) else order[0]
            curves.append(Curve(x_file, x_column, file, column))
    return Wanted(name, tuple(curves), {**keys, "x": x, "y": y})


def _is_map(value: Any) -> TypeGuard[dict[str, str]]:
    return isinstance(value, dict)


def _columns(value: Any) -> list[str | None]:
    return list(value) if isinstance(value, list) else [value]


class PlotFiles:
    """The files of plots at one revision, or in the workspace."""

    def __init__(self, rev: str, repo: Repo):
        self.rev = rev
        self.repo = repo
        self._doubts: dict[str, str] = {}  # by address, "" for none

    @cached_property
    def wanted(self) -> dict[str, Wanted]:
        """The plots declared there; none in a commit whose mlx.yaml says nothing sensible."""
        try:
            return declared_plots(self.repo.declared)
        except MlxError:
            if not isinstance(self.repo, RepoAt):
                raise
            return {}

    @cached_property
    def _tracked(self) -> dict[RepoPath, Tracked]:
        tracked = list(self.repo.observed.tracked())
        known = counting(tracked, lambda: self.repo.declared.stages.keys())
        return {item.path: item for item in known}

    def content(self, wanted: Wanted) -> Content:
        """Return the files of a plot, or why they are not there."""
        files = {file: self._file(RepoPath(file)) for file in wanted.files}
        recorded = [
            f"{display(file)} is not in the workspace; drawn is what is recorded"
            for file, data in files.items()
            if isinstance(data, bytes) and not self._is_here(file)
        ]
        return Content(self.rev, files, (*recorded, *self._doubts_of(wanted.files)))

    def _is_here(self, path: str) -> bool:
        return isinstance(self.repo, RepoAt) or os.path.exists(self.repo.full(path))

    def names(self, folder: str) -> list[str] | None:
        """Return the paths of what can be drawn in a folder; None when it is none."""
        try:
            found = self._listed(RepoPath(folder))
        except MlxError:  # such as a link to what git does not keep
            return None
        if found is None:
            return None
        fit = [f for f in sorted(found) if extension(f) in IMAGES or extension(f) in TABLES]
        return fit[:FILES_MAX]

    def has(self, path: str) -> bool:
        """Say whether a path is there, or recorded."""
        try:
            return self._listed(RepoPath(path)) is not None or isinstance(
                self._file(RepoPath(path)), bytes
            )
        except MlxError:
            return False

    # --- bytes ------------------------------------------------------------------------------------

    def _file(self, path: RepoPath) -> bytes | str:
        try:
            data = self._kept(path)
            if data is None:
                data = self._stored(path)
        except ObjectMissing:
            return f"{display(path)} is not in the store: mlx pull brings it"
        except MlxError as error:
            return f"{display(path)}: {error.message}"
        except OSError as error:
            return f"{display(path)} cannot be read: {error.strerror}"
        if data is not None and len(data) > SIZE_MAX:
            return f"{display(path)} has more than {SIZE_MAX >> 20} MiB"
        return f"{display(path)} is not there" if data is None else data

    def _kept(self, path: RepoPath) -> bytes | None:
        """Return what lies in the workspace or in the commit."""
        return self.repo.file_at(path, None)

    def _stored(self, path: RepoPath) -> bytes | None:
        """Return what is recorded and kept in the store alone."""
        entry = self._entry(path)
        if entry is None or entry.kind not in ("file", "exec"):
            return None
        if entry.size > SIZE_MAX:
            raise InputError(f"it has more than {SIZE_MAX >> 20} MiB")
        return self.repo.store.read("blob", entry.oid)

    def _entry(self, path: RepoPath) -> Entry | None:
        for above in (path, *reversed(ancestors(path))):
            item = self._tracked.get(above)
            if item is not None:
                if not item.cache:
                    return None  # it would lie in git
                return find(self.repo.store.tree, item.entry, path[len(above) + 1 :])
        return None

    def _listed(self, path: RepoPath) -> list[str] | None:
        """Return all files below a folder, here or recorded; None when it is no folder."""
        if isinstance(self.repo, RepoAt):
            _, item = self.repo.target(path)
            if item is not None and item.mode == FOLDER:
                return list(_committed(self.repo, path))
        elif os.path.isdir(self.repo.full(path)):
            return list(_walked(self.repo, path))
        try:
            entry = self._entry(path)
            if entry is None or entry.kind != "tree":
                return None
            return [f"{path}/{below}" for below, _ in walk(self.repo.store.tree, entry)]
        except ObjectMissing:
            return []

    # --- whether they hold ------------------------------------------------------------------------

    def _doubts_of(self, files: Collection[str]) -> Iterator[str]:
        """Say when what stages made does not belong to what lies beside it."""
        try:
            makers = [self.repo.declared.maker(file) for file in files]
        except MlxError as error:
            yield f"nobody knows whether it holds: {error.message}"
            return
        for address in dict.fromkeys(maker.address for maker in makers if maker):
            if address not in self._doubts:
                self._doubts[address] = self._doubt(address)
            if self._doubts[address]:
                yield self._doubts[address]

    def _doubt(self, address: str) -> str:
        try:
            checked = freshness(self.repo, [address])[address]
        except MlxError as error:
            return f"unknown, by stage {display(address)}: {error.message}"
        if checked.state == FRESH:
            return ""
        return f"{checked.state}, by stage {display(address)}: {checked.why}"


def _committed(repo: RepoAt, folder: RepoPath) -> Iterator[str]:
    for name, is_folder in repo.names(folder):
        path = RepoPath(f"{folder}/{name}")
        if is_folder:
            yield from _committed(repo, path)
        else:
            yield path


def _walked(repo: Repo, folder: RepoPath) -> Iterator[str]:
    for here, folders, names in os.walk(repo.full(folder)):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        below = os.path.relpath(here, repo.root)
        yield from (os.path.normpath(os.path.join(below, name)) for name in sorted(names))


def unfolded(wanted: Wanted, places: Collection[PlotFiles]) -> list[Wanted]:
    """Return a plot itself, or one for each file of the folder that it names."""
    if len(wanted.files) != 1 or extension(name_of(wanted.files[0])) in (*IMAGES, *TABLES):
        return [wanted]
    found: dict[str, None] = {}
    is_folder = False
    for place in places:
        names = place.names(wanted.files[0])
        is_folder |= names is not None
        found |= dict.fromkeys(names or ())
    if not is_folder:
        return [wanted]
    title = wanted.keys.get("title")
    return [
        wanted._replace(
            name=path,
            curves=tuple(c._replace(x_file=path, y_file=path) for c in wanted.curves),
            keys={**wanted.keys, "title": f"{title}: {name_of(path)}" if title else None},
        )
        for path in sorted(found)[:FILES_MAX]
    ]
