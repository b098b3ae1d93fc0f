"""mlx plots: figures of the workspace and of revisions, laid over each other; a page of them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from mlxrepo.errors import CannotDecide, InputError, Refused
from mlxrepo.files import make_folder, write_atomic
from mlxrepo.nearest import nearest
from mlxrepo.paths import display, is_inside
from mlxrepo.pipeline.measured import WORKSPACE
from mlxrepo.pipeline.plotted import PlotFiles, unfolded, wanted_file
from mlxrepo.plots.build import figure
from mlxrepo.plots.model import Figure, Wanted
from mlxrepo.plots.page import MARK
from mlxrepo.repo import layout
from mlxrepo.repo.committed import Commits
from mlxrepo.repo.repo import Repo
from mlxrepo.repo.targets import named_stages, parse_target

REVS_MAX = 100


@dataclass(frozen=True, slots=True)
class Plots:
    """Figures in the order of their names, and the revisions that they were drawn for.

    At least one figure is not empty; of those that are, the notes say why.
    """

    revs: tuple[str, ...]
    figures: tuple[Figure, ...]


@dataclass(frozen=True, slots=True)
class Look:
    """How targets are drawn, whatever mlx.yaml says; None and nothing leave it as it is."""

    x: str | None = None
    y: tuple[str, ...] = ()
    template: str | None = None

    @property
    def keys(self) -> dict[str, Any]:
        """Return it as the keys of mlx.yaml."""
        given = {"x": self.x, "y": list(self.y) or None, "template": self.template}
        return {name: value for name, value in given.items() if value is not None}


AS_DECLARED = Look()


def show(
    repo: Repo, targets: Sequence[str] = (), revs: Sequence[str] = (), look: Look | None = None
) -> Plots:
    """Return the plots that targets mean, or all, at revisions; none means the workspace.

    Targets are plots by name or path, stages, folders, and files that no mlx.yaml names.

    Raises:
        CannotDecide: when there is nothing to draw, or a revision does not exist.
        InputError: for a target, template or column that there is not.
    """
    with _places(repo, list(revs) or [None]) as places:
        return _drawn(repo, places, targets, look or AS_DECLARED)


def diff(repo: Repo, words: Sequence[str] = (), look: Look | None = None) -> Plots:
    """Return plots of revisions over each other; one is compared with the workspace.

    The first of `words`, as far as they are revisions, are those; the others are targets. Without
    any revision it is HEAD and the workspace.

    Raises:
        CannotDecide, InputError: as `show`.
    """
    revs: list[str | None] = []
    rest = list(words)
    with Commits.of(repo) as commits:
        while rest and _is_rev(commits, rest[0]):
            revs.append(rest.pop(0))
    if len(revs) < 2:
        revs = [*(revs or ["HEAD"]), None]
    with _places(repo, revs) as places:
        return _drawn(repo, places, rest, look or AS_DECLARED)


def _is_rev(commits: Commits, word: str) -> bool:
    try:
        commits.objects.commit(word)
    except (CannotDecide, InputError):
        return False
    return True


@contextmanager
def _places(repo: Repo, revs: Sequence[str | None]) -> Iterator[list[PlotFiles]]:
    """Open revisions to look at plots in; None is the workspace."""
    revs = list(dict.fromkeys(revs))
    if len(revs) > REVS_MAX:
        raise InputError(f"{len(revs)} revisions are too many to be told apart")
    with Commits.of(repo) as commits:
        yield [
            PlotFiles(WORKSPACE, repo) if rev is None else PlotFiles(rev, commits.at(rev))
            for rev in revs
        ]


def _drawn(repo: Repo, places: list[PlotFiles], targets: Sequence[str], look: Look) -> Plots:
    revs = tuple(place.rev for place in places)
    known: dict[str, Wanted] = {}
    for place in reversed(places):  # the last revision says how a plot looks
        known = {**place.wanted, **known}
    chosen = _chosen(repo, places, known, targets, look) if targets else list(known.values())
    if not chosen:
        raise CannotDecide(
            f"no plots are declared at {', '.join(map(display, revs))}",
            hint="name a file, or declare `plots` of a stage in mlx.yaml",
        )
    figures: list[Figure] = []
    for wanted in sorted(chosen, key=lambda wanted: wanted.name):
        for one in unfolded(_with(wanted, look), places):
            figures.append(figure(one, [place.content(one) for place in places]))
    if all(found.is_empty for found in figures):
        raise CannotDecide(_nothing(figures), hint=_way_out(figures))
    return Plots(revs, tuple(figures))


def _with(wanted: Wanted, look: Look) -> Wanted:
    """Return a plot that looks as the command line says."""
    if not look.keys:
        return wanted
    if look.x is None and not look.y:
        return wanted._replace(keys={**wanted.keys, **look.keys})
    if len(wanted.files) > 1:
        raise InputError(f'"{display(wanted.name)}" has several files: --x and --y are of one')
    keys = {**wanted.keys, **look.keys}
    x, y = look.x, look.y
    if x is None:
        x = wanted.curves[0].x
    if not y:
        y = tuple(curve.y for curve in wanted.curves if curve.y is not None)
    made = wanted_file(wanted.files[0], x, y, keys)
    return made._replace(name=wanted.name, where=None, stage=wanted.stage)


def _chosen(
    repo: Repo,
    places: Sequence[PlotFiles],
    known: dict[str, Wanted],
    targets: Sequence[str],
    look: Look,
) -> list[Wanted]:
    """Return the plots that targets mean: by name, else those drawn from a file, else the file."""
    stages = {wanted.stage for wanted in known.values() if wanted.stage}
    stages |= repo.declared.stages.keys()
    chosen: dict[str, Wanted] = {}
    for text in targets:
        if text in known:  # a name that is no path
            chosen[text] = known[text]
            continue
        target = parse_target(text, repo.place, stages)
        if target.kind == "stage":
            meant = set(named_stages(target.name, stages))
            here = {name: w for name, w in known.items() if w.stage in meant}
        else:
            here = {name: w for name, w in known.items() if is_inside(name, target.name)}
            if not here and not (look.x or look.y):
                here = {
                    name: w
                    for name, w in known.items()
                    if any(is_inside(file, target.name) for file in w.files)
                }
        if not here and target.kind == "path":
            here = _inside(places, known, target.name)
        if not here:
            near = nearest(target.name, [*known, *stages])
            raise InputError(
                f'"{display(text)}" is neither a revision, a plot, a stage with plots, nor a file',
                hint=f'did you mean "{display(near)}"?' if near else "mlx plots show",
            )
        chosen |= here
    return list(chosen.values())


def _inside(places: Sequence[PlotFiles], known: dict[str, Wanted], path: str) -> dict[str, Wanted]:
    """Return the plot of a file of a declared folder, or of one that nothing declares."""
    if not any(place.has(path) for place in places):
        return {}
    for name, wanted in known.items():
        if is_inside(path, name) and wanted.files == (name,):
            curves = tuple(c._replace(x_file=path, y_file=path) for c in wanted.curves)
            return {path: wanted._replace(name=path, curves=curves)}
    return {path: wanted_file(path, None, (), {})}


def _nothing(figures: Sequence[Figure]) -> str:
    notes = list(dict.fromkeys(note for found in figures for note in found.notes))
    more = f"; and {len(notes) - 3} more" if len(notes) > 3 else ""
    return f"there is nothing to draw: {'; '.join(notes[:3])}{more}"


def _way_out(figures: Sequence[Figure]) -> str | None:
    """Return what brings files that are not here; nothing helps where they cannot be drawn."""
    notes = [(found.stage, note) for found in figures for note in found.notes]
    if any("mlx pull" in note for _, note in notes):
        return "mlx pull"
    unmade = any(stage and note.endswith("is not there") for stage, note in notes)
    return "mlx repro makes what stages write" if unmade else None


def write_page(repo: Repo, data: bytes, file: str | None, *, force: bool = False) -> str:
    """Write a page to `file`, or to one of mlx's own that git does not see; return its full path.

    Raises:
        Refused: when another file is there that mlx did not write as a page of plots.
    """
    if file is None:
        path = repo.worktree_file(layout.PLOTS_FILE)
        make_folder(os.path.dirname(path), flush=False)
    else:
        path = os.path.join(repo.cwd, file)
        if os.path.isdir(path):
            raise InputError(f"{display(file)} is a folder: name a file in it")
        if os.path.lexists(path) and not force and not _is_ours(path):
            raise Refused(
                f"{display(file)} is there, and mlx plots did not write it",
                hint="--force replaces it",
            )
    if not os.path.isdir(os.path.dirname(path)):
        raise InputError(f"{display(os.path.dirname(path))} is no folder")
    write_atomic(path, data, flush=False)
    return path


def _is_ours(path: str) -> bool:
    if not os.path.isfile(path):  # such as a pipe, or a link to nothing
        return False
    with open(path, "rb") as file:
        return file.read(len(MARK)) in (MARK, b"")
