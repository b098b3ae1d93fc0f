"""What was measured at a revision or in the workspace: numbers by file, and whether they hold."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from mlxrepo.errors import CannotDecide, InputError, MlxError
from mlxrepo.paths import RepoPath, display, is_inside
from mlxrepo.pipeline.freshness import FRESH, STALE, UNKNOWN, Checked, freshness
from mlxrepo.pipeline.graph import Graph, build_graph
from mlxrepo.pipeline.sound import are_seen
from mlxrepo.repo.committed import Commits, RepoAt
from mlxrepo.repo.declared import Declared
from mlxrepo.repo.repo import Repo
from mlxrepo.repo.stage import ParamRef, ProjectFile
from mlxrepo.repo.update import modified

WORKSPACE = "workspace"
BY_HAND = "by-hand"  # the state of a file that no stage makes: it says what it says

Number = int | float


class MetricsFile(NamedTuple):
    """The numbers of one file by dotted name; they may be NaN.

    `stage` is the address of the stage that made it ("" for none), `state` fresh, stale, unknown
    or by-hand, and `why` says why it is stale or unknown.
    """

    path: str
    stage: str
    values: dict[str, Number]
    state: str
    why: str = ""

    @property
    def holds(self) -> bool:
        """Say whether the numbers are those of what lies beside them."""
        return self.state in (FRESH, BY_HAND)


class Measured(NamedTuple):
    """All metrics of a revision by file, sorted; `repo` is that revision as a workspace.

    `rev` is what the user called it, or the workspace; `commit` is None there. `unlike` are tracked
    paths that hold something else than is recorded, if that was asked for.
    """

    rev: str
    commit: str | None
    repo: Repo
    files: dict[str, MetricsFile]
    unlike: frozenset[RepoPath] = frozenset()

    @property
    def projects(self) -> tuple[ProjectFile, ...]:
        """Return the project files that may declare goals; none where they cannot be read."""
        try:
            return self.repo.declared.files
        except MlxError:
            return ()


class Measurer:
    """Looks at what was measured, at one revision after the other; pipelines are laid out once."""

    def __init__(self, commits: Commits):
        self._commits = commits
        self._graphs: dict[int, Graph] = {}

    def at(self, rev: str | None, *, look: bool = False) -> Measured:
        """Return what was measured at a revision; None is the workspace.

        With `look` data that is in the workspace has to be as recorded, too.

        Raises:
            CannotDecide: when there is no such revision, nothing is recorded there, or its
                lockfile cannot be read.
            InputError: for an mlx.yaml of the workspace that cannot be read.
        """
        if rev is None:
            return self._measured(WORKSPACE, None, self._commits.repo, look)
        repo = self._commits.at(rev)
        return self._measured(rev, repo.commit, repo)

    def commit(self, rev: str) -> str | None:
        """Return the commit that a revision is; None when it is none."""
        try:
            return self._commits.objects.commit(rev)[0]
        except CannotDecide:
            return None

    def _measured(self, rev: str, commit: str | None, repo: Repo, look: bool = False) -> Measured:
        try:
            locks = repo.observed.locks
        except InputError as error:
            raise CannotDecide(error.message, hint=error.hint, where=error.where) from None
        if not locks:
            told = "the workspace" if commit is None else display(rev)
            raise CannotDecide(
                f"{told} has no mlx.lock, so nothing is recorded there",
                hint="mlx repro records metrics; git commit keeps them",
            )
        unlike = _unlike(repo) if look else frozenset[RepoPath]()
        found = (*self._by_hand(repo, unlike), *self._recorded(repo, unlike))
        files = {file.path: file for file in found}
        return Measured(rev, commit, repo, dict(sorted(files.items())), unlike)

    def _recorded(self, repo: Repo, unlike: Collection[RepoPath]) -> Iterator[MetricsFile]:
        """Yield the files of records; last, and so for good, those of stages that are declared."""
        from mlxrepo.values import decode

        records = {a: record for a, record in repo.observed.stages().items() if record.metrics}
        checked = self._checked(repo, list(records), unlike)
        for address in sorted(records, key=lambda known: known in checked):
            found = checked.get(address)
            state, why = STALE, "no stage of this name is declared any more"
            if found is not None:
                state, why = _standing(found)
            for path, values in records[address].metrics.items():
                numbers = {name: decode(value) for name, value in values.items()}
                if state == FRESH and not are_seen(records[address], path, repo):
                    unseen = "its bytes are not here to be compared: mlx fetch " + display(path)
                    yield MetricsFile(path, address, numbers, UNKNOWN, unseen)
                else:
                    yield MetricsFile(path, address, numbers, state, why)

    def _checked(
        self, repo: Repo, addresses: list[str], unlike: Collection[RepoPath]
    ) -> dict[str, Checked]:
        """Say whether records hold; where a commit's mlx.yaml says nothing, nobody knows."""
        if not addresses:
            return {}
        try:
            declared = repo.declared.stages
            known = [address for address in addresses if address in declared]
            return freshness(repo, known, self._graph, unlike)
        except MlxError as error:
            if not isinstance(repo, RepoAt):
                raise
            return {a: Checked(a, UNKNOWN, (), error.message) for a in addresses}

    def _graph(self, declared: Declared) -> Graph:
        if id(declared) not in self._graphs:
            self._graphs[id(declared)] = build_graph(declared)
        return self._graphs[id(declared)]

    def _by_hand(self, repo: Repo, unlike: Collection[RepoPath]) -> Iterator[MetricsFile]:
        """Read the files that the top-level `metrics` names and no stage has as its metrics."""
        from mlxrepo.values import numbers, read_values

        try:
            declared = repo.declared
            for path in (path for file in declared.files for path in file.metrics):
                data = None if path in declared.outs else repo.file_at(path, None)
                if data is not None:
                    found = numbers(read_values(data, path))
                    stage, state, why = self._maker(repo, path, unlike)
                    yield MetricsFile(path, stage, found, state, why)
        except MlxError:
            if not isinstance(repo, RepoAt):
                raise

    def _maker(
        self, repo: Repo, path: RepoPath, unlike: Collection[RepoPath]
    ) -> tuple[str, str, str]:
        """Return stage, state and why of such a file; it may lie in what a stage makes."""
        stage = repo.declared.maker(path)
        if stage is None:
            return "", BY_HAND, ""
        out = next(out for out in stage.outs if is_inside(path, out.path))
        if out.cache:
            why = f"it lies in {display(out.path)}, and no record has its numbers"
            return stage.address, UNKNOWN, why
        checked = self._checked(repo, [stage.address], unlike)[stage.address]
        return stage.address, *_standing(checked)


