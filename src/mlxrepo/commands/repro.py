"""mlx repro: bring the pipeline up to date."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

from mlxrepo.paths import ROOT, RepoPath, is_inside
from mlxrepo.pipeline.alive import new_run_id
from mlxrepo.pipeline.aside import recover
from mlxrepo.pipeline.check import check
from mlxrepo.pipeline.decide import MAY_RUN, RUN, UP_TO_DATE, Rules
from mlxrepo.pipeline.edited import find_edited, record_edited
from mlxrepo.pipeline.engine import Engine
from mlxrepo.pipeline.graph import Graph, build_graph, read_paths
from mlxrepo.pipeline.journaling import Journal
from mlxrepo.pipeline.judge import Judge
from mlxrepo.pipeline.report import Listener, StageReport
from mlxrepo.pipeline.resources import cores
from mlxrepo.pipeline.select import Selection, select
from mlxrepo.progress import SILENT, Progress
from mlxrepo.repo.claims import Claim
from mlxrepo.repo.declared import lock_path
from mlxrepo.repo.lockfile import Records
from mlxrepo.repo.placed import Placed
from mlxrepo.repo.repo import Repo
from mlxrepo.repo.targets import resolve_stages
from mlxrepo.repo.update import Updated


@dataclass(frozen=True, slots=True)
class Repro:
    """One report per stage in order; `updated` is changed data that was recorded first.

    `unversioned` are dependencies that neither git nor mlx keeps, `forgotten` recorded stages
    that are no longer declared, `recovered` outs put back because the run before was killed;
    `to_commit` says that something was done and git has something to commit.
    """

    stages: tuple[StageReport, ...]
    updated: tuple[Updated, ...] = ()
    unversioned: tuple[RepoPath, ...] = ()
    forgotten: tuple[str, ...] = ()
    recovered: tuple[RepoPath, ...] = ()
    to_commit: bool = False

    @property
    def failed(self) -> bool:
        """Say whether a stage failed."""
        return any(report.error is not None for report in self.stages)

    @property
    def would_run(self) -> bool:
        """Say, of a look ahead, whether a command would run."""
        return any(report.outcome in (RUN, MAY_RUN) for report in self.stages)


@dataclass(frozen=True, slots=True)
class Options:
    """How a run is narrowed and carried out; texts of stages are as on the command line.

    `jobs` None: as many as the setting says, or as there are cores. With `pull` what is not here
    comes from remotes, results of others too: the default one, or `remote`.
    """

    single: bool = False
    downstream: bool = False
    start: tuple[str, ...] = ()
    end: tuple[str, ...] = ()
    force: bool = False
    keep_going: bool = False
    allow_missing: bool = False
    run_cache: bool = True
    jobs: int | None = None
    pull: bool = False
    remote: str | None = None


AS_USUAL = Options()


def repro(
    repo: Repo,
    targets: Sequence[str] = (),
    options: Options = AS_USUAL,
    *,
    dry_run: bool = False,
    words: Sequence[str] = (),
    listener: Listener = lambda event: None,
    progress: Progress = SILENT,
) -> Repro:
    """Bring the targets (default: all stages) and what they need up to date.

    The journal keeps `words`, the command line, with the run.

    Raises:
        InputError: for a circle, an unknown target, or an input that is nowhere; before anything
            runs.
        EnvironmentFailed: when a stage is in the hands of the run that started this one, or a
            remote that is to be asked cannot be.
        Refused: when data that is read is older than recorded, and does not come from a remote.
    """
    # Before anything is read: what is being rearranged is read afterwards.
    with nullcontext() if dry_run else _running(repo, progress):
        graph = build_graph(repo.declared)
        asked = _selection(repo, targets, options)
        chosen = select(graph, asked)
        forced = frozenset(chosen if options.force else ())
        rules = Rules(forced, options.allow_missing, options.run_cache)
        recovered = [] if dry_run else recover(repo, repo.claims("mlx repro"), progress.note)
        judge = _judge(repo, options, rules, not dry_run, progress)
        keep = options.allow_missing
        found = find_edited(repo, graph, chosen, keep_deleted=keep)
        if found.behind:
            judge.catch_up(found.behind)
        _check(judge, graph, chosen)
        if dry_run:
            return Repro(_preview(judge, graph, chosen))
        updated = record_edited(repo, found, keep_deleted=keep)
        if updated:
            judge.reload()
        reports = _run(judge, graph, chosen, options, Journal(repo, new_run_id(), listener, words))
        forgotten = _forget(repo) if asked.is_all else ()
    ran = [report.stage for report in reports if report.outcome == "ran"]
    unversioned = _unversioned(repo, graph, ran)
    idle = all(report.outcome == UP_TO_DATE for report in reports)
    failed = any(report.error is not None for report in reports)
    to_commit = not idle and not failed and repo.git.is_dirty()
    return Repro(tuple(reports), updated, unversioned, forgotten, tuple(recovered), to_commit)


def _run(
    judge: Judge, graph: Graph, chosen: list[str], options: Options, journal: Journal
) -> list[StageReport]:
    jobs = options.jobs or judge.repo.settings.number("jobs", cores())
    going = options.keep_going
    with journal:
        engine = Engine(judge, graph, journal.tell, jobs=jobs, keep_going=going, run_id=journal.run)
        return engine.run(chosen)


def _judge(repo: Repo, options: Options, rules: Rules, acts: bool, progress: Progress) -> Judge:
    if not options.pull:
        return Judge(repo, rules=rules, acts=acts, progress=progress)
    # What talks to remotes is loaded by those who asked for it.
    from mlxrepo.pipeline.pulling import PullingJudge
    from mlxrepo.pipeline.supply import Supply

    supply = Supply(repo, options.remote, progress)
    return PullingJudge(repo, supply, rules=rules, acts=acts, progress=progress)


def _running(repo: Repo, progress: Progress) -> Claim:
    """Say that a run is on its way in this worktree, with others; wait while it is rearranged."""
    return repo.claims("mlx repro").wait((), progress.note, shared=[ROOT])


def _preview(judge: Judge, graph: Graph, chosen: list[str]) -> tuple[StageReport, ...]:
    # A look ahead reads the journal; a run that finds nothing to do need not load it.
    from mlxrepo.pipeline.earlier import EarlierRuns
    from mlxrepo.pipeline.preview import preview

    return tuple(preview(judge, graph, chosen, EarlierRuns(judge.repo, judge.actions, chosen)))


def _selection(repo: Repo, targets: Sequence[str], options: Options) -> Selection:
    def stages(texts: Sequence[str]) -> tuple[str, ...]:
        return tuple(resolve_stages(texts, repo.place, repo.declared))

    return Selection(
        stages(targets),
        options.single,
        options.downstream,
        stages(options.start),
        stages(options.end),
    )


def _check(judge: Judge, graph: Graph, chosen: list[str]) -> None:
    """Look for inputs that are nowhere before anything runs."""
    for address in chosen:
        stage = graph.stages[address]
        if not judge.is_settled(stage):
            judge.reach(stage)
            check(stage, judge.inputs, judge.repo.declared)


def _forget(repo: Repo) -> tuple[str, ...]:
    """Drop the records of stages that are no longer declared; their outs stay where they are."""
    gone = sorted(repo.observed.stages().keys() - repo.declared.stages.keys())
    if not gone:
        return ()
    known = {(lock_path(s.file), f"stage:{s.name}") for s in repo.declared.stages.values()}
    stale = {t.path for t in repo.observed.tracked() if t.address in gone}
    stale -= repo.declared.outs.keys()  # a renamed stage makes them still

    # First of all: what is placed and not recorded a checkout would take away.
    def forget(placed: Placed) -> None:
        for path in stale:
            placed.pop(path, None)

    repo.update_placed(forget)

    for lock in repo.observed.locks:

        def drop(records: Records, lock: RepoPath = lock) -> None:
            for name in [n for n in records if n.startswith("stage:") and (lock, n) not in known]:
                del records[name]

        repo.update_lock(lock, drop)

    return tuple(gone)


def _unversioned(repo: Repo, graph: Graph, ran: list[str]) -> tuple[RepoPath, ...]:
    """Return what stages read that nobody keeps: it could not be brought back."""
    read = {path for address in ran for path in read_paths(graph.stages[address])}
    mine = [
        path
        for path in sorted(read)
        if repo.declared.maker(path) is None and repo.observed.at(path) is None
    ]
    in_git = repo.git.tracked(mine)
    ignored = repo.git.ignored(mine)
    return tuple(
        path
        for path in mine
        if path in ignored and not any(is_inside(file, path) for file in in_git)
    )
