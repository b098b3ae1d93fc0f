"""mlx push: send to a remote what it lacks of the recorded data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mlxrepo.errors import Damaged, EnvironmentFailed
from mlxrepo.failpoints import failpoint
from mlxrepo.paths import RepoPath
from mlxrepo.pipeline.actioncache import ActionCache
from mlxrepo.pipeline.sharing import Shareable, candidates
from mlxrepo.progress import SILENT, Progress
from mlxrepo.repo.identity import identity
from mlxrepo.repo.layout import ACTIONS_FOLDER
from mlxrepo.repo.remotes import chosen, opened
from mlxrepo.repo.repo import Repo
from mlxrepo.repo.wanted import (
    Scope,
    Wanted,
    by_remote,
    check_recorded,
    elsewhere,
    history,
    recorded,
    split,
)
from mlxrepo.store.crossing import was_undone
from mlxrepo.store.proof import bad_copies
from mlxrepo.store.push import Sent, send, with_sent
from mlxrepo.store.reach import key_of
from mlxrepo.store.remote import Remote
from mlxrepo.store.remoteactions import RemoteActions
from mlxrepo.store.remoteindex import Known
from mlxrepo.store.survey import Survey, oid_in
from mlxrepo.store.tree import Entry

CROSSED_MAX = 3  # times
PUSH_JOBS = 4  # each holds a pack in memory


@dataclass(frozen=True, slots=True)
class Pushed:
    """What went to one remote, or (not `applied`) would go.

    `objects` and `bytes` are sent, in `stored` bytes; `resumed` came with a push that was cut off.
    `there` were there before: a folder that is there with all below it counts once. `missing` are
    neither there nor here: path and oid. `actions` are entries of the action cache. `elsewhere` are
    paths, with why, if all that was asked for belongs on no remote that was asked.
    """

    remote: str
    url: str
    objects: int
    bytes: int
    stored: int
    resumed: int
    there: int
    missing: tuple[tuple[str, str], ...]
    verified: int | None
    applied: bool
    actions: int = 0
    elsewhere: tuple[tuple[RepoPath, str], ...] = ()


def push(
    repo: Repo,
    targets: Sequence[str] = (),
    *,
    remote: str | None = None,
    jobs: int | None = None,
    scope: Scope | None = None,
    verify: bool = False,
    dry_run: bool = False,
    progress: Progress = SILENT,
) -> list[Pushed]:
    """Send what `targets` record, or (default) what the commits of HEAD and the workspace do.

    Without `remote` the default one is meant, and outs that name a remote go to theirs. `verify`
    reads back everything that was asked for. What stages made goes with its entries of the action
    cache, unless the setting mlx.pushActions is false.

    Raises:
        InputError: when a target means nothing that is recorded, or there is no such remote.
        CannotDecide: when there is no remote, or no such revision.
        EnvironmentFailed: when the remote does not take it; what arrived stays.
        Damaged: when an object here, or with `verify` there, is not what its name says.
    """
    scope = scope or Scope()
    repo.git.fetches = True  # lockfiles of the history, which a partial clone may be without
    keys: set[str] = set()
    wanted = recorded(repo, targets, scope, keys) if targets else history(repo, scope, keys)
    check_recorded(repo, wanted)
    if repo.settings.choice("pushactions", ("true", "false")) == "false":
        keys.clear()
    done: list[Pushed] = []
    shares = by_remote(repo, wanted, remote)
    for name, mine in shares.items():
        work = _Push(repo, name, jobs, progress, is_main=not done)
        done.append(work.run(mine, keys, verify=verify, dry_run=dry_run))
    return [replace(item, elsewhere=elsewhere(repo, wanted, shares)) for item in done]


class _Push:
    """The push to one remote."""

    def __init__(
        self, repo: Repo, name: str, jobs: int | None, progress: Progress, *, is_main: bool
    ):
        self._repo = repo
        self._is_main = is_main
        self._spec = chosen(repo, name)
        self._remote: Remote = opened(repo, self._spec)
        self._jobs = jobs or min(PUSH_JOBS, self._remote.door.jobs)
        self._progress = progress

    def run(self, wanted: list[Wanted], keys: set[str], *, verify: bool, dry_run: bool) -> Pushed:
        """Survey, send, and read back."""
        for _ in range(CROSSED_MAX):
            # What a damaged index names is sent anew, unless it is found there.
            known, earlier = with_sent(self._remote, self._remote.known(damaged=[]))
            survey = Survey(self._repo.store, known)
            self._survey(survey, wanted)
            entries = self._entries(survey, known, keys)
            if dry_run:
                sent = Sent(survey.objects, survey.amount, survey.amount, len(earlier))
                break
            sent = send(
                self._repo.store, self._remote, survey, earlier, jobs=self._jobs,
                prepare=self._prepare, known=known, progress=self._progress,
            )  # fmt: skip
            if not self._was_undone(known, sent):
                break
        else:
            raise EnvironmentFailed(
                f"again and again a gc of the remote {self._spec.name} took away what was sent",
                hint="push again when nobody collects it",
            )
        return Pushed(
            remote=self._spec.name,
            url=self._spec.shown,
            objects=sent.objects,
            bytes=sent.bytes,
            stored=sent.stored,
            resumed=sent.resumed,
            there=survey.there,
            missing=tuple((path, oid_in(key)) for key, path in survey.missing.items()),
            actions=len(entries) if dry_run else self._send_entries(entries, sent),
            verified=self._verify(wanted) if verify and not dry_run else None,
            applied=not dry_run,
        )

    def _was_undone(self, known: Known, sent: Sent) -> bool:
        return bool(sent.index) and was_undone(self._remote, known, sent.index, self._progress)

    def _entries(self, survey: Survey, known: Known, keys: set[str]) -> list[Shareable]:
        """Return the entries that can go; what git keeps of their outs is surveyed as well."""

        def is_there(entry: Entry) -> bool:
            key = key_of(entry)
            if (closed := survey.closed.get(key)) is not None:
                return closed
            spot = known.find(key)
            return spot is not None and (entry.kind != "tree" or spot.closed)

        noted = RemoteActions(self._remote).noted()
        actions = ActionCache(self._repo.shared(ACTIONS_FOLDER))
        found = list(candidates(actions, keys, noted, is_there))
        lacking = [
            Wanted(out.path, out.entry)
            for entry in found
            for out in entry.outs
            if not is_there(out.entry) and self._repo.store.is_whole(out.entry)
        ]
        self._survey(survey, split(self._repo, lacking, self._spec.name, undeclared=self._is_main))
        return [entry for entry in found if entry.is_whole(is_there)]

    def _send_entries(self, entries: list[Shareable], sent: Sent) -> int:
        """Send entries; their outs are there and indexed."""
        failpoint("push.before-actions")
        if not entries:
            return 0
        if sent == Sent():
            self._prepare()
        items = ((entry.name, entry.data) for entry in entries)
        return RemoteActions(self._remote).send(items, self._remote.door.jobs)

    def _survey(self, survey: Survey, wanted: list[Wanted]) -> None:
        with self._repo.store.writing():
            for item in wanted:
                self._repo.store.keep(item.entry)  # from gc, until all is sent
                survey.add(item.entry, item.path, item.below)

    def _prepare(self) -> None:
        self._remote.prepare(*identity(self._repo))

    def _verify(self, wanted: list[Wanted]) -> int:
        """Read back all that was asked for.

        Raises:
            Damaged: naming an object that is not what it should be.
        """
        known = self._remote.known(damaged=[])
        every = Survey(self._repo.store, Known({}))
        self._survey(every, wanted)
        keys = [*every.trees, *every.small, *every.large, *every.missing]
        bad = bad_copies(self._remote, known, keys, jobs=self._jobs, progress=self._progress)
        if bad:
            raise Damaged(
                f"{len(bad)} objects on the remote {self._spec.name} are not what their names say, "
                f"{oid_in(bad[0])[:12]} for one",
                hint=f"mlx remote fsck {self._spec.name} --data --repair, in a clone that has them",
            )
        return len(keys)