def _standing(checked: Checked) -> tuple[str, str]:
    """Return state and why of what a stage measured; inputs that it is frozen against count."""
    if checked.state == FRESH and checked.why:
        return STALE, checked.why
    return checked.state, checked.why


def _unlike(repo: Repo) -> frozenset[RepoPath]:
    """Return the tracked paths in the workspace that hold something else than is recorded."""
    tracked = [item for item in repo.observed.tracked() if item.cache]
    found = modified(repo, tracked, keep_deleted=True)
    return frozenset(item.path for item in (*found.edited, *found.behind))


def parameters(repo: Repo) -> dict[str, dict[str, Any]]:
    """Return the values of all params files of a revision or the workspace, by dotted name.

    Raises:
        InputError: when one of them, or an mlx.yaml, cannot be read.
    """
    from mlxrepo.values import flatten, read_values

    found: dict[str, dict[str, Any]] = {}
    for path in sorted(_params_files(repo.declared)):
        data = repo.file_at(path, None)
        if data is not None:
            found[str(path)] = flatten(read_values(data, path))
    return found


def _params_files(declared: Declared) -> set[str]:
    files = {ref.file for stage in declared.stages.values() for ref in stage.params}
    return files | {path for file in declared.files for path in file.params}


def readers(declared: Declared, file: str, name: str) -> tuple[str, ...]:
    """Return the stages that read a parameter, given by its file and dotted name."""
    parts = name.split(".")
    heads = {".".join(parts[:count]) for count in range(1, len(parts) + 1)}

    def reads(ref: ParamRef) -> bool:
        if ref.file != file or ref.key is None:
            return ref.file == file
        pattern = ref.key.split(".")
        fits = ref.glob and len(pattern) <= len(parts)
        return ref.key in heads or (fits and all(map(fnmatchcase, parts, pattern)))

    return tuple(a for a, stage in declared.stages.items() if any(map(reads, stage.params)))
